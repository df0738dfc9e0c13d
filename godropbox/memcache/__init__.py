"""memcached: a client for values, and below it a sharded one, raw ones and three protocols.

``Client`` is what most programs use; its options are a ``ClientOptions``. ``ShardedClient`` has the
operations of the raw clients over a fleet, which a ``ShardManager`` keeps and over which a
``ShardFunction`` (``Hash2``, ``Ketama``, ...) shares out the keys. ``connect`` makes a channel;
``RawAsciiClient``, ``RawBinaryClient`` and ``RawMetaClient`` speak over it, with one set of
operations. ``memcache.testing`` has a client that is all in memory.
"""

from .address import Credentials
from .batches import (
    FailedKeys,
    PartialNetworkError,
    PartialResultError,
    PartialServerError,
)
from .client import Client
from .codec import UnreadableValueError
from .connection import Channel, Connection
from .dial import connect
from .errors import (
    ClientClosedError,
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
    WrongLoopError,
)
from .fleet.manager import Fleet, Shard, ShardManager, ShardState, ShardStatus
from .fleet.options import ShardOptions
from .fleet.placement import (
    NOT_A_KEY,
    UNMAPPED,
    Crc32,
    Custom,
    Hash2,
    Jump,
    Ketama,
    Placement,
    Rendezvous,
    ShardFunction,
)
from .hooks import Event
from .leases import LeaseTimeoutError
from .managers import BaseShardManager, StaticShardManager
from .options import ClientOptions
from .overrides import ClientOverrides
from .protocol.ascii import AsciiProtocol
from .protocol.auto import AutoProtocol
from .protocol.binary import BinaryProtocol
from .protocol.dump import KeyInfo
from .protocol.exchange import Exchange
from .protocol.meta import MetaProtocol
from .raw import RawAsciiClient, RawBinaryClient, RawClient, RawMetaClient
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
from .types import Capabilities, Dialect, Item, Key, ResponseStatus

__all__ = [
    "NOT_A_KEY",
    "UNMAPPED",
    "AsciiProtocol",
    "AutoProtocol",
    "BaseShardManager",
    "BinaryProtocol",
    "Capabilities",
    "Channel",
    "Client",
    "ClientClosedError",
    "ClientOptions",
    "ClientOverrides",
    "Connection",
    "ConnectionLostError",
    "ConnectionUnusableError",
    "CountResponse",
    "Crc32",
    "Credentials",
    "Custom",
    "DeadlineExceededError",
    "Dialect",
    "Event",
    "Exchange",
    "FailedKeys",
    "Fleet",
    "GetResponse",
    "Hash2",
    "InvalidArgumentError",
    "InvalidTypeError",
    "Item",
    "Jump",
    "Ketama",
    "Key",
    "KeyInfo",
    "LeaseTimeoutError",
    "MetaProtocol",
    "MetaResponse",
    "MutateResponse",
    "NetworkError",
    "NotSupportedError",
    "PartialNetworkError",
    "PartialResultError",
    "PartialServerError",
    "Placement",
    "RawAsciiClient",
    "RawBinaryClient",
    "RawClient",
    "RawMetaClient",
    "Rendezvous",
    "ReplyError",
    "Response",
    "ResponseStatus",
    "ServerError",
    "Shard",
    "ShardFunction",
    "ShardManager",
    "ShardOptions",
    "ShardState",
    "ShardStatus",
    "ShardedClient",
    "StaticShardManager",
    "StatsResponse",
    "UnmappedKeyError",
    "UnreadableValueError",
    "UsageError",
    "VersionResponse",
    "WrongLoopError",
    "connect",
]
