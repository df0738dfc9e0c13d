"""The back end for dogpile.cache: regions over it, what it stores, its locks and its arguments."""

import json
import pickle
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dogpile.cache import make_region
from dogpile.cache.api import NO_VALUE, CachedValue, CacheMutex
from frameworks.conftest import NOWHERE, Witness
from support.memcached import Server, running

from godropbox.compat.pylibmc import shard_function
from godropbox.dogpile import GodropboxBackend
from godropbox.memcache import (
    ConnectionLostError,
    InvalidArgumentError,
    InvalidTypeError,
    Ketama,
    NetworkError,
    PartialNetworkError,
    Rendezvous,
)

NAME = "dogpile.cache.godropbox"

# Methods of regions have no types.
Region = Callable[..., Any]
Backend = Callable[..., GodropboxBackend]


@pytest.fixture
def region(server: Server, witness: Witness) -> Iterator[Region]:
    """Make regions, by the back end's arguments and ``region`` for those of ``make_region``."""
    made: list[Any] = []

    def make(name: str = NAME, region: Any = None, **arguments: Any) -> Any:
        arguments.setdefault("url", server.address)
        cache = make_region(**region or {}).configure(name, 3600, arguments)
        made.append((name, cache.backend))
        return cache

    yield make
    for name, backend in made:
        if name == NAME:
            backend.close()
        elif name == "dogpile.cache.pymemcache":
            backend.client.close()


@pytest.fixture
def backend(region: Region) -> Backend:
    """Make back ends that lock in memcached."""

    def make(**arguments: Any) -> GodropboxBackend:
        made = region(distributed_lock=True, **arguments).backend
        assert isinstance(made, GodropboxBackend)
        return made

    return make


def mutex(backend: Any, key: str = "key") -> CacheMutex:
    made: CacheMutex | None = backend.get_mutex(key)
    assert made is not None
    return made


def test_a_region_caches(region: Region) -> None:
    cache = region()
    made = []

    def make_user(first: str, last: str) -> dict[str, str]:
        made.append(first)
        return {"name": f"{first} {last}"}

    user = cache.cache_on_arguments()(make_user)
    for _ in range(3):  # its key has a blank in it, and in no region is there a mangler
        assert user("Ann", "Lee") == {"name": "Ann Lee"}
    assert made == ["Ann"]
    user.invalidate("Ann", "Lee")
    assert user("Ann", "Lee") == {"name": "Ann Lee"}
    assert made == ["Ann", "Ann"]
    cache.invalidate()
    user("Ann", "Lee")
    assert made == ["Ann", "Ann", "Ann"]


@pytest.mark.parametrize("hard", [True, False])
def test_an_invalidated_region_has_nothing(region: Region, hard: bool) -> None:
    cache = region()
    cache.set("key", "old")
    assert cache.get("key") == "old"
    cache.invalidate(hard=hard)
    assert cache.get("key") is NO_VALUE
    cache.set("key", "new")
    assert cache.get("key") == "new"


@pytest.mark.parametrize("arguments", [{}, {"protocol": "ascii"}, {"protocol": "binary"}])
@pytest.mark.parametrize("is_json", [True, False])
def test_many_keys(region: Region, arguments: dict[str, Any], is_json: bool) -> None:
    coders = {"serializer": lambda v: json.dumps(v).encode(), "deserializer": json.loads}
    cache = region(region=coders if is_json else {}, **arguments)
    cache.set_multi({"a": 1, "b": None, "c d": [3]})
    assert cache.get_multi(["c d", "missing", "a", "b", "a"]) == [[3], NO_VALUE, 1, None, 1]
    cache.delete_multi(["a", "missing"])
    assert cache.get_multi(["a", "b"]) == [NO_VALUE, None]
    assert cache.get_multi([]) == []
    made = cache.get_or_create_multi(["b", "e"], lambda *keys: [key * 2 for key in keys])
    assert made == [None, "ee"]
    cache.delete("b")
    assert cache.get("b") is NO_VALUE


@pytest.mark.parametrize("theirs", ["dogpile.cache.pylibmc", "dogpile.cache.pymemcache"])
@pytest.mark.parametrize("is_json", [True, False])
def test_what_is_stored_is_read_by_the_other_back_ends(
    region: Region, theirs: str, is_json: bool
) -> None:
    coders = {"serializer": lambda v: json.dumps(v).encode(), "deserializer": json.loads}
    more = coders if is_json else {}
    ours, other = region(region=more), region(theirs, region=more)
    value = {"name": "Ann", "photo": "x" * 5000}
    for writer, reader in ((ours, other), (other, ours)):
        writer.set("key", value)
        assert reader.get("key") == value
        writer.set_multi({"a": 1, "b": value})
        assert reader.get_multi(["a", "b", "c"]) == [1, value, NO_VALUE]
        reader.delete_multi(["a", "b"])
        reader.delete("key")
        assert writer.get_multi(["a", "b", "key"]) == [NO_VALUE] * 3


@pytest.mark.parametrize(
    ("theirs", "more", "shard_func"),
    [
        ("dogpile.cache.pymemcache", {}, Rendezvous()),
        ("dogpile.cache.pylibmc", {}, shard_function()),
        ("dogpile.cache.pylibmc", {"behaviors": {"ketama": True}}, Ketama(weighted=False)),
        ("dogpile.cache.pylibmc", {"behaviors": {"ketama_weighted": True}}, Ketama()),
    ],
)
def test_a_fleet_has_its_keys_where_the_other_back_ends_put_them(
    region: Region, tmp_path: Path, theirs: str, more: dict[str, Any], shard_func: Any
) -> None:
    with running("tcp", tmp_path) as one, running("tcp", tmp_path) as two:
        url = [one.address, two.address]
        ours, other = region(url=url, shard_func=shard_func), region(theirs, url=url, **more)
        values = {f"key{i}": i for i in range(40)}
        other.set_multi(values)
        assert ours.get_multi(list(values)) == list(values.values())
        values = {f"other{i}": i for i in range(40)}
        ours.set_multi(values)
        assert other.get_multi(list(values)) == list(values.values())


def test_compressed_values_are_read_by_pylibmc(region: Region, witness: Witness) -> None:
    ours, other = region(min_compress_len=100), region("dogpile.cache.pylibmc")
    ours.set("key", "x" * 5000)
    assert witness.flags("key") == 1 | 8
    assert other.get("key") == "x" * 5000


def test_a_region_with_a_serializer_unpickles_nothing(region: Region, witness: Witness) -> None:
    cache = region(region={"serializer": lambda v: v, "deserializer": bytes})
    witness.client.set("key", CachedValue("planted", {}))
    assert witness.flags("key") == 1
    assert cache.get("key") is NO_VALUE
    assert cache.get_multi(["key"]) == [NO_VALUE]
    assert cache.get_or_create("key", lambda: b"made") == b"made"
    assert cache.get("key") == b"made"


def test_a_damaged_value_is_made_anew(region: Region, witness: Witness) -> None:
    cache = region()
    cache.set("key", "value")
    item = witness.operations.get("key")
    assert item.value is not None
    assert pickle.loads(item.value).payload == "value"
    assert witness.operations.append("key", b"", 0).ok
    raw = witness.operations.set_values(["key"], [item.value[:-5]], [item.flags or 0])
    assert raw == []
    assert cache.get_or_create("key", lambda: "again") == "again"
    assert cache.get("key") == "again"


def test_memcached_forgets_at_its_own_time(region: Region, witness: Witness) -> None:
    region(memcached_expire_time=timedelta(hours=2)).set("key", 1)
    assert 7190 <= (witness.ttl("key") or 0) <= 7200
    region(memcached_expire_time=90).set_multi({"key": 1})
    assert 85 <= (witness.ttl("key") or 0) <= 90
    region().set("key", 1)
    assert witness.ttl("key") == -1


PROTOCOLS = pytest.mark.parametrize("protocol", ["meta", "ascii", "binary"])


@PROTOCOLS
def test_a_lock_is_given_back_by_its_owner_alone(
    backend: Backend, witness: Witness, protocol: str
) -> None:
    one, other = mutex(backend(protocol=protocol)), mutex(backend(protocol=protocol))
    assert not one.locked()
    assert one.acquire()
    assert not other.acquire(wait=False)
    assert not one.acquire(wait=False)
    assert other.locked()
    other.release()  # is not its
    assert one.locked()
    one.release()
    assert not other.locked()
    one.release()

    assert one.acquire(wait=False)
    witness.client.delete("_lockkey")  # it has expired
    assert other.acquire(wait=False)
    one.release()
    assert other.locked()
    assert not one.acquire(wait=False)
    other.release()
    assert one.acquire(wait=False)
    one.release()


def test_threads_that_share_a_lock_release_their_own(backend: Backend, witness: Witness) -> None:
    shared = mutex(backend())
    assert shared.acquire()
    witness.client.delete("_lockkey")  # it has expired
    acquired, go = threading.Event(), threading.Event()

    def late() -> None:
        assert shared.acquire(wait=False)
        acquired.set()
        go.wait()
        shared.release()

    thread = threading.Thread(target=late)
    thread.start()
    acquired.wait()
    shared.release()
    assert shared.locked()
    go.set()
    thread.join()
    assert not shared.locked()


def test_what_is_handed_over_is_the_lock_that_is_held(backend: Backend, witness: Witness) -> None:
    shared = mutex(backend())

    def forget() -> None:
        assert shared.acquire(wait=False)
        witness.client.delete("_lockkey")  # it has expired, and nobody will release it

    for work in (forget, lambda: shared.acquire(wait=False)):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert shared.locked()
    shared.release()
    assert not shared.locked()


def test_a_lock_that_is_handed_to_another_thread(region: Region) -> None:
    released = []

    def later(cache: Any, key: str, creator: Callable[[], Any], mutex: CacheMutex) -> None:
        def work() -> None:
            cache.set(key, creator())
            mutex.release()
            released.append(key)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    cache = region(region={"async_creation_runner": later}, distributed_lock=True)
    cache.set("key", "old")
    cache.invalidate(hard=False)
    assert cache.get_or_create("key", lambda: "new") == "old"
    assert released == ["key"]
    assert cache.get("key") == "new"
    assert not cache.key_is_locked("key")


def test_who_waits_gets_the_lock_when_it_is_released(backend: Backend) -> None:
    holder = mutex(backend())
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            holder.release()

    waiter = mutex(backend(sleep=sleep, lock_sleep=0.2))
    assert holder.acquire()
    assert waiter.acquire()
    assert len(waits) == 3
    assert all(0.1 <= seconds <= 0.3 for seconds in waits)
    assert holder.locked()
    waiter.release()
    assert not holder.locked()


def test_a_lock_expires(backend: Backend, witness: Witness) -> None:
    timed = backend(lock_timeout=20)
    assert timed.has_lock_timeout()
    assert mutex(timed).acquire()
    assert 15 <= (witness.ttl("_lockkey") or 0) <= 20
    mutex(timed, "other key").acquire()
    unlimited = backend()
    assert not unlimited.has_lock_timeout()
    assert mutex(unlimited, "third").acquire()
    assert witness.ttl("_lockthird") == -1


@pytest.mark.parametrize("theirs", ["dogpile.cache.pylibmc", "dogpile.cache.pymemcache"])
def test_locks_exclude_those_of_the_other_back_ends(
    backend: Backend, region: Region, theirs: str
) -> None:
    ours, other = mutex(backend()), mutex(region(theirs, distributed_lock=True).backend)
    assert ours.acquire()
    assert not other.acquire(wait=False)
    ours.release()
    assert other.acquire()
    assert not ours.acquire(wait=False)
    ours.release()
    assert ours.locked()
    other.release()
    assert ours.acquire()
    ours.release()


def test_one_process_of_many_makes_the_value(region: Region) -> None:
    caches = [region(distributed_lock=True, lock_sleep=0.01) for _ in range(8)]
    made = []
    ready = threading.Barrier(len(caches))

    def make() -> str:
        made.append(threading.get_ident())
        return "value"

    def ask(cache: Any) -> None:
        ready.wait()
        assert cache.get_or_create("key", make) == "value"

    threads = [threading.Thread(target=ask, args=(cache,)) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_without_a_distributed_lock_dogpile_locks(region: Region) -> None:
    assert region().backend.get_mutex("key") is None


class LosesAnswers:
    """A client whose lock is added, and the answer is lost."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def add(self, *arguments: Any) -> bool:
        assert self.client.add(*arguments)
        raise ConnectionLostError("lost")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


@pytest.mark.parametrize("failures", ["raise", "miss"])
def test_a_lock_whose_answer_was_lost_is_not_left_behind(
    backend: Backend, witness: Witness, failures: str
) -> None:
    unlucky = backend(failures=failures)
    unlucky._raw = LosesAnswers(unlucky._raw)  # type: ignore[assignment]
    lock = mutex(unlucky)
    if failures == "miss":
        assert lock.acquire()
    else:
        with pytest.raises(ConnectionLostError):
            lock.acquire()
    assert witness.client.get("_lockkey") is None
    lock.release()


def test_a_server_that_fails_raises(region: Region) -> None:
    cache = region(url=NOWHERE, distributed_lock=True)
    single: list[Callable[[], Any]] = [
        lambda: cache.get("key"),
        lambda: cache.set("key", 1),
        lambda: cache.delete("key"),
        lambda: cache.backend.get_mutex("key").acquire(),
    ]
    for call in single:
        with pytest.raises(NetworkError, match="cannot connect to unix:/nowhere"):
            call()
    batches: list[Callable[[], Any]] = [
        lambda: cache.get_multi(["a", "b"]),
        lambda: cache.set_multi({"a": 1, "b": 2}),
        lambda: cache.delete_multi(["a", "b"]),
    ]
    for many in batches:
        with pytest.raises(PartialNetworkError, match=r"2 of 2 keys failed; 'a': .* cannot"):
            many()


def test_a_server_that_fails_costs_the_cache_alone_where_failures_are_misses(
    region: Region,
) -> None:
    cache = region(url=NOWHERE, distributed_lock=True, failures="miss")
    assert cache.get_or_create("key", lambda: "made") == "made"
    assert cache.get_or_create_multi(["a", "b"], lambda *keys: list(keys)) == ["a", "b"]
    assert not cache.key_is_locked("key")
    with pytest.raises(NetworkError):  # else an old value would be left
        cache.delete("key")
    with pytest.raises(PartialNetworkError):
        cache.delete_multi(["a", "b"])


def test_arguments_by_the_names_of_the_other_back_ends(region: Region) -> None:
    given = {"socket_timeout": 0.5, "binary": True, "username": "ann", "password": "secret"}
    arguments = {"url": [NOWHERE, "10.0.0.1"], **given, "min_compress_len": 10}
    made = GodropboxBackend(arguments)
    assert arguments == {"url": [NOWHERE, "10.0.0.1"], **given, "min_compress_len": 10}
    options = made._client.options
    assert (options.timeout, options.protocol, options.compressor) == (0.5, "binary", "zlib")
    assert options.auth is not None
    assert options.auth.mechanism == "sasl"
    made.close()
    with pytest.warns(UserWarning, match="dogpile.cache.godropbox ignores its argument 'quux'"):
        region(quux=1)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({}, InvalidArgumentError, "needs the argument url"),
        ({"urls": "x"}, InvalidArgumentError, "no option 'urls': did you mean 'url'"),
        ({"url": "x", "lock_timout": 1}, InvalidArgumentError, "did you mean 'lock_timeout'"),
        ({"url": "x", "time_out": 1}, InvalidArgumentError, "did you mean 'timeout'"),
        (
            {"url": "x", "behaviors": {}},
            InvalidArgumentError,
            "each behavior is an option",
        ),
        ({"url": "x", "serializer": "json"}, InvalidArgumentError, "a region has a serializer"),
        ({"url": "x", "dead_retry": 3}, InvalidArgumentError, "retry_after and max_retry_after"),
        ({"url": "x:0"}, InvalidArgumentError, "address must be host, host:port"),
        ({"url": "x", "lock_timeout": -1}, InvalidArgumentError, "at least 0 seconds, got -1"),
        ({"url": "x", "lock_sleep": "1"}, InvalidTypeError, "lock_sleep must be seconds"),
        ({"url": "x", "memcached_expire_time": -5}, InvalidArgumentError, "at least 0 seconds"),
        ({"url": "x", "failures": "hide"}, InvalidArgumentError, "failures must be 'raise' or"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        GodropboxBackend(arguments)
