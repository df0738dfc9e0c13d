"""What the cache tests share: storages that count, fail and hold up, and a client over a mock."""

import pickle
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from godropbox import errors
from godropbox.caching import DictStorage
from godropbox.memcache import Item

__all__ = ["CountedStorage", "Gate", "PlainClient", "at_once"]


class CountedStorage(DictStorage[Any, Any]):
    """A dict that remembers its calls; before each it does what `before` does, such as raise."""

    def __init__(self, data: dict[Any, Any] | None = None) -> None:
        super().__init__(data)
        self.calls: list[tuple[Any, ...]] = []
        self.before: Callable[..., object] = lambda *call: None
        self.after: Callable[..., object] = lambda *call: None

    def _call(self, *call: Any) -> None:
        self.calls.append(call)
        self.before(*call)

    def fail(self, *operations: str, error: BaseException | None = None) -> None:
        """Have these operations raise from now on; every one if none is named."""

        def raises(operation: str, *_: Any) -> None:
            if not operations or operation in operations:
                raise error or errors.NetworkError(f"{operation}: no such host")

        self.before = raises

    def recover(self) -> None:
        """Have nothing raise from now on."""
        self.before = lambda *call: None

    def get(self, key: Any, default: Any = None) -> Any:
        self._call("get", key)
        value = super().get(key, default)
        self.after("get", key)
        return value

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        keys = list(keys)
        self._call("get_multi", keys)
        values = super().get_multi(keys)
        self.after("get_multi", keys)
        return values

    def set(self, key: Any, value: Any) -> None:
        self._call("set", key)
        super().set(key, value)
        self.after("set", key)

    def set_multi(self, items: Mapping[Any, Any]) -> None:
        self._call("set_multi", list(items))
        super().set_multi(items)

    def delete(self, key: Any) -> None:
        self._call("delete", key)
        super().delete(key)

    def delete_multi(self, keys: Iterable[Any]) -> None:
        keys = list(keys)
        self._call("delete_multi", keys)
        super().delete_multi(keys)

    def flush(self) -> None:
        self._call("flush")
        super().flush()

    def names(self) -> list[str]:
        """Return the operations that were called, in order."""
        return [call[0] for call in self.calls]


class Gate:
    """Where a thread stands until it is let through."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._open = threading.Event()

    def pass_through(self, *_: Any) -> None:
        """Stand here until ``open``."""
        self._reached.set()
        assert self._open.wait(10)

    def wait_for_someone(self) -> None:
        """Return when somebody stands here."""
        assert self._reached.wait(10)

    def open(self) -> None:
        """Let everyone through."""
        self._open.set()


class PlainClient:
    """A client as ``MemcacheStorage`` needs one, over a raw client or a mock of one; it pickles."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def _checked(self, response: Any) -> Any:
        if response.error is not None:
            raise response.error
        return response

    def get(self, key: Any, default: Any = None) -> Any:
        response = self._checked(self.raw.get(key))
        return pickle.loads(response.value) if response.ok else default

    def get_many(self, keys: Any) -> dict[Any, Any]:
        found = self.raw.get_multi(keys).items()
        return {key: pickle.loads(each.value) for key, each in found if self._checked(each).ok}

    def set(self, key: Any, value: Any, expire: int = 0) -> object:
        return self._checked(self.raw.set(Item(key, pickle.dumps(value), expire=expire)))

    def set_many(self, values: Mapping[Any, Any], expire: int = 0) -> list[Any]:
        items = [Item(key, pickle.dumps(value), expire=expire) for key, value in values.items()]
        return [each.key for each in self.raw.set_multi(items) if each.error is not None]

    def delete_many(self, keys: Any) -> list[Any]:
        return [each.key for each in self.raw.delete_multi(keys) if each.error is not None]

    def flush_all(self) -> None:
        self._checked(self.raw.flush())


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Call ``work(0)`` to ``work(count - 1)`` in as many threads; return values and exceptions."""
    ready = threading.Barrier(count)

    def run(number: int) -> Any:
        ready.wait(60)
        try:
            return work(number)
        except BaseException as error:
            return error

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))
