"""The layers hold: who may import whom, as the design's table says.

``LAYERS`` and ``BANNED`` are the rules and ``violations`` applies them, to the real tree and to
made-up imports, so that the test is seen to fail where a rule is broken.
"""

import ast
import re
from pathlib import Path

import pytest
from support.imports import Import, modules, python_imports, pyx_imports, strings, tree_imports

from godropbox import _kernels

ROOT = Path(__file__).parent.parent

SHARED = r"godropbox\._kernels\._\w+"
BASE = r"godropbox\._kernels(\._(args|guarded|identity))?|godropbox\.errors"
SQLTYPES = r"godropbox\.database\.sqltypes"
BUILDER = r"godropbox\.database\.sqlbuilder(\.\w+)*"
FORKS = r"godropbox\._forks|godropbox\._calls"
POOLS = r"godropbox\.resource_pool(\.\w+)*"
NET = rf"{POOLS}|godropbox\.net2(\.\w+)*"
HASHES = r"godropbox\.hash2|godropbox\.murmur3"
MEMCACHE = r"godropbox\.memcache(\.\w+)*"

# One row a layer: the modules in it, and the modules of this package that they may import. The
# first row that matches holds, and a module that matches none needs a row.
LAYERS = [
    (r"godropbox", r"godropbox\._kernels"),
    (r"godropbox\.__main__", r"godropbox|godropbox\._kernels"),
    (r"godropbox\._kernels", rf"godropbox\._kernels\.\w+_(c|py)|{SHARED}"),
    # Those that receive replies know the kernel that reads them, and the batch where keys are.
    (r"godropbox\._kernels\.(line|scatter)_c", rf"{SHARED}|godropbox\._kernels\.wire_(c|io)"),
    (
        r"godropbox\._kernels\.batch_(c|things)",
        rf"{SHARED}|godropbox\._kernels\.(batch_things|placement_c|wire_(batch|c|io))",
    ),
    (r"godropbox\._kernels\.(line|scatter)_py", rf"{SHARED}|godropbox\._kernels\.wire_py"),
    (r"godropbox\._kernels\.\w+", SHARED),
    (r"godropbox\.errors", r"godropbox\._kernels(\._(args|guarded))?"),
    (r"godropbox\.database", r"(?!)"),
    (rf"{HASHES}|{SQLTYPES}", BASE),
    (r"godropbox\._calls", r"godropbox\._kernels\._guarded"),
    (r"godropbox\._forks", r"godropbox\._calls"),
    (POOLS, rf"{BASE}|{FORKS}|{POOLS}"),
    (BUILDER, rf"{BASE}|{SQLTYPES}|{BUILDER}"),
    (r"godropbox\.net2(\.\w+)*", rf"{BASE}|{NET}"),
    (MEMCACHE, rf"{BASE}|{FORKS}|{HASHES}|{NET}|{MEMCACHE}"),
    (r"godropbox\.caching(\.\w+)*", r"godropbox(?!\.__main__).*"),
]

IO = r"asyncio|selectors|select|socket|socketserver|ssl|urllib|http"
SOCKETS = r"godropbox\.memcache\.(channel|connection|raw|scatter|sharded|sharded_client|client)"

# One row a ban: the modules it binds, what they may not import from outside this package, why.
BANNED = [
    (r"(?!.*\baio\b).*", r"asyncio", "only an aio module imports asyncio"),
    (rf"(?!godropbox\.net2|{SOCKETS}|.*\baio\b).*", IO, "does no I/O"),
    (POOLS, r"time\.(?!monotonic).*|threading\.Timer", "its clock is injected"),
    (r"godropbox(?!\.__main__).*", r"numpy|six|cffi|ctypes", "no run-time dependency"),
]

TWIN = re.compile(r"godropbox\._kernels\.[a-z]\w*_(c|py)")
NAMES_TWINS = re.compile(
    r"tests/kernels/.*|tests/test_chooser\.py|bench/.*|godropbox/_kernels/__init__\.py"
)


def violations(module: str, imports: list[Import]) -> list[str]:
    """Return what the imports of `module` break, a line each."""
    found = []
    allowed = next((may for rows, may in LAYERS if re.fullmatch(rows, module)), None)
    if allowed is None:
        return [f"{module} is in no layer"]
    for each in imports:
        if each.module.split(".")[0] == "godropbox":
            if not re.fullmatch(allowed, each.module):
                found.append(f"{module} may not import {each.module}")
            if each.module == "godropbox._kernels" and each.name not in (None, *_kernels.__all__):
                found.append(f"{module} takes {each.name} out of the chooser")
        for rows, banned, why in BANNED:
            top = each.module.split(".")[0]
            full = f"{each.module}.{each.name}"
            if re.fullmatch(rows, module) and any(re.fullmatch(banned, n) for n in (top, full)):
                found.append(f"{module} may not import {each.module}: {why}")
    return found


def circles(graph: dict[str, list[Import]]) -> list[str]:
    """Return the circles among modules, each as the path that closes it."""
    found: list[str] = []
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            found.append(" -> ".join([*path[path.index(module) :], module]))
        elif module not in done:
            for each in graph.get(module, []):
                walk(each.module, (*path, module))
            done.add(module)

    for module in graph:
        walk(module, ())
    return found


def sources(*patterns: str) -> list[Path]:
    found = [path for pattern in patterns for path in ROOT.glob(pattern)]
    return sorted(p for p in found if "out" not in p.parts and not p.name.startswith("."))


PYTHON = sources("godropbox/**/*.py", "tests/**/*.py", "bench/**/*.py", "setup.py")
PYX = sources("godropbox/**/*.pyx")
OURS = [*PYTHON, *PYX, *(path.with_suffix(".pyi") for path in PYX)]
C = sources("csrc/*.[ch]", "tests/csrc/*.[ch]")


def test_every_module_imports_what_its_layer_may() -> None:
    tree = tree_imports(ROOT)
    assert {"godropbox", "godropbox._kernels", "godropbox._kernels._args"} <= set(tree)
    assert [line for module, found in tree.items() for line in violations(module, found)] == []


def test_nothing_is_included() -> None:
    """What two kernels share they cimport: an include would hide from these tests what it needs."""
    assert [str(path) for path in PYX if re.search(r"^\s*include\b", path.read_text(), re.M)] == []
    assert sources("godropbox/**/*.pxi") == []


def test_no_circles() -> None:
    assert circles(tree_imports(ROOT)) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("godropbox.hash2", "from godropbox import net2"),
        ("godropbox.hash2", "import godropbox.murmur3"),
        ("godropbox.murmur3", "from . import caching"),
        ("godropbox.errors", "from .hash2 import ShardSet"),
        ("godropbox.errors", "if TYPE_CHECKING:\n    from .memcache import Client"),
        ("godropbox.resource_pool", "import socket"),
        ("godropbox.resource_pool", "import time"),
        ("godropbox.resource_pool._simple", "from time import sleep"),
        ("godropbox.resource_pool._simple", "from ..net2 import dial"),
        ("godropbox.net2", "from .memcache import raw"),
        ("godropbox.net2", "import asyncio"),
        ("godropbox.database", "from . import sqlbuilder"),
        ("godropbox.database.sqltypes", "from .sqlbuilder import Table"),
        ("godropbox.database.sqlbuilder.tables", "from ...net2 import Pool"),
        ("godropbox.memcache.protocol.ascii", "import socket"),
        ("godropbox.memcache.protocol.ascii", "from selectors import DefaultSelector"),
        ("godropbox.memcache.protocol.binary", "from asyncio import Queue"),
        ("godropbox.memcache.connection", "import asyncio"),
        ("godropbox.memcache.aio", "from ..caching import Layer"),
        ("godropbox.memcache.raw", "from .._kernels.wire_c import parse"),
        ("godropbox.hash2", "from ._kernels.hash2_py import consistent_hash"),
        ("godropbox.hash2", "from ._kernels import _load"),
        ("godropbox.hash2", "def f():\n    import numpy"),
        ("godropbox._kernels.hash2_py", "from . import murmur3_py"),
        ("godropbox._kernels.hash2_py", "from . import hash2_c"),
        ("godropbox._kernels.hash2_py", "from godropbox import errors"),
        ("godropbox._kernels", "from ..errors import DropboxError"),
        ("godropbox.brand_new", "import os"),
    ],
)
def test_a_forbidden_import_is_reported(module: str, line: str) -> None:
    known = {"godropbox.net2", "godropbox.caching", "godropbox.errors", "godropbox.memcache.raw"}
    twins = {f"godropbox._kernels.{stem}" for stem in ("hash2_c", "hash2_py", "murmur3_py")}
    found = python_imports(line, module, known=known | twins | {"godropbox.database.sqlbuilder"})
    is_package = module == "godropbox._kernels"
    if is_package:
        found = python_imports(line, module, is_package=True, known=known)
    assert violations(module, found) != []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("godropbox.hash2", "from godropbox import _kernels"),
        ("godropbox.hash2", "from ._kernels import hash2\nfrom ._kernels._args import shown"),
        ("godropbox.net2", "import socket, time\nfrom . import resource_pool"),
        ("godropbox.resource_pool._options", "from time import monotonic"),
        ("godropbox.memcache.aio", "import asyncio\nfrom . import ascii"),
        ("godropbox.memcache.protocol.ascii", "from .exchange import Exchange"),
        ("godropbox.memcache.raw", "import socket\nfrom ..net2 import Pool"),
        ("godropbox.database.sqlbuilder.tables", "from ..sqltypes import literal"),
        ("godropbox.errors", "if TYPE_CHECKING:\n    from ._kernels import hash2"),
        ("godropbox._kernels.wire_py", "from ._args import bad_int"),
    ],
)
def test_an_allowed_import_is_not(module: str, line: str) -> None:
    known = {"godropbox._kernels", "godropbox.resource_pool", "godropbox.memcache.protocol.ascii"}
    assert violations(module, python_imports(line, module, known=known)) == []


@pytest.mark.parametrize(
    "line",
    [
        "from .murmur3_c cimport hash32",
        "from .murmur3_py import (\n    hash32,  # the scalar\n    hash32_many,\n)",
        "cimport godropbox.net2",
        "import os, asyncio",
        "    from godropbox import errors",
    ],
)
def test_a_forbidden_import_of_cython_is_reported(line: str) -> None:
    found = pyx_imports(line, "godropbox._kernels.hash2_c", known={"godropbox.errors"})
    assert violations("godropbox._kernels.hash2_c", found) != []


def test_a_circle_is_reported() -> None:
    graph = {"a": [Import("b")], "b": [Import("c", "x")], "c": [Import("a")], "d": [Import("a")]}
    assert circles(graph) == ["a -> b -> c -> a"]


def test_nobody_else_names_a_twin() -> None:
    named = []
    for path in PYTHON:
        where = path.relative_to(ROOT).as_posix()
        text = path.read_text("utf-8")
        taken = python_imports(text, "tests.x", known=modules(ROOT))
        held = [*(f"{each.module}.{each.name}" for each in taken), *strings(text)]
        if not NAMES_TWINS.fullmatch(where) and path != Path(__file__):
            named += [f"{where}: {text}" for text in held if TWIN.match(text)]
    assert named == []


def test_a_named_twin_is_found() -> None:
    text = 'x = "godropbox._kernels.hash2_c"\nfrom godropbox._kernels import hash2_py\n'
    found = python_imports(text, "tests.x", known={"godropbox._kernels.hash2_py"})
    assert [bool(TWIN.match(each.module)) for each in found] == [True]
    assert [each for each in strings(text) if TWIN.match(each)] == ["godropbox._kernels.hash2_c"]


HEADERS = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.M)
# wire_io is where a whole exchange is done over a socket; the other kernels do no I/O.
POSIX = re.compile(r"(errno|poll|time|sys/socket|sys/time|sys/uio)\.h")
C_LIBRARY = re.compile(r"(stddef|stdint|stdbool|limits|math|string|immintrin|intrin|arm_neon)\.h")
CALLS = re.compile(r"\b(malloc|calloc|realloc|free|printf|fprintf|puts|exit|abort)\s*\(")


def c_violations(text: str, headers: set[str], name: str = "") -> list[str]:
    """Return what a file of csrc includes or calls that a kernel may not."""

    def may_include(system: str) -> bool:
        posix = name in ("wire_io.c", "wire_many.c") and POSIX.fullmatch(system)
        return bool(posix or C_LIBRARY.fullmatch(system))

    found = [
        f"includes {ours or system}"
        for ours, system in HEADERS.findall(text)
        if (ours and ours not in headers) or (system and not may_include(system))
    ]
    return found + [f"calls {name}" for name in CALLS.findall(re.sub(r"/\*.*?\*/", "", text))]


def test_the_c_kernels_know_nothing_of_python() -> None:
    kernels = sources("csrc/*.[ch]")
    headers = {path.name for path in kernels}
    assert {"digests.c", "hash2.c"} <= headers
    found = {
        path.name: c_violations(path.read_text("utf-8"), headers, path.name) for path in kernels
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "text",
    ['#include "Python.h"', "# include <Python.h>", "#include <stdio.h>", "p = malloc(3);"],
)
def test_a_kernel_that_knows_more_is_reported(text: str) -> None:
    assert c_violations(text, {"hash2.h"}) != []


def test_every_file_opens_with_its_contract() -> None:
    silent = [
        path.relative_to(ROOT).as_posix()
        for path in PYTHON
        if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    silent += [path.name for path in PYX if not path.read_text("utf-8").startswith('"""')]
    silent += [
        path.name for path in C if path.suffix == ".h" and path.read_text("utf-8")[:2] != "/*"
    ]
    assert silent == []


def test_every_extension_has_a_stub() -> None:
    assert [path.name for path in PYX if not path.with_suffix(".pyi").exists()] == []
