"""What docs/from-pymemcache.md says of both on one fleet, and of the step after."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pymemcache
import pymemcache.serde
import pytest
from compat.pymemcache_support import place
from support.memcached import running

from godropbox.compat import pymemcache as ours
from godropbox.compat.pymemcache import serde
from godropbox.memcache import Client, ClientOptions
from godropbox.memcache.fleet.placement import Rendezvous

PAGE = Path(__file__).parent.parent.parent / "docs" / "from-pymemcache.md"
VALUES: dict[str, Any] = {
    "bytes": b"raw",
    "empty": b"",
    "text": "t\u20acxt",
    "int": 7,
    "large": 10**30,
    "object": {"a": [1.5, None]},
    "long": "long enough to be compressed, " * 100,
    "long object": ["long enough to be compressed"] * 100,
}
NAMES = [name.replace(" ", "-") for name in VALUES]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(running("tcp", tmp_path_factory.mktemp(f"page{at}"))).address
            for at in range(3)
        ]


def test_three_clients_on_one_fleet_read_each_others_values(servers: list[str]) -> None:
    values = dict(zip(NAMES, VALUES.values(), strict=True))
    options: dict[str, Any] = {"key_prefix": b"app:", "timeout": 5, "default_noreply": False}
    theirs = pymemcache.HashClient(
        [place(server) for server in servers], serde=pymemcache.serde.compressed_serde, **options
    )
    face = ours.HashClient(servers, serde=serde.compressed_serde, **options)
    chosen = ClientOptions(
        shard_func=Rendezvous(), serializer="pickle", compressor="zlib", timeout=5
    )
    with Client(servers, chosen, prefix="app:") as own:
        writers: dict[str, Any] = {"theirs": theirs, "face": face, "own": own}
        for who, writer in writers.items():
            writer.set_many({f"{who}-{name}": value for name, value in values.items()})
        for who in writers:
            wanted = {f"{who}-{name}": value for name, value in values.items()}
            assert theirs.get_many(list(wanted)) == wanted
            assert face.get_many(list(wanted)) == wanted
            if who != "own":
                del wanted[f"{who}-empty"]  # to our client, an item of no bytes is a lease
            assert own.get_many(list(wanted)) == wanted
            assert own.get(f"{who}-text") == face.get(f"{who}-text")
    theirs.close()
    face.close()


def test_others_read_no_bytes_while_a_lease_is_out(servers: list[str]) -> None:
    face = ours.HashClient(servers, key_prefix=b"app:")
    theirs = pymemcache.HashClient([place(server) for server in servers], key_prefix=b"app:")
    seen: list[Any] = []

    def load() -> bytes:
        seen.extend([face.get("leased"), theirs.get("leased")])
        return b"loaded"

    with Client(servers, shard_func=Rendezvous(), prefix="app:") as own:
        assert own.get_or_set("leased", load, 60) == b"loaded"
    assert seen == [b"", b""]
    assert face.get("leased") == b"loaded"
    face.close()
    theirs.close()


def test_the_import_lines_are_the_whole_move(tmp_path: Path) -> None:
    [script] = re.findall(r"sed -i -E '([^']*)'", PAGE.read_text(encoding="utf-8"))
    program = tmp_path / "program.py"
    program.write_text(
        "from pymemcache import serde\n"
        "from pymemcache.client.base import Client\n"
        "    import pymemcache.exceptions\n"
        "from pymemcache_other import thing  # of pymemcache's\n"
    )
    subprocess.run(["sed", "-i", "-E", script, str(program)], check=True)
    assert program.read_text() == (
        "from godropbox.compat.pymemcache import serde\n"
        "from godropbox.compat.pymemcache.client.base import Client\n"
        "    import godropbox.compat.pymemcache.exceptions\n"
        "from pymemcache_other import thing  # of pymemcache's\n"
    )
