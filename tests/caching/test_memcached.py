"""A storage in memcached: on a client over the mock of a server, and over a server."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.caches import PlainClient
from support.forms import CacheOnStorage, MemcacheStorage
from support.memcached import running

from godropbox import errors, memcache
from godropbox.caching import DictStorage, PartialFailureError
from godropbox.memcache.testing import MockClient

pytestmark = pytest.mark.usefixtures("form")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running("tcp", Path(tmp_path_factory.mktemp("memcached"))) as started:
        yield started.address


@pytest.fixture(params=["mock", "server"])
def client(request: pytest.FixtureRequest) -> Iterator[PlainClient]:
    if request.param == "mock":
        yield PlainClient(MockClient())
        return
    channel = memcache.connect(request.getfixturevalue("server"), timeout=5)
    raw = memcache.RawMetaClient(channel, timeout=5)
    made = PlainClient(raw)
    made.flush_all()
    yield made
    raw.close()


def test_get_and_set(client: PlainClient) -> None:
    storage = MemcacheStorage(client)
    storage.set("foo", {"a": 1})
    storage.set_multi({"bar": 2, "zzz": None})
    assert storage.get("foo") == {"a": 1}
    assert (storage.get("nothing"), storage.get("nothing", 7), storage.get("zzz", 7)) == (
        None,
        7,
        None,
    )
    assert storage.get_multi(["foo", "nothing", "bar"]) == {"foo": {"a": 1}, "bar": 2}
    assert storage.client is client


def test_delete_and_flush(client: PlainClient) -> None:
    storage = MemcacheStorage(client)
    storage.set_multi({"foo": 1, "bar": 2, "zzz": 3})
    storage.delete("foo")
    storage.delete("nothing")
    storage.delete_multi(key for key in ("bar",))
    assert storage.get_multi(["foo", "bar", "zzz"]) == {"zzz": 3}
    storage.flush()
    assert storage.get("zzz") is None


def test_keys_that_are_something_else(client: PlainClient) -> None:
    storage = MemcacheStorage(client, key_of=lambda key: f"user:{key[0]}:{key[1]}")
    storage.set((1, 2), "a")
    storage.set_multi({(3, 4): "b", (5, 6): "c"})
    assert client.get("user:3:4") == "b"
    assert storage.get((1, 2)) == "a"
    assert storage.get_multi([(1, 2), (3, 4), (9, 9)]) == {(1, 2): "a", (3, 4): "b"}
    storage.delete((1, 2))
    storage.delete_multi([(3, 4)])
    assert storage.get_multi([(1, 2), (3, 4), (5, 6)]) == {(5, 6): "c"}


class Failed(list[Any]):
    """The keys that failed, with the error of each."""

    errors: dict[Any, Exception]


class Expiries:
    """A client that remembers expiries, and fails for the keys it is told."""

    def __init__(self) -> None:
        self.expires: list[int] = []
        self.failing: list[Any] = []
        self.is_stored = True
        self.read_error: Exception | None = None

    def _failed(self, keys: Any) -> list[Any]:
        failed = Failed(key for key in keys if key in self.failing)
        failed.errors = {key: ConnectionError("no such host") for key in failed}
        return failed

    def get(self, key: Any, default: Any = None) -> Any:
        return default

    def get_many(self, keys: Any) -> dict[Any, Any]:
        if self.read_error is not None:
            raise self.read_error
        return {}

    def set(self, key: Any, value: Any, expire: int = 0) -> bool:
        self.expires.append(expire)
        return self.is_stored

    def set_many(self, values: Mapping[Any, Any], expire: int = 0) -> list[Any]:
        self.expires.append(expire)
        return self._failed(values)

    def delete_many(self, keys: Any) -> list[Any]:
        return self._failed(keys)

    def flush_all(self) -> None:
        pass


@pytest.mark.parametrize(
    ("ttl", "random", "expire"),
    [
        (None, 0.5, 0),
        (100, 0.0, 100),
        (100, 0.5, 95),
        (100, 1.0, 90),
        (1, 1.0, 1),
        (60 * 60 * 24 * 31, 0.0, 2_678_400),
    ],
)
def test_a_value_lives_for_its_time_less_a_random_part(
    ttl: float | None, random: float, expire: int
) -> None:
    client = Expiries()
    storage = MemcacheStorage(client, ttl=ttl, random=lambda: random)
    storage.set("a", 1)
    storage.set_multi({"a": 1})
    assert client.expires == [expire, expire]


def test_a_value_is_gone_when_its_time_is_over() -> None:
    now = [1_700_000_000.0]
    client = PlainClient(MockClient(clock=lambda: now[0]))
    storage = MemcacheStorage(client, ttl=100, random=lambda: 0.5)
    storage.set("a", 1)
    now[0] += 94
    assert storage.get("a") == 1
    now[0] += 1
    assert storage.get("a") is None


@pytest.mark.parametrize("key_of", [None, lambda key: f"x{key}"], ids=["as they are", "made"])
def test_keys_that_failed_are_named(key_of: Any) -> None:
    client = Expiries()
    client.failing = ["xa", "xc"] if key_of else ["a", "c"]
    storage = MemcacheStorage(client, key_of=key_of)
    with pytest.raises(PartialFailureError, match="2 of 3 keys were not set") as caught:
        storage.set_multi({"a": 1, "b": 2, "c": 3})
    assert caught.value.keys == ["a", "c"]
    with pytest.raises(PartialFailureError, match="1 of 2 keys were not deleted") as caught:
        storage.delete_multi(["a", "b"])
    assert caught.value.keys == ["a"]


def test_a_server_that_takes_no_writes_now_is_a_failure() -> None:
    client = Expiries()
    client.is_stored = False
    with pytest.raises(PartialFailureError, match="1 of 1 keys were not set") as caught:
        MemcacheStorage(client).set("a", 1)
    assert caught.value.keys == ["a"]
    client.failing = ["a"]
    with pytest.raises(PartialFailureError, match="1 of 1 keys were not deleted") as caught:
        MemcacheStorage(client).delete("a")
    assert isinstance(caught.value.__cause__, ConnectionError)


class PartError(errors.NetworkError):
    """What a client raises of which some servers did not answer."""

    found = {"xa": 1}  # noqa: RUF012
    errors = {"xb": ConnectionError("no such host")}  # noqa: RUF012


def test_a_read_that_fails_for_some_keys_has_the_others() -> None:
    client = Expiries()
    client.read_error = PartError("1 of 2 keys failed")
    for key_of, keys in ((None, ["xa", "xb"]), (lambda key: f"x{key}", ["a", "b"])):
        with pytest.raises(PartialFailureError, match="1 keys could not be read") as caught:
            MemcacheStorage(client, key_of=key_of).get_multi(keys)
        assert caught.value.found == {keys[0]: 1}
        assert caught.value.keys == keys[1:]
        assert caught.value.__cause__ is client.read_error


def test_what_the_client_raises_comes_out() -> None:
    raw = MockClient()
    storage = MemcacheStorage(PlainClient(raw))
    raw.fail_everything = True
    call: Callable[[], Any]
    for call in (
        lambda: storage.get("a"),
        lambda: storage.get_multi(["a"]),
        lambda: storage.set("a", 1),
        lambda: storage.flush(),
    ):
        with pytest.raises(errors.ServerError):
            call()


def test_a_server_that_dies_in_the_middle_is_done_without(tmp_path: Path) -> None:
    storage = DictStorage({"foo": 1})
    with running("tcp", tmp_path) as server:
        channel = memcache.connect(server.address, timeout=5)
        raw = memcache.RawMetaClient(channel, timeout=5)
        layer = CacheOnStorage(MemcacheStorage(PlainClient(raw)), storage)
        assert [layer.get("foo"), layer.get("foo")] == [1, 1]
        assert layer.stats().hits == 1
    assert layer.get("foo") == 1
    layer.set("foo", 2)
    assert layer.get("foo") == 2
    assert layer.get_multi(["foo", "bar"]) == {"foo": 2}
    assert layer.stats().doubts == 1
    assert layer.stats().cache_failures >= 3
    raw.close()


@pytest.mark.threads
def test_bad_arguments_and_repr() -> None:
    client = Expiries()
    for ttl in (0, 0.5, 10**9, 1_800_000_000):
        with pytest.raises(ValueError, match=r"ttl must be in \[1, 10\*\*9\) seconds or None, got"):
            MemcacheStorage(client, ttl=ttl)
    with pytest.raises(ValueError, match=r"jitter must be in \[0, 1\], got -1"):
        MemcacheStorage(client, jitter=-1)
    assert repr(MemcacheStorage(client, ttl=60)) == "<MemcacheStorage over Expiries, 60 s each>"


class AsyncClient:
    """A client whose every call is a promise."""

    async def get(self, key: Any, default: Any = None) -> Any: ...
    async def get_many(self, keys: Any) -> Any: ...
    async def set(self, key: Any, value: Any, expire: int = 0) -> Any: ...
    async def set_many(self, values: Any, expire: int = 0) -> Any: ...
    async def delete_many(self, keys: Any) -> Any: ...
    async def flush_all(self) -> Any: ...


@pytest.mark.parametrize(
    "call",
    [
        lambda storage: storage.get("a"),
        lambda storage: storage.get_multi(["a", "b"]),
        lambda storage: storage.set("a", 1),
        lambda storage: storage.set_multi({"a": 1, "b": 2}),
        lambda storage: storage.delete("a"),
        lambda storage: storage.delete_multi(["a", "b"]),
        lambda storage: storage.flush(),
    ],
)
@pytest.mark.threads
def test_an_async_client_is_refused_by_every_operation(call: Any) -> None:
    storage: Any = MemcacheStorage(AsyncClient())
    with pytest.raises(TypeError, match=r"client\.\w+ must return a value, got <coroutine"):
        call(storage)


@pytest.mark.parametrize("ttl", ["300", True, timedelta(seconds=5), datetime.now(UTC)])
def test_a_time_to_live_that_is_no_number_is_refused(ttl: Any) -> None:
    with pytest.raises(TypeError, match="ttl must be a number of seconds or None"):
        MemcacheStorage(MockClient(), ttl=ttl)
