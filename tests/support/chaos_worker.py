"""One process of a chaos run: reads and writes at random, and records what it did.

    python -m support.chaos_worker FOLDER NUMBER

The folder has the plan, the data base and the states, and gets the history of process NUMBER and,
now and then, its cache's statistics.
"""

import json
import os
import random
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any
from zlib import crc32

from godropbox.caching.consistency.servers import FleetServers
from godropbox.caching.consistent import (
    CommitUncertain,
    ConsistencyOptions,
    ConsistentCacheOnStorage,
    WriteRefused,
)
from godropbox.memcache import (
    BaseShardManager,
    Fleet,
    Item,
    NetworkError,
    RawMetaClient,
    ServerError,
    ShardOptions,
    ShardState,
    connect,
)
from support.chaos_fleet import States
from support.chaos_history import Kind, Record, packed
from support.chaos_plan import Plan
from support.chaos_storage import ChaosStorage, LostReplyError, NotWrittenError

_STATISTICS_EVERY = 200


def _consistent(plan: Plan, states: States, storage: ChaosStorage, number: int) -> Any:
    """Return the cache that is to be consistent.

    Every other process leaves what it wrote.
    """
    options = ConsistencyOptions(
        lease_life=plan.lease_life,
        sentinel_life=plan.sentinel_life,
        storage_limit=plan.storage_limit,
        settle_limit=plan.settle_limit,
        keep_written=number % 2 == 0,
        cache_key=lambda key: f"chaos:key:{key:05}",
        encode=lambda value: b"%020d" % value,
        decode=int,
        not_committed=(NotWrittenError,),
    )
    servers = FleetServers(_MappedManager(plan, states))
    return ConsistentCacheOnStorage(servers, storage, options)


def _place(key: Any, shards: int) -> int:
    return crc32(str(key).encode()) % shards


class _MappedManager(BaseShardManager):
    """A shard manager that looks at the states before each operation."""

    def __init__(self, plan: Plan, states: States) -> None:
        limits = ShardOptions(timeout=plan.timeout, connect_timeout=plan.timeout)
        super().__init__(_place, limits)
        self._of = plan.addresses
        self._mapped = states
        self._known: list[str] = []
        self._looking = threading.Lock()

    def fleet(self) -> Fleet:
        with self._looking:
            names = [self._mapped[shard] for shard in range(len(self._of))]
            if names != self._known:
                states = [ShardState[name] for name in names]
                self.update_shard_states(zip(self._of, states, strict=True))
                self._known = names
            return super().fleet()


class _Plain:
    """What everybody does: read through, write the storage, then delete from the cache."""

    def __init__(self, plan: Plan, states: States, storage: ChaosStorage, number: int) -> None:
        self._addresses = plan.addresses
        self._timeout = plan.timeout
        self._states = states
        self._storage = storage
        self._own = threading.local()

    def statistics(self) -> None:
        return None

    def _client(self, key: int) -> RawMetaClient | None:
        shard = crc32(f"chaos:key:{key:05}".encode()) % len(self._addresses)
        if self._states[shard] != "ACTIVE":
            return None
        clients: dict[Any, RawMetaClient] = self._own.__dict__
        client = clients.get(shard)
        if client is None or not client.is_valid:
            address = self._addresses[shard]
            channel = connect(address, timeout=self._timeout, connect_timeout=self._timeout)
            client = clients[shard] = RawMetaClient(channel)
        return client

    def get(self, key: int, default: int) -> Any:
        try:
            client = self._client(key)
            held = client.get(f"{key}").value if client is not None else None
        except (NetworkError, ServerError):
            client, held = None, None
        if held is not None:
            return int(held)
        value: Any = self._storage.get(key, default)
        if value != default:
            self._quietly(lambda: client and client.set(Item(f"{key}", b"%d" % value)))
        return value

    def get_multi(self, keys: list[int]) -> dict[int, Any]:
        return {key: self.get(key, 0) for key in keys}

    def set_multi(self, items: dict[int, int]) -> None:
        for key, value in items.items():
            self.set(key, value)

    def set(self, key: int, value: int) -> None:
        try:
            self._storage.set(key, value)
        except LostReplyError as error:
            raise CommitUncertain("the storage did not say", [key]) from error
        self._quietly(lambda: (client := self._client(key)) and client.delete(f"{key}"))

    def delete(self, key: int) -> None:
        self.set(key, 0)

    def _quietly(self, run: Any) -> None:
        with suppress(NetworkError, ServerError):
            run()


class Worker:
    """One thread: reads and writes until the run is over, over a cache that others share."""

    def __init__(self, folder: Path, number: int, thread: int, plan: Plan, cache: Any) -> None:
        self._plan = plan
        self._cache = cache
        self._states = States(folder / "states", len(plan.addresses))
        self._random = random.Random(f"{plan.seed} {number} {thread}")
        self._history = (folder / f"history-{number}-{thread}").open("wb", buffering=1 << 14)
        self._statistics = folder / f"statistics-{number}"
        self._is_first = thread == 0
        self._numbers = count((number << 34) + (thread << 32) + 1)

    def run(self) -> None:
        """Work until the run is over."""
        for turn in count():
            if self._states.over:
                break
            chance = self._random.random()
            if chance < 0.70:
                self._read([self._key()])
            elif chance < 0.80:
                self._read(list({self._key() for _ in range(5)}))
            elif chance < 0.96:
                self._write([self._key()])
            elif chance < 0.99:
                self._write(list({self._key() for _ in range(3)}))
            else:
                self._delete(self._key())
            if turn % _STATISTICS_EVERY == 0 and self._is_first:
                self.save_statistics()
        self._history.close()

    def _key(self) -> int:
        return self._random.randrange(self._plan.keys)

    def _record(self, kind: Kind, began: int, values: dict[int, int]) -> None:
        ended = time.monotonic_ns()
        for key, value in values.items():
            self._history.write(packed(Record(kind, key, began, ended, value)))

    def _read(self, keys: list[int]) -> None:
        began = time.monotonic_ns()
        if len(keys) == 1:
            found = {keys[0]: self._cache.get(keys[0], 0)}
        else:
            found = self._cache.get_multi(keys)
        self._record(Kind.READ, began, {key: found.get(key, 0) for key in keys})

    def _write(self, keys: list[int]) -> None:
        values = {key: next(self._numbers) for key in keys}
        if len(keys) == 1:
            self._attempt(values, lambda: self._cache.set(keys[0], values[keys[0]]))
        else:
            self._attempt(values, lambda: self._cache.set_multi(values))

    def _delete(self, key: int) -> None:
        self._attempt({key: 0}, lambda: self._cache.delete(key))

    def _attempt(self, values: dict[int, int], write: Any) -> None:
        began = time.monotonic_ns()
        try:
            write()
            kind = Kind.ACKNOWLEDGED
        except (WriteRefused, NotWrittenError):
            kind = Kind.REFUSED
        except CommitUncertain as error:
            kind = Kind.UNSETTLED if error.committed else Kind.UNKNOWN
            if error.committed:  # of many keys only those named are in doubt; claim less
                values = {key: value for key, value in values.items() if key in error.keys}
        self._record(kind, began, values)

    def save_statistics(self) -> None:
        statistics = self._cache.statistics()
        if statistics is not None:
            draft = self._statistics.with_suffix(".new")
            draft.write_text(json.dumps(asdict(statistics)))
            draft.replace(self._statistics)


def main(folder: Path, number: int) -> None:
    """Work with as many threads as planned; one that fails ends the process, and so the run."""
    plan = Plan.read(folder)
    states = States(folder / "states", len(plan.addresses))
    storage = ChaosStorage(folder / "data", plan.storage_limit / 2, plan.doubt, number)
    make = _Plain if plan.plain else _consistent
    cache = make(plan, states, storage, number)
    workers = [Worker(folder, number, thread, plan, cache) for thread in range(plan.threads)]
    with ThreadPoolExecutor(plan.threads) as pool:
        for done in as_completed([pool.submit(worker.run) for worker in workers]):
            if done.exception() is not None:
                traceback.print_exception(done.exception())
                os._exit(1)
    workers[0].save_statistics()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
