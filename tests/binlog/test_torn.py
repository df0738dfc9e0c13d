"""Logs that end inside of a transaction: MariaDB was killed while it wrote."""

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
from support.logservers import LogServer
from support.streams import KINDS, connect

from godropbox.database import binlog


@pytest.fixture(scope="module")
def server() -> Iterator[LogServer]:
    with LogServer("mariadb", 1) as found:
        found.execute("CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(20))")
        yield found


@pytest.fixture
def numbers(server: LogServer) -> Iterator[int]:
    [(last,)] = server.execute("SELECT COALESCE(MAX(id), 0) FROM shop.t")
    return itertools.count(last + 1)


def insert(server: LogServer, *numbers: int) -> None:
    server.execute("BEGIN", *(f"INSERT INTO shop.t VALUES ({n}, 'row')" for n in numbers), "COMMIT")


def logs(server: LogServer) -> list[str]:
    return [row[0] for row in server.execute("SHOW BINARY LOGS")]


def committed(events: Any, last: int) -> list[int]:
    """Return the numbers of the rows that were committed, up to the transaction with this one."""
    found: list[int] = []
    part: list[int] = []
    for event in events:
        if isinstance(event, binlog.GtidEvent):
            assert not part, "a transaction that neither ended nor was rolled back"
        elif isinstance(event, binlog.Rows):
            part += [row[0] for row in event.rows]
        elif isinstance(event, binlog.Query) and event.statement == "ROLLBACK":
            part = []
        elif isinstance(event, binlog.Commit):
            found += part
            part = []
            if last in found:
                return found
    return found


def ends(path: str) -> tuple[list[int], list[int]]:
    """Return where the events of the log's last two transactions begin."""
    groups: list[list[int]] = []
    with binlog.open(path, follow=False) as events:
        for event in events:
            assert event.position is not None
            if isinstance(event, binlog.GtidEvent):
                groups.append([])
            if groups:
                groups[-1].append(event.position.offset)
    return groups[-2], groups[-1]


# Where the log is cut off: behind its transaction's first event, inside of its rows, where only the
# header of an event is left, behind all of its rows.
CUTS = [("between", 1, 0), ("inside", 2, 23), ("header", 2, 7), ("rows", -1, 0)]


@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize(("event", "more"), [cut[1:] for cut in CUTS], ids=[cut[0] for cut in CUTS])
def test_what_the_killed_server_rolled_back_is_rolled_back(
    kind: str, event: int, more: int, server: LogServer, numbers: Iterator[int]
) -> None:
    before, first, second, after = (next(numbers) for _ in range(4))
    [(told,)] = server.execute("SELECT @@gtid_binlog_pos")
    insert(server, before)  # or the server would begin to send the next log
    place: Any = binlog.MariaDBGtidSet.parse(told)
    torn = f"{server.folder}/data/{logs(server)[-1]}"
    insert(server, first, second)
    server.kill()
    os.truncate(torn, ends(torn)[1][event] + more)
    server.start()
    insert(server, after)
    failures: list[Exception] = []
    with connect(
        kind, server.socket, user="root", password="", position=place, on_failure=failures.append
    ) as events:
        assert committed(events, after) == [before, after]
        assert len(failures) == bool(more)
        server.kill_readers()
        insert(server, last := next(numbers))
        assert committed(events, last) == [last]
        assert str(events.gtids) != told
    with binlog.open(f"{server.folder}/data") as whole:
        assert committed(whole, last)[-3:] == [before, after, last]


@pytest.mark.parametrize("kind", KINDS[:2])
def test_what_the_server_knows_and_cannot_read_is_lost(
    kind: str, server: LogServer, numbers: Iterator[int]
) -> None:
    before, gone, after = (next(numbers) for _ in range(3))
    [(told,)] = server.execute("SELECT @@gtid_binlog_pos")
    insert(server, before)  # or the server would begin to send the next log
    place: Any = binlog.MariaDBGtidSet.parse(told)
    torn = f"{server.folder}/data/{logs(server)[-1]}"
    insert(server, gone)
    server.stop()
    os.truncate(torn, ends(torn)[1][2] + 23)
    server.start()
    insert(server, after)
    with connect(kind, server.socket, user="root", password="", position=place) as events:
        with pytest.raises(binlog.PositionLost, match="truncated in the middle") as caught:
            committed(events, after)
        assert str(caught.value).count("unix:") == 1
