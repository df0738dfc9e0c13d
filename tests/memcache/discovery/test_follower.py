"""A thread that follows a source: begins, waits, ends, and goes on after whatever happens."""

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from support.discovering import Recorder, Scripted, answer, fleet, soon
from support.pools import in_child

from godropbox.memcache import (
    BaseShardManager,
    InvalidTypeError,
    ShardState,
    StaticShardManager,
)
from godropbox.memcache.aio import AsyncBaseShardManager
from godropbox.memcache.discovery import (
    Answer,
    FileSource,
    Follower,
    FollowEvent,
    FollowOptions,
    SourceError,
    follow,
)

QUICK = FollowOptions(min_interval=0.0, retry_after=0.01, max_retry_after=0.02)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    soon(lambda: not [t for t in threading.enumerate() if t.name.startswith("godropbox disc")])


def names(manager: BaseShardManager) -> list[str]:
    return [shard.name for shard in manager.fleet().shards]


def test_a_manager_has_what_the_source_says() -> None:
    source, manager = Scripted(answer(3)), BaseShardManager()
    with Follower(source, manager, QUICK) as follower:
        assert follower.wait(20)
        assert names(manager) == ["cache-0", "cache-1", "cache-2"]
        assert repr(follower) == "<Follower of script://main>"
        source.say(answer(5))
        soon(lambda: len(names(manager)) == 5)
        assert follower.status.servers == fleet(5)
    assert source.closes >= 1
    assert len(manager.fleet().shards) == 5
    manager.close()


def test_whatever_a_source_does_the_fleet_stays() -> None:
    source, manager = Scripted(answer(6, 10)), BaseShardManager()
    with Follower(source, manager, QUICK) as follower:
        assert follower.wait(20)
        before = manager.fleet()
        poison: list[Any] = [
            SourceError("away"),
            ZeroDivisionError(),
            answer(0, 11),
            answer(5, 9),
            answer(1, 11),
            "garbage",
            Answer(12, None),  # type: ignore[arg-type]
            answer([("x", "y", "z")], 12),  # type: ignore[list-item]
            SystemExit("a source"),
            OSError("gone"),
        ]
        for each in poison:
            source.say(each)
        soon(lambda: sum(follower.status.counts.values()) == 1 + len(poison))
        assert manager.fleet() is before
        counts = follower.status.counts
        assert (counts["failed"], counts["malformed"]) == (4, 3)
        assert (counts["empty"], counts["older"], counts["held"]) == (1, 1, 1)
        source.say(answer(7, 13))
        soon(lambda: len(names(manager)) == 7)


def test_states_are_in_force_at_once() -> None:
    source, manager = Scripted(answer(3)), Recorder()
    with Follower(source, manager) as follower:
        for i in range(1, 6):
            state = ShardState.WRITE_ONLY if i % 2 else ShardState.ACTIVE
            source.say(answer([fleet(3)[0]._replace(state=state), *fleet(2, 1)]))
        soon(lambda: follower.status.counts["accepted"] == 6)
        assert follower.status.counts["damped"] == 0
    assert [each[0].state for each in manager.fleets] == [0, 1, 0, 1, 0, 1]


def test_errors_of_manager_and_hooks_end_nothing() -> None:
    events: list[str] = []

    def hook(event: FollowEvent) -> None:
        events.append(event.outcome)
        raise SystemExit(event.outcome)

    source, manager = Scripted(), Recorder()
    manager.error = SystemExit("a manager")
    with Follower(source, manager, QUICK, hooks=(hook,)) as follower:
        for error in (SystemExit("a manager"), RuntimeError("a manager")):
            manager.error = error
            count = follower.status.counts["malformed"]
            source.say(answer(3))
            soon(lambda count=count: follower.status.counts["malformed"] > count)  # type: ignore[misc]
        manager.error = None
        source.say(answer(3))
        assert follower.wait(20)
    assert manager.names == [["cache-0", "cache-1", "cache-2"]]
    assert [*dict.fromkeys(events)] == ["malformed", "accepted"]  # it is told again and again


def test_close_is_prompt_and_may_come_at_any_time() -> None:
    source = Scripted()
    follower = Follower(source, BaseShardManager())
    assert not follower.wait(0)
    follower.close()
    with pytest.raises(SourceError, match="the follower of script://main was closed"):
        follower.start()
    follower = Follower(source, BaseShardManager()).start().start()
    begun = monotonic()
    follower.close()
    follower.close()
    assert monotonic() - begun < 4
    assert not follower.wait(0)


def test_close_ends_a_wait_and_a_pause() -> None:
    follower = Follower(Scripted(SourceError("away")), BaseShardManager(), retry_after=10.0)
    follower.start()
    soon(lambda: follower.status.counts["failed"])
    waited: list[bool] = []
    thread = threading.Thread(target=lambda: waited.append(follower.wait()))
    thread.start()
    begun = monotonic()
    follower.close()
    thread.join()
    assert monotonic() - begun < 4
    assert waited == [False]


def test_a_hook_may_close_its_follower() -> None:
    follower = Follower(
        Scripted(answer(2)), BaseShardManager(), hooks=(lambda event: follower.close(),)
    )
    follower.start()
    soon(lambda: follower.status.counts["accepted"])


def test_following_ends_when_the_manager_is_closed() -> None:
    source, manager = Scripted(answer(2)), BaseShardManager()
    follower = Follower(source, manager, QUICK).start()
    assert follower.wait(20)
    manager.close()
    source.say(answer(3))
    soon(lambda: not [t for t in threading.enumerate() if t.name == "godropbox discovery"])
    follower.close()


def test_there_is_a_fleet_once_the_manager_has_it(tmp_path: Path) -> None:
    """Both the one of the file and the one of the source, however slow the manager is."""

    class Slow(BaseShardManager):
        def update_shard_states(self, states: Any) -> None:
            assert go_on.wait(20)
            super().update_shard_states(states)

    keep = tmp_path / "fleet"
    for source in (Scripted(answer(3, 7)), Scripted(SourceError("away"))):
        go_on = threading.Event()
        manager = Slow()
        with Follower(source, manager, QUICK, keep=keep) as follower:
            assert not follower.wait(0.1)
            assert names(manager) == []
            go_on.set()
            assert follower.wait(20)
            assert names(manager) == ["cache-0", "cache-1", "cache-2"]
            soon(keep.exists)


def test_a_process_starts_from_the_file_while_the_source_is_away(tmp_path: Path) -> None:
    keep = tmp_path / "fleet"
    with Follower(Scripted(answer(3, 7)), BaseShardManager(), QUICK, keep=keep) as follower:
        assert follower.wait(20)
        soon(keep.exists)
    source, manager = Scripted(SourceError("away")), BaseShardManager()
    with Follower(source, manager, QUICK, keep=keep) as follower:
        assert follower.wait(20)
        assert names(manager) == ["cache-0", "cache-1", "cache-2"]
        soon(lambda: follower.status.counts["failed"])
        assert follower.status.is_restored
        source.say(answer(1, 8))  # it is held back, as it would have been in the process before
        soon(lambda: follower.status.counts["held"])
        assert len(names(manager)) == 3
        source.say(answer(4, 9))
        soon(lambda: len(names(manager)) == 4)
        assert not follower.status.is_restored


def test_a_garbled_file_is_left_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "fleet").write_text("{")
    manager = BaseShardManager()
    with Follower(Scripted(answer(3)), manager, QUICK, keep=tmp_path / "fleet") as follower:
        assert follower.wait(20)
        assert follower.status.counts["unreadable"] == 1
        assert "the file is no use" in caplog.text
        soon(lambda: (tmp_path / "fleet").read_text() != "{")


def test_follow_waits_for_a_fleet_or_says_why_there_is_none() -> None:
    manager = BaseShardManager()
    follow(Scripted(answer(2)), manager, QUICK, wait=20.0).close()
    assert len(names(manager)) == 2
    source = Scripted(SourceError("script://main: refused"))
    with pytest.raises(SourceError, match=r"no fleet from script://main within 0.2 s: .*refused"):
        follow(source, manager, wait=0.2)
    assert source.closes
    with pytest.raises(SourceError, match=r"within 0.1 s: it has not answered"):
        follow(Scripted(), manager, wait=0.1)
    follow(Scripted(), manager, wait=0).close()


def test_sources_are_given_as_such_or_by_url_or_made(tmp_path: Path) -> None:
    (tmp_path / "fleet").write_text("a:1\n")
    for source in (
        FileSource(tmp_path / "fleet"),
        f"file:{tmp_path}/fleet",
        lambda: FileSource(tmp_path / "fleet"),
    ):
        manager = BaseShardManager()
        follow(source, manager, wait=20.0).close()
        assert names(manager) == ["a:1"]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InvalidTypeError, match="source must be a URL, a Source or a callable"):
        Follower(5, BaseShardManager())  # type: ignore[arg-type]
    with pytest.raises(InvalidTypeError, match="manager must have update_shard_states"):
        Follower(Scripted(), object())  # type: ignore[arg-type]
    with pytest.raises(InvalidTypeError, match="manager must be a blocking one"):
        Follower(Scripted(), AsyncBaseShardManager())
    with pytest.raises(InvalidTypeError, match="did you mean 'min_interval'"):
        Follower(Scripted(), BaseShardManager(), min_intervall=1.0)  # type: ignore[call-arg]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_child_of_a_fork_follows_anew(tmp_path: Path) -> None:
    path = tmp_path / "fleet"
    path.write_text("a:1\n")
    manager = BaseShardManager()
    made: list[FileSource] = []

    def make() -> FileSource:
        made.append(FileSource(path, interval=0.01))
        return made[-1]

    with Follower(make, manager, QUICK) as follower:
        assert follower.wait(20)

        def child() -> None:
            assert len(made) == 2
            assert follower.wait(20)
            assert names(manager) == ["a:1"]
            path.write_text("a:1\nb:1 DOWN\n")
            soon(lambda: len(names(manager)) == 2)
            assert manager.fleet().shards[1].state is ShardState.DOWN
            follower.close()

        assert in_child(child) == 0
        soon(lambda: len(names(manager)) == 2)
        assert len(made) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_begins_nothing_that_had_not_begun_or_was_closed() -> None:
    source = Scripted(answer(1))
    idle = Follower(source, BaseShardManager())
    closed = Follower(source, StaticShardManager(["a:1"])).start()
    closed.close()

    def child() -> None:
        assert threading.active_count() == 1
        assert not idle.wait(0)
        with pytest.raises(SourceError, match="was closed"):
            closed.start()

    assert in_child(child) == 0


def test_what_is_told_is_logged_sparingly(caplog: pytest.LogCaptureFixture) -> None:
    source = Scripted(answer(3))
    with (
        caplog.at_level(logging.INFO, "godropbox.memcache.discovery"),
        Follower(source, BaseShardManager(), QUICK) as follower,
    ):
        for _ in range(5):
            source.say(SourceError("script://main: refused"))
        source.say(answer(3))
        soon(lambda: follower.status.counts["unchanged"])
    assert caplog.messages == [
        "script://main: 3 servers, cache-0 cache-1 cache-2 new",
        "script://main: refused; the fleet of 3 servers stays",
        "script://main: answers again",
    ]
