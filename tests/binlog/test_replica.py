"""A replica without I/O, against a server that sends recorded logs and breaks off anywhere."""

import functools
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.binlogs import STREAMS, recorded
from support.fakesources import Log, Source, logged

from godropbox.database import binlog
from godropbox.database.binlog._replica import LogEnded, Replica, options_of
from godropbox.errors import ConnectionLostError

_GIVEN: dict[str, Any] = {
    "user": "reader",
    "password": "secret",
    "tls": None,
    "server_hostname": None,
    "public_key": None,
    "server_id": None,
    "position": "start",
    "tables": None,
    "columns": None,
    "schema": None,
    "zero_dates": "text",
    "statements": "everything",
    "lenient": True,
    "most": 1 << 30,
    "heartbeat": 10.0,
    "connect_timeout": 10.0,
    "silence": None,
    "semi_sync": False,
    "reconnect": True,
    "on_failure": None,
    "store": None,
    "save_every": 0.0,
    "blocks": False,
}


def replica_of(*, server: Any = "127.0.0.1", **given: Any) -> Replica:
    return Replica(options_of(server, **{**_GIVEN, **given}))


def connected(replica: Replica, source: Source) -> Any:
    """Have a replica and a session talk until the dump comes; return the session."""
    session = source.session()
    conversation = replica.begin()
    data = session.greet()
    while True:
        conversation.receive(data)
        if conversation.is_over:
            break
        out = conversation.take_out()
        if not out:
            raise ConnectionLostError("the server closed the connection")
        data = session.receive(out)
    rest = session.receive(conversation.take_out())
    replica.streams(conversation)
    replica.packets.feed(rest)
    return session


def read(replica: Replica, sources: Iterable[Source], most: int = 1000) -> list[binlog.Event]:
    """Return all events, over as many connections as it takes, each with the next source."""
    found: list[binlog.Event] = []
    waiting = list(sources)
    for _ in range(most):
        source = waiting[0] if len(waiting) == 1 else waiting.pop(0)
        try:
            session = connected(replica, source)
            while (payload := replica.packets.next()) is not None:
                events = replica.take(payload)
                if events:
                    found += events
                    replica.publish()
                    session.receive(replica.taken())
            raise ConnectionLostError("the server closed the connection")
        except LogEnded:
            return found
        except (binlog.BinlogError, ConnectionLostError) as error:
            replica.failed(error)
    raise AssertionError("the log does not end")


def cuts_of(log: Log) -> list[int]:
    """Return after how many bytes of a dump to cut: about each packet's border, and in between.

    With ``GODROPBOX_EVERY_BYTE`` that is after each one, which takes minutes.
    """
    sizes = [5 + len(data) for data in log.head]
    sizes += [5 + len(data) for _, events in log.transactions for data in events]
    if os.environ.get("GODROPBOX_EVERY_BYTE"):
        return list(range(sum(sizes)))
    borders = [sum(sizes[:count]) for count in range(len(sizes))]
    return sorted({border + more for border in borders for more in (0, 1, 4, 5, 24)})


def rows_of(events: Iterable[binlog.Event]) -> list[tuple[Any, ...]]:
    return [
        (event.kind, event.table, event.gtid, row)
        for event in events
        if isinstance(event, binlog.Rows)
        for row in event.rows
    ]


def of_transactions(events: Iterable[binlog.Event]) -> list[str]:
    """Return what may come once alone, without rows."""
    kinds = (binlog.GtidEvent, binlog.Query, binlog.RowsQuery, binlog.Commit, binlog.Changed)
    return [
        f"{type(e).__name__} {e.type} {getattr(e, 'gtid', '')}"
        for e in events
        if isinstance(e, kinds)
    ]


@pytest.fixture(scope="module")
def logs() -> dict[str, Log]:
    return {name: logged(name) for name in STREAMS}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_read_to_its_end(name: str, logs: dict[str, Log]) -> None:
    source = Source(logs[name])
    replica = replica_of()
    events = read(replica, [source])
    assert len(rows_of(events)) == len(recorded(name).rows())
    assert replica.progress.gtids == source.session()._all()
    assert source.connections == 2  # one of them this test's own


@pytest.mark.parametrize("name", ["m10-comp", "md-simple", "my-simple", "my-zstd"])
def test_cut_at_any_byte_no_event_is_lost_and_none_comes_twice(
    name: str, logs: dict[str, Log]
) -> None:
    log = logs[name]
    # The head, and transactions with several events of rows, in few bytes.
    log = Log(log.head, log.transactions[2:6])
    whole = read(replica_of(), [Source(log)])
    assert len(rows_of(whole)) > 3
    for cut in cuts_of(log):
        replica = replica_of()
        source = Source(log, cuts=[cut, None])
        events = read(replica, [source])
        assert rows_of(events) == rows_of(whole), cut
        assert of_transactions(events) == of_transactions(whole), cut
        assert source.connections == 2


def test_cut_again_and_again_inside_of_one_transaction(logs: dict[str, Log]) -> None:
    """Each connection gets a little further into a transaction than the one before."""
    log = logs["my-simple"]
    gtid, events = max(log.transactions, key=lambda one: len(one[1]))
    log = Log(log.head, [(gtid, events)])
    head = sum(5 + len(data) for data in log.head)
    size = sum(5 + len(data) for data in events)
    source = Source(log, cuts=list(range(head, head + size, 7)))
    found = read(replica_of(), [source])
    assert rows_of(found) == rows_of(read(replica_of(), [Source(log)]))
    assert source.connections == len(source.cuts) + 1
    assert {str(place) for place in source.dumps[1:]} == {str(source.dumps[1])}  # not past it


def test_another_server_may_cut_rows_into_other_events(logs: dict[str, Log]) -> None:
    """What was handed out are rows, not events: a replica of the source groups them anew."""
    whole = read(replica_of(), [Source(logs["md-simple"])])
    event = next(e for e in whole if isinstance(e, binlog.Rows) and len(e.rows) > 2)
    replica = replica_of()
    progress = replica.progress
    begin = binlog.GtidEvent(
        type=162,
        timestamp=1,
        server_id=1,
        position=None,
        gtid=event.gtid,  # type: ignore[arg-type]
    )
    progress.connect()
    assert progress.fresh([begin], False, None) == [begin]
    progress.taken()
    first = replace(event, rows=event.rows[:1])
    assert progress.fresh([first], False, None) == [first]
    progress.taken()
    progress.connect()
    assert progress.fresh([begin], False, None) == []
    progress.taken()
    assert rows_of(progress.fresh([event], False, None)) == rows_of([event])[1:]
    progress.taken()
    progress.connect()
    progress.fresh([begin], False, None)
    for row in event.rows:
        assert progress.fresh([replace(event, rows=[row])], False, None) == []
    progress.connect()
    progress.fresh([begin], False, None)
    commit = binlog.Commit(type=16, timestamp=1, server_id=1, position=None, xid=1, gtid=event.gtid)
    with pytest.raises(binlog.DataError, match="fewer rows"):
        progress.fresh([commit], True, None)


@given(
    name=st.sampled_from(["my-simple", "md-simple", "my-zstd"]),
    flips=st.lists(st.tuples(st.integers(0, 6000), st.integers(1, 255)), min_size=1, max_size=4),
    semi_sync=st.booleans(),
)
@settings(max_examples=int(os.environ.get("GODROPBOX_GARBLED", "150")))
def test_garbled_bytes_end_in_an_error_of_ours_or_do_no_harm(
    name: str, flips: list[tuple[int, int]], semi_sync: bool
) -> None:
    """Whatever a server sends, at any place of login and dump, ends, and in a known way."""
    replica = replica_of(semi_sync=semi_sync)
    session = Source(_log_of(name), semi_sync=semi_sync).session()
    passed = 0

    def garbled(data: bytes) -> bytes:
        nonlocal passed
        changed = bytearray(data)
        for at, mask in flips:
            if passed <= at < passed + len(data):
                changed[at - passed] ^= mask
        passed += len(data)
        return bytes(changed)

    try:
        conversation = replica.begin()
        data = garbled(session.greet())
        while not conversation.is_over:
            conversation.receive(data)
            if conversation.is_over:
                break
            out = conversation.take_out()
            if not out:
                return  # it waits for more, and the driver's deadline ends that
            data = garbled(session.receive(out))
        rest = garbled(session.receive(conversation.take_out()))
        replica.streams(conversation)
        replica.packets.feed(rest)
        while (payload := replica.packets.next()) is not None:
            replica.take(payload)
            replica.publish()
            replica.taken()
    except (binlog.BinlogError, LogEnded):
        pass
    except AssertionError as error:
        # The made-up server itself checks by assertions what reaches it.
        if "fakesources" not in _file_of(error):
            raise


@functools.cache
def _log_of(name: str) -> Log:
    whole = logged(name)
    return Log(whole.head, whole.transactions[2:6])


def _file_of(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename if trace is not None else ""
