"""``protocol="auto"``: every operation is right on every server, and what needs meta says so.

Real ones are the memcached that is installed, those of ``GODROPBOX_MEMCACHEDS``, and nutcracker
where it is installed; fakes stand for those that are older.
"""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.blocking import Blocking
from support.dialects import DIALECTS, Conversation, FakeServer
from support.memcached import running

from godropbox import memcache
from godropbox.memcache import Item
from godropbox.memcache.aio import AsyncClient
from godropbox.memcache.batches import PartialServerError
from godropbox.memcache.client import Client

REAL = [
    shutil.which("memcached") or "memcached",
    *filter(None, os.environ.get("GODROPBOX_MEMCACHEDS", "").split(":")),
]
NUTCRACKER = shutil.which("nutcracker", path=f"{os.environ['PATH']}:/usr/sbin")
FAKES = [name for name in DIALECTS if "dead" not in name and name != "redis"]
SPEAKERS = [*FAKES, *REAL, *(["real nutcracker"] if NUTCRACKER else [])]
OLD = ["1.5.22", "1.6.6", "1.6.9"]
DRIVERS = pytest.mark.parametrize("driver", ["blocking", "asyncio"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def proxy(server: str, folder: Path) -> Iterator[str]:
    """Run nutcracker in front of a server; give its address."""
    assert NUTCRACKER
    address = f"127.0.0.1:{free_port()}"
    lines = ["a:", f"  listen: {address}", "  servers:", f"    - {server}:1", ""]
    (folder / "nutcracker.yml").write_text("\n".join(lines))
    command = [NUTCRACKER, "-c", str(folder / "nutcracker.yml"), "-s", str(free_port())]
    command += ["-o", str(folder / "log")]
    process = subprocess.Popen(command)
    try:
        until = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError):
                host, port = address.split(":")
                socket.create_connection((host, int(port)), 1).close()
                break
            assert process.poll() is None, "nutcracker ended"
            assert time.monotonic() < until, "nutcracker does not listen"
        yield address
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Start a server when it is first asked for by its name; give its address."""
    with contextlib.ExitStack() as ends:
        started: dict[str, str] = {}

        def start(name: str) -> str:
            if name not in started:
                folder = tmp_path_factory.mktemp("server")
                if name in DIALECTS:
                    started[name] = ends.enter_context(FakeServer(DIALECTS[name])).address
                elif name == "real nutcracker":
                    started[name] = ends.enter_context(proxy(start(REAL[0]), folder))
                else:
                    program, *more = name.split(" ")
                    server = running("tcp", folder, program=program, extra=more)
                    started[name] = ends.enter_context(server).address
            return started[name]

        yield start


def client(driver: str, servers: Any, **options: Any) -> Any:
    """Return a client of a kind, which is closed by ``with``."""
    options = {"timeout": 10.0, "connect_timeout": 10.0, **options}
    if driver == "blocking":
        return Client(servers, **options)
    return Blocking(AsyncClient(servers, **options))


def operations_of(each: Any) -> Any:
    """Return the operations of a client, to be called as blocking ones."""
    if isinstance(each, Blocking):
        return Blocking(each.inner._operations, each)
    return each._operations


def asynchronous(call: Callable[..., Any]) -> Callable[..., Any]:
    async def called(*given: Any) -> Any:
        return call(*given)

    return called


# Each is the first operation of a client of its own; "a" holds "old", "n" holds 7.
OPERATIONS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "get": (lambda c: c.get("a"), "old"),
    "get_many": (lambda c: c.get_many(["a", "none"]), {"a": "old"}),
    "gets": (lambda c: c.gets("a")[0], "old"),
    "gat": (lambda c: (c.gat("a", 100), c.gat("none", 100)), ("old", None)),
    "set": (lambda c: (c.set("b", "v"), c.get("b")), (True, "v")),
    "set_many": (lambda c: (list(c.set_many({"b": 1, "c": 2})), c.get("c")), ([], 2)),
    "add": (lambda c: (c.add("a", "v"), c.add("new", "v")), (False, True)),
    "replace": (lambda c: (c.replace("a", "v"), c.replace("none", "v")), (True, False)),
    "cas": (lambda c: (c.cas("a", "v", c.gets("a")[1]), c.get("a")), (True, "v")),
    "append": (lambda c: (c.append("a", "er"), c.get("a")), (True, "older")),
    "prepend": (lambda c: (c.prepend("a", "c"), c.get("a")), (True, "cold")),
    "delete": (lambda c: (c.delete("a"), c.delete("a")), (True, False)),
    "delete_many": (lambda c: (list(c.delete_many(["a", "none"])), c.get("a")), ([], None)),
    "touch": (lambda c: (c.touch("a", 100), c.touch("none", 100)), (True, False)),
    "incr": (lambda c: (c.incr("n"), c.incr("none")), (8, None)),
    "decr": (lambda c: (c.decr("n", 2), c.decr("new", 1, 9)), (5, 9)),
    "get_or_set": (lambda c: (c.get_or_set("g", lambda: 5, 60), c.get("g")), (5, 5)),
    "version": (lambda c: list(c.version()), [0]),
}


@DRIVERS
@pytest.mark.parametrize("hooks", [(), (lambda event: None,)], ids=["plain", "hooks"])
@pytest.mark.parametrize("speaker", SPEAKERS)
def test_every_first_operation_is_right(
    addresses: Callable[[str], str], speaker: str, hooks: Any, driver: str
) -> None:
    address = addresses(speaker)
    for name, (call, expected) in OPERATIONS.items():
        with Client(address, timeout=10.0, connect_timeout=10.0, protocol="ascii") as other:
            other.set_many({"a": "old", "n": 7})
            for key in ("b", "c", "new", "none", "g"):
                other.delete(key)
        with client(driver, address, hooks=hooks) as each:
            assert call(each) == expected, name


@DRIVERS
def test_a_mixed_fleet_works(addresses: Callable[[str], str], driver: str) -> None:
    several = [addresses(name) for name in SPEAKERS]
    keys = [f"k{n}-{at}" for at in range(len(several)) for n in range(3)]
    place = lambda key, shards: int(key.split("-")[1])  # noqa: E731
    with client(driver, several, shard_func=place) as each:
        assert list(each.delete_many(keys)) == []
        assert [each.add(key, key) for key in keys] == [True] * len(keys)
        assert [each.append(key, "!") for key in keys] == [True] * len(keys)
        assert each.get_many(keys) == {key: f"{key}!" for key in keys}
        assert list(each.delete_many([*keys, "no-0"])) == []
        assert each.get_many(keys) == {}
        found = each.dialects()
    assert list(found) == several
    for name, dialect in zip(SPEAKERS, found.values(), strict=True):
        is_plain = name in OLD or "nutcracker" in name
        assert dialect.protocol == ("ascii" if is_plain else "meta"), name
        assert dialect.error is None
        assert ("leases" in dialect.lacks) is is_plain
        if name in FAKES:
            assert dialect.version == DIALECTS[name].version
    assert found[addresses("1.6.12")].lacks == ("delete by token", "new_cas")
    assert found[addresses("1.6.18")].lacks == ("new_cas",)
    assert found[addresses("1.6.45")].lacks == ()


@DRIVERS
def test_dialects_tells_which_server_failed(addresses: Callable[[str], str], driver: str) -> None:
    alive, dead = addresses("1.6.45"), f"127.0.0.1:{free_port()}"
    with client(driver, [alive, dead]) as each:
        found = each.dialects()
    assert found[alive] == memcache.Dialect("meta", "1.6.45")
    assert found[dead].protocol is None
    assert isinstance(found[dead].error, memcache.NetworkError)
    old = addresses("1.6.6")
    for protocol in ("ascii", "binary"):
        with client(driver, old, protocol=protocol) as each:
            assert each.dialects()[old].protocol == protocol
    with client(driver, old, protocol="meta") as each:
        entry = each.dialects()[old]
        assert (entry.protocol, entry.version) == (None, "1.6.6")
        assert isinstance(entry.error, memcache.NotSupportedError)
    with (
        Client.over(memcache.RawAsciiClient(memcache.connect(old))) as raw,
        pytest.raises(memcache.NotSupportedError, match="no client of addresses"),
    ):
        raw.dialects()


@DRIVERS
@pytest.mark.parametrize("speaker", [*OLD, "nutcracker"])
def test_what_needs_meta_names_the_server(
    addresses: Callable[[str], str], speaker: str, driver: str
) -> None:
    address = addresses(speaker)
    calls: dict[str, Callable[[Any], Any]] = {
        "meta_get": lambda o: o.run("a", lambda p, k: p.meta_get(k, lease=30)),
        "meta_set": lambda o: o.run("a", lambda p, k: p.meta_set(Item(k, b"1"))),
        "meta_delete": lambda o: o.run("a", lambda p, k: p.meta_delete(k, stale=True)),
        "add with a CAS token": lambda o: o.add(Item("a", b"1", cas=5)),
        "append with a CAS token": lambda o: o.append("a", b"1", 5),
        "increment of a counter that it makes": lambda o: o.increment("a", 1, 5, 60),
    }
    with client(driver, address) as each:
        operations = operations_of(each)
        for name, call in calls.items():
            for _ in range(2):  # the second time it is known
                with pytest.raises(memcache.NotSupportedError) as caught:
                    call(operations)
                text = str(caught.value)
                assert f"shard 0 at {address}, version 1." in text
                assert text.endswith(f"; {name} needs them")
        assert each.set("a", "1")


def sent(fake: FakeServer) -> bytes:
    """Return what a fake server has received, without the name that is no other process's."""
    return re.sub(rb"godropbox-[0-9a-f]{12}", b"probe", bytes(fake.received))


@DRIVERS
def test_it_costs_no_more_than_meta_where_that_is_known(driver: str) -> None:
    received = []
    for protocol in ("auto", "meta"):
        options = {"protocol": protocol, "wall_clock": lambda: 1.7e9}
        with FakeServer(DIALECTS["1.6.45"]) as fake, client(driver, fake.address, **options) as c:
            c.set("a", "1")
            c.delete_many(["a", "b"])
            c.get("a")
            c.get_or_set("a", lambda: 1, 60)
            c.touch("a", 60)
            c.delete_many(["a"])
            received.append(sent(fake))
    assert received[0] == received[1]
    assert received[0].count(b"ms probe") == 1


@DRIVERS
def test_a_proxy_that_closes_loses_one_connection(driver: str) -> None:
    with FakeServer(DIALECTS["nutcracker"]) as fake, client(driver, fake.address) as each:
        for _ in range(3):
            assert list(each.delete_many(["a"])) == []
            assert each.add("a", "1")
            assert each.append("a", "2")
        each.disconnect_all()
        assert list(each.delete_many(["a"])) == []
        assert sent(fake).count(b"ms ") == 1


def test_a_batch_over_proxies_is_made_again_over_all_of_them() -> None:
    with contextlib.ExitStack() as ends:
        fakes = [ends.enter_context(FakeServer(DIALECTS["nutcracker"])) for _ in range(3)]
        several = [fake.address for fake in fakes]
        place = lambda key, shards: int(key[1:]) % shards  # noqa: E731
        for driver in ("blocking", "asyncio"):
            own = {"connections": 2} if driver == "asyncio" else {"max_active": 1}
            with client(driver, several, shard_func=place, **own) as each:
                keys = [f"k{n}" for n in range(9)]
                each.set_many(dict.fromkeys(keys, "v"))
                assert list(each.delete_many(keys)) == []
                assert each.get_many(keys) == {}


class Failing(Conversation):
    """Behind nutcracker, a server that dies before it is sent a line that starts with `word`."""

    word = b""

    def _line(self, words: list[bytes]) -> bytes:
        if words[0] == self.word:
            return b"SERVER_ERROR Connection refused\r\n"
        return super()._line(words)


@DRIVERS
@pytest.mark.parametrize(("word", "expire"), [(b"delete", -1), (b"touch", 60)])
def test_a_key_that_could_not_be_touched_has_the_error(
    monkeypatch: pytest.MonkeyPatch, driver: str, word: bytes, expire: int
) -> None:
    monkeypatch.setattr(Failing, "word", word)
    monkeypatch.setattr("support.dialects.Conversation", Failing)
    with FakeServer(DIALECTS["nutcracker"]) as fake, client(driver, fake.address) as each:
        assert list(each.set_many({"a": "1", "b": "2"})) == []
        with pytest.raises(PartialServerError) as caught:
            each.gat_many(["a", "b"], expire)
        assert caught.value.errors.keys() == {"a", "b"}
        assert b"get" not in sent(fake) or expire < 0  # nothing is got that was not touched


@DRIVERS
def test_another_server_behind_the_address_is_seen_by_the_next_connection(driver: str) -> None:
    with FakeServer(DIALECTS["1.6.6"]) as fake, client(driver, fake.address) as each:

        def protocol() -> Any:
            return each.dialects()[fake.address].protocol

        assert list(each.delete_many(["a"])) == []
        assert protocol() == "ascii"
        for name, spoken in [("1.6.45", "meta"), ("nutcracker", "ascii"), ("1.6.12", "meta")]:
            fake.dialect = DIALECTS[name]
            fake.hang_up()
            assert list(each.delete_many(["a"])) == []
            assert protocol() == spoken, name
            assert each.append("b", "c") is False
            assert each.get_or_set("g", lambda: 1, 60) == 1
            assert each.delete("g")


@DRIVERS
def test_a_proxy_replaced_by_what_is_behind_it_is_asked_again_after_a_minute(driver: str) -> None:
    """It tells the version of what is behind it, so that this looks the same."""
    now = [1000.0]
    options = {"clock": lambda: now[0]}
    with FakeServer(DIALECTS["nutcracker"]) as fake, client(driver, fake.address, **options) as c:
        assert c.dialects()[fake.address].protocol == "ascii"
        fake.dialect = DIALECTS["1.6.18"]
        fake.hang_up()
        assert c.dialects()[fake.address].protocol == "ascii"
        now[0] += 61
        assert c.dialects()[fake.address].protocol == "ascii"  # over the same connection
        fake.hang_up()
        assert c.dialects()[fake.address].protocol == "meta"


def test_a_raw_client_takes_ascii_over_the_same_connection() -> None:
    with FakeServer(DIALECTS["1.6.6"]) as fake:
        channel = memcache.connect(fake.address, timeout=10.0)
        with memcache.RawClient(channel, memcache.AutoProtocol()) as raw:
            assert raw.set(Item("a", b"1")).ok
            assert raw.get("a").value == b"1"
            assert raw.increment("a").count == 2
            assert [each.ok for each in raw.add_multi([Item("a", b""), Item("b", b"")])] == [0, 1]
            assert raw.get_multi(["a", "b"])["b"].value == b""
            with pytest.raises(memcache.NotSupportedError, match="gat needs them"):
                raw.gat("a", 60)
            assert raw.delete("a").ok
            assert raw.is_valid


# Servers without tokens, and those without leases

PLAIN = [f"{program} -C" for program in REAL] + ["1.6.6", "nutcracker"]


def never(*_: Any) -> Any:
    raise AssertionError("this was not to be called")


@DRIVERS
@pytest.mark.parametrize("speaker", PLAIN)
def test_a_value_is_loaded_without_a_lease(
    addresses: Callable[[str], str], speaker: str, driver: str
) -> None:
    address = addresses(speaker)
    later = asynchronous(never) if driver == "asyncio" else never
    with client(driver, address, sleep=later) as each, client("blocking", address) as other:
        each.delete("k")
        if driver == "blocking":  # another process loads by itself, and nobody waits
            assert each.get_or_set("k", lambda: other.get_or_set("k", lambda: 1, 60), 60) == 1
            each.delete("k")
        assert each.get_or_set("k", lambda: "v", 60) == "v"
        assert each.get_or_set("k", never, 60) == "v"
        assert each.get("k") == "v"
        each.delete("k")

        def fail() -> Any:
            raise LookupError("no")

        with pytest.raises(LookupError):
            each.get_or_set("k", fail, 60)
        assert each.add("k", "w")  # nothing was left in its way
        assert each.delete("k")
        # The value that was stale is not kept where nobody would make a new one.
        assert each.get_or_set("k", lambda: "s", 60, stale=60) == "s"
        each.delete("k")


@pytest.mark.parametrize("speaker", PLAIN)
def test_one_thread_loads_and_the_others_get_its_value(
    addresses: Callable[[str], str], speaker: str
) -> None:
    address = addresses(speaker)
    begun, threads = threading.Barrier(8), []
    loads: list[int] = []
    given: list[Any] = []
    with client("blocking", address, serializer="json", max_active=16) as each:
        each.delete("k")

        def load() -> Any:
            loads.append(1)
            return ["v"]

        def run() -> None:
            begun.wait(10)
            given.append(each.get_or_set("k", load, 60))

        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert loads == [1]
        assert given == [["v"]] * 8
        assert len(set(map(id, given))) == 8  # to each its own
        each.delete("k")


@pytest.mark.parametrize("speaker", PLAIN)
def test_one_task_loads_and_the_others_get_its_value(
    addresses: Callable[[str], str], speaker: str
) -> None:
    address = addresses(speaker)
    loads: list[int] = []

    async def run() -> None:
        async with AsyncClient(address, timeout=10.0) as each:
            await each.delete("k")
            go = asyncio.Event()

            async def load() -> Any:
                loads.append(1)
                await go.wait()
                if len(loads) == 1:
                    raise LookupError("no")
                return "v"

            tasks = [asyncio.create_task(each.get_or_set("k", load, 60)) for _ in range(8)]
            while not loads:
                await asyncio.sleep(0)
            go.set()
            given = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(one) for one in given].count(LookupError) == 1
            assert given.count("v") == 7
            await each.delete("k")
            go.clear()
            first = asyncio.create_task(each.get_or_set("k", load, 60))
            while len(loads) < 3:
                await asyncio.sleep(0)
            with pytest.raises(memcache.DeadlineExceededError, match="within 0 s"):
                await each.get_or_set("k", load, 60, wait=0)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            assert await each.add("k", "w")
            await each.delete("k")

    asyncio.run(run())
    assert len(loads) == 3


@DRIVERS
@pytest.mark.parametrize("program", REAL)
def test_a_server_without_tokens_says_so(
    addresses: Callable[[str], str], program: str, driver: str
) -> None:
    address = addresses(f"{program} -C")
    with client(driver, address) as each:
        each.set("a", "v")
        with pytest.raises(memcache.NotSupportedError, match=f"shard 0 at {address} has no CAS"):
            each.gets("a")
        assert each.gets("none") == (None, None)
        assert each.append("a", "w")
        assert each.get("a") == "vw"
        assert {"leases", "tokens"} <= set(each.dialects()[address].lacks)
        with pytest.raises(memcache.InvalidArgumentError, match="cas"):
            each.cas("a", "v", 0)


# Leases that are out, expiries, tokens of one's own, values that are too large


@DRIVERS
@pytest.mark.parametrize("program", REAL)
def test_a_lease_that_is_out_is_neither_touched_nor_kept(
    addresses: Callable[[str], str], program: str, driver: str
) -> None:
    address = addresses(program)
    with client(driver, address) as each, client("blocking", address) as other:
        raw = operations_of(each)
        for _ in range(2):  # over a connection that was asked, and over one that was not
            for touch in (lambda: each.touch("k", 3600), lambda: each.gat("k", 3600) is not None):
                other.delete("k")
                assert look(other).won
                assert touch() is False
                seen = look(other)
                assert seen.taken
                assert 0 < seen.ttl <= 30
            assert other.delete("k")
            each.set("k", b"")
            assert each.touch("k", 3600)
            each.set("k", b"\0" * 10)
            assert each.touch("k", 3600)
            assert look(other).ttl > 30
            each.disconnect_all()
        assert raw is not None


def look(each: Any) -> Any:
    """Look at a key as one who would load it."""
    return each._operations.run("k", lambda p, k: p.meta_get(k, lease=30, details=True))


EXPIRES = [2**31, 2**32 - 1, 2**32, -(2**31) - 1]


@pytest.mark.parametrize("protocol", ["ascii", "binary", "meta"])
def test_no_expiry_goes_out_that_a_server_refuses(protocol: Any) -> None:
    raw = {
        "ascii": memcache.RawAsciiClient,
        "binary": memcache.RawBinaryClient,
        "meta": memcache.RawMetaClient,
    }[protocol]
    with FakeServer(DIALECTS["1.6.45"]) as fake, raw(memcache.connect(fake.address)) as each:
        assert each.set(Item("k", b"1", expire=2**31 - 1)).ok
        assert each.touch("k", 2**31 - 1).ok
        assert each.gat("k", -(2**31)).value == b"1"
        before = len(fake.received)
        for expire in EXPIRES:
            words = rf"expire must be (an int )?in \[-2\*\*31, 2\*\*31\), got {expire}"
            for call in (
                lambda: each.set(Item("k", b"", expire=expire)),  # noqa: B023
                lambda: each.touch("k", expire),  # noqa: B023
                lambda: each.gat("k", expire),  # noqa: B023
            ):
                with pytest.raises(memcache.InvalidArgumentError, match=words):
                    call()
            good, bad = each.set_multi([Item("k", b"1"), Item("j", b"1", expire=expire)])
            assert good.ok
            assert isinstance(bad.error, memcache.InvalidArgumentError)
        assert b"j" not in bytes(fake.received[before:]).replace(b"prj", b"").split()
        with pytest.raises(memcache.InvalidArgumentError, match="expire must be"):
            each.flush(2**31)


@DRIVERS
@pytest.mark.parametrize("program", REAL)
def test_a_late_moment_is_as_late_as_a_server_takes(
    addresses: Callable[[str], str], program: str, driver: str
) -> None:
    with client(driver, addresses(program)) as each:
        late = datetime(2100, 1, 1, tzinfo=UTC)
        assert each.set("k", "v", late)
        assert each.touch("k", late)
        assert each.gat("k", late) == "v"
        assert list(each.set_many({"k": "w"}, late)) == []
        assert each.get("k") == "w"


def test_a_token_of_ones_own_and_a_lease_are_above_zero() -> None:
    protocol = memcache.MetaProtocol()
    with pytest.raises(memcache.InvalidArgumentError, match="new_cas must be an int"):
        protocol.meta_set(Item("k", b""), new_cas=0)
    for lease in (0, -1, 2**31):
        with pytest.raises(memcache.InvalidArgumentError, match="lease must be an int"):
            protocol.meta_get("k", lease=lease)


@DRIVERS
@pytest.mark.parametrize("program", REAL)
def test_what_is_there_outlives_a_value_that_is_too_large(
    addresses: Callable[[str], str], program: str, driver: str
) -> None:
    large = b"x" * ((1 << 20) + 1)
    with client(driver, addresses(program)) as each:
        operations = operations_of(each)
        each.set("k", b"old")
        token = operations.get("k").cas
        calls: dict[str, Callable[[], Any]] = {
            "add": lambda: each.add("k", large),
            "replace": lambda: each.replace("k", large),
            "append": lambda: each.append("k", large),
            "prepend": lambda: each.prepend("k", large),
            "cas": lambda: each.cas("k", large, token + 100),
        }
        for name, call in calls.items():
            with pytest.raises(memcache.ServerError, match="too large"):
                call()
            assert each.get("k") == b"old", name
        batches: dict[str, Callable[[], Any]] = {
            "add": lambda: [operations.add(Item("k", large))],
            "add_multi": lambda: operations.add_multi([Item("k", large)]),
            "cas_multi": lambda: operations.cas_multi([Item("k", large)]),
            "set with a token": lambda: [operations.set(Item("k", large, cas=token + 100))],
            "append": lambda: [operations.append("k", large)],
        }
        for name, batch in batches.items():
            [answer] = batch()
            assert answer.status is memcache.ResponseStatus.VALUE_TOO_LARGE
            assert each.get("k") == b"old", name
        half = b"y" * (1 << 19)
        answers = operations.add_multi([Item("k", half), Item("large", half)])
        assert [answer.ok for answer in answers] == [False, True]
        assert each.append("large", half[: 1 << 17])
        assert each.delete("large")
