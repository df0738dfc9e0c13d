"""``python -m godropbox.binlog``: what it prints of recorded logs, and says of wrong ones."""

import base64
import json
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pymysql
import pytest
from support.binlogs import FOLDER
from support.logservers import LogServer

from godropbox.binlog import main
from godropbox.database import binlog
from godropbox.database.binlog._printing import as_json, as_sql, as_text

FULL = str(FOLDER / "md-types-full.binlog")
SIMPLE = str(FOLDER / "md-simple.binlog")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> list[str]:
    assert main(arguments) == status
    return capsys.readouterr().out.splitlines()


def events_of(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def test_text_has_a_line_for_each_event_and_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, SIMPLE, "--kind", "insert,update")
    with binlog.open(SIMPLE) as events:
        rows = [e for e in events if isinstance(e, binlog.Rows) and e.kind != "delete"]
    assert len(lines) == len(rows) + sum(len(e.rows) for e in rows)
    assert lines[0].split()[0] == f"md-simple.binlog:{rows[0].position.offset}"  # type: ignore[union-attr]
    assert lines[1].startswith("  id=1, name='n552', qty=748751497, ")
    assert any(" -> id=" in line for line in lines)


def test_filters(capsys: pytest.CaptureFixture[str]) -> None:
    everything = events_of(printed(capsys, SIMPLE, "--json"))
    rows = [e for e in everything if e["event"] in ("insert", "update", "delete")]
    gtid = rows[1]["gtid"]
    place = rows[1]["position"]

    def chosen(*arguments: str) -> list[dict[str, Any]]:
        return events_of(printed(capsys, SIMPLE, "--json", *arguments))

    assert chosen("--kind", "insert", "--kind", "UPDATE,delete") == rows
    tables = chosen("--table", "corp.c_*")
    assert [e for e in tables if "rows" in e] == rows
    assert {e["event"] for e in tables} <= {"insert", "update", "delete", "changed"}
    assert chosen("--table", "corp.other", "--table", "x.*") == []
    assert {e["gtid"] for e in chosen("--gtid", f"{gtid},0-9-9")} == {gtid}
    stop = f"{place['file']}:{place['offset']}"
    assert chosen("--stop", stop)[-1]["position"]["offset"] < place["offset"]
    start = chosen("--start", stop)
    assert [e["event"] for e in start[:2]] == ["format", rows[1]["event"]]
    assert chosen("--since", "2100-01-01") == []
    assert chosen("--until", "2000-01-01T00:00:00+02:00") == []
    assert chosen("--since", "1000000000", "--until", "2100-01-01") == everything


VALUES = {
    None: None,
    5: 5,
    "é": "é",
    1.25: 1.25,
    Decimal("1.50"): {"decimal": "1.50"},
    b"\0\xff": {"bytes": "AP8="},
    datetime(2026, 1, 2, 3, 4, 5, 6): {"datetime": "2026-01-02 03:04:05.000006"},
    date(2026, 1, 2): {"date": "2026-01-02"},
    -timedelta(hours=800, microseconds=1): {"time": "-800:00:00.000001"},
    timedelta(0): {"time": "00:00:00"},
    ("a", "b"): {"set": ["a", "b"]},
    UUID(int=1): {"uuid": "00000000-0000-0000-0000-000000000001"},
    binlog.Geometry(4326, b"\1"): {"geometry": {"srid": 4326, "wkb": "AQ=="}},
}
HEAD: Any = {"type": 23, "timestamp": 1, "server_id": 1, "position": None, "gtid": None}


def rows_of(kind: Any, *rows: Any, columns: Any = ("a", "b"), key: Any = ("a",)) -> binlog.Rows:
    return binlog.Rows(
        kind=kind, database="d`b", table="t", columns=columns, rows=list(rows), key=key, **HEAD
    )


def test_json_says_the_type_of_what_json_has_not() -> None:
    event = rows_of("insert", *((value, binlog.ABSENT) for value in VALUES))
    found = json.loads(as_json(event))
    assert [row["a"] for row in found["rows"]] == list(VALUES.values())
    assert all("b" not in row for row in found["rows"])
    document = {"set": [1, Decimal("2.5"), {}], "x": "y"}
    (row,) = json.loads(as_json(rows_of("insert", (document, 1))))["rows"]
    assert row["a"] == {
        "json": {"object": {"set": [1, {"decimal": "2.5"}, {"object": {}}], "x": "y"}}
    }
    unnamed = rows_of("insert", (1, binlog.ABSENT), columns=None)
    assert json.loads(as_json(unnamed))["rows"] == [[1, {"absent": True}]]
    assert list(as_text(unnamed))[1] == "  @1=1"


def test_changes_of_documents_are_told_in_parts() -> None:
    """Where MySQL logs no image before, as by binlog_row_image=MINIMAL."""
    diffs = (
        binlog.JsonDiff("replace", '$."\'"', "x"),
        binlog.JsonDiff("insert", "$.b", {"c": [1.5]}),
        binlog.JsonDiff("insert", "$.d[0]", None),
        binlog.JsonDiff("remove", "$.e", None),
    )
    event = rows_of("update", ((1, binlog.ABSENT), (binlog.ABSENT, diffs)))
    (row,) = json.loads(as_json(event))["rows"]
    assert row == {
        "before": {"a": 1},
        "after": {
            "b": {
                "json_diffs": [
                    ["replace", '$."\'"', "x"],
                    ["insert", "$.b", {"object": {"c": [1.5]}}],
                    ["insert", "$.d[0]", None],
                    ["remove", "$.e", None],
                ]
            }
        },
    }
    assert as_sql(event) == [
        "UPDATE `d``b`.`t` SET `b` = JSON_REMOVE(JSON_ARRAY_INSERT(JSON_INSERT(JSON_REPLACE(`b`, "
        """'$.\\"\\'\\"', CAST('\\"x\\"' AS JSON)), '$.b', CAST('{\\"c\\": [1.5]}' AS JSON)), """
        "'$.d[0]', CAST('null' AS JSON)), '$.e') WHERE `a` <=> 1 LIMIT 1;"
    ]
    with pytest.raises(binlog.MetadataError, match="cannot be restored"):
        as_sql(event, reversed_=True)
    bad = (binlog.JsonDiff("insert", "$.b", Decimal("1.5")),)
    with pytest.raises(binlog.MetadataError, match="values that JSON text has not"):
        as_sql(rows_of("update", ((1, binlog.ABSENT), (binlog.ABSENT, bad))))


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.binlog")))
def test_every_value_of_recorded_logs_has_json(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(printed(capsys, str(FOLDER / name), "--json", "--lenient")) > 10


def test_sql_goes_forward_and_back() -> None:
    update = rows_of("update", ((1, "x"), (1, "y';--")), ((2, None), (3, b"\xff")))
    assert as_sql(update) == [
        "UPDATE `d``b`.`t` SET `b` = 'y\\';--' WHERE `a` <=> 1 LIMIT 1;",
        "UPDATE `d``b`.`t` SET `a` = 3, `b` = X'ff' WHERE `a` <=> 2 LIMIT 1;",
    ]
    assert as_sql(update, reversed_=True)[-1] == (
        "UPDATE `d``b`.`t` SET `b` = 'x' WHERE `a` <=> 1 LIMIT 1;"
    )
    insert, delete = rows_of("insert", (1, "x")), rows_of("delete", (1, "x"), key=None)
    assert as_sql(insert) == as_sql(delete, reversed_=True)
    assert as_sql(insert) == ["INSERT INTO `d``b`.`t` (`a`, `b`) VALUES (1, 'x');"]
    assert as_sql(delete) == ["DELETE FROM `d``b`.`t` WHERE `a` <=> 1 AND `b` <=> 'x' LIMIT 1;"]


@pytest.mark.parametrize(
    ("event", "reversed_", "message"),
    [
        (rows_of("insert", (1, 2), columns=None), False, "columns of .* have no names"),
        (rows_of("delete", (1, binlog.ABSENT)), True, "lack columns"),
        (rows_of("update", ((1, 2), (binlog.ABSENT, 2))), True, "lack columns"),
        (rows_of("delete", (1.5, 2), key=None), False, "cannot be told by a"),
        (rows_of("insert", ({"a": b""}, 2)), False, "a document with values"),
    ],
)
def test_what_cannot_be_said_in_sql_is_an_error(
    event: binlog.Rows, reversed_: bool, message: str
) -> None:
    with pytest.raises(binlog.MetadataError, match=message):
        as_sql(event, reversed_=reversed_)


def test_a_definition_cannot_be_undone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([SIMPLE, "--flashback"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "md-simple.binlog at 415: a statement: DROP TABLE" in said.err
    assert main([SIMPLE, "--flashback", "--kind", "insert,update,delete"]) == 0
    assert "UPDATE" in capsys.readouterr().out


def test_a_statement_of_a_session_is_no_sql() -> None:
    query = binlog.Query(
        database="d", statement="/* x */ INSERT INTO t VALUES (1)", error=0, **HEAD
    )
    with pytest.raises(binlog.MetadataError, match="begins with INSERT depends on the session"):
        as_sql(query)
    trigger = binlog.Query(database="d", statement="CREATE TRIGGER a; $$", error=0, **HEAD)
    assert as_sql(trigger) == [
        "USE `d`;",
        "DELIMITER $$$",
        "CREATE TRIGGER a; $$\n$$$",
        "DELIMITER ;",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([SIMPLE, "--start", "4"], "--start must be a file and an offset"),
        ([SIMPLE, "--table", "users"], "--table must be as database.table, got 'users'"),
        ([SIMPLE, "--gtid", "x"], "--gtid: text must have ids such as 0-1-5"),
        ([SIMPLE, "--position", "0-1-5"], "--position is for a server"),
        ([SIMPLE, "--follow", "--flashback"], "it cannot --follow"),
        ([SIMPLE, "--since", "soon"], "must be as 2026-01-31T12:00:00"),
        ([SIMPLE, "--since", "9", "--until", "9"], "--until must be after --since"),
        (
            [SIMPLE, "--kind", "insert,updates"],
            "query, rotate, rows_query, update, xa_prepare, got",
        ),
        ([SIMPLE, "--kind", ""], "got ''"),
        ([SIMPLE, "--stop", "other.1:4"], "--stop must be in a file of "),
        ([SIMPLE, "--start", "other.1:4"], "got other.1:4"),
        (["mysql://a:secret@b:70000"], "LOG must have a port in [0, 65535], got mysql://a@b:70000"),
        (["http://a@b"], "LOG must be as mysql://user@host:port, got http://a@b"),
        (["mysql://a:secret@b/x"], "nothing behind the port, got mysql://a@b/x"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert "secret" not in said


def test_a_start_behind_the_end_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([SIMPLE, "--start", "md-simple.binlog:9999999"]) == 1
    assert "--start is behind the end of the log, got md-simple.bin" in capsys.readouterr().err


def test_places_are_in_the_order_of_the_files_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["b.9999999", "b.10000000"]
    data = Path(SIMPLE).read_bytes()
    (tmp_path / names[1]).write_bytes(data)
    before, last = data[:8890], data[8890:-4].replace(b"bin.000013", names[1].encode())
    (tmp_path / names[0]).write_bytes(before + last + zlib.crc32(last).to_bytes(4, "little"))
    (tmp_path / "b.index").write_text("".join(f"./{name}\n" for name in names))

    def files(*arguments: str) -> set[str]:
        lines = printed(capsys, str(tmp_path), "--json", "--kind", "insert", *arguments)
        return {event["position"]["file"] for event in events_of(lines)}

    assert files() == {*names}
    assert files("--stop", "b.10000000:4") == {"b.9999999"}
    assert files("--start", "b.10000000:4") == {"b.10000000"}


def test_errors_name_the_file_and_the_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err
    data = bytearray(Path(SIMPLE).read_bytes())
    data[500] ^= 1
    broken = tmp_path / "broken.binlog"
    broken.write_bytes(data)
    assert main([str(broken)]) == 1
    said = capsys.readouterr()
    assert "broken.binlog at 415: the CRC-32" in said.err
    assert "broken.binlog:373" in said.out


def test_a_pipe_that_is_closed_is_no_error() -> None:
    command = [sys.executable, "-m", "godropbox.binlog", FULL, "--lenient", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


# A server


@pytest.fixture(scope="module")
def mariadb() -> Iterator[LogServer]:
    with LogServer("mariadb", 1) as server:
        yield server


def _run(server: LogServer, sql: str) -> None:
    with (
        pymysql.connect(
            unix_socket=server.socket,
            user="root",
            charset="utf8mb4",
            autocommit=True,
            client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS,
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SET sql_log_bin = 0")
        cursor.execute(sql)
        while cursor.nextset():
            pass


def test_what_a_server_logged_is_undone_and_done_again(
    mariadb: LogServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"mysql://root:@127.0.0.1:{mariadb.port}"
    with mariadb.connection() as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(20), b BLOB,"
            " c DECIMAL(10,3), d DATETIME(6), e TIME(3), f DOUBLE, g SET('x','y''z'), h TIMESTAMP,"
            " i BIT(9), j UUID, k POINT, l ENUM('p','q') CHARACTER SET latin1)"
        )
        cursor.execute("SET sql_mode = ''")
        row = (
            "'it''s %s \\\\', x'00ff', -1.5, '2026-01-02 03:04:05.678901', '-12:34:56.789',"
            " 0.1, 'x,y''z', '2026-01-02 03:04:05', b'101', UUID(), POINT(1, 2), 'q'"
        )
        cursor.execute(f"INSERT INTO shop.t VALUES (NULL, {row}), (NULL, {row})")
        cursor.execute("INSERT INTO shop.t (a, d) VALUES (NULL, '0000-00-00')")

        def content() -> Any:
            cursor.execute("SELECT *, HEX(k) FROM shop.t ORDER BY id")
            return cursor.fetchall()

        before = content()
        cursor.execute("SELECT @@global.gtid_binlog_pos")
        place = cursor.fetchone()[0]
        cursor.execute("UPDATE shop.t SET id = id + 10, a = CONCAT(id, 'é'), f = f + 0.1")
        cursor.execute("DELETE FROM shop.t WHERE id = 11")
        cursor.execute("INSERT INTO shop.t (a) VALUES ('new')")
        after = content()
        arguments = (url, "--position", place, "--kind", "insert,update,delete,commit")
        undo = "\n".join(printed(capsys, *arguments, "--flashback"))
        again = "\n".join(printed(capsys, *arguments, "--sql"))
        _run(mariadb, undo)
        assert content() == before
        _run(mariadb, again)
        assert content() == after


@pytest.mark.parametrize("kinds", ["insert,update,delete,commit", "insert,update,delete,query"])
def test_what_was_rolled_back_is_neither_undone_nor_done_again(
    kinds: str, mariadb: LogServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A temporary table, or one of another engine, has MariaDB log what it rolls back."""
    mariadb.execute(
        "CREATE OR REPLACE TABLE shop.kept (id INT PRIMARY KEY, v INT)",
        "CREATE OR REPLACE TABLE shop.other (id INT) ENGINE=MyISAM",
        "INSERT INTO shop.kept VALUES (1, 1), (2, 2)",
    )
    query = "SELECT * FROM shop.kept ORDER BY id"
    [(place,)] = mariadb.execute("SELECT @@global.gtid_binlog_pos")
    temporary = "CREATE TEMPORARY TABLE shop.passing (id INT)"
    gone = "DROP TEMPORARY TABLE shop.passing"
    before = mariadb.execute(query)
    mariadb.execute(
        *("BEGIN", "UPDATE shop.kept SET v = 9", temporary, "ROLLBACK", gone),
        *("BEGIN", "SAVEPOINT a", "UPDATE shop.kept SET v = 8 WHERE id = 1", "SAVEPOINT b"),
        *("DELETE FROM shop.kept WHERE id = 2", temporary, "ROLLBACK TO b"),
        *("INSERT INTO shop.kept VALUES (3, 3)", "COMMIT", gone),
        *("BEGIN", "SAVEPOINT a", "DELETE FROM shop.kept", temporary, "ROLLBACK TO A"),
        *("INSERT INTO shop.kept VALUES (4, 4)", "COMMIT", gone),
        *("BEGIN", "DELETE FROM shop.kept", temporary, "ROLLBACK"),
    )
    after = mariadb.execute(query)
    assert after == [(1, 8), (2, 2), (3, 3), (4, 4)]
    url = f"mysql://root:@127.0.0.1:{mariadb.port}"
    arguments = (url, "--position", place, "--kind", kinds, "--table", "shop.kept")
    assert "DELETE" in "\n".join(printed(capsys, url, "--position", place, "--sql"))
    undo = "\n".join(printed(capsys, *arguments, "--flashback"))
    again = "\n".join(printed(capsys, *arguments, "--sql"))
    _run(mariadb, undo)
    assert mariadb.execute(query) == before
    _run(mariadb, again)
    assert mariadb.execute(query) == after


@pytest.mark.parametrize("what", ["folder", "file"])
def test_it_follows_the_files_of_a_server_that_is_killed(what: str, mariadb: LogServer) -> None:
    mariadb.execute("CREATE OR REPLACE TABLE shop.followed (id INT)", "FLUSH BINARY LOGS")
    last = mariadb.execute("SHOW BINARY LOGS")[-1][0]
    log = mariadb.folder / "data" / (last if what == "file" else "")
    command = [sys.executable, "-m", "godropbox.binlog", str(log), "--json", "--follow"]
    chosen = ["--kind", "insert", "--table", "shop.followed"]
    with subprocess.Popen(
        [*command, *chosen], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for number in range(4):
                mariadb.execute(f"INSERT INTO shop.followed VALUES ({number})")
                assert json.loads(process.stdout.readline())["rows"] == [{"id": number}]
                if number == 0:
                    mariadb.execute("FLUSH BINARY LOGS")
                elif number == 1:
                    mariadb.kill()
                    mariadb.start()
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == b""


def test_it_says_what_a_server_refuses(
    mariadb: LogServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"mysql://nobody:wrong@127.0.0.1:{mariadb.port}"]) == 1
    said = capsys.readouterr().err
    assert "Access denied" in said
    assert "wrong" not in said


def test_base64_is_that_of_the_standard() -> None:
    (row,) = json.loads(as_json(rows_of("insert", (b"\xfb\xff", 1))))["rows"]
    assert base64.b64decode(row["a"]["bytes"]) == b"\xfb\xff"
