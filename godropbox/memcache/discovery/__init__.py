"""Where a fleet comes from: a file, DNS, ElastiCache, ZooKeeper, etcd, Consul.

A ``Source`` says which servers there are, and a ``Follower`` keeps a shard manager's fleet like
that, whatever the source does; ``client`` makes a client of it at once, and ``discovery.aio`` has
the same for asyncio. Servers have names, by which keys are placed: one that comes back at another
address keeps its keys.
"""

from .clients import client
from .dns import DNSSource, SRVSource
from .elasticache import ElastiCacheSource
from .file import FileSource
from .follower import Follower, follow
from .options import FollowEvent, FollowHook, FollowOptions, FollowOverrides, FollowStatus
from .types import Answer, Server, Source, SourceError
from .urls import source

__all__ = [
    "Answer",
    "DNSSource",
    "ElastiCacheSource",
    "FileSource",
    "FollowEvent",
    "FollowHook",
    "FollowOptions",
    "FollowOverrides",
    "FollowStatus",
    "Follower",
    "SRVSource",
    "Server",
    "Source",
    "SourceError",
    "client",
    "follow",
    "source",
]
