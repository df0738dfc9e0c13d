"""What is known of databases: how far a replica is, what an error means, which name is none."""

from typing import Any

import pytest

from godropbox.database.sharding import ENGINES, Engine

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
OTHER = "4e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(
    ("engine", "applied", "position", "covers"),
    [
        ("mariadb", "0-1-5", "0-1-5", True),
        ("mariadb", "0-2-6", "0-1-5", True),
        ("mariadb", "0-1-4", "0-1-5", False),
        ("mariadb", "0-1-9,1-1-3", "0-1-5,1-2-4", False),
        ("mariadb", "0-1-9", "0-1-5,1-2-4", False),
        ("mariadb", b"0-1-9", "0-1-5", True),
        ("mariadb", "", "0-1-5", False),
        ("mariadb", "0-1-5", "", False),
        ("mysql", f"{UUID}:1-9", f"{UUID}:1-5", True),
        ("mysql", f"{UUID}:1-4:6-9", f"{UUID}:1-5", False),
        ("mysql", f"{UUID}:1-9,\n{OTHER}:1", f"{OTHER}:1", True),
        ("mysql", f"{UUID}:1-9", f"{OTHER}:1", False),
        ("mysql", f"{UUID.upper()}:1-9:tag:1-3", f"{UUID}:tag:2", True),
        ("mysql", f"{UUID}:1-9", f"{UUID}:tag:2", False),
        ("mysql", f"{UUID}:1-9", "", False),
        ("postgresql", "0/16B3748", "0/16B3748", True),
        ("postgresql", "1/0", "0/FFFFFFFF", True),
        ("postgresql", "0/FFFFFFFF", "1/0", False),
        ("postgresql", None, "1/0", False),
        ("sqlite", "1", "1", False),
    ],
)
def test_how_far_a_replica_is(engine: str, applied: Any, position: Any, covers: bool) -> None:
    assert ENGINES[engine].covers(applied, position) is covers


@pytest.mark.parametrize("engine", ["mariadb", "mysql"])
@pytest.mark.parametrize(
    "position",
    ["x", "0-1", "1' OR '1", 5, f"{UUID}:1-2');--", "uuid:1", f"{UUID}:x') UNION SELECT 1 -- :tag"],
)
def test_what_is_no_position(engine: str, position: Any) -> None:
    with pytest.raises(ValueError, match="a position must be GTIDs"):
        ENGINES[engine].waiting(position, 1.0)


def test_waiting() -> None:
    assert ENGINES["mariadb"].waiting("0-1-5", 0) == "SELECT MASTER_GTID_WAIT('0-1-5', 0.001)"
    wanted = f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{UUID}:1-5', 0.500)"
    assert ENGINES["mysql"].waiting(f"{UUID}:1-5", 0.5) == wanted
    assert ENGINES["postgresql"].waiting("0/1", 1.0) is None
    assert [ENGINES["mysql"].has_waited(value) for value in (0, 1, -1, None)] == [
        True,
        False,
        False,
        False,
    ]


class OperationalError(Exception):
    sqlstate: str | None = None


class PostgresError(Exception):
    sqlstate = "23505"


def test_what_errors_mean() -> None:
    postgres = ENGINES["postgresql"]
    assert postgres.is_lost(OperationalError("the connection is closed"))
    refused = OperationalError("deadlock")
    refused.sqlstate = "40P01"
    assert not postgres.is_lost(refused)
    assert postgres.code(refused) == "40P01"
    shut = OperationalError("terminating connection")
    shut.sqlstate = "57P01"
    assert postgres.is_lost(shut)
    assert postgres.is_conflict(PostgresError())
    assert ENGINES["mysql"].is_lost(ConnectionResetError())
    assert not ENGINES["sqlite"].is_lost(OperationalError("database is locked"))
    assert ENGINES["mysql"].code(OperationalError()) is None
    # PyMySQL's errors have both since 1.2.
    both = OperationalError(1290, "running with --read-only")
    both.sqlstate = "HY000"
    assert ENGINES["mariadb"].code(both) == 1290
    assert ENGINES["mariadb"].is_read_only(both)


def test_engines_are_values() -> None:
    assert isinstance(ENGINES["asyncpg"], Engine)
    assert ENGINES["asyncpg"].paramstyle == "numeric_dollar"
    assert ENGINES["mysql"] == ENGINES["mysql"]
    with pytest.raises(TypeError):
        ENGINES["x"] = ENGINES["mysql"]  # type: ignore[index]
