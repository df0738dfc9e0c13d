"""The public surface as ``inspect`` sees it, a list a thing, alike for both implementations.

Annotations are text in compiled modules and objects in others. Of what is compiled in the other
implementation alone, this takes the text from the source. Run as a module it prints the surface.
"""

import ast
import importlib
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from godropbox import _kernels

__all__ = ["MODULES", "surface"]

MODULES = (
    "godropbox.caching",
    "godropbox.caching.aio",
    "godropbox.database.sqlbuilder",
    "godropbox.errors",
    "godropbox.hash2",
    "godropbox.memcache",
    "godropbox.memcache.aio",
    "godropbox.murmur3",
    "godropbox.net2",
    "godropbox.resource_pool",
    "godropbox.resource_pool.aio",
)
_COMPILED = {*_kernels.MODULES, *(f"godropbox._kernels.{stem}_py" for stem in _kernels.KERNELS)}
_EMPTY = inspect.Parameter.empty
# What differs in reprs and does not matter: addresses, and how a function came to be.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_FUNCTION = re.compile(r"<(?:cyfunction|built-in function) ")


def surface() -> dict[str, list[Any]]:
    """Return the signature and the docstring of every public class, function and method by name."""
    return dict(_things())


def _things() -> Iterator[tuple[str, list[Any]]]:
    for module in MODULES:
        holder = importlib.import_module(module)
        for name in holder.__all__:
            thing = getattr(holder, name)
            if not callable(thing) or not getattr(thing, "__module__", "").startswith("godropbox"):
                continue
            yield f"{module}.{name}", _described(thing)
            if isinstance(thing, type):
                for member in sorted(_members(thing)):
                    yield f"{module}.{name}.{member}", _described(getattr(thing, member))


def _members(cls: type) -> Iterator[str]:
    for name in dir(cls):
        owner = next((base for base in cls.__mro__ if name in vars(base)), object)
        if name.startswith("_") or not owner.__module__.startswith("godropbox"):
            continue
        if callable(getattr(cls, name)) and not isinstance(getattr(cls, name), type):
            yield name


def _described(thing: Any) -> list[Any]:
    try:
        signature = inspect.signature(thing)
    except ValueError:  # of Python's exceptions, for example
        return [None, None, inspect.getdoc(thing)]
    texts = _texts(thing)
    parameters = [
        [
            each.name,
            each.kind.name,
            None if each.default is _EMPTY else _text(each.default),
            _shown(each.annotation, texts, each.name),
        ]
        for each in signature.parameters.values()
    ]
    returned = _EMPTY if isinstance(thing, type) else signature.return_annotation
    return [parameters, _shown(returned, texts, "return"), inspect.getdoc(thing)]


def _texts(thing: Any) -> dict[str, str]:
    """Return the annotations in the source of a function that could be compiled, and is not."""
    function = inspect.unwrap(getattr(thing, "__func__", thing))
    if isinstance(thing, type):
        function = thing.__init__  # type: ignore[misc]  # of this very class
    if not isinstance(function, FunctionType) or function.__module__ not in _COMPILED:
        return {}
    [node] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef)
    notes = {each.arg: each.annotation for each in ast.walk(node) if isinstance(each, ast.arg)}
    notes["return"] = node.returns
    return {name: _plain(ast.unparse(note)) for name, note in notes.items() if note is not None}


def _text(value: Any) -> str:
    return _FUNCTION.sub("<function ", _ADDRESS.sub("", repr(value)))


def _plain(annotation: str) -> str:
    """Return the text of an annotation in one form, without the quotes around it."""
    tree = ast.parse(annotation, mode="eval").body
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        return _plain(tree.value)
    return ast.unparse(tree)


def _shown(annotation: Any, texts: dict[str, str], name: str) -> str | None:
    if annotation is _EMPTY:
        return None
    if name in texts:
        return texts[name]
    if isinstance(annotation, str):
        return _plain(annotation)
    return _text(inspect.formatannotation(annotation))


if __name__ == "__main__":
    json.dump(surface(), sys.stdout)
