"""Options of asyncio clients. No I/O."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal

from ..._kernels._args import checked_int, shown
from ..errors import InvalidArgumentError
from ..fleet.options import ShardOptions
from ..hints import named_options
from ..options import ClientOptions

__all__ = ["AsyncClientOptions", "AsyncShardOptions"]

_MOST = 1 << 31
# Those of pools, whose connections serve one caller at a time.
_OF_POOLS = (
    "max_active",
    "max_idle",
    "max_opens",
    "pool_timeout",
    "max_idle_time",
    "max_lifetime",
    "open",
)


@named_options
@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncShardOptions(ShardOptions):
    """How the servers of a fleet are reached under asyncio.

    All of ``ShardOptions`` but those of pools, which are refused, and:

    - `connections`: how many to each server; the callers share them.
    - `max_in_flight` requests, and `max_in_flight_bytes` of them, are in flight over each. With TLS
      it is at most 128 and 8192.
    - `when_full`: beyond that a caller gets its turn within its timeout (``"wait"``), or
      ``PoolExhaustedError`` at once (``"fail"``).
    """

    connections: int = 1
    max_in_flight: int = 4096
    max_in_flight_bytes: int = 1 << 24
    when_full: Literal["wait", "fail"] = "wait"

    def __post_init__(self) -> None:
        ShardOptions.__post_init__(self)  # super() fails: slots=True recreates the class
        _check(self)


@named_options
@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncClientOptions(ClientOptions):
    """Options of an ``AsyncClient``: all of ``ClientOptions`` and of ``AsyncShardOptions``.

    `sleep` is a coroutine function; tests replace it.
    """

    connections: int = 1
    max_in_flight: int = 4096
    max_in_flight_bytes: int = 1 << 24
    when_full: Literal["wait", "fail"] = "wait"
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    def __post_init__(self) -> None:
        ClientOptions.__post_init__(self)
        _check(self)


def _check(options: Any) -> None:
    for name in ("connections", "max_in_flight", "max_in_flight_bytes"):
        value = getattr(options, name)
        if checked_int(name, "[1, 2**31)", value, _MOST) < 1:
            raise InvalidArgumentError(f"{name} must be in [1, 2**31), got {value!r}")
    if options.when_full not in ("wait", "fail"):
        raise InvalidArgumentError(
            f"when_full must be 'wait' or 'fail', got {shown(options.when_full)}"
        )
    defaults = {each.name: each.default for each in fields(ShardOptions)}
    for name in _OF_POOLS:
        default = defaults[name]
        assert default is not MISSING
        if getattr(options, name) != default:
            raise InvalidArgumentError(
                f"{name} is an option of pools, whose connections serve one caller at a time: an "
                "asyncio client has connections and max_in_flight, "
                f"got {shown(getattr(options, name))}"
            )
