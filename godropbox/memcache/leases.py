"""``get_or_set``: one load per key among all processes, with the leases of the meta protocol.

Of all clients that miss a key, memcached gives one the lease (flag W) and stores an empty item in
its place; the others see that the lease is taken (flag Z) and poll. The winner stores its value
with the CAS token of the empty item, so a delete or write during the load is not overwritten. If
the load fails, the lease is released at once; if the process dies, the lease expires.

An empty item without flags is an unfilled lease; ``codec`` gives b"" a flag. Source:
doc/protocol.txt of memcached 1.6, flags N, R, W and Z. No I/O.
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
    """No other client stored a value within the `wait` of ``get_or_set``."""


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
        lease: float,
        wait: float | None,
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
        self, expire: Expiry, stale: Expiry, lease: float, wait: float | None
    ) -> "tuple[Callable[[], int], int, int, float]":
        """Return a function for the item's expiry, and the seconds of stale, lease and wait."""
        old = as_seconds("stale", stale)
        if not 0 <= old <= _MOST:
            raise InvalidArgumentError(f"stale must be in [0, {_MOST}] seconds, got {stale!r}")
        if not 0 < as_seconds("lease_time", lease) <= _MOST:
            raise InvalidArgumentError(f"lease_time must be in (0, {_MOST}] seconds, got {lease!r}")
        patience = lease + 2 if wait is None else as_seconds("wait", wait)
        if patience < 0:
            raise InvalidArgumentError(f"wait must be at least 0 seconds, got {wait!r}")
        clock = self._options.wall_clock
        fresh = seconds_left(expire, clock)
        if old and fresh <= 0:
            raise InvalidArgumentError(f"stale needs an expire above 0, got {expire!r}")
        # Evaluated when the value is stored: the load may take long.
        until = partial(as_expiry, expire, clock, old)
        # The server counts whole seconds, and the first one may be almost over.
        return until, math.ceil(old), math.ceil(lease) + 1, patience

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

    # Requests

    def look(self, key: Key, lease: int, stale: int) -> MetaResponse:
        """Get the item; on a miss, or if it expires within `stale` seconds, try for its lease."""
        options: dict[str, Any] = {"lease": lease, "recache": stale or None, "details": True}
        if self._raw is not None:
            response: MetaResponse = self._raw.meta_get(key, **options)
        else:
            response = self._run(key, lambda protocol, key: protocol.meta_get(key, **options))
        return response

    def drop(self, key: Key, token: int, stale: bool) -> Any:
        """Delete the item if it has this CAS token; with `stale`, mark it stale instead."""
        options: dict[str, Any] = {"cas": token, "stale": stale}
        if self._raw is not None:
            return self._raw.meta_delete(key, **options)
        return self._run(key, lambda protocol, key: protocol.meta_delete(key, **options))

    def reopen(self, key: Key, response: MetaResponse) -> Any:
        """Keep the item, but let the next client that reads it win the lease."""
        if response.stale:
            return self.drop(key, response.cas, True)
        left = 0 if response.ttl == -1 else max(response.ttl or 0, 1)
        value = response.value or b""
        return self._cas(Item(key, value, response.flags, response.cas, left))


class _Turn:
    """State of one call of ``get_or_set``."""

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
        while True:
            try:
                response = self._leases.look(self.key, self._lease, self._stale)
                if response.error is not None:
                    raise response.error
            except FAILURES:
                if not self._forgives:
                    raise
                self.outcome = "loaded"
                return self._value()
            if not self._is_taken(response):
                return self._settled(response)
            left = self._wait - (clock() - begun)
            if left <= 0:
                raise LeaseTimeoutError(
                    f"no other client stored a value for {self.key!r} within {self._wait:g} s",
                    key=self.key,
                )
            self.outcome = "waited"
            options.sleep(min(pause * (0.5 + options.random() / 2), left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _is_taken(self, response: MetaResponse) -> bool:
        """Return whether another client is loading and no old value may be returned meanwhile."""
        if not response.found or response.won:
            return False
        marked = response.stale and not self._stale
        return marked or not (response.value or response.flags)

    def _settled(self, response: MetaResponse) -> Any:
        """Return the value in the response, or load it."""
        if not response.found or response.won or response.value is None:
            return self._loaded(response)
        try:
            return self._leases._codec.decode(self.key, response.value, response.flags)
        except UnreadableValueError:
            if self._options.unreadable == "raise":
                raise
        return self._loaded(response)

    def _value(self) -> Any:
        """Call the caller's function; refuse a coroutine or generator."""
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
        if not response.found:  # skipped: the key's shard does not serve now
            return value
        try:
            item = Item(self.key, data, flags, response.cas, self._until())
            # Another client's store or delete in the meantime is no error.
            failure = self._leases._cas(item).error
            if failure is not None:
                self._release(response, failure)
                raise failure
        except FAILURES:
            if not self._forgives:
                raise
        return value

    def _release(self, response: MetaResponse, error: BaseException) -> None:
        """Release the lease to another client; add a note to `error` if that fails."""
        if not (response.found and response.won):
            return
        try:
            if response.value or response.flags:
                failed = self._leases.reopen(self.key, response).error
            else:
                failed = self._leases.drop(self.key, response.cas, False).error
        except Exception as raised:  # `error` is raised, whatever happens here
            failed = raised
        if failed is not None:
            why = text_of(failed)
            add_note(error, f"the lease on {brief(self.key)} could not be released: {why}")
