"""Runs the steps of the consistency protocol, for many keys side by side.

The requests of all keys go to the servers together, and the storage is called once, when all keys
need it. No I/O: servers, storage, clock and pauses are given, and what is called is yielded
(``_calls``), for a driver that blocks and one of asyncio.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from .._calls import Calls
from .protocol import CacheStep, Commit, Load, Place, Places, Retry, Step, Steps

__all__ = ["Driver", "Patience", "run", "run_one"]

_FIRST_PAUSE: Final = 0.001
_DOUBLINGS: Final = 7  # so that the longest pause is an eighth of a second


class Patience:
    """Decides whether to try again, after a pause: none at first, and longer ones later."""

    def __init__(
        self, limit: float, clock: Callable[[], float], pause: Callable[[float], object]
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._pause = pause
        self._until: float | None = None
        self._tries = 0

    def again(self) -> Calls[bool]:
        """Pause, and return whether there is time for one more attempt."""
        now = self._clock()
        if self._until is None:
            self._until = now + self._limit
        if now >= self._until:
            return False
        self._tries += 1
        if self._tries > 2:
            pause = _FIRST_PAUSE * 2 ** min(self._tries - 3, _DOUBLINGS)
            yield self._pause, (min(pause, self._until - now),)
        return True


class Driver(NamedTuple):
    """Functions that carry out steps, by the keys of the storage; calls where they may block."""

    places: Callable[[Any], tuple[Place, ...]]
    cache: Callable[[Sequence[tuple[Any, CacheStep]]], Calls[Sequence[Any]]]
    storage: Callable[[list[Any]], Calls[Mapping[Any, Any]]]
    patience: Callable[[], Patience]


def run_one(key: Any, steps: Steps, driver: Driver) -> Calls[Any]:
    """Run the steps of one key, as ``run`` does but faster; return their result."""
    outcome: Any = None
    patience: Patience | None = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as stop:
            return stop.value
        if isinstance(step, CacheStep):
            (outcome,) = yield from driver.cache(((key, step),))
        elif type(step) is Places:
            outcome = driver.places(key)
        elif type(step) is Retry:
            patience = patience or driver.patience()
            outcome = yield from patience.again()
        else:
            outcome = (yield from driver.storage([key]))[key]
            patience = None


def run(steps: Mapping[Any, Steps], driver: Driver) -> Calls[dict[Any, Any]]:
    """Run the steps of all keys; return their results."""
    results: dict[Any, Any] = {}
    wanted: dict[Any, Step] = {}

    def send(outcomes: Mapping[Any, Any]) -> None:
        for key, outcome in outcomes.items():
            try:
                wanted[key] = steps[key].send(outcome)
            except StopIteration as stop:
                wanted.pop(key, None)
                results[key] = stop.value

    send(dict.fromkeys(steps))
    patience = driver.patience()
    while wanted:
        send({key: driver.places(key) for key, step in wanted.items() if type(step) is Places})
        asked = [(key, step) for key, step in wanted.items() if isinstance(step, CacheStep)]
        waiting = [key for key, step in wanted.items() if type(step) is Retry]
        if asked:
            answers = yield from driver.cache(asked)
            send({key: answer for (key, _), answer in zip(asked, answers, strict=True)})
        elif waiting:
            send(dict.fromkeys(waiting, (yield from patience.again())))
        elif any(type(step) is Load or type(step) is Commit for step in wanted.values()):
            # Last, so that all keys wait for it. Afterwards patience starts again.
            send((yield from driver.storage(list(wanted))))
            patience = driver.patience()
    return {key: results[key] for key in steps}
