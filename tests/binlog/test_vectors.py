"""Recorded logs of MySQL and MariaDB: every row is what SELECT gave."""

import pytest
from support.binlogs import (
    NAMES,
    STREAMS,
    Feed,
    check_rows,
    one_byte_at_a_time,
    recorded,
    stream,
    whole,
)

from godropbox.database import binlog


@pytest.mark.parametrize("feed", [whole, one_byte_at_a_time])
@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_what_select_gave(name: str, feed: Feed) -> None:
    log = recorded(name)
    parser = binlog.BinlogParser(name, schema=log.schema)
    images = "image" in name or "nodup" in name or "partial" in name
    assert check_rows(log, feed(parser, log.data), images)


@pytest.mark.parametrize("name", [name for name in NAMES if "full" in name])
def test_a_log_with_full_metadata_needs_no_schema(name: str) -> None:
    log = recorded(name)
    parser = binlog.BinlogParser(name, schema=None)
    described = binlog.BinlogParser(name, schema=log.schema)
    with_schema = [event for event in described.feed(log.data) if isinstance(event, binlog.Rows)]
    rows = [event for event in parser.feed(log.data) if isinstance(event, binlog.Rows)]
    assert len(rows) == len(with_schema) > 5
    for event, other in zip(rows, with_schema, strict=True):
        assert event.columns == other.columns
        if name.startswith("my-"):  # MariaDB's UUID, INET and VECTOR are known to a schema alone
            assert event.rows == other.rows


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_has_the_rows_of_the_file(name: str) -> None:
    log = recorded(name)
    parser = binlog.BinlogParser(schema=log.schema)
    events = [event for data in stream(name) for event in parser.feed_event(data)]
    assert check_rows(log, events, False)
    file = binlog.BinlogParser(schema=log.schema)
    file.feed(log.data)
    assert str(parser.gtids) == str(file.gtids)


@pytest.mark.parametrize("name", NAMES)
def test_gtids_are_those_of_the_server(name: str) -> None:
    log = recorded(name)
    parser = binlog.BinlogParser(name, schema=log.schema)
    parser.feed(log.data)
    told = next(event["gtid_after"] for event in reversed(log.events) if "gtid_after" in event)
    if log.is_mysql:
        expected = binlog.GtidSet.parse(told)
        assert isinstance(parser.gtids, binlog.GtidSet)
        assert parser.gtids | expected == parser.gtids  # later DDL may have added some
    else:
        assert isinstance(parser.gtids, binlog.MariaDBGtidSet)
        for gtid in binlog.MariaDBGtidSet.parse(told):
            assert gtid in parser.gtids


@pytest.mark.parametrize("name", NAMES)
def test_reading_goes_on_from_the_end_of_any_transaction(name: str) -> None:
    """Rows from a resumed place on are the last ones of the whole log, none twice and none lost."""
    log = recorded(name)
    parser = binlog.BinlogParser(name, schema=log.schema)
    rows, places = [], []
    first = 4 + int.from_bytes(log.data[13:17], "little")  # behind the FORMAT_DESCRIPTION
    for at in range(0, len(log.data), 200):
        events = parser.feed(log.data[at : at + 200])
        rows += [row for event in events if isinstance(event, binlog.Rows) for row in event.rows]
        if parser.resume is not None and parser.resume.file == name:
            places.append((parser.resume.offset, parser.resume))
    for offset in {offset for offset, _ in places}:
        again = binlog.BinlogParser(name, schema=log.schema)
        again.feed(log.data[:first])
        left = again.feed(log.data[offset:])
        found = [row for event in left if isinstance(event, binlog.Rows) for row in event.rows]
        assert found == rows[len(rows) - len(found) :]
    assert places


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_columns_that_nobody_chose_are_absent_and_the_others_as_ever(name: str, first: int) -> None:
    log = recorded(name)
    tables: dict[str, set[str]] = {}  # columns that a table has in all of the log
    for event in binlog.BinlogParser(name, schema=log.schema).feed(log.data):
        if isinstance(event, binlog.Rows) and event.columns is not None:
            chosen = set(event.columns[first::2])
            tables.setdefault(f"{event.database}.{event.table}", chosen).intersection_update(
                event.columns
            )
    parsers = [
        binlog.BinlogParser(name, schema=log.schema, columns=columns) for columns in ({}, tables)
    ]
    count = 0
    for event, part in zip(*(parser.feed(log.data) for parser in parsers), strict=True):
        if not isinstance(event, binlog.Rows):
            continue
        assert isinstance(part, binlog.Rows)
        assert event.columns is not None
        chosen = tables[f"{event.database}.{event.table}"]
        flags = [column in chosen for column in event.columns]
        for row, some in zip(event.rows, part.rows, strict=True):
            images = zip(row, some, strict=True) if event.kind == "update" else [(row, some)]
            for values, found in images:
                pairs = zip(values, flags, strict=True)
                kept = [value if flag else binlog.ABSENT for value, flag in pairs]
                assert repr(found) == repr(tuple(kept))
                count += 1
    assert count
