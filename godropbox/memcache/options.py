"""Options of a ``Client``, checked on construction, and the conversion of expiries. No I/O."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from .._kernels._args import checked_int, shown
from .._kernels._guarded import require_plain
from .codec import Codec
from .compressors import Compressor
from .errors import InvalidArgumentError, InvalidTypeError
from .fleet.options import ShardOptions, check_no_bool
from .fleet.placement import Hash2, ShardFunction, as_shard_function
from .hints import closest, named_options
from .hooks import Hook
from .protocol.talk import check_bool
from .serializers import Serializer
from .types import Key

__all__ = ["ClientOptions", "Expiry", "as_expiry", "as_seconds", "seconds_left"]

Expiry = float | timedelta | datetime

_MONTH = 60 * 60 * 24 * 30
# The last Unix time that memcached 1.6 accepts, in January 2038.
_LATEST = (1 << 31) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# 31 years as seconds from now, the year 2001 as a Unix time: the caller means the latter.
_IMPLAUSIBLE = 10**9
_HASHED_SIZE = 71  # "sha256:" and 64 hexadecimal digits
_LONGEST_OF_PARTS = 150  # bytes of a prefix that leave room for the keys of parts
_LEAST_PART, _MOST_PART = 1000, 1 << 30
_CHOICES = {
    "protocol": ("auto", "meta", "ascii", "binary"),
    "failures": ("raise", "miss"),
    "unreadable": ("raise", "miss"),
    "long_keys": ("error", "hash"),
    "large_values": ("error", "split"),
}


# What else a protocol is called.
_ALIASES = {
    "text": "ascii",
    "classic": "ascii",
    "bin": "binary",
    "meta-ascii": "meta",
    "any": "auto",
    "detect": "auto",
}


@named_options
@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions(ShardOptions):
    """Options of a ``Client``: servers, values, keys and failures.

    All of ``ShardOptions`` (timeouts, TLS, login, pool limits, ejection), and:

    - `protocol`: ``"auto"``, which is meta on each server that knows it (memcached from 1.6.10) and
      ASCII on the others, most proxies too; ``"meta"``, ``"ascii"`` or ``"binary"`` on all.
      The last two have no leases, and so no ``get_or_set``.
    - `shard_func`: a shard function, or a callable of a key and the number of shards.
    - `prefix`: prepended to every key on the wire; the shard is chosen without it.
    - `long_keys`: ``"error"`` refuses keys over 250 bytes with the prefix; ``"hash"`` sends
      ``sha256:`` and the hexadecimal SHA-256 of the key instead. Short keys that begin with
      ``sha256:`` are hashed as well, so that no key can name another key's entry. A hashed key may
      contain any bytes.
    - `serializer`: ``"json"``, ``"msgpack"``, ``"pickle"``, a ``Serializer``, or None, which allows
      only bytes, str and int.
    - `compressor`: ``"zlib"``, ``"zstd"``, a ``Compressor`` or None. `compress_from`: the smallest
      value to compress, in bytes; `max_value`: the limit of a value that is read, decompressed or
      out of parts, in bytes.
    - `retry_reads`: whether a get (of one key or many) or a version whose connection is lost before
      its reply is complete is asked once more, over a new connection and within the same `timeout`.
      What is late is not, and writes never are.
    - `large_values`: ``"error"``: servers refuse values over their item limit; ``"split"``: values
      over `part_size` bytes, once compressed, are stored in parts. All clients read those.
    - `failures`: ``"raise"`` or ``"miss"`` if the network or the server fails a get. Writes always
      raise.
    - `unreadable`: ``"raise"`` or ``"miss"`` if a value is damaged or in an unknown format.
    - `hooks`: callables of an ``Event``, called after every operation.

    `wall_clock` returns seconds since 1970 and `sleep` waits; tests replace both.
    """

    protocol: Literal["auto", "meta", "ascii", "binary"] = "auto"
    shard_func: ShardFunction | Callable[[Any, int], int] = field(default_factory=Hash2)
    prefix: Key = b""
    long_keys: Literal["error", "hash"] = "error"
    serializer: Serializer | str | None = None
    compressor: Compressor | str | None = None
    compress_from: int = 1024
    max_value: int = 1 << 26
    retry_reads: bool = True
    large_values: Literal["error", "split"] = "error"
    part_size: int = 1_000_000
    failures: Literal["raise", "miss"] = "raise"
    unreadable: Literal["raise", "miss"] = "raise"
    hooks: tuple[Hook, ...] = ()
    wall_clock: Callable[[], float] = time.time
    sleep: Callable[[float], object] = time.sleep

    def __post_init__(self) -> None:
        ShardOptions.__post_init__(self)  # super() fails: slots=True recreates the class
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                words = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
                near = _ALIASES.get(str(value).lower()) or closest(value, choices)
                hint = f": did you mean {near!r}?" if near in choices else ""
                raise InvalidArgumentError(f"{name} must be {words}, got {shown(value)}{hint}")
        for name in ("compress_from", "max_value"):
            _checked_int(name, getattr(self, name))
        check_bool("retry_reads", self.retry_reads)
        self._check_login()
        self._check_parts()
        as_shard_function(self.shard_func)
        self.codec()  # checks the serializer and the compressor
        self._check_prefix()
        if not isinstance(self.hooks, tuple) or not all(map(callable, self.hooks)):
            raise InvalidTypeError(f"hooks must be a tuple of callables, got {shown(self.hooks)}")
        for name in ("wall_clock", "sleep"):
            if not callable(getattr(self, name)):
                raise InvalidTypeError(
                    f"{name} must be a callable, got {shown(getattr(self, name))}"
                )
        for hook in self.hooks:
            require_plain("hooks", hook)

    def _check_login(self) -> None:
        if self.auth is None or (self.auth.mechanism == "sasl") == (self.protocol == "binary"):
            return
        if self.protocol == "binary":
            raise InvalidArgumentError(
                "auth must be Credentials(..., mechanism='sasl') with protocol='binary': a server "
                "that takes an ASCII login (--auth-file) speaks no binary protocol"
            )
        raise InvalidArgumentError(
            "auth must be Credentials(...) without mechanism='sasl' unless protocol is 'binary', "
            f"got {self.protocol!r}: a server that takes logins by SASL (-S) speaks no other"
        )

    def _check_prefix(self) -> None:
        if not isinstance(self.prefix, (str, bytes)):
            raise InvalidTypeError(f"prefix must be str or bytes, got {shown(self.prefix)}")
        try:
            raw = self.prefix.encode() if isinstance(self.prefix, str) else self.prefix
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(
                f"prefix must be text that UTF-8 can encode, got {shown(self.prefix)}: {error}"
            ) from None
        for at, byte in enumerate(raw):
            if byte <= 0x20 or byte == 0x7F:
                raise InvalidArgumentError(
                    f"prefix must have no byte up to 0x20 and no 0x7f, got 0x{byte:02x} at {at}"
                    f" of {shown(raw)}"
                )
        most = 250 - (_HASHED_SIZE if self.long_keys == "hash" else 1)
        why = f"long_keys={self.long_keys!r}"
        if self.large_values == "split" and most > _LONGEST_OF_PARTS:
            most, why = _LONGEST_OF_PARTS, "large_values='split'"
        if self.prefix_size > most:
            raise InvalidArgumentError(
                f"prefix must be at most {most} bytes with {why}, got {self.prefix_size}"
            )

    def _check_parts(self) -> None:
        sizes = f"[{_LEAST_PART}, 2**30]"
        _checked_int("part_size", self.part_size, sizes, _MOST_PART + 1)
        if self.part_size < _LEAST_PART:
            raise InvalidArgumentError(
                f"part_size must be an int in {sizes}, got {self.part_size!r}"
            )

    @property
    def prefix_size(self) -> int:
        """Size of the prefix in bytes."""
        return len(self.prefix.encode() if isinstance(self.prefix, str) else self.prefix)

    def codec(self) -> Codec:
        """Return a codec for these options."""
        return Codec(self.serializer, self.compressor, self.compress_from, self.max_value)


def _checked_int(name: str, value: Any, among: str = "[0, 2**31)", end: int = 1 << 31) -> None:
    check_no_bool(name, value, f"an int in {among}")
    try:
        checked_int(name, among, value, end)
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
    """Return the seconds until `expire`, negative if it is past; errors call it `name`."""
    if isinstance(expire, datetime):
        return _unix_time(name, expire) - now()
    seconds = _as_seconds(name, expire, "seconds, a timedelta or an aware datetime")
    if seconds >= _IMPLAUSIBLE and not isinstance(expire, timedelta):
        raise InvalidArgumentError(
            f"{name} must be under 10**9 seconds from now (31 years), got {shown(expire)}; "
            "write a Unix time as datetime.fromtimestamp(time, UTC)"
        )
    return max(seconds, -2 * _IMPLAUSIBLE)  # stays past after `stale` is added


def _unix_time(name: str, moment: datetime) -> float:
    if moment.utcoffset() is None:
        raise InvalidArgumentError(
            f"{name} must be an aware datetime, got a naive one, {moment!r}: give it a tzinfo"
        )
    return (moment - _EPOCH).total_seconds()


def as_expiry(
    expire: Any, now: Callable[[], float], stale: float = 0.0, name: str = "expire"
) -> int:
    """Convert the caller's ``Expiry`` to the number that memcached expects.

    The number 0 means never. A negative number, a ``timedelta`` of 0 and an aware ``datetime``
    before `now` mean at once. Fractions of a second are rounded up. Periods over 30 days are sent
    as a Unix time, at most January 2038, because memcached reads such numbers as Unix times. A
    number of 10**9 or more is refused: it is a Unix time passed as seconds. `stale` seconds are
    added. `name` is the argument's name in errors.
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
