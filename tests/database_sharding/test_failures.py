"""Connections that die, hosts that are away: what is tried again, what is not, what is closed."""

import asyncio
import pickle
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.sqlshards import FakeConnection, FakeDriver, SqliteHosts, f, files, layout_of

from godropbox.database import sharding
from godropbox.database.sharding import ENGINES, ShardRouter
from godropbox.database.sharding._statements import kind_of
from godropbox.database.sharding.aio import AsyncShardRouter
from godropbox.errors import ConnectionLostError, ServerError
from godropbox.resource_pool import PoolExhaustedError

READ = files.select(f.id)
WRITE = files.update().values(name="x").all_rows()
KEY = next(key for key in range(100) if layout_of().shard_of(key) == 1)
GONE = (2013, "Lost connection to MySQL server during query")


def routed(driver: FakeDriver, engine: str = "mysql", **options: Any) -> ShardRouter:
    return ShardRouter(layout_of(), driver.connect, engine, **options)


def lost_once(driver: FakeDriver, word: str) -> None:
    """Have the first statement with `word` fail as where the server has gone away."""
    left = [driver.OperationalError(*GONE)]

    def answer(host: str, text: str) -> Any:
        if word in text and left:
            raise left.pop()
        return [(host,)]

    driver.answer = answer


def test_a_read_is_tried_once_more_on_a_pooled_connection() -> None:
    driver = FakeDriver()
    with routed(driver) as router:
        router.fetch(READ, KEY)
        lost_once(driver, "SELECT")
        assert router.fetch(READ, KEY) == [("a",)]
        assert (driver.opened, driver.closed) == (["a", "a"], ["a"])
        assert router.stats()["a"].active == 0


def test_a_read_is_not_tried_again_on_a_new_connection() -> None:
    driver = FakeDriver()
    lost_once(driver, "SELECT")
    with routed(driver) as router:
        with pytest.raises(sharding.HostLostError, match=r"^the connection was lost during SELECT"):
            router.fetch(READ, KEY)
        assert driver.opened == driver.closed == ["a"]


def test_a_read_is_tried_only_once_more() -> None:
    driver = FakeDriver()
    with routed(driver) as router:
        router.fetch(READ, KEY)

        def answer(host: str, text: str) -> Any:
            raise driver.OperationalError(*GONE)

        driver.answer = answer
        with pytest.raises(sharding.HostLostError):
            router.fetch(READ, KEY)
        assert len(driver.log) == 3


def test_a_write_is_never_tried_again() -> None:
    driver = FakeDriver()
    with routed(driver) as router:
        router.fetch(READ, KEY)
        lost_once(driver, "UPDATE")
        with pytest.raises(sharding.HostLostError, match="whether it was done is not known") as e:
            router.execute(WRITE, KEY)
        assert e.value.maybe_done
        assert isinstance(e.value, ConnectionLostError)
        assert len([text for text in driver.texts() if "UPDATE" in text]) == 1


def test_a_write_that_was_not_sent_says_so() -> None:
    driver = FakeDriver()
    driver.refused.add("a")
    with routed(driver) as router:
        with pytest.raises(
            sharding.HostLostError, match=r"was not sent: no connection to a \(Conn"
        ) as e:
            router.execute(WRITE, KEY)
        assert not e.value.maybe_done
        with (
            pytest.raises(sharding.HostLostError, match=r"^BEGIN on shard 1"),
            router.transaction(KEY),
        ):
            pass


@pytest.mark.parametrize(
    ("code", "kept", "kind"),
    [
        (1062, True, sharding.ConstraintError),
        (1213, False, sharding.StatementError),
        (1290, False, sharding.ReadOnlyHostError),
        (1836, False, sharding.ReadOnlyHostError),
        (3024, False, sharding.StatementTimeoutError),
        (2006, False, sharding.HostLostError),
        (0, False, sharding.HostLostError),
    ],
)
def test_what_a_code_means(code: int, kept: bool, kind: type[Exception]) -> None:
    driver = FakeDriver()

    def answer(host: str, text: str) -> Any:
        raised = driver.IntegrityError if code == 1062 else driver.OperationalError
        raise raised(code, "running with --read-only, it says")

    driver.answer = answer
    with routed(driver) as router:
        with pytest.raises(kind) as caught:
            router.execute(WRITE, KEY)
        assert driver.closed == ([] if kept else ["a"])
        if isinstance(caught.value, ServerError):
            assert getattr(caught.value, "code", None) == code
        assert "it says" not in str(caught.value)


def test_1290_of_another_option_is_no_read_only_host() -> None:
    driver = FakeDriver()

    def answer(host: str, text: str) -> Any:
        raise driver.OperationalError(1290, "running with the --secure-file-priv option")

    driver.answer = answer
    with routed(driver) as router, pytest.raises(sharding.StatementError) as caught:
        router.execute(WRITE, KEY)
    assert not isinstance(caught.value, sharding.ReadOnlyHostError)


def test_a_connection_that_was_idle_is_tried_first() -> None:
    driver = FakeDriver()
    now = [0.0]
    with routed(driver, clock=lambda: now[0], check_after=10.0) as router:
        router.execute(WRITE, KEY)
        now[0] = 20.0
        lost_once(driver, "SELECT 1")
        router.execute(WRITE, KEY)
        assert driver.opened == ["a", "a"]
        assert driver.texts()[1] == "SELECT 1"


def test_connections_are_bounded() -> None:
    driver = FakeDriver()
    with (
        routed(driver, connections=1, pool_wait=0.0) as router,
        router.transaction(KEY),
        pytest.raises(
            PoolExhaustedError, match=r"^SELECT on shard 1 .* got no connection"
        ) as caught,
    ):
        router.fetch(READ, KEY)
    assert caught.value.fields["host"] == "a"


def test_transactions_and_lost_connections() -> None:
    driver = FakeDriver()
    with routed(driver) as router:
        router.fetch(READ, KEY)
        lost_once(driver, "START")  # nothing was done by it
        with router.transaction(KEY) as tx:
            tx.execute(WRITE)
        assert driver.opened == ["a", "a"]
        lost_once(driver, "COMMIT")
        with (
            pytest.raises(sharding.HostLostError, match="during COMMIT on shard 1") as e,
            router.transaction(KEY) as tx,
        ):
            tx.execute(WRITE)
        assert e.value.maybe_done
        lost_once(driver, "UPDATE")
        with pytest.raises(sharding.HostLostError) as e, router.transaction(KEY) as tx:
            tx.execute(WRITE)
        assert not e.value.maybe_done
        lost_once(driver, "UPDATE")
        # A block that goes on regardless is not committed.
        with (
            pytest.raises(sharding.HostLostError, match="during COMMIT") as e,
            router.transaction(KEY) as tx,
            pytest.raises(sharding.HostLostError),
        ):
            tx.execute(WRITE)
        assert not e.value.maybe_done
        assert "COMMIT" not in driver.texts()[-1]
        assert router.stats()["a"].active == 0


def test_an_interrupt_closes_the_connection() -> None:
    driver = FakeDriver()

    def answer(host: str, text: str) -> Any:
        raise KeyboardInterrupt

    driver.answer = answer
    with routed(driver) as router:
        with pytest.raises(KeyboardInterrupt):
            router.fetch(READ, KEY)
        with pytest.raises(KeyboardInterrupt), router.transaction(KEY):
            pass
        assert driver.opened == driver.closed == ["a", "a"]


def test_a_mistake_of_the_callers_is_theirs() -> None:
    driver = FakeDriver()
    with routed(driver) as router:

        def fails(rows: Any) -> Any:
            raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            router.fetch(READ, KEY, records=fails)  # type: ignore[call-overload]
        assert router.stats()["a"].active == 0


def test_servers_limit_the_time_of_statements() -> None:
    driver = FakeDriver()
    with routed(driver, "mysql", timeout=2.0) as router:
        router.fetch(READ, KEY)
        router.fetch(READ.hint("NO_ICP(files)"), KEY)
        router.execute(WRITE, KEY)
        router.fetch(READ, KEY, timeout=None)
        starts = [text[:56] for text in driver.texts()]
        # What is left of the two seconds.
        assert re.match(r"SELECT /\*\+ MAX_EXECUTION_TIME\((1\d|20)\d\d\) \*/ `files`", starts[0])
        assert re.match(r"SELECT /\*\+ MAX_EXECUTION_TIME\(\d+\) NO_ICP\(files\) \*/ `f", starts[1])
        assert starts[2].startswith("UPDATE `shard_0001`")
        assert starts[3].startswith("SELECT `files`")
    driver = FakeDriver()
    with routed(driver, "mariadb", timeout=2.0) as router:
        router.execute(WRITE, KEY)
        assert re.match(
            r"SET STATEMENT max_statement_time=(1\.\d|2\.0)\d\d FOR UPDATE ", driver.texts()[0]
        )
    driver = FakeDriver()
    with routed(driver, "postgresql", timeout=20.0) as router:
        router.fetch(READ, KEY)
        router.fetch(READ, KEY)
        router.fetch(READ, KEY, timeout=None)
        assert driver.texts()[0] == "SET statement_timeout = 20000"
        assert driver.texts()[3] == "SET statement_timeout = 0"


class Server:
    """A server on which an UPDATE goes on after its connection is lost, until it is killed."""

    def __init__(self, driver: FakeDriver) -> None:
        self.driver = driver
        self.is_at_work = False
        self.asked = threading.Event()
        self.kills = threading.Event()
        driver.answer = self.answer
        driver.numbers = True

    def answer(self, host: str, text: str) -> Any:
        if "UPDATE" in text or "COMMIT" in text:
            self.is_at_work = True
            raise self.driver.OperationalError(*GONE)
        if "KILL" in text:
            self.asked.set()
            assert self.kills.wait(30)
        if "PROCESSLIST" in text:
            still, self.is_at_work = self.is_at_work, False
            return [{"COUNT(*)": int(still)}]
        return [(host,)]


@pytest.mark.parametrize("how", ["statement", "transaction"])
def test_an_update_waits_for_a_write_that_was_broken_off(how: str) -> None:
    driver = FakeDriver()
    server = Server(driver)
    with routed(driver) as router:
        with pytest.raises(sharding.HostLostError) as e:  # noqa: PT012
            if how == "statement":
                router.execute(WRITE, KEY)
            else:
                with router.transaction(KEY):
                    pass
        assert e.value.maybe_done
        assert server.asked.wait(30)
        with pytest.raises(sharding.DrainTimeoutError, match="writes to shards 1 did not end"):
            router.update(router.layout.read_only(1), timeout=0.02)
        assert router.update(router.layout.read_only(2)) == [2]
        server.kills.set()
        assert router.update(router.layout.read_only(1)) == [1]
        texts = driver.texts()
        assert "KILL 1" in texts
        assert texts.count("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = 1") == 2
        assert not router._gates.writers


@pytest.mark.parametrize(("uptime", "kills"), [("1000", 1), ("5", 0), ("?", 1)])
def test_a_server_that_was_started_again_has_other_connections(uptime: str, kills: int) -> None:
    driver = FakeDriver()
    server = Server(driver)
    server.kills.set()

    def answer(host: str, text: str) -> Any:
        return [("Uptime", uptime)] if "Uptime" in text else server.answer(host, text)

    driver.answer = answer
    with routed(driver) as router:
        with pytest.raises(sharding.HostLostError), router.transaction(KEY) as tx:
            tx._connection.opened -= 100.0
        assert router.update(router.layout.read_only(1)) == [1]
        assert not router._gates.writers
        assert sum("KILL" in text for text in driver.texts()) == kills


def test_only_a_backend_of_that_age_is_ended() -> None:
    engine = ENGINES["postgresql"]
    assert engine.uptime() is None
    of = (
        " FROM pg_stat_activity WHERE pid = 7 "
        "AND backend_start <= clock_timestamp() - interval '97.000 s'"
    )
    assert engine.ending(7, 97.0) == f"SELECT pg_terminate_backend(pid){of}"
    assert engine.lasting(7, 97.0) == f"SELECT COUNT(*){of}"
    assert "interval '0.000 s'" in engine.ending(7, -2.0)


@pytest.mark.parametrize("kind", [sharding.HostLostError, KeyboardInterrupt])
def test_a_read_that_was_not_committed_leaves_no_write(kind: type[BaseException]) -> None:
    driver = FakeDriver()
    driver.numbers = True

    def answer(host: str, text: str) -> Any:
        if "COMMIT" in text:
            lost = kind is sharding.HostLostError
            raise driver.OperationalError(*GONE) if lost else KeyboardInterrupt
        return [(host,)]

    driver.answer = answer
    with routed(driver) as router:
        with pytest.raises(kind) as e, router.transaction(KEY, read_only=True) as tx:
            assert tx.fetch(READ) == [("a",)]
        assert not getattr(e.value, "maybe_done", False)
        assert (router._gates.writers, router._strays) == ({}, {})
        assert (router.stats()["a"].active, driver.closed) == (0, ["a"])


def test_a_commit_that_was_not_sent_is_not_done() -> None:
    driver = FakeDriver()
    driver.numbers = True
    with routed(driver) as router:
        with (  # noqa: PT012
            pytest.raises(sharding.HostLostError, match="lost during COMMIT") as e,
            router.transaction(KEY) as tx,
        ):
            tx.execute(WRITE)
            tx._connection.uses = -1  # broken off after the answer had come
        assert not e.value.maybe_done
        assert (router._gates.writers, router._strays) == ({}, {})


def test_a_server_that_cannot_be_reached_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    driver = FakeDriver()
    Server(driver)
    with routed(driver) as router:
        router.fetch(READ, KEY)
        driver.refused.add("a")
        with pytest.raises(sharding.HostLostError):
            router.execute(WRITE, KEY)
        assert router.update(router.layout.read_only(1)) == [1]
        assert "a write that was broken off may still be under way at a: Conn" in caplog.text


def test_a_host_that_hangs_while_it_is_connected_to() -> None:
    driver = FakeDriver()
    go_on = threading.Event()
    callers: list[threading.Thread] = []

    def connect(host: str) -> Any:
        callers.append(threading.current_thread())
        assert go_on.wait(30)
        return driver.connect(host)

    with ShardRouter(layout_of(), connect, "mysql", timeout=0.05) as router:
        with pytest.raises(
            sharding.HostLostError, match=r"^UPDATE .* was not sent: no connec"
        ) as e:
            router.execute(WRITE, KEY)
        assert not e.value.maybe_done
        with pytest.raises(sharding.HostLostError), router.transaction(KEY):
            pass
        assert router.stats()["a"].active == 0
        go_on.set()
        for thread in callers:
            thread.join(30)
        assert driver.closed == driver.opened == ["a", "a"]  # they came too late
        assert driver.log == []
    with ShardRouter(layout_of(), driver.connect, "mysql", timeout=None) as router:
        assert router.fetch(READ, KEY) == [("a",)]
    go_on.clear()
    with (
        ShardRouter(layout_of(), connect, "mysql", timeout=None, connect_timeout=0.02) as router,
        pytest.raises(sharding.HostLostError, match=r"no connection to a \(TimeoutError\)"),
    ):
        router.fetch(READ, KEY)
    go_on.set()


class Freezing(FakeConnection):
    """A connection of PyMySQL's kind, of which one call is never answered."""

    frozen = ""
    is_left = False  # nobody has broken it off

    def __init__(self, driver: FakeDriver, host: str) -> None:
        super().__init__(driver, host)
        self._sock = self
        self.broken = threading.Event()

    def shutdown(self, how: int) -> None:
        self.broken.set()

    def _say(self, word: str) -> None:
        if word == Freezing.frozen:
            Freezing.is_left = not self.broken.wait(20)
            raise self.driver.OperationalError(*GONE)

    def cursor(self) -> Any:
        self._say("SELECT 1")
        return super().cursor()

    def autocommit(self, value: bool) -> None:
        self._say("autocommit")

    def rollback(self) -> None:
        self._say("rollback")


@pytest.mark.parametrize("word", ["rollback", "SELECT 1", "autocommit"])
def test_every_word_of_a_routers_own_has_the_calls_deadline(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = FakeDriver()
    now = [0.0]
    options: Any = {"connections": 1, "clock": lambda: now[0], "pool_wait": 0.0}
    if word == "SELECT 1":
        monkeypatch.setattr("godropbox.database.sharding._blocking._TRIAL", 60.0)
    with ShardRouter(
        layout_of(), lambda host: Freezing(driver, host), "mysql", **options
    ) as router:
        if word != "autocommit":
            router.run(lambda _: "SELECT 2", KEY)
        now[0] += 60.0  # what is idle is tried first
        monkeypatch.setattr(Freezing, "frozen", word)
        with pytest.raises((sharding.StatementTimeoutError, sharding.HostLostError)) as e:
            router.run(lambda _: "SELECT 2", KEY, timeout=0.5)
        assert not Freezing.is_left
        assert getattr(e.value, "maybe_done", None) is (word == "rollback")
        assert router.stats()["a"].active == 0
        monkeypatch.setattr(Freezing, "frozen", "")
        assert router.run(lambda _: "SELECT 2", KEY, timeout=None).rows == [("a",)]


def test_a_late_rollback_closes_the_connection_of_a_refused_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = FakeDriver()
    refused = driver.IntegrityError(1062, "there already")

    def answer(host: str, text: str) -> Any:
        if "INSERT" in text:
            raise refused
        return [(host,)]

    driver.answer = answer
    with ShardRouter(layout_of(), lambda host: Freezing(driver, host), "mysql") as router:
        router.fetch(READ, KEY)  # which connects
        monkeypatch.setattr(Freezing, "frozen", "rollback")
        with pytest.raises(sharding.ConstraintError):
            router.run(lambda _: "INSERT INTO t VALUES (1)", KEY, timeout=0.5)
        assert not Freezing.is_left
        assert (router.stats()["a"].active, driver.closed) == (0, ["a"])


def test_deadlines_are_kept_while_the_router_closes(tmp_path: Path) -> None:
    hosts = SqliteHosts(tmp_path, "a", "b")
    endless = (
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 20000000) "
        "SELECT COUNT(*) FROM n"
    )

    def closed_within() -> None:
        with router.transaction(KEY, timeout=0.5) as tx:
            router.close()
            with pytest.raises(sharding.StatementTimeoutError, match="did not end in time"):
                tx.run(lambda _: endless)

    router = ShardRouter(layout_of(), hosts.connect, "sqlite")
    with pytest.raises(sharding.StatementTimeoutError, match="COMMIT"):
        closed_within()


def test_a_frozen_host_keeps_few_threads_that_connect() -> None:
    driver = FakeDriver()
    go_on = threading.Event()
    callers: list[threading.Thread] = []

    def connect(host: str) -> Any:
        if host == "a":
            callers.append(threading.current_thread())
            assert go_on.wait(60)
        return driver.connect(host)

    with ShardRouter(layout_of(), connect, "mysql", host_threads=2, timeout=30.0) as router:
        for _ in range(2):
            with pytest.raises(sharding.HostLostError, match=r"connection to a \(TimeoutError\)$"):
                router.fetch(READ, KEY, timeout=0.02)
        for _ in range(3):
            with pytest.raises(
                sharding.HostLostError,
                match=r"no connection to a \(2 threads are connecting to it already\)$",
            ):
                router.fetch(READ, KEY, timeout=0.02)
        while len(callers) < 2:
            time.sleep(0.001)
        assert len(callers) == 2
        assert router.run_on(READ, 7).rows == [("b",)]
        waits = threading.Timer(0.05, go_on.set)
        waits.start()
        assert router.fetch(READ, KEY) == [("a",)]  # it has waited for a thread
        waits.join()


def test_rows_that_are_locked_are_the_masters() -> None:
    driver = FakeDriver()
    with routed(driver) as router:
        router.update(router.layout.read_only(1))
        with pytest.raises(sharding.ShardReadOnlyError):
            router.fetch(READ.for_update(), KEY)
        filled = sharding.prepare(READ.with_shared_lock())()
        with pytest.raises(sharding.ShardReadOnlyError):
            router.fetch(filled, KEY)
        assert router.fetch(READ.where(f.name == "a FOR UPDATE"), KEY) == [("a",)]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("/* secret */ SELEC 1", "SELEC"),
        ("-- secret\n# more\n (select 1)", "SELECT"),
        ("/*!50000 DELETE */ x", "DELETE"),
        ("/* secret */", "statement"),
        (" " * 5000 + "1", "statement"),
    ],
)
def test_the_word_of_a_text_is_not_of_its_comment(text: str, word: str) -> None:
    assert kind_of(text) == word


def test_a_timeout_says_what_is_known(tmp_path: Path) -> None:
    hosts = SqliteHosts(tmp_path, "a", "b")
    endless = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) "
    with ShardRouter(layout_of(), hosts.connect, "sqlite") as router:
        router.run(lambda d: "SELECT 1", KEY)  # which connects
        with pytest.raises(sharding.StatementTimeoutError, match="whether it was done is not") as e:
            router.run(lambda d: endless + "SELECT COUNT(*) FROM n", KEY, timeout=0.1)
        assert e.value.maybe_done
        assert "whether" in str(pickle.loads(pickle.dumps(e.value)))
        with (
            pytest.raises(sharding.StatementTimeoutError) as e,
            router.transaction(KEY, timeout=0.1) as tx,
        ):
            tx.run(lambda d: endless + "SELECT COUNT(*) FROM n")
        assert not e.value.maybe_done
        assert str(e.value).endswith("did not end in time")


def test_a_mistake_in_connect_is_no_lost_host() -> None:
    async def dials(host: str) -> Any:
        raise AssertionError

    def fails(host: str) -> Any:
        raise KeyError("mine")

    cases: list[tuple[Any, type[Exception], str]] = [
        (fails, KeyError, "mine"),
        (lambda host: None, TypeError, "connect must return a connection, got None"),
        (dials, TypeError, "connect must return a connection, got <coroutine"),
    ]
    for connect, kind, words in cases:
        with ShardRouter(layout_of(), connect, "mysql") as router:
            calls: list[Callable[[], Any]] = [
                lambda: router.fetch(READ, KEY),
                lambda: router.execute(WRITE, KEY),
                lambda: router.scatter(READ),
                lambda: router.transaction(KEY).__enter__(),
            ]
            for call in calls:
                with pytest.raises(kind, match=words):
                    call()
            # A scattered read raises the first mistake, with other hosts under way.
            until = time.monotonic() + 20
            while router.stats()["a"].active and time.monotonic() < until:
                time.sleep(0.001)
            assert router.stats()["a"].active == 0

    async def none(host: str) -> Any:
        return None

    async def bad(host: str) -> Any:
        raise KeyError("mine")

    async def whole() -> None:
        others: list[tuple[Any, type[Exception], str]] = [
            (bad, KeyError, "mine"),
            (none, TypeError, "connect must return a connection"),
            (lambda host: 5, TypeError, "connect must be an async function, got one with 5"),
        ]
        for connect, kind, words in others:
            async with AsyncShardRouter(layout_of(), connect, "mysql") as router:
                with pytest.raises(kind, match=words):
                    await router.fetch(READ, KEY)
                with pytest.raises(kind, match=words):
                    await router.transaction(KEY).__aenter__()

    asyncio.run(whole())


def test_limits_that_are_as_good_as_none() -> None:
    huge = [float("inf"), 1e10, 1e9]
    for seconds in huge:
        for engine in ("mysql", "mariadb", "postgresql"):
            driver = FakeDriver()
            with routed(driver, engine, timeout=seconds, pool_wait=seconds) as router:
                assert router.options.timeout is None
                for timeout in (seconds, 29 * 86400.0):
                    router.fetch(READ, KEY, timeout=timeout)
                    router.execute(WRITE, KEY, timeout=timeout)
                    router.scatter(READ, timeout=timeout).rows()
                    with router.transaction(KEY, timeout=timeout) as tx:
                        tx.execute(WRITE)
                router.update(router.layout.read_only(2), timeout=seconds)
            numbers = [int(n) for t in driver.texts() for n in re.findall(r"\d{6,}", t)]
            assert max(numbers, default=0) < 2**31
        options = sharding.RouterOptions(
            measure_every=seconds, token_wait=seconds, mark_down=seconds, max_staleness=seconds
        )
        assert options.measure_every == options.token_wait == options.mark_down == 30 * 86400
        assert options.max_staleness is None
    with routed(FakeDriver(), read_only_wait=float("inf"), timeout=0.05) as router:
        router.update(router.layout.read_only(1))
        with pytest.raises(sharding.ShardReadOnlyError):
            router.execute(WRITE, KEY)
    assert (
        ENGINES["mariadb"]
        .limited("SELECT 1", 1e12, True)
        .startswith("SET STATEMENT max_statement_time=31536000.000 ")
    )
    assert ENGINES["postgresql"].session_limit(1e12) == "SET statement_timeout = 2147483647"
