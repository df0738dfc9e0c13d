"""Global transaction ids of MySQL and MariaDB, and sets of them.

A set says which transactions were seen; both servers continue a stream from one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from ._errors import DataError

__all__ = ["Gtid", "GtidSet", "MariaDBGtid", "MariaDBGtidSet"]


@dataclass(frozen=True, slots=True)
class Gtid:
    """A transaction of MySQL: its server's UUID, a tag or "", and its number from 1."""

    uuid: UUID
    number: int
    tag: str = ""

    def __str__(self) -> str:
        return f"{self.uuid}:{self.tag}:{self.number}" if self.tag else f"{self.uuid}:{self.number}"


@dataclass(frozen=True, slots=True)
class MariaDBGtid:
    """A transaction of MariaDB: its domain, its server's id, and its number from 1."""

    domain: int
    server_id: int
    number: int

    def __str__(self) -> str:
        return f"{self.domain}-{self.server_id}-{self.number}"


Intervals = tuple[tuple[int, int], ...]  # half open, in order, apart from each other


def _joined(intervals: Iterable[tuple[int, int]]) -> Intervals:
    found: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if start < 1 or end <= start:
            raise DataError(f"an interval of transactions is [{start}, {end})")
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class GtidSet:
    """A set of transactions of MySQL, by server and tag.

    Make one of the server's text, such as ``@@gtid_executed``, with ``GtidSet.parse``.
    """

    intervals: dict[tuple[UUID, str], Intervals] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "GtidSet":
        """Return the set that a text such as ``uuid:1-5:7:tag:1-3,uuid:...`` names."""
        found: dict[tuple[UUID, str], list[tuple[int, int]]] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, *pieces = part.split(":")
            try:
                uuid = UUID(name.strip())
            except ValueError:
                raise ValueError(f"text must have sets such as uuid:1-5, got {part!r}") from None
            tag = ""
            for piece in map(str.strip, pieces):
                if not piece[:1].isdecimal():
                    tag = piece.lower()
                    continue
                first, _, last = piece.partition("-")
                found.setdefault((uuid, tag), []).append((int(first), int(last or first) + 1))
        return cls({key: _joined(runs) for key, runs in found.items()})

    @classmethod
    def decode(cls, data: bytes) -> "GtidSet":
        """Return the set of a PREVIOUS_GTIDS event, in the layout with tags or the one without."""
        count = int.from_bytes(data[:8], "little")
        tagged = data[7:8] == b"\1"
        if tagged:  # a byte 1, the count in six bytes, a byte 1
            count = int.from_bytes(data[1:7], "little")
        found: dict[tuple[UUID, str], Intervals] = {}
        at = 8
        for _ in range(count):
            uuid = UUID(bytes=_exact(data, at, 16))
            at += 16
            tag = ""
            if tagged:
                size = _exact(data, at, 1)[0] >> 1
                tag = _exact(data, at + 1, size).decode()
                at += 1 + size
            runs = int.from_bytes(_exact(data, at, 8), "little")
            at += 8
            numbers = _exact(data, at, 16 * runs)
            at += 16 * runs
            found[uuid, tag] = _joined(
                (
                    int.from_bytes(numbers[i : i + 8], "little"),
                    int.from_bytes(numbers[i + 8 : i + 16], "little"),
                )
                for i in range(0, len(numbers), 16)
            )
        if at != len(data):
            raise DataError(f"a set of GTIDs has {len(data)} bytes, and ends at {at}")
        return cls(found)

    def encode(self) -> bytes:
        """Return the bytes for COM_BINLOG_DUMP_GTID; without tags those of MySQL before 8.3."""
        tagged = any(tag for _, tag in self.intervals)
        count = len(self.intervals)
        parts = [
            b"\1" + count.to_bytes(6, "little") + b"\1" if tagged else count.to_bytes(8, "little")
        ]
        for (uuid, tag), runs in sorted(
            self.intervals.items(), key=lambda item: (item[0][0].bytes, item[0][1])
        ):
            parts.append(uuid.bytes)
            if tagged:
                parts.append(bytes([len(tag) << 1]) + tag.encode())
            parts.append(len(runs).to_bytes(8, "little"))
            parts.extend(number.to_bytes(8, "little") for run in runs for number in run)
        return b"".join(parts)

    def __or__(self, other: "GtidSet") -> "GtidSet":
        keys = {**self.intervals, **other.intervals}
        return GtidSet(
            {
                key: _joined((*self.intervals.get(key, ()), *other.intervals.get(key, ())))
                for key in keys
            }
        )

    def add(self, gtid: Gtid) -> "GtidSet":
        """Return the set with one transaction more."""
        key = (gtid.uuid, gtid.tag)
        runs = self.intervals.get(key)
        if runs and runs[-1][1] == gtid.number:  # as nearly always
            joined = (*runs[:-1], (runs[-1][0], gtid.number + 1))
            return GtidSet({**self.intervals, key: joined})
        return self | GtidSet({(gtid.uuid, gtid.tag): ((gtid.number, gtid.number + 1),)})

    def __contains__(self, gtid: object) -> bool:
        if not isinstance(gtid, Gtid):
            return False
        runs = self.intervals.get((gtid.uuid, gtid.tag), ())
        return any(start <= gtid.number < end for start, end in runs)

    def __str__(self) -> str:
        by_uuid: dict[UUID, list[str]] = {}
        for (uuid, tag), runs in sorted(
            self.intervals.items(), key=lambda item: (item[0][0].bytes, item[0][1])
        ):
            parts = by_uuid.setdefault(uuid, [])
            parts.extend([tag] if tag else [])
            parts.extend(
                f"{start}-{end - 1}" if end - start > 1 else str(start) for start, end in runs
            )
        return ",".join(":".join([str(uuid), *parts]) for uuid, parts in by_uuid.items())


@dataclass(frozen=True, slots=True)
class MariaDBGtidSet:
    """A position of MariaDB: the last transaction of each domain, and of each server in it."""

    last: dict[tuple[int, int], MariaDBGtid] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "MariaDBGtidSet":
        """Return the position of a text such as ``@@gtid_binlog_pos``: ``0-1-5,1-2-7``."""
        found = cls()
        for part in filter(None, (part.strip() for part in text.split(","))):
            pieces = part.split("-")
            if len(pieces) != 3 or not all(map(str.isdecimal, pieces)):
                raise ValueError(f"text must have ids such as 0-1-5, got {part!r}")
            found = found.add(MariaDBGtid(*map(int, pieces)))
        return found

    @classmethod
    def decode(cls, data: bytes) -> "MariaDBGtidSet":
        """Return the position of a GTID_LIST event."""
        count = int.from_bytes(_exact(data, 0, 4), "little") & 0x0FFFFFFF  # the rest are flags
        if len(data) != 4 + 16 * count and (count or len(data) != 6):  # an empty one is padded
            raise DataError(f"a list of {count} GTIDs has {len(data)} bytes")
        gtids = [
            MariaDBGtid(
                int.from_bytes(data[at : at + 4], "little"),
                int.from_bytes(data[at + 4 : at + 8], "little"),
                int.from_bytes(data[at + 8 : at + 16], "little"),
            )
            for at in range(4, len(data), 16)
        ]
        return cls({(gtid.domain, gtid.server_id): gtid for gtid in gtids})

    def add(self, gtid: MariaDBGtid) -> "MariaDBGtidSet":
        """Return the position after one transaction more, which becomes its domain's last."""
        others = self.last.copy()
        others.pop((gtid.domain, gtid.server_id), None)
        others[gtid.domain, gtid.server_id] = gtid
        return MariaDBGtidSet(others)

    def __iter__(self) -> Iterator[MariaDBGtid]:
        return iter({gtid.domain: gtid for gtid in self.last.values()}.values())

    def __contains__(self, gtid: object) -> bool:
        if not isinstance(gtid, MariaDBGtid):
            return False
        last = self.last.get((gtid.domain, gtid.server_id))
        return last is not None and gtid.number <= last.number

    def __str__(self) -> str:
        return ",".join(map(str, sorted(self, key=lambda gtid: gtid.domain)))


def _exact(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise DataError(f"{size} bytes of a GTID at {at} are due, of {len(data)}")
    return data[at : at + size]
