"""Streams of real servers: MariaDB here, and what ``tests/databases`` unpacks, MySQL among it."""

# ruff: noqa: SIM117  # what raises stands inside of what it is connected to

import contextlib
import os
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.faultproxy import Fault, FaultProxy
from support.logservers import LogServer, has_tls_by_itself
from support.streams import KINDS, connect

from godropbox.database import binlog

SERVERS = ["mariadb", *(["mysql"] if os.environ.get("GODROPBOX_MYSQL") else [])]
# How often each thing is done. From 10 on it is also done over uvloop, and fails over twice.
ROUNDS = int(os.environ.get("GODROPBOX_BINLOG_ROUNDS", "3"))
IS_LONG = ROUNDS >= 10
FORMS = KINDS if IS_LONG else KINDS[:2]


@pytest.fixture(scope="module", params=SERVERS)
def source(request: pytest.FixtureRequest) -> Iterator[LogServer]:
    options = ["--log-slave-updates"] if request.param == "mariadb" else []
    with LogServer(request.param, 1, *options) as server:
        server.execute("CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(20) CHARSET utf8mb4)")
        yield server


@pytest.fixture
def ids(source: LogServer) -> Iterator[Any]:
    """Numbers of rows that no other test has."""
    [(last,)] = source.execute("SELECT COALESCE(MAX(id), 0) FROM shop.t")
    return iter(range(last + 1, last + 1_000_000))


def given(server: LogServer, **more: Any) -> dict[str, Any]:
    return {"password": server.password, "position": "now", "lenient": False, **more}


def rows_of(events: Any) -> list[Any]:
    return [row for e in events if isinstance(e, binlog.Rows) for row in e.rows]


def until_row(events: Any, number: int) -> list[Any]:
    """Return the rows up to the end of the transaction that has the row of this number."""
    found: list[Any] = []
    for event in events:
        if isinstance(event, binlog.Rows):
            found += event.rows
        elif isinstance(event, binlog.Commit) and number in [row[0] for row in found]:
            return found
    return found


def insert(server: LogServer, *numbers: int) -> None:
    """Insert rows, all in one transaction, each by a statement of its own."""
    server.execute(
        "BEGIN", *(f"INSERT INTO shop.t VALUES ({n}, 'row {n}')" for n in numbers), "COMMIT"
    )


def expected(numbers: list[int]) -> list[Any]:
    return [(n, f"row {n}") for n in numbers]


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("how", ["tcp", "unix"])
def test_rows_come_as_they_are_committed(
    kind: str, how: str, source: LogServer, ids: Iterator[int]
) -> None:
    server: Any = source.socket if how == "unix" else ("127.0.0.1", source.port)
    if how == "tcp" and not source.is_mariadb:
        with connect(kind, source.socket, **given(source)):
            pass  # so that the server knows the password, which plain TCP must not carry
    with connect(kind, server, **given(source)) as events:
        for _ in range(ROUNDS):
            numbers = [next(ids), next(ids)]
            insert(source, *numbers)
            assert until_row(events, numbers[-1]) == expected(numbers)
        assert isinstance(events.resume, binlog.Position)


@pytest.mark.parametrize("kind", FORMS)
def test_without_waiting_the_end_of_the_log_is_the_end(
    kind: str, source: LogServer, ids: Iterator[int]
) -> None:
    number = next(ids)
    insert(source, number)
    with connect(kind, source.socket, **given(source, position="start", blocks=False)) as events:
        rows = rows_of(events)
        assert rows[-1:] == expected([number])
        count = len(rows)
        gtids, resume = events.gtids, events.resume
    assert [(count,)] == source.execute("SELECT COUNT(*) FROM shop.t")
    for place in (gtids, resume):
        number = next(ids)
        insert(source, number)
        with connect(kind, source.socket, **given(source, position=place, blocks=False)) as events:
            assert rows_of(events)[-1] == expected([number])[0]
            assert events.gtids is not None or place is resume


@pytest.mark.parametrize("kind", FORMS)
def test_cut_off_again_and_again(kind: str, source: LogServer, ids: Iterator[int]) -> None:
    """Each connection ends some bytes later than the one before, inside of transactions too."""
    if not source.is_mariadb:
        with connect(kind, source.socket, **given(source)):
            pass  # so that the server knows the password, which plain TCP must not carry
    failures: list[Exception] = []

    def next_cut(error: Exception) -> None:
        failures.append(error)
        proxy.fault = Fault("truncate", proxy.fault.after + 61)

    with FaultProxy(("127.0.0.1", source.port)) as proxy:
        how = given(source, on_failure=next_cut, heartbeat=0.5, silence=20)
        with connect(kind, [proxy.address] * 100, **how) as events:
            proxy.fault = Fault("truncate", 300)
            source.kill_readers()
            numbers = [next(ids) for _ in range(3 * ROUNDS)]
            for at in range(0, len(numbers), 3):
                insert(source, *numbers[at : at + 3])
            assert until_row(events, numbers[-1]) == expected(numbers)
    assert len(failures) > 10


@pytest.mark.parametrize("kind", FORMS)
def test_the_server_dies_and_comes_back(
    kind: str, source: LogServer, ids: Iterator[int], tmp_path: Path
) -> None:
    store = binlog.FilePositions(tmp_path / "place")
    numbers = [next(ids) for _ in range(4)]
    stores = given(source, store=store, save_every=0, heartbeat=0.2, silence=20)
    with connect(kind, source.socket, **stores) as events:
        insert(source, numbers[0])
        found = until_row(events, numbers[0])
        events.save()
        insert(source, numbers[1])
        source.kill()
        source.start()
        insert(source, numbers[2])
        found += until_row(events, numbers[2])
    # The last of it was not saved, so it comes again; what is new comes behind it.
    insert(source, numbers[3])
    with connect(kind, source.socket, **stores) as events:
        again = until_row(events, numbers[3])
    assert found == expected(numbers[:3])
    assert again in (expected(numbers[2:]), expected(numbers[3:]))


@pytest.mark.parametrize("kind", FORMS)
def test_positions_that_are_lost(kind: str, source: LogServer, ids: Iterator[int]) -> None:
    number = next(ids)
    with connect(kind, source.socket, **given(source)) as events:
        insert(source, number)
        until_row(events, number)
        gtids, resume = events.gtids, events.resume
    assert resume is not None
    insert(source, next(ids))
    source.execute("FLUSH BINARY LOGS")
    insert(source, next(ids))
    last = source.execute("SHOW BINARY LOGS")[-1][0]
    # A log that a reader is still at is not purged.
    purge = f"PURGE BINARY LOGS TO '{last}'"
    wait_until(lambda: len(source.execute(purge, "SHOW BINARY LOGS")) == 1)
    ahead: Any = binlog.MariaDBGtidSet.parse("0-1-999999")
    if not source.is_mariadb:
        uuid = source.execute("SELECT @@server_uuid")[0][0]
        ahead = binlog.GtidSet.parse(f"{uuid}:1-999999,11111111-1111-1111-1111-111111111111:1-5")
    behind = binlog.Position(resume.file, 1 << 31)
    unknown = binlog.Position("nothing.000001", 4)
    for place in (gtids, resume, ahead, behind, unknown):
        with pytest.raises(binlog.PositionLost) as caught:
            with connect(kind, source.socket, **given(source, position=place)) as events:
                next(event for event in events if not isinstance(event, binlog.Rotate))
        assert f"unix:{source.socket}" in str(caught.value)


@pytest.mark.parametrize("kind", FORMS if IS_LONG else FORMS[1:])
def test_a_replica_takes_over(kind: str, source: LogServer, ids: Iterator[int]) -> None:
    """The reader is inside of a transaction when its server dies; the other has the rest of it."""
    options = ["--log-slave-updates"] if source.is_mariadb else []
    with LogServer(source.kind, 2, *options) as other:
        follow(other, source)
        numbers = [next(ids) for _ in range(6)]
        servers = [source.socket, other.socket]
        with connect(kind, servers, **given(source, heartbeat=0.5, silence=20)) as events:
            insert(source, *numbers[:3])
            wait_until(lambda: other.execute(f"SELECT * FROM shop.t WHERE id={numbers[2]}"))
            found: list[Any] = []
            while len(found) < 2:
                event = next(events)
                found += event.rows if isinstance(event, binlog.Rows) else []
            source.kill()
            try:
                other.execute("STOP SLAVE" if source.is_mariadb else "STOP REPLICA")
                insert(other, *numbers[3:])
                found += until_row(events, numbers[5])
                assert found == expected(numbers)
            finally:
                source.start()


def follow(other: LogServer, source: LogServer) -> None:
    """Have a server replicate another one, from the beginning of what is left of its log."""
    who = f"MASTER_HOST='127.0.0.1', MASTER_PORT={source.port}, MASTER_USER='reader', "
    who += f"MASTER_PASSWORD='{source.password.replace(chr(39), chr(39) * 2)}'"
    if source.is_mariadb:
        [(pos,)] = source.execute("SELECT @@gtid_binlog_pos")
        other.execute(
            "RESET MASTER",
            f"SET GLOBAL gtid_slave_pos='{pos}'",
            "CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(20) CHARSET utf8mb4)",
            "RESET MASTER",
            f"SET GLOBAL gtid_slave_pos='{pos}'",
            f"CHANGE MASTER TO {who}, MASTER_USE_GTID=slave_pos",
            "START SLAVE",
        )
        return
    [(pos,)] = source.execute("SELECT @@global.gtid_executed")
    other.execute(
        "CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(20) CHARSET utf8mb4)",
        "RESET BINARY LOGS AND GTIDS",
        f"SET GLOBAL gtid_purged='{pos}'",
        f"CHANGE REPLICATION SOURCE TO {who.replace('MASTER_', 'SOURCE_')}, "
        "SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1",
        "START REPLICA",
    )


def wait_until(found: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            if found():
                return
        time.sleep(0.05)
    raise AssertionError("it does not come")


@pytest.mark.parametrize("kind", FORMS)
def test_a_commit_waits_until_its_transaction_was_taken(
    kind: str, source: LogServer, ids: Iterator[int]
) -> None:
    switch, status = semi_sync(source)
    source.execute(f"SET GLOBAL {switch}_enabled=ON", f"SET GLOBAL {switch}_timeout=60000")
    before = source.execute(f"SHOW GLOBAL STATUS LIKE '{status}_no_tx'")[0][1]
    try:
        with connect(kind, source.socket, **given(source, semi_sync=True)) as events:
            first, *others = [next(ids) for _ in range(ROUNDS)]
            committing = threading.Thread(target=insert, args=(source, first))
            committing.start()
            assert until_row(events, first) == expected([first])
            for number in others:
                committing.join(0.1)
                assert committing.is_alive()  # the reader is still at work on its transaction
                following = threading.Thread(target=insert, args=(source, number))
                following.start()
                assert until_row(events, number) == expected([number])
                committing.join(30)
                assert not committing.is_alive()
                committing = following
            # No transaction was one that nobody waited for.
            rows = source.execute(f"SHOW GLOBAL STATUS LIKE '{status}_no_tx'")
            assert rows[0][1] == before
    finally:
        source.execute(f"SET GLOBAL {switch}_enabled=OFF")
    committing.join(30)  # which is released, as nobody is to be waited for


def semi_sync(source: LogServer) -> tuple[str, str]:
    """Return how the settings and the counters of semi-sync begin; MySQL has it in a plugin."""
    if source.is_mariadb:
        return "rpl_semi_sync_master", "Rpl_semi_sync_master"
    plugins = [row[0] for row in source.execute("SHOW PLUGINS")]
    if "rpl_semi_sync_source" not in plugins:
        source.execute("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
    return "rpl_semi_sync_source", "Rpl_semi_sync_source"


def test_a_certificate_that_the_password_vouches_for(source: LogServer, ids: Iterator[int]) -> None:
    address = f"127.0.0.1:{source.port}"
    if not has_tls_by_itself(source):
        with pytest.raises(binlog.ServerError, match=r"no TLS|does not vouch|mysql_native|needs"):
            connect("threads", address, **given(source, tls="password"))
        return
    number = next(ids)
    for kind in FORMS:
        with connect(kind, address, **given(source, tls="password")) as events:
            number = next(ids)
            insert(source, number)
            assert until_row(events, number) == expected([number])
    with pytest.raises(binlog.ServerError, match="not trusted"):
        connect("threads", address, **given(source, tls=ssl.create_default_context()))


def test_the_certificate_and_the_key_of_mysql(source: LogServer, ids: Iterator[int]) -> None:
    if source.is_mariadb:
        return  # it has neither in its folder
    data = Path(f"{source.folder}/data")
    trusts = ssl.create_default_context(cafile=str(data / "ca.pem"))
    trusts.check_hostname = False  # MySQL's certificates name no host
    ways: list[dict[str, Any]] = [
        {"tls": trusts},
        {"public_key": "ask"},
        {"public_key": (data / "public_key.pem").read_bytes()},
    ]
    for kind in FORMS:
        for way in ways:
            source.execute("FLUSH PRIVILEGES")  # the server forgets the passwords it knows
            address = f"127.0.0.1:{source.port}"
            with connect(kind, address, **given(source, **way)) as events:
                number = next(ids)
                insert(source, number)
                assert until_row(events, number) == expected([number])


@pytest.mark.parametrize("kind", FORMS)
def test_a_row_of_more_than_sixteen_megabytes(
    kind: str, source: LogServer, ids: Iterator[int]
) -> None:
    source.execute("CREATE TABLE IF NOT EXISTS shop.large (id INT PRIMARY KEY, v LONGBLOB)")
    number = next(ids)
    with connect(kind, source.socket, **given(source, tables=["shop.large"])) as events:
        source.execute(
            f"REPLACE INTO shop.large VALUES ({number}, REPEAT('x', 17000000))",
            f"DELETE FROM shop.large WHERE id={number}",
        )
        for event in events:
            if isinstance(event, binlog.Rows):
                assert event.rows == [(number, b"x" * 17_000_000)]
                break
