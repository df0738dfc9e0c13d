"""Finds what to read: files, folders' Python files, modules by name without importing them."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Final

from ...memcache.errors import InvalidArgumentError

__all__ = ["NotFoundError", "files_of", "names_of", "top_modules"]

SUFFIXES: Final = (".py", ".pyw")
SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


class NotFoundError(InvalidArgumentError):
    """What was to be read is neither a path nor a module."""


def files_of(names: Iterable[str]) -> list[Path]:
    """Return the Python files that paths and names of modules stand for, sorted, each once."""
    found: dict[Path, Path] = {}
    for name in names:
        for path in _files(name):
            real = path.resolve()
            found[real] = min(path, found.get(real, path), key=lambda path: path.parts)
    return sorted(found.values(), key=lambda path: path.parts)


def _files(name: str) -> Iterator[Path]:
    path = Path(name)
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from _walk(path)
    elif re.fullmatch(r"\w+(\.\w+)*", name):
        yield from _module(name)
    else:
        raise NotFoundError(f"no file or folder {name!r}")


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the Python files under a folder, but for hidden folders and virtual environments."""
    pending = [folder]
    while pending:
        at = pending.pop()
        try:
            with os.scandir(at) as entries:
                inside = list(entries)
        except OSError:
            yield at  # to read it fails, too, and is reported
            continue
        if any(entry.name == "pyvenv.cfg" for entry in inside):
            continue
        for entry in inside:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and entry.name not in SKIPPED:
                    pending.append(Path(entry.path))
            elif entry.name.endswith(SUFFIXES) and entry.is_file():
                yield Path(entry.path)


def _module(name: str) -> Iterator[Path]:
    spec = _spec(name)
    if spec is None:
        raise NotFoundError(f"no file, folder or module {name!r}")
    if spec.submodule_search_locations is not None:
        for folder in spec.submodule_search_locations:
            yield from _walk(Path(folder))
    elif spec.origin is not None and spec.origin.endswith(SUFFIXES):
        yield Path(spec.origin)
    else:
        raise NotFoundError(f"module {name!r} has no Python file")


def _spec(name: str) -> ModuleSpec | None:
    """Find a module as an import would, but without importing the packages that it is in."""
    spec: ModuleSpec | None = None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        path = None if spec is None else spec.submodule_search_locations
        if end > 1 and path is None:
            return None
        full = ".".join(parts[:end])
        found = (finder.find_spec(full, path) for finder in sys.meta_path)
        spec = next((each for each in found if each is not None), None)
        if spec is None:
            return None
    return spec


def names_of(path: Path) -> tuple[list[str], bool]:
    """Return the names by which a file can be imported, longest first; whether it is a package's.

    Which folder is on the path of imports is not known, so the names go up to the first folder
    that cannot be part of one.
    """
    path = path.absolute()
    is_package = path.stem == "__init__"
    parts = [] if is_package else [path.stem]
    for folder in path.parents:
        if not folder.name.isidentifier():
            break
        parts.insert(0, folder.name)
    return [".".join(parts[at:]) for at in range(len(parts))] or [path.stem], is_package


def top_modules(paths: Iterable[Path]) -> set[str]:
    """Return the names of the modules and packages among files that are in no package."""
    found = set()
    for path in paths:
        is_package = path.stem == "__init__"
        folder = path.absolute().parent.parent if is_package else path.absolute().parent
        if not (folder / "__init__.py").exists():
            found.add(path.absolute().parent.name if is_package else path.stem)
    return found
