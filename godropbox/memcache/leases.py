"""One load among all processes: get a value, load it, or wait for the caller that loads it.

The meta protocol's leases (doc/protocol.txt of memcached 1.6, flags N, R, W and Z): of the callers
that miss a key one wins (W) and leaves an empty item, at which the others see that the lease is
taken (Z). The winner stores by that item's token, so that a delete or a later write in between is
not overwritten. If its load fails, the lease is released at once; if it dies, when the lease ends.

An empty item without flags is such a lease if it is taken; ``codec`` gives b"" a flag. One that
nobody has taken was stored by another client, and is a miss: it is marked stale (I), and the
next get wins it.

A server without tokens (memcached -C) gives leases that nothing can be stored by, and one without
meta, where ``protocol="auto"`` found it, gives none. There one caller of a client loads at a time
and stores plainly, and the client's others wait for it; other processes load on their own. No I/O.
"""

import math
import threading
from collections.abc import Callable
from functools import partial
from time import perf_counter, time_ns
from typing import Any, Final

from .._forks import begin_again_in_child
from .._kernels._args import shown
from .._kernels._guarded import add_note, brief, refuse_unrun, text_of
from .._kernels._identity import refuse_copies
from . import parts
from .batches import FAILURES
from .codec import Codec, UnreadableValueError
from .errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidTypeError,
    NotSupportedError,
)
from .heads import PARTS, Head
from .hooks import Event, tell
from .options import ClientOptions, Expiry, as_expiry, as_seconds, seconds_left
from .protocol.meta import lease_release
from .responses import MetaResponse
from .stepping import Steps
from .types import Item, Key

__all__ = ["LeaseTimeoutError", "Leases"]

_GONE: Final = object()  # a value some of whose parts are
_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.1
_MOST: Final = 60 * 60 * 24 * 30 - 1


class LeaseTimeoutError(DeadlineExceededError):
    """No holder of the lease on a key stored a value before the wait was over."""


def _wait_at(gate: Any, seconds: float) -> None:
    gate.wait(seconds)


class _Load:
    """A load without a lease: `gate` opens when it is over, and `stored` is what it gave."""

    __slots__ = ("gate", "stored")

    def __init__(self, gate: Any) -> None:
        self.gate = gate
        self.stored: tuple[bytes, int] | None = None  # the data and the flags


class Leases:
    """``get_or_set`` on top of a client's meta operations.

    What a call of these returns is for the driver to wait for, if it is to be waited for; so is
    what ``wait_at(gate, seconds)`` returns for a gate, which has ``set`` and is made by `gate`.
    """

    __reduce_ex__ = refuse_copies
    gate: Callable[[], Any] = threading.Event
    wait_at: Callable[[Any, float], Any] = staticmethod(_wait_at)

    def __init__(self, operations: Any, codec: Codec, options: ClientOptions) -> None:
        self._cas = operations.cas
        self._set = operations.set
        self._get = operations.get
        self._delete = operations.delete
        self._codec = codec
        self._options = options
        capabilities = operations.capabilities
        self._speaks = capabilities.stale_while_revalidate
        self._protocol = capabilities.protocol
        # A raw client has meta_get; a sharded client runs exchanges of its protocol.
        self._raw = operations if hasattr(operations, "meta_get") else None
        self._run: Any = getattr(operations, "run", None)
        self._forked()
        begin_again_in_child(self)

    def _forked(self) -> None:
        self._loads: dict[bytes, _Load] = {}  # those under way that have no lease

    def get_or_set(
        self,
        key: Key,
        load: Callable[[], Any],
        expire: Expiry,
        stale: Expiry,
        lease: Any,
        wait: Any,
        client: Any,
        given: Key,
    ) -> "Steps[Any]":
        """Return the steps of ``Client.get_or_set`` by `client`; `key` is sent for `given`."""
        if not self._speaks:
            raise NotSupportedError(
                f"the {self._protocol} protocol has no leases: get_or_set needs protocol='auto', "
                "or 'meta'"
            )
        if not callable(load):
            raise InvalidTypeError(f"load must be a function, got {shown(load)}")
        turn = _Turn(self, key, load, self._limits(expire, stale, lease, wait))
        turn.parted = client, given, expire
        return self._observed(turn) if self._options.hooks else turn.take()

    def _limits(
        self, expire: Expiry, stale: Expiry, lease: Any, wait: Any
    ) -> "tuple[Callable[[float], int], float, int, float]":
        """Return a function for the item's expiry, the seconds of stale and lease, the wait.

        The function takes the seconds that the item is kept for beyond its expiry.
        """
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
        until = partial(as_expiry, expire, clock)
        # The server counts whole seconds, and the first of them may be nearly over.
        return until, old, math.ceil(own) + 1, patience

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
        limits: "tuple[Callable[[float], int], float, int, float]",
    ) -> None:
        self.key = key
        self.outcome = "hit"
        # For values in parts: the client, and the key and the expiry as they were given.
        self.parted: Any = None
        self._leases = leases
        self._load = load
        self._until, self._old, self._lease, self._wait = limits
        self._stale = math.ceil(self._old)
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
                response = yield from self._looked()
                is_leased = response is not None and (response.cas or not response.found)
                is_settled = not is_leased or not self._is_taken(response)
                if is_leased and self._is_unclaimed(response) and response.cas != claimed:
                    claimed = response.cas
                    if (yield from self._claim(claimed)):
                        continue
                    is_settled = True
            except FAILURES:
                if not self._forgives:
                    raise
                self.outcome = "loaded"
                return (yield from self._value())
            if not is_leased:
                return (yield from self._plainly(response, begun))
            if is_settled:
                value = yield from self._settled(response)
                if type(value) is not Head:
                    return value
                value = yield from self._whole(response, value)
                if value is not _GONE:
                    return value
                if not response.taken and response.cas != claimed:
                    claimed = response.cas
                    if (yield from self._claim(claimed)):
                        continue
                    return (yield from self._loaded(response))
            left = self._wait - (clock() - begun)
            if left <= 0:
                raise LeaseTimeoutError(
                    f"no lease holder stored a value of {self.key!r} within {self._wait:g} s",
                    key=self.key,
                )
            self.outcome = "waited"
            yield partial(options.sleep, min(pause * (0.5 + options.random() / 2), left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _looked(self) -> Steps[Any]:
        """Return the item, or a lease on it; None if the server is found to have no leases."""
        try:
            response = yield partial(self._leases.look, self.key, self._lease, self._stale)
        except NotSupportedError:
            if self._leases._protocol != "auto":
                raise
            return None
        if response.error is not None:
            raise response.error
        return response

    # Without leases that an item can be stored by

    def _plainly(self, response: Any, begun: float) -> Steps[Any]:
        """Return the value, loaded by one caller of this client at a time.

        `response` is what ``_looked`` returned.
        """
        if response is not None:
            kept = yield from self._kept(response)
            if kept is not None:
                return kept[0]
        loads, clock = self._leases._loads, self._options.clock
        name = self.key.encode() if isinstance(self.key, str) else self.key
        while True:
            own = _Load(self._leases.gate())
            load = loads.setdefault(name, own)
            if load is own:
                try:
                    return (yield from self._alone(own, response))
                finally:
                    del loads[name]
                    own.gate.set()
            self.outcome = "waited"
            left = self._wait - (clock() - begun)
            if left > 0:
                yield partial(self._leases.wait_at, load.gate, left)
            if load.stored is not None:
                return self._leases._codec.decode(self.key, *load.stored)
            if self._wait <= clock() - begun:
                raise LeaseTimeoutError(
                    f"another caller had not loaded a value of {self.key!r} within "
                    f"{self._wait:g} s",
                    key=self.key,
                )

    def _alone(self, own: _Load, first: Any) -> Steps[Any]:
        """Load the value and store it, unless another caller has since ``_looked``."""
        leases = self._leases
        try:
            if first is None:
                response = yield partial(leases._get, self.key)
            elif first.won and (first.value or first.flags):
                response = first  # the one caller who is to load a new value
            else:
                response = yield partial(leases.look, self.key, self._lease, self._stale)
            if response.error is not None:
                raise response.error
        except FAILURES:
            if not self._forgives:
                raise
            self.outcome = "loaded"
            return (yield from self._value())
        kept = yield from self._kept(response)
        if kept is not None:
            if response.flags != PARTS:
                own.stored = response.value, response.flags
            return kept[0]
        self.outcome = "loaded"
        try:
            value = yield from self._value()
            data, flags = leases._codec.encode(value)
        except GeneratorExit:  # nobody goes on with this
            raise
        except BaseException as error:
            if first is not None and not (response.value or response.flags):
                yield from self._cleared(error)
            raise
        own.stored = data, flags
        client, key, expire = self.parted
        try:
            if len(data) > client._part_size:
                yield from parts.store(client, "set", key, data, flags, 0, expire)
                return value
            # Without leases nobody would load a new value while the old one is given.
            old = 0.0 if first is None else self._old
            item = Item(self.key, data, flags, 0, self._until(old))
            failure = (yield partial(leases._set, item)).error
            if failure is not None:
                raise failure
        except FAILURES:
            if not self._forgives:
                raise
        return value

    def _kept(self, response: Any) -> Steps[tuple[Any] | None]:
        """Return the value of an answer; None if it has none, or this caller is to load one."""
        data, flags = response.value, response.flags
        if data is None or not (data or flags):
            return None
        if isinstance(response, MetaResponse) and (response.won or self._is_taken(response)):
            return None
        try:
            value = self._leases._codec.decode(self.key, data, flags)
        except UnreadableValueError:
            if self._options.unreadable == "raise":
                raise
            return None
        if type(value) is Head:
            value = yield from self._whole(response, value)
        return None if value is _GONE else (value,)

    def _cleared(self, error: BaseException) -> Steps[None]:
        """Delete the empty item that a look has left; a failure to do so is a note on `error`."""
        try:
            failed = (yield partial(self._leases._delete, self.key)).error
        except Exception as raised:  # of any kind: `error` is what is raised
            failed = raised
        if failed is not None:
            why = text_of(failed)
            add_note(error, f"the lease on {brief(self.key)} could not be released: {why}")

    # With leases

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

    def _whole(self, response: MetaResponse, head: Head) -> Steps[Any]:
        """Return the value in parts that a head stands for, ``_GONE`` if some of it is gone."""
        client, key, _ = self.parted
        return (yield from parts.fetch(client, key, head, response.cas, _GONE))[0]

    def _stored(self, response: MetaResponse, data: bytes, flags: int) -> Steps[Exception | None]:
        """Store what was loaded by the token of the lease; return why that failed, if it did.

        It is no error if another client stored or deleted the item meanwhile, or if a shard of its
        parts does not serve now.
        """
        client, key, expire = self.parted
        item = Item(self.key, data, flags, response.cas, 0)
        head: Head | None = None
        if len(data) > client._part_size:
            try:
                head = parts.new_head(client, key, data, flags)
            except InvalidArgumentError as error:
                return error
            until = parts.outlive(client, expire, self._old)
            lost = yield from parts.put(client, {key: (head, data)}, until)
            if lost:
                if lost[key] is None and response.won:
                    yield partial(self._leases.release, self.key, response)
                return lost[key]
            item = item._replace(value=head.text(), flags=PARTS)
        item = item._replace(expire=self._until(self._old))
        stored = yield partial(self._leases._cas, item)
        if stored.error is None:
            old = parts.head_of(client, key, response) if stored.ok else head
            if old is not None:
                yield from parts.sweep(client, parts.names_of(client, key, old))
        failure: Exception | None = stored.error
        return failure

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
            failure = yield from self._stored(response, data, flags)
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
