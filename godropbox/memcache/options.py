"""The options of a ``Client``, held to their ranges when they are made; what an expiry means."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from .._kernels._args import checked_int, shown
from .codec import Codec
from .compressors import Compressor
from .errors import InvalidArgumentError, InvalidTypeError
from .fleet.options import ShardOptions
from .fleet.placement import Hash2, ShardFunction, as_shard_function
from .hooks import Hook
from .serializers import Serializer
from .types import Key

__all__ = ["ClientOptions", "Expiry", "as_expiry", "as_seconds", "seconds_left"]

Expiry = float | timedelta | datetime

_MONTH = 60 * 60 * 24 * 30
# What memcached 1.6 takes for a Unix time ends in January 2038.
_LATEST = (1 << 31) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# As seconds from now 31 years, as a Unix time the year 2001: nobody means the former.
_IMPLAUSIBLE = 10**9
_HASHED_SIZE = 71  # of "sha256:" and 64 hexadecimal digits
_CHOICES = {
    "protocol": ("meta", "ascii", "binary"),
    "failures": ("raise", "miss"),
    "unreadable": ("raise", "miss"),
    "long_keys": ("error", "hash"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions(ShardOptions):
    """How a ``Client`` reaches its servers, and what it makes of values, keys and failures.

    Those of ``ShardOptions`` (timeouts, TLS, logging in, the limits of the pools, ejection), and:

    - `protocol`: ``"meta"``, which leases need; ``"ascii"``; ``"binary"``.
    - `shard_func`: a shard function, or a callable of a key and the number of shards.
    - `prefix`: goes before every key; a key is placed without it.
    - `long_keys`: a key of more than 250 bytes with its prefix is an ``"error"``, or goes as
      ``"hash"``: ``sha256:`` and the SHA-256 of its bytes in hexadecimal. No two keys with one
      SHA-256 are known, and a short key that begins with ``sha256:`` is hashed as well, so that
      nobody can name another's entry. A key that is hashed may have any bytes.
    - `serializer`: ``"json"``, ``"msgpack"``, ``"pickle"``, a ``Serializer``, or None, with which
      a value is bytes, str or int.
    - `compressor`: ``"zlib"``, ``"zstd"``, a ``Compressor`` or None; `compress_from`: the fewest
      bytes of a value that is worth it; `max_value`: the most that decompressing may make.
    - `failures`: whether a get that fails, by the network or by its server, will ``"raise"`` or is
      a ``"miss"``. Whatever writes raises.
    - `unreadable`: the same for a value that is damaged or not ours to read.
    - `hooks`: called with an ``Event`` after every operation; see ``hooks``.

    `wall_clock` tells seconds since 1970, `sleep` waits; both are replaced in tests.
    """

    protocol: Literal["meta", "ascii", "binary"] = "meta"
    shard_func: ShardFunction | Callable[[Any, int], int] = field(default_factory=Hash2)
    prefix: Key = b""
    long_keys: Literal["error", "hash"] = "error"
    serializer: Serializer | str | None = None
    compressor: Compressor | str | None = None
    compress_from: int = 1024
    max_value: int = 1 << 26
    failures: Literal["raise", "miss"] = "raise"
    unreadable: Literal["raise", "miss"] = "raise"
    hooks: tuple[Hook, ...] = ()
    wall_clock: Callable[[], float] = time.time
    sleep: Callable[[float], object] = time.sleep

    def __post_init__(self) -> None:
        ShardOptions.__post_init__(self)  # a class with slots is made twice, which breaks super()
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                words = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
                raise InvalidArgumentError(f"{name} must be {words}, got {shown(value)}")
        for name in ("compress_from", "max_value"):
            _checked_int(name, getattr(self, name))
        as_shard_function(self.shard_func)
        self.codec()  # which checks the serializer and the compressor
        self._check_prefix()
        if not isinstance(self.hooks, tuple) or not all(map(callable, self.hooks)):
            raise InvalidTypeError(f"hooks must be a tuple of callables, got {shown(self.hooks)}")

    def _check_prefix(self) -> None:
        if not isinstance(self.prefix, (str, bytes)):
            raise InvalidTypeError(f"prefix must be str or bytes, got {shown(self.prefix)}")
        most = 250 - (_HASHED_SIZE if self.long_keys == "hash" else 1)
        if self.prefix_size > most:
            raise InvalidArgumentError(
                f"prefix must be at most {most} bytes with long_keys={self.long_keys!r}, "
                f"got {self.prefix_size}"
            )

    @property
    def prefix_size(self) -> int:
        """The bytes of the prefix."""
        return len(self.prefix.encode() if isinstance(self.prefix, str) else self.prefix)

    def codec(self) -> Codec:
        """Return what turns values into bytes and back."""
        return Codec(self.serializer, self.compressor, self.compress_from, self.max_value)


def _checked_int(name: str, value: Any) -> None:
    try:
        checked_int(name, "[0, 2**31)", value, 1 << 31)
    except TypeError as error:
        raise InvalidTypeError(str(error)) from None
    except ValueError as error:
        raise InvalidArgumentError(str(error)) from None


def as_seconds(name: str, value: Any) -> float:
    """Return a number of seconds or a ``timedelta`` as a finite number of seconds."""
    try:
        return float(_as_seconds(name, value, "seconds or a timedelta"))
    except OverflowError:  # an int past what a float holds
        raise InvalidArgumentError(
            f"{name} must be a finite number of seconds, got {shown(value)}"
        ) from None


def _as_seconds(name: str, value: Any, allowed: str) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTypeError(f"{name} must be {allowed}, got {shown(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidArgumentError(f"{name} must be a finite number of seconds, got {value!r}")
    return value


def seconds_left(expire: Any, now: Callable[[], float], name: str = "expire") -> float:
    """Return the seconds until what a caller gave as `name`: below 0 for a time that is past."""
    if isinstance(expire, datetime):
        return _unix_time(name, expire) - now()
    seconds = _as_seconds(name, expire, "seconds, a timedelta or an aware datetime")
    if seconds >= _IMPLAUSIBLE and not isinstance(expire, timedelta):
        raise InvalidArgumentError(
            f"{name} must be under 10**9 seconds from now (31 years), got {shown(expire)}; "
            "write a Unix time as datetime.fromtimestamp(time, UTC)"
        )
    return max(seconds, -2 * _IMPLAUSIBLE)  # which is past, whatever is added


def _unix_time(name: str, moment: datetime) -> float:
    if moment.utcoffset() is None:
        raise InvalidArgumentError(
            f"{name} must be an aware datetime, got a naive one, {moment!r}: give it a tzinfo"
        )
    return (moment - _EPOCH).total_seconds()


def as_expiry(
    expire: Any, now: Callable[[], float], stale: float = 0.0, name: str = "expire"
) -> int:
    """Return the expiry that memcached is to be given for an ``Expiry`` that a caller gave.

    A number of 0 is never; what is negative, a ``timedelta`` of 0, and an aware ``datetime`` that
    is past, by `now`, are at once. A part of a second counts as a whole one. More than 30 days go
    as the Unix time at which they are over, since memcached would take the number itself for one;
    the latest it knows is in January 2038. A number of 10**9 and more is refused: it would be a
    Unix time given for a number of seconds. `stale` is how many seconds later it is to be.
    """
    seconds = seconds_left(expire, now, name)
    if seconds == 0 and not stale and not isinstance(expire, (timedelta, datetime)):
        return 0
    seconds += stale
    if seconds <= 0:
        return -1
    whole = math.ceil(seconds)
    if whole <= _MONTH:
        return whole
    if isinstance(expire, datetime):
        return min(math.ceil(_unix_time(name, expire) + stale), _LATEST)
    return min(math.ceil(now()) + whole, _LATEST)
