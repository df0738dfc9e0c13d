"""``FleetServers``: tokens, connections and shard states, over real servers."""

import os
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from caching.consist_support import (
    Caches,
    CountingChannel,
    Servers,
    Table,
    connected,
    dial,
    options,
    refuse,
)
from support.memcached import installed, running
from support.pools import fork

from godropbox import memcache
from godropbox.caching.consistency.protocol import (
    DONE,
    FAILED,
    FOREIGN,
    RECONNECTED,
    REFUSED,
    Add,
    CacheStep,
    Drop,
    Lease,
    Look,
    Place,
    Seen,
    Sentinel,
    Stored,
    Swap,
    Value,
    Writer,
)
from godropbox.caching.consistency.servers import FleetServers, Request
from godropbox.caching.consistent import ConsistentCacheOnStorage, WriteRefused
from godropbox.memcache import (
    Connection,
    Item,
    RawMetaClient,
    ShardOptions,
    ShardState,
    StaticShardManager,
)

# A server's replies to the first look: its version, that it knows the meta commands, and a miss.
KNOWS_META = [b"VERSION 1.6.40\r\n", b"NF O1\r\n", b"EN\r\n"]
ACTIVE, DOWN, WARM_UP = ShardState.ACTIVE, ShardState.DOWN, ShardState.WARM_UP


def place(servers: Servers, required: bool = True) -> Place:
    """Return the place of the first server."""
    return Place((0, servers.manager.fleet().shards[0].address), required)


def one(servers: FleetServers, step: Any, key: str = "a", expire: int = 60) -> Any:
    (outcome,) = servers.run([Request(key, step, expire)])
    return outcome


def test_every_kind_of_entry_comes_back(caches: Caches, raw: RawMetaClient) -> None:
    servers = caches.servers()
    assert one(servers, Look(None)) == Seen(None)
    sentinel = Sentinel((Writer(7, 1_800_000_000), Writer(2**64 - 1, 0)))
    for entry in (Value(b""), Value(b"x" * 1000), Lease(b"0123456789abcdef"), sentinel):
        stored = one(servers, Add(place(servers), entry))
        assert isinstance(stored, Stored)
        seen = one(servers, Look(place(servers)))
        assert (seen.entry, seen.token.cas) == (entry, stored.token.cas)
        assert raw.meta_get("a", details=True).ttl in (59, 60)
        assert one(servers, Add(place(servers), Value(b"other"))) is REFUSED
        assert one(servers, Drop(place(servers), stored.token)) is DONE
        assert one(servers, Drop(place(servers), stored.token)) is REFUSED
        assert one(servers, Swap(place(servers), stored.token, entry)) is REFUSED
    raw.set(Item("a", b"x", flags=3))
    assert one(servers, Look(None)).entry is FOREIGN


def test_a_token_is_of_one_entry_alone(caches: Caches) -> None:
    servers = caches.servers()
    first = one(servers, Add(None, Lease(b"mine")))
    second = one(servers, Swap(None, first.token, Value(b"1")))
    assert isinstance(second, Stored)
    assert one(servers, Swap(None, first.token, Value(b"2"))) is REFUSED
    assert one(servers, Drop(None, first.token)) is REFUSED
    assert one(servers, Look(None)).entry == Value(b"1")


def test_steps_of_many_keys_go_out_together(caches: Caches) -> None:
    servers = caches.servers()
    keys = [f"key{n}" for n in range(20)]
    stored = servers.run([Request(key, Add(None, Lease(b"mine"))) for key in keys])
    mixed: list[Request] = []
    for n, key in enumerate(keys):
        token = stored[n].token
        swap, drop = Swap(None, token, Value(b"1")), Drop(None, token)
        steps: list[CacheStep] = [Look(None), swap, drop, Add(place(servers), Value(b""))]
        mixed.append(Request(key, steps[n % 4]))
    outcomes = servers.run(mixed)
    assert all(outcome.entry == Lease(b"mine") for outcome in outcomes[::4])
    assert all(isinstance(outcome, Stored) for outcome in outcomes[1::4])
    assert outcomes[2::4] == [DONE] * 5
    assert outcomes[3::4] == [REFUSED] * 5
    assert servers.run([]) == []


# Tokens and connections


def test_a_token_is_not_trusted_over_another_connection(caches: Caches) -> None:
    servers = caches.servers()
    token = one(servers, Add(None, Lease(b"mine"))).token
    servers.cut()
    assert one(servers, Swap(None, token, Value(b"1"))) is RECONNECTED
    assert one(servers, Drop(None, token)) is RECONNECTED
    assert one(servers, Look(None)).entry == Lease(b"mine")


def test_a_lease_that_is_still_there_may_be_filled_after_a_reconnection(
    caches: Caches,
) -> None:
    table = Table(a=b"1")
    servers = caches.servers()
    cache = caches.over(table, servers=servers)
    table.after_reading = servers.cut
    assert cache.get("a") == b"1"
    table.after_reading = lambda: None
    assert cache.statistics().fills == 1
    assert cache.get("a") == b"1"
    assert cache.statistics().hits == 1


def test_a_sentinel_that_is_still_there_is_found_after_a_reconnection(caches: Caches) -> None:
    table = Table()
    servers = caches.servers()
    cache = caches.over(table, servers=servers)
    table.after_writing = servers.cut
    cache.set("a", b"1")
    assert (cache.statistics().acknowledged, cache.statistics().sentinels_lost) == (1, 0)


def test_a_token_that_comes_again_with_a_new_server_fills_nothing(tmp_path: Path) -> None:
    """The server restarts, and its count of stores comes to where the reader's token was."""
    first = running("unix", tmp_path)
    server = first.__enter__()
    second: list[Any] = []

    def restart() -> None:
        table.after_reading = lambda: None
        server.process.kill()
        server.process.wait()
        Path(server.address[5:]).unlink()
        again = running("unix", tmp_path)
        second.append(again)
        with dial(again.__enter__()) as raw:
            # The value that a writer left there since, under the token that the lease had.
            assert raw.set(Item("a", b"new", flags=0x64620001)).cas == taken[0]

    class Spy(Servers):
        def run(self, requests: Any) -> list[Any]:
            outcomes = super().run(requests)
            taken.extend(o.token.cas for o in outcomes if isinstance(o, Stored))
            return outcomes

    taken: list[int] = []
    table = Table(a=b"old")
    with Caches(server) as caches, Spy([server.address]) as spy:
        table.after_reading = restart
        cache = caches.over(table, servers=spy)
        assert cache.get("a") == b"old"
        assert len(taken) == 1
        assert cache.statistics().fills_lost == 1
        assert cache.get("a") == b"new"
    for manager in (*second, first):
        manager.__exit__(None, None, None)


class LateChannel:
    """A channel that is begun when it is made, and connected by the first use."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._made: Any = None

    @property
    def _channel(self) -> Any:
        if self._made is None:
            self._made = memcache.connect(self._address)
        return self._made

    def sendall(self, data: Any) -> None:
        self._channel.sendall(data)

    def recv_into(self, buffer: Any) -> int:
        size: int = self._channel.recv_into(buffer)
        return size

    def settimeout(self, seconds: float | None) -> None:
        self._channel.settimeout(seconds)

    def close(self) -> None:
        if self._made is not None:
            self._made.close()


def test_a_token_is_not_trusted_over_a_connection_that_was_made_later_than_begun(
    caches: Caches, raw: RawMetaClient
) -> None:
    early = Connection(LateChannel(caches.server.address))
    waiting = [early, connected(caches.server)]
    servers = caches.servers(lambda: waiting.pop())
    token = one(servers, Add(None, Lease(b"mine"))).token
    assert early.opened < token.moment  # in between, another process may have come
    servers.cut()
    assert one(servers, Swap(None, token, Value(b"1"))) is RECONNECTED
    assert one(servers, Drop(None, token)) is RECONNECTED
    seen = one(servers, Look(None))
    assert seen.entry == Lease(b"mine")
    assert isinstance(one(servers, Swap(None, seen.token, Value(b"1"))), Stored)


def test_a_token_is_trusted_over_another_connection_that_was_there(caches: Caches) -> None:
    servers = caches.servers()
    pool = servers.manager.fleet().shards[0].pool
    one(servers, Look(None))
    with pool.get() as loan:
        first = loan.handle
        one(servers, Look(None))  # over a second connection
        second = pool.get()
    with second:
        token = one(servers, Add(None, Lease(b"mine"))).token  # over the first
    with pool.get() as loan:
        assert loan.handle is not first  # the next step goes over the second
    assert isinstance(one(servers, Swap(None, token, Value(b"1"))), Stored)


def test_a_connection_that_ended_while_idle_costs_no_read(tmp_path: Path) -> None:
    first = running("unix", tmp_path)
    server = first.__enter__()
    with Caches(server) as caches:
        cache = caches.over(Table(a=b"1"))
        assert cache.get("a") == b"1"
        server.process.kill()
        server.process.wait()
        Path(server.address[5:]).unlink()
        with running("unix", tmp_path):
            assert [cache.get("a"), cache.get("a")] == [b"1"] * 2
        assert (cache.statistics().fills, cache.statistics().hits) == (2, 1)
        assert cache.statistics().failed_looks == 0
    first.__exit__(None, None, None)


def test_a_server_without_tokens_is_refused(tmp_path: Path) -> None:
    """memcached -C counts nothing, and all tokens are 0: which to a store means no token."""
    program = tmp_path / "tokenless"
    program.write_text(f'#!/bin/sh\nexec {installed()} -C "$@"\n')
    program.chmod(0o700)
    with running("unix", tmp_path, program=str(program)) as server:
        with dial(server) as raw:
            raw.set(Item("a", b"1"))
        expected = f"the server at {re.escape(server.address)} has no tokens"
        with (
            Servers([server.address]) as servers,
            pytest.raises(memcache.NotSupportedError, match=expected),
        ):
            one(servers, Look(None))


# States


def test_where_writes_must_be_known(caches: Caches) -> None:
    servers = caches.servers()
    for state, places in (
        (ACTIVE, (place(servers),)),
        (ShardState.WRITE_ONLY, (place(servers),)),
        (WARM_UP, (place(servers, False),)),
        (DOWN, ()),
    ):
        servers.use(state)
        assert servers.places("key0") == places


def test_reads_go_to_active_servers_alone(caches: Caches) -> None:
    table = Table(key0=b"1")
    servers = caches.servers()
    cache = caches.over(table, servers=servers)
    assert [cache.get("key0"), cache.get("key0")] == [b"1"] * 2
    token = one(servers, Add(None, Lease(b"mine")), "other0").token
    for state in (ShardState.WRITE_ONLY, WARM_UP, DOWN):
        servers.use(state)
        assert one(servers, Look(None), "key0") is FAILED
        assert one(servers, Add(None, Lease(b"mine")), "key0") is FAILED
        assert one(servers, Swap(None, token, Value(b"1")), "other0") is FAILED
        assert cache.get("key0") == b"1"
    assert (cache.statistics().hits, cache.statistics().failed_looks) == (1, 3)


def test_a_server_that_warms_up_holds_no_values(caches: Caches, raw: RawMetaClient) -> None:
    servers = caches.servers()
    servers.use(WARM_UP)
    cache = caches.over(Table(), servers=servers)
    seen: list[Any] = []
    cache._storage.after_writing = lambda: seen.append(raw.get("key0").flags)
    cache.set("key0", b"1")
    assert seen == [0x64620003]
    assert not raw.get("key0").found


def test_a_state_that_changes_during_a_write(caches: Caches, raw: RawMetaClient) -> None:
    """The server is back in use, with an old value, when the storage has been written."""
    table = Table(key0=b"old")
    servers = caches.servers()
    servers.use(DOWN)
    cache = caches.over(table, servers=servers)
    other = caches.over(table)

    def use() -> None:
        servers.use(ACTIVE)
        assert other.get("key0") == b"old"

    table.before_writing = use
    cache.set("key0", b"new")
    assert cache.statistics().sentinels_lost == 1
    assert other.get("key0") == b"new"


# Servers that fail


def test_a_dead_server_fails_its_own_steps_alone(caches: Caches) -> None:
    servers = caches.servers(lambda: connected(caches.server), refuse)
    requests = [Request(key, Look(None)) for key in ("a0", "a1", "b0", "b1")]
    assert servers.run(requests) == [Seen(None), FAILED, Seen(None), FAILED]
    cache = caches.over(Table(a0=b"1", a1=b"2"), servers=servers)
    assert cache.get_multi(["a0", "a1"]) == {"a0": b"1", "a1": b"2"}
    assert not servers.flush()
    for state in (DOWN, WARM_UP):
        servers.use(ACTIVE, state)
        assert servers.flush()


def test_an_error_names_the_shard_and_counts_against_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    opened: list[str] = []

    def fail(address: str) -> Connection:
        opened.append(address)
        return refuse()

    limits = ShardOptions(open=fail, eject_after=1, clock=lambda: 0.0)
    with StaticShardManager(["shard0:1"], options=limits) as manager:
        cache = ConsistentCacheOnStorage(FleetServers(manager), Table(a=b"1"), options())
        assert [cache.get("a"), cache.get("a")] == [b"1"] * 2
        assert "shard 0 at shard0:1: nobody listens" in caplog.text
        assert manager.fleet().shards[0].is_ejected
        assert len(opened) == 1  # the second read did not wait for it
        with pytest.raises(WriteRefused):  # a write does not pass it over
            cache.set("a", b"2")
        assert len(opened) == 2


def test_all_servers_are_asked_at_once() -> None:
    """Neither server replies before both were asked."""

    def serve() -> None:
        with listeners[0].accept()[0] as one_side, listeners[1].accept()[0] as other_side:
            for reply in KNOWS_META:
                for channel in (one_side, other_side):
                    channel.recv(4096)
                for channel in (one_side, other_side):
                    channel.sendall(reply)

    with (
        socket.create_server(("127.0.0.1", 0)) as one_listener,
        socket.create_server(("127.0.0.1", 0)) as other_listener,
    ):
        listeners = (one_listener, other_listener)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with Servers([f"127.0.0.1:{each.getsockname()[1]}" for each in listeners]) as servers:
            requests = [Request(key, Look(None)) for key in ("a0", "a1")]
            assert servers.run(requests) == [Seen(None)] * 2
        thread.join()


def test_a_server_that_dies_while_it_is_asked_what_it_knows_is_no_other_kind() -> None:
    def serve() -> None:
        for replies in (KNOWS_META[:1], KNOWS_META):
            with listener.accept()[0] as channel:
                for reply in replies:
                    channel.recv(4096)
                    channel.sendall(reply)
                channel.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with Servers([f"127.0.0.1:{listener.getsockname()[1]}"]) as servers:
            assert one(servers, Look(None)) == Seen(None)
        thread.join()


def test_a_batch_over_a_channel_that_takes_it_in_parts(caches: Caches) -> None:
    table = Table(**{f"key{n}": b"%d" % n for n in range(400)})
    servers = caches.servers(lambda: Connection(CountingChannel(caches.server.address)))
    cache = caches.over(table, servers=servers)
    values = dict(table.data)
    assert cache.get_multi(values) == cache.get_multi(values) == values
    cache.set_multi(values)
    assert cache.get_multi(values) == values
    statistics = cache.statistics()
    assert (statistics.fills, statistics.hits, statistics.acknowledged) == (400, 800, 400)


def test_a_value_that_is_too_large_stays_out(caches: Caches, raw: RawMetaClient) -> None:
    table = Table()
    cache = caches.over(table, options(settle_limit=1.0))
    cache.set("a", b"x" * 2_000_000)
    assert not raw.get("a").found
    assert cache.get("a") == table.data["a"]
    assert cache.statistics().acknowledged == 1


def test_threads_share_the_connections(caches: Caches) -> None:
    table = Table(**{f"key{n}": b"%d" % n for n in range(5)})
    cache = caches.over(table, options(settle_limit=5.0))
    wrong: list[Any] = []

    def work(number: int) -> None:
        for turn in range(50):
            key = f"own{number}"
            cache.set(key, b"%d" % turn)
            if cache.get(key) != b"%d" % turn or cache.get("key3") != b"3":
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert cache.statistics().acknowledged == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_opens_connections_of_its_own(caches: Caches) -> None:
    cache = caches.over(Table(a=b"1"))
    assert [cache.get("a"), cache.get("a")] == [b"1"] * 2
    child = fork()
    if child == 0:
        hits = cache.get("a") == b"1" and cache.statistics().hits
        os._exit(0 if hits == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert cache.get("a") == b"1"
    assert cache.statistics().hits == 2
