"""Streams over sockets: connections that fail, servers that change or lie, slow readers."""

# ruff: noqa: SIM117  # what raises stands inside of what it is connected to

import asyncio
import contextlib
import os
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fakesources import Log, Source, logged, serve
from support.streams import KINDS, connect

from godropbox.database import binlog
from godropbox.database.binlog import aio
from godropbox.errors import ConnectionLostError, DeadlineExceededError, NetworkError


@pytest.fixture(scope="module")
def log() -> Log:
    whole = logged("my-simple")
    return Log(whole.head, whole.transactions[2:])


@pytest.fixture(scope="module")
def maria() -> Log:
    whole = logged("md-simple")
    return Log(whole.head, whole.transactions[2:])


def rows_of(events: Any) -> list[Any]:
    return [
        (event.kind, event.table, event.gtid, row)
        for event in events
        if isinstance(event, binlog.Rows)
        for row in event.rows
    ]


def expected(log: Log) -> list[Any]:
    parser = binlog.BinlogParser(lenient=True)
    packets = [*log.head, *(data for _, events in log.transactions for data in events)]
    return rows_of(event for data in packets for event in parser.feed_event(data))


def take_all(events: Any, found: list[binlog.Event]) -> None:
    """Add all events, up to an error."""
    for event in events:
        found.append(event)  # what came before the error counts


def wait_for(happens: Any) -> None:
    """Wait until something is true of a server in another thread."""
    deadline = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def until_commits(events: Any, count: int) -> list[binlog.Event]:
    """Return the events up to the end of so many transactions."""
    found = []
    for event in events:
        found.append(event)
        count -= isinstance(event, binlog.Commit)
        if not count:
            break
    return found


def borders_of(log: Log) -> list[int]:
    """Return the bytes of a dump after each of its packets."""
    packets = [*log.head, *(data for _, events in log.transactions for data in events)]
    sizes = [5 + len(data) for data in packets]
    return [sum(sizes[: count + 1]) for count in range(len(sizes))]


def event_of(kind: int, body: bytes, end: int = 5000) -> bytes:
    """Return an event with its CRC-32."""
    size = 19 + len(body) + 4
    data = struct.pack("<IBIIIH", 1, kind, 1, size, end, 0) + body
    return data + zlib.crc32(data).to_bytes(4, "little")


# Connections that fail


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["my-simple", "md-simple"])
def test_killed_after_each_event_no_row_is_lost_and_none_comes_twice(kind: str, name: str) -> None:
    whole = logged(name)
    log = Log(whole.head, whole.transactions[2:5])
    for cut in borders_of(log)[:-1]:
        failures: list[Exception] = []
        with (
            serve(Source(log, cuts=[cut])) as address,
            # Another address is tried at once, where the same one has to wait for its time.
            connect(kind, [address] * 2, blocks=False, on_failure=failures.append) as events,
        ):
            assert rows_of(events) == expected(log)
            for gtid, _ in log.transactions:
                assert gtid in (events.gtids or ())
        assert [type(error) for error in failures] == [ConnectionLostError]
        assert f"127.0.0.1:{address[1]} from start" in str(failures[0])


@pytest.mark.parametrize("kind", KINDS)
def test_without_reconnect_the_reader_is_told_and_may_go_on(kind: str, log: Log) -> None:
    cut = borders_of(log)[len(log.head) + 3]
    with (
        serve(Source(log, cuts=[cut])) as address,
        connect(kind, address, blocks=False, reconnect=False) as events,
    ):
        found: list[binlog.Event] = []
        with pytest.raises(ConnectionLostError, match=r"127\.0\.0\.1"):
            take_all(events, found)
        found += list(events)
        assert rows_of(found) == expected(log)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_there_is_said_at_once(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with pytest.raises(NetworkError) as caught:
        connect(kind, address)
    assert f"127.0.0.1:{address[1]}" in str(caught.value)
    other = f"localhost:{address[1]}"
    with pytest.raises(NetworkError) as caught:
        connect(kind, [address, other])
    assert "127.0.0.1" in str(caught.value)
    assert other in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_login_that_never_ends_is_late(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(DeadlineExceededError, match=r"within 0\.2 s"):
            connect(kind, listener.getsockname(), connect_timeout=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_unix_socket_is_an_address(kind: str, log: Log, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with serve(Source(log), path=path) as address:
        assert address == path
        with connect(kind, path, blocks=False) as events:
            assert rows_of(events) == expected(log)


# Silence


@pytest.mark.parametrize("kind", KINDS)
def test_a_silent_server_is_left(kind: str, log: Log) -> None:
    failures: list[Exception] = []

    def note(error: Exception) -> None:
        failures.append(error)
        if len(failures) == 2:
            raise error

    silent = Source(log)
    with serve(silent) as address:
        with connect(kind, address, heartbeat=0.05, silence=0.2, on_failure=note) as events:
            found: list[binlog.Event] = []
            with pytest.raises(DeadlineExceededError, match=r"silent for 0\.2 s"):
                take_all(events, found)
    assert rows_of(found) == expected(log)
    assert silent.connections == 2
    assert "@master_heartbeat_period=50000000" in silent.statements[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_reader_is_no_silent_server(kind: str, log: Log) -> None:
    failures: list[Exception] = []
    with (
        serve(Source(log)) as address,
        connect(
            kind, address, blocks=False, heartbeat=0.05, silence=0.1, on_failure=failures.append
        ) as events,
    ):
        found = [next(events)]
        time.sleep(0.4)  # longer than silence: what the test is about
        found += list(events)
    assert rows_of(found) == expected(log)
    assert failures == []


# Positions


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "words",
    [
        "Cannot replicate because the source purged required binary logs.",
        "Replica has more GTIDs than the source has, using the source's SERVER_UUID.",
        "Error: connecting slave requested to start from GTID 0-1-99, which is not in the master's",
    ],
)
def test_a_position_that_is_lost_is_said_at_once(kind: str, words: str, log: Log) -> None:
    source = Source(log, refuses=[(1236, words)])
    with serve(source) as address, connect(kind, address) as events:
        with pytest.raises(binlog.PositionLost) as caught:
            next(events)
    assert source.connections == 1
    assert caught.value.code == 1236
    assert words[:40] in str(caught.value)
    assert str(caught.value).startswith(f"127.0.0.1:{address[1]} from start")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "refusal",
    [
        (1236, "A replica with the same server_uuid/server_id as this replica has connected"),
        (4052, "A slave with the same server_uuid/server_id as this slave has connected"),
    ],
)
def test_another_reader_of_the_same_number_is_no_lost_position(
    kind: str, refusal: Any, log: Log
) -> None:
    source = Source(log, refuses=[refusal])
    with serve(source) as address, connect(kind, address) as events:
        with pytest.raises(binlog.ServerError, match="same server_") as caught:
            next(events)
    assert not isinstance(caught.value, binlog.PositionLost)
    assert source.connections == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_busy_server_is_tried_again(kind: str, log: Log) -> None:
    source = Source(log, refuses=[(1040, "Too many connections"), (1053, "shutdown")])
    with serve(source) as address, connect(kind, [address] * 3, blocks=False) as events:
        assert rows_of(events) == expected(log)
    assert source.connections == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["my-simple", "md-simple"])
def test_another_server_takes_over(kind: str, name: str) -> None:
    whole = logged(name)
    log = Log(whole.head, whole.transactions[2:])
    cut = borders_of(log)[len(log.head) + 6]
    first = Source(log, cuts=[cut])
    second = Source(log, identity="99999999-2222-3333-4444-555555555555")
    with serve(first) as one, serve(second) as other:
        with connect(kind, [one, other], blocks=False) as events:
            assert rows_of(events) == expected(log)
    assert first.connections == second.connections == 1
    assert log.transactions[0][0] in second.dumps[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_lacks_what_was_read_is_refused(kind: str, log: Log) -> None:
    last = len(log.head) + sum(len(events) for _, events in log.transactions[:3])
    first = Source(log, cuts=[borders_of(log)[last]])
    behind = Source(log, executed="")
    with serve(first) as one, serve(behind) as other, connect(kind, [one, other]) as events:
        with pytest.raises(binlog.PositionLost, match="what-is-missing:1-2") as caught:
            list(events)
    assert f"127.0.0.1:{other[1]}" in str(caught.value)
    assert behind.dumps == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_position_by_file_is_of_one_server(kind: str, log: Log) -> None:
    """The second server has a file of that name, too, with other events in it."""
    begin = int.from_bytes(log.transactions[1][1][0][13:17], "little")
    begin -= len(log.transactions[1][1][0])
    cut = borders_of(Log(log.head[:2], log.transactions[1:]))[3]
    first = Source(log, cuts=[cut])
    second = Source(log, identity="99999999-2222-3333-4444-555555555555")
    with serve(first) as one, serve(second) as other:
        place = binlog.Position("log.000001", begin)
        with connect(kind, [one, other], position=place) as events:
            with pytest.raises(binlog.PositionLost, match="is one of server 1111"):
                list(events)
    assert second.dumps == []


def test_a_position_of_the_other_kind_of_server(log: Log, maria: Log) -> None:
    with serve(Source(log)) as address:
        with pytest.raises(binlog.PositionLost, match="one of MariaDB"):
            connect("threads", address, position=binlog.MariaDBGtidSet.parse("0-1-2"))
    with serve(Source(maria)) as address:
        with pytest.raises(binlog.PositionLost, match="one of MySQL"):
            connect("threads", address, position=binlog.GtidSet())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["my-simple", "md-simple", "my-tagged"])
def test_now_is_behind_all_that_was(kind: str, name: str) -> None:
    log = logged(name)
    with serve(Source(log)) as address:
        with connect(kind, address, blocks=False, position=None) as events:
            assert rows_of(events) == []
            assert all(gtid in (events.gtids or ()) for gtid, _ in log.transactions)


# Stores


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["my-simple", "md-simple"])
def test_a_new_run_goes_on_where_the_last_one_was(kind: str, name: str, tmp_path: Path) -> None:
    whole = logged(name)
    log = Log(whole.head, whole.transactions[2:])
    store = binlog.FilePositions(tmp_path / "place")
    given: dict[str, Any] = {"blocks": False, "store": store, "save_every": 0}
    found: list[binlog.Event] = []
    with serve(Source(log)) as address:
        for _ in log.transactions:
            with connect(kind, address, **given) as events:
                found += until_commits(events, 1)
                events.save()
        with connect(kind, address, **given) as events:
            found += list(events)
    assert rows_of(found) == expected(log)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_taken_is_not_saved(kind: str, log: Log) -> None:
    saved: list[Any] = []
    with serve(Source(log)) as address:
        with connect(kind, address, blocks=False, store=saved.append, save_every=0) as events:
            until_commits(events, 1)
            assert saved == []  # the reader may still be at work on it
            next(events)
            assert len(saved) == 1
            first = [gtid in saved[0] for gtid, _ in log.transactions[:2]]
            assert first == [True, False]


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_fails_is_said_and_asked_again(kind: str, log: Log) -> None:
    saved: list[Any] = []

    def save(place: Any) -> None:
        if not saved:
            saved.append(None)
            raise OSError("the disk is full")
        saved.append(place)

    with serve(Source(log)) as address:
        with connect(kind, address, blocks=False, store=save, save_every=0) as events:
            found = until_commits(events, 1)
            with pytest.raises(OSError, match="the disk is full"):
                next(events)
            found += list(events)
    assert rows_of(found) == expected(log)
    assert log.transactions[-1][0] in saved[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_fails_does_not_keep_a_commit_waiting(kind: str, log: Log) -> None:
    fails = [True]

    def save(place: Any) -> None:
        if fails and fails.pop():
            raise OSError("the disk is full")

    source = Source(log, semi_sync=True)
    given: dict[str, Any] = {"store": save, "save_every": 0, "semi_sync": True, "blocks": False}
    with serve(source) as address, connect(kind, address, **given) as events:
        until_commits(events, 1)
        with pytest.raises(OSError, match="the disk is full"):
            next(events)
        list(events)
        wait_for(lambda: len(source.acknowledged) == len(log.transactions))


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_has_something_else_is_refused(kind: str, log: Log, tmp_path: Path) -> None:
    class Store(binlog.FilePositions):
        def load(self) -> Any:
            return 7

    source = Source(log)
    with serve(source) as address:
        with pytest.raises(TypeError, match="position must be a GtidSet"):
            connect(kind, address, store=Store(tmp_path / "place"))
    assert source.connections == 0


def test_a_store_may_be_of_coroutines(log: Log) -> None:
    class Store:
        places: list[Any] = []  # noqa: RUF012  # of this test alone

        async def load(self) -> Any:
            return self.places[-1] if self.places else None

        async def save(self, place: Any) -> None:
            await asyncio.sleep(0)
            self.places.append(place)

    with serve(Source(log)) as address:
        given: dict[str, Any] = {"blocks": False, "store": Store(), "save_every": 0}
        with connect("asyncio", address, **given) as events:
            assert rows_of(events) == expected(log)
        with connect("asyncio", address, **given) as events:
            assert rows_of(events) == []


# Semi-sync


@pytest.mark.parametrize("kind", KINDS)
def test_a_transaction_is_acknowledged_when_it_was_taken(kind: str, log: Log) -> None:
    source = Source(log, semi_sync=True)
    ends = [int.from_bytes(events[-1][13:17], "little") for _, events in log.transactions]
    with serve(source) as address, connect(kind, address, semi_sync=True) as events:
        found = until_commits(events, 1)
        assert source.acknowledged == []
        found += until_commits(events, 1)
        found += until_commits(events, len(log.transactions) - 2)
        assert rows_of(found) == expected(log)
        assert isinstance(found[0], binlog.Rotate)
        wait_for(lambda: len(source.acknowledged) >= len(ends) - 1)
        assert source.acknowledged == [(end, found[0].file) for end in ends[:-1]]
    assert "@rpl_semi_sync_replica=1" in source.statements[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_without_semi_sync_is_refused(kind: str, log: Log) -> None:
    with serve(Source(log)) as address:
        with pytest.raises(binlog.ServerError, match="rpl_semi_sync_source_enabled"):
            connect(kind, address, semi_sync=True)


# Large and slow


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0xFFFFFF - 1, 0xFFFFFF, 17 << 20])
def test_an_event_of_any_size(kind: str, size: int, log: Log) -> None:
    """From 16 MiB on it comes in several packets, the last of them maybe empty."""
    gtid, events = log.transactions[0]
    large = event_of(29, b"\0" + b"x" * (size - 24))
    assert len(large) == size
    log = Log(log.head, [(gtid, [events[0], large, *events[1:]])])
    with serve(Source(log)) as address, connect(kind, address, blocks=False) as stream:
        found = list(stream)
    [text] = [event.statement for event in found if isinstance(event, binlog.RowsQuery)]
    assert len(text) == size - 24
    assert rows_of(found) == expected(log)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_that_does_not_read_is_sent_no_more(kind: str, log: Log) -> None:
    """What waits for it stays with the server, not in this process."""
    gtid, events = log.transactions[0]
    many = [event_of(29, b"\0" + b"x" * 100_000)] * 1000  # 100 MB
    source = Source(Log(log.head, [(gtid, [events[0], *many, *events[1:]])]))
    with serve(source) as address, connect(kind, address) as stream:
        next(stream)
        for _ in range(100):
            before = source.sent
            if source.sent == 0:
                next(stream)
            else:
                time.sleep(0.02)  # does it send on, though nobody reads?
            if before and before == source.sent:
                break
        assert 0 < source.sent < 40_000_000
        found = [event for event in until_commits(stream, 1) if isinstance(event, binlog.RowsQuery)]
        assert len(found) >= 999


# Servers that lie


@contextlib.contextmanager
def saying(data: bytes) -> Iterator[tuple[str, int]]:
    """Serve whoever comes these bytes, and read what they send."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        is_over = threading.Event()

        def accept() -> None:
            while not is_over.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.sendall(data)
                    while not is_over.is_set() and connection.recv(1 << 16):
                        pass

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            is_over.set()
            with contextlib.suppress(OSError):
                socket.create_connection(listener.getsockname(), 10).close()
            thread.join(10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\0",  # an empty packet
        b"\1\0\0\0\x0a",  # a greeting that is cut short
        b"\x05\0\0\0\x0a8.4\0",
        b"\x05\0\0\0\x0a8.4.",
        b"\4\0\0\0\x09abc",  # of another version
        b"\xff\xff\xff\0" + b"x" * 100_000 + b"\xff" * 100,
        b"\4\0\0\7\x0aabc",  # out of turn
        b"\x50\0\0\0\x0a" + b"8\0" + b"\xff" * 77,  # whatever
    ],
    ids=range(9),
)
def test_what_is_no_server_is_an_error(kind: str, data: bytes) -> None:
    with saying(data) as address, pytest.raises((binlog.BinlogError, NetworkError)) as caught:
        connect(kind, address, connect_timeout=0.5)
    assert f"127.0.0.1:{address[1]}" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [0, 5, 100])
def test_bytes_before_tls_are_not_taken_for_its_own(kind: str, most: int, log: Log) -> None:
    import ssl

    greeting = Source(log, has_tls=True).session().greet()
    with saying(greeting + b"\7\0\0\2\0\0\0\2\0\0\0" * most) as address:
        with pytest.raises((binlog.BinlogError, NetworkError)) as caught:
            connect(kind, address, tls=ssl.create_default_context(), connect_timeout=0.5)
    assert isinstance(caught.value, binlog.DataError) is bool(most)


LIES = {
    "garbage": b"\x99" * 60,
    "short": b"abc",
    "size": event_of(16, bytes(8))[:9] + b"\xff\xff\xff\x7f" + event_of(16, bytes(8))[13:],
    "sum": event_of(16, bytes(8))[:-1] + b"\0",
    "unknown": event_of(99, bytes(8)),
    "rows": event_of(30, b"\x77" * 40),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lie", LIES)
def test_an_event_that_lies_is_an_error(kind: str, lie: str, log: Log) -> None:
    gtid, events = log.transactions[0]
    source = Source(Log(log.head, [(gtid, [events[0], LIES[lie], *events[1:]])]))
    with serve(source) as address, connect(kind, address) as stream:
        with pytest.raises(binlog.DataError) as caught:
            list(stream)
    assert f"127.0.0.1:{address[1]} from start: " in str(caught.value)
    assert source.connections == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_event_than_is_taken_is_not_kept(kind: str, log: Log) -> None:
    gtid, events = log.transactions[0]
    large = event_of(29, b"\0" + b"x" * 5000)
    source = Source(Log(log.head, [(gtid, [events[0], large, *events[1:]])]))
    with serve(source) as address, connect(kind, address, most=1000) as stream:
        with pytest.raises(binlog.DataError, match="over the limit"):
            list(stream)


# Closing, interrupting, cancelling


def test_another_thread_closes_a_stream_that_waits(log: Log) -> None:
    with serve(Source(log)) as address:
        stream = connect("threads", address)
        assert isinstance(stream, binlog.BinlogStream)
        closing = threading.Timer(0.1, stream.close)
        closing.start()
        assert rows_of(stream) == expected(log)
        closing.join()
        assert list(stream) == []
        assert stream._socket is None
        stream.close()


def test_another_thread_closes_a_stream_that_waits_to_connect(log: Log) -> None:
    with serve(Source(log, cuts=[0])) as address:
        stream = connect("threads", address, silence=1000)
    assert isinstance(stream, binlog.BinlogStream)
    closing = threading.Timer(0.1, stream.close)
    closing.start()
    assert list(stream) == []
    closing.join()


def test_what_interrupts_a_thread_loses_nothing(log: Log) -> None:
    """An exception out of the middle, such as KeyboardInterrupt, may come anywhere."""
    calls: list[Any] = []

    def schema(table: binlog.Table) -> None:
        calls.append(table)
        if len(calls) % 2:
            raise KeyboardInterrupt

    for kind in KINDS[:2]:
        with serve(Source(log)) as address:
            with connect(kind, address, schema=schema, blocks=False) as events:
                found = []
                for _ in range(50):
                    try:
                        found += [next(events)]
                    except KeyboardInterrupt:
                        continue
                    except StopIteration:
                        break
        assert rows_of(found) == expected(log)
        assert len(calls) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_the_schema_is_the_reader_s(kind: str, log: Log) -> None:
    """Not even a network's: it is another connection's."""
    error = ConnectionRefusedError("the schema's server")

    def schema(table: binlog.Table) -> None:
        raise error

    source = Source(log)
    with serve(source) as address, connect(kind, address, schema=schema) as events:
        with pytest.raises(ConnectionRefusedError) as caught:
            list(events)
        assert caught.value is error
    assert source.connections == 1


def test_a_task_that_is_cancelled_loses_nothing(log: Log) -> None:
    async def main(address: Any) -> list[binlog.Event]:
        found: list[binlog.Event] = []
        async with aio.connect(
            address, user="reader", password="secret", position="start", lenient=True
        ) as events:
            while len(rows_of(found)) < len(expected(log)):
                task = asyncio.ensure_future(anext(events))
                await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    found.append(await task)
            closing = asyncio.get_running_loop().call_later(
                0.05, lambda: asyncio.ensure_future(events.close())
            )
            found += [event async for event in events]
            assert closing.when()
        return found

    with serve(Source(log)) as address:
        assert rows_of(asyncio.run(main(address))) == expected(log)


def test_two_readers_of_one_stream_are_refused(log: Log) -> None:
    with serve(Source(log)) as address, connect("threads", address) as events:
        until_commits(events, len(log.transactions))
        thread = threading.Thread(target=lambda: next(events, None))  # waits for more
        thread.start()
        while not events._turn.locked():  # type: ignore[union-attr]
            time.sleep(0.001)
        with pytest.raises(RuntimeError, match="another thread"):
            next(events)
        events.close()
        thread.join()


# Arguments


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"server": 5}, TypeError, "server"),
        ({"server": []}, ValueError, "server"),
        ({"server": "mysql://db"}, ValueError, "address"),
        ({"user": 5}, TypeError, "user"),
        ({"password": b"x"}, TypeError, "password"),
        ({"password": "a\0b"}, ValueError, "password"),
        ({"tls": True}, TypeError, "tls"),
        ({"tls": "password", "password": ""}, ValueError, "tls"),
        ({"public_key": 5}, TypeError, "public_key"),
        ({"server_id": 0}, ValueError, "server_id"),
        ({"server_id": 1 << 32}, ValueError, "server_id"),
        ({"server_id": "7"}, TypeError, "server_id"),
        ({"position": "end"}, TypeError, "position"),
        ({"position": binlog.Position("", 4)}, ValueError, "position"),
        ({"position": binlog.Position("x", -4)}, ValueError, "position"),
        ({"tables": "shop.orders"}, TypeError, "tables"),
        ({"tables": ["orders"]}, ValueError, "tables"),
        ({"zero_dates": "x"}, ValueError, "zero_dates"),
        ({"heartbeat": 0}, ValueError, "heartbeat"),
        ({"heartbeat": True}, TypeError, "heartbeat"),
        ({"heartbeat": 5, "silence": 5}, ValueError, "silence"),
        ({"connect_timeout": None}, TypeError, "connect_timeout"),
        ({"save_every": -1}, ValueError, "save_every"),
        ({"store": 5}, TypeError, "store"),
        ({"on_failure": 5}, TypeError, "on_failure"),
        ({"most": -1}, ValueError, "most"),
    ],
)
def test_a_wrong_argument_is_named(given: dict[str, Any], error: type, words: str) -> None:
    whole = {"server": "127.0.0.1:1", "user": "reader", "password": "x", **given}
    server = whole.pop("server")
    for function in (binlog.connect, aio.connect):
        with pytest.raises(error, match=words):
            function(server, **whole)


def test_nothing_is_left_open(log: Log) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not list open files")
    before = len(os.listdir("/proc/self/fd"))
    for kind in KINDS:
        with serve(Source(log, cuts=[50, 700])) as address:
            with connect(kind, [address] * 3, blocks=False) as events:
                list(events)
    assert len(os.listdir("/proc/self/fd")) == before
