"""No server runs a value, whatever it speaks: every operation is right, or is refused by name.

Fakes speak as the servers do that ``support.dialects`` lists. The memcached that is installed, and
those of ``GODROPBOX_MEMCACHEDS`` (paths parted by colons), are asked the same, and the fakes are
held to them.
"""

import contextlib
import os
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support import dialects
from support.dialects import CONVERSATIONS, DIALECTS, Conversation, FakeServer, Store, converse
from support.memcached import need_tokens, running, version_of

from godropbox import memcache
from godropbox.caching import MemcacheStorage, PartialFailureError
from godropbox.memcache import Item, ResponseStatus

REAL = [
    shutil.which(os.environ.get("MEMCACHED", "memcached")) or "memcached",
    *filter(None, os.environ.get("GODROPBOX_MEMCACHEDS", "").split(":")),
]
SPEAKERS = [*DIALECTS, *REAL]
ATTACKS = [
    b"set victim 0 0 5\r\nTAKEN",
    b"flush_all",
    b"flush_all\r\n",
    b"\r\nset victim 0 0 5\r\nTAKEN\r\n",
    b"\r\n\r\nflush_all\r\n",
    b"ms victim 5\r\nTAKEN\r\nms victim S5\r\nTAKEN",
    b"delete canary",
    b"\x80\x08" + bytes(22),
]
RAW = {
    "ascii": memcache.RawAsciiClient,
    "binary": memcache.RawBinaryClient,
    "meta": memcache.RawMetaClient,
}
OPERATIONS: dict[str, Callable[[Any, bytes], Any]] = {
    "set": lambda c, v: c.set(Item("a", v)),
    "set with a token": lambda c, v: c.set(Item("a", v, cas=99)),
    "set_multi": lambda c, v: c.set_multi([Item("a", v), Item("b", v, flags=3)]),
    "add": lambda c, v: c.add(Item("new", v)),
    "add_multi": lambda c, v: c.add_multi([Item("new", v), Item("a", v)]),
    "replace": lambda c, v: c.replace(Item("a", v)),
    "append": lambda c, v: c.append("a", v),
    "prepend": lambda c, v: c.prepend("a", v),
    "cas": lambda c, v: c.cas(Item("a", v, cas=99)),
    "cas_multi": lambda c, v: c.cas_multi([Item("a", v, cas=99), Item("new", v)]),
}
OF_CLIENTS: list[Callable[[Any, bytes], Any]] = [
    lambda c, v: c.set("a", v),
    lambda c, v: c.set_many({"a": v, "b": v}),
    lambda c, v: c.add("new", v),
    lambda c, v: c.replace("a", v),
    lambda c, v: c.cas("a", v, 99),
    lambda c, v: c.append("a", v),
    lambda c, v: c.prepend("a", v),
    lambda c, v: c.get_or_set("a", lambda: v, 0),
    lambda c, v: c.get_or_set("fresh", lambda: v, 0),
]
OF_CACHES: list[Callable[[Any, bytes], Any]] = [
    lambda c, v: c.set("a", v),
    lambda c, v: c.set_multi({"a": v, "b": v}),
]
# What each leaves under "a", of a value that was there.
LEFT: dict[str, Callable[[bytes, bytes], bytes]] = {
    "set": lambda old, v: v,
    "set_multi": lambda old, v: v,
    "replace": lambda old, v: v,
    "append": lambda old, v: old + v,
    "prepend": lambda old, v: v + old,
}


class Speaker:
    """A server of one kind, and a way to look into it from beside."""

    def __init__(self, address: str, fake: FakeServer | None) -> None:
        self.address = address
        self.fake = fake

    def held(self, key: bytes) -> bytes | None:
        if self.fake is not None:
            item = self.fake.store.items.get(key)
            return None if item is None else item.value
        with memcache.RawAsciiClient(memcache.connect(self.address)) as client:
            return client.get(key).value

    def put(self, key: bytes, value: bytes) -> None:
        if self.fake is not None:
            self.fake.store.put("set", key, value, 0, None, 0)
            return
        converse(self.address, b"set %b 0 0 %d\r\n%b\r\n" % (key, len(value), value))

    def is_unharmed(self) -> bool:
        return self.held(b"canary") == b"alive" and self.held(b"victim") is None


@pytest.fixture(scope="module")
def speakers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Speaker]]:
    """Start a server of a kind when it is first asked for, and end them all in the end."""
    started: dict[str, Speaker] = {}
    ends: list[Any] = []

    def start(name: str) -> Speaker:
        if name not in started:
            if name in DIALECTS:
                fake = FakeServer(DIALECTS[name])
                ends.append(fake)
                started[name] = Speaker(fake.__enter__().address, fake)
            else:
                real = running("tcp", tmp_path_factory.mktemp("real"), program=name)
                ends.append(real)
                started[name] = Speaker(real.__enter__().address, None)
        speaker = started[name]
        speaker.put(b"canary", b"alive")
        speaker.put(b"a", b"old")
        return speaker

    yield start
    for each in ends:
        each.__exit__(None, None, None)


@pytest.fixture(params=SPEAKERS)
def speaker(request: pytest.FixtureRequest, speakers: Callable[[str], Speaker]) -> Speaker:
    return speakers(request.param)


def errors_of(call: Callable[[Any, bytes], Any], client: Any, value: bytes) -> list[Exception]:
    """Call an operation; return what went wrong with it, or with its keys."""
    try:
        outcome = call(client, value)
    except (memcache.NotSupportedError, memcache.NetworkError, memcache.ServerError) as error:
        return [error]
    if isinstance(outcome, memcache.FailedKeys):
        return list(outcome.errors.values())
    answers = outcome if isinstance(outcome, list) else [outcome]
    return [each.error for each in answers if getattr(each, "error", None) is not None]


def is_named(error: Exception | None, protocol: Any) -> bool:
    """Tell whether an error says what the server does not know, or what is wrong with it."""
    if isinstance(error, memcache.NotSupportedError):
        text = str(error)
        is_told = "the ASCII command" in text or 'use protocol="ascii"' in text
        return is_told and "does not know" in text
    if isinstance(error, memcache.ReplyError):  # Redis says it, of the read before an append
        return "-ERR unknown command 'gets'" in str(error)
    if isinstance(error, memcache.ConnectionLostError):  # nutcracker says nothing to binary
        return protocol == "binary" and 'use protocol="ascii"' in str(error)
    return isinstance(error, memcache.ServerError) and "Connection refused" in str(error)


def should_work(speaker: Speaker, protocol: Any) -> bool:
    """Tell whether a server speaks the protocol, as the table of dialects says."""
    if speaker.fake is None:
        with memcache.RawAsciiClient(memcache.connect(speaker.address)) as client:
            version = client.version().versions[0]
        return protocol != "meta" or tuple(map(int, version.split("."))) >= (1, 6, 10)
    dialect = speaker.fake.dialect
    if dialect.is_dead or dialect.kind == "redis":
        return False
    if protocol == "meta":
        return dialect.meta == "final" and dialect.kind == "memcached"
    return protocol == "ascii" or dialect.kind == "memcached"


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("protocol", RAW)
def test_no_raw_client_lets_a_value_be_run(speaker: Speaker, protocol: Any, operation: str) -> None:
    need_tokens()
    works = should_work(speaker, protocol)
    for value in ATTACKS:
        speaker.put(b"a", b"old")
        with RAW[protocol](memcache.connect(speaker.address, timeout=10.0)) as client:
            errors = errors_of(OPERATIONS[operation], client, value)
        assert works is not bool(errors), errors
        assert all(is_named(error, protocol) for error in errors), errors
        assert speaker.is_unharmed(), value
        if works:
            left = LEFT[operation](b"old", value) if operation in LEFT else b"old"
            assert speaker.held(b"a") == left, value
        for key in (b"new", b"b"):
            if works and speaker.held(key) is not None:
                assert speaker.held(key) == value
                with memcache.RawAsciiClient(memcache.connect(speaker.address)) as other:
                    assert other.delete(key).ok


@pytest.mark.parametrize("hooks", [(), (lambda event: None,)], ids=["plain", "hooks"])
@pytest.mark.parametrize("protocol", ["auto", *RAW])
def test_no_client_lets_a_value_be_run(
    speaker: Speaker, protocol: Any, hooks: tuple[Any, ...]
) -> None:
    works = should_work(speaker, "ascii" if protocol == "auto" else protocol)
    options = memcache.ClientOptions(hooks=hooks, timeout=10.0)
    calls = OF_CLIENTS if protocol in ("auto", "meta") else OF_CLIENTS[:-2]
    with memcache.Client(speaker.address, options, protocol=protocol) as client:
        for value in ATTACKS:
            for call in calls:
                errors = errors_of(call, client, value)
                # What needs no meta command is asked in ASCII, and right where meta is not.
                assert not (works and errors), errors
                assert all(is_named(error, protocol) for error in errors), errors
                assert speaker.is_unharmed(), value
        with contextlib.suppress(memcache.NotSupportedError, memcache.ServerError):
            client.delete_many(["new", "b", "fresh"])


@pytest.mark.parametrize("protocol", ["ascii", "meta"])
def test_a_batch_over_many_shards_gives_each_key_its_shards_answer(
    speakers: Callable[[str], Speaker], protocol: Any
) -> None:
    names = [*DIALECTS]
    several = [speakers(name) for name in names]
    addresses = [each.address for each in several]
    options = memcache.ClientOptions(timeout=10.0)
    manager = memcache.StaticShardManager(addresses, lambda key, n: int(key.split("-")[1]), options)
    kinds = {"ascii": memcache.AsciiProtocol, "meta": memcache.MetaProtocol}
    with memcache.ShardedClient(manager, kinds[protocol](), 10.0) as client:
        for value in ATTACKS:
            items = [Item(f"k{n}-{at}", value) for at in range(len(several)) for n in range(3)]
            for store in (client.set_multi, client.set_sentinels, client.cas_multi):
                answers = store(items)
                assert [each.key for each in answers] == [item.key for item in items]
                for at, speaker in enumerate(several):
                    own = answers[3 * at : 3 * at + 3]
                    if should_work(speaker, protocol):
                        assert all(each.error is None for each in own), own
                        assert speaker.held(b"k0-%d" % at) == value
                    else:
                        assert all(is_named(each.error, protocol) for each in own), own
                        status = ResponseStatus.NOT_SUPPORTED
                        if isinstance(own[0].error, memcache.NotSupportedError):
                            assert {each.status for each in own} == {status}
                            assert own[0].error.fields["shard"] == at
                            assert own[0].error.fields["address"] == addresses[at]
                    assert speaker.is_unharmed(), (names[at], value)


@pytest.mark.parametrize("protocol", ["ascii", "meta"])
def test_no_cache_over_a_client_lets_a_value_be_run(speaker: Speaker, protocol: Any) -> None:
    works = should_work(speaker, protocol)
    with memcache.Client(speaker.address, protocol=protocol, timeout=10.0) as client:
        storage = MemcacheStorage(client)
        for value in ATTACKS:
            for call in OF_CACHES:
                try:
                    call(storage, value)
                    worked = True
                except (memcache.NotSupportedError, memcache.ServerError, PartialFailureError):
                    worked = False
                assert worked or not works
                assert speaker.is_unharmed(), value


def test_meta_is_right_on_every_server_that_has_it(speaker: Speaker) -> None:
    """The spaces and bare misses of 1.6.10 to 1.6.17, alone and in batches."""
    need_tokens()
    if not should_work(speaker, "meta"):
        return
    with memcache.RawMetaClient(memcache.connect(speaker.address, timeout=10.0)) as client:
        for key in ("x", "y", "z", "n", "new", "fresh"):
            client.delete(key)
        assert client.get("x").status is ResponseStatus.KEY_NOT_FOUND
        assert client.gat("x", 9).status is ResponseStatus.KEY_NOT_FOUND
        assert client.touch("x", 9).status is ResponseStatus.KEY_NOT_FOUND
        assert client.increment("n").status is ResponseStatus.KEY_NOT_FOUND
        assert client.increment("n", 1, 5, expire=0).count == 5
        assert client.decrement("n", 2).count == 3
        assert client.touch("n", 100).ok
        assert client.gat("n", 100).value == b"3"
        assert client.delete("x").status is ResponseStatus.KEY_NOT_FOUND
        answers = client.set_multi([Item("x", b"1"), Item("y", b"2")])
        assert [each.ok for each in answers] == [True, True]
        tokens = [each.cas for each in answers]
        found = client.get_multi(["x", "none", "y"])
        assert [found[key].value for key in ("x", "none", "y")] == [b"1", None, b"2"]
        assert [found[key].cas for key in ("x", "y")] == tokens
        answers = client.cas_multi(
            [Item("x", b"3", cas=tokens[0]), Item("y", b"4", cas=tokens[0]), Item("new", b"5")]
        )
        assert [each.status.name for each in answers] == ["OK", "KEY_EXISTS", "OK"]
        answers = client.add_multi([Item("x", b"6"), Item("z", b"7")])
        assert [each.status.name for each in answers] == ["ITEM_NOT_STORED", "OK"]
        answers = client.delete_multi(["none", "x", "none", "z"])
        assert [each.ok for each in answers] == [False, True, False, True]
        assert client.meta_get("none").status is ResponseStatus.KEY_NOT_FOUND
        assert client.meta_get("fresh", lease=30).won
        assert client.delete("fresh").ok
        assert client.meta_delete("y", stale=True, expire=30).ok
        stale = client.meta_get("y")
        assert (stale.value, stale.stale, stale.won) == (b"2", True, True)
        assert client.delete("y").ok
        assert client.is_valid


def test_a_token_of_ones_own_is_refused_by_name(speaker: Speaker) -> None:
    need_tokens()
    if not should_work(speaker, "meta"):
        return
    with memcache.RawMetaClient(memcache.connect(speaker.address, timeout=10.0)) as client:
        version = tuple(int(part) for part in client.version().versions[0].split("."))
        for value in ATTACKS:
            if version >= (1, 6, 27):
                assert client.meta_set(Item("a", value), new_cas=1 << 40).ok
                assert client.get("a").cas == 1 << 40
            else:
                with pytest.raises(memcache.NotSupportedError, match="the flag E"):
                    client.meta_set(Item("a", value), new_cas=1 << 40)
                assert client.set(Item("a", value)).ok
            assert speaker.is_unharmed()


# What is asked, and when


@pytest.mark.parametrize("protocol", RAW)
def test_a_server_is_asked_once_a_connection(protocol: Any) -> None:
    with FakeServer(DIALECTS["1.6.45"]) as fake:
        channel = memcache.connect(fake.address, timeout=10.0)
        with RAW[protocol](channel, prefix="our:") as client:
            assert client.set(Item("a", b"first")).ok
            first = bytes(fake.received)
            assert client.set(Item("a", b"other")).ok
            second = bytes(fake.received)[len(first) :]
            probe = b"\r\n\r\n" if protocol == "binary" else b"\r\ngodropbox\r\n"
            assert first.count(probe) == 1
            assert first.index(probe) < first.index(b"first")
            assert protocol == "binary" or first.count(b" our:godropbox-") == 1
            assert len(second) < 60
            assert probe not in second
        assert set(fake.store.items) == {b"our:a"}


def test_each_kind_of_header_is_asked_for_by_itself() -> None:
    with FakeServer(DIALECTS["1.6.45"]) as fake:
        with memcache.RawAsciiClient(memcache.connect(fake.address, timeout=10.0)) as client:
            assert not client.get("a").found
            assert fake.received == b"gets a\r\n"
            calls: list[tuple[bytes, Callable[[], Any]]] = [
                (b"replace", lambda: client.add(Item("a", b"1"))),
                (b"append", lambda: client.append("a", b"2")),
                (b"prepend", lambda: client.prepend("a", b"3")),
                (b"cas", lambda: client.cas(Item("a", b"4", cas=99))),
            ]
            for word, call in calls:
                before = len(fake.received)
                call()
                assert bytes(fake.received[before:]).startswith(word + b" godropbox-")
        assert fake.store.items[b"a"].value == b"312"


def test_the_connection_stays_usable_where_it_is_in_step() -> None:
    with (
        FakeServer(DIALECTS["1.5.22"]) as fake,
        memcache.RawMetaClient(memcache.connect(fake.address, timeout=10.0)) as client,
    ):
        with pytest.raises(memcache.NotSupportedError, match=r"version 1\.5\.22: it does not"):
            client.set(Item("a", b"flush_all"))
        assert client.is_valid
        assert client.version().versions == {0: "1.5.22"}
        assert client.flush().ok


def test_a_batch_asks_only_the_shards_that_are_still_to_be_asked() -> None:
    with FakeServer(DIALECTS["1.6.45"]) as one, FakeServer(DIALECTS["1.6.45"]) as other:
        addresses = [one.address, other.address]
        manager = memcache.StaticShardManager(addresses, lambda key, n: int(key[-1]))
        with memcache.ShardedClient(manager, memcache.AsciiProtocol(), 10.0) as client:
            assert all(r.ok for r in client.set_multi([Item("a0", b"1"), Item("a1", b"1")]))
            token = client.get("a1").cas
            asked = [fake.received.count(b"godropbox\r\n") for fake in (one, other)]
            assert asked == [1, 1]
            # The first shard's part has no token, the second's does.
            items = [Item("a0", b"2"), Item("a1", b"2", cas=token), Item("b1", b"flush_all")]
            assert all(r.ok for r in client.set_multi(items))
            asked = [fake.received.count(b"godropbox\r\n") for fake in (one, other)]
            assert asked == [1, 2]
            assert other.store.items[b"a1"].value == b"2"
            assert (one.store.flushes, other.store.flushes) == (0, 0)


def test_a_server_that_is_another_after_a_restart_is_asked_again() -> None:
    with FakeServer(DIALECTS["1.6.45"]) as fake:
        with memcache.RawMetaClient(memcache.connect(fake.address, timeout=10.0)) as client:
            assert client.set(Item("a", b"1")).ok
        fake.dialect = DIALECTS["1.6.9"]
        with (
            memcache.RawMetaClient(memcache.connect(fake.address, timeout=10.0)) as client,
            pytest.raises(memcache.NotSupportedError, match=r"1\.6\.9"),
        ):
            client.set(Item("a", b"flush_all"))
        assert fake.store.items[b"a"].value == b"1"


@pytest.mark.parametrize("protocol", ["ascii", "binary", "meta"])
def test_a_stale_connection_that_was_not_asked_yet_is_renewed(
    protocol: Any, tmp_path: Path
) -> None:
    with running("tcp", tmp_path) as server:
        port = int(server.address.split(":")[1])
        client = memcache.Client(server.address, protocol=protocol, timeout=10.0)
        client.stats()  # which needs no meta command
    with running("tcp", tmp_path, port), client:
        assert client.set("a", b"flush_all")
        assert client.get("a") == b"flush_all"


def test_a_stale_connection_is_no_server_that_lacks_a_flag(tmp_path: Path) -> None:
    def store(protocol: Any, key: Any) -> Any:
        return protocol.meta_set(Item(key, b"2"), new_cas=12345)

    with FakeServer(DIALECTS["1.6.45"]) as fake:
        manager = memcache.StaticShardManager([fake.address], lambda key, n: 0)
        with memcache.ShardedClient(manager, memcache.MetaProtocol(), 10.0) as client:
            assert client.set(Item("a", b"1")).ok
            fake.hang_up()
            assert client.run("a", store).ok
            with memcache.RawMetaClient(memcache.connect(fake.address, timeout=10.0)) as raw:
                assert raw.set(Item("b", b"1")).ok
                fake.hang_up()
                with pytest.raises(memcache.ConnectionLostError):
                    raw.connection.run(store(memcache.MetaProtocol(), "b"))


def test_a_server_that_loses_the_token_of_md_is_not_asked_with_one() -> None:
    for name, works in (("1.6.12", False), ("1.6.17", True), ("1.6.45", True)):
        with (
            FakeServer(DIALECTS[name]) as fake,
            memcache.RawMetaClient(memcache.connect(fake.address, timeout=10.0)) as client,
        ):
            token = client.set(Item("a", b"1")).cas
            delete = memcache.MetaProtocol().meta_delete("a", cas=token)
            if works:
                assert client.connection.run(delete).ok
            else:
                with pytest.raises(memcache.NotSupportedError, match=r"1\.6\.12.*md.*1\.6\.13"):
                    client.connection.run(delete)
            assert client.delete("a").status is (
                ResponseStatus.KEY_NOT_FOUND if works else ResponseStatus.OK
            )


def test_all_shards_that_are_to_be_asked_are_asked_at_once() -> None:
    """The first part has nothing to send; the second answers only when the third was asked."""
    asked = threading.Event()
    ends: list[threading.Thread] = []

    def serve(far: socket.socket, shard: str) -> None:
        with far:
            while data := far.recv(1 << 16):
                if shard == "2":
                    asked.set()
                elif not asked.wait(5.0):
                    return
                far.sendall(b"STORED\r\n" if data.startswith(b"set") else b"NOT_STORED\r\n")

    def dial(address: str) -> memcache.Connection:
        near, far = socket.socketpair()
        ends.append(threading.Thread(target=serve, args=(far, address[0])))
        ends[-1].start()
        return memcache.Connection(near, 10.0)

    options = memcache.ShardOptions(open=dial)
    addresses = [f"{shard}.0.0.1:11211" for shard in range(3)]
    with memcache.StaticShardManager(addresses, lambda key, n: int(key[-1]), options) as manager:
        client = memcache.ShardedClient(manager, memcache.AsciiProtocol(), 10.0)
        items = [Item("k0", 12345), Item("k1", b"v"), Item("k2", b"v")]  # type: ignore[arg-type]
        bad, *good = client.set_multi(items)
    for end in ends:
        end.join(10.0)
    assert isinstance(bad.error, memcache.InvalidTypeError)
    assert [each.error for each in good] == [None, None]


def test_a_client_that_is_closed_while_it_asks_says_so() -> None:
    near, far = socket.socketpair()
    client = memcache.RawAsciiClient(near, timeout=10.0)

    def serve() -> None:
        assert far.recv(1 << 16)
        client.close()
        far.close()

    end = threading.Thread(target=serve)
    end.start()
    with pytest.raises((memcache.NetworkError, memcache.ClientClosedError)):
        client.set(Item("a", b"1"))
    end.join(10.0)


def test_a_busy_server_behind_a_proxy_is_asked_again_or_known() -> None:
    """SERVER_ERROR is no proof that a command is unknown; that its value was swallowed is."""
    with (
        FakeServer(DIALECTS["nutcracker, dead"]) as fake,
        memcache.RawAsciiClient(memcache.connect(fake.address, timeout=10.0)) as client,
    ):
        assert client.set(Item("a", b"flush_all")).status is ResponseStatus.INTERNAL_ERROR
        asked = re.findall(rb"replace (\S+) 0 1 9\r\ngodropbox\r\n", fake.received)
        assert len(set(asked)) == 16
        assert not client.is_valid  # nobody knows if its values were swallowed
        assert b"flush_all" not in fake.received
    # One of a proxy's servers is dead, another lives.
    script = [b"SERVER_ERROR no\r\n", b"SERVER_ERROR no\r\n", b"NOT_STORED\r\n", b"STORED\r\n"]
    with memcache.RawAsciiClient(Scripted(script)) as client:
        assert client.set(Item("a", b"1")).ok
    # One that says it of values that it ran.
    script = [b"SERVER_ERROR no\r\nSERVER_ERROR no\r\n", b"SERVER_ERROR no\r\n"] * 16
    with memcache.RawAsciiClient(Scripted(script)) as client:
        assert client.set(Item("a", b"flush_all")).status is ResponseStatus.INTERNAL_ERROR
        assert not client.is_valid
    assert not any(b"flush_all" in sent for sent in Scripted.sent)
    script = [b"SERVER_ERROR busy\r\nERROR\r\n", b"VERSION 1\r\n"]
    with memcache.RawAsciiClient(Scripted(script)) as client:
        response = client.set(Item("a", b"flush_all"))
        assert (response.status, str(response.error)) == (
            ResponseStatus.INTERNAL_ERROR,
            "SERVER_ERROR busy",
        )
        assert client.is_valid
    assert not any(b"flush_all" in sent for sent in Scripted.sent)


class Scripted:
    """A channel that answers each send with the next of what it is given, a byte at a time."""

    sent: ClassVar[list[bytes]] = []

    def __init__(self, answers: list[bytes]) -> None:
        Scripted.sent = []
        self._answers = answers
        self._coming = b""

    def sendall(self, data: Any) -> None:
        Scripted.sent.append(bytes(data))
        self._coming += self._answers.pop(0) if self._answers else b""

    def recv_into(self, buffer: Any) -> int:
        if not self._coming:
            return 0
        buffer[:1], self._coming = self._coming[:1], self._coming[1:]
        return 1

    def settimeout(self, seconds: float | None) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("protocol", "answers", "kind", "words"),
    [
        ("ascii", [b"ERROR\r\n", b"ERROR\r\nVERSION 9\r\n"], "NotSupportedError", "version 9"),
        ("ascii", [b"ERROR\r\nERROR\r\n", b"ERROR\r\n"], "NotSupportedError", "unknown version"),
        ("ascii", [b"-ERR unknown command\r\n"], "NotSupportedError", "-ERR unknown"),
        ("ascii", [b"WHAT\r\n"], "ReplyError", "does not answer the probe"),
        ("ascii", [b"NOT_STORED"], "ConnectionLostError", "closed"),
        ("ascii", [b""], "ConnectionLostError", "closed"),
        ("ascii", [b"x" * 9000], "ReplyError", "does not answer the probe"),
        ("meta", [b"VERSION 9\r\n", b""], "NotSupportedError", "it closed the connection"),
        ("meta", [b"VERSION 9\r\n", b"N"], "ConnectionLostError", "closed"),
        ("meta", [b""], "ConnectionLostError", "closed"),
        ("meta", [b"ERROR\r\n", b"-ERR\r\n-ERR\r\n"], "NotSupportedError", "unknown version"),
        ("meta", [b"VERSION 9\r\n", b"NF O2\r\n"], "ReplyError", "does not answer the probe"),
        ("meta", [b"VERSION 9\r\n", b"HD O1\r\n"], "ReplyError", "does not answer the probe"),
        ("binary", [b"ERROR\r\n"], "NotSupportedError", "the binary protocol"),
        ("binary", [b"-ERR\r\n"], "NotSupportedError", "the binary protocol"),
        ("binary", [b"\0" * 24], "ReplyError", "does not answer the probe"),
        ("binary", [b"\x81\x0b" + bytes(22)], "ReplyError", "does not answer the probe"),
        ("binary", [b"\x81\x0b"], "ConnectionLostError", 'use protocol="ascii"'),
    ],
)
def test_what_a_probe_makes_of_answers(
    protocol: Any, answers: list[bytes], kind: str, words: str
) -> None:
    client = RAW[protocol](Scripted(answers))
    with pytest.raises(getattr(memcache, kind), match=words):
        client.set(Item("a", b"flush_all"))
    assert not any(b"flush_all" in sent for sent in Scripted.sent)


def test_a_server_that_wants_a_login_is_sent_no_value() -> None:
    refused = dialects.Dialect("1.6.18", must_log_in=True)
    for name in ("ascii", "meta"):
        with FakeServer(refused) as fake:
            with RAW[name](memcache.connect(fake.address, timeout=10.0)) as client:
                response = client.set(Item("a", b"ann secret"))
                assert response.status is ResponseStatus.AUTHENTICATION_ERROR
            assert b"ann secret" not in fake.received


def test_a_batch_before_a_login_is_refused_key_by_key() -> None:
    with (
        FakeServer(dialects.Dialect("1.6.18", must_log_in=True)) as fake,
        memcache.RawMetaClient(memcache.connect(fake.address, timeout=10.0)) as client,
    ):
        found = client.get_multi(["a", "b"])
        statuses = {response.status for response in found.values()}
        assert statuses == {ResponseStatus.AUTHENTICATION_ERROR}


def test_a_login_is_sent_to_none_but_a_server_that_takes_it() -> None:
    who = memcache.Credentials("flush_all", "")
    with FakeServer(DIALECTS["redis"]) as fake:
        with pytest.raises(memcache.NotSupportedError, match="replace"):
            memcache.connect(fake.address, timeout=10.0, auth=who)
        assert fake.store.flushes == 0
        assert b"flush_all" not in fake.received
    with FakeServer(dialects.Dialect("1.6.45", must_log_in=True)) as fake:
        who = memcache.Credentials("ann", "secret")
        with memcache.RawMetaClient(memcache.connect(fake.address, timeout=10.0, auth=who)) as ok:
            assert ok.set(Item("a", b"1")).ok


# The fakes


@pytest.mark.parametrize("name", dialects.recordings())
@pytest.mark.parametrize("piece", [1, 65536])
def test_a_fake_answers_as_the_real_one_did(name: str, piece: int) -> None:
    dialect = DIALECTS[name]
    store = Store()
    rows = dialects.recordings()[name]
    assert [sent for sent, _ in rows] == CONVERSATIONS
    for sent, answered in rows:
        conversation = Conversation(dialect, store)
        end = bytes.fromhex("8007" + "00" * 22) if sent[:1] == b"\x80" else b"quit\r\n"
        whole = sent + end
        got = b""
        if dialect.kind == "proxy":  # what is lost depends on what has come
            got = conversation.feed(whole)
        else:
            for at in range(0, len(whole), piece):
                got += conversation.feed(whole[at : at + piece])
        assert dialects.normal(got, dialect.version) == answered, sent


@pytest.mark.parametrize("program", REAL)
def test_a_real_server_answers_as_it_was_recorded(program: str, tmp_path: Path) -> None:
    version = version_of(program)
    recorded = dialects.recordings().get(version)
    if recorded is None:
        return
    with running("tcp", tmp_path, program=program, extra=()) as server:
        for sent, answered in recorded:
            assert dialects.normal(converse(server.address, sent), version) == answered, sent


@pytest.mark.parametrize("protocol", RAW)
def test_a_parser_sees_one_byte_at_a_time(protocol: Any) -> None:
    for name, dialect in DIALECTS.items():
        with FakeServer(dialect, piece=1) as fake:
            speaker = Speaker(fake.address, fake)
            works = should_work(speaker, protocol)
            fake.store.put("set", b"canary", b"alive", 0, None, 0)
            for value in ATTACKS[:3]:
                with RAW[protocol](memcache.connect(fake.address, timeout=10.0)) as client:
                    errors = errors_of(OPERATIONS["set_multi"], client, value)
                assert works is not bool(errors), (name, errors)
                assert all(is_named(error, protocol) for error in errors), (name, errors)
                assert speaker.is_unharmed(), (name, value)
                assert not works or speaker.held(b"a") == value
