"""One load among all processes: get a value, or be the one who loads it, or wait for who does.

The meta protocol's leases (doc/protocol.txt of memcached 1.6, flags N, R, W and Z): of the many
who miss a key one is told that it won, and leaves an empty item that tells the others so. The
winner stores by that item's token, so that a delete or a later write in between is not overwritten.
If its load fails, the lease is handed on at once; if it dies, when the lease is over.

An empty item without flags is such a lease; ``codec`` gives b"" a flag. No I/O of its own.
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
    """Nobody who had the lease on a key gave it a value in the time that there was to wait."""


class Leases:
    """``get_or_set`` over the operations of a client of the meta protocol."""

    __reduce_ex__ = refuse_copies

    def __init__(self, operations: Any, codec: Codec, options: ClientOptions) -> None:
        self._cas = operations.cas
        self._codec = codec
        self._options = options
        capabilities = operations.capabilities
        self._speaks = capabilities.stale_while_revalidate
        self._protocol = capabilities.protocol
        # A raw client's own methods; a sharded client runs what its protocol makes.
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
        """Do what ``Client.get_or_set`` says."""
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
        """Return what tells the item's expiry, the seconds of stale and of the lease, the wait."""
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
        # Counted from when the value is stored: the load may take long.
        until = partial(as_expiry, expire, clock, old)
        # The server counts whole seconds, and the first of them may be nearly over.
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

    # What the operations are asked

    def look(self, key: Key, lease: int, stale: int) -> MetaResponse:
        """Get the item, or a lease on it if there is none, or it is about to expire."""
        options: dict[str, Any] = {"lease": lease, "recache": stale or None, "details": True}
        if self._raw is not None:
            response: MetaResponse = self._raw.meta_get(key, **options)
        else:
            response = self._run(key, lambda protocol, key: protocol.meta_get(key, **options))
        return response

    def drop(self, key: Key, token: int, stale: bool) -> Any:
        """Delete the item that has this token, or with `stale` mark it so."""
        options: dict[str, Any] = {"cas": token, "stale": stale}
        if self._raw is not None:
            return self._raw.meta_delete(key, **options)
        return self._run(key, lambda protocol, key: protocol.meta_delete(key, **options))

    def reopen(self, key: Key, response: MetaResponse) -> Any:
        """Leave an item as it was, but that the next one who looks will win."""
        if response.stale:
            return self.drop(key, response.cas, True)
        left = 0 if response.ttl == -1 else max(response.ttl or 0, 1)
        value = response.value or b""
        return self._cas(Item(key, value, response.flags, response.cas, left))


class _Turn:
    """One call of ``get_or_set``: it ends with a value, or by raising."""

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
        """Return the value."""
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
                    f"nobody gave {self.key!r} a value within {self._wait:g} s of waiting",
                    key=self.key,
                )
            self.outcome = "waited"
            options.sleep(min(pause * (0.5 + options.random() / 2), left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _is_taken(self, response: MetaResponse) -> bool:
        """Tell whether another loads the value, and none is there that may be given meanwhile."""
        if not response.found or response.won:
            return False
        marked = response.stale and not self._stale
        return marked or not (response.value or response.flags)

    def _settled(self, response: MetaResponse) -> Any:
        """Return the value that is there, or load it."""
        if not response.found or response.won or response.value is None:
            return self._loaded(response)
        try:
            return self._leases._codec.decode(self.key, response.value, response.flags)
        except UnreadableValueError:
            if self._options.unreadable == "raise":
                raise
        return self._loaded(response)

    def _value(self) -> Any:
        """Return what the caller's function loads."""
        value = self._load()
        refuse_unrun("load", value)
        return value

    def _loaded(self, response: MetaResponse) -> Any:
        self.outcome = "loaded"
        try:
            value = self._value()
            data, flags = self._leases._codec.encode(value)
        except BaseException as error:
            self._hand_on(response, error)
            raise
        if not response.found:  # no server is to have the key now
            return value
        try:
            item = Item(self.key, data, flags, response.cas, self._until())
            # It is no error if another has stored or deleted the item in the meantime.
            failure = self._leases._cas(item).error
            if failure is not None:
                self._hand_on(response, failure)
                raise failure
        except FAILURES:
            if not self._forgives:
                raise
        return value

    def _hand_on(self, response: MetaResponse, error: BaseException) -> None:
        """Let another have the lease; what goes wrong with that is a note on `error`."""
        if not (response.found and response.won):
            return
        try:
            if response.value or response.flags:
                failed = self._leases.reopen(self.key, response).error
            else:
                failed = self._leases.drop(self.key, response.cas, False).error
        except Exception as raised:  # of whatever kind: it is `error` that comes out
            failed = raised
        if failed is not None:
            why = text_of(failed)
            add_note(error, f"the lease on {brief(self.key)} could not be handed on: {why}")
