"""Storages that need nothing else: what the Go library's own tests show of them, and more."""

import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from support.forms import FunctionStorage

from godropbox import errors
from godropbox.caching import (
    MISSING,
    DictStorage,
    PartialFailureError,
    StaleCacheError,
    Storage,
    StorageError,
    UnsupportedOperationError,
)

pytestmark = pytest.mark.usefixtures("form")


class Recorder:
    """A dict whose functions remember how they were called."""

    def __init__(self) -> None:
        self.data: dict[str, int] = {}
        self.calls: list[tuple[Any, ...]] = []

    def get(self, key: str, default: Any) -> Any:
        self.calls.append(("get", key))
        return self.data.get(key, default)

    def get_multi(self, keys: list[str]) -> dict[str, int]:
        self.calls.append(("get_multi", keys))
        return {key: self.data[key] for key in keys if key in self.data}

    def set(self, key: str, value: int) -> None:
        self.calls.append(("set", key, value))
        self.data[key] = value

    def set_multi(self, items: Mapping[str, int]) -> None:
        self.calls.append(("set_multi", dict(items)))
        self.data.update(items)

    def delete(self, key: str) -> None:
        self.calls.append(("delete", key))
        self.data.pop(key, None)

    def delete_multi(self, keys: Iterable[str]) -> None:
        self.calls.append(("delete_multi", list(keys)))
        for key in keys:
            self.data.pop(key, None)


SINGLE = ("get", "set", "delete")
MULTI = ("get_multi", "set_multi", "delete_multi")


def made_of(names: Iterable[str]) -> tuple[Recorder, Any]:
    recorder = Recorder()
    functions: dict[str, Any] = {name: getattr(recorder, name) for name in names}
    return recorder, FunctionStorage("made", flush=recorder.data.clear, **functions)


def storages() -> list[Storage[str, int]]:
    return [DictStorage(), made_of(SINGLE)[1], made_of(MULTI)[1], made_of(SINGLE + MULTI)[1]]


@pytest.fixture(params=range(4), ids=["dict", "single", "multi", "both"])
def storage(request: pytest.FixtureRequest) -> Storage[str, int]:
    chosen: int = request.param
    return storages()[chosen]


def test_get(storage: Storage[str, int]) -> None:
    storage.set("foo", 1)
    assert storage.get("foo") == 1
    assert storage.get("bar") is None
    assert storage.get("bar", 7) == 7


def test_get_multi_goes_by_key_and_leaves_out_what_is_missing(storage: Storage[str, int]) -> None:
    storage.set_multi({"foo": 1, "bar": 2})
    assert storage.get_multi(["foo", "zzz", "bar"]) == {"foo": 1, "bar": 2}
    assert storage.get_multi(key for key in ("bar", "bar")) == {"bar": 2}
    assert storage.get_multi([]) == {}


def test_set_replaces(storage: Storage[str, int]) -> None:
    storage.set("foo", 1)
    storage.set("foo", 2)
    storage.set_multi({})
    assert storage.get("foo") == 2


def test_delete(storage: Storage[str, int]) -> None:
    storage.set_multi({"foo": 1, "bar": 2, "zzz": 3})
    storage.delete("foo")
    storage.delete("foo")
    assert storage.get_multi(["foo", "bar", "zzz"]) == {"bar": 2, "zzz": 3}
    storage.delete_multi(key for key in ("zzz", "nothing"))
    assert storage.get_multi(["foo", "bar", "zzz"]) == {"bar": 2}


def test_flush(storage: Storage[str, int]) -> None:
    storage.set_multi({"foo": 1, "bar": 2})
    storage.flush()
    assert storage.get_multi(["foo", "bar"]) == {}


def test_none_is_a_value_and_not_a_missing_key() -> None:
    for storage in (DictStorage[str, Any](), made_of(SINGLE)[1], made_of(MULTI)[1]):
        kept: Storage[str, Any] = storage
        kept.set("foo", None)
        assert kept.get("foo", MISSING) is None
        assert kept.get("bar", MISSING) is MISSING
        assert kept.get_multi(["foo", "bar"]) == {"foo": None}


def test_many_are_made_of_single_ones() -> None:
    recorder, storage = made_of(SINGLE)
    storage.set_multi({"a": 1, "b": 2})
    storage.get_multi(["a", "b"])
    storage.delete_multi(["a", "b"])
    assert recorder.calls == [
        ("set", "a", 1),
        ("set", "b", 2),
        ("get", "a"),
        ("get", "b"),
        ("delete", "a"),
        ("delete", "b"),
    ]


def test_a_single_one_is_made_of_many() -> None:
    recorder, storage = made_of(MULTI)
    storage.set("a", 1)
    storage.get("a")
    storage.delete("a")
    assert recorder.calls == [
        ("set_multi", {"a": 1}),
        ("get_multi", ["a"]),
        ("delete_multi", ["a"]),
    ]


def test_each_has_its_own_where_both_are_given() -> None:
    recorder, storage = made_of(SINGLE + MULTI)
    storage.set("a", 1)
    storage.set_multi({"b": 2})
    assert recorder.calls == [("set", "a", 1), ("set_multi", {"b": 2})]


def test_any_subset_works_and_what_is_missing_is_named() -> None:
    storage = FunctionStorage("users", get=lambda key, default: len(key))
    assert storage.get_multi(["a", "bc"]) == {"a": 1, "bc": 2}
    call: Callable[[], Any]
    for call, missing in (
        (lambda: storage.set("a", 1), "set, and none for set_multi"),
        (lambda: storage.set_multi({"a": 1}), "set_multi, and none for set"),
        (lambda: storage.delete("a"), "delete, and none for delete_multi"),
        (lambda: storage.delete_multi(["a"]), "delete_multi, and none for delete"),
        (lambda: FunctionStorage("users").get("a"), "get, and none for get_multi"),
        (
            lambda: FunctionStorage("users").get_multi(["a"]),
            "get_multi, and none for get",
        ),
    ):
        with pytest.raises(UnsupportedOperationError) as caught:
            call()
        assert caught.value.message == f"storage 'users' has no function for {missing}"
        assert isinstance(caught.value, (StorageError, errors.UsageError))


def test_a_flush_that_is_not_there_raises_and_flushes_nothing() -> None:
    recorder = Recorder()
    storage = FunctionStorage("users", get=recorder.get, set=recorder.set)
    storage.set("foo", 1)
    with pytest.raises(UnsupportedOperationError, match="'users' has no function for flush"):
        storage.flush()
    assert storage.get("foo") == 1


def test_what_a_function_raises_comes_out_and_what_was_done_stays_done() -> None:
    recorder = Recorder()

    def fails_at_b(key: str, value: int) -> None:
        if key == "b":
            raise ConnectionError("no such host")
        recorder.set(key, value)

    storage = FunctionStorage("users", get=recorder.get, set=fails_at_b)
    with pytest.raises(ConnectionError, match="no such host"):
        storage.set_multi({"a": 1, "b": 2, "c": 3})
    assert recorder.data == {"a": 1}


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="set_multi must be a function or None, got 5"):
        FunctionStorage("users", set_multi=5)


def test_the_sentinel_is_one_and_can_be_read() -> None:
    assert repr(MISSING) == "MISSING"
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING


def test_reprs() -> None:
    assert repr(DictStorage({"a": 1})) == "<DictStorage of 1 items>"
    assert repr(FunctionStorage("users", get={}.get, flush={}.clear)) == (
        "<FunctionStorage 'users': get, flush>"
    )
    assert repr(FunctionStorage("users")) == "<FunctionStorage 'users': no functions>"


def test_errors_name_their_keys_and_survive_a_pickle() -> None:
    for kind in (PartialFailureError, StaleCacheError):
        error = kind("two keys", ("a", "b"), cause=KeyError("x"))
        again = pickle.loads(pickle.dumps(error))
        assert again.keys == error.keys == ["a", "b"]
        assert isinstance(again, StorageError)
        assert isinstance(again.__cause__, KeyError)
