"""What docs/from-pylibmc.md and docs/from-python-memcached.md say, over a server."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from support.memcached import Server, running

from godropbox.compat import pylibmc
from godropbox.memcache import Client


def loaded(name: str, file: str) -> Any:
    """Return a module of a distribution by its file: ``tests.memcache`` has its name here."""
    spec = spec_from_file_location(name, str(distribution(name).locate_file(file)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


python_memcached = loaded("python-memcached", "memcache.py")

DOCS = Path(__file__).parent.parent.parent / "docs"
VALUES: dict[str, Any] = {
    "bytes": b"raw",
    "text": "žluť",
    "int": 7,
    "bool": True,
    "large": 10**30,
    "none": None,
    "object": {"a": [1.5, None]},
    "long": "long enough to be compressed, " * 100,
    "long-object": ["long enough to be compressed"] * 100,
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with (
        running("tcp", tmp_path_factory.mktemp("one")) as one,
        running("tcp", tmp_path_factory.mktemp("two")) as two,
        running("tcp", tmp_path_factory.mktemp("three")) as three,
    ):
        yield [one, two, three]


@pytest.mark.parametrize("page", ["from-pylibmc.md", "from-python-memcached.md"])
def test_the_programs_of_a_page_run(
    page: str, servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "memcache", python_memcached)
    text = (DOCS / page).read_text(encoding="utf-8")
    programs = [
        code for code in re.findall(r"```python\n(.*?)```", text, re.S) if ">>>" not in code
    ]
    assert programs
    for code in programs:
        where = code.replace("127.0.0.1:11211", "127.0.0.1").replace(
            "127.0.0.1", servers[0].address
        )
        exec(compile(where, page, "exec"), {})


def clients(servers: list[Server]) -> tuple[Any, pylibmc.Client, Client]:
    addresses = [server.address for server in servers]
    face = pylibmc.Client(addresses, behaviors={"hash": "crc"})
    where = pylibmc.shard_function({"hash": "crc"})
    own = Client(addresses, shard_func=where, serializer="pickle", compressor="zlib")
    return python_memcached.Client(addresses), face, own


def test_python_memcached_and_both_ways_read_each_other(servers: list[Server]) -> None:
    theirs, face, own = clients(servers)
    wanted = {f"theirs-{name}": value for name, value in VALUES.items()}
    assert theirs.set_multi(wanted, min_compress_len=1000) == []
    assert face.get_multi(list(wanted)) == wanted
    assert own.get_many(list(wanted)) == wanted
    assert type(own.get("theirs-bool")) is bool
    wanted = {f"face-{name}": value for name, value in VALUES.items()}
    assert face.set_multi(wanted, min_compress_len=1000) == []
    assert theirs.get_multi(list(wanted)) == wanted
    wanted = {f"own-{name}": value for name, value in VALUES.items()}
    assert own.set_many(wanted) == []
    assert theirs.get_multi(list(wanted)) == wanted
    own.close()
    theirs.disconnect_all()


def test_python_memcached_puts_keys_where_crc_does(servers: list[Server]) -> None:
    addresses = [server.address for server in servers]
    theirs = python_memcached.Client(addresses)
    numbers = {server.address: i for i, server in enumerate(servers)}
    where = pylibmc.shard_function({"hash": "crc"}).bind(addresses)
    for i in range(500):
        key = f"user:{i * 7919}".encode()
        server, _ = theirs._get_server(key)
        assert where.of(key) == numbers[f"{server.ip}:{server.port}"]
    theirs.disconnect_all()


def test_empty_bytes_are_what_the_page_says(servers: list[Server]) -> None:
    theirs, face, own = clients(servers)
    theirs.set("empty", b"")
    assert face.get("empty", "default") == b""
    assert own.get("empty", "default") == "default"
    assert own.add("load", b"") is True
    assert own.get("load", "default") == b""
    assert face.get("load", "default") == b""
    own.close()
    theirs.disconnect_all()


@pytest.mark.parametrize(
    ("behaviors", "weights"),
    [({}, ""), ({"hash": "md5"}, ""), ({"ketama": True}, ""), ({"ketama_weighted": True}, ":3")],
    ids=str,
)
def test_a_shard_function_is_a_clients(behaviors: dict[str, Any], weights: str) -> None:
    servers = [f"10.0.0.1:11211{weights}", "10.0.0.2", "10.0.0.3:11212"]
    keys = [f"user:{i}" for i in range(200)]
    where = pylibmc.shard_function(behaviors, servers).bind(
        ["10.0.0.1", "10.0.0.2:11211", "10.0.0.3:11212"]
    )
    face = pylibmc.Client(servers, behaviors=behaviors)
    assert where.of_many(keys) == [face.hash(key) for key in keys]
