"""memcached: three protocols without I/O, and raw clients over one connection each.

``connect`` makes a channel; ``RawAsciiClient``, ``RawBinaryClient`` and ``RawMetaClient`` speak
over it, with one set of operations. ``memcache.testing`` has a client that is all in memory.
"""

from .ascii import AsciiProtocol
from .binary import BinaryProtocol
from .channel import Credentials, connect
from .clients import RawAsciiClient, RawBinaryClient, RawMetaClient
from .connection import Channel, Connection
from .errors import (
    ConnectionLostError,
    ConnectionUnusableError,
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidTypeError,
    NetworkError,
    NotSupportedError,
    ReplyError,
    ServerError,
    UsageError,
)
from .exchange import Exchange
from .meta import MetaProtocol
from .raw import RawClient
from .responses import (
    CountResponse,
    GetResponse,
    MetaResponse,
    MutateResponse,
    Response,
    StatsResponse,
    VersionResponse,
)
from .types import Capabilities, Item, Key, ResponseStatus

__all__ = [
    "AsciiProtocol",
    "BinaryProtocol",
    "Capabilities",
    "Channel",
    "Connection",
    "ConnectionLostError",
    "ConnectionUnusableError",
    "CountResponse",
    "Credentials",
    "DeadlineExceededError",
    "Exchange",
    "GetResponse",
    "InvalidArgumentError",
    "InvalidTypeError",
    "Item",
    "Key",
    "MetaProtocol",
    "MetaResponse",
    "MutateResponse",
    "NetworkError",
    "NotSupportedError",
    "RawAsciiClient",
    "RawBinaryClient",
    "RawClient",
    "RawMetaClient",
    "ReplyError",
    "Response",
    "ResponseStatus",
    "ServerError",
    "StatsResponse",
    "UsageError",
    "VersionResponse",
    "connect",
]
