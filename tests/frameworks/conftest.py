"""A server for the tests of the back ends of frameworks, and a client that sees what they store."""

import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from support.memcached import Server, running

from godropbox.memcache import Client, MetaProtocol, ShardedClient, StaticShardManager

NOWHERE = "unix:/nowhere/memcached.sock"
ROOT = Path(__file__).parent.parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Declare the entry points where the package is not installed but run in place."""
    if any(each.value.startswith("godropbox.") for each in entry_points(group="dogpile.cache")):
        return
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = tempfile.TemporaryDirectory()
    config.add_cleanup(folder.cleanup)
    info = Path(folder.name, "godropbox-0.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: godropbox\nVersion: 0\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    sys.path.append(folder.name)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("tcp", tmp_path_factory.mktemp("memcached")) as server:
        yield server


class Witness:
    """Sees and changes what is in the server."""

    def __init__(self, address: str) -> None:
        self.client = Client(address, serializer="pickle")
        self.operations = ShardedClient(StaticShardManager([address]), MetaProtocol())

    def flags(self, key: str) -> int:
        """The flags of an item, which say what kind of value it is."""
        flags = self.operations.get(key).flags
        assert flags is not None
        return flags

    def ttl(self, key: str) -> int | None:
        """The seconds that an item has left, -1 if it lives for ever."""
        ttl: int | None = self.operations.run(
            key, lambda protocol, name: protocol.meta_get(name, details=True)
        ).ttl
        return ttl


@pytest.fixture
def witness(server: Server) -> Iterator[Witness]:
    witness = Witness(server.address)
    witness.client.flush_all()
    yield witness
    witness.client.close()
    witness.operations.close()
