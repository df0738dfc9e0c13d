"""The demo's engine, without threads or a page: what is stale, what is killed, what a crowd loads.

The delay of the database is where a test puts what happens between a read and what follows it.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from godropbox.demo import Database, Engine, Load, MemoryFleet, ServerFleet
from godropbox.demo.processes import Processes, program
from godropbox.demo.story import ACTS, Story
from godropbox.memcache.errors import InvalidArgumentError

FLEETS = ["memory", "memcached"]


class Clock:
    """Counts seconds, as a test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Pauses:
    """What an engine waits by: it waits not at all, and does `between` once, if there is any."""

    def __init__(self) -> None:
        self.between: Callable[[], object] | None = None

    def __call__(self, seconds: float) -> None:
        between, self.between = self.between, None
        if between is not None:
            between()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture(params=FLEETS)
def engine(request: pytest.FixtureRequest, clock: Clock, pauses: Pauses) -> Iterator[Engine]:
    fleet: Any
    if request.param == "memory":
        fleet = MemoryFleet(3)
    else:
        path = program()
        assert path, "memcached is missing: apt-get install memcached"
        fleet = ServerFleet(Processes(path), 3, timeout=10.0, clock=clock)
    made = Engine(fleet, Load(keys=12), clock=clock, pause=pauses)
    yield made
    made.close()


def race(engine: Engine, pauses: Pauses, side: str, key: str) -> bool:
    """Write a key while a read has its old row in hand; return whether a later read is stale."""
    pauses.between = lambda: engine.write(side, key)
    assert not engine.read(side, key)  # it began before the write
    return engine.read(side, key)


def test_the_plain_cache_shows_stale_reads_and_ours_none(engine: Engine, pauses: Pauses) -> None:
    for key in engine.keys:
        assert race(engine, pauses, "plain", key)
        assert not race(engine, pauses, "ours", key)
    shown = engine.snapshot()["sides"]
    assert (shown["plain"]["stale"], shown["ours"]["stale"]) == (12, 0)
    assert set(shown["plain"]["cells"]) == {"old"}
    assert "old" not in shown["ours"]["cells"]
    # The next write deletes the old value, until the next race.
    assert engine.write("plain", engine.keys[0])
    assert not engine.read("plain", engine.keys[0])


def test_keys_of_a_killed_server_fail_and_come_back(engine: Engine, clock: Clock) -> None:
    for side in engine.sides:
        for key in engine.keys * 2:
            engine.read(side, key)
    before = engine.snapshot()
    assert set(before["sides"]["ours"]["cells"]) == {"value"}
    reads = engine.ours.database.reads
    engine.act("kill", 1)
    down = engine.snapshot()
    gone = [at for at, owner in enumerate(down["owners"]) if owner == 1]
    assert gone
    assert len(gone) == down["servers"][1]["keys"] < 12
    for side in engine.sides:
        assert {
            at for at, kind in enumerate(down["sides"][side]["cells"]) if kind == "down"
        } == set(gone)
    # Reads go on, by the database; writes of these keys are refused by ours, and of others not.
    key = engine.keys[gone[0]]
    assert not engine.read("ours", key)
    assert engine.ours.database.reads == reads + 1
    assert not engine.write("ours", key)
    other = next(at for at, owner in enumerate(down["owners"]) if owner != 1)
    assert engine.write("ours", engine.keys[other])
    assert engine.snapshot()["sides"]["ours"]["refused"] == 1
    engine.act("start", 1)
    until = time.monotonic() + 20  # it is left alone for a while after it failed
    while {engine.snapshot()["sides"]["ours"]["cells"][at] for at in gone} != {"value"}:
        assert time.monotonic() < until
        clock.now += 5.0
        for each in gone:
            assert not engine.read("ours", engine.keys[each])
    assert engine.write("ours", key)
    texts = [each["text"] for each in engine.snapshot()["log"]]
    assert "server 1 was killed: what it held is gone" in texts
    assert "server 1 started again, empty" in texts


def test_an_added_server_takes_over_some_keys(engine: Engine) -> None:
    before = engine.snapshot()["owners"]
    engine.act("add")
    after = engine.snapshot()["owners"]
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert moved
    assert set(moved) == {3}
    for side in engine.sides:
        for key in engine.keys:
            assert not engine.read(side, key)


def test_a_crowd_loads_once_with_a_lease(engine: Engine) -> None:
    both = threading.Event()

    def load() -> None:
        both.wait(0.2)  # until all have missed

    engine._pause = lambda seconds: load()
    assert engine.stampede(8)["ours"] == 1
    assert engine.snapshot()["stampede"]["plain"] > 1


def test_the_same_keys_are_drawn_on_both_sides(engine: Engine) -> None:
    for side in engine.sides:
        draw = random.Random(5)
        for _ in range(60):
            engine.step(side, draw)
    shown = engine.snapshot()["sides"]
    assert shown["plain"]["reads"] == shown["ours"]["reads"] > 40
    assert shown["plain"]["writes"] == shown["ours"]["writes"] > 0


@pytest.mark.parametrize(
    ("action", "server", "error"),
    [
        ("explode", 0, "action must be one of kill, stop, start, add, stampede, got 'explode'"),
        ("kill", None, "kill needs the number of a server"),
        ("kill", 3, "server must be in [0, 3), got 3"),
        ("kill", -1, "server must be in [0, 3), got -1"),
        ("kill", "1", "server must be an int, got '1'"),
        ("kill", True, "server must be an int, got True"),
        ("start", 0, "server 0 is up, and must be killed"),
    ],
)
def test_what_cannot_be_done(action: str, server: Any, error: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Engine(MemoryFleet(3)).act(action, server)
    assert error in str(caught.value)


def test_a_fleet_in_memory_is_not_stopped_and_has_an_end() -> None:
    fleet = MemoryFleet(8)
    with pytest.raises(InvalidArgumentError, match="cannot be stopped"):
        fleet.stop(0)
    with pytest.raises(InvalidArgumentError, match="there are 8 servers already"):
        fleet.add()


def test_a_stopped_server_goes_on_with_what_it_held(clock: Clock, pauses: Pauses) -> None:
    path = program()
    assert path, "memcached is missing: apt-get install memcached"
    fleet = ServerFleet(Processes(path), 2, timeout=0.5, clock=clock)
    engine = Engine(fleet, Load(keys=8), clock=clock, pause=pauses)
    try:
        owners = fleet.owners(engine.keys)
        key, other = [engine.keys[at] for at, owner in enumerate(owners) if owner == 0][:2]
        for side in engine.sides:
            for each in (key, other):
                engine.read(side, each)
        engine.act("stop", 0)
        for _ in range(3):  # after so many failures it is left alone
            engine.read("plain", other)
        assert engine.write("plain", key)  # what it holds was not deleted, and people go on
        assert not engine.write("ours", key)
        engine.act("start", 0)
        until = time.monotonic() + 20
        reads = -1
        while reads < engine.plain.database.reads:  # until it is used again, and answers
            assert time.monotonic() < until
            clock.now += 5.0
            reads = engine.plain.database.reads
            engine.read("plain", other)
        assert engine.read("plain", key)
        assert not any(engine.read("ours", key) for _ in range(3))
    finally:
        engine.close()


def test_the_story_does_each_act_at_its_time(clock: Clock) -> None:
    engine = Engine(MemoryFleet(3), Load(keys=4), clock=clock, pause=lambda seconds: None)
    story = Story(engine, clock)
    story.due()
    assert engine.caption == ACTS[0].caption
    clock.now = 24.0
    story.due()
    assert engine.fleet.states() == ["up", "killed", "up"]
    clock.now = 100.0
    story.due()
    assert engine.fleet.states() == ["up"] * 4
    assert engine.caption == ACTS[-1].caption
    assert any("cannot be stopped" in each["text"] for each in engine.snapshot()["log"])


def test_a_click_ends_the_story(clock: Clock) -> None:
    engine = Engine(MemoryFleet(3), Load(keys=4), clock=clock, pause=lambda seconds: None)
    story = Story(engine, clock)
    story.due()
    story.end()
    clock.now = 100.0
    story.due()
    assert engine.fleet.states() == ["up"] * 3
    assert engine.caption == ACTS[-1].caption


def test_what_is_stale() -> None:
    database = Database()
    database.fill("a", b"1")
    floor = database.begin("a")
    database.set("a", b"2")
    assert not database.is_stale("a", b"1", floor)
    assert not database.is_stale("a", b"1", database.begin("a"))  # not acknowledged yet
    database.acknowledge("a", b"2")
    assert not database.is_stale("a", b"1", floor)  # it began before
    assert database.is_stale("a", b"1", database.begin("a"))
    assert not database.is_stale("a", b"2", database.begin("a"))
    assert database.is_stale("a", None, database.begin("a"))
    database.set("a", b"3")
    assert not database.is_stale("a", b"3", database.begin("a"))
    database.acknowledge("a", b"2")  # late: what is newer counts
    assert database.is_current("a", b"3")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keys", 0),
        ("keys", True),
        ("threads", -1),
        ("writes", 2),
        ("pause", -1),
        ("slow_one_in", 0),
    ],
)
def test_a_load_that_cannot_be(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        Load(**{name: value})


def test_a_program_that_does_not_listen(tmp_path: Path) -> None:
    script = tmp_path / "memcached"
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    with pytest.raises(OSError, match="does not listen"):
        ServerFleet(Processes(str(script)))
