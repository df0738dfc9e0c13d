"""``iter_keys``: the keys that servers have, one server after the other, as they come."""

import asyncio
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.blocking import Blocking
from support.dialects import DIALECTS, FakeServer
from support.memcached import PASSWORD, USER, Server, need_tokens
from support.server_fleets import ServerFleet

from godropbox.memcache import (
    BaseShardManager,
    Client,
    ConnectionLostError,
    Credentials,
    DeadlineExceededError,
    InvalidArgumentError,
    KeyInfo,
    NetworkError,
    NotSupportedError,
    ReplyError,
    ResponseStatus,
    ServerError,
    ShardState,
)
from godropbox.memcache.aio import AsyncClient
from godropbox.memcache.protocol.dump import Dump
from godropbox.memcache.testing import MockClient

from .conftest import tls_context
from .test_client import maker

Servers = Callable[[str], Server]
LINE = b"key=a%20b%ff exp=-1 la=1795936595 cas=1 fetch=no cls=1 size=72"
MAKES: list[Callable[..., Any]] = [
    Client,
    lambda *servers, **options: Blocking(AsyncClient(*servers, **options)),
]
INFO = KeyInfo(b"a b\xff", 3, None, 1795936595, 1, 72, 1, False)


# The reply, as it comes


@pytest.mark.parametrize(
    ("reply", "keys"),
    [
        (b"END\r\n", []),
        (b"OK\r\nEND\r\n", []),
        (b"NOTSTARTED no items to crawl\r\n", []),
        (LINE + b"\nEND\r\n", [INFO]),
        (b"OK\r\n" + LINE + b" flags=5 \nEND\r\n", [INFO._replace(flags=5)]),
        (
            b"key=k exp=1795936696 la=5 cas=2 fetch=yes cls=1 size=61 more=1 odd\n" * 2
            + b"END\r\n",
            [KeyInfo(b"k", 3, 1795936696, 5, 2, 61, 1, True)] * 2,
        ),
        (
            b"key=k exp=9 la=5 cas=2 fetch=yes cls=1 size=61 ext_page=1 flags=7 \n"
            b"key=k exp=9 la=5 cas=2 fetch=yes cls=1 size=61 flags=7 ext_page=1 ext_offset=2 \n"
            b"key=k flags=7 cls=1 exp=9 la=5 cas=2 fetch=yes size=61\nEND\r\n",
            [KeyInfo(b"k", 3, 9, 5, 2, 61, 1, True, 7)] * 3,
        ),
    ],
)
def test_a_reply_is_read_at_any_cut(reply: bytes, keys: list[KeyInfo]) -> None:
    for size in (1, 7, len(reply)):
        dump = Dump(3, "host", "hash")
        found = []
        for at in range(0, len(reply), size):
            assert not dump.is_over
            found += dump.feed(reply[at : at + size])
        assert dump.is_over
        assert found == keys


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (b"ERROR\r\n", NotSupportedError, "host lists no keys: to lru_crawler metadump it says"),
        (b"CLIENT_ERROR lru crawler disabled\r\n", NotSupportedError, "crawler disabled"),
        (b"ERROR metadump not allowed\r\n", NotSupportedError, "metadump not allowed"),
        (b"BADCLASS invalid class id\r\n", NotSupportedError, "invalid class id"),
        (b"BUSY currently processing\r\n", ServerError, "BUSY .*: a server lists its keys to one"),
        (LINE + b"\nERROR locked try again later\r\n", ServerError, "locked try again later"),
        (b"CLIENT_ERROR unauthenticated\r\n", ServerError, "CLIENT_ERROR unauthenticated"),
        (b"SERVER_ERROR out of memory\r\n", ServerError, "out of memory"),
        (LINE + b"\nCLIENT_ERROR something\r\n", ServerError, "something"),
        (b"VALUE k 0 1\r\n", ReplyError, "no line of a list of keys: b'VALUE k 0 1'"),
        (LINE + b"\nOK\r\n", ReplyError, "no line of a list of keys"),
        (b"key=k exp=soon la=5 cas=2 fetch=yes cls=1 size=61\n", ReplyError, "exp=soon"),
        (b"key=k exp=5 la=5 cas=2 fetch=yes cls=1\n", ReplyError, "no line of a list of keys"),
        (b"END\r\nEND\r\n", ReplyError, "something follows"),
        (b"END\r\nE", ReplyError, "something follows"),
        (b"x" * 5000, ReplyError, "a line of over 4096 bytes"),
    ],
)
def test_what_is_no_list_of_keys_says_so(reply: bytes, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        Dump(3, "host", "lru").feed(reply)
    assert type(caught.value) is kind


# Real servers


@contextmanager
def both(servers: Servers, **options: Any) -> Iterator[list[Any]]:
    addresses = [servers("tcp").address, servers("unix").address]
    with (
        Client(addresses, timeout=10.0, **options) as blocking,
        Blocking(AsyncClient(addresses, timeout=10.0, **options)) as waiting,
    ):
        yield [blocking, waiting]


def names(infos: Any) -> set[bytes]:
    listed = [info.key for info in infos]
    assert len(listed) == len(set(listed))
    return set(listed)


@pytest.mark.parametrize("protocol", ["meta", "ascii", "binary"])
@pytest.mark.parametrize("by", ["hash", "lru"])
def test_every_key_is_listed_once(servers: Servers, protocol: Any, by: Any) -> None:
    odd: list[str | bytes] = ["\u00fc%/+=&", "%41", "a" * 250, "key=x", b"\xff\xfe"]
    with both(servers, protocol=protocol) as clients:
        clients[0].flush_all()
        for client in clients:
            assert list(client.iter_keys(by=by)) == []
        keys = [*odd, *(f"key{i}" for i in range(2000))]
        clients[0].set_many(dict.fromkeys(keys, b"12345"), 100)
        wire = {key if isinstance(key, bytes) else key.encode() for key in keys}
        for client in clients:
            infos = list(client.iter_keys(by=by))
            if by == "hash":
                assert names(infos) == wire
            else:  # items that change lists meanwhile may be missed, or come twice
                found = {info.key for info in infos}
                assert found <= wire
                assert len(found) > 0.9 * len(wire)
            assert {info.shard for info in infos} == {0, 1}


def test_what_is_known_of_a_key(servers: Servers) -> None:
    need_tokens()
    with both(servers) as clients:
        client = clients[0]
        client.flush_all()
        client.set("key", "text", 100)
        client.set("ever", 1)
        _, token = client.gets("key")
        for each in clients:
            infos = {info.key: info for info in each.iter_keys()}
            info = infos[b"key"]
            assert info.cas == token
            assert info.expires is not None
            assert 98 <= info.expires - info.last_access <= 101
            assert info.fetched
            assert not infos[b"ever"].fetched
            assert infos[b"ever"].expires is None
            assert info.flags in (None, 16)  # from memcached 1.6.24 on
            assert 50 < info.size < 80


def test_a_prefix_is_the_clients_own(servers: Servers) -> None:
    with both(servers) as plain, both(servers, prefix="\u00fc:") as prefixed:
        plain[0].flush_all()
        plain[0].set_many({"a": 1, "\u00fcber": 2, "\u00fc:c": 3})
        prefixed[0].set_many({"a": 4, "b": 5})
        for client in prefixed:
            infos = list(client.iter_keys())
            assert names(infos) == {b"a", b"b", b"c"}
            assert client.get_many(info.key for info in infos) == {b"a": 4, b"b": 5, b"c": 3}
            assert names(client.iter_keys(all_prefixes=True)) == names(plain[0].iter_keys())
        for client in plain:
            assert len(list(client.iter_keys())) == 5


def test_iterators_are_lazy_and_may_be_left(servers: Servers) -> None:
    """The first keys come before the server has sent the last, and it is free again at once."""
    with both(servers) as clients:
        client = clients[0]
        client.flush_all()
        client.set_many({f"{i:0200}": 1 for i in range(30_000)})
        infos = client.iter_keys()
        first = list(itertools.islice(infos, 100))
        with pytest.raises(
            ServerError, match=r"shard 0 at .*: BUSY .*one client at a time"
        ) as busy:
            list(client.iter_keys())
        assert busy.value.fields["status"] is ResponseStatus.BUSY
        assert busy.value.fields["shard"] == 0
        assert client.get(first[0].key) == 1
        infos.close()
        assert len(until_free(client)) == 30_000
        assert list(infos) == []
        waiting = clients[1]

        async def leave(inner: AsyncClient) -> KeyInfo:
            async with aclosing(inner.iter_keys()) as found:
                return await anext(found)

        assert waiting._loop.wait(leave, waiting.inner).key == first[0].key
        assert len(until_free(client)) == 30_000
        client.flush_all()


def until_free(client: Any) -> list[KeyInfo]:
    """Return the keys, once the server has seen that whom it listed them for is gone."""
    for _ in range(10_000):
        with suppress(ServerError):
            return list(client.iter_keys())
    raise AssertionError("the server stays busy")


@pytest.mark.parametrize("kind", ["tls", "ascii-auth"])
def test_tls_and_logins(servers: Servers, kind: str, tmp_path: Path) -> None:
    server = servers(kind)
    options: dict[str, Any] = {"connect_timeout": 10.0, "timeout": 10.0}
    if kind == "tls":
        options["tls"] = tls_context(server, tmp_path)
    else:
        options["auth"] = Credentials(USER, PASSWORD)
    with (
        Client(server.address, **options) as client,
        Blocking(AsyncClient(server.address, **options)) as waiting,
    ):
        client.flush_all()
        client.set_many({"a": 1, "b": 2})
        assert names(client.iter_keys()) == names(waiting.iter_keys()) == {b"a", b"b"}


@pytest.mark.parametrize("make", MAKES)
def test_a_login_that_is_refused(servers: Servers, make: Callable[..., Any]) -> None:
    who = Credentials(USER, "wrong")
    with (
        make(servers("ascii-auth").address, auth=who, timeout=10.0) as client,
        pytest.raises(ServerError, match="the login of 'ann' was refused"),
    ):
        list(client.iter_keys())


@pytest.mark.parametrize("make", MAKES)
def test_sasl_has_no_list(servers: Servers, make: Callable[..., Any]) -> None:
    who = Credentials(USER, PASSWORD, "sasl")
    with (
        make(servers("sasl").address, auth=who, protocol="binary") as client,
        pytest.raises(NotSupportedError, match="SASL"),
    ):
        list(client.iter_keys())


def test_wrong_uses(servers: Servers) -> None:
    with both(servers) as clients:
        with pytest.raises(InvalidArgumentError, match="by must be 'hash' or 'lru', got 'all'"):
            clients[0].iter_keys(by="all")
        with pytest.raises(InvalidArgumentError, match="by must be 'hash' or 'lru', got 'all'"):
            clients[1].iter_keys(by="all")
    with maker("raw meta", servers)() as raw, pytest.raises(NotSupportedError, match="raw client"):
        raw.iter_keys()


def test_a_mock_lists_its_keys() -> None:
    now = [1000.0]
    client = Client.over(MockClient(clock=lambda: now[0], prefix="p"), prefix="p")
    client.set_many({"a": 1, "b": b"12"}, 100)
    client.set("c", 1, 10)
    now[0] = 1050.0
    found = {info.key: info for info in client.iter_keys()}
    assert found.keys() == {b"a", b"b"}
    assert (found[b"a"].expires, found[b"a"].flags, found[b"b"].flags) == (1100, 4, 0)
    assert found[b"b"].size - found[b"a"].size == 1


def test_shards_that_are_down_are_left_out(servers: Servers) -> None:
    addresses = [servers("tcp").address, servers("unix").address]
    with BaseShardManager() as manager:
        manager.update_shard_states([(address, ShardState.ACTIVE) for address in addresses])
        client = Client(manager)
        client.flush_all()
        client.set_many({f"key{i}": i for i in range(20)})
        every = list(client.iter_keys())
        manager.update_shard_states(
            [(addresses[0], ShardState.DOWN), (addresses[1], ShardState.WRITE_ONLY)]
        )
        assert set(client.iter_keys()) == {info for info in every if info.shard == 1}


# Servers that misbehave


@contextmanager
def answering(
    reply: bytes, ends: bool = True, asked: threading.Event | None = None
) -> Iterator[str]:
    """A server that tells its version, gives this reply to the next line, and closes.

    `asked` is set when that line has come.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                held.append(peer)
                assert peer.recv(4096) == b"version\r\n"
                peer.sendall(b"VERSION 1.6.45\r\n")
                assert peer.recv(4096).startswith(b"lru_crawler metadump hash\r\n")
                if asked is not None:
                    asked.set()
                peer.sendall(reply)
                if ends:
                    peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for peer in held:
            peer.close()


@pytest.mark.parametrize("make", MAKES)
def test_a_proxy_lists_no_keys_and_goes_on_serving(make: Callable[..., Any]) -> None:
    """Were it taken for a failure, `eject_after` would make all its keys misses."""
    with (
        FakeServer(DIALECTS["nutcracker"]) as proxy,
        make(proxy.address, timeout=10.0, eject_after=1) as client,
    ):
        client.set("key", "value")
        with pytest.raises(NotSupportedError, match="it does not know the command lru_crawler"):
            list(client.iter_keys())
        assert client.get("key") == "value"


@pytest.mark.parametrize("make", MAKES)
def test_a_server_that_closes_before_it_is_asked_is_lost(make: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with make(address, timeout=10.0) as client, pytest.raises(ConnectionLostError):
            list(client.iter_keys())
        thread.join()


@pytest.mark.parametrize("make", MAKES)
def test_failures_name_the_shard(make: Callable[..., Any], tmp_path: Path) -> None:
    for reply, kind, words in (
        (b"", NotSupportedError, "shard 0 at {}, version 1.6.45: .* the command lru_crawler; it"),
        (LINE + b"\n", ConnectionLostError, "shard 0 at {}: the server closed the connection"),
        (b"ERROR\r\n", NotSupportedError, "shard 0 at {} lists no keys"),
        (b"what?\r\n", ReplyError, "shard 0 at {}: this is no line of a list of keys"),
    ):
        with answering(reply) as address, make(address, timeout=10.0) as client:
            with pytest.raises(kind, match=words.format(address)) as caught:
                list(client.iter_keys())
            assert caught.value.fields["shard"] == 0
            assert caught.value.fields["address"] == address
    with (
        answering(LINE + b"\n", ends=False) as address,
        make(address, timeout=0.1) as client,
        pytest.raises(DeadlineExceededError, match=f"shard 0 at {address}"),
    ):
        list(client.iter_keys())
    fleet = ServerFleet("tcp", 2, tmp_path)
    with closing(fleet), make(fleet.addresses, timeout=10.0) as client:
        fleet.kill(1)
        with pytest.raises(NetworkError, match=f"shard 1 at {fleet.addresses[1]}: "):
            list(client.iter_keys())


def test_a_slow_server_does_not_hold_up_the_loop() -> None:
    async def listed(address: str) -> list[KeyInfo]:
        async with AsyncClient(address, timeout=10.0) as client:
            task = asyncio.ensure_future(anext(client.iter_keys()))
            while not asked.is_set():
                await asyncio.sleep(0)
            for _ in range(100):
                await asyncio.sleep(0)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return []

    asked = threading.Event()
    with answering(b"OK\r\n", ends=False, asked=asked) as address:
        assert asyncio.run(listed(address)) == []
