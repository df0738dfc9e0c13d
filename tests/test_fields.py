"""A class of a module in Cython's pure-Python mode has the same fields compiled and uncompiled.

``__slots__`` says them to Python and the ``.pxd`` file, with their C types, to the compiler; there
what a comment says is of C alone has no other side.
"""

import ast
import re
from pathlib import Path

import pytest

from godropbox import _kernels

ROOT = Path(__file__).parent.parent


def compiled_fields(pxd: str) -> dict[str, set[str]]:
    """Return the fields of each class of a ``.pxd`` file: ``cdef readonly int a, b``."""
    found: dict[str, set[str]] = {}
    fields: set[str] = set()
    for line in pxd.splitlines():
        if opened := re.match(r"cdef (?:final )?class (\w+)", line):
            fields = found[opened[1]] = set()
        elif line.endswith("  # of C alone"):
            continue
        elif declared := re.fullmatch(r"    cdef ([^(]+)", line.partition("#")[0].rstrip()):
            names = re.sub(r"\[[^]]*\]", "", declared[1]).split(",")
            fields.update(name.split()[-1].lstrip("*") for name in names)
    return found


def slots(source: str) -> dict[str, set[str]]:
    """Return what ``__slots__`` lists, for each class of a module that has them."""
    return {
        owner.name: {*ast.literal_eval(each.value)}
        for owner in ast.parse(source).body
        if isinstance(owner, ast.ClassDef)
        for each in owner.body
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "__slots__"
    }


PATHS = [ROOT / f"{name.replace('.', '/')}.pxd" for name in _kernels.MODULES]


@pytest.mark.parametrize("pxd", [path for path in PATHS if path.exists()], ids=lambda p: p.stem)
def test_fields_are_the_same_compiled_and_uncompiled(pxd: Path) -> None:
    source = pxd.with_suffix(".py").read_text("utf-8")
    known = {node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    compiled = compiled_fields(pxd.read_text("utf-8"))
    assert {name: compiled[name] for name in compiled.keys() & known} == {
        name: fields for name, fields in slots(source).items() if name in compiled
    }


def test_fields_are_found() -> None:
    pxd = "cdef class Held:\n    cdef readonly object a\n"
    pxd += "    cdef double[2] b, _c  # both\n    cdef f(self)\n"
    pxd += "    cdef char _d  # of C alone\n"
    assert compiled_fields(pxd) == {"Held": {"a", "b", "_c"}}
    assert slots("class Held:\n    __slots__ = ('_c', 'a')\n") == {"Held": {"_c", "a"}}
