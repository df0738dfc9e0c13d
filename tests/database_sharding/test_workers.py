"""Threads for scattered statements: how many, whose calls wait, what is taken back."""

import threading
from collections.abc import Callable
from time import monotonic, sleep

import pytest

from godropbox.database.sharding._workers import Workers


class Held:
    """Calls that wait until they are let go, and what began."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.go_on = threading.Event()
        self.changed = threading.Condition()

    def call(self, name: str) -> Callable[[], object]:
        def run() -> None:
            with self.changed:
                self.began.append(name)
                self.changed.notify_all()
            self.go_on.wait(60)

        return run

    def until(self, names: set[str]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: set(self.began) >= names, 60), self.began


def test_a_host_has_so_many_threads_and_holds_up_no_other() -> None:
    held = Held()
    workers = Workers(3, 2)
    for number in range(5):
        workers.submit("a", held.call(f"a{number}"))
    workers.submit("b", held.call("b0"))
    held.until({"a0", "a1", "b0"})
    workers.submit("b", held.call("b1"))  # all threads are taken
    assert sorted(held.began) == ["a0", "a1", "b0"]
    held.go_on.set()
    held.until({"a2", "a3", "a4", "b1"})
    assert len(held.began) == 7


@pytest.mark.parametrize("most", [1, 8])
def test_what_has_not_begun_is_taken_back(most: int) -> None:
    held = Held()
    workers = Workers(most, 1)
    first, second, third = (held.call(name) for name in ("first", "second", "third"))
    workers.submit("a", first)
    held.until({"first"})
    workers.submit("a", second)  # waits for its host
    workers.submit("a", third)
    other = held.call("other")
    workers.submit("b", other)
    if most == 1:  # waits for a thread
        assert workers.withdraw("b", other)
    else:
        held.until({"other"})
        assert not workers.withdraw("b", other)
    assert workers.withdraw("a", second)
    assert not workers.withdraw("a", second)
    assert not workers.withdraw("a", first)
    held.go_on.set()
    held.until({"third"})
    assert "second" not in held.began
    deadline = monotonic() + 60
    while any(workers._busy.values()):
        assert monotonic() < deadline
    assert not workers._held


def test_a_call_that_was_held_follows_one_that_is_taken_back() -> None:
    held = Held()
    workers = Workers(1, 1)
    workers.submit("a", held.call("a"))
    held.until({"a"})
    queued, follows = held.call("queued"), held.call("follows")
    workers.submit("b", queued)
    workers.submit("b", follows)
    assert workers.withdraw("b", queued)
    held.go_on.set()
    held.until({"follows"})
    assert held.began == ["a", "follows"]


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    workers = Workers(2, 2)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            workers.submit("a", held.call("a"))
    assert not any(workers._busy.values())
    held.go_on.set()
    workers.submit("a", held.call("b"))
    held.until({"b"})
    assert held.began == ["b"]


def test_hosts_that_are_gone_leave_nothing() -> None:
    held = Held()
    workers = Workers(4, 1)
    calls = {name: held.call(name) for name in ("a", "b", "c")}
    for name, call in calls.items():
        workers.submit(name, call)
    workers.submit("a", calls["b"])
    held.until({"a", "b", "c"})
    assert workers._busy == {"a": 1, "b": 1, "c": 1}
    held.go_on.set()
    until = monotonic() + 60
    while workers._busy and monotonic() < until:
        sleep(0.001)
    assert (workers._busy, workers._held) == ({}, {})
