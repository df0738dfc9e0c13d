"""What a source of servers is, and what it says.

A source knows nothing of shard managers: it is asked for what is new, one question at a time, by
whoever follows it. So one source serves threads and asyncio.
"""

from typing import NamedTuple, Protocol

from ...errors import NetworkError
from ..fleet.shards import ShardState

__all__ = ["Answer", "Server", "Source", "SourceError"]


class SourceError(NetworkError):
    """A source could not be asked, or what it said cannot be understood.

    Its message names the source and what came. Whoever follows the source keeps the fleet.
    """


class Server(NamedTuple):
    """A server as a source knows it.

    `name`: its identity, which it keeps at another address, such as a StatefulSet's host name or a
    node of ZooKeeper. `address`: where it is, as ``memcache.connect`` takes it. `state`: what the
    source says of it, ``ACTIVE`` where it says nothing.
    """

    name: str
    address: str
    state: ShardState = ShardState.ACTIVE


class Answer(NamedTuple):
    """All servers of a fleet, as a source has them at one moment.

    `version`: grows with each change, for sources that count (a ZooKeeper node's version, etcd's
    revision, ElastiCache's config version); None for those that do not. A smaller one than before
    is an older answer. `is_ordered`: whether the order of `servers` is the source's own and the
    same for everyone who asks, as in a file's list; otherwise (children, DNS) who follows the
    source sorts by name.
    """

    version: int | None
    servers: tuple[Server, ...]
    is_ordered: bool = False


class Source(Protocol):
    """Where a fleet comes from. One thread asks at a time; ``close`` may come from any.

    A source that only looks from time to time has an attribute `is_polled` that is true: it answers
    whenever it has looked, and its None confirms nothing. One that waits for changes has none.
    """

    @property
    def name(self) -> str:
        """What the source is, as a URL without a password, for messages."""

    def next(self, timeout: float) -> Answer | None:
        """Return what the source says: at once the first time, later when it may have changed.

        Waits for that at most `timeout` seconds, then returns None. The same answer again does no
        harm. Raises ``SourceError`` where the source cannot be asked, answers nothing that can be
        understood, or was closed; the next call then begins anew, and returns what it finds.
        """

    def close(self) -> None:
        """Let go of connections; a call of ``next`` under way ends within 0.2 s, with an error."""
