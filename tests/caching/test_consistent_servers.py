"""``MetaServers``: tokens, connections and shard states, over real servers."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from caching.consist_support import Caches, Table, dial, options
from support.memcached import running

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
from godropbox.caching.consistency.servers import MetaServers, Request
from godropbox.caching.consistent import WriteRefused
from godropbox.memcache import Item, RawMetaClient

PLACE = Place(0)


def refuse() -> RawMetaClient:
    raise memcache.ConnectionLostError("nobody listens")


def one(servers: MetaServers, step: Any, key: str = "a", expire: int = 60) -> Any:
    (outcome,) = servers.run([Request(key, step, expire)])
    return outcome


def test_every_kind_of_entry_comes_back(caches: Caches, raw: RawMetaClient) -> None:
    servers = caches.servers()
    assert one(servers, Look(None)) == Seen(None)
    sentinel = Sentinel((Writer(7, 1_800_000_000), Writer(2**64 - 1, 0)))
    for entry in (Value(b""), Value(b"x" * 1000), Lease(b"0123456789abcdef"), sentinel):
        stored = one(servers, Add(PLACE, entry))
        assert isinstance(stored, Stored)
        seen = one(servers, Look(PLACE))
        assert (seen.entry, seen.token.cas) == (entry, stored.token.cas)
        assert raw.meta_get("a", details=True).ttl in (59, 60)
        assert one(servers, Add(PLACE, Value(b"other"))) is REFUSED
        assert one(servers, Drop(PLACE, stored.token)) is DONE
        assert one(servers, Drop(PLACE, stored.token)) is REFUSED
        assert one(servers, Swap(PLACE, stored.token, entry)) is REFUSED
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
        steps: list[CacheStep] = [Look(None), swap, drop, Add(PLACE, Value(b""))]
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
    servers.close()
    assert one(servers, Swap(None, token, Value(b"1"))) is RECONNECTED
    assert one(servers, Drop(None, token)) is RECONNECTED
    assert one(servers, Look(None)).entry == Lease(b"mine")


def test_a_lease_that_is_still_there_may_be_filled_after_a_reconnection(
    caches: Caches,
) -> None:
    table = Table(a=b"1")
    servers = caches.servers()
    cache = caches.over(table, servers=servers)
    table.after_reading = servers.close
    assert cache.get("a") == b"1"
    table.after_reading = lambda: None
    assert cache.statistics().fills == 1
    assert cache.get("a") == b"1"
    assert cache.statistics().hits == 1


def test_a_sentinel_that_is_still_there_is_found_after_a_reconnection(caches: Caches) -> None:
    table = Table()
    servers = caches.servers()
    cache = caches.over(table, servers=servers)
    table.after_writing = servers.close
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

    class Spy(MetaServers):
        def run(self, requests: Any) -> list[Any]:
            outcomes = super().run(requests)
            taken.extend(o.token.cas for o in outcomes if isinstance(o, Stored))
            return outcomes

    taken: list[int] = []
    table = Table(a=b"old")
    with Caches(server) as caches, Spy([lambda: dial(server)]) as spy:
        table.after_reading = restart
        cache = caches.over(table, servers=spy)
        assert cache.get("a") == b"old"
        assert len(taken) == 1
        assert cache.statistics().fills_lost == 1
        assert cache.get("a") == b"new"
    for manager in (*second, first):
        manager.__exit__(None, None, None)


def test_a_server_without_tokens_is_refused(tmp_path: Path) -> None:
    """memcached -C counts nothing, and all tokens are 0: which to a store means no token."""

    class Tokenless(RawMetaClient):
        def get(self, key: memcache.Key) -> memcache.GetResponse:
            found = super().get(key)
            return memcache.GetResponse(key, found.status, found.value, found.flags, 0)

    with running("unix", tmp_path) as server:
        with dial(server) as raw:
            raw.set(Item("a", b"1"))
        servers = MetaServers([lambda: Tokenless(memcache.connect(server.address))])
        with servers, pytest.raises(memcache.NotSupportedError, match="server 0 has no tokens"):
            one(servers, Look(None))


# States


def stateful(caches: Caches, states: list[str], *dials: Callable[[], RawMetaClient]) -> MetaServers:
    return caches.servers(
        *dials, server_of=lambda key: int(str(key)[-1]), state_of=states.__getitem__
    )


def test_where_writes_must_be_known(caches: Caches) -> None:
    states = ["ACTIVE"]
    servers = stateful(caches, states)
    for state, places in (
        ("ACTIVE", (Place(0, True),)),
        ("WRITE_ONLY", (Place(0, True),)),
        ("WARM_UP", (Place(0, False),)),
        ("DOWN", ()),
    ):
        states[0] = state
        assert servers.places("key0") == places


def test_reads_go_to_active_servers_alone(caches: Caches) -> None:
    states = ["ACTIVE"]
    table = Table(key0=b"1")
    servers = stateful(caches, states)
    cache = caches.over(table, servers=servers)
    assert [cache.get("key0"), cache.get("key0")] == [b"1"] * 2
    token = one(servers, Add(None, Lease(b"mine")), "other0").token
    for state in ("WRITE_ONLY", "WARM_UP", "DOWN"):
        states[0] = state
        assert one(servers, Look(None), "key0") is FAILED
        assert one(servers, Add(None, Lease(b"mine")), "key0") is FAILED
        assert one(servers, Swap(None, token, Value(b"1")), "other0") is FAILED
        assert cache.get("key0") == b"1"
    assert (cache.statistics().hits, cache.statistics().failed_looks) == (1, 3)


@pytest.mark.parametrize(
    ("state", "is_written"),
    [("ACTIVE", False), ("WRITE_ONLY", False), ("WARM_UP", True), ("DOWN", True)],
)
def test_what_a_dead_server_prevents(caches: Caches, state: str, is_written: bool) -> None:
    table = Table()
    cache = caches.over(table, servers=stateful(caches, [state], refuse))
    if is_written:
        cache.set("key0", b"1")
    else:
        with pytest.raises(WriteRefused):
            cache.set("key0", b"1")
    assert table.data == ({"key0": b"1"} if is_written else {})


def test_a_server_that_warms_up_holds_no_values(caches: Caches, raw: RawMetaClient) -> None:
    cache = caches.over(Table(), servers=stateful(caches, ["WARM_UP"]))
    seen: list[Any] = []
    cache._storage.after_writing = lambda: seen.append(raw.get("key0").flags)  # type: ignore[attr-defined]
    cache.set("key0", b"1")
    assert seen == [0x64620003]
    assert not raw.get("key0").found


def test_a_state_that_changes_during_a_write(caches: Caches, raw: RawMetaClient) -> None:
    """The server is back in use, with an old value, when the storage has been written."""
    states = ["DOWN"]
    table = Table(key0=b"old")
    cache = caches.over(table, servers=stateful(caches, states))
    other = caches.over(table)

    def use() -> None:
        states[0] = "ACTIVE"
        assert other.get("key0") == b"old"

    table.before_writing = use
    cache.set("key0", b"new")
    assert cache.statistics().sentinels_lost == 1
    assert other.get("key0") == b"new"


# Servers that fail


def test_a_dead_server_fails_its_own_steps_alone(caches: Caches) -> None:
    servers = stateful(caches, ["ACTIVE", "ACTIVE"], lambda: dial(caches.server), refuse)
    requests = [Request(key, Look(None)) for key in ("a0", "a1", "b0", "b1")]
    assert servers.run(requests) == [Seen(None), FAILED, Seen(None), FAILED]
    cache = caches.over(Table(a0=b"1", a1=b"2"), servers=servers)
    assert cache.get_multi(["a0", "a1"]) == {"a0": b"1", "a1": b"2"}
    assert not servers.flush()
    assert stateful(caches, ["ACTIVE", "DOWN"], lambda: dial(caches.server), refuse).flush()
    assert stateful(caches, ["ACTIVE", "WARM_UP"], lambda: dial(caches.server), refuse).flush()


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
    child = os.fork()
    if child == 0:
        hits = cache.get("a") == b"1" and cache.statistics().hits
        os._exit(0 if hits == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert cache.get("a") == b"1"
    assert cache.statistics().hits == 2


def test_servers_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="dials must be at least one, got none"):
        MetaServers([])
    with pytest.raises(ValueError, match="server_of must be given for 2 servers"):
        MetaServers([refuse, refuse])
