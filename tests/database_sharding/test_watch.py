"""The thread that breaks off what is late."""

import threading
from time import monotonic
from typing import Any

import pytest

from godropbox.database.sharding._watch import Watch

TARGET = object()


def test_what_goes_on_is_aborted_again() -> None:
    """SQLite's interrupt stops only what has begun, which may be a moment after the deadline."""
    aborted: list[object] = []
    third = threading.Event()

    def abort(target: object) -> None:
        aborted.append(target)
        if len(aborted) == 3:
            third.set()

    watch = Watch(abort)
    token = watch.begin(TARGET, monotonic())
    try:
        assert third.wait(30)
        assert not watch.end(token)
        watch.expire()
        before = len(aborted)
        watch.expire()
        assert len(aborted) == before
        assert set(aborted) == {TARGET}
        assert watch.end(watch.begin(TARGET, monotonic() + 60))
    finally:
        watch.close()


def test_deadlines_are_kept_after_a_thread_that_did_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aborted = threading.Event()
    watch = Watch(lambda target: aborted.set())

    def refuse(thread: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            watch.begin(TARGET, monotonic() + 60)
    try:
        token = watch.begin(TARGET, monotonic())
        assert aborted.wait(30)
        assert not watch.end(token)
    finally:
        watch.close()
