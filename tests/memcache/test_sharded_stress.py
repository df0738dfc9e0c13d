"""Shard states that change under load, and batches larger than every buffer.

``GODROPBOX_SWAP_SECONDS`` sets how long the states are swapped, 8 seconds by default.
"""

import itertools
import os
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.server_fleets import PROTOCOLS, ServerFleet, loans, sharded

from godropbox.memcache import (
    BaseShardManager,
    GetResponse,
    Item,
    MetaProtocol,
    ShardedClient,
    ShardOptions,
    ShardState,
)

SECONDS = float(os.environ.get("GODROPBOX_SWAP_SECONDS", "8"))
STATES = list(ShardState)


@pytest.fixture
def fleet(tmp_path: Any) -> Iterator[ServerFleet]:
    fleet = ServerFleet("tcp", 4, tmp_path)
    yield fleet
    fleet.close()


class Worker(threading.Thread):
    """A thread with keys of its own, of which it knows all that was ever sent for each.

    A key may hold any of that, since a server may leave the fleet with a value, and come back
    with it when another has a later one; but nothing that was sent for another key.
    """

    def __init__(self, client: ShardedClient, number: int, stop: threading.Event) -> None:
        super().__init__()
        self.client, self.stop = client, stop
        self.random = random.Random(number)
        self.keys = [f"{number}-{i}" for i in range(20)]
        self.sent: dict[str, set[bytes]] = {key: set() for key in self.keys}
        self.wrong: list[object] = []
        self.skipped = self.stored = self.read = 0

    def run(self) -> None:
        try:
            for turn in itertools.count():
                if self.stop.is_set():
                    return
                self.step(turn)
        except BaseException as error:
            self.wrong.append(error)

    def step(self, turn: int) -> None:
        keys = self.random.sample(self.keys, self.random.choice((1, 5, 20)))
        if self.random.random() < 0.4:
            items = [Item(key, f"{key}|{turn}".encode()) for key in keys]
            for item in items:
                self.sent[str(item.key)].add(bytes(item.value))
            answers = self.client.set_multi(items)
            self.wrong += [r for r, key in zip(answers, keys, strict=True) if r.key != key]
            self.wrong += [r for r in answers if r.error is not None or r.ok == r.skipped]
            self.skipped += sum(r.skipped for r in answers)
            self.stored += sum(r.ok for r in answers)
            return
        found: Any = self.client.get_multi(keys)
        self.wrong += [key for key, given in zip(found, keys, strict=True) if key != given]
        self.check(found.values())
        self.check([self.client.get(keys[0])])

    def check(self, answers: Any) -> None:
        response: GetResponse
        for response in answers:
            if response.error is not None:
                self.wrong.append(response)
            elif response.found:
                self.read += 1
                if response.value not in self.sent[str(response.key)]:
                    self.wrong.append(response)


def swap(manager: BaseShardManager, addresses: list[str], until: float) -> int:
    """Change the fleet ten times a second: states, and which servers there are."""
    draw = random.Random(5)
    swaps = 0
    pause = threading.Event()
    while time.monotonic() < until:
        present = draw.sample(addresses, draw.choice((3, 4)))
        states = [draw.choice(STATES) for _ in present]
        states[0] = ShardState.ACTIVE
        manager.update_shard_states(list(zip(present, states, strict=True)))
        swaps += 1
        pause.wait(0.1)
    return swaps


def test_states_swapped_under_load(fleet: ServerFleet) -> None:
    with BaseShardManager(options=ShardOptions(timeout=10.0)) as manager:
        manager.update_shard_states([(each, 0) for each in fleet.addresses])
        client, stop = ShardedClient(manager, MetaProtocol()), threading.Event()
        workers = [Worker(client, number, stop) for number in range(8)]
        pools = {shard.address: shard.pool for shard in manager.fleet().shards}
        for worker in workers:
            worker.start()
        try:
            swaps = swap(manager, fleet.addresses, time.monotonic() + SECONDS)
        finally:
            stop.set()
            for worker in workers:
                worker.join()
        assert [worker.wrong for worker in workers] == [[]] * 8
        assert swaps > SECONDS
        assert all(worker.skipped and worker.stored and worker.read for worker in workers)
        seen = {**pools, **{shard.address: shard.pool for shard in manager.fleet().shards}}
        assert [pool.stats().active for pool in seen.values()] == [0] * len(seen)
        assert [pool.stats().leaked for pool in seen.values()] == [0] * len(seen)
        manager.update_shard_states([(each, 0) for each in fleet.addresses])
        assert loans(manager) == 0
        assert all(r.error is None for r in client.get_multi(workers[0].keys).values())
        held = {each["curr_connections"] for each in client.stats().entries.values()}
        assert max(map(int, held)) <= 8 + 3  # a connection a thread, and the server's own


VALUE = os.urandom(900_000)


@pytest.fixture(params=["tcp", "tls"])
def few(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[tuple[ServerFleet, bool]]:
    fleet = ServerFleet(request.param, 3, tmp_path)
    yield fleet, request.param == "tls"
    fleet.close()


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_batches_larger_than_every_buffer(few: tuple[ServerFleet, bool], protocol: str) -> None:
    fleet, tls = few
    with sharded(fleet, protocol, tls=tls, timeout=120.0) as client:
        items = [Item(f"big:{at}", VALUE[at:]) for at in range(60)]
        for _ in range(2):
            assert all(r.ok for r in client.set_multi(items))
            found = client.get_multi([item.key for item in items])
            assert [found[item.key].value for item in items] == [item.value for item in items]
        # Refused while it is still being sent, again and again, and what follows goes through.
        mixed = [Item(f"m:{at}", bytes(2_000_000) if at % 3 else b"ok") for at in range(30)]
        assert [r.ok for r in client.set_multi(mixed)] == [at % 3 == 0 for at in range(30)]
        assert client.get("m:27").value == b"ok"


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_batches_of_many_small_ones(few: tuple[ServerFleet, bool], protocol: str) -> None:
    fleet, tls = few
    with sharded(fleet, protocol, tls=tls, timeout=120.0) as client:
        keys = [f"{at:05d}".ljust(200, "k") for at in range(20_000)]
        assert all(r.ok for r in client.set_multi([Item(key, b"v") for key in keys]))
        found = client.get_multi(keys)
        assert list(found) == keys
        assert {found[key].value for key in keys} == {b"v"}
        assert all(r.ok for r in client.delete_multi(keys))
