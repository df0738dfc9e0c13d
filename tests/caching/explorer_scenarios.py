"""What is explored, and what an exploration finds."""

from dataclasses import dataclass, field
from typing import Any, Final

from caching.explorer_clients import Client

from godropbox.caching.consistency import protocol
from godropbox.caching.consistency.protocol import Lease, Place, Value

__all__ = ["BEGINNING", "MINE", "Erase", "Found", "Put", "Scenario", "Shard"]

BEGINNING: Final = -1  # the value that the storage has before any write
MINE: Final = Lease(b"mine")  # what every reader takes for its lease


@dataclass(frozen=True)
class Put:
    """A step that only others' protocols take: store an entry, whatever is there."""

    place: Place | None
    entry: Any


@dataclass(frozen=True)
class Erase:
    """A step that only others' protocols take: delete whatever is there."""

    place: Place | None


@dataclass(frozen=True)
class Shard:
    """A shard's state: whether reads go there, whether writes must be known there, or may be."""

    name: str
    reads: bool = False
    told: bool = False
    required: bool = False
    flushed: bool = False  # coming into this state, the server is flushed


ACTIVE: Final = Shard("ACTIVE", reads=True, told=True, required=True)


@dataclass(frozen=True)
class Scenario:
    """Who runs, and how many of each mishap there may be."""

    writers: tuple[Client, ...]
    readers: tuple[Client, ...]
    evictions: int = 0
    restarts: int = 0
    crashes: int = 0
    unknown: int = 0  # operations of the cache whose outcome stays unknown
    unknown_commits: int = 0
    retries: int = 1  # how often a client may be told to try again
    shards: tuple[Shard, ...] = (ACTIVE,)  # the states that the shard goes through
    # Tokens are the server's count of stores, and start anew with it; else none comes twice.
    counted: bool = False
    beginnings: tuple[protocol.Entry | None, ...] = (None, Value(BEGINNING))
    # Whether to check, too, what the acknowledgement does not cover.
    unacknowledged: bool = True
    merged: bool = True  # whether histories that lead to the same are one; otherwise it is slow


@dataclass
class Found:
    """What an exploration found."""

    states: int
    transitions: int = 0
    violation: str = ""
    trace: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = f"{self.states} states, {self.transitions} transitions"
        if self.violation:
            text += "\n".join(["", *self.trace, self.violation])
        return text
