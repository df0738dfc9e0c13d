"""Code that uses memcached's clients, written for ``godropbox.compat.check``, and what it finds."""

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

from godropbox.compat.check import Use, check

__all__ = ["Tree", "told", "tree_in", "uses"]

Tree = Callable[..., Path]


def tree_in(folder: Path) -> Tree:
    """Return what writes files into `folder`, by name or one alone, and returns the folder."""

    def write(source: str = "", **files: str) -> Path:
        for name, text in _named(source, files):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        return folder

    return write


def _named(source: str, files: dict[str, str]) -> Iterator[tuple[str, str]]:
    if source:
        yield "code.py", source
    for name, text in files.items():
        yield f"{name.replace('_in_', '/')}.py", text


def uses(folder: Path) -> list[Use]:
    return check([str(folder)]).uses


def told(folder: Path) -> list[tuple[int, str, str]]:
    """Return the line, the kind and the code of every use but imports."""
    return [(use.line, use.kind, use.used) for use in uses(folder) if use.kind != "import"]
