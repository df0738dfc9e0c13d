"""Decorated functions: what is kept and for how long, who loads it, and how they bind and look."""

import copy
import gc
import inspect
import json
import pickle
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import Any, get_type_hints

import pytest
from support.caches import CountedStorage, Gate, at_once
from support.memory import let_go
from support.pools import Clock, until

from godropbox import errors
from godropbox.caching import (
    MISSING,
    Cached,
    CacheOnStorage,
    CacheOptions,
    DictStorage,
    Freshness,
    LocalStorage,
    MemcacheStorage,
    RateLimitedStorage,
    StaleCacheError,
    cached,
)
from godropbox.memcache import Client


class Loads:
    """A function that is decorated, with a clock that is set, and a list of its runs."""

    def __init__(self, storage: Any = None, key: Any = "user:{who}", **more: Any) -> None:
        self.clock = Clock()
        self.clock.now = 1_700_000_000.0
        self.storage = CountedStorage() if storage is None else storage
        self.runs: list[Any] = []
        self.answer: Callable[[Any], Any] = lambda who: f"user {who}"
        options = more.pop("options", None)
        given: dict[str, Any] = {"ttl": 60, "stale": 30, "jitter": 0, "beta": 0, **more}
        freshness = Freshness(clock=self.clock, **given)

        @cached(self.storage, key=key, freshness=freshness, options=options)
        def load(who: int, depth: Any = 0) -> Any:
            self.runs.append(who)
            return self.answer(who)

        self.load = load

    def count(self) -> int:
        """Return how often the function ran since this was last asked."""
        count = len(self.runs)
        self.runs.clear()
        return count


def fail(who: Any) -> Any:
    raise errors.NetworkError("no such host")


# What is kept


def test_a_result_is_kept_for_its_time() -> None:
    loads = Loads()
    assert [loads.load(1), loads.load(who=1), loads.load(1, 0)] == ["user 1"] * 3
    assert loads.load(2) == "user 2"
    assert loads.count() == 2
    loads.clock.advance(59.9)
    assert loads.load(1) == "user 1"
    assert loads.count() == 0
    stats = loads.load.stats()
    assert (stats.hits, stats.misses) == (3, 2)


def test_an_old_result_is_loaded_again() -> None:
    loads = Loads()
    loads.load(1)
    loads.clock.advance(61)
    loads.answer = lambda who: "new"
    assert loads.load(1) == "new"
    assert loads.count() == 2
    loads.clock.advance(500)
    loads.answer = lambda who: "newer"
    assert loads.load(1) == "newer"


def test_a_stale_result_is_returned_while_one_caller_loads() -> None:
    loads = Loads()
    loads.load(1)
    loads.clock.advance(61)
    gate = Gate()

    def slow(who: Any) -> str:
        gate.pass_through()
        return "new"

    loads.answer = slow
    with ThreadPoolExecutor(1) as threads:
        leader = threads.submit(loads.load, 1)
        gate.wait_for_someone()
        assert [loads.load(1) for _ in range(9)] == ["user 1"] * 9
        gate.open()
        assert leader.result() == "new"
    assert loads.load(1) == "new"
    assert loads.count() == 2


def test_a_stale_result_outlives_failures() -> None:
    loads = Loads()
    loads.load(1)
    loads.answer = fail
    loads.clock.advance(89)
    assert loads.load(1) == "user 1"
    assert loads.load.stats().refresh_failures == 1
    loads.clock.advance(1)
    with pytest.raises(errors.NetworkError):
        loads.load(1)


def test_none_is_a_result() -> None:
    loads = Loads()
    loads.answer = lambda who: None
    assert [loads.load(1), loads.load(1)] == [None, None]
    assert loads.count() == 1


@pytest.mark.parametrize(("negative_ttl", "runs"), [(0, 2), (5, 1)])
def test_missing_is_no_result(negative_ttl: float, runs: int) -> None:
    loads = Loads(negative_ttl=negative_ttl)
    loads.answer = lambda who: MISSING
    assert [loads.load(1), loads.load(1)] == [MISSING, MISSING]
    assert loads.count() == runs


def test_an_exception_is_not_kept() -> None:
    loads = Loads()
    loads.answer = fail
    for _ in range(2):
        with pytest.raises(errors.NetworkError):
            loads.load(1)
    assert loads.count() == 2
    assert loads.storage.data == {}


def test_callers_of_one_key_share_a_run() -> None:
    loads = Loads()
    assert at_once(100, lambda _: loads.load(1)) == ["user 1"] * 100
    assert loads.count() == 1


def test_a_failing_run_is_shared() -> None:
    loads = Loads()
    gate = Gate()

    def slow(who: Any) -> Any:
        gate.pass_through()
        return fail(who)

    loads.answer = slow
    with ThreadPoolExecutor(9) as threads:
        first = threads.submit(loads.load, 1)
        gate.wait_for_someone()
        others = [threads.submit(loads.load, 1) for _ in range(8)]
        until(lambda: loads.load.stats().waiting == 8)
        gate.open()
        for each in (first, *others):
            with pytest.raises(errors.NetworkError):
                each.result()
    assert loads.count() == 1


def test_every_caller_runs_its_own_function_and_arguments() -> None:
    """The key leaves `depth` out; the leader's counts."""
    seen: list[Any] = []

    @cached(DictStorage(), key="k:{who}", ttl=60)
    def load(who: int, depth: Any) -> Any:
        seen.append(depth)
        return load(who + 1, [depth]) if who < 3 else "end"

    assert load(0, "x") == "end"
    assert seen == ["x", ["x"], [["x"]], [[["x"]]]]
    assert [load(each, 0) for each in range(4)] == ["end"] * 4


def test_a_failing_storage_fails_no_call() -> None:
    loads = Loads()
    loads.storage.fail()
    assert [loads.load(1), loads.load(1)] == ["user 1"] * 2
    assert loads.count() == 2
    assert loads.load.stats().cache_failures > 0


def test_a_run_in_the_background_finds_its_arguments_and_context() -> None:
    jobs: list[Callable[[], None]] = []
    request: ContextVar[str] = ContextVar("request", default="none")
    loads = Loads(background=jobs.append)
    loads.load(1)
    loads.clock.advance(61)
    loads.answer = lambda who: f"new {who} {request.get()}"
    token = request.set("this one")
    assert loads.load(1) == "user 1"
    request.reset(token)
    assert loads.count() == 1
    with ThreadPoolExecutor(1) as threads:
        threads.submit(jobs[0]).result()
    assert loads.load(1) == "new 1 this one"


def test_early_loads_are_those_of_the_freshness() -> None:
    loads = Loads(beta=1.0, random=lambda: 0.999999)
    times = iter([0.0, 50.0, 50.0, 100.0])
    loads = Loads(
        beta=1.0, random=lambda: 0.999999, options=CacheOptions(clock=lambda: next(times))
    )
    loads.load(1)
    loads.answer = lambda who: "early"
    assert loads.load(1) == "early"


def test_times_may_be_timedeltas() -> None:
    storage = DictStorage[str, Any]()
    load = cached(storage, key="k", ttl=timedelta(minutes=5), stale=timedelta(seconds=1))(len)
    assert load("abc") == 3
    assert load("abcd") == 3


# Invalidate, refresh


def test_invalidate_deletes_one_entry() -> None:
    loads = Loads()
    loads.load(1)
    loads.load(2)
    loads.load.invalidate(who=1)
    loads.load.invalidate(3)
    assert loads.load(1) == "user 1"
    assert loads.load(2) == "user 2"
    assert loads.runs == [1, 2, 1]


def test_a_load_that_began_before_invalidate_is_not_kept() -> None:
    loads = Loads()
    gate = Gate()

    def slow(who: Any) -> str:
        gate.pass_through()
        return "old"

    loads.answer = slow
    with ThreadPoolExecutor(1) as threads:
        leader = threads.submit(loads.load, 1)
        gate.wait_for_someone()
        loads.load.invalidate(1)
        loads.answer = lambda who: "new"
        assert loads.load(1) == "new"
        gate.open()
        assert leader.result() == "old"
    assert loads.load(1) == "new"


def test_invalidate_while_the_storage_is_down_leaves_nothing_old() -> None:
    loads = Loads()
    loads.load(1)
    loads.storage.fail()
    loads.load.invalidate(1)
    loads.storage.recover()
    loads.answer = lambda who: "new"
    assert loads.load(1) == "new"
    assert loads.load.stats().doubts == 1


def test_invalidate_can_raise_instead() -> None:
    loads = Loads(options=CacheOptions(on_doubt="raise"))
    loads.storage.fail()
    with pytest.raises(StaleCacheError):
        loads.load.invalidate(1)


def test_refresh_runs_the_function_now() -> None:
    loads = Loads()
    loads.load(1)
    loads.answer = lambda who: "new"
    assert loads.load.refresh(who=1) == "new"
    assert loads.load(1) == "new"
    assert loads.load.refresh(2) == "new"
    assert loads.load(2) == "new"
    assert loads.count() == 3


def test_refresh_begins_a_life() -> None:
    loads = Loads()
    loads.load(1)
    loads.clock.advance(50)
    loads.load.refresh(1)
    loads.clock.advance(50)
    loads.load(1)
    assert loads.count() == 2


def test_a_failing_refresh_leaves_the_entry() -> None:
    loads = Loads()
    loads.load(1)
    loads.answer = fail
    with pytest.raises(errors.NetworkError):
        loads.load.refresh(1)
    assert loads.load(1) == "user 1"


def test_refresh_follows_no_load_that_began_before() -> None:
    loads = Loads()
    gate = Gate()

    def slow(who: Any) -> str:
        gate.pass_through()
        return "old"

    loads.answer = slow
    with ThreadPoolExecutor(1) as threads:
        leader = threads.submit(loads.load, 1)
        gate.wait_for_someone()
        loads.answer = lambda who: "new"
        assert loads.load.refresh(1) == "new"
        assert loads.load(1) == "new"
        gate.open()
        assert leader.result() == "old"
    assert loads.load(1) == "new"


def test_of_two_refreshes_the_later_one_is_kept() -> None:
    loads = Loads()
    gate = Gate()

    def slow(who: Any) -> str:
        gate.pass_through()
        return "old"

    loads.answer = slow
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(loads.load.refresh, 1)
        gate.wait_for_someone()
        loads.answer = lambda who: "new"
        assert loads.load.refresh(1) == "new"
        gate.open()
        assert first.result() == "old"
    assert loads.load(1) == "new"


@pytest.mark.parametrize("broken", [("set",), ("set", "delete", "delete_multi")])
def test_a_refresh_that_cannot_be_stored_leaves_nothing_old(broken: tuple[str, ...]) -> None:
    loads = Loads()
    loads.load(1)
    loads.storage.fail(*broken)
    loads.answer = lambda who: "new"
    assert loads.load.refresh(1) == "new"
    loads.answer = lambda who: "newer"
    assert loads.load(1) == "newer"


# Storages


class JsonStorage(DictStorage[str, str]):
    """Keeps text, as a storage in a server might."""

    def get(self, key: str, default: Any = None) -> Any:
        text = self.data.get(key)
        return default if text is None else json.loads(text)

    def set(self, key: str, value: Any) -> None:
        self.data[key] = json.dumps(value)


def test_results_survive_a_serializer() -> None:
    loads = Loads(JsonStorage())
    loads.answer = lambda who: {"id": who, "name": None}
    assert [loads.load(1), loads.load(1)] == [{"id": 1, "name": None}] * 2
    assert loads.count() == 1


class Expiries:
    """A client that remembers the expiries it was given."""

    def __init__(self) -> None:
        self.values: dict[Any, Any] = {}
        self.expires: list[int] = []

    def get(self, key: Any, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: Any, value: Any, expire: int = 0) -> None:
        self.values[key] = value
        self.expires.append(expire)

    def delete_many(self, keys: Any) -> list[Any]:
        for key in keys:
            self.values.pop(key, None)
        return []

    get_many = set_many = flush_all = None


@pytest.mark.parametrize("own", [None, 5, 5000])
def test_memcached_keeps_entries_as_long_as_they_may_be_returned(own: float | None) -> None:
    client: Any = Expiries()
    storage = MemcacheStorage(client, ttl=own, key_of=lambda key: f"app.{key}")
    load = cached(storage, key="k:{x}", ttl=300, stale=59.5)(lambda x: x)
    load(1)
    load.refresh(1)
    assert client.expires == [361, 361]
    assert list(client.values) == ["app.k:1"]
    load.invalidate(1)
    assert client.values == {}
    assert storage.lifetime == (None if own is None else round(own * 0.9))


def test_a_storage_that_drops_entries_early_is_refused() -> None:
    local = LocalStorage(10, ttl=360, jitter=0.1)
    assert local.lifetime == 324
    for storage in (local, RateLimitedStorage(local, 1), CacheOnStorage(DictStorage(), local)):
        with pytest.raises(ValueError, match=r"ttl \+ stale, 360 s, but may drop them after 324 s"):
            cached(storage, key="k", ttl=300, stale=60)
    cached(CacheOnStorage(LocalStorage(10, ttl=5), DictStorage()), key="k", ttl=300)
    cached(LocalStorage(10, ttl=360, jitter=0), key="k", ttl=300, stale=60)
    assert LocalStorage(10).lifetime is None


def test_tiers() -> None:
    server = CountedStorage()
    loads = Loads(CacheOnStorage(LocalStorage(10, ttl=5), server))
    assert [loads.load(1), loads.load(1)] == ["user 1"] * 2
    assert loads.count() == 1
    assert server.names() == ["get", "set"]


def test_memcached(server: Any) -> None:
    """Against a real server, which takes every key that is made."""
    with Client([server.address], serializer="json") as client:
        loads = Loads(MemcacheStorage(client))
        for value in (1, "a b", "é" * 300, (1, ("x",)), None, 1.5):
            assert [loads.load(value), loads.load(value)] == [f"user {value}"] * 2
        assert loads.count() == 6
        assert loads.load.stats().cache_failures == 0
        loads.load.invalidate("a b")
        loads.load("a b")
        assert loads.count() == 1


# Functions: how they bind and look


class Shop:
    """A class without a dict for its instances."""

    __slots__ = ("__weakref__", "id")
    calls = 0

    def __init__(self, number: int) -> None:
        self.id = number

    @cached(DictStorage(), ttl=60)
    def shared(self, x: int, y: int = 2) -> tuple[int, int]:
        """Return what is the same for every shop."""
        return (self.id, x)

    @cached(DictStorage(), key="shop:{self.id}:{x}", ttl=60)
    def price(self, x: int) -> tuple[int, int]:
        return (self.id, x)

    @classmethod
    @cached(DictStorage(), ttl=60)
    def inside(cls, x: int = 1) -> tuple[str, int]:
        return (cls.__name__, x)

    @cached(DictStorage(), ttl=60)
    @classmethod
    def outside(cls, x: int = 1) -> tuple[str, int]:
        return (cls.__name__, x)

    @cached(DictStorage(), key="{cls.__name__}", ttl=60)
    @classmethod
    def named(cls) -> str:
        return cls.__name__

    @staticmethod
    @cached(DictStorage(), ttl=60)
    def static_inside(x: int = 1) -> int:
        return x

    @cached(DictStorage(), ttl=60)
    @staticmethod
    def static_outside(x: int = 1) -> int:
        return x

    def plain(this, x: int) -> int:  # noqa: N805
        return x

    odd = cached(DictStorage(), ttl=60)(plain)


class SubShop(Shop):
    __slots__ = ()


def test_self_is_part_of_the_key_if_the_template_says_so() -> None:
    first, second = Shop(1), Shop(2)
    assert [first.price(5), second.price(5), first.price(x=5)] == [(1, 5), (2, 5), (1, 5)]
    assert first.price.key(5) == Shop.price.key(first, 5) == "shop:1:5"
    assert [first.shared(5), second.shared(5)] == [(1, 5), (1, 5)]
    assert first.shared.key(5) == Shop.shared.key(second, 5) == f"{__name__}.Shop.shared(x=5,y=2)"
    assert Shop.price(second, 6) == (2, 6)
    assert first.odd.key(1) == f"{__name__}.Shop.plain(x=1)"


def test_a_bound_function_invalidates_and_refreshes() -> None:
    shop = Shop(1)
    assert shop.price(7) == (1, 7)
    shop.id = 1
    assert shop.price.refresh(7) == (1, 7)
    shop.price.invalidate(7)
    assert shop.price(7) == (1, 7)
    assert shop.price.stats() == Shop.price.stats()
    assert SubShop(1).price.key(7) == "shop:1:7"


@pytest.mark.parametrize("name", ["inside", "outside", "static_inside", "static_outside"])
def test_classmethods_and_staticmethods_from_either_side(name: str) -> None:
    expected: Any = 3 if name.startswith("static") else ("Shop", 3)
    for owner in (Shop, Shop(1), SubShop):
        function = getattr(owner, name)
        assert function(3) == expected
        assert function(x=3) == expected
        assert function.key(3) == f"{__name__}.Shop.{name}(x=3)"
        assert function.key() == f"{__name__}.Shop.{name}(x=1)"
        assert list(inspect.signature(function).parameters) == ["x"]
        assert function.__name__ == name
    getattr(Shop, name).refresh(3)
    hits = getattr(Shop, name).stats().hits
    getattr(Shop, name)(3)
    getattr(Shop, name).invalidate(3)
    getattr(Shop, name)(3)
    assert getattr(Shop, name).stats().hits == hits + 1


def test_a_template_may_name_the_class() -> None:
    assert [Shop.named(), SubShop.named(), SubShop(1).named()] == ["Shop", "SubShop", "SubShop"]
    assert SubShop.named.key() == "'SubShop'"


def test_a_class_that_is_not_bound_is_found_or_asked_for() -> None:
    """Since Python 3.13 a classmethod over it binds calls, and no other methods."""

    class Local:
        @classmethod
        @cached(DictStorage(), ttl=60)
        def inside(cls, x: int) -> tuple[str, int]:
            return (cls.__name__, x)

    inner: Any = vars(Shop)["inside"].__func__
    assert inner(Shop, 4) == ("Shop", 4)
    assert inner.key(4) == inner.key(Shop, 4) == inner.key(x=4) == f"{__name__}.Shop.inside(x=4)"
    inner.invalidate(4)
    assert inner.refresh(4) == ("Shop", 4)
    local: Any = vars(Local)["inside"].__func__
    local.invalidate(4)
    with pytest.raises(TypeError, match=r"Local\.inside does not know its class here: decorate"):
        local.refresh(4)
    assert inner.refresh(SubShop, 4) == ("SubShop", 4)
    named: Any = vars(Shop)["named"]
    with pytest.raises(TypeError, match="does not know its class here"):
        named.key()
    assert named.key(cls=Shop) == "'Shop'"


def test_no_instance_or_argument_is_kept() -> None:
    shop = Shop(1)
    shop.price(1)
    shop.price.refresh(1)
    shop.price.invalidate(1)
    gone = weakref.ref(shop)
    del shop
    gc.collect()
    let_go()
    assert gone() is None


def test_a_context_copied_by_the_function_keeps_no_argument() -> None:
    contexts = []

    class Argument:
        id = 1

    @cached(DictStorage(), key="k:{argument.id}", ttl=60)
    def load(argument: Argument) -> int:
        from contextvars import copy_context

        contexts.append(copy_context())
        return 1

    argument = Argument()
    load(argument)
    gone = weakref.ref(argument)
    del argument
    let_go()
    assert gone() is None


@cached(DictStorage(), key="user:{who}", ttl=60)
def load_user(who: int, *, lang: str = "en") -> str:
    """Return the name of a user."""
    return f"user {who}"


load_user_again = load_user


def test_it_looks_like_the_function() -> None:
    assert load_user.__name__ == "load_user"
    assert load_user.__doc__ == "Return the name of a user."
    assert load_user.__module__ == __name__
    assert str(inspect.signature(load_user)) == "(who: int, *, lang: str = 'en') -> str"
    assert get_type_hints(load_user) == {"who": int, "lang": str, "return": str}
    assert load_user.__wrapped__(3) == "user 3"
    assert not inspect.iscoroutinefunction(load_user)
    assert isinstance(load_user, Cached)
    assert repr(load_user) == "<cached load_user>"
    assert not hasattr(load_user, "nothing")


def test_a_bound_one_looks_like_a_method() -> None:
    shop = Shop(1)
    assert str(inspect.signature(shop.shared)) == "(x: int, y: int = 2) -> tuple[int, int]"
    assert str(inspect.signature(Shop.shared)).startswith("(self, x: int")
    assert shop.shared.__doc__ == "Return what is the same for every shop."
    assert shop.shared.__name__ == "shared"
    assert shop.shared == shop.shared
    assert hash(shop.shared) == hash(shop.shared)
    assert shop.shared != shop.price
    assert shop.shared != Shop(1).shared
    assert shop.shared != 5
    assert shop.shared.__self__ is shop
    assert repr(shop.shared).startswith("<bound <cached Shop.shared> of <")
    assert not hasattr(shop.shared, "nothing")


def test_it_is_pickled_by_name() -> None:
    assert pickle.loads(pickle.dumps(load_user)) is load_user
    assert copy.copy(load_user) is copy.deepcopy(load_user) is load_user
    bound = pickle.loads(pickle.dumps(Bindable().method))
    assert bound(1) == 1


class Bindable:
    @cached(DictStorage(), ttl=60)
    def method(self, x: int) -> int:
        return x


def test_attributes_of_the_function_stay() -> None:
    def function() -> int:
        return 1

    function.mark = "seen"  # type: ignore[attr-defined]
    function.key = "not this"  # type: ignore[attr-defined]
    decorated: Any = cached(DictStorage(), key="k", ttl=60)(function)
    assert decorated.mark == "seen"
    assert decorated.key() == "k"


def test_a_decorated_function_can_be_decorated_again() -> None:
    inner = Loads()
    outer = cached(DictStorage(), key="outer:{who}", ttl=5)(inner.load)
    assert [outer(1), outer(1)] == ["user 1"] * 2
    assert inner.load.stats().misses == 1
    assert outer.key(1) == "outer:1"
    assert inner.load.key(1) == "user:1"
    assert outer.stats().misses == 1


def test_a_partial_can_be_decorated() -> None:
    half = cached(DictStorage(), key="p:{lang}", ttl=60)(partial(load_user, 1))
    assert half(lang="fr") == "user 1"
    assert half.key(lang="fr") == "p:'fr'"
    assert "partial" in repr(half)
    with pytest.raises(ValueError, match="key must be given, as the function has no name"):
        cached(DictStorage(), ttl=60)(partial(load_user, 1))


# Mistakes


async def coroutine_function() -> None: ...


def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


class AsyncGet(DictStorage[Any, Any]):
    async def get(self, key: Any, default: Any = None) -> Any:
        return None


@pytest.mark.parametrize(
    ("storage", "function", "given", "message"),
    [
        (DictStorage(), generator, {"ttl": 1}, "cached cannot keep what a generator yields"),
        (DictStorage(), async_generator, {"ttl": 1}, "cached cannot keep what a generator yields"),
        (DictStorage(), 5, {"ttl": 1}, "cached must decorate a function, got 5"),
        (AsyncGet(), len, {"ttl": 1}, "storage must not be async for a plain function"),
        (DictStorage, len, {"ttl": 1}, "storage must be a Storage, got <class"),
        (len, len, {"ttl": 1}, "storage must be a Storage, got <built-in function len>"),
        (Expiries(), len, {"ttl": 1}, "): it has no method get_multi"),
        (DictStorage(), len, {}, "ttl must be a number of seconds or a timedelta"),
        (DictStorage(), len, {"ttl": "x"}, "ttl must be a number of seconds, got 'x'"),
        (DictStorage(), len, {"freshness": 5}, "freshness must be a Freshness or None, got 5"),
        (
            DictStorage(),
            len,
            {"freshness": Freshness(ttl=1), "ttl": 1},
            "give ttl and stale, or freshness",
        ),
    ],
)
def test_a_mistake_is_refused_when_decorating(
    storage: Any, function: Any, given: Any, message: str
) -> None:
    with pytest.raises(TypeError) as caught:
        cached(storage, key="k", **given)(function)
    assert message in str(caught.value)


@pytest.mark.parametrize("given", [{"ttl": 0}, {"ttl": 1, "stale": -1}, {"ttl": timedelta(0)}])
def test_a_bad_time_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"(ttl|stale) must be (over|at least) 0 seconds"):
        cached(DictStorage(), **given)


def test_a_function_that_returns_a_coroutine_is_refused() -> None:
    loads = Loads()
    loads.answer = lambda who: coroutine_function()
    with pytest.raises(TypeError, match=r"load must return a value, got <coroutine object .*async"):
        loads.load(1)
