"""Copies items from the servers that have them to those that will, before a fleet changes.

An item is bytes, flags and the seconds that it has left; nothing is deserialized. What protects
those who read later:

- Only a key that lives on the source by the fleet as it is now is copied, never what an earlier
  fleet left there, which may be old.
- A copy is an ``add``: what is on the target already is newer, and stays, unless one asks for
  `refresh`.
- After a batch is stored its keys are looked up at their sources again. The copy of a key that was
  written or deleted meanwhile is taken back.
- Items that are marked stale, leases, and the entries of ``ConsistentCacheOnStorage`` stay.

What changes at the source after that look does not reach the copy: see ``follow`` of `Settings`,
and its `max_ttl`.
"""

import heapq
import math
import re
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from .._kernels import wire, wire_request
from ..errors import DropboxError
from ..memcache import (
    AsciiProtocol,
    AutoProtocol,
    Item,
    KeyInfo,
    RawMetaClient,
    ResponseStatus,
    ShardedClient,
    ShardOptions,
    StaticShardManager,
    connect,
)
from ..memcache.discovery.types import Server
from ..memcache.errors import (
    InvalidArgumentError,
    InvalidTypeError,
    NotSupportedError,
    ServerError,
)
from ..memcache.protocol.exchange import Exchange
from .planning import CHUNK, Layout

__all__ = ["Copier", "Counts", "Settings", "Step", "listed_keys", "words_of"]

_MONTH: Final = 60 * 60 * 24 * 30
_LATEST: Final = (1 << 31) - 1
_LARGEST: Final = 4 << 20  # bytes of a batch, a large item aside
_NUMBER: Final = re.compile(r"\[Errno -?\d+\] ")  # of an OSError, which its words repeat
_UNSENDABLE: Final = re.compile(rb"[\x00-\x20\x7f]")
# The flags of entries that are the consistency protocol's own: their absence is always right, and
# a second copy of one never is.
_GUARDED: Final = frozenset((0x64620001, 0x64620002, 0x64620003))
_NOT_STORED: Final = ResponseStatus.ITEM_NOT_STORED
_STRAYS: Final = 100  # fewer prove nothing
# What each pass counts anew.
_OF_A_PASS: Final = (
    "listed",
    "strays",
    "differing",
    "stale",
    "leased",
    "guarded",
    "unsendable",
)
_LISTS: Final = 5  # tries to list the keys of a server that lists them to another
_BUSY: Final = 0.5  # seconds between two
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


@dataclass(slots=True)
class _Count:
    """What a thread that lists keys has to tell."""

    done: int = 0
    error: Exception | None = None


class _Found(NamedTuple):
    """An item as its source has it; `left` is seconds, -1 for ever."""

    key: bytes
    value: bytes
    flags: int
    cas: int
    left: int


class _Candidate(NamedTuple):
    source: int
    target: int
    info: KeyInfo


class Copier:
    """Copies what moves from `before` to `after`, of the servers named `sources` to the `targets`.

    `options` says how servers are reached. ``run`` does it, a batch a step; `counts` says what came
    of it, at any time. ``close`` gives up the connections. One thread at a time, but for ``stop``.
    """

    def __init__(
        self,
        before: Layout,
        after: Layout,
        sources: Collection[str],
        targets: Collection[str],
        options: ShardOptions,
        settings: Settings | None = None,
    ) -> None:
        if options.auth is not None and options.auth.mechanism != "ascii":
            raise NotSupportedError("a server with SASL lists no keys: nothing can be copied")
        self.settings: Final = settings or Settings()
        self.counts: Final = Counts()
        self._before, self._after = before, after
        self._old, self._new = before.placement(), after.placement()
        self._ours, self._theirs = before.names, after.names
        self._sources = [i for i, name in enumerate(self._ours) if name in sources]
        self._targets = {i for i, name in enumerate(self._theirs) if name in targets}
        if not self._sources or not self._targets:
            kind = "targets" if self._sources else "sources"
            raise InvalidArgumentError(f"{kind} must name at least one server of the fleet")
        self._servers: dict[str, _End] = {}
        self._options = options
        self._pace = _Pace(self.settings)
        self._is_stopped = False
        self._given_up: set[int] = set()
        self._misses: dict[int, int] = {}
        # While following: the tokens of an original and of its copy, and where both are.
        self._known: dict[bytes, tuple[int, int, int, int]] = {}

    def stop(self) -> None:
        """Have ``run`` end after the batch under way; a signal handler may call it."""
        self._is_stopped = True

    @property
    def is_stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._is_stopped

    @property
    def is_whole(self) -> bool:
        """Whether a pass came to its end: all keys were looked at."""
        return self.counts.passes > 0

    def close(self) -> None:
        """Close all connections."""
        for end in self._servers.values():
            end.close()

    def __enter__(self) -> "Copier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self) -> Iterator[Step]:
        """Copy; yield how far it is after each batch. What fails is in `counts`, not raised.

        Raises ``InvalidArgumentError`` before it copies keys of a server of which most do not
        belong there; see `Settings`.
        """
        while True:
            seen: set[bytes] = set()
            counts = self.counts
            last = [getattr(counts, name) for name in _OF_A_PASS]
            for name in _OF_A_PASS:
                setattr(counts, name, 0)
            yield from self._pass(seen)
            if self._is_stopped:  # within the pass, or as good as
                if counts.passes:
                    for name, number in zip(_OF_A_PASS, last, strict=True):
                        setattr(counts, name, number)
                return
            counts.passes += 1
            if not self.settings.follow or self._is_done():
                return
            if not self.counts.errors:  # a list that broke off has no news of what is gone
                self._forget_gone(seen)
            yield Step("follow", "", len(self._known), len(self._known))
            self.settings.sleep(self.settings.pause)
            if self._is_done():
                return

    def _is_done(self) -> bool:
        most = self.settings.most
        return (
            self._is_stopped
            or self._given_up >= self._targets
            or (most is not None and self._stored() >= most and not self.settings.follow)
        )

    def _stored(self) -> int:
        return self.counts.copied + self.counts.renewed

    # Which keys

    def _pass(self, seen: set[bytes]) -> Iterator[Step]:
        found: list[_Candidate] = []
        most = self.settings.most
        for source in self._sources:
            some: list[_Candidate] = []
            yield from self._list(source, seen, some)
            self._check_strays()
            if self._is_done():
                return
            if not self.settings.hottest:
                yield from self._copy_all(some, self._ours[source])
                continue
            found += some
            if most is not None and len(found) > 2 * most:  # some of those may be gone by then
                found = heapq.nlargest(2 * most, found, key=_heat)
        found.sort(key=_heat, reverse=True)
        if found:
            yield from self._copy_all(found, "")

    def _check_strays(self) -> None:
        counts = self.counts
        if counts.strays <= max(_STRAYS, counts.listed / 2) or self.settings.allow_strays:
            return
        raise InvalidArgumentError(
            f"{counts.strays:,} of {counts.listed:,} keys are not where the fleet looks for them: "
            "is it another shard function, another order of servers, or is there a prefix? If an "
            "earlier fleet left them, allow strays"
        )

    def _list(self, source: int, seen: set[bytes], some: list[_Candidate]) -> Iterator[Step]:
        """Put the keys of a source that move into `some`.

        A thread of its own reads the list: while nobody reads, memcached holds the lock of a part
        of its keys, and stops whoever asks for one of them (seen with 1.6.18).
        """
        server = self._before.servers[source]
        count = _Count()

        def read() -> None:
            chunk: list[KeyInfo] = []
            try:
                listed = listed_keys(self._end(server).client)
                with closing(listed):
                    for info in listed:
                        chunk.append(info)
                        if len(chunk) >= CHUNK // 4:
                            some.extend(self._moving(source, chunk, seen))
                            count.done += len(chunk)
                            chunk = []
                            if self._is_stopped:
                                return
                some.extend(self._moving(source, chunk, seen))
            except Exception as error:
                count.error = error

        total = self._items(source)
        thread = threading.Thread(target=read, name=f"keys of {server.name}", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
            yield Step("list", server.name, count.done, max(total, count.done))
        if isinstance(count.error, (DropboxError, OSError)):
            self._fails(server, count.error, 0)
        elif count.error is not None:
            raise count.error

    def _copy_all(self, some: list[_Candidate], name: str) -> Iterator[Step]:
        done = 0
        most = self.settings.most
        if most is not None and self.settings.follow:  # so many are followed
            room = max(0, most - len(self._known))
            fresh = [each for each in some if each.info.key not in self._known][:room]
            some = [each for each in some if each.info.key in self._known] + fresh
        total = len(some)
        if most is not None:
            total = min(total, most)
        while done < len(some) and not self._is_done():
            batch = self._cut(some, done)
            self._copy(batch)
            done += len(batch)
            yield Step("copy", name, min(done, total), total)

    def _items(self, source: int) -> int:
        """Return how many items a server says that it has; 0 if it does not answer."""
        try:
            entries = self._end(self._before.servers[source]).client.stats().entries
        except (DropboxError, OSError):
            return 0  # listing its keys says why
        return sum(int(each.get("curr_items", 0)) for each in entries.values())

    def _moving(self, source: int, infos: Sequence[KeyInfo], seen: set[bytes]) -> list[_Candidate]:
        """Return the keys that live on a source and move to a target."""
        prefix = self.settings.prefix
        if prefix:
            infos = [info for info in infos if info.key.startswith(prefix)]
            keys = [info.key[len(prefix) :] for info in infos]
        else:
            keys = [info.key for info in infos]
        self.counts.listed += len(keys)
        old, new = self._old.of_many(keys), self._new.of_many(keys)
        found = []
        ours, theirs, targets = self._ours, self._theirs, self._targets
        for info, at, to in zip(infos, old, new, strict=True):
            if at != source:
                self.counts.strays += 1
            elif to in targets and ours[at] != theirs[to] and to not in self._given_up:
                known = self._known.get(info.key)
                if known is not None:
                    seen.add(info.key)
                    if known[0] == info.cas:
                        continue
                if _UNSENDABLE.search(info.key):
                    self.counts.unsendable += 1
                    continue
                found.append(_Candidate(source, to, info))
        return found

    def _cut(self, some: list[_Candidate], begin: int) -> list[_Candidate]:
        """Return a batch from `begin` on that is not too large."""
        size = 0
        most = self._pace.batch
        if self.settings.most is not None and not self.settings.follow:
            most = min(most, self.settings.most - self._stored())
        batch = some[begin : begin + most]
        for number, candidate in enumerate(batch):
            size += candidate.info.size
            if number and size > self._pace.most_bytes:
                return batch[:number]
        return batch

    # Copying

    def _copy(self, batch: Sequence[_Candidate]) -> None:
        """Copy keys, by their sources and targets."""
        groups: dict[tuple[int, int], list[KeyInfo]] = {}
        for source, target, info in batch:
            groups.setdefault((source, target), []).append(info)
        by_source: dict[int, list[KeyInfo]] = {}
        for source, _, info in batch:
            by_source.setdefault(source, []).append(info)
        found: dict[tuple[int, bytes], _Found] = {}
        for source, infos in by_source.items():
            read = self._read(source, infos)
            for each in read or ():
                found[source, each.key] = each
            if read is not None and self._known:
                self._withdraw([info.key for info in infos if (source, info.key) not in found])
        size = 0
        for (source, target), infos in groups.items():
            if target in self._given_up:
                continue
            good = [found[source, info.key] for info in infos if (source, info.key) in found]
            size += self._store(source, target, good)
        self._pace.wait(len(batch), size)

    def _withdraw(self, keys: Sequence[bytes]) -> None:
        """Delete those copies of keys that were made before and are right no more."""
        for key in keys:
            known = self._known.pop(key, None)
            if known is not None:
                self._take_back(known[3], [(key, known[1])])
                self.counts.deleted += 1

    def _read(self, source: int, infos: Sequence[KeyInfo]) -> list[_Found] | None:
        """Return the items of a source that can be copied; count the others. None if it failed."""
        server = self._before.servers[source]
        end = self._end(server)
        counts = self.counts
        try:
            rows = end.peek([info.key for info in infos]) if end.has_meta else end.get(infos)
        except (DropboxError, OSError) as error:
            self._fails(server, error, len(infos))
            return None
        found = []
        for each, marks in rows:
            if isinstance(each, DropboxError):
                self._fails(server, each, 1)
            elif each is None:
                counts.gone += 1
            elif marks & wire.codes.STALE:
                counts.stale += 1
            elif not each.value and not each.flags and marks & (wire.codes.WON | wire.codes.SENT):
                counts.leased += 1
            elif each.flags in _GUARDED:
                counts.guarded += 1
            elif each.left == 0 or each.left < -1:
                counts.expiring += 1
            else:
                found.append(each)
        return found

    def _store(self, source: int, target: int, read: Sequence[_Found]) -> int:
        """Add items to a target, and take back those that changed meanwhile; return their bytes."""
        if not read:
            return 0
        server = self._after.servers[target]
        end = self._end(server)
        counts = self.counts
        fresh = [each for each in read if each.key not in self._known]
        again = [each for each in read if each.key in self._known]
        answers: list[Any] = []
        try:
            if fresh:
                answers += end.client.add_multi([self._item(each, 0) for each in fresh])
            if again:
                tokens = [self._known[each.key][1] for each in again]
                items = [self._item(*pair) for pair in zip(again, tokens, strict=True)]
                answers += end.client.cas_multi(items)
        except (DropboxError, OSError) as error:
            self._fails(server, error, len(read))
            self._missed(target)
            return 0
        stored, size, failures = [], 0, 0
        there = []
        for number, (each, answer) in enumerate(zip((*fresh, *again), answers, strict=True)):
            if answer.ok:
                stored.append((each, answer.cas))
                size += len(each.value)
                if number < len(fresh):
                    counts.copied += 1
                else:
                    counts.renewed += 1
            elif answer.error is None:
                self._known.pop(each.key, None)  # somebody else's by now
                there.append(each)
            else:
                failures += 1
                self._fails(server, answer.error, 1)
        if failures == len(read):
            self._missed(target)
        else:
            self._misses[target] = 0
        renewed = {each.key for each in again}
        if there and (self.settings.follow or self.settings.refresh):
            over = self._compare(source, target, there)
            stored += over
            size += sum(len(each.value) for each, _ in over)
            renewed.update(each.key for each, _ in over)
        else:
            counts.present += len(there)
        counts.size += size
        self._check(source, target, stored, renewed)
        return size

    def _compare(
        self, source: int, target: int, there: Sequence[_Found]
    ) -> list[tuple[_Found, int]]:
        """Look at what is on a target already: take over what is the same as its original.

        Return what was stored in the place of what differs, with its tokens.
        """
        server = self._after.servers[target]
        end = self._end(server)
        counts = self.counts
        other: list[tuple[_Found, int]] = []
        try:
            rows = end.held([each.key for each in there])
            for each, (held, marks) in zip(there, rows, strict=True):
                if isinstance(held, DropboxError):
                    self._fails(server, held, 1)
                elif held is None:  # it went since; the next pass copies the original
                    counts.gone += 1
                elif marks & wire.codes.STALE or held.flags in _GUARDED:
                    counts.differing += 1
                elif (held.value, held.flags) == (each.value, each.flags):
                    counts.present += 1
                    if self.settings.follow:
                        self._known[each.key] = each.cas, held.cas, source, target
                elif self.settings.refresh and held.cas:
                    other.append((each, held.cas))
                else:
                    counts.differing += 1
            if not other:
                return []
            answers = end.client.cas_multi([self._item(*pair) for pair in other])
        except (DropboxError, OSError) as error:
            self._fails(server, error, len(other) or len(there))
            return []
        stored = []
        for (each, _), answer in zip(other, answers, strict=True):
            if answer.ok:
                stored.append((each, answer.cas))
                counts.renewed += 1
            elif answer.error is None:
                counts.differing += 1
            else:
                self._fails(server, answer.error, 1)
        return stored

    def _item(self, each: _Found, token: int) -> Item:
        left, limit = each.left, self.settings.max_ttl
        if limit is not None:
            left = limit if left == -1 else min(left, limit)
        if left == -1:
            left = 0
        elif left > _MONTH:  # what is more is a moment
            left = min(_LATEST, int(self.settings.wall_clock()) + left)
        return Item(each.key, each.value, each.flags, token, left)

    def _check(
        self,
        source: int,
        target: int,
        stored: Sequence[tuple[_Found, int]],
        again: Collection[bytes],
    ) -> None:
        """Look again at the originals of what was stored; take back copies of what has changed."""
        if not stored:
            return
        end = self._end(self._before.servers[source])
        try:
            tokens: list[int | None] | None = end.tokens([each.key for each, _ in stored])
        except (DropboxError, OSError) as error:
            # Nobody knows whether they are right.
            self._fails(self._before.servers[source], error, len(stored))
            tokens = None
        changed, bare = [], []
        counts = self.counts
        for number, (each, token) in enumerate(stored):
            if tokens is None or tokens[number] != each.cas:
                changed.append((each.key, token))
                self._known.pop(each.key, None)
                counts.undone += tokens is not None
                counts.copied -= each.key not in again
                counts.renewed -= each.key in again
                counts.size -= len(each.value)
            elif self.settings.follow:
                self._known[each.key] = each.cas, token, source, target
                bare += [] if token else [each.key]
        if changed:
            self._take_back(target, changed)
        if bare:  # large values are stored in words that tell no token
            self._learn(target, bare)

    def _learn(self, target: int, keys: list[bytes]) -> None:
        """Ask for the tokens of copies."""
        server = self._after.servers[target]
        try:
            tokens = self._end(server).tokens(keys)
        except (DropboxError, OSError) as error:
            self._fails(server, error, 0)
            return
        for key, token in zip(keys, tokens, strict=True):
            cas, _, source, _ = self._known[key]
            self._known[key] = cas, token or 0, source, target

    def _take_back(self, target: int, copies: Sequence[tuple[bytes, int]]) -> None:
        server = self._after.servers[target]
        try:
            for error in self._end(server).delete(copies):
                self._fails(server, error, 0)
        except (DropboxError, OSError) as error:
            self._fails(server, error, 0)

    def _forget_gone(self, seen: set[bytes]) -> None:
        """Delete the copies of those keys that their sources do not have any more."""
        gone: dict[tuple[int, int], list[bytes]] = {}
        for key, (_, _, source, target) in self._known.items():
            if key not in seen:
                gone.setdefault((source, target), []).append(key)
        for (source, target), keys in gone.items():
            end = self._end(self._before.servers[source])
            for at in range(0, len(keys), self.settings.batch):
                some = keys[at : at + self.settings.batch]
                try:
                    tokens = end.tokens(some)
                except (DropboxError, OSError) as error:
                    self._fails(self._before.servers[source], error, 0)
                    break
                lost = [key for key, token in zip(some, tokens, strict=True) if token is None]
                self._take_back(target, [(key, self._known[key][1]) for key in lost])
                self.counts.deleted += len(lost)
                for key in lost:
                    del self._known[key]

    # Servers

    def _end(self, server: Server) -> "_End":
        end = self._servers.get(server.name)
        if end is None:
            end = self._servers[server.name] = _End(server, self._options)
        return end

    def _fails(self, server: Server, error: Exception, keys: int) -> None:
        self.counts.failed += keys
        self.counts.errors.setdefault(server.name, words_of(error, server.address))

    def _missed(self, target: int) -> None:
        self._misses[target] = self._misses.get(target, 0) + 1
        if self._misses[target] >= _TRIES:
            self._given_up.add(target)


class _Pace:
    """Holds a rate of keys and of bytes, by how long all so far should have taken."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._due = settings.clock()
        self.batch = settings.batch
        self.most_bytes: float = _LARGEST
        # Ten batches a second are smooth enough, and large enough to be cheap.
        if settings.rate is not None:
            self.batch = max(1, min(self.batch, int(settings.rate / 10)))
        if settings.byte_rate is not None:
            self.most_bytes = max(1, min(self.most_bytes, settings.byte_rate / 10))

    def wait(self, keys: int, size: int) -> None:
        """Wait until a batch of so many keys and bytes may be followed by another."""
        settings = self._settings
        took = 0.0
        if settings.rate is not None:
            took = keys / settings.rate
        if settings.byte_rate is not None:
            took = max(took, size / settings.byte_rate)
        if not took:
            return
        now = settings.clock()
        # What was lost to a slow server is not made up for in a burst.
        self._due = max(self._due + took, now)
        if self._due > now:
            settings.sleep(self._due - now)


class _End:
    """A server that is read from or written to: a client, and a connection for meta's commands."""

    def __init__(self, server: Server, options: ShardOptions) -> None:
        self._address = server.address
        self._options = options
        manager = StaticShardManager([server.address], options=options)
        self.client: Final = ShardedClient(manager, AutoProtocol(), options.timeout)
        self._plain: Final = ShardedClient(manager, AsciiProtocol(), options.timeout)
        self._raw: RawMetaClient | None = None
        self._has_meta: bool | None = None
        self._skew: float | None = None
        self._opaque = 0  # of the next request

    @property
    def has_meta(self) -> bool:
        """Whether the server knows meta commands; raises what asking it raises."""
        if self._has_meta is None:
            [dialect] = self.client.dialects().values()
            if dialect.error is not None:
                raise dialect.error
            self._has_meta = dialect.protocol == "meta"
        return self._has_meta

    def _connected(self) -> RawMetaClient:
        raw = self._raw
        if raw is None or not raw.is_valid:
            options = self._options
            channel = connect(
                self._address,
                timeout=options.timeout,
                connect_timeout=options.connect_timeout,
                tls=options.tls,
                auth=options.auth,
            )
            raw = self._raw = RawMetaClient(channel, timeout=options.timeout)
        return raw

    def peek(self, keys: list[bytes]) -> list[tuple[Any, int]]:
        """Return the item of each key and its marks, without a trace in the server's LRU.

        Instead of an item there is None for a miss, or an error.
        """
        rows = self._looked(keys, b" v f c t u")
        found: list[tuple[Any, int]] = []
        for key, row in zip(keys, rows, strict=True):
            if row is None or isinstance(row, DropboxError):
                found.append((row, 0))
                continue
            line = row.line  # VA size f c t O, in this order
            begin = line.find(b" t") + 2
            left = int(line[begin : line.find(b" ", begin)])
            found.append((_Found(key, row.value, row.flags, row.cas, left), row.marks))
        return found

    def held(self, keys: list[bytes]) -> list[tuple[Any, int]]:
        """Return items as ``peek`` does, of any server; what they have left is not told."""
        if self.has_meta:
            return self.peek(keys)
        answers = self._plain.get_multi(keys)
        found: list[tuple[Any, int]] = []
        for key in keys:
            answer = answers[key]
            if answer.error is not None or answer.value is None:
                found.append((answer.error, 0))
            else:
                found.append((_Found(key, answer.value, answer.flags, answer.cas, -1), 0))
        return found

    def tokens(self, keys: list[bytes]) -> list[int | None]:
        """Return the token of each key's item, None for one that is gone, or marked stale."""
        if not self.has_meta:
            answers = self._plain.get_multi(keys)
            return [answers[key].cas if answers[key].found else None for key in keys]
        tokens: list[int | None] = []
        for row in self._looked(keys, b" c u"):
            is_good = row is not None and not isinstance(row, DropboxError)
            tokens.append(row.cas if is_good and not row.marks & wire.codes.STALE else None)
        return tokens

    def _looked(self, keys: list[bytes], flags: bytes) -> list[Any]:
        raw = self._connected()
        first, self._opaque = self._opaque, self._opaque + len(keys) & 0xFFFFFFFF
        request = wire_request.meta_keys(b"mg ", keys, flags, first, b"", True)
        reply = wire.Reply(wire.codes.META, len(keys), 0, first, wire.codes.QUIET)
        rows: list[Any] = raw.connection.run(_Look([request], reply, len(keys), raw.protocol.probe))
        # A look at a stale item takes the right to load it: give that back.
        taken = wire.codes.WON | wire.codes.STALE
        for key, row in zip(keys, rows, strict=True):
            if row is not None and row.marks & taken == taken:
                with suppress(NotSupportedError):
                    raw.meta_delete(key, cas=row.cas, stale=True)
        return rows

    def get(self, infos: Sequence[KeyInfo]) -> list[tuple[Any, int]]:
        """Return items as ``peek`` does, from a server without meta commands.

        What an item has left is known from the list of keys, if it is still the same item.
        """
        answers = self._plain.get_multi([info.key for info in infos])
        found: list[tuple[Any, int]] = []
        for info in infos:
            answer = answers[info.key]
            if answer.error is not None:
                found.append((answer.error, 0))
            elif answer.value is None or answer.cas != info.cas:
                found.append((None, 0))
            else:
                left = -1
                if info.expires is not None:
                    left = max(0, int(info.expires - self._now()))
                found.append((_Found(info.key, answer.value, answer.flags, answer.cas, left), 0))
        return found

    def _now(self) -> float:
        """Return the server's own time, in seconds since 1970."""
        if self._skew is None:
            [entries] = self.client.stats().entries.values()
            self._skew = float(entries["time"]) - time.time()
        return time.time() + self._skew

    def delete(self, copies: Sequence[tuple[bytes, int]]) -> list[Exception]:
        """Delete items that still have these tokens; return what failed."""
        failures: list[Exception] = []
        bare = [key for key, token in copies if not token or not self.has_meta]
        for key, token in copies:
            if token and self.has_meta:
                try:
                    answer = self._connected().meta_delete(key, cas=token)
                except NotSupportedError:
                    bare.append(key)
                else:
                    failures += [answer.error] if answer.error is not None else []
        if bare:  # a miss is never wrong
            answers = self.client.delete_multi(bare)
            failures += [each.error for each in answers if each.error is not None]
        return failures

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()
        self.client.close()


class _Look(Exchange):
    """A look at many keys by meta: a row, None or an error for each, in their order."""

    __slots__ = ("_count",)

    def __init__(self, request: Any, reply: Any, count: int, probe: Any) -> None:
        Exchange.__init__(self, request, reply, probe)
        self._count = count

    def _result(self) -> list[Any]:
        found: list[Any] = [None] * self._count
        for row in self.reply.rows():
            if row.marks & wire.codes.FAILED:
                # Which key it is about is not said; its copy would be made of nothing.
                raise ValueError(f"the server refuses to look up keys: {row.value!r:.80}")
            if row.place < self._count and row.status == 0:
                found[row.place] = row
        return found


def listed_keys(
    client: ShardedClient, sleep: Callable[[float], object] = time.sleep
) -> Generator[KeyInfo, None, None]:
    """Yield the keys of a client's servers, as ``iter_keys`` does.

    A server that lists them to another client at the moment is asked again, for two seconds.
    """
    for left in reversed(range(_LISTS)):
        has_begun = False
        infos: Any = client.iter_keys()
        with closing(infos):
            try:
                for info in infos:
                    has_begun = True
                    yield info
                return
            except ServerError as error:
                if has_begun or not left or error.fields.get("status") is not ResponseStatus.BUSY:
                    raise
        sleep(_BUSY)


def words_of(error: Exception, address: str) -> str:
    """Return what an error of a client of one server says, without the server's place in it."""
    text = error.message if isinstance(error, DropboxError) else str(error)
    for words in (f"shard 0 at {address}: ", f"cannot connect to {address}: "):
        text = text.removeprefix(words)
    return _NUMBER.sub("", text) or type(error).__name__


def _heat(candidate: _Candidate) -> tuple[bool, int]:
    """Return what sorts keys by how lately they were read; those never read come last."""
    return candidate.info.fetched, candidate.info.last_access
