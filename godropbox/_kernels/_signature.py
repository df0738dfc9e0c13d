"""Signatures of compiled classes, for ``inspect``: Python sees those of functions alone.

Nothing is looked up before somebody asks: then the ``__init__`` of the source is read.
"""

TYPE_CHECKING = False  # not typing's: that module takes longer to import than this one

if TYPE_CHECKING:
    import ast
    from inspect import Signature
    from typing import Any

__all__ = ["declared"]

# Py_TPFLAGS_HEAPTYPE: a class made by a ``class`` statement that is not compiled.
_IS_HEAP_TYPE = 1 << 9


class _Declared:
    """The ``__signature__`` of classes that may be compiled, and of what is under them.

    It is that of ``__init__``, whatever a ``__new__`` takes.
    """

    __slots__ = ()

    def __get__(self, instance: "Any", cls: type) -> "Signature":
        import inspect

        for base in cls.__mro__:
            held = vars(base)
            if base.__flags__ & _IS_HEAP_TYPE:
                if "__init__" in held and "__signature__" in held:
                    return _without_self(held["__init__"])
                if "__init__" in held or "__new__" in held:
                    raise AttributeError("__signature__")  # a user's own, which ``inspect`` finds
                continue
            node = _init_of(base)
            if node is not None:
                return _without_self(_function(base, node))
        return inspect.Signature()


declared = _Declared()


def _init_of(cls: type) -> "ast.FunctionDef | None":
    """Return the ``__init__`` in the body of a class as its source has it."""
    import ast
    import importlib.util
    from pathlib import Path

    package, _, name = cls.__module__.rpartition(".")
    spec = importlib.util.find_spec(package) if package else None
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        file = Path(
            folder, f"{name.removesuffix('_c')}_py.py" if name.endswith("_c") else f"{name}.py"
        )
        if not file.is_file():
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                        return inner
    return None


def _function(cls: type, node: "ast.FunctionDef") -> "Any":
    """Return a function with the signature of a method in the source of a class.

    Annotations are text, as those of compiled functions: their names may be known to C alone.
    """
    import ast
    import sys

    for each in ast.walk(node.args):
        if isinstance(each, ast.arg) and each.annotation is not None:
            text = ast.unparse(each.annotation)
            each.annotation = ast.copy_location(ast.Constant(text), each)
    node.returns = None
    node.body = [ast.copy_location(ast.Pass(), node)]
    node.decorator_list = []
    space = dict(vars(sys.modules[cls.__module__]))
    exec(compile(ast.Module([node], []), cls.__module__, "exec"), space)
    return space[node.name]


def _without_self(function: "Any") -> "Signature":
    import inspect

    whole = inspect.signature(function)
    parameters = [*whole.parameters.values()][1:]
    return whole.replace(parameters=parameters, return_annotation=whole.empty)
