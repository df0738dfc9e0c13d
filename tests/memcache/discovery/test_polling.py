"""Sources that look from time to time: when they ask, and what ends a question."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from support.discovering import answer, soon
from support.pools import Clock, in_child

from godropbox.memcache.discovery import Answer, SourceError
from godropbox.memcache.discovery.polling import PolledSource


class Polled(PolledSource):
    """Answers what `ask` returns."""

    def __init__(self, ask: Callable[[], Any], interval: float = 10.0, **named: Any) -> None:
        super().__init__("polled://main", interval, named.pop("timeout", 5.0), **named)
        self._function = ask

    def _ask(self) -> Answer:
        found: Answer = self._function()
        return found


def test_it_is_asked_at_once_and_then_each_interval() -> None:
    said = iter(range(1, 10))
    clock = Clock()
    source = Polled(lambda: answer(next(said)), clock=clock)
    assert source.is_polled
    assert source.next(20) == answer(1)
    assert source.next(0) is None
    clock.advance(9.9)
    assert source.next(0) is None
    clock.advance(0.1)
    assert source.next(20) == answer(2)
    assert repr(source) == "<Polled polled://main>"


def test_one_question_is_under_way_at_a_time() -> None:
    go, asked = threading.Event(), []

    def ask() -> Answer:
        asked.append(1)
        go.wait(20)
        return answer(3)

    source = Polled(ask)
    assert source.next(0.05) is None
    assert source.next(0) is None
    go.set()
    assert source.next(20) == answer(3)
    assert asked == [1]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SourceError("polled://main: refused"), "polled://main: refused"),
        (ZeroDivisionError("oh"), "polled://main: oh"),
        (SystemExit("end"), "polled://main: end"),
    ],
)
def test_an_error_is_raised_and_the_next_call_asks_anew(error: BaseException, message: str) -> None:
    said: list[Any] = [error, answer(2)]

    def ask() -> Answer:
        what = said.pop(0)
        if isinstance(what, BaseException):
            raise what
        found: Answer = what
        return found

    source = Polled(ask)
    with pytest.raises(SourceError) as raised:
        source.next(20)
    assert str(raised.value) == message
    assert source.next(20) == answer(2)


def test_a_question_that_hangs_is_late_and_what_comes_of_it_is_dropped() -> None:
    go = threading.Event()
    said = [answer(1), answer(2)]
    clock = Clock()

    def ask() -> Answer:
        mine = said.pop(0)
        if mine == answer(1):
            go.wait(20)
        return mine

    source = Polled(ask, timeout=3.0, clock=clock)
    assert source.next(0) is None
    clock.advance(4.0)
    with pytest.raises(SourceError, match="polled://main: no answer within 3 s"):
        source.next(0)
    go.set()
    assert source.next(20) == answer(2)


def test_close_ends_a_call_under_way_and_another_begins_anew() -> None:
    go, failures = threading.Event(), []
    source = Polled(lambda: answer(1) if go.wait(20) else answer(2))

    def ask() -> None:
        try:
            source.next(60)
        except SourceError as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    soon(lambda: [each for each in threading.enumerate() if each.name.endswith("question")])
    begun = monotonic()
    source.close()
    thread.join()
    assert monotonic() - begun < 5
    assert "polled://main was closed" in str(failures[0])
    go.set()
    assert source.next(20) == answer(1)


def test_the_child_of_a_fork_asks_for_itself() -> None:
    go = threading.Event()
    is_parent = [True]

    def ask() -> Answer:
        if is_parent[0]:
            go.wait(20)
        return answer(1 if is_parent[0] else 2)

    source = Polled(ask)
    assert source.next(0) is None

    def child() -> None:
        is_parent[0] = False
        assert source.next(20) == answer(2)

    assert in_child(child) == 0
    go.set()
    assert source.next(20) == answer(1)
