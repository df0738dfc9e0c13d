"""The options of clients as named arguments, so that type checkers and editors know each of them.

They are the fields of ``ClientOptions`` and ``AsyncClientOptions``, which say what they mean.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from .address import Credentials
from .compressors import Compressor
from .fleet.placement import ShardFunction
from .hooks import Hook
from .serializers import Serializer
from .types import Key

if TYPE_CHECKING:
    import ssl  # loaded by those who make a context

__all__ = ["AsyncClientOverrides", "ClientOverrides"]


class _Overrides(TypedDict, total=False):
    timeout: float | None
    connect_timeout: float
    tls: "ssl.SSLContext | None"
    auth: Credentials | None
    keepalive_idle: int | None
    keepalive_interval: int | None
    keepalive_count: int | None
    eject_after: int
    retry_after: float
    max_retry_after: float
    retry_jitter: float
    ejected: Literal["miss", "next"]
    clock: Callable[[], float]
    random: Callable[[], float]
    protocol: Literal["auto", "meta", "ascii", "binary"]
    shard_func: ShardFunction | Callable[[Any, int], int]
    prefix: Key
    long_keys: Literal["error", "hash"]
    serializer: Serializer | str | None
    compressor: Compressor | str | None
    compress_from: int
    max_value: int
    retry_reads: bool
    large_values: Literal["error", "split"]
    part_size: int
    failures: Literal["raise", "miss"]
    unreadable: Literal["raise", "miss"]
    hooks: tuple[Hook, ...]
    wall_clock: Callable[[], float]


class ClientOverrides(_Overrides, total=False):
    """What ``Client`` takes by name: the fields of ``ClientOptions``."""

    max_active: int | None
    max_idle: int | None
    max_opens: int | None
    pool_timeout: float | None
    max_idle_time: float | None
    max_lifetime: float | None
    open: Callable[[str], Any] | None
    sleep: Callable[[float], object]


class AsyncClientOverrides(_Overrides, total=False):
    """What ``AsyncClient`` takes by name: the fields of ``AsyncClientOptions``, pools' left out."""

    connections: int
    max_in_flight: int
    max_in_flight_bytes: int
    when_full: Literal["wait", "fail"]
    sleep: Callable[[float], Awaitable[object]]
