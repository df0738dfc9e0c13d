"""godropbox.locks: one holder a key, by threads and by tasks."""

import asyncio
import copy
import os
import random
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from godropbox.errors import DropboxError
from godropbox.locks import KeyLocks, LockTimeoutError
from godropbox.locks.aio import AsyncKeyLocks

PATIENCE = 30  # seconds


def in_thread(function: Callable[[], Any]) -> Any:
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(function())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    return found[0]


def test_one_holder_a_key() -> None:
    locks = KeyLocks()
    with locks.hold("a"):
        assert len(locks) == 1
        assert in_thread(lambda: locks.acquire("a", 0)) is False

        def take_another() -> bool:
            with locks.hold("b", 0):
                return len(locks) == 2

        assert in_thread(take_another) is True
        assert len(locks) == 1
        error = in_thread(lambda: locks.hold("a", 0.01).__enter__())
        assert isinstance(error, LockTimeoutError)
        assert isinstance(error, DropboxError)
        assert str(error).startswith("others held the lock of 'a' (str) for 0.01 s")
    assert len(locks) == 0


def test_no_two_are_inside_at_once() -> None:
    locks = KeyLocks()
    inside: dict[int, int] = dict.fromkeys(range(3), 0)

    def work(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(300):
            keys = draw.sample(range(3), draw.randrange(1, 3))
            with locks.hold_all(keys, PATIENCE):
                for key in keys:
                    before = inside[key]
                    inside[key] = -1
                    assert before >= 0
                    inside[key] = before + 1

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    counts = sum(
        len(draw.sample(range(3), draw.randrange(1, 3)))
        for draw in map(random.Random, range(4))
        for _ in range(300)
    )
    assert sum(inside.values()) == counts
    assert len(locks) == 0


def test_a_thread_that_holds_a_key_may_not_wait_for_it() -> None:
    locks = KeyLocks()
    with locks.hold("a"):
        with pytest.raises(RuntimeError, match="this thread holds the lock of 'a' already"):
            locks.acquire("a")
        error = in_thread(lambda: locks.release("a"))
        assert isinstance(error, RuntimeError)
        assert "does not hold the lock of 'a'" in str(error)
    with pytest.raises(RuntimeError, match="does not hold"):
        locks.release("a")


def test_an_error_inside_lets_go() -> None:
    locks = KeyLocks()
    held = []

    def fail() -> None:
        with locks.hold_all(["a", "b", "a"]):
            held.append(len(locks))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert held == [2]
    assert len(locks) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_child_of_a_fork_has_what_its_thread_held() -> None:
    locks = KeyLocks()
    others = threading.Event()
    may_end = threading.Event()

    def hold() -> None:
        with locks.hold("other"):
            others.set()
            may_end.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert others.wait(PATIENCE)
    with locks.hold("mine"):
        child = os.fork()
        if child == 0:
            right = len(locks) == 1 and locks.acquire("other", 0)
            locks.release("mine")
            os._exit(0 if right and len(locks) == 1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    may_end.set()
    thread.join(PATIENCE)


def run(main: Callable[[AsyncKeyLocks], Awaitable[None]]) -> None:
    async def whole() -> None:
        locks = AsyncKeyLocks()
        await asyncio.wait_for(main(locks), PATIENCE)
        assert len(locks) == 0

    asyncio.run(whole())


def test_tasks_take_turns() -> None:
    async def main(locks: AsyncKeyLocks) -> None:
        inside: set[int] = set()
        done = 0

        async def work(seed: int) -> None:
            nonlocal done
            draw = random.Random(seed)
            for _ in range(30):
                keys = draw.sample(range(3), draw.randrange(1, 3))
                async with locks.hold_all(keys, PATIENCE):
                    assert not inside & set(keys)
                    inside.update(keys)
                    await asyncio.sleep(0)
                    inside.difference_update(keys)
                    done += 1

        await asyncio.gather(*map(work, range(5)))
        assert done == 150

    run(main)


def test_a_task_that_waits_can_give_up_or_be_cancelled() -> None:
    async def main(locks: AsyncKeyLocks) -> None:
        async with locks.hold("a"):
            with pytest.raises(RuntimeError, match="this task holds the lock of 'a' already"):
                await locks.acquire("a")
            assert await asyncio.create_task(locks.acquire("a", 0)) is False
            assert await asyncio.create_task(locks.acquire("a", 0.01)) is False
            with pytest.raises(LockTimeoutError):
                await asyncio.create_task(locks.hold("a", 0.01).__aenter__())
            waits = asyncio.create_task(locks.acquire("a"))
            await asyncio.sleep(0)
            assert waits.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waits

            async def let_go() -> None:
                locks.release("a")

            with pytest.raises(RuntimeError, match="this task does not hold"):
                await asyncio.create_task(let_go())

    run(main)


@pytest.mark.parametrize(
    ("timeout", "error", "words"),
    [
        (-1, ValueError, r"timeout must be in \[0, \d+\] s, got -1"),
        (float("nan"), ValueError, "got nan"),
        ("1", TypeError, "timeout must be seconds or None, got '1'"),
    ],
)
def test_bad_timeouts(timeout: Any, error: type[Exception], words: str) -> None:
    locks = KeyLocks()
    with pytest.raises(error, match=words):
        locks.acquire("a", timeout)

    async def main(locks: AsyncKeyLocks) -> None:
        with pytest.raises(error, match=words):
            await locks.acquire("a", timeout)

    run(main)
    with pytest.raises(TypeError, match="keys must be an iterable of keys"):
        locks.hold_all("ab").__enter__()
    with pytest.raises(TypeError, match="unhashable"):
        locks.acquire([])  # type: ignore[arg-type]
    assert len(locks) == 0


@pytest.mark.parametrize("value", [KeyLocks(), AsyncKeyLocks()])
def test_locks_are_not_copied(value: Any) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        copy.copy(value)
