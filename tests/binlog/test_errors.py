"""Logs that are broken: an error that names the file and the position, never rows that are not."""

import random
import zlib
from typing import Any

import pytest
from support.binlogs import recorded, whole

from godropbox.database import binlog
from godropbox.database.binlog._events import inflated, payload
from godropbox.database.binlog._json import apply_diffs, json_value

SAMPLES = ["md-comp", "md-types-nolog", "my-partialjson", "my-types-full", "my-zstd"]


def sealed(event: bytes) -> bytes:
    """Return an event with the right CRC-32, whatever else is wrong in it."""
    return event[:-4] + zlib.crc32(event[:-4]).to_bytes(4, "little")


def events(data: bytes) -> list[bytes]:
    found = []
    at = 4
    while at < len(data):
        size = int.from_bytes(data[at + 9 : at + 13], "little")
        found.append(data[at : at + size])
        at += size
    return found


def read(name: str, data: bytes) -> list[binlog.Event]:
    return whole(binlog.BinlogParser("binlog.7", schema=recorded(name).schema), data)


@pytest.mark.parametrize("name", SAMPLES)
def test_any_byte_that_is_changed_is_noticed(name: str) -> None:
    data = recorded(name).data
    draw = random.Random(name)
    for _ in range(60):
        at = draw.randrange(4, len(data))
        # The flag of a file that is open is not in the sum.
        if data[at] != (changed := draw.randrange(256)) and at != 4 + 17:
            broken = data[:at] + bytes([changed]) + data[at + 1 :]
            with pytest.raises(binlog.DataError, match=r"binlog\.7 at \d+: "):
                read(name, broken)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_log_that_is_cut_short(name: str) -> None:
    data = recorded(name).data
    ends = {4}
    for event in events(data):
        ends.add(max(ends) + len(event))
    draw = random.Random(name)
    for cut in {0, 1, 4 + 18, *(draw.randrange(5, len(data)) for _ in range(40))} - ends:
        with pytest.raises(binlog.DataError, match=r"binlog\.7 at \d+: the log ends inside of"):
            read(name, data[:cut])


def said(name: str, data: bytes) -> str:
    """Return what an error says, or where a log ends that is read."""
    try:
        read(name, data)
    except binlog.BinlogError as error:
        return str(error)
    return f"binlog.7 at {len(data)}"


@pytest.mark.parametrize("name", SAMPLES)
def test_bodies_that_lie_raise_nothing_else(name: str) -> None:
    """Whatever the bytes of an event with the right CRC-32 are, it is read or a ``BinlogError``."""
    found = events(recorded(name).data)
    draw = random.Random(name)
    for _ in range(60):
        index = draw.randrange(1, len(found))
        event = bytearray(found[index])
        for _ in range(draw.choice((1, 1, 2, 8))):
            if len(event) > 23:
                event[draw.randrange(19, len(event) - 4)] = draw.choice((0, 1, 127, 251, 252, 255))
        broken = [*found[:index], sealed(bytes(event)), *found[index + 1 :]]
        assert said(name, b"\xfebin" + b"".join(broken)).startswith("binlog.7 at ")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xfdbin" + bytes(19), "binlog.7 at 0: it is encrypted by MySQL"),
        (b"abcd", "binlog.7 at 0: it begins with 61626364, not with fe62696e"),
        (b"\xfebin" + bytes(19), r"binlog.7 at 4: an event has 0 bytes, not 19 to \d+"),
    ],
)
def test_files_that_are_no_logs(data: bytes, words: str) -> None:
    with pytest.raises(binlog.DataError, match=words):
        binlog.BinlogParser("binlog.7").feed(data)


def event_of(code: int, body: bytes, flags: int = 0) -> bytes:
    size = 19 + len(body) + 4
    head = bytes(4) + bytes([code]) + bytes(4) + size.to_bytes(4, "little") + bytes(4)
    return sealed(head + flags.to_bytes(2, "little") + body + bytes(4))


def test_an_event_that_nobody_knows() -> None:
    data = recorded("my-simple").data
    head = data[: 4 + int.from_bytes(data[13:17], "little")]
    parser = binlog.BinlogParser("binlog.7")
    parser.feed(head)
    with pytest.raises(binlog.DataError, match=r"at 127: .* unknown type 99, and may carry rows"):
        parser.feed(event_of(99, b"abc"))
    parser = binlog.BinlogParser("binlog.7")
    parser.feed(head)
    [event] = parser.feed(event_of(99, b"abc", flags=0x80))  # the server says that it may be
    assert isinstance(event, binlog.Other)
    assert event.body == b"abc"


def test_sizes_are_bounded_before_anything_is_unpacked() -> None:
    for size in (b"\x84\xff\xff\xff\xff", b"\x87" + b"\xff" * 7):
        with pytest.raises(binlog.DataError, match="over the limit of 1000"):
            inflated(size + zlib.compress(bytes(2000)), 1000)
    with pytest.raises(binlog.DataError, match="says 10"):
        inflated(b"\x81\x0a" + zlib.compress(bytes(2000)), 1000)
    with pytest.raises(binlog.DataError, match="over the limit of 1000"):
        payload(b"\x03\x09\xfe" + b"\xff" * 8 + b"\0", 1000)


def array_of(count: int, offset: int) -> bytes:
    """Return a JSON array whose elements all are the array at one offset."""
    size = 4 + 3 * count + 200
    head = count.to_bytes(2, "little") + size.to_bytes(2, "little")
    return head + (b"\x02" + offset.to_bytes(2, "little")) * count


@pytest.mark.parametrize("count", [2, 40])
def test_a_document_is_not_more_than_its_bytes(count: int) -> None:
    inner = b"".join(array_of(count, 4 + 3 * count) for _ in range(12))
    document = b"\x02" + inner + bytes(4) + bytes(4000)
    with pytest.raises(binlog.DataError, match=r"JSON of .* cannot be read"):
        json_value(document)


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        ({"a": 1}, "$.b.c", "leads to nothing"),
        ([1], "$.a", "has no such parts"),
        ({"a": 1}, "$[1]", "has no such parts"),
        (1, "$" + "[0]" * 1000, "1000 steps, more than 100"),
        (1, "a", "begins with 'a'"),
    ],
)
def test_paths_that_lead_nowhere(document: Any, path: str, words: str) -> None:
    with pytest.raises(binlog.DataError, match=words):
        apply_diffs(document, (binlog.JsonDiff("replace", path, 2),))
