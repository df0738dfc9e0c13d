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
from collections.abc import Callable
from functools import partial
from time import perf_counter, time_ns
from typing import Any, Final

from .._kernels._guarded import add_note, brief, refuse_unrun, text_of
from .._kernels._identity import refuse_copies
from .batches import FAILURES
from .codec import Codec, UnreadableValueError
from .errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    NotSupportedError,
)
from .hooks import Event, tell
from .options import ClientOptions, Expiry, as_expiry, as_seconds, seconds_left
from .responses import MetaResponse
from .types import Item, Key

__all__ = ["LeaseTimeoutError", "Leases"]

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.1
_MOST: Final = 60 * 60 * 24 * 30 - 1


class LeaseTimeoutError(DeadlineExceededError):
    """No holder of the lease on a key stored a value before the wait was over."""


class Leases:
    """``get_or_set`` on top of a client's meta operations."""

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
    ) -> Any:
        """See ``Client.get_or_set``."""
        if not self._speaks:
            raise NotSupportedError(
                f"the {self._protocol} protocol has no leases: get_or_set needs protocol='meta'"
            )
        turn = _Turn(self, key, load, self._limits(expire, stale, lease, wait))
        if not self._options.hooks:
            return turn.take()
        return self._observed(turn)

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

    def _observed(self, turn: "_Turn") -> Any:
        started, begun = time_ns(), perf_counter()
        error: BaseException | None = None
        try:
            return turn.take()
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

    def look(self, key: Key, lease: int, stale: int) -> MetaResponse:
        """Get the item, or a lease on it if it is missing or about to expire."""
        options: dict[str, Any] = {"lease": lease, "recache": stale or None, "details": True}
        if self._raw is not None:
            response: MetaResponse = self._raw.meta_get(key, **options)
        else:
            response = self._run(key, lambda protocol, key: protocol.meta_get(key, **options))
        return response

    def drop(self, key: Key, token: int, stale: bool, expire: int | None = None) -> Any:
        """Delete the item with this token; with `stale` mark it stale, and give it `expire`."""
        options: dict[str, Any] = {"cas": token, "stale": stale, "expire": expire}
        if self._raw is not None:
            return self._raw.meta_delete(key, **options)
        return self._run(key, lambda protocol, key: protocol.meta_delete(key, **options))

    def reopen(self, key: Key, response: MetaResponse) -> Any:
        """Leave the item as it was, so that the next caller that looks wins it."""
        if response.stale:
            return self.drop(key, response.cas, True)
        left = 0 if response.ttl == -1 else max(response.ttl or 0, 1)
        value = response.value or b""
        return self._cas(Item(key, value, response.flags, response.cas, left))


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

    def take(self) -> Any:
        """Return the value, after waiting or loading as needed."""
        clock, options = self._options.clock, self._options
        begun = clock()
        pause = _FIRST_PAUSE
        claimed: int | None = None
        while True:
            try:
                response = self._leases.look(self.key, self._lease, self._stale)
                if response.error is not None:
                    raise response.error
                is_settled = not self._is_taken(response)
                if self._is_unclaimed(response) and response.cas != claimed:
                    claimed = response.cas
                    if self._claim(claimed):
                        continue
                    is_settled = True
            except FAILURES:
                if not self._forgives:
                    raise
                self.outcome = "loaded"
                return self._value()
            if is_settled:
                return self._settled(response)
            left = self._wait - (clock() - begun)
            if left <= 0:
                raise LeaseTimeoutError(
                    f"no lease holder stored a value of {self.key!r} within {self._wait:g} s",
                    key=self.key,
                )
            self.outcome = "waited"
            options.sleep(min(pause * (0.5 + options.random() / 2), left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _is_unclaimed(self, response: MetaResponse) -> bool:
        """Return whether an item is empty and not a lease: another client stored it.

        Its time to live tells nothing, as any client may set one; a lease is always taken.
        """
        if not response.found or response.won or response.taken:
            return False
        return not (response.value or response.flags)

    def _claim(self, token: int) -> bool:
        """Turn the item with this token into a lease; return False if the server cannot.

        The next caller that looks wins it; if that dies, it expires as a lease does. If the item
        has changed meanwhile it is left alone.
        """
        try:
            failure = self._leases.drop(self.key, token, True, self._lease).error
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

    def _settled(self, response: MetaResponse) -> Any:
        """Return the value in the cache, or load it."""
        data, flags = response.value or b"", response.flags
        if not response.found or response.won or not (data or flags):
            return self._loaded(response)
        try:
            return self._leases._codec.decode(self.key, data, flags)
        except UnreadableValueError:
            if self._options.unreadable == "raise":
                raise
        return self._loaded(response)

    def _value(self) -> Any:
        """Return the value that the caller's function loads."""
        value = self._load()
        refuse_unrun("load", value)
        return value

    def _loaded(self, response: MetaResponse) -> Any:
        self.outcome = "loaded"
        try:
            value = self._value()
            data, flags = self._leases._codec.encode(value)
        except BaseException as error:
            self._release(response, error)
            raise
        if not response.found:  # the key's shard takes no reads now
            return value
        try:
            item = Item(self.key, data, flags, response.cas, self._until())
            # It is not an error if another client stored or deleted the item meanwhile.
            failure = self._leases._cas(item).error
            if failure is not None:
                self._release(response, failure)
                raise failure
        except FAILURES:
            if not self._forgives:
                raise
        return value

    def _release(self, response: MetaResponse, error: BaseException) -> None:
        """Release the lease for another caller; a failure to do so is a note on `error`."""
        if not (response.found and response.won):
            return
        try:
            if response.value or response.flags:
                failed = self._leases.reopen(self.key, response).error
            else:
                failed = self._leases.drop(self.key, response.cas, False).error
        except Exception as raised:  # of any kind: `error` is what is raised
            failed = raised
        if failed is not None:
            why = text_of(failed)
            add_note(error, f"the lease on {brief(self.key)} could not be released: {why}")
