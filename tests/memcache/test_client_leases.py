"""``get_or_set``: one load among all who miss, against real servers."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import leases
from support.blocking import LOOPS, Blocking
from support.memcached import Server, need_tokens

import godropbox
from godropbox import memcache
from godropbox.memcache import (
    InvalidArgumentError,
    InvalidTypeError,
    Item,
    MutateResponse,
    NotSupportedError,
    ResponseStatus,
)
from godropbox.memcache.aio import AsyncClient
from godropbox.memcache.client import Client
from godropbox.memcache.codec import UnreadableValueError
from godropbox.memcache.leases import LeaseTimeoutError
from godropbox.memcache.responses import failed_mutate
from godropbox.memcache.testing import MockClient

Make = Callable[..., Any]


def never() -> Any:
    raise AssertionError("this was not to be loaded")


def later(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a coroutine function that does what a function does."""

    async def called(*given: Any) -> Any:
        return call(*given)

    return called


@pytest.fixture(params=["raw", "fleet", *LOOPS])
def make(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Iterator[Make]:
    """Make clients of one empty server."""
    address = servers("tcp").address
    made: list[Any] = []

    def client(**options: Any) -> Any:
        if request.param in LOOPS:
            if "sleep" in options:
                options["sleep"] = later(options["sleep"])
            made.append(Blocking(AsyncClient([address], timeout=10.0, **options), request.param))
        elif request.param == "raw":
            raw = memcache.RawMetaClient(memcache.connect(address, timeout=10.0))
            made.append(Client.over(raw, **options))
        else:
            made.append(Client([address], timeout=10.0, **options))
        return made[-1]

    client().flush_all()
    yield client
    for each in made:
        each.close()


def test_a_miss_is_loaded_once_and_then_a_hit(make: Make) -> None:
    client = make()
    assert client.get_or_set("k", lambda: "value", 60) == "value"
    assert client.get_or_set("k", never, 60) == "value"
    assert make().get("k") == "value"


@pytest.mark.parametrize("value", [b"", "", b"x", 0])
def test_an_empty_value_is_a_value(make: Make, value: Any) -> None:
    client = make()
    assert client.get_or_set("k", lambda: value, 60) == value
    assert client.get_or_set("k", never, 60) == value
    assert client.get_many(["k"]) == {"k": value}


def test_a_lease_that_nobody_filled_yet_is_a_miss(make: Make) -> None:
    client, other = make(), make()

    def load() -> int:
        assert other.get("k", "none") == "none"
        assert other.gets("k", "none") == ("none", None)
        assert other.gat("k", 60, "none") == "none"
        assert other.get_many(["k"]) == {}
        return 5

    assert client.get_or_set("k", load, 60) == 5
    assert other.get("k") == 5


def test_who_comes_later_waits_and_gets_the_first_ones_value(make: Make) -> None:
    need_tokens()
    began, waits = threading.Event(), threading.Event()
    first = make()
    given: list[Any] = []

    def load() -> str:
        began.set()
        assert waits.wait(20)
        return "value"

    thread = threading.Thread(target=lambda: given.append(first.get_or_set("k", load, 60)))
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            waits.set()
            thread.join()

    second = make(sleep=sleep, random=lambda: 1.0)
    thread.start()
    assert began.wait(20)
    assert second.get_or_set("k", never, 60) == "value"
    assert given == ["value"]
    # Each pause is twice the last, up to a tenth of a second.
    assert pauses == [0.002 * 2**i for i in range(6)] + [0.1] * 6


def test_a_load_that_fails_hands_the_lease_on_at_once(make: Make) -> None:
    need_tokens()
    began, waits = threading.Event(), threading.Event()
    first = make()
    raised: list[BaseException] = []

    def fail() -> None:
        began.set()
        assert waits.wait(20)
        raise KeyboardInterrupt("stop")

    def run() -> None:
        try:
            first.get_or_set("k", fail, 60, lease_time=1000)
        except KeyboardInterrupt as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        waits.set()
        thread.join()

    second = make(sleep=sleep)
    thread.start()
    assert began.wait(20)
    assert second.get_or_set("k", lambda: "mine", 60) == "mine"
    assert len(pauses) == 1
    assert [str(error) for error in raised] == ["stop"]
    assert not hasattr(raised[0], "__notes__")


def test_a_value_that_cannot_be_stored_hands_the_lease_on(make: Make) -> None:
    client = make()
    with pytest.raises(InvalidTypeError, match="value must be bytes, str or int"):
        client.get_or_set("k", lambda: None, 60)
    with pytest.raises(memcache.ServerError, match="too large"):
        client.get_or_set("k", lambda: bytes(3_000_000), 60)
    assert client.get_or_set("k", lambda: 1, 60, wait=0) == 1


@pytest.mark.parametrize("change", ["delete", "set"])
def test_what_happened_to_the_key_meanwhile_is_not_overwritten(make: Make, change: str) -> None:
    need_tokens()
    client, other = make(), make()

    def load() -> str:
        other.delete("k")
        if change == "set":
            other.set("k", "new")
        return "old"

    assert client.get_or_set("k", load, 60) == "old"
    assert other.get("k") == (None if change == "delete" else "new")


def test_to_wait_has_an_end(make: Make) -> None:
    need_tokens()
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    first, second = make(), make(sleep=sleep, clock=lambda: now[0])

    def load() -> int:
        with pytest.raises(LeaseTimeoutError, match=r"^no lease holder stored .* 'k' within 3 s$"):
            second.get_or_set("k", never, 60, wait=3)
        assert now[0] == pytest.approx(3)
        with pytest.raises(LeaseTimeoutError, match=r"within 7 s"):
            second.get_or_set("k", never, 60, lease_time=5)
        with pytest.raises(memcache.DeadlineExceededError, match="within 0 s"):
            second.get_or_set("k", never, 60, wait=0)
        return 1

    assert first.get_or_set("k", load, 60) == 1


@pytest.mark.parametrize("life", [timedelta(seconds=5), timedelta(milliseconds=5000), 5, 5.0])
@pytest.mark.parametrize("wait", [timedelta(seconds=3), 3, None])
def test_every_duration_may_be_a_timedelta(make: Make, life: Any, wait: Any) -> None:
    need_tokens()
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    first, second = make(), make(sleep=sleep, clock=lambda: now[0])

    def load() -> int:
        with pytest.raises(LeaseTimeoutError, match=f"within {7 if wait is None else 3} s"):
            second.get_or_set("k", never, timedelta(minutes=1), lease_time=life, wait=wait)
        assert now[0] == pytest.approx(7 if wait is None else 3)
        return 1

    stale = timedelta(seconds=10)
    options: dict[str, Any] = {"stale": stale, "lease_time": life, "wait": wait}
    assert first.get_or_set("k", load, timedelta(minutes=1), **options) == 1
    assert first.get_or_set("k", never, timedelta(minutes=1), **options) == 1


# An empty item without flags that is not a lease: b"" of ours has a flag, others' has not.


@pytest.fixture
def foreign(servers: Callable[[str], Server]) -> Iterator[memcache.RawMetaClient]:
    """Another library's client of the same server."""
    raw = memcache.RawMetaClient(memcache.connect(servers("tcp").address))
    yield raw
    raw.close()


@pytest.mark.parametrize("life", [0, 10_000, 5])
@pytest.mark.parametrize("stale", [0, 50])
def test_an_empty_value_of_another_client_is_a_miss(
    make: Make, foreign: memcache.RawMetaClient, life: int, stale: int
) -> None:
    client = make()
    assert foreign.set(Item("k", b"", expire=life)).ok
    assert client.get("k", "none") == "none"
    assert client.get_or_set("k", lambda: "value", 60, stale=stale, wait=0) == "value"
    assert make().get_or_set("k", never, 60, wait=0) == "value"
    left = foreign.meta_get("k", details=True).ttl
    assert left is not None
    assert 50 < left <= 60 + stale


def test_an_empty_value_of_another_client_is_loaded_once(
    make: Make, foreign: memcache.RawMetaClient
) -> None:
    need_tokens()
    first, second = make(), make()
    foreign.set(Item("k", b""))

    def load() -> str:
        with pytest.raises(LeaseTimeoutError):
            second.get_or_set("k", never, 60, wait=0)
        held = foreign.meta_get("k", details=True)
        assert held.taken
        assert held.ttl is not None
        assert 0 < held.ttl <= 11  # whose holder may die, as any
        return "value"

    assert first.get_or_set("k", load, 60) == "value"
    assert second.get_or_set("k", never, 60) == "value"


def test_a_failed_load_leaves_an_empty_value_of_another_client_a_miss(
    make: Make, foreign: memcache.RawMetaClient
) -> None:
    foreign.set(Item("k", b""))
    with pytest.raises(ZeroDivisionError) as caught:
        make().get_or_set("k", lambda: 1 // 0, 60)
    assert not hasattr(caught.value, "__notes__")
    assert make().get_or_set("k", lambda: 5, 60, wait=0) == 5


def test_an_empty_value_that_another_client_replaces_is_not_overwritten(
    make: Make, foreign: memcache.RawMetaClient
) -> None:
    need_tokens()
    foreign.set(Item("k", b""))

    def load() -> str:
        foreign.set(Item("k", b"new"))
        return "old"

    assert make().get_or_set("k", load, 60) == "old"
    assert make().get("k") == b"new"


class Claimed:
    """The operations of a raw client; another claims an empty item just before this one does."""

    def __init__(self, raw: memcache.RawMetaClient, then: Callable[[], object]) -> None:
        self._raw, self._then = raw, then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def meta_delete(self, *arguments: Any, **options: Any) -> Any:
        then, self._then = self._then, lambda: None
        then()
        return self._raw.meta_delete(*arguments, **options)


@pytest.mark.parametrize("change", ["claimed", "deleted", "stored"])
def test_an_empty_value_is_claimed_by_one_caller(
    foreign: memcache.RawMetaClient, change: str
) -> None:
    need_tokens()
    foreign.flush()
    foreign.set(Item("k", b""))
    token = foreign.get("k").cas
    changes: dict[str, Callable[[], object]] = {
        "claimed": lambda: (
            foreign.meta_delete("k", cas=token, stale=True, expire=60),
            foreign.meta_get("k", lease=60),
        ),
        "deleted": lambda: foreign.delete("k"),
        "stored": lambda: foreign.set(Item("k", b"", expire=60)),
    }
    client = Client.over(Claimed(foreign, changes[change]))
    if change == "claimed":
        with pytest.raises(LeaseTimeoutError):
            client.get_or_set("k", never, 60, wait=0)
    else:
        assert client.get_or_set("k", lambda: 5, 60, wait=0) == 5
        assert client.get("k") == 5


@pytest.mark.parametrize("answers", [True, False])
def test_an_empty_value_on_a_server_that_can_mark_nothing_by_token(
    foreign: memcache.RawMetaClient, answers: bool
) -> None:
    """As before memcached 1.6.13: loaded without a lease, and stored by its token."""

    class Old(Claimed):
        def meta_delete(self, key: Any, **_: Any) -> Any:
            error = NotSupportedError("md with a token")
            if answers:
                return failed_mutate(key, ResponseStatus.NOT_SUPPORTED, error)
            raise error

    foreign.flush()
    foreign.set(Item("k", b""))
    client = Client.over(Old(foreign, lambda: None))
    with pytest.raises(ZeroDivisionError) as caught:
        client.get_or_set("k", lambda: 1 // 0, 60)
    assert not hasattr(caught.value, "__notes__")
    assert client.get_or_set("k", lambda: 5, 60, wait=0) == 5
    assert client.get("k") == 5


def test_a_server_that_only_says_that_it_marked_an_item_ends_the_wait(
    foreign: memcache.RawMetaClient,
) -> None:
    need_tokens()

    class Liar(Claimed):
        def meta_delete(self, key: Any, **_: Any) -> Any:
            return MutateResponse(key, ResponseStatus.OK)

    foreign.flush()
    foreign.set(Item("k", b""))
    with pytest.raises(LeaseTimeoutError):
        Client.over(Liar(foreign, lambda: None)).get_or_set("k", never, 60, wait=0)


# Stale values: one that is to be fresh for ten seconds is as good as stale to who asks with
# stale=1000, as less than that is left of its life.


def test_a_stale_value_is_given_while_one_caller_loads(make: Make) -> None:
    client, other = make(), make()
    assert client.get_or_set("k", lambda: "old", 10, stale=20) == "old"

    def load() -> str:
        assert other.get_or_set("k", never, 10, stale=1000) == "old"
        return "new"

    assert client.get_or_set("k", load, 2000, stale=1000) == "new"
    assert other.get_or_set("k", never, 2000, stale=1000) == "new"


def test_a_fresh_value_is_loaded_by_nobody(make: Make) -> None:
    client = make()
    client.get_or_set("k", lambda: "value", 60, stale=30)
    assert client.get_or_set("k", never, 60, stale=30) == "value"


def test_a_load_that_fails_leaves_the_stale_value_and_another_may_load(make: Make) -> None:
    need_tokens()
    client, other = make(), make()
    client.get_or_set("k", lambda: "old", 10, stale=20)
    with pytest.raises(ZeroDivisionError):
        client.get_or_set("k", lambda: 1 // 0, 2000, stale=1000)
    assert other.get("k") == "old"

    def load() -> str:
        assert client.get_or_set("k", never, 2000, stale=1000) == "old"
        return "new"

    assert other.get_or_set("k", load, 2000, stale=1000) == "new"


def test_a_value_marked_stale_is_waited_for_unless_stale_will_do(
    make: Make, servers: Callable[[str], Server]
) -> None:
    need_tokens()
    raw = memcache.RawMetaClient(memcache.connect(servers("tcp").address))
    client, other = make(), make()
    client.set("k", "old")
    assert raw.meta_delete("k", stale=True, expire=60).ok
    for _ in range(2):  # who wins and fails leaves it marked, for another to win
        with pytest.raises(ZeroDivisionError):
            client.get_or_set("k", lambda: 1 // 0, 60)

    def load() -> str:
        assert other.get_or_set("k", never, 60, stale=10) == "old"
        with pytest.raises(LeaseTimeoutError):
            other.get_or_set("k", never, 60, wait=0)
        return "new"

    assert client.get_or_set("k", load, 60) == "new"
    raw.close()


def test_an_aware_datetime_is_when_the_value_is_over_however_long_the_load_takes(
    make: Make,
) -> None:
    now = int(time.time())
    client = make(wall_clock=lambda: now)
    end = datetime.fromtimestamp(now + 100, UTC)

    def load() -> int:
        nonlocal now
        now += 90
        return 5

    assert client.get_or_set("k", load, end) == 5
    assert client.get("k") == 5
    now += 10
    assert client.get_or_set("late", lambda: 6, end) == 6
    assert client.get("late") is None
    with pytest.raises(InvalidArgumentError, match="stale needs an expire above 0, got datetime"):
        client.get_or_set("late", never, end, stale=5)


# Failures


def test_a_value_that_cannot_be_read_is_loaded_anew_if_it_is_to_be_a_miss(
    make: Make, servers: Callable[[str], Server]
) -> None:
    client = make(unreadable="miss")
    raw = memcache.RawMetaClient(memcache.connect(servers("tcp").address))
    raw.set(Item("k", b"junk", flags=4))
    raw.close()
    with pytest.raises(UnreadableValueError):
        make().get_or_set("k", never, 60)
    assert client.get_or_set("k", lambda: 5, 60) == 5
    assert client.get("k") == 5


@pytest.fixture(params=["blocking", *LOOPS])
def nowhere(request: pytest.FixtureRequest) -> Make:
    """Make clients of a server that is not there."""

    def make(**options: Any) -> Any:
        if request.param in LOOPS:
            return Blocking(AsyncClient(["127.0.0.1:1"], **options), request.param)
        return Client(["127.0.0.1:1"], **options)

    return make


def test_without_a_cache_it_raises_or_loads(nowhere: Make) -> None:
    with pytest.raises(memcache.NetworkError):
        nowhere().get_or_set("k", never, 60)
    assert nowhere(failures="miss").get_or_set("k", lambda: 5, 60) == 5


class Forgetful:
    """The operations of a raw client, but that it cannot store by a token, nor delete."""

    def __init__(self, raw: memcache.RawMetaClient) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        if name in ("cas", "meta_delete"):
            raise_lost = memcache.ConnectionLostError(f"no {name}")
            return lambda *_, **__: (_ for _ in ()).throw(raise_lost)
        return getattr(self._raw, name)


def test_a_value_that_was_loaded_and_cannot_be_stored(servers: Callable[[str], Server]) -> None:
    need_tokens()
    raw = memcache.RawMetaClient(memcache.connect(servers("tcp").address))
    raw.flush()
    with pytest.raises(memcache.ConnectionLostError, match="no cas"):
        Client.over(Forgetful(raw)).get_or_set("k", lambda: 5, 60)
    raw.flush()
    assert Client.over(Forgetful(raw), failures="miss").get_or_set("k", lambda: 5, 60) == 5
    raw.flush()
    with pytest.raises(ZeroDivisionError) as caught:
        Client.over(Forgetful(raw)).get_or_set("k", lambda: 1 // 0, 60)
    assert caught.value.__notes__ == ["the lease on 'k' could not be released: no meta_delete"]
    raw.close()


class FrozenError(Exception):
    """As a frozen dataclass is."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"cannot assign to {name}")


@pytest.mark.parametrize("lost", [memcache.UsageError("closed"), OSError(5), KeyError("k")])
def test_a_lease_that_cannot_be_handed_on_hides_no_error(
    servers: Callable[[str], Server], lost: Exception
) -> None:
    """Whatever the operations raise, and whatever the error makes of a note."""
    need_tokens()

    class Closed(Forgetful):
        def __getattr__(self, name: str) -> Any:
            if name == "meta_delete":
                return lambda *_, **__: (_ for _ in ()).throw(lost)
            return getattr(self._raw, name)

    def fails() -> Any:
        raise FrozenError("of the load")

    raw = memcache.RawMetaClient(memcache.connect(servers("tcp").address))
    raw.flush()
    with pytest.raises(FrozenError) as caught:
        Client.over(Closed(raw)).get_or_set("k", fails, 60)
    assert caught.value.__notes__ == [f"the lease on 'k' could not be released: {lost}"]
    raw.close()


async def promised() -> int:
    return 5


def generated() -> Any:
    yield 5


async def both() -> Any:
    yield 5


@pytest.mark.parametrize("load", [promised, generated, both])
def test_a_load_that_returns_a_promise_is_refused(make: Make, load: Any) -> None:
    """And the lease is handed on; nor does anybody warn that a coroutine was never awaited."""
    client = make()
    if load is promised and isinstance(client, Blocking):  # which waits for it
        assert client.get_or_set("k", load, 60) == 5
        assert client.get("k") == 5
        client.delete("k")
        load = later(generated)
    with pytest.raises(TypeError, match=r"^load must return a value, got <.*: is it async, or a"):
        client.get_or_set("k", load, 60)
    assert client.get_or_set("k", lambda: 5, 60) == 5


def test_a_load_is_refused_over_a_cache_that_is_down(nowhere: Make) -> None:
    client = nowhere(failures="miss", timeout=0.2)
    with pytest.raises(TypeError, match=r"^load must return a value, got <generator"):
        client.get_or_set("k", generated, 60)
    if isinstance(client, Client):
        with pytest.raises(TypeError, match=r"^load must return a value, got <coroutine"):
            client.get_or_set("k", promised, 60)
    client.close()


@pytest.mark.parametrize("protocol", ["ascii", "binary"])
def test_it_needs_the_meta_protocol(nowhere: Make, protocol: str) -> None:
    client = nowhere(protocol=protocol)
    with pytest.raises(NotSupportedError, match="no leases: get_or_set needs protocol='auto'"):
        client.get_or_set("k", never, 60)
    with pytest.raises(NotSupportedError):
        Client.over(MockClient()).get_or_set("k", never, 60)


@pytest.mark.parametrize(
    ("expire", "options", "words"),
    [
        (60, {"stale": -1}, r"stale must be in \[0, 2591999\] seconds, got -1"),
        (0, {"stale": 5}, "stale needs an expire above 0, got 0"),
        (60, {"lease_time": 0}, r"lease_time must be in \(0, 2591999\] seconds, got 0"),
        (
            60,
            {"lease_time": timedelta(0)},
            r"lease_time must be in \(0, 2591999\] seconds, got dat",
        ),
        (60, {"lease_time": timedelta(days=30)}, r"lease_time must be in \(0, 2591999\] seconds"),
        (60, {"lease_time": "5"}, "lease_time must be seconds or a timedelta, got '5'"),
        (60, {"wait": -1}, "wait must be at least 0 seconds, got -1"),
        (60, {"wait": timedelta(-1)}, "wait must be at least 0 seconds, got datetime.timedelta"),
        (60, {"wait": "5"}, "wait must be seconds or a timedelta, got '5'"),
        (60, {"wait": 10**400}, "wait must be a finite number of seconds, got an int of 1329 bits"),
        (60, {"lease_time": float("nan")}, "lease_time must be a finite number of seconds"),
        ("x", {}, "expire must be seconds, a timedelta or an aware datetime, got 'x'"),
        (1_800_000_000, {}, r"expire must be under 10\*\*9 seconds from now \(31 years\), got 18"),
        (datetime(2040, 1, 1), {}, "expire must be an aware datetime, got a naive one, datetime"),
        (60, {"stale": 1_800_000_000}, r"stale must be in \[0, 2591999\] seconds, got 1800000000"),
    ],
)
def test_arguments_out_of_their_range(
    make: Make, expire: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises((InvalidArgumentError, InvalidTypeError), match=words):
        make().get_or_set("k", never, expire, **options)
    with pytest.raises(InvalidArgumentError, match="key must"):
        make().get_or_set("a b", never, 60)


# Processes


def test_a_thousand_misses_in_eight_processes_make_one_load(
    servers: Callable[[str], Server],
) -> None:
    need_tokens()
    address = servers("tcp").address
    client = Client([address], timeout=10.0)
    client.flush_all()
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        given = pool.starmap(leases.ask, [(address, 125, 1000)] * 8, chunksize=1)
    assert [value for each in given for value in each] == ["load 1"] * 1000
    assert client.get("loads") == 1
    client.close()


def test_a_loader_that_is_killed_hands_the_lease_on(servers: Callable[[str], Server]) -> None:
    address = servers("tcp").address
    client = Client([address], timeout=10.0)
    client.flush_all()
    command = [sys.executable, str(Path(leases.__file__)), address]
    folder = str(Path(godropbox.__file__).parent.parent)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, env=os.environ | {"PYTHONPATH": folder}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"loading\n"
        process.kill()
        process.wait()
    assert client.get("key", "none") == "none"
    assert client.get_or_set("key", lambda: "mine", 60, wait=20) == "mine"
    client.close()
