"""Random tables and rows on real servers: what the log says is what SELECT says.

On MariaDB, and on MySQL 9.7 and MariaDB 11.8 where ``tests/databases`` unpacked them. A few tables,
always the same, unless ``GODROPBOX_BINLOG_TABLES`` is the number of random ones.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import sqlservers
from support.binlog_tables import Plan, is_selected, plans, selected

from godropbox.database import binlog
from godropbox.database.binlog._charsets import decoder_of
from godropbox.database.binlog._json import apply_diffs

TABLES = int(os.environ.get("GODROPBOX_BINLOG_TABLES", "0"))
_settings = settings(
    max_examples=TABLES or 40,
    derandomize=not TABLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


class Logged:
    """A connection to a server that writes logs; values come as the server writes them."""

    def __init__(self, kind: str) -> None:
        start = sqlservers.logged_mysql if kind == "mysql" else sqlservers.logged_mariadb
        server, self.folder = start()
        self.is_mysql = kind == "mysql"
        self.connection = pymysql.connect(
            unix_socket=server.socket, user="root", charset="utf8mb4", autocommit=True, conv={}
        )
        self.cursor = self.connection.cursor()
        for statement in (
            "SET sql_mode = ''",
            "SET time_zone = '+00:00'",
            "CREATE DATABASE IF NOT EXISTS types CHARACTER SET utf8mb4",
            "USE types",
        ):
            self.cursor.execute(statement)
        self.cursor.execute("SELECT VERSION()")
        [[version]] = self.cursor.fetchall()
        self.kind = kind if kind == "mysql" or version >= "11.7" else "mariadb10"

    def set_up(self, how: "Settings") -> None:
        self.cursor.execute(f"SET SESSION binlog_row_image = {how.image}")
        self.cursor.execute(f"SET GLOBAL binlog_row_metadata = {how.metadata}")
        if self.is_mysql:
            self.cursor.execute(f"SET SESSION binlog_transaction_compression = {how.is_packed}")
            diffs = "PARTIAL_JSON" if how.has_diffs else ""
            self.cursor.execute(f"SET SESSION binlog_row_value_options = '{diffs}'")
        else:
            self.cursor.execute(f"SET GLOBAL log_bin_compress = {how.is_packed}")

    def next_log(self) -> Path:
        """Begin another log, and return the one that ended."""
        self.cursor.execute("SHOW BINARY LOGS")
        last = self.cursor.fetchall()[-1][0]
        self.cursor.execute("FLUSH BINARY LOGS")
        return self.folder / str(last)

    def schema(self, table: binlog.Table) -> list[tuple[str, str, str | None]]:
        self.cursor.execute(
            "SELECT column_name, column_type, character_set_name FROM information_schema.columns "
            f"WHERE table_schema = '{table.database}' AND table_name = '{table.name}' "
            "ORDER BY ordinal_position"
        )
        return [
            (name, kind.decode() if isinstance(kind, bytes) else kind, charset)
            for name, kind, charset in self.cursor.fetchall()
        ]


@pytest.fixture(scope="module", params=sqlservers.mysql_like())
def logged(request: pytest.FixtureRequest) -> Logged:
    return Logged(request.param)


def write(log: Logged, plan: Plan) -> tuple[Path, dict[str, dict[int, list[Any]]]]:
    """Run a plan's statements; return the log of them, and the rows after each kind of them."""
    cursor = log.cursor
    cursor.execute("DROP TABLE IF EXISTS t")
    cursor.execute(plan.create)
    log.next_log()
    cursor.execute(plan.insert)
    after = {"insert": selected(cursor, plan)}
    for statement in plan.changes:
        cursor.execute(statement)
    after["update"] = selected(cursor, plan)
    if plan.deleted:
        cursor.execute(f"DELETE FROM t WHERE id IN ({', '.join(map(str, plan.deleted))})")
    after["delete"] = selected(cursor, plan)
    return log.next_log(), after


def check(log: Logged, plan: Plan, state: dict[int, list[Any]], due: dict[int, list[Any]]) -> None:
    assert state.keys() == due.keys()
    for index, row in state.items():
        for value, text, declared in zip(row, due[index], plan.declared, strict=True):
            assert is_selected(value, text, declared, log.is_mysql), (
                f"{declared}: {value!r}, not {text!r}"
            )


def rows_of(
    log: Logged, path: Path, described: bool, chosen: list[str] | None = None
) -> list[tuple[str, Any]]:
    schema = log.schema if described else None
    columns = None if chosen is None else {"types.t": chosen}
    found: list[tuple[str, Any]] = []
    with binlog.open(
        path, tables=["types.t"], columns=columns, schema=schema, follow=False
    ) as events:
        for event in events:
            assert not isinstance(event, binlog.Changed)
            if isinstance(event, binlog.Rows):
                found += [(event.kind, row) for row in event.rows]
    return found


def changed(value: Any, known: Any, declared: str) -> Any:
    """Return a value after an update, of what its image says and of what was there before."""
    if value is binlog.ABSENT:
        return known
    if isinstance(value, tuple) and declared.startswith("JSON"):
        return apply_diffs(known, value)
    return value


def replay(log: Logged, plan: Plan, rows: list[tuple[str, Any]], after: dict[str, Any]) -> None:
    """Apply a log's rows to an empty table, and hold it to the server's after each kind."""
    state: dict[int, list[Any]] = {}
    last = "insert"

    def split(row: Any) -> tuple[Any, list[Any]]:
        return row[plan.place], [*row[: plan.place], *row[plan.place + 1 :]]

    for kind, row in rows:
        if kind != last:
            check(log, plan, state, after[last])
            last = kind
        if kind == "update":
            key, old = split(row[0])
            _, new = split(row[1])
            kept = state[key]
            for value, known in zip(old, kept, strict=True):
                assert value is binlog.ABSENT or value == known
            state[key] = list(map(changed, new, kept, plan.declared))
        elif kind == "delete":
            del state[split(row)[0]]
        else:
            assert binlog.ABSENT not in row
            key, values = split(row)
            state[key] = values
    check(log, plan, state, after[last])
    check(log, plan, state, after["delete"])


def check_chosen(plan: Plan, whole: Any, chosen: list[str], part: Any) -> None:
    """Hold rows of which some columns were chosen to the whole ones."""
    flags = [name in chosen for name in plan.columns]
    assert len(whole) == len(part)
    for (kind, row), (other, some) in zip(whole, part, strict=True):
        assert kind == other
        pairs = zip(row, some, strict=True) if kind == "update" else [(row, some)]
        for all_of, few in pairs:
            kept = [v if flag else binlog.ABSENT for v, flag in zip(all_of, flags, strict=True)]
            assert few == tuple(kept)


@dataclass(frozen=True)
class Settings:
    """How a server logs."""

    image: str
    metadata: str
    is_packed: bool
    has_diffs: bool


def logging_of(is_mysql: bool) -> st.SearchStrategy[Settings]:
    return st.builds(
        Settings,
        st.sampled_from(["FULL", "MINIMAL", "NOBLOB"]),
        st.sampled_from(["FULL", "MINIMAL"] + ["NO_LOG"] * (not is_mysql)),
        st.booleans(),
        st.booleans() if is_mysql else st.just(False),
    )


def run(log: Logged, plan: Plan, how: Settings, data: st.DataObject) -> None:
    log.set_up(how)
    path, after = write(log, plan)
    described = not log.is_mysql or how.metadata != "FULL"
    rows = rows_of(log, path, described)
    replay(log, plan, rows, after)
    chosen = data.draw(st.lists(st.sampled_from(plan.columns), unique=True))
    check_chosen(plan, rows, chosen, rows_of(log, path, described, chosen))


def test_what_the_log_says_is_what_select_says(logged: Logged) -> None:
    @_settings
    @given(plans(logged.kind), logging_of(logged.is_mysql), st.data())
    def of(plan: Plan, how: Settings, data: st.DataObject) -> None:
        run(logged, plan, how, data)

    of()


SETS = "big5 cp932 eucjpms euckr gb2312 gbk sjis ujis"
# What Python's big5 has, and neither server knows.
LOST = ["a15a", "a1c3", "a1c5", "a1fe", "a240", "a2cc", "a2ce"]


def codes(charset: str) -> Iterator[bytes]:
    """Yield what may be a character of more bytes: some of that, or all in a long run."""
    step = 1 if TABLES else 61
    pairs = [bytes([a, b]) for a in range(0x81, 0xFF) for b in range(0x30, 0xFF)]
    yield from pairs[::step]
    if charset in ("ujis", "eucjpms"):
        yield from [b"\x8f" + code for code in pairs if min(code) > 0xA0][::step]
    if charset == "big5":
        yield from map(bytes.fromhex, LOST)


@pytest.mark.parametrize("charset", SETS.split())
def test_a_character_is_what_the_server_says(charset: str, logged: Logged) -> None:
    decode = decoder_of(charset)
    due = [*codes(charset)]
    for at in range(0, len(due), 400):
        part = due[at : at + 400]
        texts = [f"CONVERT(CAST(x'{code.hex()}' AS BINARY) USING {charset})" for code in part]
        logged.cursor.execute(
            "SELECT " + ", ".join(f"HEX({text}), CONVERT({text} USING utf8mb4)" for text in texts)
        )
        [row] = logged.cursor.fetchall()
        for code, kept, text in zip(part, row[::2], row[1::2], strict=True):
            if kept == code.hex().upper():  # it is one
                assert decode(code).replace("\ufffd", "?") == text.replace("\ufffd", "?"), code
