"""The options of a fleet: how its servers are reached, and when one is left alone. No I/O."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from ..._address import check_keepalive
from ..._kernels._args import checked_int, shown
from ...resource_pool import PoolOptions
from ..address import Credentials
from ..errors import InvalidArgumentError, InvalidTypeError
from ..hints import named_options

if TYPE_CHECKING:
    import ssl  # loaded by those who make a context

__all__ = ["ShardOptions", "check_no_bool"]


_NO_CONTEXT = (type, ModuleType)  # the class, or ``ssl`` itself before Python 3.12
_LONGEST = 1000  # seconds: what is more is milliseconds


@named_options
@dataclass(frozen=True, slots=True, kw_only=True)
class ShardOptions:
    """How the servers of a fleet are reached, and when one is left alone. Times are seconds.

    - `timeout`: for a whole operation on one connection; None is none. Connecting is part of the
      first, unless it takes TLS, a login, or several addresses of a name, or a Unix socket's
      backlog is full: those have `connect_timeout`, and are made one after the other. All addresses
      of a name share it. The system looks up the name, without a timeout.
    - `tls` is an ``ssl.SSLContext``, for TCP; `auth` are the credentials to log in with.
    - TCP's keepalive is always on. A connection with nothing under way is probed after
      `keepalive_idle` seconds, then each `keepalive_interval`, and is lost after `keepalive_count`
      probes without an answer; None is what the system has (Linux: two hours, 75 seconds, 9). An
      idle time below that of a balancer or a firewall in between keeps it from forgetting the
      connection.
    - The limits for each server, of which None is none: `max_active` connections on loan,
      `max_idle` kept for later, `max_opens` made at a time; `pool_timeout`: how long to wait for
      one while `max_active` are on loan, where 0 fails at once; `max_idle_time`, `max_lifetime`:
      when a connection is closed.
    - `open`: takes an address and returns a ``Connection``, in place of all of the above.

    Ejection, which is off while `eject_after` is 0: after so many failures in a row a server is
    left alone for `retry_after`, then one operation tries it again, and each time that fails the
    wait doubles, up to `max_retry_after`; a random part of every wait, up to `retry_jitter` (0 to
    1), is taken off. Meanwhile its keys are a miss (`ejected` is ``"miss"``), or live on the next
    shard by the shard function (``"next"``), which ``Crc32``, ``Jump`` and callables do not have.

    `clock` and `random` are replaced in tests.
    """

    timeout: float | None = 1.0
    connect_timeout: float = 1.0
    tls: "ssl.SSLContext | None" = None
    auth: Credentials | None = None
    keepalive_idle: int | None = None
    keepalive_interval: int | None = None
    keepalive_count: int | None = None
    max_active: int | None = None
    max_idle: int | None = None
    max_opens: int | None = None
    pool_timeout: float | None = 0.0
    max_idle_time: float | None = None
    max_lifetime: float | None = None
    open: Callable[[str], Any] | None = None
    eject_after: int = 0
    retry_after: float = 1.0
    max_retry_after: float = 60.0
    retry_jitter: float = 0.1
    ejected: Literal["miss", "next"] = "miss"
    clock: Callable[[], float] = monotonic
    random: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if self.timeout is not None:
            _seconds("timeout", self.timeout, _LONGEST)
        _seconds("connect_timeout", self.connect_timeout, _LONGEST)
        for name in ("retry_after", "max_retry_after"):
            _seconds(name, getattr(self, name))
        self._check_objects()
        if self.pool_timeout is not None and self.pool_timeout != 0:
            _seconds("pool_timeout", self.pool_timeout)
        self._check_ints()
        if self.max_retry_after < self.retry_after:
            raise InvalidArgumentError(
                f"max_retry_after must be at least retry_after, {self.retry_after!r},"
                f" got {self.max_retry_after!r}"
            )
        if not _number("retry_jitter", self.retry_jitter) <= 1 or self.retry_jitter < 0:
            raise InvalidArgumentError(f"retry_jitter must be in [0, 1], got {self.retry_jitter!r}")
        if self.ejected not in ("miss", "next"):
            raise InvalidArgumentError(
                f"ejected must be 'miss' or 'next', got {shown(self.ejected)}"
            )

    def _check_ints(self) -> None:
        check_no_bool("eject_after", self.eject_after, "an int in [0, 2**31)")
        try:
            checked_int("eject_after", "[0, 2**31)", self.eject_after, 1 << 31)
            check_keepalive(self)
            self.pool_options(repr)  # which checks the limits, and opens nothing
        except TypeError as error:
            raise InvalidTypeError(str(error)) from None
        except ValueError as error:
            raise InvalidArgumentError(str(error)) from None

    def _check_objects(self) -> None:
        if self.auth is not None and not isinstance(self.auth, Credentials):
            raise InvalidTypeError(
                f"auth must be Credentials(user, password) or None, not {type(self.auth).__name__}"
            )
        tls: Any = self.tls
        if tls is not None and (isinstance(tls, _NO_CONTEXT) or not hasattr(tls, "wrap_socket")):
            hint = ": ssl.create_default_context() makes one" if tls is True else ""
            raise InvalidTypeError(f"tls must be an ssl.SSLContext or None, got {shown(tls)}{hint}")
        for name in ("open", "clock", "random"):
            value = getattr(self, name)
            if not callable(value) and (value is not None or name != "open"):
                raise InvalidTypeError(f"{name} must be a callable, got {shown(value)}")

    @property
    def diverts(self) -> bool:
        """Whether keys of an ejected server go to the next."""
        return bool(self.eject_after) and self.ejected == "next"

    def pool_options(
        self, dial: Callable[[str], Any], abandon: Callable[[Any], object] | None = None
    ) -> PoolOptions:
        """Return the options of a pool of connections, made by `open`, by default by `dial`.

        `abandon` closes what `dial` made, in the child of a fork, and sends the server nothing.
        """
        return PoolOptions(
            open=self.open or dial,
            abandon=abandon if self.open is None else None,
            max_active=self.max_active,
            max_idle=self.max_idle,
            max_opens=self.max_opens,
            timeout=self.pool_timeout,
            max_idle_time=self.max_idle_time,
            max_lifetime=self.max_lifetime,
            clock=self.clock,
            random=self.random,
        )


def check_no_bool(name: str, value: Any, wanted: str) -> None:
    """Raise ``InvalidTypeError`` for a bool, which Python takes for an int."""
    if isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be {wanted}, got {value}")


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTypeError(f"{name} must be a number, got {shown(value)}")
    return value


def _seconds(name: str, value: Any, most: float = 1e9) -> None:
    if not 0 < _number(name, value) < most:
        hint = ""
        if most == _LONGEST and most <= value < most * 1000:
            hint = f"; if those are milliseconds, write {value / 1000:g}"
        end = "1e9" if most == 1e9 else f"{most:g}"
        raise InvalidArgumentError(f"{name} must be in (0, {end}) seconds, got {value!r}{hint}")
