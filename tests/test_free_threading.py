"""Objects that threads share, while other threads end, replace and close what they read.

Without an interpreter lock a mistake here is a crash, or a value of another key. How to run these
for longer is said in ``support/threads.py``.
"""

import itertools
import random
from array import array
from functools import partial

import pytest
from support.pools import Handle, Opener
from support.threads import together

from godropbox import hash2
from godropbox.caching import CacheOnStorage, LocalStorage, SingleFlight
from godropbox.database import sqlbuilder as sb
from godropbox.memcache import Item, ResponseStatus
from godropbox.memcache.protocol.meta import MetaProtocol
from godropbox.memcache.testing import MockClient
from godropbox.resource_pool import (
    InactiveHandleError,
    LameDuckError,
    MultiResourcePool,
    PoolOptions,
    SimpleResourcePool,
    UnknownLocationError,
)

# Pools


def test_a_watchdog_discards_what_workers_read() -> None:
    """A reader sees the handle of the loan that it asks, or that it was given back."""
    pool = SimpleResourcePool(PoolOptions(open=Opener(), track=True), "here")
    ends = ["discard", "release", "detach"]
    lent = [pool.get() for _ in ends]
    draw = random.Random(0)

    def read() -> None:
        loan = draw.choice(lent)
        try:
            handle = loan.handle
        except InactiveHandleError:
            assert not loan.is_active
        else:
            assert type(handle) is Handle
            assert loan.owner is pool
        assert loan.location == "here"
        assert "handle" in repr(loan).lower()

    def replace(at: int) -> None:
        before, lent[at] = lent[at], pool.get()
        getattr(before, ends[at])()

    watchdogs = [partial(replace, at) for at in range(len(ends))]
    together(read, read, *watchdogs, pool.loans)
    for loan in lent:
        loan.release()
    stats = pool.stats()
    assert (stats.active, stats.leaked, stats.close_failures) == (0, 0, 0)


def test_pools_are_retired_and_emptied_under_load() -> None:
    """A handle that is lent is open, whatever becomes of its pool meanwhile."""
    options = PoolOptions(open=Opener(), max_idle_time=0.001)
    pool = MultiResourcePool(options, ["a", "b"])
    names = itertools.cycle([["a", "b"], ["b", "c"], ["c", "a"]])

    def work() -> None:
        for location in "abc":
            try:
                loan = pool.get(location)
            except (UnknownLocationError, LameDuckError):
                continue
            handle = loan.handle
            assert handle.location == location
            assert not handle.is_closed
            loan.release()

    def change() -> None:
        pool.set_locations(next(names))
        pool.evict_all()

    def retire() -> None:
        mine = SimpleResourcePool(options, "mine")
        lent = [mine.get() for _ in range(3)]
        lent.pop().release()
        mine.enter_lame_duck_mode()
        for loan in lent:
            assert not loan.handle.is_closed
            loan.release()
        assert mine.num_active == mine.num_idle == 0

    together(work, work, change, retire)


def test_threads_that_wait_get_what_others_give_back() -> None:
    """No more handles are lent than may be, none is lent twice, and none is lost."""
    opener = Opener()
    pool = SimpleResourcePool(PoolOptions(open=opener, max_active=2, timeout=60), "here")
    owners: dict[Handle, int] = {}

    def work(me: int) -> None:
        with pool.get() as loan:
            handle = loan.handle
            assert owners.setdefault(handle, me) == me
            assert not handle.is_closed
            assert len(owners) <= 2
            assert owners.pop(handle) == me

    def empty() -> None:
        assert pool.num_active <= 2
        assert pool.num_idle <= 2
        pool.evict_all()

    together(*(partial(work, me) for me in range(3)), empty, lambda: pool.get().discard())
    stats = pool.stats()
    assert (stats.active, stats.waiting, stats.leaked) == (0, 0, 0)
    assert stats.opens - stats.closes == stats.idle == len(opener.still_open)


class Dated:
    """A handle that knows how many evictions had begun when it was opened."""

    def __init__(self, begun: int) -> None:
        self.begun = begun
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


# Threads without a lock have 16 places at which they park what they give back: each is shared.
CROWD = 34


def test_after_an_eviction_nothing_older_is_lent() -> None:
    """What is given back just as the pool is emptied is closed, and is not lent again."""
    begun = ended = 0
    opened: list[Dated] = []

    def open_handle(_: object) -> Dated:
        handle = Dated(begun)
        opened.append(handle)
        return handle

    pool = SimpleResourcePool(PoolOptions(open=open_handle), "here")

    def work() -> None:
        least = ended
        with pool.get() as loan:
            assert loan.handle.begun >= least
            assert not loan.handle.is_closed

    def evict() -> None:
        nonlocal begun, ended
        begun += 1
        pool.evict_all()
        ended = begun

    together(*[work] * CROWD, evict)
    pool.evict_all()
    stats = pool.stats()
    assert (stats.active, stats.idle, stats.leaked) == (0, 0, 0)
    assert stats.closes == stats.opens == len(opened)
    assert all(handle.is_closed for handle in opened)


def test_a_retired_pool_lends_and_keeps_nothing() -> None:
    """What is given back just as the pool is retired is closed."""
    opener = Opener()
    options = PoolOptions(open=opener)
    pools = [SimpleResourcePool(options, "here")]

    def work() -> None:
        pool = pools[-1]
        was_retired = pool.is_lame_duck
        try:
            loan = pool.get()
        except LameDuckError:
            return
        assert not was_retired
        loan.release()

    def retire() -> None:
        pools.append(SimpleResourcePool(options, "here"))
        pools[-2].enter_lame_duck_mode()

    together(*[work] * CROWD, retire)
    pools[-1].enter_lame_duck_mode()
    assert {(pool.num_active, pool.num_idle) for pool in pools} == {(0, 0)}
    assert opener.still_open == []


# Caching


def test_a_local_storage_keeps_its_bound_and_its_values() -> None:
    """A value is the one of its key; no more entries than allowed are there at any time."""
    storage = LocalStorage(50)
    draw = random.Random(1)

    def use() -> None:
        number = draw.randrange(100)
        key = f"key{number}"
        storage.set(key, [number])
        value = storage.get(key)
        assert value is None or value == [number]
        for name, held in storage.get_multi([key, "key1", "key2"]).items():
            assert name == f"key{held[0]}"

    def remove() -> None:
        storage.delete(f"key{draw.randrange(100)}")
        assert len(storage) <= 50

    def clear() -> None:
        assert len(storage) <= 50
        if draw.random() < 0.01:
            storage.flush()

    together(use, use, use, remove, clear)
    assert len(storage) <= 50


def test_one_loader_at_a_time_and_everybody_has_its_value() -> None:
    """Flights are joined, inherited and forgotten while they are in the air."""
    flights = SingleFlight()
    layer = CacheOnStorage(LocalStorage(20), LocalStorage(20))
    draw = random.Random(2)

    def fly() -> None:
        number = draw.randrange(4)
        assert flights.run(number, lambda: [number]) == [number]
        found = flights.run_multi([number, 7], lambda keys: {key: [key] for key in keys})
        assert found == {number: [number], 7: [7]}

    def fail() -> None:
        with pytest.raises(ZeroDivisionError):
            flights.run("broken", lambda: 1 // 0)

    def forget() -> None:
        flights.forget([draw.randrange(4)])
        flights.take_over([draw.randrange(4)]).drop()  # PyPy would free it some time later

    def layered() -> None:
        number = draw.randrange(4)
        layer.set(number, [number])
        assert layer.get(number) in (None, [number])
        layer.stats()

    together(fly, fly, fail, forget, layered, layered)
    assert flights.followers == len(flights) == 0


# SQL


def test_statements_are_shared() -> None:
    """Threads that render one statement, and make others of its parts, all get its text."""
    t = sb.Table("t", sb.IntColumn("id"), sb.StrColumn("name"))
    query = t.select(t.c.id, t.c.name).where((t.c.id == 5) & t.c.name.like("a%"))
    text = query.sql("db")
    prepared = t.select(t.c.id).where(t.c.id == sb.slot("id", int)).prepare("db")
    filled = prepared.sql(id=5)

    def render() -> None:
        assert query.sql("db") == text
        assert prepared.sql(id=5) == filled

    def build() -> None:
        again = t.select(t.c.id, t.c.name).where((t.c.id == 5) & t.c.name.like("a%"))
        assert again.sql("db") == text
        assert query.limit(3).sql("db") == f"{text} LIMIT 3"

    together(render, render, build)


# memcache


def test_no_two_requests_have_one_opaque() -> None:
    """A maker of exchanges may be shared."""
    protocol = MetaProtocol()
    seen: set[bytes] = set()
    wrongs: list[bytes] = []

    def make() -> None:
        request = b"".join(map(bytes, protocol.get("key").request))
        if request in seen:
            wrongs.append(request)
        seen.add(request)

    together(make, make, make)
    assert wrongs == []


def test_a_mock_client_is_shared() -> None:
    client = MockClient()
    client.set(Item("key", b"value"))

    def use() -> None:
        assert client.get("key").value == b"value"
        assert client.set(Item("key", b"value")).status is ResponseStatus.OK

    together(use, use, use)


# Keys


def test_keys_are_hashed_by_several_threads() -> None:
    """CPython 3.14 counts the parts of a memoryview wrongly if threads make and free them."""
    keys = array("Q", random.Random(3).randbytes(8 * 3000))
    shards = array("H", [hash2.consistent_hash(key, 3) for key in keys])
    few = hash2.ShardSet([0, 2])
    among = array("H", map(few.lookup, keys))

    def work() -> None:
        assert hash2.consistent_hash_many(keys, 3, threads=4) == shards
        assert few.lookup_many(keys, threads=4) == among
        assert hash2.plan_reshard(keys, 3, 5, threads=4).before == shards

    together(work, work)
