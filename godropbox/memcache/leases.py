"""One load among all processes: get a value, load it, or wait for the caller that loads it.

The meta protocol's leases (doc/protocol.txt of memcached 1.6, flags N, R, W and Z): of the callers
that miss a key one wins (W) and leaves an empty item, at which the others see that the lease is
taken (Z). The winner stores by that item's token, so that a delete or a later write in between is
not overwritten. If its load fails, the lease is released at once; if it dies, when the lease ends.

An empty item without flags is such a lease if it is taken; ``codec`` gives b"" a flag. One that
nobody has taken was stored by another client, and is a miss: it is marked stale (I), and the
next get wins it. No I/O of its own.
"""

import math
from collections.abc import Callable, Generator
from functools import partial
from time import perf_counter, time_ns
from typing import Any, Final, TypeVar

from .._kernels._args import shown
from .._kernels._guarded import add_note, brief, refuse_unrun, text_of
from .._kernels._identity import refuse_copies
from .batches import FAILURES
from .codec import Codec, UnreadableValueError
from .errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidTypeError,
    NotSupportedError,
)
from .hooks import Event, tell
from .options import ClientOptions, Expiry, as_expiry, as_seconds, seconds_left
from .protocol.meta import lease_release
from .responses import MetaResponse
from .types import Item, Key

__all__ = ["LeaseTimeoutError", "Leases", "Steps", "driven"]

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.1
_MOST: Final = 60 * 60 * 24 * 30 - 1


class LeaseTimeoutError(DeadlineExceededError):
    """No holder of the lease on a key stored a value before the wait was over."""


_Result = TypeVar("_Result")
# What is to be called, and what that returned; the result at the end.
Steps = Generator[Callable[[], Any], Any, _Result]


def driven(steps: Steps[_Result]) -> _Result:
    """Take the steps, one after the other, and return their result.

    An exception of a call is raised in the steps.
    """
    try:
        call = next(steps)
        while True:
            try:
                outcome = call()
            except BaseException as error:
                call = steps.throw(error)
            else:
                call = steps.send(outcome)
    except StopIteration as stop:
        result: _Result = stop.value
        return result


class Leases:
    """``get_or_set`` on top of a client's meta operations.

    What a call of these returns is for the driver to wait for, if it is to be waited for.
    """

    __reduce_ex__ = refuse_copies

    def __init__(self, operations: Any, codec: Codec, options: ClientOptions) -> None:
        self._cas = operations.cas
        self._codec = codec
        self._options = options
        capabilities = operations.capabilities
        self._speaks = capabilities.stale_while_revalidate
        self._protocol = capabilities.protocol
        # A raw client has meta_get; a sharded client runs exchanges of its protocol.
        self._raw = operations if hasattr(operations, "meta_get") else None
        self._run: Any = getattr(operations, "run", None)

    def get_or_set(
        self,
        key: Key,
        load: Callable[[], Any],
        expire: Expiry,
        stale: Expiry,
        lease: Any,
        wait: Any,
    ) -> "Steps[Any]":
        """Return the steps of ``Client.get_or_set``."""
        if not self._speaks:
            raise NotSupportedError(
                f"the {self._protocol} protocol has no leases: get_or_set needs protocol='meta'"
            )
        if not callable(load):
            raise InvalidTypeError(f"load must be a function, got {shown(load)}")
        turn = _Turn(self, key, load, self._limits(expire, stale, lease, wait))
        return self._observed(turn) if self._options.hooks else turn.take()

    def _limits(
        self, expire: Expiry, stale: Expiry, lease: Any, wait: Any
    ) -> "tuple[Callable[[], int], int, int, float]":
        """Return a function for the item's expiry, the seconds of stale and lease, the wait."""
        old = as_seconds("stale", stale)
        if not 0 <= old <= _MOST:
            raise InvalidArgumentError(f"stale must be in [0, {_MOST}] seconds, got {stale!r}")
        own = as_seconds("lease_time", lease)
        if not 0 < own <= _MOST:
            raise InvalidArgumentError(f"lease_time must be in (0, {_MOST}] seconds, got {lease!r}")
        patience = own + 2 if wait is None else as_seconds("wait", wait)
        if patience < 0:
            raise InvalidArgumentError(f"wait must be at least 0 seconds, got {wait!r}")
        clock = self._options.wall_clock
        fresh = seconds_left(expire, clock)
        if old and fresh <= 0:
            raise InvalidArgumentError(f"stale needs an expire above 0, got {expire!r}")
        # Evaluated when the value is stored: the load may take long.
        until = partial(as_expiry, expire, clock, old)
        # The server counts whole seconds, and the first of them may be nearly over.
        return until, math.ceil(old), math.ceil(own) + 1, patience

    def _observed(self, turn: "_Turn") -> "Steps[Any]":
        started, begun = time_ns(), perf_counter()
        error: BaseException | None = None
        try:
            return (yield from turn.take())
        except BaseException as raised:
            error = raised
            turn.outcome = "error"
            raise
        finally:
            seconds = perf_counter() - begun
            event = Event(
                "get_or_set", [turn.key], None, seconds, started, turn.outcome, error=error
            )
            tell(self._options.hooks, event)

    # Operations

    def look(self, key: Key, lease: int, stale: int) -> Any:
        """Get the item, or a lease on it if it is missing or about to expire."""
        options = {"lease": lease, "recache": stale or None, "details": True}
        return self._meta("meta_get", key, options)

    def claim(self, key: Key, token: int, expire: int) -> Any:
        """Mark the item with this token stale, and give it `expire`, so that the next look wins."""
        return self._meta("meta_delete", key, {"cas": token, "stale": True, "expire": expire})

    def release(self, key: Key, response: MetaResponse) -> Any:
        """Give up the lease that was won, for another caller."""
        verb, subject, options = lease_release(key, response)
        return self._cas(subject) if verb == "cas" else self._meta(verb, subject, options)

    def _meta(self, verb: str, key: Key, options: dict[str, Any]) -> Any:
        if self._raw is not None:
            return getattr(self._raw, verb)(key, **options)
        return self._run(key, lambda protocol, key: getattr(protocol, verb)(key, **options))


class _Turn:
    """One call of ``get_or_set``: it returns a value or raises."""

    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        leases: Leases,
        key: Key,
        load: Callable[[], Any],
        limits: "tuple[Callable[[], int], int, int, float]",
    ) -> None:
        self.key = key
        self.outcome = "hit"
        self._leases = leases
        self._load = load
        self._until, self._stale, self._lease, self._wait = limits
        self._options = leases._options
        self._forgives = self._options.failures == "miss"

    def take(self) -> Steps[Any]:
        """Return the value, after waiting or loading as needed."""
        clock, options = self._options.clock, self._options
        begun = clock()
        pause = _FIRST_PAUSE
        claimed: int | None = None
        while True:
            try:
                response = yield partial(self._leases.look, self.key, self._lease, self._stale)
                if response.error is not None:
                    raise response.error
                is_settled = not self._is_taken(response)
                if self._is_unclaimed(response) and response.cas != claimed:
                    claimed = response.cas
                    if (yield from self._claim(claimed)):
                        continue
                    is_settled = True
            except FAILURES:
                if not self._forgives:
                    raise
                self.outcome = "loaded"
                return (yield from self._value())
            if is_settled:
                return (yield from self._settled(response))
            left = self._wait - (clock() - begun)
            if left <= 0:
                raise LeaseTimeoutError(
                    f"no lease holder stored a value of {self.key!r} within {self._wait:g} s",
                    key=self.key,
                )
            self.outcome = "waited"
            yield partial(options.sleep, min(pause * (0.5 + options.random() / 2), left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _is_unclaimed(self, response: MetaResponse) -> bool:
        """Return whether an item is empty and not a lease: another client stored it.

        Its time to live tells nothing, as any client may set one; a lease is always taken.
        """
        if not response.found or response.won or response.taken:
            return False
        return not (response.value or response.flags)

    def _claim(self, token: int) -> Steps[bool]:
        """Turn the item with this token into a lease; return False if the server cannot.

        The next caller that looks wins it; if that dies, it expires as a lease does. If the item
        has changed meanwhile it is left alone.
        """
        try:
            dropped = yield partial(self._leases.claim, self.key, token, self._lease)
            failure = dropped.error
        except NotSupportedError as error:
            failure = error
        if failure is None:
            return True
        if issubclass(type(failure), NotSupportedError):  # before memcached 1.6.13
            return False
        raise failure

    def _is_taken(self, response: MetaResponse) -> bool:
        """Return whether another caller loads the value, with none to return meanwhile."""
        if not response.found or response.won:
            return False
        marked = response.stale and not self._stale
        return marked or not (response.value or response.flags)

    def _settled(self, response: MetaResponse) -> Steps[Any]:
        """Return the value in the cache, or load it."""
        data, flags = response.value or b"", response.flags
        if not response.found or response.won or not (data or flags):
            return (yield from self._loaded(response))
        try:
            return self._leases._codec.decode(self.key, data, flags)
        except UnreadableValueError:
            if self._options.unreadable == "raise":
                raise
        return (yield from self._loaded(response))

    def _value(self) -> Steps[Any]:
        """Return the value that the caller's function loads."""
        value = yield self._load
        refuse_unrun("load", value)
        return value

    def _loaded(self, response: MetaResponse) -> Steps[Any]:
        self.outcome = "loaded"
        try:
            value = yield from self._value()
            data, flags = self._leases._codec.encode(value)
        except GeneratorExit:  # nobody goes on with this
            raise
        except BaseException as error:
            yield from self._release(response, error)
            raise
        if not response.found:  # the key's shard takes no reads now
            return value
        try:
            item = Item(self.key, data, flags, response.cas, self._until())
            # It is not an error if another client stored or deleted the item meanwhile.
            failure = (yield partial(self._leases._cas, item)).error
            if failure is not None:
                yield from self._release(response, failure)
                raise failure
        except FAILURES:
            if not self._forgives:
                raise
        return value

    def _release(self, response: MetaResponse, error: BaseException) -> Steps[None]:
        """Release the lease for another caller; a failure to do so is a note on `error`."""
        if not (response.found and response.won):
            return
        try:
            failed = (yield partial(self._leases.release, self.key, response)).error
        except Exception as raised:  # of any kind: `error` is what is raised
            failed = raised
        if failed is not None:
            why = text_of(failed)
            add_note(error, f"the lease on {brief(self.key)} could not be released: {why}")
