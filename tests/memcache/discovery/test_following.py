"""What a follower does between two questions: steps, hooks, logs, waits; no thread, no source."""

import logging
from collections.abc import Generator
from dataclasses import fields
from functools import partial
from typing import Any

import pytest
from support.discovering import answer, down, fleet
from support.pools import Clock

from godropbox.memcache import InvalidArgumentError, InvalidTypeError
from godropbox.memcache.discovery import (
    FollowEvent,
    FollowOptions,
    FollowOverrides,
    SourceError,
)
from godropbox.memcache.discovery.following import (
    Apply,
    Ask,
    Following,
    Keep,
    Load,
    Pause,
    Renew,
    Step,
    log,
)
from godropbox.resource_pool import LameDuckError

AWAY = SourceError("script://main: refused")


class Driver:
    """Takes the steps by hand."""

    def __init__(self, is_polled: bool = False, **options: Any) -> None:
        self.clock = Clock()
        self.events: list[FollowEvent] = []
        hooks = (*options.pop("hooks", ()), self.events.append)
        chosen = FollowOptions(clock=self.clock, random=lambda: 0.0, hooks=hooks, **options)
        self.following = Following("script://main", chosen, is_polled)
        self.steps: Generator[Step, Any, None] = self.following.steps()
        self.step: Step = next(self.steps)

    def send(self, outcome: Any = None) -> Step:
        if isinstance(outcome, Exception):
            self.step = self.steps.throw(outcome)
        else:
            self.step = self.steps.send(outcome)
        return self.step

    def has(self, count: int) -> None:
        """Have a fleet in force."""
        assert isinstance(self.step, Ask)
        assert isinstance(self.send(answer(count, 1)), Apply)
        assert isinstance(self.send(), Ask)
        self.clock.advance(100)
        self.events.clear()

    @property
    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.events]


def test_an_answer_is_applied_and_told() -> None:
    it = Driver()
    assert it.step == Ask(5.0)
    step = it.send(answer(2, 3))
    assert isinstance(step, Apply)
    assert [each.name for each in step.states] == ["cache-0", "cache-1"]
    assert not it.following.has_fleet
    assert it.send() == Ask(5.0)
    assert it.following.has_fleet
    (event,) = it.events
    assert event == FollowEvent(
        "script://main", "accepted", fleet(2), 3, added=("cache-0", "cache-1")
    )
    it.clock.advance(1.5)
    status = it.following.status()
    assert status[:4] == ("script://main", fleet(2), 3, 1.5)
    assert (status.counts["accepted"], status.error, status.held) == (1, None, ())


def test_a_server_whose_name_is_its_address_has_no_other() -> None:
    it = Driver()
    step = it.send(answer([fleet(1)[0]._replace(name="10.0.0.0:11211")]))
    assert isinstance(step, Apply)
    assert step.states[0].name == ""


def test_hooks_are_told_what_changed() -> None:
    it = Driver()
    it.has(6)
    it.send(answer([down(fleet(6)[0]), *fleet(6, 2)], 2))
    it.send()
    (event,) = it.events
    assert (event.added, event.removed) == (("cache-6", "cache-7"), ("cache-1",))
    assert event.changed == ("cache-0",)


def test_failures_are_retried_later_and_later(caplog: pytest.LogCaptureFixture) -> None:
    it = Driver(retry_after=1.0, max_retry_after=5.0)
    it.has(3)
    for wait in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert it.send(AWAY) == Pause(wait)
        assert it.send() == Ask(5.0)
    assert it.outcomes == ["failed"] * 5
    assert it.events[0].error is AWAY
    assert it.following.status().error == str(AWAY)
    with caplog.at_level(logging.INFO, log.name):
        it.send(answer(3, 1))
    assert caplog.messages[1:] == ["script://main: answers again"]
    assert it.following.status().error is None
    assert it.send(AWAY) == Pause(1.0)


def test_any_exception_of_a_source_is_a_failure() -> None:
    it = Driver()
    assert isinstance(it.send(ZeroDivisionError("oh")), Pause)
    assert it.events[0].outcome == "failed"


def test_a_source_that_is_away_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    it = Driver()
    it.has(3)
    for _ in range(5):
        it.send(AWAY)
        it.send()
    assert caplog.messages == ["script://main: refused; the fleet of 3 servers stays"]
    it.send(answer(0))
    it.send(answer(0))
    assert caplog.messages[1:] == [
        "script://main: it says that there is no server; the fleet of 3 servers stays"
    ]


@pytest.mark.parametrize(
    ("said", "outcome"),
    [(answer(0, 9), "empty"), (answer(3, 0), "older"), (answer(1, 9), "held")],
)
def test_poison_is_told_and_changes_nothing(said: Any, outcome: str) -> None:
    it = Driver()
    it.has(6)
    assert isinstance(it.send(said), Ask)
    assert it.outcomes == [outcome]
    assert it.events[0].servers == fleet(6)


def test_garbage_is_told_with_its_error_and_asked_for_again() -> None:
    it = Driver()
    it.has(6)
    assert isinstance(it.send("garbage"), Pause)
    assert it.outcomes == ["malformed"]
    assert "script://main gave what is no list" in str(it.events[0].error)


def test_after_a_silence_a_source_is_read_anew() -> None:
    it = Driver()
    it.has(6)
    assert it.send(answer(1, 2)) == Ask(5.0)
    it.clock.advance(6)
    assert it.send(None) == Ask(4.0)
    it.clock.advance(4)
    assert it.send(None) == Renew()
    assert it.send() == Ask(5.0)
    it.clock.advance(5)
    assert it.send(None) == Ask(5.0)  # it is not closed again while it has not answered
    assert isinstance(it.send(answer(1, 2)), Apply)


def test_a_source_that_hangs_confirms_nothing() -> None:
    it = Driver(retry_after=1.0)
    it.has(6)
    it.send(answer(1, 2))
    it.clock.advance(10)
    assert it.send(None) == Renew()
    it.send()
    it.clock.advance(5)
    assert isinstance(it.send(AWAY), Pause)
    it.send()
    it.clock.advance(60)
    assert it.send(answer(1, 2)) == Ask(5.0)
    assert it.outcomes == ["held", "failed", "held"]
    assert it.following.status().servers == fleet(6)
    it.clock.advance(10)
    assert it.send(None) == Renew()
    it.send()
    assert isinstance(it.send(answer(6, 3)), Ask)
    assert it.following.status().held == ()


def test_a_source_that_cannot_be_closed_is_a_failure() -> None:
    it = Driver()
    it.has(6)
    it.send(answer(1, 2))
    it.clock.advance(10)
    assert it.send(None) == Renew()
    assert isinstance(it.send(OSError("close")), Pause)
    assert it.outcomes == ["held", "failed"]


@pytest.mark.parametrize("bad", [AWAY, "garbage"])
@pytest.mark.parametrize("said", [answer(1, 2), answer(6, 0)])
def test_two_answers_with_an_outage_between_confirm_nothing(said: Any, bad: Any) -> None:
    it = Driver(is_polled=True, retry_after=10.0)
    it.has(6)
    it.send(said)
    it.send(bad)
    it.send()
    it.clock.advance(10)
    assert isinstance(it.send(said), Ask)
    assert it.outcomes[0] == it.outcomes[2]
    it.clock.advance(10)
    before = it.following.status().counts
    it.send(said)
    after = it.following.status().counts
    assert after["held"] + after["older"] == before["held"] + before["older"]


def test_silence_confirms_nothing_where_the_source_only_looks() -> None:
    it = Driver(is_polled=True)
    it.has(6)
    it.send(answer(1, 2))
    it.clock.advance(10)
    assert it.send(None) == Ask(5.0)
    assert isinstance(it.send(answer(1, 2)), Apply)


def test_a_damped_answer_is_applied_when_it_is_due() -> None:
    it = Driver(min_interval=2.0)
    it.has(6)
    it.send(answer(7, 2))
    it.send()
    assert it.send(answer(8, 3)) == Ask(2.0)
    it.clock.advance(1.9)
    step = it.send(None)
    assert isinstance(step, Ask)
    assert step.seconds == pytest.approx(0.1)
    it.clock.advance(0.1)
    assert isinstance(it.send(None), Apply)
    it.send()
    assert it.outcomes == ["accepted", "damped", "accepted"]


def test_a_damped_answer_is_applied_while_the_source_fails() -> None:
    it = Driver(min_interval=2.0, retry_after=10.0, max_retry_after=10.0)
    it.has(6)
    it.send(answer(7, 2))
    it.send()
    it.send(answer(8, 3))
    step = it.send(AWAY)
    assert step == Pause(2.0)
    it.clock.advance(2.0)
    it.send()
    assert isinstance(it.send(AWAY), Apply)


def test_a_manager_that_refuses_is_told_and_the_fleet_stays() -> None:
    it = Driver()
    it.has(3)
    assert isinstance(it.send(answer(4, 2)), Apply)
    assert isinstance(it.send(InvalidArgumentError("tls must be None")), Ask)
    assert it.outcomes == ["malformed"]
    assert it.following.status().servers == fleet(3)
    assert isinstance(it.send(answer(4, 2)), Apply)


def test_what_a_manager_refused_is_tried_again_though_the_source_says_no_more() -> None:
    it = Driver(retry_after=1.0, max_retry_after=2.0)
    it.has(3)
    assert isinstance(it.send(answer(4, 2)), Apply)
    for wait in (1.0, 2.0, 2.0):
        assert it.send(MemoryError()) == Ask(wait)
        it.clock.advance(wait)
        assert isinstance(it.send(None), Apply)
    assert it.send() == Ask(5.0)
    assert it.outcomes == ["malformed"] * 3 + ["accepted"]
    assert it.following.status().servers == fleet(4)
    assert it.following.status().error is None
    it.clock.advance(100)
    it.send(answer(5, 3))
    assert it.send(MemoryError()) == Ask(1.0)
    assert it.send(answer(4, 4)) == Ask(5.0)  # it says again what is in force
    assert it.following.status().servers == fleet(4)


def test_following_ends_with_its_manager() -> None:
    it = Driver()
    it.send(answer(4))
    with pytest.raises(StopIteration):
        it.send(LameDuckError("closed"))


def test_hooks_that_raise_are_logged_and_the_others_are_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: FollowEvent) -> None:
        raise SystemExit("a hook")

    it = Driver(hooks=(fail,))
    it.has(3)
    assert isinstance(it.send(answer(0)), Ask)
    assert it.outcomes == ["empty"]
    assert "script://main: a hook failed at empty" in caplog.messages


def test_ctrl_c_in_a_hook_is_not_swallowed() -> None:
    def interrupt(event: FollowEvent) -> None:
        raise KeyboardInterrupt

    it = Driver()
    it.has(1)
    it = Driver(hooks=(interrupt,))
    with pytest.raises(KeyboardInterrupt):
        it.send(answer(0))


def test_the_file_is_read_first_and_written_after_each_change() -> None:
    it = Driver(keep="fleet")
    assert it.step == Load()
    assert isinstance(it.send(answer(3, 7)), Apply)
    assert it.send() == Ask(5.0)
    assert it.outcomes == ["restored"]
    assert it.following.status().is_restored
    assert it.following.has_fleet
    it.send(answer(3, 7))
    assert not it.following.status().is_restored
    step = it.send(answer(4, 8))
    assert isinstance(step, Apply)
    assert it.send() == Keep(answer(4, 8))
    assert it.send() == Ask(5.0)


def test_without_a_file_the_source_is_asked() -> None:
    it = Driver(keep="fleet")
    assert it.send(None) == Ask(5.0)
    assert not it.following.has_fleet


@pytest.mark.parametrize("bad", [SourceError("fleet is not what was kept"), answer(0)])
def test_a_garbled_file_is_told_and_left_aside(bad: Any) -> None:
    it = Driver(keep="fleet")
    step = it.send(bad)
    if isinstance(step, Apply):
        step = it.send(ValueError("none"))
    assert step == Ask(5.0)
    assert it.outcomes == ["unreadable"]
    assert it.following.status().counts["unreadable"] == 1
    assert isinstance(it.send(answer(3)), Apply)


def test_a_file_that_cannot_be_written_is_told() -> None:
    it = Driver(keep="fleet")
    it.send(None)
    it.send(answer(3))
    it.send()
    assert it.send(SourceError("fleet cannot be written: full")) == Ask(5.0)
    assert it.outcomes == ["accepted", "unkept"]
    assert it.following.status().error is None


def test_a_file_that_could_not_be_written_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    full = SourceError("fleet cannot be written: full")
    it = Driver(keep="fleet", retry_after=1.0)
    it.send(None)
    it.send(answer(3))
    assert it.send() == Keep(answer(3))
    it.send(full)
    assert it.send(answer(3)) == Ask(5.0)  # not at once
    it.clock.advance(1)
    assert it.send(answer(3)) == Keep(answer(3))
    it.send(full)
    it.clock.advance(1)
    assert it.send(None) == Ask(5.0)
    it.clock.advance(1)
    assert it.send(None) == Keep(answer(3))
    with caplog.at_level(logging.INFO, log.name):
        assert it.send() == Ask(5.0)
    it.clock.advance(100)
    assert it.send(None) == Ask(5.0)
    assert it.outcomes == ["accepted", "unkept", "unkept"]
    assert [each.split(": ", 1)[1] for each in caplog.messages] == [
        "not kept in the file: fleet cannot be written: full; the fleet of 3 servers stays",
        "the fleet is kept in the file again",
    ]


def test_what_was_not_kept_gives_way_to_what_is_newer() -> None:
    it = Driver(keep="fleet", retry_after=10.0)
    it.send(None)
    it.send(answer(3))
    it.send()
    it.send(SourceError("full"))
    it.clock.advance(2)
    assert isinstance(it.send(answer(4)), Apply)
    assert it.send() == Keep(answer(4))


async def _hook(*events: Any) -> None:
    """It would never be awaited."""


class _Hook:
    async def __call__(self, event: FollowEvent) -> None:
        """It would never be awaited."""


def test_every_option_has_a_type_by_name() -> None:
    names = [field.name for field in fields(FollowOptions)]
    assert list(FollowOverrides.__annotations__) == names


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"min_interval": -1}, ValueError, r"min_interval must be in \[0, 86400\] seconds, got -1"),
        ({"min_interval": float("nan")}, ValueError, "min_interval must be in"),
        ({"max_change": 0}, ValueError, r"max_change must be in \(0, 1\] or None, got 0"),
        ({"max_change": 1.1}, ValueError, "max_change must be in"),
        ({"confirm_after": "1"}, TypeError, "confirm_after must be a number in"),
        ({"confirm_after": True}, TypeError, "confirm_after must be a number in"),
        ({"retry_after": 0}, ValueError, r"retry_after must be in \[0.01, 3600\] seconds, got 0"),
        ({"retry_after": 60}, ValueError, "max_retry_after must be at least retry_after, 60"),
        ({"keep": 5}, TypeError, "keep must be a path or None, got 5"),
        ({"hooks": print}, TypeError, "hooks must be a tuple of callables"),
        ({"hooks": (1,)}, TypeError, "hooks must be a tuple of callables"),
        ({"hooks": (_hook,)}, TypeError, "hooks must be plain functions, .* a coroutine function"),
        ({"hooks": (partial(_hook, 1),)}, TypeError, "hooks must be plain functions"),
        ({"hooks": (_Hook(),)}, TypeError, "hooks must be plain functions"),
        ({"clock": 1}, TypeError, "clock must be a callable, got 1"),
        ({"min_intervall": 1}, TypeError, "did you mean 'min_interval'?"),
    ],
)
def test_bad_options_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        FollowOptions(**options)
    assert isinstance(raised.value, (InvalidArgumentError, InvalidTypeError))
