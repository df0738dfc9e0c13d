"""The layers hold: who may import whom, as the design's table says.

``LAYERS`` and ``BANNED`` are the rules for each import and ``violations`` applies them; ``NO_IO``
is the rule for imports of imports and ``io_chains`` applies it. Both judge the real tree and
made-up ones, so that the test is seen to fail where a rule is broken.
"""

import ast
import re
from pathlib import Path

import pytest
from support.imports import (
    Import,
    import_chain,
    modules,
    python_imports,
    pyx_imports,
    strings,
    tree_imports,
)

from godropbox import _kernels

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent

SHARED = r"godropbox\._kernels\._\w+"
BASE = (
    r"godropbox\._kernels(\._(args|guarded|identity|signature|uncompiled)|\.lasting)?"
    r"|godropbox\.errors"
)
ADDRESS = r"godropbox\._address"
DIAL = r"godropbox\._dial"
CHANNELS = r"godropbox\._kernels\._channels"
SQLTYPES = r"godropbox\.database\.sqltypes"
BINLOG = r"godropbox\.database\.binlog(\.\w+)*"
BINLOG_IO = r"godropbox\.database\.binlog(\.(_stream|_tls|aio|__main__))?"
BUILDER = r"godropbox\.database\.sqlbuilder(\.\w+)*"
SHARDING_AIO = r"godropbox\.database\.sharding\.aio(\.\w+)?"
SHARDING = r"godropbox\.database\.sharding(\.(?!aio)\w+)*"
FORKS = r"godropbox\._forks|godropbox\._calls"
POOLS = r"godropbox\.resource_pool(\.(?!aio)\w+)*"
AIO_POOL = r"godropbox\.resource_pool\.aio"
NET = r"godropbox\.net2(\.\w+)*"
HASHES = r"godropbox\.(hash2|murmur3|oihash)"

# memcache, from below.
GROUND = r"godropbox\.memcache\.(types|errors|responses|address|hints|keys)"
PROTOCOL = r"godropbox\.memcache\.protocol(\.\w+)*"
FLEET = r"godropbox\.memcache\.fleet(\.\w+)*"
POLICY = (
    r"godropbox\.memcache\."
    r"(operations|outcomes|steps|batch_steps|whole_steps|callers|hub|multiplex)"
)
SYNC = r"godropbox\.memcache\.(sync|dial|connection|raw|sharded_client|managers|listing)"
AIO = r"godropbox\.memcache\.aio\.connect"
CLIENT = (
    r"godropbox\.memcache(\.(client|base_client|leases|options|overrides|batches|codec|serializers|compressors|hooks"
    r"|heads|parts|stepping|testing))?|godropbox\.memcache\.aio(\.\w+)*"
)
DISCOVERY = r"godropbox\.memcache\.discovery(\.\w+)*"
FACES = r"godropbox\.(_faces|aiocache|cachelib|cashews|celery|compat|django|dogpile|flask)(\.\w+)*"
BELOW_MEMCACHE = rf"{BASE}|{FORKS}|{ADDRESS}|{POOLS}"

# One row a layer: the modules in it, and the modules of this package that they may import. The
# first row that matches holds, and a module that matches none needs a row.
LAYERS = [
    (r"godropbox", r"godropbox\._kernels"),
    (r"godropbox\._about", r"godropbox|godropbox\._kernels"),
    (r"godropbox\.__main__", r"godropbox|godropbox\._(about|kernels(\._binlog)?)"),
    (r"godropbox\._kernels", rf"godropbox\._kernels\.\w+_(c|py)|{SHARED}"),
    # What compiled modules cimport: the C face of a kernel, under the name of the chooser's.
    (r"godropbox\._kernels\.sqltext", r"godropbox\._kernels\.sqltext_c"),
    (r"godropbox\._kernels\.transport", r"godropbox\._kernels\.transport_c"),
    (r"godropbox\._kernels\.lasting", r"godropbox\._kernels\.lasting_c"),
    # Kernels stand on each other: a batch on replies and placements, the transport on replies and
    # requests.
    (r"godropbox\._kernels\.wire_csrc", r"godropbox\._kernels\.placement_c"),
    (r"godropbox\._kernels\.wire_c", rf"{SHARED}|godropbox\._kernels\.wire_csrc"),
    (
        r"godropbox\._kernels\.(batch_(c|things)|pipeline_c|transport_c)",
        rf"{SHARED}|godropbox\._kernels\.(batch_things|placement_c|wire_(c|csrc|request_c))",
    ),
    (
        r"godropbox\._kernels\.(batch|pipeline|transport)_py",
        rf"{SHARED}|godropbox\._kernels\.wire(_request)?_py",
    ),
    (r"godropbox\._kernels\.\w+", SHARED),
    (r"godropbox\.errors", r"godropbox\._kernels(\._(args|guarded))?"),
    (r"godropbox\.database", r"(?!)"),
    (r"godropbox\.oihash", rf"{BASE}|godropbox\._kernels\._oihash"),
    (rf"{HASHES}|{SQLTYPES}", BASE),
    (r"godropbox\._calls", r"godropbox\._kernels\._guarded"),
    (r"godropbox\._forks", r"godropbox\._calls"),
    (r"godropbox\.(executor|locks(\.\w+)?)", rf"{BASE}|godropbox\._forks|godropbox\.locks(\.\w+)?"),
    (r"godropbox\.balancing", rf"{BASE}|godropbox\.murmur3"),
    (ADDRESS, BASE),
    (POOLS, rf"{BASE}|{FORKS}|{POOLS}"),
    (AIO_POOL, rf"{BASE}|{FORKS}|{POOLS}"),
    (BUILDER, rf"{BASE}|godropbox\._kernels\.(lasting|sqltext)|{SQLTYPES}|{BUILDER}"),
    (r"godropbox\.binlog", BINLOG),
    (BINLOG_IO, rf"{BASE}|{ADDRESS}|{DIAL}|{NET}|{BINLOG}"),
    (BINLOG, rf"{BASE}|{ADDRESS}|godropbox\._kernels\._?binlog|{SQLTYPES}|{BINLOG}"),
    (DIAL, rf"{BASE}|{ADDRESS}"),
    (NET, rf"{BASE}|{ADDRESS}|{DIAL}|{POOLS}|{NET}"),
    (GROUND, rf"{BELOW_MEMCACHE}|{GROUND}"),
    (PROTOCOL, rf"{BELOW_MEMCACHE}|{GROUND}|{PROTOCOL}"),
    (FLEET, rf"{BELOW_MEMCACHE}|{HASHES}|{GROUND}|{PROTOCOL}|{FLEET}"),
    (POLICY, rf"{BELOW_MEMCACHE}|{GROUND}|{PROTOCOL}|{FLEET}|{POLICY}"),
    (
        SYNC,
        rf"{BELOW_MEMCACHE}|godropbox\._kernels\.transport|{CHANNELS}|{DIAL}|{GROUND}|{PROTOCOL}"
        rf"|{FLEET}|{POLICY}|{SYNC}",
    ),
    (AIO, rf"{BELOW_MEMCACHE}|{DIAL}|{GROUND}|{PROTOCOL}|{FLEET}|{POLICY}|{AIO}"),
    (
        r"godropbox\.memcache\.discovery\.(clients|aio)",
        rf"{BELOW_MEMCACHE}|godropbox\.memcache(\.\w+)*",
    ),
    (
        DISCOVERY,
        rf"{BELOW_MEMCACHE}|{HASHES}|{ADDRESS}|{DIAL}|{GROUND}|{PROTOCOL}|{FLEET}|{SYNC}|{AIO}"
        rf"|godropbox\.memcache\.(options|aio\.managers)|{DISCOVERY}",
    ),
    (CLIENT, rf"{BELOW_MEMCACHE}|godropbox\.memcache(\.\w+)*"),
    (r"godropbox\.caching(\.\w+)*", r"godropbox(?!\.__main__).*"),
    (
        SHARDING,
        rf"{BASE}|{FORKS}|{POOLS}|{HASHES}|godropbox\._kernels\.placement|godropbox\.balancing"
        rf"|{BUILDER}|{SHARDING}",
    ),
    (SHARDING_AIO, rf"{BASE}|{POOLS}|{AIO_POOL}|{BUILDER}|{SHARDING}|{SHARDING_AIO}"),
    # Other libraries' faces, and the back ends of frameworks.
    (FACES, r"godropbox(?!\.__main__).*"),
    # The commands.
    (r"godropbox\.(doctor|demo|fleet)(\.\w+)*", r"godropbox(?!\.__main__).*"),
]

# What does I/O: these of the standard library, and the kernels that send and receive.
IO = re.compile(
    r"asyncio|selectors|select|_?socket|socketserver|_?ssl|urllib\.(?!parse)\w+(\.\w+)*|http"
    r"|godropbox\._kernels\.(transport|_channels)"
)
BLOCKING = (
    rf"{CHANNELS}|{DIAL}|{NET}|{BINLOG_IO}|godropbox\.memcache\.(sync|dial|connection)"
    r"|godropbox\.compat\.pymemcache(\.\w+)*|godropbox\.doctor\.(probing|__main__)"
    r"|godropbox\.demo\.(processes|web)|godropbox\.fleet\.arguments"
    r"|godropbox\.memcache\.discovery\.(zookeeper|etcd|consul|http|dns|elasticache)"
)

# The modules that reach no I/O, through whatever they import.
NO_IO = re.compile(
    rf"{ADDRESS}|godropbox\.errors|{HASHES}|{SQLTYPES}|(?!{BINLOG_IO}$){BINLOG}|{BUILDER}|{POOLS}"
    rf"|{GROUND}|{PROTOCOL}|{FLEET}|{POLICY}|godropbox\.caching\.consistency\.protocol"
)

# One row a ban: the modules it binds, what they may not import from outside this package, why.
BANNED = [
    (r"(?!.*\baio\b).*", r"asyncio", "only an aio module imports asyncio"),
    (rf"(?!({BLOCKING})$|.*\baio\b).*", IO.pattern, "does no I/O"),
    (rf"{POOLS}|{AIO_POOL}", r"time\.(?!monotonic).*|threading\.Timer", "its clock is injected"),
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
            runs = not each.for_types
            if (
                runs
                and re.fullmatch(rows, module)
                and any(re.fullmatch(banned, n) for n in (top, full))
            ):
                found.append(f"{module} may not import {each.module}: {why}")
    return found


def io_chains(graph: dict[str, list[Import]]) -> list[str]:
    """Return the chains of imports by which a module of ``NO_IO`` reaches I/O."""
    chains = [import_chain(module, graph, IO) for module in graph if NO_IO.fullmatch(module)]
    return [" -> ".join(chain) for chain in chains if chain]


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
PXD = sources("godropbox/**/*.pxd")
OURS = [*PYTHON, *PYX, *(path.with_suffix(".pyi") for path in PYX)]
C = sources("csrc/*.[ch]", "tests/csrc/*.[ch]")


@pytest.fixture(scope="module")
def tree() -> dict[str, list[Import]]:
    return tree_imports(ROOT)


def test_every_module_imports_what_its_layer_may(tree: dict[str, list[Import]]) -> None:
    assert {"godropbox", "godropbox._kernels", "godropbox._kernels._args"} <= set(tree)
    assert [line for module, found in tree.items() for line in violations(module, found)] == []


def test_nothing_is_included() -> None:
    """What two kernels share they cimport: an include would hide from these tests what it needs."""
    assert [
        str(path) for path in PYX + PXD if re.search(r"^\s*include\b", path.read_text(), re.M)
    ] == []
    assert sources("godropbox/**/*.pxi") == []


def test_what_does_no_io_reaches_none(tree: dict[str, list[Import]]) -> None:
    judged = {module for module in tree if NO_IO.fullmatch(module)}
    assert {"godropbox.memcache.fleet.manager", "godropbox.memcache.protocol.exchange"} <= judged
    assert io_chains(tree) == []
    # The rule sees through a module in between.
    client = import_chain("godropbox.memcache.client", tree, IO)
    assert len(client) > 2


def test_no_circles(tree: dict[str, list[Import]]) -> None:
    assert circles(tree) == []


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
        ("godropbox.resource_pool._pool", "import asyncio"),
        ("godropbox.resource_pool._pool", "from .aio import AsyncResourcePool"),
        ("godropbox.resource_pool.aio", "import time"),
        ("godropbox.resource_pool._simple", "from time import sleep"),
        ("godropbox.resource_pool._simple", "from ..net2 import dial"),
        ("godropbox.net2", "from .memcache import raw"),
        ("godropbox.net2", "import asyncio"),
        ("godropbox._address", "import socket"),
        ("godropbox._address", "from .net2 import dial"),
        ("godropbox.database", "from . import sqlbuilder"),
        ("godropbox.database.sqltypes", "from .sqlbuilder import Table"),
        ("godropbox.database.sqlbuilder.tables", "from ...net2 import Pool"),
        ("godropbox.database.sharding._sync", "import socket"),
        ("godropbox.database.sharding._sync", "from .aio import AsyncShardRouter"),
        ("godropbox.database.sharding._fleet", "import asyncio"),
        ("godropbox.database.sharding._fleet", "from ...net2 import dial"),
        ("godropbox.memcache.protocol.ascii", "import socket"),
        ("godropbox.memcache.protocol.ascii", "from selectors import DefaultSelector"),
        ("godropbox.memcache.protocol.binary", "from asyncio import Queue"),
        ("godropbox.memcache.connection", "import asyncio"),
        ("godropbox.memcache.aio.connect", "from ...caching import Layer"),
        ("godropbox.memcache.aio.connect", "from ..sync import Driver"),
        ("godropbox.memcache.sync", "from .aio import Driver"),
        ("godropbox.memcache.sync", "from .client import Client"),
        ("godropbox.memcache.multiplex", "import asyncio"),
        ("godropbox.memcache.multiplex", "from .sync import run"),
        ("godropbox.memcache.callers", "from .sync import run"),
        ("godropbox.memcache.hub", "import asyncio"),
        ("godropbox.memcache.steps", "from .sync import Driver"),
        ("godropbox.memcache.steps", "from ..net2 import dial"),
        ("godropbox.memcache.fleet.manager", "from ..steps import Get"),
        ("godropbox.memcache.protocol.base", "from ..fleet.shards import Shard"),
        ("godropbox.memcache.types", "from .protocol.base import Protocol"),
        ("godropbox.memcache.address", "from .fleet.options import ShardOptions"),
        ("godropbox.memcache.raw", "import socket"),
        ("godropbox.memcache.raw", "from .._kernels import transport"),
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
        ("godropbox.memcache.aio.connect", "import asyncio\nfrom ..protocol.ascii import Ascii"),
        ("godropbox.resource_pool.aio", "import asyncio\nfrom ._pool import ResourcePool"),
        ("godropbox.memcache.protocol.ascii", "from .exchange import Exchange"),
        ("godropbox.memcache.dial", "import socket\nfrom .._dial import dial"),
        ("godropbox.memcache.fleet.options", "if TYPE_CHECKING:\n    import ssl"),
        ("godropbox.memcache.client", "from .sync import Driver\nfrom .steps import Get"),
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


def written(root: Path, files: dict[str, str]) -> Path:
    """Write the files of a made-up package, by their paths in it, and return their root."""
    for name, text in files.items():
        path = root / "godropbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("memcache/protocol/ascii", "from ..connection cimport Connection"),
        ("memcache/protocol/ascii", "from godropbox.memcache.connection cimport Connection"),
        ("memcache/responses", "cimport godropbox.memcache.fleet.shards as shards"),
        (
            "memcache/responses",
            "from .fleet cimport (\n    manager,  # no such face\n    shards,\n)",
        ),
        ("resource_pool/_ledger", "from godropbox.memcache cimport responses"),
        ("database/sqlbuilder/_nodes", "from godropbox._kernels.sqltext_c cimport Text"),
        ("database/sqlbuilder/_nodes", "from godropbox._kernels cimport sqltext_c as sqltext"),
        ("database/sqlbuilder/_nodes", "from ..._kernels cimport sqltext_c"),
        ("_kernels/hash2_c", "from .sqltext_c cimport Text"),
        ("_kernels/sqltext", "from .wire_c cimport Reply"),
    ],
)
@pytest.mark.parametrize("has_module", [True, False])
def test_a_pxd_that_crosses_a_layer_is_reported(
    tmp_path: Path, name: str, line: str, has_module: bool
) -> None:
    faces = ("_kernels/sqltext_c", "_kernels/wire_c", "memcache/fleet/shards", "memcache/responses")
    files = {f"{each}.pxd": "" for each in faces} | {f"{name}.pxd": f"# The C face.\n{line}\n"}
    if has_module:
        files[f"{name}.pyx" if name.endswith("_c") else f"{name}.py"] = ""
    tree = tree_imports(written(tmp_path, files))
    module = f"godropbox.{name.replace('/', '.')}"
    assert violations(module, tree[module]) != []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("memcache/protocol/ascii", "from .base cimport Protocol"),
        ("memcache/fleet/shards", "cimport cython\nfrom libc.stdint cimport uint8_t"),
        ("database/sqlbuilder/_nodes", "from godropbox._kernels cimport sqltext"),
        ("database/sqlbuilder/_nodes", "from ..._kernels.sqltext cimport Text"),
        ("_kernels/sqltext", "from .sqltext_c cimport Text, sendable"),
    ],
)
def test_a_pxd_within_its_layer_is_not(tmp_path: Path, name: str, line: str) -> None:
    files = {"_kernels/sqltext_c.pxd": "", "_kernels/sqltext.pxd": "", f"{name}.pxd": line}
    tree = tree_imports(written(tmp_path, files))
    module = f"godropbox.{name.replace('/', '.')}"
    assert violations(module, tree[module]) == []


SOCKETS = {"net2.py": "import socket\n", "memcache/connection.py": "def f():\n    import ssl\n"}


@pytest.mark.parametrize(
    ("files", "chains"),
    [
        (
            {"memcache/steps.py": "from ..net2 import dial"},
            ["godropbox.memcache.steps -> godropbox.net2 -> socket"],
        ),
        (
            {
                "memcache/fleet/manager.py": "from . import helper",
                "memcache/fleet/helper.py": "from ..connection import Connection",
            },
            [
                f"godropbox.memcache.fleet.{chain}godropbox.memcache.connection -> ssl"
                for chain in ("helper -> ", "manager -> godropbox.memcache.fleet.helper -> ")
            ],
        ),
        (
            {"memcache/operations.py": "", "memcache/operations.pxd": "from .connection cimport C"},
            ["godropbox.memcache.operations -> godropbox.memcache.connection -> ssl"],
        ),
        ({"hash2.py": "import _socket"}, ["godropbox.hash2 -> _socket"]),
        (
            {"_kernels/__init__.py": "", "hash2.py": "from ._kernels import transport"},
            ["godropbox.hash2 -> godropbox._kernels.transport"],
        ),
        ({"memcache/steps.py": "if TYPE_CHECKING:\n    from ..net2 import dial"}, []),
        ({"memcache/steps.py": "from .types import Key", "memcache/types.py": "import enum"}, []),
        ({"memcache/sync.py": "import socket"}, []),
    ],
)
def test_io_behind_another_module_is_reported(
    tmp_path: Path, files: dict[str, str], chains: list[str]
) -> None:
    assert io_chains(tree_imports(written(tmp_path, SOCKETS | files))) == chains


def test_a_circle_is_reported() -> None:
    graph = {"a": [Import("b")], "b": [Import("c", "x")], "c": [Import("a")], "d": [Import("a")]}
    assert circles(graph) == ["a -> b -> c -> a"]


def test_nobody_else_names_a_twin() -> None:
    named = []
    known = modules(ROOT)
    for path in PYTHON:
        where = path.relative_to(ROOT).as_posix()
        text = path.read_text("utf-8")
        # Whoever names a twin names its folder, or is in it.
        if "_kernels" not in where + text:
            continue
        if NAMES_TWINS.fullmatch(where) or path == Path(__file__):
            continue
        taken = python_imports(text, "tests.x", known=known)
        held = [*(f"{each.module}.{each.name}" for each in taken), *strings(text)]
        named += [f"{where}: {text}" for text in held if TWIN.match(text)]
    assert named == []


def test_a_named_twin_is_found() -> None:
    text = 'x = "godropbox._kernels.hash2_c"\nfrom godropbox._kernels import hash2_py\n'
    found = python_imports(text, "tests.x", known={"godropbox._kernels.hash2_py"})
    assert [bool(TWIN.match(each.module)) for each in found] == [True]
    assert [each for each in strings(text) if TWIN.match(each)] == ["godropbox._kernels.hash2_c"]


HEADERS = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.M)
# wire_poll carries exchanges over sockets; the other kernels do no I/O.
POSIX = re.compile(r"(errno|poll|time|sys/socket|sys/time|sys/uio)\.h")
C_LIBRARY = re.compile(
    r"(stddef|stdint|stdbool|limits|math|string|cpuid|immintrin|intrin|arm_neon)\.h"
)
CALLS = re.compile(r"\b(malloc|calloc|realloc|free|printf|fprintf|puts|exit|abort)\s*\(")


def c_violations(text: str, headers: set[str], name: str = "") -> list[str]:
    """Return what a file of csrc includes or calls that a kernel may not."""

    def may_include(system: str) -> bool:
        posix = name == "wire_poll.c" and POSIX.fullmatch(system)
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
