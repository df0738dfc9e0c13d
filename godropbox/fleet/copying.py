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

What changes at the source after that look does not reach the copy: see `follow` and `max_ttl`
of ``Settings``. ``listing`` says which keys are copied, ``following`` what becomes of copies whose
originals change.
"""

import heapq
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from .._kernels import wire
from ..errors import DropboxError
from ..memcache import Item, KeyInfo, ShardOptions
from ..memcache.errors import ReplyError, ServerError
from .ends import End, Found
from .following import Followed, without_tokens
from .listing import Candidate, Listing
from .planning import Layout
from .task import Settings, Step, Task

__all__ = ["Copier"]

_MONTH: Final = 60 * 60 * 24 * 30
_LATEST: Final = (1 << 31) - 1
_LARGEST: Final = 4 << 20  # bytes of a batch, a large item aside
# The flags of entries that are the consistency protocol's own: their absence is always right, and
# a second copy of one never is.
_GUARDED: Final = frozenset((0x64620001, 0x64620002, 0x64620003))
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
        self.settings: Final = settings or Settings()
        self._task = Task(before, after, sources, targets, options, self.settings)
        self.counts: Final = self._task.counts
        self._followed = Followed(self._task)
        self._known = self._followed.known
        self._listing = Listing(self._task, self._known)
        self._pace = _Pace(self.settings)

    def stop(self) -> None:
        """Have ``run`` end after the batch under way; a signal handler may call it."""
        self._task.is_stopped = True

    @property
    def is_stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._task.is_stopped

    @property
    def is_whole(self) -> bool:
        """Whether a pass came to its end: all keys were looked at."""
        return self.counts.passes > 0

    def close(self) -> None:
        """Close all connections."""
        self._task.close()

    def __enter__(self) -> "Copier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self) -> Iterator[Step]:
        """Copy; yield how far it is after each batch. What fails is in `counts`, not raised.

        Raises ``InvalidArgumentError`` before it copies keys of a server of which most do not
        belong there; see ``allow_strays`` of `Settings`. Raises ``NotSupportedError`` where copies
        are to be followed of or on a server without tokens.
        """
        try:
            yield from self._passes()
        finally:
            self._followed.settle()

    def _passes(self) -> Iterator[Step]:
        while True:
            seen: set[bytes] = set()
            counts = self.counts
            last = [getattr(counts, name) for name in _OF_A_PASS]
            for name in _OF_A_PASS:
                setattr(counts, name, 0)
            self._followed.begin_pass()
            yield from self._pass(seen)
            if self._task.is_stopped:  # within the pass, or as good as
                if counts.passes:
                    for name, number in zip(_OF_A_PASS, last, strict=True):
                        setattr(counts, name, number)
                return
            counts.passes += 1
            if not self.settings.follow or self._is_done():
                return
            self._followed.forget_gone(seen)
            yield Step("follow", "", len(self._known), len(self._known))
            self.settings.sleep(self.settings.pause)
            if self._is_done():
                return

    def _is_done(self) -> bool:
        most = self.settings.most
        return (
            self._task.is_stopped
            or self._task.given_up >= self._task.targets
            or (most is not None and self._stored() >= most and not self.settings.follow)
        )

    def _stored(self) -> int:
        return self.counts.copied + self.counts.renewed

    def _pass(self, seen: set[bytes]) -> Iterator[Step]:
        found: list[Candidate] = []
        most = self.settings.most
        for source in self._task.sources:
            some: list[Candidate] = []
            yield from self._listing.find(source, seen, some)
            self._listing.check_strays()
            if self._is_done():
                return
            if not self.settings.hottest:
                yield from self._copy_all(some, self._task.before.names[source])
                continue
            found += some
            if most is not None and len(found) > 2 * most:  # some of those may be gone by then
                found = heapq.nlargest(2 * most, found, key=_heat)
        found.sort(key=_heat, reverse=True)
        if found:
            yield from self._copy_all(found, "")

    def _copy_all(self, some: list[Candidate], name: str) -> Iterator[Step]:
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

    def _cut(self, some: list[Candidate], begin: int) -> list[Candidate]:
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

    def _copy(self, batch: Sequence[Candidate]) -> None:
        """Copy keys, by their sources and targets."""
        groups: dict[tuple[int, int], list[KeyInfo]] = {}
        for source, target, info in batch:
            groups.setdefault((source, target), []).append(info)
        by_source: dict[int, list[KeyInfo]] = {}
        for source, _, info in batch:
            by_source.setdefault(source, []).append(info)
        found: dict[tuple[int, bytes], Found] = {}
        for source, infos in by_source.items():
            read = self._read(source, infos)
            for each in read or ():
                found[source, each.key] = each
            if read is not None and self._known:
                self._followed.withdraw(
                    [info.key for info in infos if (source, info.key) not in found]
                )
        size = 0
        for (source, target), infos in groups.items():
            if target in self._task.given_up:
                continue
            good = [found[source, info.key] for info in infos if (source, info.key) in found]
            size += self._store(source, target, good)
        self._pace.wait(len(batch), size)

    def _read(self, source: int, infos: Sequence[KeyInfo]) -> list[Found] | None:
        """Return the items of a source that can be copied; count the others. None if it failed."""
        server = self._task.before.servers[source]
        end = self._task.end(server)
        counts = self.counts
        try:
            rows = end.peek([info.key for info in infos]) if end.has_meta else end.get(infos)
        except (DropboxError, OSError) as error:
            self._task.fails(server, error, len(infos))
            return None
        found = []
        for each, marks in rows:
            if isinstance(each, Found) and not each.cas and self.settings.follow:
                raise without_tokens(server.name)
            if isinstance(each, DropboxError):
                self._task.fails(server, each, 1)
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

    def _store(self, source: int, target: int, read: Sequence[Found]) -> int:
        """Add items to a target, and take back those that changed meanwhile; return their bytes."""
        if not read:
            return 0
        server = self._task.after.servers[target]
        end = self._task.end(server)
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
            self._task.fails(server, error, len(read))
            self._task.missed(target)
            self._doubt(target, read)
            return 0
        stored, size, failures = [], 0, 0
        there, unanswered = [], []
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
                self._task.fails(server, answer.error, 1)
                if _is_unknown(answer.error):
                    unanswered.append(each)
        self._doubt(target, unanswered)
        if failures == len(read):
            self._task.missed(target)
        else:
            self._task.reached(target)
        renewed = {each.key for each in again}
        if there and (self.settings.follow or self.settings.refresh):
            over = self._compare(source, target, there)
            if not all(self._known[each.key][1] for each in there if each.key in self._known):
                raise without_tokens(server.name)
            stored += over
            size += sum(len(each.value) for each, _ in over)
            renewed.update(each.key for each, _ in over)
        else:
            counts.present += len(there)
        counts.size += size
        self._check(source, target, stored, renewed)
        return size

    def _doubt(self, target: int, failed: Sequence[Found]) -> None:
        """Note keys that may have been stored, as no answer says that they were not."""
        for each in failed:
            self._known.pop(each.key, None)
        self._followed.doubt(target, [each.key for each in failed])

    def _compare(self, source: int, target: int, there: Sequence[Found]) -> list[tuple[Found, int]]:
        """Look at what is on a target already: take over what is the same as its original.

        Return what was stored in the place of what differs, with its tokens.
        """
        server = self._task.after.servers[target]
        end = self._task.end(server)
        counts = self.counts
        other: list[tuple[Found, int]] = []
        try:
            rows = end.held([each.key for each in there])
            for each, (held, marks) in zip(there, rows, strict=True):
                if isinstance(held, DropboxError):
                    self._task.fails(server, held, 1)
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
            self._task.fails(server, error, len(other) or len(there))
            self._doubt(target, [each for each, _ in other])
            return []
        stored = []
        for (each, _), answer in zip(other, answers, strict=True):
            if answer.ok:
                stored.append((each, answer.cas))
                counts.renewed += 1
            elif answer.error is None:
                counts.differing += 1
            else:
                self._task.fails(server, answer.error, 1)
                if _is_unknown(answer.error):
                    self._doubt(target, [each])
        return stored

    def _item(self, each: Found, token: int) -> Item:
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
        stored: Sequence[tuple[Found, int]],
        again: Collection[bytes],
    ) -> None:
        """Look again at the originals of what was stored; take back copies of what has changed."""
        if not stored:
            return
        end = self._task.end(self._task.before.servers[source])
        try:
            same: list[bool] | None = _unchanged(end, [each for each, _ in stored])
        except (DropboxError, OSError) as error:
            # Nobody knows whether they are right.
            self._task.fails(self._task.before.servers[source], error, len(stored))
            same = None
        changed, bare = [], []
        counts = self.counts
        for number, (each, token) in enumerate(stored):
            if same is None or not same[number]:
                changed.append((each.key, token))
                self._known.pop(each.key, None)
                counts.undone += same is not None
                counts.copied -= each.key not in again
                counts.renewed -= each.key in again
                counts.size -= len(each.value)
            elif self.settings.follow:
                self._known[each.key] = each.cas, token, source, target
                bare += [] if token else [each.key]
        if changed:
            self._followed.take_back(target, changed)
        if bare:  # large values are stored in words that tell no token
            self._followed.learn(target, bare)


def _is_unknown(error: Exception) -> bool:
    """Return whether what failed so may have been stored."""
    return isinstance(error, ReplyError) or not isinstance(error, ServerError)


def _unchanged(end: End, read: Sequence[Found]) -> list[bool]:
    """Return whether each item is still as it was read."""
    keys = [each.key for each in read]
    if all(each.cas for each in read):
        return [token == each.cas for token, each in zip(end.tokens(keys), read, strict=True)]
    # A server without tokens: the values have to be compared.
    return [
        isinstance(held, Found)
        and not marks & wire.codes.STALE
        and (held.value, held.flags, held.cas) == (each.value, each.flags, each.cas)
        for (held, marks), each in zip(end.held(keys), read, strict=True)
    ]


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


def _heat(candidate: Candidate) -> tuple[bool, int]:
    """Return what sorts keys by how lately they were read; those never read come last."""
    return candidate.info.fetched, candidate.info.last_access
