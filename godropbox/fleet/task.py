"""A copy of keys that is under way: by which rules, between which servers, what came of it so far.

All parts of a `Copier` share one `Task`.
"""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..memcache import ShardOptions
from ..memcache.discovery.types import Server
from ..memcache.errors import InvalidArgumentError, InvalidTypeError, NotSupportedError
from .ends import End, words_of
from .planning import Layout

__all__ = ["Counts", "Settings", "Step", "Task"]

_TRIES: Final = 3  # batches in a row that fail before a target is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How keys are copied.

    - `batch`: keys that are under way at a time, in [1, 100_000].
    - `rate`, `byte_rate`: at most so many keys, and bytes of items, a second; None is no limit.
    - `most`: how many keys are copied at most, None for all.
    - `hottest`: those read last come first; their list is kept in memory, some 300 bytes a key.
    - `max_ttl`: seconds that a copy lives at most, None for as long as the original.
    - `prefix`: only keys that begin with it, which are placed without it, as a client does.
    - `allow_strays`: go on where most keys of a server are not where the fleet looks for them, as
      after it grew a lot; otherwise that raises, since the shard function may be the wrong one.
    - `follow`: passes go on until ``Copier.stop``, each taking what is new, copying again what was
      written, and deleting what is gone; a copied key takes some 300 bytes. What is on the target
      already is followed if it is the same as its original. `pause` is the seconds from one pass
      to the next.
    - `refresh`: what is on the target already, and differs from its original, is replaced.

    `clock` counts seconds, `wall_clock` is seconds since 1970, and `sleep` waits; tests replace
    them.
    """

    batch: int = 1000
    rate: float | None = None
    byte_rate: float | None = None
    most: int | None = None
    hottest: bool = False
    max_ttl: int | None = None
    prefix: bytes = b""
    allow_strays: bool = False
    follow: bool = False
    refresh: bool = False
    pause: float = 1.0
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    sleep: Callable[[float], object] = time.sleep

    def __post_init__(self) -> None:
        for name, least in (("batch", 1), ("most", 1), ("max_ttl", 1)):
            value = getattr(self, name)
            if value is None and name != "batch":
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidTypeError(f"{name} must be an int, got {value!r}")
            if value < least:
                raise InvalidArgumentError(f"{name} must be at least {least}, got {value}")
        if self.batch > 100_000:
            raise InvalidArgumentError(f"batch must be in [1, 100000], got {self.batch}")
        for name in ("rate", "byte_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InvalidArgumentError(
                    f"{name} must be above 0 a second and finite, got {value!r}"
                )
        if not self.pause >= 0:
            raise InvalidArgumentError(f"pause must be at least 0 seconds, got {self.pause!r}")


@dataclass(slots=True)
class Counts:
    """What became of the keys so far.

    `listed` keys were seen on the sources, `strays` of them where the fleet does not look for them.
    Of those that move to a target: `copied`, of `size` bytes of values; `present` there already;
    `differing`, there with another value or other flags, which is only known when following or
    refreshing; `gone` before they were read; `expiring` within the second; `stale`, marked so;
    `leased`; `guarded`, entries of ``ConsistentCacheOnStorage``; `unsendable`, whose keys have
    bytes that no text command can name; `undone`, whose originals changed while they were copied;
    `failed`. While following, `renewed` were copied again and `deleted` followed a delete;
    `refresh` renews, too.

    `passes` are those that came to their end. While following `listed`, `strays`, `differing`,
    `stale`, `leased`, `guarded` and `unsendable` are those of one pass, the last of these.
    """

    listed: int = 0
    strays: int = 0
    copied: int = 0
    size: int = 0
    present: int = 0
    differing: int = 0
    gone: int = 0
    expiring: int = 0
    stale: int = 0
    leased: int = 0
    guarded: int = 0
    unsendable: int = 0
    undone: int = 0
    renewed: int = 0
    deleted: int = 0
    failed: int = 0
    passes: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    """The first error of each server that failed, by its name."""


class Step(NamedTuple):
    """How far it is: `done` of about `total` keys are listed or copied.

    `phase` is ``"list"``, ``"copy"``, or ``"follow"`` after each pass, of the copies that are
    followed; `server` the name of the source, empty for keys of all.
    """

    phase: str
    server: str
    done: int
    total: int


class Task:
    """What is copied from the servers of `before` named `sources` to those of `after`, `targets`.

    `options` says how servers are reached. `given_up` are the targets that failed too often.
    """

    def __init__(
        self,
        before: Layout,
        after: Layout,
        sources: Collection[str],
        targets: Collection[str],
        options: ShardOptions,
        settings: Settings,
    ) -> None:
        if options.auth is not None and options.auth.mechanism != "ascii":
            raise NotSupportedError("a server with SASL lists no keys: nothing can be copied")
        self.settings: Final = settings
        self.counts: Final = Counts()
        self.before: Final = before
        self.after: Final = after
        self.sources: Final = [i for i, name in enumerate(before.names) if name in sources]
        self.targets: Final = {i for i, name in enumerate(after.names) if name in targets}
        if not self.sources or not self.targets:
            kind = "targets" if self.sources else "sources"
            raise InvalidArgumentError(f"{kind} must name at least one server of the fleet")
        self.is_stopped = False
        self.given_up: Final[set[int]] = set()
        self._options = options
        self._ends: dict[str, End] = {}
        self._misses: dict[int, int] = {}

    def end(self, server: Server) -> End:
        """Return how a server is reached."""
        end = self._ends.get(server.name)
        if end is None:
            end = self._ends[server.name] = End(server, self._options)
        return end

    def fails(self, server: Server, error: Exception, keys: int) -> None:
        """Count so many keys as failed, and keep the error if it is the server's first."""
        self.counts.failed += keys
        self.counts.errors.setdefault(server.name, words_of(error, server.address))

    def missed(self, target: int) -> None:
        """Note that a whole batch failed at a target."""
        self._misses[target] = self._misses.get(target, 0) + 1
        if self._misses[target] >= _TRIES:
            self.given_up.add(target)

    def reached(self, target: int) -> None:
        """Note that a target took something of a batch."""
        self._misses[target] = 0

    def try_all_again(self) -> None:
        """Try the targets again that were given up."""
        self.given_up.clear()
        self._misses.clear()

    def close(self) -> None:
        """Close all connections."""
        for end in self._ends.values():
            end.close()
