"""Who writes to which shard just now, and which shards let no writer in; without I/O.

A layout is replaced in three steps: the shards that it changes are closed, the writes that began
before end, and then the layout is swapped and the shards are opened. So every write is wholly on
the old or wholly on the new home, and a shard that was made read-only has no write under way.
"""

from collections.abc import Iterable

__all__ = ["Gates"]


class Gates:
    """Counts of writers by shard. Whoever uses it holds a lock, or runs on one event loop."""

    __slots__ = ("closed", "writers")

    def __init__(self) -> None:
        self.closed: set[int] = set()
        self.writers: dict[int, int] = {}

    def enter(self, shard: int) -> bool:
        """Let a writer in; return False if the shard is closed just now."""
        if self.closed and shard in self.closed:
            return False
        self.writers[shard] = self.writers.get(shard, 0) + 1
        return True

    def stay(self, shard: int) -> None:
        """Count one writer more, of which a writer that is inside does not know the end."""
        self.writers[shard] += 1

    def leave(self, shard: int) -> bool:
        """Let a writer out; return whether somebody may wait for that."""
        left = self.writers[shard] - 1
        if left:
            self.writers[shard] = left
        else:
            del self.writers[shard]
        return bool(self.closed) and shard in self.closed

    def close(self, shards: Iterable[int]) -> None:
        """Let no more writers in."""
        self.closed.update(shards)

    def open(self, shards: Iterable[int]) -> None:
        """Let writers in again."""
        self.closed.difference_update(shards)

    def busy(self, shards: Iterable[int]) -> list[int]:
        """Return those of `shards` that have writers."""
        return [shard for shard in shards if shard in self.writers]
