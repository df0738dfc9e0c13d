"""Steps: what a call returns or raises reaches the policy, and its result the caller."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from godropbox.database.sharding._steps import Steps, run
from godropbox.database.sharding.aio._waiting import run_steps

Log = list[Any]


def policy(log: Log, call: Callable[..., Any]) -> Steps[str]:
    """Make a call twice, whose failures it survives."""
    for number in range(2):
        try:
            log.append((yield call, (number,)))
        except ValueError as error:
            log.append(str(error))
    return "done"


def second_fails(number: int) -> str:
    if number:
        raise ValueError("the second")
    return "the first"


def by_thread(make: Callable[[Callable[..., Any]], Steps[Any]], call: Callable[..., Any]) -> Any:
    return run(make(call))


def by_task(make: Callable[[Callable[..., Any]], Steps[Any]], call: Callable[..., Any]) -> Any:
    async def awaited(*arguments: Any) -> Any:
        await asyncio.sleep(0)
        return call(*arguments)

    return asyncio.run(run_steps(make(awaited)))


@pytest.mark.parametrize("drive", [by_thread, by_task])
def test_what_a_call_does_reaches_the_policy(drive: Any) -> None:
    log: Log = []
    assert drive(lambda call: policy(log, call), second_fails) == "done"
    assert log == ["the first", "the second"]


@pytest.mark.parametrize("drive", [by_thread, by_task])
@pytest.mark.parametrize("kind", [KeyError, KeyboardInterrupt])
def test_what_the_policy_lets_through_is_raised(drive: Any, kind: type[BaseException]) -> None:
    def broken(number: int) -> None:
        raise kind("mine")

    log: Log = []
    with pytest.raises(kind, match="mine"):
        drive(lambda call: policy(log, call), broken)
    assert log == []


@pytest.mark.parametrize("drive", [by_thread, by_task])
def test_a_policy_that_waits_for_nothing(drive: Any) -> None:
    def idle(call: Any) -> Steps[int]:
        if log:
            yield call, ()
        return 5

    log: Log = []
    assert drive(idle, second_fails) == 5


def test_a_call_that_raises_stop_iteration() -> None:
    """A generator makes another error of it; see PEP 479."""

    def empty(number: int) -> Any:
        return next(iter(()))

    with pytest.raises(StopIteration):
        run(policy([], empty))

    def own(number: int) -> Any:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        run(policy([], own))
