"""Columns from ``information_schema``: types that a log lacks, and tables that changed since."""

from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

import pytest
from support.logservers import LogServer

from godropbox.database import binlog


@pytest.fixture(scope="module")
def mariadb() -> Iterator[LogServer]:
    with LogServer("mariadb", 1, "--binlog-row-metadata=NO_LOG") as server:  # its default
        yield server


@pytest.fixture
def cursor(mariadb: LogServer) -> Iterator[Any]:
    with mariadb.connection() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS shop")
        cursor.execute("CREATE DATABASE shop")
        yield cursor


def place_of(cursor: Any) -> binlog.MariaDBGtidSet:
    cursor.execute("SELECT @@global.gtid_binlog_pos")
    return binlog.MariaDBGtidSet.parse(cursor.fetchone()[0])


def rows_of(server: LogServer, place: Any, schema: Any, **options: Any) -> list[binlog.Rows]:
    with binlog.connect(
        server.socket, user="root", position=place, blocks=False, schema=schema, **options
    ) as events:
        return [event for event in events if isinstance(event, binlog.Rows)]


def test_names_signs_sets_and_types_that_a_log_lacks(mariadb: LogServer, cursor: Any) -> None:
    cursor.execute(
        "CREATE TABLE shop.t (a INT UNSIGNED, b VARCHAR(9) CHARACTER SET latin1, c UUID, d INET4,"
        " e INET6, f SET('x','y'), g ENUM('p','q''r'), h BINARY(4), i JSON, j TINYINT)"
    )
    place = place_of(cursor)
    cursor.execute(
        "INSERT INTO shop.t VALUES (4294967295, 'é', '00112233-4455-6677-8899-aabbccddee00',"
        " '10.0.0.0', '::', 'x,y', 'q''r', 'ab', '{}', -1)"
    )
    with pytest.raises(binlog.MetadataError, match="the log does not say"):
        rows_of(mariadb, place, None)
    for source in (cursor, cursor.connection):
        (event,) = rows_of(mariadb, place, binlog.InformationSchema(source))
        assert event.columns == tuple("abcdefghij")
        assert event.rows == [
            (
                2**32 - 1,
                "é",
                UUID("00112233-4455-6677-8899-aabbccddee00"),
                IPv4Address("10.0.0.0"),
                IPv6Address("::"),
                ("x", "y"),
                "q'r",
                b"ab\0\0",
                "{}",
                -1,
            )
        ]


@pytest.mark.parametrize("metadata", ["NO_LOG", "FULL"])
def test_system_versions_have_columns_that_the_server_does_not_list(
    mariadb: LogServer, cursor: Any, metadata: str
) -> None:
    place = place_of(cursor)
    cursor.execute("SET @usual = @@global.binlog_row_metadata")
    cursor.execute(f"SET GLOBAL binlog_row_metadata = {metadata}")
    try:
        cursor.execute("CREATE TABLE shop.t (id INT PRIMARY KEY, a INT) WITH SYSTEM VERSIONING")
        cursor.execute("SET timestamp = 1800000000.5")
        cursor.execute("INSERT INTO shop.t VALUES (1, 2)")
        cursor.execute("UPDATE shop.t SET a = 3")
        cursor.execute(
            "CREATE TABLE shop.own (id INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, e"
            " TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e))"
            " WITH SYSTEM VERSIONING"
        )
        cursor.execute("INSERT INTO shop.own (id) VALUES (1)")
        schema = binlog.InformationSchema(cursor, tolerance=1e12)
        first, *others, own = rows_of(mariadb, place, schema)
        assert own.columns == ("id", "s", "e")
        for event in (first, *others):
            assert event.columns == ("id", "a", "row_start", "row_end")
        (row,) = first.rows
        assert row[:3] == (1, 2, datetime.fromtimestamp(1800000000.5, UTC))
        columns = {"shop.t": [("id", "int(11)", None), ("a", "int(11)", None)]}
        plain = {"shop.own": [(name, kind, None) for name, kind in OWN]} | columns

        def told(table: binlog.Table) -> Any:
            return plain[f"{table.database}.{table.name}"]

        if metadata == "FULL":
            assert rows_of(mariadb, place, told)[0].columns == first.columns
        else:
            with pytest.raises(binlog.MetadataError, match="or the schema leaves columns out"):
                rows_of(mariadb, place, told)
    finally:
        cursor.execute("SET GLOBAL binlog_row_metadata = @usual")


OWN = (("id", "int(11)"), ("s", "timestamp(6)"), ("e", "timestamp(6)"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("ALTER TABLE shop.t ADD c INT", "has 2 columns in the log, and 3 in the schema"),
        ("ALTER TABLE shop.t MODIFY b VARCHAR(9)", "it was changed after the event was written"),
        ("DROP TABLE shop.t", "is not on the server: it was dropped after"),
        (
            "ALTER TABLE shop.t RENAME COLUMN b TO c",
            "was read from the server after it was changed",
        ),
    ],
)
def test_a_table_that_was_changed_since_is_an_error(
    mariadb: LogServer, cursor: Any, change: str, message: str
) -> None:
    cursor.execute("CREATE TABLE shop.t (a INT, b INT)")
    place = place_of(cursor)
    cursor.execute("INSERT INTO shop.t VALUES (1, 2)")
    cursor.execute(change)
    schema = binlog.InformationSchema(mariadb.connection)
    with pytest.raises(binlog.MetadataError, match=message):
        rows_of(mariadb, place, schema)
    schema.close()


def test_a_table_that_is_changed_while_it_is_followed_is_asked_for_again(
    mariadb: LogServer, cursor: Any
) -> None:
    cursor.execute("CREATE TABLE shop.t (a INT, b INT)")
    cursor.execute("CREATE TABLE shop.u (a INT)")
    schema = binlog.InformationSchema(mariadb.connection)
    found = []
    with binlog.connect(mariadb.socket, user="root", schema=schema) as events:
        steps = iter(
            [
                "ALTER TABLE shop.t RENAME COLUMN b TO c",
                "INSERT INTO shop.t VALUES (3, 4)",
                "CREATE TABLE IF NOT EXISTS shop.t (z INT)",  # which does nothing
                "RENAME TABLE shop.t TO shop.v, shop.u TO shop.t",
                "INSERT INTO shop.t VALUES (5)",
            ]
        )
        cursor.execute("INSERT INTO shop.t VALUES (1, 2)")
        for event in events:
            if isinstance(event, binlog.Rows):
                found.append((event.columns, event.rows))
            if isinstance(event, (binlog.Commit, binlog.Query)):
                step = next(steps, None)
                if step is None:
                    break
                cursor.execute(step)
                if "IF NOT EXISTS" in step:
                    cursor.execute(next(steps))
    schema.close()
    assert found == [
        (("a", "b"), [(1, 2)]),
        (("a", "c"), [(3, 4)]),
        (("a",), [(5,)]),
    ]


def test_a_table_that_was_made_much_later_is_an_error(mariadb: LogServer, cursor: Any) -> None:
    cursor.execute("CREATE TABLE shop.t (a INT)")
    place = place_of(cursor)
    cursor.execute("SET timestamp = 1000000000")
    cursor.execute("INSERT INTO shop.t VALUES (1)")
    schema = binlog.InformationSchema(mariadb.connection)
    with pytest.raises(
        binlog.MetadataError, match=r"was made or altered .* seconds after the event"
    ):
        rows_of(mariadb, place, schema)
    schema.close()
    patient = binlog.InformationSchema(cursor, tolerance=1e12)
    assert len(rows_of(mariadb, place, patient)) == 1


@pytest.mark.parametrize("source", [None, 5, "db"])
def test_a_source_is_a_cursor_a_connection_or_a_function(source: Any) -> None:
    with pytest.raises(TypeError, match="source must be a cursor, a connection, or a function"):
        binlog.InformationSchema(source)


@pytest.mark.parametrize("tolerance", [-1, float("inf"), float("nan")])
def test_a_tolerance_is_seconds(tolerance: float) -> None:
    with pytest.raises(ValueError, match=r"tolerance must be in \[0, inf\) seconds"):
        binlog.InformationSchema(print, tolerance=tolerance)
