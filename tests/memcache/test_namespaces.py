"""Servers behind networks that fail: partitions, moved addresses, and one that is slow.

What happens to one server must not be felt by the keys of the others: a get of theirs takes as long
as ever, and a batch has their values when its time is over.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from support.namespaces import PORT, Place, SlowProxy, places, refusal

from godropbox.memcache import BaseShardManager, Client, ClientOptions, Rendezvous
from godropbox.memcache.aio import AsyncBaseShardManager, AsyncClient, AsyncClientOptions
from godropbox.memcache.fleet.manager import ShardStatus

SERVERS = 4
TIMEOUT = 0.6
LATE = 1.0  # seconds: how late a machine may be that is busy
ENOUGH = 20.0  # seconds: for anything
ITEMS = {f"key-{at}": f"value {at}" for at in range(200)}
HOW: Any = {"timeout": TIMEOUT, "connect_timeout": TIMEOUT, "failures": "miss"}


@pytest.fixture(scope="module")
def network() -> Iterator[list[Place]]:
    reason = refusal()
    if reason:
        pytest.skip(reason)
    with places(SERVERS) as made:
        yield made


class Blocking:
    """A client of threads."""

    def __init__(self, states: list[ShardStatus]) -> None:
        options = ClientOptions(shard_func=Rendezvous(), **HOW)
        self.manager = BaseShardManager(Rendezvous(), options)
        self.manager.update_shard_states(states)
        self._client = Client(self.manager, options)

    def do(self, verb: str, *arguments: Any) -> Any:
        return getattr(self._client, verb)(*arguments)

    def update(self, states: list[ShardStatus]) -> None:
        self.manager.update_shard_states(states)

    def beside(self, many: list[str], few: list[str]) -> tuple[dict[str, Any], list[Any], float]:
        """Get many keys, and meanwhile a few, one by one; tell how long the slowest of those took.

        A few are asked for while the batch is under way.
        """
        with ThreadPoolExecutor(2) as pool:
            batch = pool.submit(self.do, "get_many", many)
            found, slowest = [], 0.0
            for key in few:
                began = time.monotonic()
                found.append(self.do("get", key))
                slowest = max(slowest, time.monotonic() - began)
            return batch.result(), found, slowest

    def close(self) -> None:
        self._client.close()
        self.manager.close()


class Awaiting:
    """A client of tasks, on a loop that runs while it is asked."""

    def __init__(self, states: list[ShardStatus]) -> None:
        options = AsyncClientOptions(shard_func=Rendezvous(), **HOW)
        self.manager = AsyncBaseShardManager(Rendezvous(), options)
        self.manager.update_shard_states(states)
        self._client = AsyncClient(self.manager, options)
        self._runner = asyncio.Runner()

    def do(self, verb: str, *arguments: Any) -> Any:
        async def one() -> Any:
            return await getattr(self._client, verb)(*arguments)

        return self._runner.run(one())

    def update(self, states: list[ShardStatus]) -> None:
        async def one() -> None:
            self.manager.update_shard_states(states)

        self._runner.run(one())

    def beside(self, many: list[str], few: list[str]) -> tuple[dict[str, Any], list[Any], float]:
        async def both() -> tuple[dict[str, Any], list[Any], float]:
            batch = asyncio.create_task(self._client.get_many(many))
            await asyncio.sleep(0)
            found, slowest = [], 0.0
            for key in few:
                began = time.monotonic()
                found.append(await self._client.get(key))
                slowest = max(slowest, time.monotonic() - began)
            return await batch, found, slowest

        return self._runner.run(both())

    def close(self) -> None:
        async def both() -> None:
            await self._client.close()
            await self.manager.close()

        self._runner.run(both())
        self._runner.close()


Driver = Blocking | Awaiting


@contextmanager
def driving(make: Callable[[list[ShardStatus]], Driver], addresses: list[str]) -> Iterator[Driver]:
    driver = make(named(addresses))
    try:
        store(driver)
        yield driver
    finally:
        driver.close()


def named(addresses: list[str]) -> list[ShardStatus]:
    return [ShardStatus(address, name=f"cache-{at}") for at, address in enumerate(addresses)]


def store(driver: Driver) -> None:
    """Store all items; how long that takes, and how often it is tried, does not matter here."""
    until = time.monotonic() + ENOUGH
    while driver.do("set_many", ITEMS):
        assert time.monotonic() < until


def keys_of(driver: Driver, shard: int) -> list[str]:
    """Return the keys of a server."""
    places = driver.manager.fleet().of_many(list(ITEMS))
    return [key for key, found in zip(ITEMS, places, strict=True) if found == shard]


def wait_for_all(driver: Driver) -> None:
    """Wait until every key can be read."""
    until = time.monotonic() + ENOUGH
    while driver.do("get_many", list(ITEMS)) != ITEMS:
        assert time.monotonic() < until


BOTH = pytest.mark.parametrize("make", [Blocking, Awaiting])


def check_unharmed(driver: Driver, lost: int) -> None:
    """Hold the keys of all servers but one to being there, and in time."""
    theirs = set(keys_of(driver, lost))
    others = {key: value for key, value in ITEMS.items() if key not in theirs}
    assert theirs
    assert others
    began = time.monotonic()
    found, alone, slowest = driver.beside(list(ITEMS), list(others)[:30])
    took = time.monotonic() - began
    assert alone == list(others.values())[:30]
    assert {key: found[key] for key in others if key in found} == others
    assert slowest < TIMEOUT, "a get of another server's key waited"
    assert took < TIMEOUT + LATE, "a batch took longer than it may"


@BOTH
def test_partition(network: list[Place], make: Callable[..., Driver]) -> None:
    with driving(make, [place.address for place in network]) as driver:
        for fails, heals in ((Place.cut, Place.mend), (Place.unplug, Place.plug)):
            fails(network[2])
            try:
                for _ in range(2):  # over the connections that there are, and over new ones
                    check_unharmed(driver, 2)
            finally:
                heals(network[2])
            wait_for_all(driver)


@BOTH
def test_moved_address(network: list[Place], make: Callable[..., Driver]) -> None:
    """A server of the same name at another address keeps its keys, and its values."""
    with driving(make, [place.address for place in network]) as driver:
        before = driver.manager.fleet().of_many(list(ITEMS))
        network[1].move()
        driver.update(named([place.address for place in network]))
        assert driver.manager.fleet().of_many(list(ITEMS)) == before
        wait_for_all(driver)
        for key in keys_of(driver, 1)[:10]:
            assert driver.do("set", key, "new")
            assert driver.do("get", key) == "new"


@BOTH
def test_slow_server(network: list[Place], make: Callable[..., Driver]) -> None:
    """A server that answers, and each time too late."""
    slow = 3 * TIMEOUT
    with ExitStack() as stack:
        addresses = [place.address for place in network]
        driver = stack.enter_context(driving(make, addresses))
        if network[3].delay(slow):
            stack.callback(network[3].hurry)
        else:  # a kernel without netem
            proxy = SlowProxy((network[3].host, PORT), slow)
            driver.update(named([*addresses[:3], stack.enter_context(proxy).address]))
        for _ in range(2):
            check_unharmed(driver, 3)
