"""memcached: a client for values, and below it a sharded one, raw ones and three protocols.

``Client`` is what most programs use; its options are a ``ClientOptions``. Below it,
``connect`` makes a channel; ``RawAsciiClient``, ``RawBinaryClient`` and ``RawMetaClient`` speak
over it, with one set of operations. ``memcache.testing`` has a client that is all in memory.
"""

from .ascii import AsciiProtocol
from .batches import (
    FailedKeys,
    PartialNetworkError,
    PartialResultError,
    PartialServerError,
)
from .binary import BinaryProtocol
from .channel import Credentials, connect
from .client import Client
from .clients import RawAsciiClient, RawBinaryClient, RawMetaClient
from .codec import UnreadableValueError
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
    UnmappedKeyError,
    UsageError,
)
from .exchange import Exchange
from .hooks import Event
from .leases import LeaseTimeoutError
from .meta import MetaProtocol
from .options import ClientOptions
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
from .sharded_client import ShardedClient
from .types import Capabilities, Item, Key, ResponseStatus

__all__ = [
    "AsciiProtocol",
    "BinaryProtocol",
    "Capabilities",
    "Channel",
    "Client",
    "ClientOptions",
    "Connection",
    "ConnectionLostError",
    "ConnectionUnusableError",
    "CountResponse",
    "Credentials",
    "DeadlineExceededError",
    "Event",
    "Exchange",
    "FailedKeys",
    "GetResponse",
    "InvalidArgumentError",
    "InvalidTypeError",
    "Item",
    "Key",
    "LeaseTimeoutError",
    "MetaProtocol",
    "MetaResponse",
    "MutateResponse",
    "NetworkError",
    "NotSupportedError",
    "PartialNetworkError",
    "PartialResultError",
    "PartialServerError",
    "RawAsciiClient",
    "RawBinaryClient",
    "RawClient",
    "RawMetaClient",
    "ReplyError",
    "Response",
    "ResponseStatus",
    "ServerError",
    "ShardedClient",
    "StatsResponse",
    "UnmappedKeyError",
    "UnreadableValueError",
    "UsageError",
    "VersionResponse",
    "connect",
]
