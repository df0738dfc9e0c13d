"""Fleets that change ten times a second under load: no wrong value, no leak, no error.

``GODROPBOX_CHANGES`` says for how many seconds each way runs, 3 if it is not set; ``pytest -s``
shows what was done. What a wrong value is, ``support/changes.py`` says.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from support.changes import (
    PATIENT,
    Book,
    Operator,
    connections_to,
    open_files,
    run_tasks,
    run_threads,
    some_servers,
)
from support.fleet_watcher import check_states

from godropbox.memcache import (
    BaseShardManager,
    Client,
    ClientOptions,
    FailedKeys,
    Rendezvous,
    ShardState,
)
from godropbox.memcache.aio import AsyncBaseShardManager, AsyncClient, AsyncClientOptions
from godropbox.memcache.discovery import FileSource, Follower
from godropbox.memcache.fleet.manager import ShardStatus

if not os.path.exists("/proc/net/tcp"):
    pytest.skip("connections are counted in Linux's /proc", allow_module_level=True)

SECONDS = float(os.environ.get("GODROPBOX_CHANGES", "3"))
SERVERS = 9
SEED = int(os.environ.get("GODROPBOX_CHANGES_SEED", "1"))


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with some_servers(tmp_path_factory.mktemp("servers"), SERVERS) as found:
        yield found


def operator(
    addresses: list[str],
    apply: Callable[[list[ShardStatus]], object],
    current: Callable[[], object],
) -> Operator:
    return Operator(addresses, apply, current, random.Random(SEED))


def wait_for(is_so: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENT
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def check(book: Book, changes: Operator) -> None:
    print(f"\n{book}\n{dict(changes.counts)}")
    assert not book.wrong, str(book)
    assert not book.errors, str(book)
    assert sum(changes.counts.values()) > 9 * SECONDS
    for name in ("hits", "writes", "deletes", "reads held to the last write"):
        assert book.counts[name] > 10 * SECONDS, str(book)


def test_eight_threads(addresses: list[str]) -> None:
    files = open_files()
    manager = BaseShardManager(
        Rendezvous(), ClientOptions(timeout=PATIENT, connect_timeout=PATIENT)
    )
    changes = operator(addresses, manager.update_shard_states, manager.fleet)
    changes.begin()
    check_threads(addresses, manager, changes)
    assert open_files() <= files


def check_threads(addresses: list[str], manager: BaseShardManager, changes: Operator) -> None:
    """Have threads use the fleet while it changes, hold them to their values, and close it."""
    with manager, Client(manager) as client:
        book = run_threads(SECONDS, client, manager.fleet, changes.change, SEED)
        spare = [each for each in addresses if changes.is_spare(each)]
        assert spare
        assert wait_for(lambda: not any(map(connections_to, spare))), "of servers that left"
        for address in addresses:
            assert connections_to(address) <= 8, "more than the threads can have used"
    check(book, changes)
    assert wait_for(lambda: not any(map(connections_to, addresses)))


def test_eight_threads_that_follow_a_file(addresses: list[str], tmp_path: Path) -> None:
    files = open_files()
    manager = BaseShardManager(
        Rendezvous(), ClientOptions(timeout=PATIENT, connect_timeout=PATIENT)
    )
    changes = operator(addresses, partial(write_fleet, tmp_path / "fleet"), manager.fleet)
    changes.begin()
    source = FileSource(tmp_path / "fleet", interval=0.01)
    with Follower(source, manager, min_interval=0.0, max_change=None) as follower:
        assert follower.wait(PATIENT)
        check_threads(addresses, manager, changes)
        counts = follower.status.counts
    assert counts["accepted"] > 5 * SECONDS, counts
    assert open_files() <= files


def write_fleet(path: Path, states: list[ShardStatus]) -> None:
    """Replace a file of servers, in one step."""
    lines = [f"{each.name} {each.address} {each.state.name}\n" for each in states]
    path.with_suffix(".new").write_text("".join(lines))
    path.with_suffix(".new").replace(path)


def test_a_state_is_in_force_in_every_process_within_a_second(tmp_path: Path) -> None:
    states = [ShardStatus(f"127.0.0.1:{port}", name=f"cache-{port}") for port in (1, 2, 3)]

    def set_state(state: str) -> None:
        states[0] = states[0]._replace(state=ShardState[state])
        write_fleet(tmp_path / "fleet", states)

    write_fleet(tmp_path / "fleet", states)
    check_states(f"file:{tmp_path / 'fleet'}", "cache-1", set_state)


class _Lying:
    """A client that keeps a dict, and sometimes answers with what a key had before."""

    def __init__(self) -> None:
        self.held: dict[str, list[str]] = {}

    def set(self, key: str, value: str) -> bool:
        self.held.setdefault(key, []).append(value)
        return True

    def set_many(self, values: dict[str, str]) -> FailedKeys:
        for key, value in values.items():
            self.set(key, value)
        return FailedKeys()

    def delete(self, key: str) -> bool:
        return bool(self.held.pop(key, None))

    def get(self, key: str) -> str | None:
        return self.held.get(key, [None])[0]

    def get_many(self, keys: list[str]) -> dict[str, str]:
        return {key: self.held[key][-1] for key in keys if key in self.held}


def test_a_client_that_lies_is_found_out() -> None:
    """The judgment above is one: a get of the first value of all is seen, and nothing else."""
    fleet = object()
    book = run_threads(0.3, _Lying(), lambda: fleet, lambda: None, SEED)
    assert book.wrong
    assert not book.errors
    assert all(" after " in each for each in book.wrong), book.wrong[:5]


def test_asyncio(addresses: list[str]) -> None:
    async def main() -> None:
        options = AsyncClientOptions(timeout=PATIENT, connect_timeout=PATIENT)
        manager = AsyncBaseShardManager(Rendezvous(), options)
        changes = operator(addresses, manager.update_shard_states, manager.fleet)
        changes.begin()
        async with manager, AsyncClient(manager, options) as client:
            book = await run_tasks(SECONDS, client, manager.fleet, changes.change, SEED)
            spare = [each for each in addresses if changes.is_spare(each)]
            until = time.monotonic() + PATIENT
            while any(map(connections_to, spare)) and time.monotonic() < until:
                await asyncio.sleep(0.01)
            assert spare
            assert not any(map(connections_to, spare)), "of servers that left"
            for address in addresses:
                assert connections_to(address) <= options.connections
        check(book, changes)
        assert not any(map(connections_to, addresses))

    files = open_files()
    asyncio.run(main())
    assert open_files() <= files
