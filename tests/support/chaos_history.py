"""What the processes of a chaos run did, on the machine's one monotonic clock, and its judgment.

Every read and write of a key is a record of fixed size: what it was, the key, when it began and
ended, and the value: a number that no other write has, 0 for no value. The storage keeps a log of
what was committed, in order. ``judge`` holds the one against the other. No I/O but files.
"""

import struct
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

__all__ = ["Judgment", "Kind", "Record", "judge", "packed", "recorded"]


class Kind(IntEnum):
    """A read, or a write by its outcome."""

    READ = 0
    ACKNOWLEDGED = 1
    REFUSED = 2  # for certain not written
    UNKNOWN = 3
    UNSETTLED = 4  # written, and not acknowledged


class Record(NamedTuple):
    """One operation on one key; times in nanoseconds."""

    kind: Kind
    key: int
    began: int
    ended: int
    value: int


_RECORD = struct.Struct("<BHQQQ")


def packed(record: Record) -> bytes:
    """Return a record as bytes."""
    return _RECORD.pack(*record)


def recorded(path: Path) -> Iterator[Record]:
    """Read the records of a file, but a torn one at the end: its writer may have been killed."""
    data = path.read_bytes()
    whole = len(data) - len(data) % _RECORD.size
    for kind, *fields in _RECORD.iter_unpack(data[:whole]):
        yield Record(Kind(kind), *fields)


@dataclass
class Judgment:
    """What was found wrong, the first few of each, and how much there was of everything."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, wrong: str, record: Record, why: str) -> None:
        """Count what is wrong with a record."""
        self.counts[wrong] += 1
        if self.counts[wrong] <= 5:
            self.examples.append(f"{wrong}: {record}: {why}")

    @property
    def is_clean(self) -> bool:
        """Whether nothing was wrong."""
        return not self.examples


def judge(history: Iterable[Record], log: Sequence[tuple[int, int]]) -> Judgment:
    """Hold a history against the storage's log: (key, value) in the order of commits.

    Wrong are a ``stale`` read, which began after a write was acknowledged and returned something
    older; an ``invented`` one, of a value that was never committed; and writes that were
    acknowledged and are ``missing`` from the log, or were refused and are ``there``.
    """
    judgment = Judgment()
    versions, deleted = _versions(log)
    reads: list[Record] = []
    acked: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for record in history:
        judgment.counts[record.kind.name.lower()] += 1
        committed = versions.get((record.key, record.value))
        if record.kind is Kind.READ:
            reads.append(record)
        elif record.kind is Kind.ACKNOWLEDGED and record.value:
            if committed is None:
                judgment.add("missing", record, "it is not in the log")
            else:
                acked[record.key].append((record.ended, committed))
        elif record.kind is Kind.REFUSED and record.value and committed is not None:
            judgment.add("there", record, f"it is number {committed} in the log")
    floors = {key: _Floor(writes) for key, writes in acked.items()}
    for record in reads:
        _check(record, versions, deleted, floors, judgment)
    return judgment


def _versions(
    log: Sequence[tuple[int, int]],
) -> tuple[dict[tuple[int, int], int], dict[int, int]]:
    """Return the place in the log of each value, and of the last deletion of each key."""
    versions: dict[tuple[int, int], int] = {}
    deleted: dict[int, int] = {}
    for at, (key, value) in enumerate(log, 1):
        if value:
            versions[key, value] = at
        else:
            deleted[key] = at
    return versions, deleted


class _Floor:
    """The newest version of a key that was acknowledged before a moment."""

    def __init__(self, writes: list[tuple[int, int]]) -> None:
        writes.sort()
        self._times = [ended for ended, _ in writes]
        self._newest: list[int] = []
        newest = 0
        for _, version in writes:
            newest = max(newest, version)
            self._newest.append(newest)

    def before(self, moment: int) -> int:
        at = bisect_left(self._times, moment)
        return self._newest[at - 1] if at else 0


def _check(
    record: Record,
    versions: Mapping[tuple[int, int], int],
    deleted: Mapping[int, int],
    floors: Mapping[int, _Floor],
    judgment: Judgment,
) -> None:
    floor = floors[record.key].before(record.began) if record.key in floors else 0
    if record.value:
        version = versions.get((record.key, record.value))
        if version is None:
            judgment.add("invented", record, "nobody wrote it")
            return
    else:
        # Deletions cannot be told from one another, so that the last one has the benefit.
        version = deleted.get(record.key, 0)
    if version < floor:
        judgment.add(
            "stale", record, f"it is number {version} in the log, {floor} was acknowledged"
        )
