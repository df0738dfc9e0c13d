"""Caches that follow a binary log: which keys are deleted, and when a transaction is applied.

The log is made up, and the cache is in memory; ``test_invalidation_servers`` has real ones.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from support.invalidations import (
    Log,
    changed,
    delete,
    head,
    insert,
    prepare,
    query,
    update,
)

from godropbox.caching.binlog import (
    AbsentColumnError,
    Applied,
    Generations,
    InvalidationOptions,
    Invalidator,
)
from godropbox.caching.binlog.aio import AsyncApplied, AsyncGenerations, AsyncInvalidator
from godropbox.database import binlog
from godropbox.database.binlog import ABSENT, FilePositions, MariaDBGtidSet, PositionLost
from godropbox.memcache import Client, ClientClosedError, FailedKeys, InvalidArgumentError

ONCE = InvalidationOptions(repeat_after=0)


class Cache:
    """A cache in memory with a client's methods, which a test can have fail."""

    def __init__(self, **values: Any) -> None:
        self.values: dict[Any, Any] = dict(values)
        self.deleted: list[list[Any]] = []
        self.failing: Callable[[Any], bool] = lambda key: False
        self.flushes = 0

    def get(self, key: Any, default: Any = None) -> Any:
        return self.values.get(key, default)

    def get_many(self, keys: Iterable[Any]) -> dict[Any, Any]:
        return {key: self.values[key] for key in keys if key in self.values}

    def set(self, key: Any, value: Any, expire: int = 0) -> bool:
        self.values[key] = value
        return True

    def set_many(self, values: Any, expire: int = 0) -> list[Any]:
        failed = [key for key in values if self.failing(key)]
        self.values |= {key: value for key, value in values.items() if key not in failed}
        return failed

    def add(self, key: Any, value: Any, expire: int = 0) -> bool:
        return self.values.setdefault(key, value) is value

    def delete_many(self, keys: Iterable[Any]) -> FailedKeys:
        given = list(keys)
        if bad := [key for key in given if not isinstance(key, bytes) and " " in key]:
            raise InvalidArgumentError(f"key must have no space, got {bad[0]!r}")
        self.deleted.append(given)
        failed = FailedKeys()
        for key in given:
            if self.failing(key):
                failed.add(key, ConnectionError("away"))
            else:
                self.values.pop(key, None)
        return failed

    def flush_all(self) -> None:
        self.flushes += 1
        self.values.clear()


def run_sync(
    cache: Any, keys: Any, log: Any, options: InvalidationOptions = ONCE, **more: Any
) -> Invalidator:
    store = more.pop("store", None)
    invalidator = Invalidator(cache, keys, options, **more)
    invalidator.run(log, store)
    return invalidator


def run_async(
    cache: Any, keys: Any, log: Any, options: InvalidationOptions = ONCE, **more: Any
) -> AsyncInvalidator:
    store = more.pop("store", None)
    if generations := more.pop("generations", None):
        more["generations"] = AsyncGenerations(generations._client, refresh=generations.refresh)
    invalidator = AsyncInvalidator(cache, keys, options, **more)
    asyncio.run(invalidator.run(log, store))
    return invalidator


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "asyncio"])
def run(request: pytest.FixtureRequest) -> Any:
    return request.param


def deleted(cache: Cache) -> set[Any]:
    return {key for keys in cache.deleted for key in keys}


# Keys


def test_rows_of_a_table_become_keys_by_a_template(run: Any) -> None:
    cache = Cache()
    log = Log([insert(1, "Ann", "a"), delete(2, "Bob", None)], [insert(3, "x", "y", table="t")])
    run(cache, {"shop.users": ["user:{id}", "team:{team}:{name}"]}, log)
    assert deleted(cache) == {"user:1", "user:2", "team:a:Ann"}


def test_both_images_of_an_update_count(run: Any) -> None:
    cache = Cache()
    run(cache, {"shop.users": "name:{name}"}, Log([update((1, "Ann", "a"), (1, "Anna", "a"))]))
    assert deleted(cache) == {"name:Ann", "name:Anna"}


def test_what_an_image_leaves_out_is_as_it_was_before(run: Any) -> None:
    cache = Cache()
    log = Log([update((1, ABSENT, ABSENT), (ABSENT, "Anna", ABSENT))])
    run(cache, {"shop.users": "user:{id}"}, log)
    assert deleted(cache) == {"user:1"}


def test_a_key_whose_column_is_absent_is_an_error_or_forgets_the_table(run: Any) -> None:
    log = [update((1, ABSENT, ABSENT), (ABSENT, "Anna", ABSENT))]
    with pytest.raises(AbsentColumnError, match="column name is not in the image"):
        run(Cache(), {"shop.users": "name:{name}"}, Log(log))
    rule: Any = lambda row: row["name"]  # noqa: E731
    with pytest.raises(AbsentColumnError, match=r"keys of .*: column name is not in"):
        run(Cache(), {"shop.users": rule}, Log(log))
    cache = Cache()
    run(cache, {"shop.users": rule}, Log(log), InvalidationOptions(absent="forget", repeat_after=0))
    assert cache.flushes == 1


def test_a_function_returns_a_key_several_or_none(run: Any) -> None:
    cache = Cache()

    def keys(row: Any) -> Any:
        return {1: "one", 2: [b"two", "zwei"], 3: None}[row["id"]]

    run(cache, {"shop.users": keys}, Log(*([insert(n, "x", "y")] for n in (1, 2, 3))))
    assert deleted(cache) == {"one", b"two", "zwei"}
    with pytest.raises(KeyError, match="nickname"):
        run(cache, {"shop.users": lambda row: row["nickname"]}, Log([insert(1, "x", "y")]))
    with pytest.raises(TypeError, match="a key must be str or bytes, got 5"):
        run(cache, {"shop.users": lambda row: [5]}, Log([insert(1, "x", "y")]))


def test_values_in_keys_are_as_text_and_bytes_as_hex(run: Any) -> None:
    cache = Cache()
    uuid = UUID(int=255)
    rows = [insert(uuid, b"\xff", 7)]
    run(cache, {"shop.users": "{id}:{id:hex}:{name:hex}:{team}"}, Log(rows))
    assert deleted(cache) == {f"{uuid}:{uuid.hex}:ff:7"}
    with pytest.raises(TypeError, match=r"column name has bytes: write \{name:hex\}"):
        run(cache, {"shop.users": "{name}"}, Log(rows))
    with pytest.raises(TypeError, match="column team has no bytes, got 7"):
        run(cache, {"shop.users": "{team:hex}"}, Log(rows))


def test_a_key_that_no_cache_can_have_does_not_keep_others_from_being_deleted(run: Any) -> None:
    cache = Cache()
    log = Log([insert(1, "Ann Lee", "a"), insert(2, "Bob", "a")])
    invalidator = run(cache, {"shop.users": "name:{name}"}, log)
    assert deleted(cache) == {"name:Bob"}
    assert invalidator.statistics().refused == 1


def test_a_log_without_names_of_columns_is_an_error(run: Any) -> None:
    with pytest.raises(binlog.MetadataError, match=r"does not name the columns of shop\.users"):
        run(Cache(), {"shop.users": "user:{id}"}, Log([insert(1, "x", "y", columns=None)]))
    with pytest.raises(LookupError, match="has no column email, it has id, name, team"):
        run(Cache(), {"shop.users": "user:{email}"}, Log([insert(1, "x", "y")]))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "keys must name a table"),
        ({"users": "user:{id}"}, "keys must be of tables as database.table, got 'users'"),
        ({"shop.users": "user"}, "names no column, so that all rows have one key"),
        ({"shop.users": "user:{}"}, "braces must have a column"),
        ({"shop.users": "user:{id!r}"}, "braces must have a column"),
        ({"shop.users": "user:{id.x}"}, "braces must have a column"),
        ({"shop.users": "user:{id"}, "a key of shop.users"),
        ({"shop.users": []}, "keys of shop.users must have a rule"),
        ({"shop.users": [5]}, "must be a template or a function, got 5"),
        ({"shop.users": "user:{generation}:{id}"}, "generations must be given"),
    ],
)
def test_rules_are_checked_at_once(keys: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Invalidator(Cache(), keys)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("forget", "all"),
        ("absent", "skip"),
        ("repeat_after", -1),
        ("retry_after", 0),
        ("most_pending", 0),
        ("save_every", "1"),
    ],
)
def test_options_are_checked_at_once(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        InvalidationOptions(**{name: value})


def test_a_cache_has_to_delete() -> None:
    with pytest.raises(TypeError, match="cache must be a Client or a ConsistentCacheOnStorage"):
        Invalidator({}, {"shop.users": "user:{id}"})


def test_the_tables_and_columns_that_are_wanted_are_arguments_of_the_reader() -> None:
    keys: dict[str, Any] = {"shop.users": ["user:{id}", "team:{team}"], "shop.t": lambda row: None}
    invalidator = Invalidator(Cache(), keys)
    assert invalidator.wanted == {
        "tables": {"shop.users", "shop.t"},
        "columns": {"shop.users": ("id", "team")},
    }


# Tables


def test_a_table_of_which_rows_are_unknown_is_flushed(run: Any) -> None:
    cache = Cache(a=1)
    run(cache, {"shop.users": "user:{id}"}, Log([changed("SHOP", "Users")]))
    assert cache.flushes == 1
    cache = Cache(a=1)
    run(cache, {"shop.users": "user:{id}"}, Log([changed("shop", "other"), changed("x", None)]))
    assert cache.flushes == 0


def test_a_function_forgets_a_table_and_is_called_until_it_returns(run: Any) -> None:
    calls: list[str] = []

    def forget(table: str) -> None:
        calls.append(table)
        if len(calls) < 3:
            raise ConnectionError("away")

    options = InvalidationOptions(forget=forget, repeat_after=0, retry_after=0.001)
    keys = {"shop.users": "user:{id}", "shop.t": "t:{id}"}
    run(Cache(), keys, Log([changed(table="t")]), options)
    assert calls == ["shop.t"] * 3
    calls[:] = []
    run(Cache(), keys, Log([changed(None, None)]), options)
    assert sorted(set(calls)) == ["shop.t", "shop.users"]


def test_a_flush_that_fails_is_tried_again_and_keeps_no_key_from_being_deleted(run: Any) -> None:
    cache = Cache()
    flush = cache.flush_all
    failures = iter([ConnectionError("away")] * 2)

    def flush_all() -> None:
        for error in failures:
            assert "t:1" in deleted(cache) or not cache.deleted
            raise error
        flush()

    cache.flush_all = flush_all  # type: ignore[method-assign]
    options = InvalidationOptions(repeat_after=0, retry_after=0.001)
    keys = {"shop.users": "user:{id}", "shop.t": "t:{id}"}
    run(cache, keys, Log([changed(), insert(1, "x", "y", table="t")]), options)
    assert cache.flushes == 1
    assert cache.deleted == [["t:1"]]


def test_servers_that_were_flushed_are_not_flushed_again_while_another_is_away(run: Any) -> None:
    cache = Cache()
    asked = []

    def flush_all() -> None:
        cache.flushes += 1
        if cache.flushes == 1:
            raise ConnectionError("away")

    def version() -> None:
        asked.append(cache.flushes)
        if len(asked) < 5:
            raise ConnectionError("away")

    cache.flush_all, cache.version = flush_all, version  # type: ignore[method-assign, attr-defined]
    options = InvalidationOptions(repeat_after=0, retry_after=0.001)
    run(cache, {"shop.users": "user:{id}"}, Log([changed()]), options)
    assert asked == [1] * 5
    assert cache.flushes == 2


def test_lost_events_forget_all_tables(run: Any) -> None:
    cache = Cache()
    run(cache, {"shop.users": "user:{id}"}, Log([binlog.Incident(message="", **head(26))]))
    assert cache.flushes == 1


def test_a_new_generation_forgets_a_table(run: Any) -> None:
    cache = Cache()
    generations = Generations(cache, refresh=0.01)
    first = generations.of("shop.users")
    key = f"user:{first}:5"
    cache.set(key, "old")
    keys = {"shop.users": "user:{generation}:{id}"}
    run(cache, keys, Log([insert(5, "x", "y")]), generations=generations)
    assert key not in cache.values
    cache.set(key, "old")
    invalidator = run(cache, keys, Log([changed()]), generations=generations)
    assert cache.flushes == 0
    assert Generations(cache).of("shop.users") != first
    assert invalidator.statistics().forgotten == 1


def test_a_generation_that_is_lost_is_made_anew_and_kept_for_a_while() -> None:
    cache = Cache()
    now = [0.0]
    generations = Generations(cache, refresh=1.0, clock=lambda: now[0])
    first = generations.of("shop.users")
    cache.values.clear()
    assert generations.of("shop.users") == first
    now[0] = 1.0
    assert generations.of("shop.users") not in (first, "")
    with pytest.raises(ValueError, match=r"refresh must be in \(0, 60\] seconds, got 0"):
        Generations(cache, refresh=0)


def test_a_change_of_a_generation_is_applied_only_when_readers_have_heard_of_it() -> None:
    now = [0.0]
    cache = Cache()
    generations = Generations(cache, refresh=5.0, clock=lambda: now[0])
    invalidator = Invalidator(
        cache,
        {"shop.users": "user:{generation}:{id}"},
        ONCE,
        generations=generations,
        clock=lambda: now[0],
    )
    thread = threading.Thread(target=invalidator.run, args=(Log([changed()]),))
    thread.start()
    try:
        assert not invalidator.wait_for("0-1-1", 0.1)
        now[0] = 5.3
        invalidator._notify()
        assert invalidator.wait_for("0-1-1", 20)
    finally:
        now[0] = 1e6
        invalidator.close()
        thread.join()


# Transactions


def test_a_prepared_transaction_is_deleted_again_when_it_is_committed(run: Any) -> None:
    cache = Cache()
    log = Log(
        [insert(1, "x", "y"), prepare(b"ab")],
        [insert(2, "x", "y")],
        [query("XA COMMIT X'61',X'62',1")],
    )
    run(cache, {"shop.users": "user:{id}"}, log)
    order = [key for keys in cache.deleted for key in keys]
    assert order.count("user:1") == 2 or order == ["user:1", "user:2"]  # all in one round
    assert cache.flushes == 0


def test_a_prepared_transaction_of_an_earlier_log_forgets_all(run: Any) -> None:
    cache = Cache()
    run(cache, {"shop.users": "user:{id}"}, Log([query("XA COMMIT X'61',X'',1")]))
    assert cache.flushes == 1
    cache = Cache()
    run(cache, {"shop.users": "user:{id}"}, Log([query("XA ROLLBACK X'61',X'',1")]))
    assert cache.flushes == 0


def test_a_transaction_is_deleted_when_it_ends_and_not_before() -> None:
    cache = Cache()
    invalidator = Invalidator(cache, {"shop.users": "user:{id}"}, ONCE)
    reached = []

    def events() -> Any:
        yield insert(1, "x", "y")
        yield query("SAVEPOINT a")
        reached.append(list(cache.deleted))
        yield binlog.Commit(xid=1, gtid=binlog.MariaDBGtid(0, 1, 7), **head(16))

    invalidator.run(events())
    assert reached == [[]]
    assert deleted(cache) == {"user:1"}
    assert str(invalidator.applied) == "0-1-7"


def test_keys_are_deleted_again_as_the_log_comes_before_the_commit(run: Any) -> None:
    cache = Cache()
    options = InvalidationOptions(repeat_after=0.01)
    run(cache, {"shop.users": "user:{id}"}, Log([insert(1, "x", "y")]), options)
    assert cache.deleted == [["user:1"], ["user:1"]]


def test_a_transaction_that_is_not_committed_yet_is_waited_for(run: Any) -> None:
    cache = Cache()
    asked: list[str] = []

    def committed(gtid: Any, position: Any) -> None:
        assert position == binlog.Position("log", 1)
        asked.append(str(gtid))
        if len(asked) < 3:
            raise ConnectionError("away")

    options = InvalidationOptions(retry_after=0.001)
    log = Log([insert(1, "x", "y")])
    run(cache, {"shop.users": "user:{id}"}, log, options, committed=committed)
    assert cache.deleted == [["user:1"]]
    assert asked == ["0-1-1"] * 3


# Failures


def test_a_deletion_that_fails_is_tried_until_it_is_acknowledged(run: Any) -> None:
    cache = Cache(**{"user:1": 1, "user:2": 2})
    left = [4]

    def failing(key: Any) -> bool:
        left[0] -= key == "user:1"
        return key == "user:1" and left[0] > 0

    cache.failing = failing
    options = InvalidationOptions(repeat_after=0, retry_after=0.001)
    log = Log([insert(1, "x", "y"), insert(2, "x", "y")])
    invalidator = run(cache, {"shop.users": "user:{id}"}, log, options)
    assert not {"user:1", "user:2"} & set(cache.values)
    assert cache.deleted[1:] == [["user:1"]] * 3
    assert invalidator.statistics().failures == 3
    assert invalidator.statistics().pending == 0


def test_a_server_that_is_away_holds_back_the_place_and_not_the_keys_of_others(
    tmp_path: Path,
) -> None:
    cache = Cache()
    cache.failing = lambda key: key == "user:1"
    store = FilePositions(tmp_path / "place")
    options = InvalidationOptions(repeat_after=0, retry_after=0.001, save_every=0)
    invalidator = Invalidator(cache, {"shop.users": "user:{id}"}, options)
    log = Log([insert(0, "x", "y")], [insert(1, "x", "y")], [insert(2, "x", "y")])
    thread = threading.Thread(target=invalidator.run, args=(log, store))
    thread.start()
    try:
        assert invalidator.wait_for("0-1-1", 20)
        while "user:2" not in deleted(cache):
            thread.join(0.01)
        assert not invalidator.wait_for("0-1-3", 0.05)
        assert not invalidator.wait_for("0-1-2", 0)
        cache.failing = lambda key: False
        assert invalidator.wait_for("0-1-3", 20)
    finally:
        invalidator.close()
        thread.join()
    assert str(store.load()) == "0-1-3"


def test_too_many_keys_that_wait_become_their_tables() -> None:
    cache = Cache()
    cache.failing = lambda key: not cache.flushes
    options = InvalidationOptions(repeat_after=0, retry_after=0.001, most_pending=10)
    invalidator = Invalidator(cache, {"shop.users": "user:{id}"}, options)
    log = Log(*([insert(n, "x", "y")] for n in range(50)))
    invalidator.run(log)
    assert cache.flushes >= 1
    assert invalidator.statistics().overflows >= 1
    assert str(invalidator.applied) == "0-1-50"


def test_the_place_is_saved_only_when_all_before_is_acknowledged(run: Any, tmp_path: Path) -> None:
    store = FilePositions(tmp_path / "place")
    log = Log([insert(1, "x", "y")], [insert(2, "x", "y"), KeyError("lost"), None])
    with pytest.raises(KeyError, match="lost"):
        run(Cache(), {"shop.users": "user:{id}"}, log, store=store)
    assert store.load() is None or str(store.load()) == "0-1-1"
    run(Cache(), {"shop.users": "user:{id}"}, Log([insert(1, "x", "y")]), store=store)
    assert str(store.load()) == "0-1-1"


def test_a_client_that_was_closed_ends_the_run(run: Any) -> None:
    cache = Cache()

    def closed(keys: Any) -> Any:
        raise ClientClosedError("the client is closed")

    cache.delete_many = closed  # type: ignore[method-assign]
    with pytest.raises(ClientClosedError):
        run(cache, {"shop.users": "user:{id}"}, Log([insert(1, "x", "y")]))


def test_it_runs_once_at_a_time() -> None:
    invalidator = Invalidator(Cache(), {"shop.users": "user:{id}"}, ONCE)

    def events() -> Any:
        with pytest.raises(RuntimeError, match="runs already"):
            invalidator.run([])
        yield binlog.Commit(xid=1, gtid=None, **head(16))

    invalidator.run(events())
    invalidator.run(Log([insert(1, "x", "y")]))


# Positions that are lost


def test_a_place_that_is_lost_forgets_all_and_goes_on_from_the_end(tmp_path: Path) -> None:
    cache = Cache(**{"user:9": "old"})
    store = FilePositions(tmp_path / "place")
    asked = []

    def connect(position: Any) -> Any:
        asked.append(position if position == "now" else str(position))
        if len(asked) == 2:
            return Log([insert(6, "x", "y"), PositionLost("purged"), None], start=5)
        return Log([insert(7, "x", "y")], start=20)

    keys = {"shop.users": "user:{id}"}
    Invalidator(cache, keys, ONCE).follow(connect, store)
    assert asked == ["now"]
    assert cache.flushes == 1
    assert str(store.load()) == "0-1-21"
    Invalidator(cache, keys, ONCE).follow(connect, store)
    assert asked == ["now", "0-1-21", "now"]
    assert cache.flushes == 2
    assert "user:7" in deleted(cache)


def test_a_place_that_is_lost_does_so_under_asyncio(tmp_path: Path) -> None:
    cache = Cache(**{"user:9": "old"})
    store = FilePositions(tmp_path / "place")

    async def connect(position: Any) -> Any:
        assert position == "now"
        return Log([insert(7, "x", "y")], start=20)

    asyncio.run(AsyncInvalidator(cache, {"shop.users": "user:{id}"}, ONCE).follow(connect, store))
    assert cache.flushes == 1
    assert str(store.load()) == "0-1-21"


# Waiting


def test_what_is_applied_is_published_in_the_cache(run: Any) -> None:
    cache = Cache()
    run(cache, {"shop.users": "user:{id}"}, Log([insert(1, "x", "y")], [], start=4))
    applied = Applied(cache)
    assert applied.wait_for("0-1-6", 0)
    assert applied.wait_for("0-2-6", 0)  # of another server of the domain
    assert applied.wait_for(MariaDBGtidSet.parse("0-1-3"), 0)
    assert not applied.wait_for("0-1-7", 0)
    assert not applied.wait_for("1-1-1", 0)
    assert asyncio.run(AsyncApplied(cache).wait_for("0-1-6", 0))
    with pytest.raises(ValueError, match="must be of the server that the cache follows"):
        applied.wait_for("3e11fa47-71ca-11e1-9e33-c80aa9429562:5", 0)
    with pytest.raises(ValueError, match="gtid must name a transaction"):
        applied.wait_for("", 0)
    with pytest.raises(TypeError, match="gtid must be a str or a GTID, got 5"):
        applied.wait_for(5, 0)  # type: ignore[arg-type]


def test_a_waiter_waits_until_the_transaction_is_there() -> None:
    cache = Cache()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            cache.set("mine", "0-1-9")

    now = [0.0]
    applied = Applied(cache, "mine", clock=lambda: now[0], pause=pause)
    assert applied.wait_for("0-1-9", 1.0)
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


def test_mysqls_sets_cover_each_other_by_their_intervals() -> None:
    cache = Cache()
    uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
    cache.set("binlog:applied", f"{uuid}:1-5:7")
    applied = Applied(cache)
    assert applied.wait_for(f"{uuid}:2-4", 0)
    assert applied.wait_for(f"{uuid}:7", 0)
    assert not applied.wait_for(f"{uuid}:6", 0)
    assert not applied.wait_for(f"{uuid}:1-5:tag:1", 0)


def test_a_sign_of_life_publishes_anew_what_the_cache_lost() -> None:
    cache = Cache()
    invalidator = Invalidator(cache, {"shop.users": "user:{id}"}, ONCE)

    def events() -> Any:
        yield binlog.Commit(xid=1, gtid=binlog.MariaDBGtid(0, 1, 7), **head(16))
        assert invalidator.wait_for("0-1-7", 20)
        while "binlog:applied" not in cache.values:
            threading.Event().wait(0.001)
        cache.values.clear()
        yield binlog.Heartbeat(file="", **head(27))
        while "binlog:applied" not in cache.values:
            threading.Event().wait(0.001)

    invalidator.run(events())
    assert Applied(cache).wait_for("0-1-7", 0)


def test_a_client_over_a_mock_is_a_cache() -> None:
    from godropbox.memcache.testing import MockClient

    client = Client.over(MockClient())
    client.set("user:1", "Ann")
    client.set("user:2", "Bob")
    Invalidator(client, {"shop.users": "user:{id}"}, ONCE).run(Log([insert(1, "x", "y")]))
    assert client.get_many(["user:1", "user:2"]) == {"user:2": "Bob"}
    assert Applied(client).wait_for("0-1-1", 0)
