"""Statements about the session: locks and GTIDs."""

from typing import Any

import pytest
from support.sqltables import t1, t2

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder  # what is wrong on purpose here is wrong for type checkers too


def test_locks() -> None:
    statement = sb.lock_tables().read(t1).write(t2)
    assert statement.sql("db") == "LOCK TABLES `db`.`table1` READ, `db`.`table2` WRITE"
    assert sb.unlock_tables().sql("db") == "UNLOCK TABLES"


def test_gtid_next() -> None:
    sid = bytes.fromhex("3e11fa4771ca11e19e33c80aa9429562")
    assert sb.gtid_next(sid, 23).sql("db") == (
        'SET GTID_NEXT="3e11fa47-71ca-11e1-9e33-c80aa9429562:23"'
    )


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (lambda: sb.lock_tables().sql("db"), ValueError, "LOCK TABLES needs at least one table"),
        (lambda: sb.lock_tables().read(None), TypeError, "table must be a table"),
        (lambda: sb.gtid_next(b"short", 1), ValueError, "sid must be 16 bytes, got 5"),
        (lambda: sb.gtid_next(bytes(17), 1), ValueError, "sid must be 16 bytes, got 17"),
        (lambda: sb.gtid_next("x" * 16, 1), TypeError, "sid must be bytes"),
        (lambda: sb.gtid_next(bytes(16), -1), ValueError, "gno must be an int in"),
        (lambda: sb.gtid_next(bytes(16), 2**64), ValueError, "gno must be an int in"),
        (lambda: sb.gtid_next(bytes(16), "1"), TypeError, "gno must be an int"),
    ],
)
def test_what_may_not_become_sql_is_refused(wrong: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        wrong()
