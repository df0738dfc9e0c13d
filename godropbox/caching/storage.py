"""The storage protocol, the errors of all storages, and the two simplest storages.

- ``Storage``: the protocol. Everything in this package that keeps values follows it, layers
  included, so that they can be stacked.
- ``DictStorage``: a dict, for tests and examples.
- ``FunctionStorage``: a storage made of functions.

Results go by key, and a missing key is left out, never None. Threads share storages. Failures
raise.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar, overload

from .._kernels._args import shown
from .._kernels._guarded import PLAIN, refuse_unrun, refuse_unrun_values, require_plain
from .._kernels._identity import refuse_copies
from ..errors import DropboxError, UsageError
from ._calls import Calls, run

__all__ = [
    "MISSING",
    "DictStorage",
    "FunctionStorage",
    "PartialFailureError",
    "StaleCacheError",
    "Storage",
    "StorageBusyError",
    "StorageError",
    "UnsupportedOperationError",
]

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class Missing:
    """The class of ``MISSING``, its only value, for a readable repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"


# A default that no storage holds, to tell a stored None from a missing key.
MISSING: Final[Any] = Missing()


class StorageError(DropboxError):
    """A storage failed; ``__cause__`` is the failure below it, if there is one."""


class UnsupportedOperationError(StorageError, UsageError):
    """The storage has no such operation."""


class StorageBusyError(StorageError, UsageError):
    """No turn came within the timeout: as many operations as allowed were running."""


class PartialFailureError(StorageError):
    """An operation on many keys failed for `keys` and succeeded for the others.

    After a read `found` has the values of the others.
    """

    def __init__(
        self,
        message: str,
        /,
        keys: Iterable[Any],
        found: Mapping[Any, Any] | None = None,
        *,
        cause: BaseException | None = None,
        **fields: object,
    ) -> None:
        super().__init__(message, cause=cause, **fields)
        self.keys = list(keys)
        self.found: Mapping[Any, Any] = {} if found is None else found


class StaleCacheError(StorageError):
    """The storage was written, but the cache over it may still hold old values of `keys`.

    `keys` is empty after a flush, when it may be any key.
    """

    def __init__(
        self,
        message: str,
        /,
        keys: Iterable[Any] = (),
        *,
        cause: BaseException | None = None,
        **fields: object,
    ) -> None:
        super().__init__(message, cause=cause, **fields)
        self.keys = list(keys)


class Storage(Protocol[K, V]):
    """Keeps values by key: in a process, in a server, or over another storage."""

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""

    def get_multi(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of `keys` by key; missing keys are left out."""
        ...

    def set(self, key: K, value: V) -> None:
        """Store `value` under `key`."""

    def set_multi(self, items: Mapping[K, V]) -> None:
        """Store the values of `items` by key."""

    def delete(self, key: K) -> None:
        """Delete `key`; a missing key is ignored."""

    def delete_multi(self, keys: Iterable[K]) -> None:
        """Delete `keys`; missing keys are ignored."""

    def flush(self) -> None:
        """Delete everything."""


class DictStorage(Generic[K, V]):
    """A dict with the methods of a storage: unbounded, for tests and examples.

    `data` is the dict itself: give one to start with, or look into it.
    """

    __slots__ = ("data",)
    __reduce_ex__ = refuse_copies

    def __init__(self, data: dict[K, V] | None = None) -> None:
        self.data: dict[K, V] = {} if data is None else data

    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        return self.data.get(key, default)

    def get_multi(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of `keys` by key; missing keys are left out."""
        found = ((key, self.data.get(key, MISSING)) for key in keys)
        return {key: value for key, value in found if value is not MISSING}

    def set(self, key: K, value: V) -> None:
        """Store `value` under `key`."""
        self.data[key] = value

    def set_multi(self, items: Mapping[K, V]) -> None:
        """Store the values of `items` by key."""
        self.data.update(items)

    def delete(self, key: K) -> None:
        """Delete `key`; a missing key is ignored."""
        self.data.pop(key, None)

    def delete_multi(self, keys: Iterable[K]) -> None:
        """Delete `keys`; missing keys are ignored."""
        for key in keys:
            self.data.pop(key, None)

    def flush(self) -> None:
        """Delete everything."""
        self.data.clear()

    def __repr__(self) -> str:
        return f"<DictStorage of {len(self.data)} items>"


class FunctionStorage(Generic[K, V]):
    """A storage made of functions: any of them, each with the signature of its method.

    `get` is called as ``get(key, default)``. If one function of a pair is missing, the other stands
    in for it: ``get_multi([key])`` for a get, a ``get`` of each key for a get of many; the same for
    set and delete. Without both, the operation raises ``UnsupportedOperationError``, as ``flush``
    does without a function.

    A set or delete of many that is made of single calls ends at the first failure; the calls before
    it are done. Nothing is locked: several threads may be in the functions at once. A function that
    is async, or returns a generator, is refused with a ``TypeError``.
    """

    __slots__ = ("_functions", "_name")
    __reduce_ex__ = refuse_copies

    _kind = "FunctionStorage"

    def __init__(
        self,
        name: str,
        *,
        get: Callable[[K, Any], Any] | None = None,
        get_multi: Callable[[list[K]], Mapping[K, V]] | None = None,
        set: Callable[[K, V], object] | None = None,  # noqa: A002  # the method's name
        set_multi: Callable[[Mapping[K, V]], object] | None = None,
        delete: Callable[[K], object] | None = None,
        delete_multi: Callable[[list[K]], object] | None = None,
        flush: Callable[[], object] | None = None,
    ) -> None:
        self._name = name
        self._functions: dict[str, Callable[..., Any] | None] = {
            "get": get,
            "get_multi": get_multi,
            "set": set,
            "set_multi": set_multi,
            "delete": delete,
            "delete_multi": delete_multi,
            "flush": flush,
        }
        for argument, function in self._functions.items():
            if function is not None and not callable(function):
                raise TypeError(f"{argument} must be a function or None, got {shown(function)}")
            if function is not None:
                self._check(argument, function)

    def _check(self, argument: str, function: Callable[..., Any]) -> None:
        """Raise ``TypeError`` for a function that cannot be called."""
        require_plain(argument, function)

    def _either(self, name: str, other: str) -> tuple[Callable[..., Any] | None, Any]:
        """Return the function of an operation if there is one, and that which stands in for it."""
        function, stand_in = self._functions[name], self._functions[other]
        if function is None and stand_in is None:
            raise UnsupportedOperationError(
                f"storage {self._name!r} has no function for {name}, and none for {other}"
            )
        return function, stand_in

    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        return run(self._get_calls(key, default))

    def _get_calls(self, key: K, default: Any) -> Calls[Any]:
        single, multi = self._either("get", "get_multi")
        if single is not None:
            value = yield single, (key, default)
            if type(value) not in PLAIN:
                refuse_unrun("get", value)
            return value
        found = yield multi, ([key],)
        refuse_unrun("get_multi", found)
        refuse_unrun_values("get_multi", found.values())
        return found.get(key, default)

    def get_multi(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of `keys` by key; missing keys are left out."""
        return run(self._get_multi_calls(keys))

    def _get_multi_calls(self, keys: Iterable[K]) -> Calls[dict[K, V]]:
        multi, single = self._either("get_multi", "get")
        values: dict[K, V] = {}
        if multi is not None:
            found = yield multi, (list(keys),)
            refuse_unrun("get_multi", found)
            values = dict(found)
        else:
            for key in keys:
                value = yield single, (key, MISSING)
                if value is not MISSING:
                    values[key] = value
        refuse_unrun_values("get" if multi is None else "get_multi", values.values())
        return values

    def set(self, key: K, value: V) -> None:
        """Store `value` under `key`."""
        run(self._set_calls(key, value))

    def _set_calls(self, key: K, value: V) -> Calls[None]:
        single, multi = self._either("set", "set_multi")
        if single is None:
            refuse_unrun("set_multi", (yield multi, ({key: value},)))
        else:
            refuse_unrun("set", (yield single, (key, value)))

    def set_multi(self, items: Mapping[K, V]) -> None:
        """Store the values of `items` by key."""
        run(self._set_multi_calls(items))

    def _set_multi_calls(self, items: Mapping[K, V]) -> Calls[None]:
        multi, single = self._either("set_multi", "set")
        if multi is not None:
            refuse_unrun("set_multi", (yield multi, (items,)))
            return
        for key, value in items.items():
            refuse_unrun("set", (yield single, (key, value)))

    def delete(self, key: K) -> None:
        """Delete `key`; a missing key is ignored."""
        run(self._delete_calls(key))

    def _delete_calls(self, key: K) -> Calls[None]:
        single, multi = self._either("delete", "delete_multi")
        if single is None:
            refuse_unrun("delete_multi", (yield multi, ([key],)))
        else:
            refuse_unrun("delete", (yield single, (key,)))

    def delete_multi(self, keys: Iterable[K]) -> None:
        """Delete `keys`; missing keys are ignored."""
        run(self._delete_multi_calls(keys))

    def _delete_multi_calls(self, keys: Iterable[K]) -> Calls[None]:
        multi, single = self._either("delete_multi", "delete")
        if multi is not None:
            refuse_unrun("delete_multi", (yield multi, (list(keys),)))
            return
        for key in keys:
            refuse_unrun("delete", (yield single, (key,)))

    def flush(self) -> None:
        """Delete everything."""
        run(self._flush_calls())

    def _flush_calls(self) -> Calls[None]:
        function = self._functions["flush"]
        if function is None:
            raise UnsupportedOperationError(f"storage {self._name!r} has no function for flush")
        refuse_unrun("flush", (yield function, ()))

    def __repr__(self) -> str:
        given = ", ".join(name for name, function in self._functions.items() if function)
        return f"<{self._kind} {self._name!r}: {given or 'no functions'}>"
