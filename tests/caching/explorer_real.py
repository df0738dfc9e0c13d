"""Whole classes under the explorer: their calls of cache and storage, replayed as steps.

A class that is to be explored runs against the fakes here, which know the outcomes of its first
calls and stop it, with a ``BaseException`` that no ``except Exception`` catches, at the next one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from caching.explorer_clients import Client, Steps
from caching.explorer_scenarios import Erase, Put

from godropbox.caching.consistency import protocol
from godropbox.caching.consistency.protocol import (
    FAILED,
    Commit,
    Load,
    Look,
    Place,
    Places,
    Seen,
    Value,
)
from godropbox.caching.consistency.servers import Request

__all__ = ["AskedCache", "AskedServers", "AskedStorage", "CacheFailedError", "replayed"]

Ask = Callable[[Any], Any]


class _Wanted(BaseException):
    """The call whose outcome is not known yet."""

    def __init__(self, step: Any) -> None:
        self.step = step


class CacheFailedError(Exception):
    """The cache did not answer."""


def replayed(call: Callable[[int, Ask], Any]) -> Client:
    """Return a client that does what `call` does: with its number, and a way to have steps done."""

    def client(n: int) -> Steps:
        known: list[Any] = []
        while True:
            left = iter(known)

            def ask(step: Any, left: Any = left) -> Any:
                for outcome in left:
                    return outcome
                raise _Wanted(step)

            try:
                return call(n, ask)
            except _Wanted as wanted:
                step = wanted.step
            known = [*known, (yield step)]

    return client


class AskedStorage:
    """The storage, of one key."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def get(self, key: str, default: Any = None) -> Any:
        return self._ask(Load())

    def get_multi(self, keys: Iterable[str]) -> dict[str, Any]:
        return {key: self._ask(Load()) for key in keys}

    def set(self, key: str, value: Any) -> None:
        if self._ask(Commit()) is FAILED:
            raise ConnectionError("the storage did not say")

    def set_multi(self, items: Mapping[str, Any]) -> None:
        for key, value in items.items():
            self.set(key, value)

    def delete(self, key: str) -> None:
        self.set(key, None)

    def delete_multi(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.delete(key)

    def flush(self) -> None:
        self.set("", None)


class AskedCache:
    """A plain cache, of one key, as a layer sees it: a storage."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def _asked(self, step: Any) -> Any:
        outcome = self._ask(step)
        if outcome is FAILED:
            raise CacheFailedError("the cache did not answer")
        return outcome

    def get(self, key: str, default: Any = None) -> Any:
        seen = self._asked(Look(None))
        return seen.entry.data if isinstance(seen.entry, Value) else default

    def get_multi(self, keys: Iterable[str]) -> dict[str, Any]:
        seen = {key: self._asked(Look(None)) for key in keys}
        return {key: s.entry.data for key, s in seen.items() if isinstance(s.entry, Value)}

    def set(self, key: str, value: Any) -> None:
        self._asked(Put(Place(0), Value(value)))

    def set_multi(self, items: Mapping[str, Any]) -> None:
        for key, value in items.items():
            self.set(key, value)

    def delete(self, key: str) -> None:
        self._asked(Erase(Place(0)))

    def delete_multi(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.delete(key)

    def flush(self) -> None:
        self.delete("")


class AskedServers:
    """The servers of a ``ConsistentCacheOnStorage``, of one key; values are numbers as text."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def places(self, key: str | bytes) -> tuple[Place, ...]:
        places: tuple[Place, ...] = self._ask(Places())
        return places

    def run(self, requests: Sequence[Request]) -> list[Any]:
        return [self._outcome(request.step) for request in requests]

    def _outcome(self, step: protocol.CacheStep) -> Any:
        match step:
            case protocol.Add(place=place, entry=Value(data=data)):
                step = protocol.Add(place, Value(int(data)))
            case protocol.Swap(place=place, token=token, entry=Value(data=data)):
                step = protocol.Swap(place, token, Value(int(data)))
        outcome = self._ask(step)
        if isinstance(outcome, Seen) and isinstance(outcome.entry, Value):
            return Seen(Value(b"%d" % outcome.entry.data), outcome.token)
        return outcome

    def flush(self) -> bool:
        return self._ask(Erase(Place(0))) is not FAILED
