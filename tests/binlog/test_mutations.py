"""Recorded logs with bytes changed: both implementations find the same events or the same error.

The CRC-32 of a changed event is right. ``GODROPBOX_BINLOG_MUTATIONS`` is how many are tried.
"""

import os
import random
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any
from zlib import crc32

import pytest
from conftest import twins
from support.binlogs import NAMES, Recorded, recorded

from godropbox.database import binlog
from godropbox.database.binlog import _rows

MUTATIONS = int(os.environ.get("GODROPBOX_BINLOG_MUTATIONS", "600"))
TWINS = twins("binlog")
GTIDS = (33, 42, 162)
# Tables, their rows, and what holds both compressed.
ROWS = (19, 23, 24, 25, 30, 31, 32, 39, 40, 166, 167, 168)


@cache
def log_of(name: str) -> tuple[Recorded, list[bytes]]:
    """Return a log, and its events."""
    log = recorded(name)
    events = []
    at = 4
    while at < len(log.data):
        size = int.from_bytes(log.data[at + 9 : at + 13], "little")
        events.append(log.data[at : at + size])
        at += size
    return log, events


def mutated(event: bytes, draw: random.Random) -> bytes:
    """Return an event of which some bytes are others, gone, or more, and whose CRC-32 is right."""
    body = bytearray(event[19:-4])
    for _ in range(draw.choice((1, 1, 2, 4)) if body else 0):
        at = draw.randrange(len(body))
        body[at] = draw.choice((0, 255, draw.randrange(256), body[at] ^ 1 << draw.randrange(8)))
    how = draw.random()
    at = draw.randrange(len(body) + 1)
    if how < 0.15:
        del body[at:]
    elif how < 0.25:
        body[at:at] = draw.randbytes(draw.randrange(1, 9))
    size = (19 + len(body) + 4).to_bytes(4, "little")
    whole = event[:9] + size + event[13:19] + bytes(body)
    return whole + crc32(whole).to_bytes(4, "little")


def broken_logs(draw: random.Random) -> Iterator[tuple[Recorded, bytes]]:
    """Yield a log, and the beginning of one of its transactions in which one event is changed."""
    while True:
        log, events = log_of(draw.choice(NAMES))
        last = draw.choice([i for i, event in enumerate(events) if event[4] in ROWS])
        first = last
        while first > 1 and events[first][4] not in GTIDS:
            first -= 1
        part = events[first : last + 1]
        place = draw.choice((len(part) - 1, draw.randrange(len(part))))
        part[place] = mutated(part[place], draw)
        yield log, b"\xfebin" + events[0] + b"".join(part)


def outcome(kernel: ModuleType, log: Recorded, data: bytes, described: bool) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_rows, "kernel", kernel)
        parser = binlog.BinlogParser(log.name, schema=log.schema if described else None)
        try:
            return repr(parser.feed(data))
        except binlog.BinlogError as error:
            return type(error), str(error)


def test_both_implementations_find_the_same() -> None:
    draw = random.Random(MUTATIONS)
    errors = 0
    for _, (log, data) in zip(range(MUTATIONS), broken_logs(draw), strict=False):
        described = draw.random() < 0.7
        first, *others = (outcome(kernel, log, data, described) for kernel in TWINS)
        assert all(other == first for other in others), (log.name, data.hex(), first, others)
        errors += isinstance(first, tuple)
    assert MUTATIONS // 10 < errors < MUTATIONS
