"""``ConsistentCacheOnStorage``: a cache that is never stale after an acknowledged write.

A read that starts after a write was acknowledged returns that write's value or a later one,
whatever is evicted, restarted, cut off or killed meanwhile; docs/consistency.md has the protocol,
the assumptions and the costs. The steps are in ``consistency.protocol``; they are run here, those
of many keys side by side, against servers (``consistency.servers``) and a storage. What is called
is written as calls (``_calls``), which ``aio`` makes, too.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from secrets import token_bytes
from typing import Any, Final, Generic, TypeVar, overload

from .._forks import begin_again_in_child
from .._kernels._guarded import refuse_unrun, refuse_unrun_values, require_plain
from .._kernels._identity import refuse_copies
from ..errors import DropboxError
from ._calls import Calls
from ._calls import run as blocking
from ._failures import Told
from .consistency import protocol
from .consistency.driver import Driver, Patience, run, run_one
from .consistency.protocol import (
    ABORTED,
    DONE,
    FAILED,
    MISSING,
    Lease,
    Seen,
    Settled,
    Value,
    Via,
    Writer,
)
from .consistency.servers import ConsistentServers, Request
from .storage import Storage

__all__ = [
    "CommitUncertain",
    "ConsistencyOptions",
    "ConsistencyStatistics",
    "ConsistentCacheOnStorage",
    "WriteRefused",
]

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

_MONTH: Final = 30 * 24 * 60 * 60  # more seconds are a Unix time to memcached


class WriteRefused(DropboxError):  # noqa: N818  # it says what happened, as CommitUncertain does
    """The write did not take place: a server that must know of it did not confirm in time.

    The storage was not touched; `keys` are those of the write. Try again, perhaps later.
    """

    def __init__(
        self,
        message: str,
        /,
        keys: Iterable[Any] = (),
        *,
        cause: BaseException | None = None,
        **fields: object,
    ) -> None:
        super().__init__(message, cause=cause, **fields)
        self.keys = list(keys)


class CommitUncertain(DropboxError):  # noqa: N818  # a state, not an error
    """The write is not acknowledged, and may have taken place; `keys` are those in doubt.

    `committed` is None if the storage did not say whether it was written: no reader fills the
    cache until the sentinels expire; read the storage after that to find out. It is True if the
    storage was written but a cache server did not confirm: until that server loses the entry, an
    old value may be read there. Write again, or ``invalidate``.
    """

    def __init__(
        self,
        message: str,
        /,
        keys: Iterable[Any] = (),
        committed: bool | None = None,
        *,
        cause: BaseException | None = None,
        **fields: object,
    ) -> None:
        super().__init__(message, cause=cause, **fields)
        self.keys = list(keys)
        self.committed = committed


@dataclass(frozen=True, slots=True)
class ConsistencyOptions:
    """How a ``ConsistentCacheOnStorage`` works.

    - `value_life`, `lease_life`, `sentinel_life`: the time to live of an entry of that kind, in
      whole seconds in [1, 30 days]; a `value_life` of 0 is without limit.
    - `storage_limit`: seconds within which a write of the storage takes effect or never will; the
      storage must ensure that. A write begins only while its sentinel has that much time left.
    - `clock_drift`: how much the clocks of clients and servers may differ, in seconds per second.
    - `settle_limit`: seconds for which a server that does not reply is asked again.
    - `keep_written`: whether a written value may stay in the cache.
    - `cache_key`: maps a key of the storage to a key of the cache.
    - `encode`, `decode`: values to bytes and back.
    - `not_committed`: exceptions of the storage after which certainly nothing was written, nor ever
      will be. After any other exception that is unknown.
    """

    value_life: int = 0
    lease_life: int = 10
    sentinel_life: int = 30
    storage_limit: float = 10.0
    clock_drift: float = 0.01
    settle_limit: float = 5.0
    keep_written: bool = True
    cache_key: Callable[[Any], str | bytes] = lambda key: key
    encode: Callable[[Any], bytes] = lambda value: value
    decode: Callable[[bytes], Any] = lambda data: data
    not_committed: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        for name in ("value_life", "lease_life", "sentinel_life"):
            life, least = getattr(self, name), 0 if name == "value_life" else 1
            if not isinstance(life, int) or not least <= life <= _MONTH:
                raise ValueError(
                    f"{name} must be an int in [{least}, {_MONTH}] seconds, got {life!r}"
                )
        if not 0 <= self.clock_drift < 1:
            raise ValueError(f"clock_drift must be in [0, 1), got {self.clock_drift!r}")
        if not 0 <= self.settle_limit < 1e9:
            raise ValueError(f"settle_limit must be in [0, 1e9) seconds, got {self.settle_limit!r}")
        if not 0 < self.storage_limit <= self.shielded:
            raise ValueError(
                f"storage_limit must be in (0, {self.shielded}] seconds, which is what a "
                f"sentinel_life of {self.sentinel_life} is sure to give, got {self.storage_limit!r}"
            )

    @property
    def shielded(self) -> float:
        """Seconds for which a sentinel certainly stays, if it is not lost.

        memcached's clock ticks once a second, so an entry may expire up to one second early.
        """
        return (self.sentinel_life - 1) * (1 - self.clock_drift)


@dataclass(frozen=True, slots=True)
class ConsistencyStatistics:
    """Counts of the keys that were read and written, by outcome.

    Reads are `hits`, or reads of the storage: `fills`, `fills_lost` (the lease was lost, or the key
    is missing in the storage), `shielded` (a write was under way, or another reader had the lease)
    and `failed_looks` (the cache failed). Writes are `acknowledged`, `refused`, `aborted` by the
    storage, `unknown` (the storage did not say) or `unsettled` (a server did not confirm);
    `sentinels_lost` counts sentinels that were gone when their write was done.
    """

    hits: int = 0
    fills: int = 0
    fills_lost: int = 0
    shielded: int = 0
    failed_looks: int = 0
    acknowledged: int = 0
    refused: int = 0
    aborted: int = 0
    unknown: int = 0
    unsettled: int = 0
    sentinels_lost: int = 0


_OF_READS: Final = {
    Via.HIT: "hits",
    Via.FILLED: "fills",
    Via.LOST: "fills_lost",
    Via.SHIELDED: "shielded",
    Via.FAILED: "failed_looks",
}


class ConsistentCacheOnStorage(Generic[K, V]):
    """A storage with a cache over it that is never stale after an acknowledged write.

    `cache` are the servers, to which nobody else writes the same keys. `storage` must show a write
    to every read that begins after the write returned: a lagging replica does not. Threads may
    share it. `clock`, `wall_clock`, `pause` and `random` are replaced in tests.

    A write that returns is acknowledged. Otherwise it raises ``WriteRefused`` (nothing was done),
    ``CommitUncertain``, or one of ``options.not_committed``, as the storage raised it.
    """

    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        cache: ConsistentServers,
        storage: Storage[K, V],
        options: ConsistencyOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        pause: Callable[[float], object] = time.sleep,
        random: Callable[[int], bytes] = token_bytes,
    ) -> None:
        self._check(storage)
        self._servers = cache
        self._storage = storage
        self._told = Told()
        self._options = options = options or ConsistencyOptions()
        self._cache_key = options.cache_key
        self._clock = clock
        self._wall_clock = wall_clock
        self._pause = pause
        self._random = random
        self._lives = {
            protocol.Value: options.value_life,
            protocol.Lease: options.lease_life,
            protocol.Sentinel: options.sentinel_life,
        }
        self._counts: Counter[str] = Counter()
        self._forked()
        begin_again_in_child(self)

    def _check(self, storage: Any) -> None:
        """Raise ``TypeError`` for methods that cannot be called."""
        for name in ("get", "get_multi", "set", "set_multi", "delete", "delete_multi", "flush"):
            require_plain(f"storage.{name}", getattr(storage, name, None))

    def _forked(self) -> None:
        """Make the lock: at first, and in the child of a fork."""
        self._lock = threading.Lock()

    def statistics(self) -> ConsistencyStatistics:
        """Return the counts so far."""
        with self._lock:
            return ConsistencyStatistics(**self._counts)

    # Reading

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if the storage lacks it."""
        return blocking(self._get_calls(key, default))

    def _get_calls(self, key: K, default: Any) -> Calls[Any]:
        value = (yield from self._read([key]))[key]
        return default if value is MISSING else value

    def get_multi(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of `keys` by key; missing keys are left out.

        All hits of a server take one round trip, and all misses one read of the storage.
        """
        return blocking(self._get_multi_calls(keys))

    def _get_multi_calls(self, keys: Iterable[K]) -> Calls[dict[K, V]]:
        found = yield from self._read(list(dict.fromkeys(keys)))
        return {key: value for key, value in found.items() if value is not MISSING}

    def _read(self, keys: list[K]) -> Calls[dict[K, Any]]:
        errors: list[Exception] = []

        def load(missed: list[K]) -> Calls[Mapping[K, Any]]:
            try:
                if len(missed) == 1:
                    value = yield self._storage.get, (missed[0], MISSING)
                    refuse_unrun("storage.get", value)
                    return {missed[0]: value}
                found = yield self._storage.get_multi, (missed,)
                refuse_unrun("storage.get_multi", found)
                refuse_unrun_values("storage.get_multi", found.values())
            except Exception as error:
                errors.append(error)
                return dict.fromkeys(missed, FAILED)
            return {key: found.get(key, MISSING) for key in missed}

        # Hits need no further steps.
        found: dict[K, Any] = {}
        steps: dict[K, protocol.Steps] = {}
        looks = yield from self._ask([(key, protocol.LOOK) for key in keys])
        for key, seen in zip(keys, looks, strict=True):
            if type(seen) is Seen and type(seen.entry) is Value:
                found[key] = seen.entry.data
            else:
                steps[key] = protocol.read_on(seen, self._new_lease)
        self._count(_OF_READS[Via.HIT], len(found))
        for key, reading in (yield from self._run(steps, load)).items():
            found[key] = reading.data
            self._count(_OF_READS[reading.via])
        if errors:
            raise errors[0]
        return found if len(found) == 1 else {key: found[key] for key in keys}

    def _new_lease(self) -> Lease:
        return Lease(self._random(16))

    # Writing

    def set(self, key: K, value: V) -> None:
        """Store `value` under `key`; once this returns, no read returns anything older."""
        blocking(self._set_calls(key, value))

    def _set_calls(self, key: K, value: V) -> Calls[None]:
        return self._write({key: self._kept(value)}, "set", key, value)

    def set_multi(self, items: Mapping[K, V]) -> None:
        """Store all of `items`, or none if a server of one of them does not confirm."""
        blocking(self._set_multi_calls(items))

    def _set_multi_calls(self, items: Mapping[K, V]) -> Calls[None]:
        given = dict(items)
        kept = {key: self._kept(value) for key, value in given.items()}
        return self._write(kept, "set_multi", given)

    def delete(self, key: K) -> None:
        """Delete `key`; once this returns, no read returns the old value."""
        blocking(self._delete_calls(key))

    def _delete_calls(self, key: K) -> Calls[None]:
        return self._write({key: None}, "delete", key)

    def delete_multi(self, keys: Iterable[K]) -> None:
        """Delete all of `keys`, or none if a server of one of them does not confirm."""
        blocking(self._delete_multi_calls(keys))

    def _delete_multi_calls(self, keys: Iterable[K]) -> Calls[None]:
        given = list(dict.fromkeys(keys))
        return self._write(dict.fromkeys(given), "delete_multi", given)

    def invalidate(self, key: K) -> None:
        """Make later reads return the storage's present value, or a later one.

        Call it after a write that bypassed this cache, and after ``CommitUncertain``. Raises
        ``CommitUncertain`` itself if a server does not confirm.
        """
        self.invalidate_multi([key])

    def invalidate_multi(self, keys: Iterable[K]) -> None:
        """Invalidate all of `keys`."""
        blocking(self._invalidate_calls(keys))

    def _invalidate_calls(self, keys: Iterable[K]) -> Calls[None]:
        steps = {key: protocol.erase() for key in keys}
        results = yield from self._run(steps, _no_storage)
        self._raise_unsettled(results)

    def flush(self) -> None:
        """Delete everything from the storage and the cache.

        A writer whose sentinel is flushed has to invalidate. Raises ``CommitUncertain`` if the
        storage fails, or a server does not confirm.
        """
        blocking(self._flush_calls())

    def _flush_calls(self) -> Calls[None]:
        try:
            done = yield self._storage.flush, ()
        except Exception as error:
            raise CommitUncertain("the storage did not say that it was flushed") from error
        refuse_unrun("storage.flush", done)
        patience = self._patience()
        while not (yield self._servers.flush, ()):
            if not (yield from patience.again()):
                raise CommitUncertain("a server did not say that it was flushed", (), True)

    def _kept(self, value: V) -> Value | None:
        """Return the entry that may stay in the cache, or None; raises what ``encode`` raises."""
        data = self._options.encode(value)
        if not isinstance(data, bytes):
            raise TypeError(f"encode must return bytes, got {data!r:.80}")
        return Value(value) if self._options.keep_written else None

    def _write(self, values: Mapping[K, Value | None], name: str, *arguments: Any) -> Calls[None]:
        """Write `values` to the cache around a call of a method of the storage."""
        options = self._options
        latest = self._clock() + options.shielded - options.storage_limit
        now = int(self._wall_clock())
        me = Writer(int.from_bytes(self._random(8)), now + options.sentinel_life + 1)
        errors: list[Exception] = []
        steps = {key: protocol.write(me, now, value) for key, value in values.items()}

        def commit(waiting: list[K]) -> Calls[Mapping[K, Any]]:
            outcome: Any = DONE
            if len(waiting) < len(steps) or self._clock() > latest:
                outcome = ABORTED
            else:
                try:
                    done = yield getattr(self._storage, name), arguments
                except options.not_committed as error:
                    errors.append(error)
                    outcome = ABORTED
                except Exception as error:
                    errors.append(error)
                    outcome = FAILED
                else:
                    try:
                        refuse_unrun("the storage's write", done)
                    except TypeError as error:  # it has not run, and never will
                        errors.append(error)
                        outcome = ABORTED
            return dict.fromkeys(waiting, outcome)

        results = yield from self._run(steps, commit)
        for result in results.values():
            self._count(result.settled.name.lower())
            self._count("sentinels_lost", result.lost)
        self._raise_unwritten(results, errors)
        self._raise_unsettled(results)

    def _raise_unwritten(self, results: Mapping[K, Any], errors: list[Exception]) -> None:
        by = {settled: _keys(results, settled) for settled in Settled}
        if by[Settled.UNKNOWN]:
            keys = by[Settled.UNKNOWN]
            raise CommitUncertain(
                f"the storage did not say whether it wrote {keys!r:.200}", keys
            ) from errors[0]
        if errors:
            raise errors[0]
        if by[Settled.REFUSED]:
            raise WriteRefused(
                f"a server did not confirm a write of {by[Settled.REFUSED]!r:.200}", results
            )
        if by[Settled.ABORTED]:
            raise WriteRefused(
                f"the servers took too long to confirm a write of {by[Settled.ABORTED]!r:.200}",
                results,
            )

    def _raise_unsettled(self, results: Mapping[K, Any]) -> None:
        keys = _keys(results, Settled.UNSETTLED)
        if keys:
            raise CommitUncertain(
                f"the storage was written, but a server did not confirm: {keys!r:.200}",
                keys,
                True,
            )

    # The servers and the storage, for the steps

    def _run(
        self,
        steps: Mapping[K, protocol.Steps],
        storage: Callable[[list[K]], Calls[Mapping[K, Any]]],
    ) -> Calls[dict[K, Any]]:
        if not steps:
            return {}
        driver = Driver(self._places, self._ask, storage, self._patience)
        if len(steps) == 1:
            ((key, one),) = steps.items()
            return {key: (yield from run_one(key, one, driver))}
        return (yield from run(steps, driver))

    def _places(self, key: K) -> tuple[protocol.Place, ...]:
        return self._servers.places(self._cache_key(key))

    def _patience(self) -> Patience:
        return Patience(self._options.settle_limit, self._clock, self._pause)

    def _ask(self, asked: Sequence[tuple[K, protocol.CacheStep]]) -> Calls[list[Any]]:
        """Run steps against the servers, whose values are bytes."""
        requests = [self._request(key, step) for key, step in asked]
        answers = yield self._servers.run, (requests,)
        return [self._decoded(answer) for answer in answers]

    def _request(self, key: K, step: protocol.CacheStep) -> Request:
        if not isinstance(step, protocol.Add | protocol.Swap):
            return Request(self._cache_key(key), step)
        if isinstance(step.entry, Value):
            step = replace(step, entry=Value(self._options.encode(step.entry.data)))
        return Request(self._cache_key(key), step, self._lives[type(step.entry)])

    def _decoded(self, answer: Any) -> Any:
        """Return the outcome of a step with its value decoded; FOREIGN if that fails."""
        if type(answer) is not Seen or type(answer.entry) is not Value:
            return answer
        try:
            return Seen(Value(self._options.decode(answer.entry.data)), answer.token)
        except Exception as error:
            self._told.tell(self, "decode", error)
            return Seen(protocol.FOREIGN, answer.token)

    def _count(self, name: str, by: int = 1) -> None:
        with self._lock:
            self._counts[name] += by


def _no_storage(keys: list[Any]) -> Calls[Mapping[Any, Any]]:
    """Stand for the storage of steps that need none."""
    yield from ()
    return {}


def _keys(results: Mapping[K, Any], settled: Settled) -> list[K]:
    return [key for key, result in results.items() if result.settled is settled]
