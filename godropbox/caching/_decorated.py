"""What decorated functions have in common, plain or coroutine: how they bind, look and are set up.

Nothing waits here: ``decorator`` has the form of plain functions, ``aio.cached`` the other.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar, copy_context
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    overload,
)

from .._kernels._args import shown
from ._keys import KeyMaker
from .options import CacheStats, Freshness

__all__ = ["CALL", "Bound", "Decorated", "freshness_of", "kept"]

P = ParamSpec("P")
Q = ParamSpec("Q")
A = TypeVar("A")  # what a call returns: the result, or a coroutine of it
N = TypeVar("N")  # what ``invalidate`` returns: None, or a coroutine of it
D = TypeVar("D")
T = TypeVar("T")
X = TypeVar("X", contravariant=True)
A_co = TypeVar("A_co", covariant=True)
N_co = TypeVar("N_co", covariant=True)

# The call to run if its key has to be loaded: a function, its arguments by position and by name.
# Whichever caller leads a load finds its own here, by thread or by task.
Call = tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]
CALL: Final[ContextVar[Call | None]] = ContextVar("godropbox.caching.call", default=None)

# What users of a function look at beyond its name: ``inspect``, ``typing.get_type_hints``.
_OF_FUNCTION: Final = frozenset(
    ["__annotations__", "__code__", "__defaults__", "__globals__", "__kwdefaults__"]
)
_METHODS: Final = ("get", "get_multi", "set", "set_multi", "delete", "delete_multi", "flush")


class _BoundDoc:
    """The docstring of a bound function: that of the function itself."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return "A decorated function bound." if instance is None else instance.__func__.__doc__


class Bound(Generic[P, A, N]):
    """A decorated function, bound to an instance or a class like a method."""

    __slots__ = ("__func__", "__self__")
    __doc__ = _BoundDoc()

    def __init__(self, function: Any, instance: Any) -> None:
        self.__func__: Any = function
        self.__self__: Any = instance

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> A:
        result: A = self.__func__(self.__self__, *args, **kwargs)
        return result

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> N:
        """Delete the entry of this call; a missing one is ignored."""
        result: N = self.__func__.invalidate(self.__self__, *args, **kwargs)
        return result

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> A:
        """Run the function now; store and return its result."""
        result: A = self.__func__.refresh(self.__self__, *args, **kwargs)
        return result

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of this call in the storage."""
        made: str = self.__func__.key(self.__self__, *args, **kwargs)
        return made

    def stats(self) -> CacheStats:
        """Return the statistics of the function, over all instances."""
        found: CacheStats = self.__func__.stats()
        return found

    if TYPE_CHECKING:
        __name__: str
        __wrapped__: Callable[..., Any]
    else:  # hidden, or a type checker would take every name for an attribute

        def __getattr__(self, name: str) -> Any:
            if name == "__signature__":
                whole = inspect.signature(self.__func__)
                return whole.replace(parameters=list(whole.parameters.values())[1:])
            return getattr(self.__func__, name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bound):
            return NotImplemented
        return self.__func__ is other.__func__ and self.__self__ is other.__self__

    def __hash__(self) -> int:
        return hash((id(self.__func__), id(self.__self__)))

    def __reduce__(self) -> Any:
        return getattr, (self.__self__, self.__func__.__name__)

    def __repr__(self) -> str:
        return f"<bound {self.__func__!r} of {shown(self.__self__)}>"


class Takes(Protocol[X, Q, A_co, N_co]):
    """A decorated function whose first parameter takes an X."""

    def __call__(self, first: X, /, *args: Q.args, **kwargs: Q.kwargs) -> A_co: ...
    def invalidate(self, first: X, /, *args: Q.args, **kwargs: Q.kwargs) -> N_co: ...


class Decorated(Generic[P, A, N]):
    """A function whose results are cached: its keys, its layer, and what it is bound to."""

    def __init__(
        self,
        function: Any,
        key: str | Callable[..., str] | None,
        layer: Callable[[str], Any],
    ) -> None:
        self._binds_class = isinstance(function, classmethod)
        self._is_static = isinstance(function, staticmethod)
        if self._binds_class or self._is_static:
            function = function.__func__
        functools.update_wrapper(cast(Any, self), function, updated=())
        own = {
            name: value
            for name, value in getattr(function, "__dict__", {}).items()
            # A decorated function may be decorated again: for tiers with a time to live each.
            if not (isinstance(function, Decorated) and name.startswith("_"))
            and not hasattr(type(self), name)
        }
        vars(self).update(own)
        self._function = function
        self._given_key = key
        self._is_method = not self._is_static and (
            self._binds_class or _looks_like_method(function)
        )
        self._keys = KeyMaker(function, key, self._is_method)
        self._layer = layer(self._keys.who)

    # Binding

    def __set_name__(self, owner: type, name: str) -> None:
        if not (self._is_method or self._is_static):
            self._is_method = True
            self._keys = KeyMaker(self._function, self._given_key, True)

    # Type checkers do not show it classmethods and staticmethods: what is bound they have to infer
    # from whether the first parameter can take the class, the instance, or neither.
    @overload
    def __get__(
        self: "Takes[type[T], Q, A, N]", instance: T | None, owner: type[T]
    ) -> Bound[Q, A, N]: ...
    @overload
    def __get__(self: D, instance: None, owner: Any = None) -> D: ...
    @overload
    def __get__(self: "Takes[T, Q, A, N]", instance: T, owner: Any = None) -> Bound[Q, A, N]: ...
    @overload
    def __get__(self: D, instance: object, owner: Any = None) -> D: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if self._is_static:
            return self
        if self._binds_class:
            return Bound(self, type(instance) if owner is None else owner)
        return self if instance is None else Bound(self, instance)

    def _with_class(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], is_run: bool
    ) -> tuple[Any, ...]:
        """Return the arguments by position, with the class of a classmethod if it is missing.

        From Python 3.13 on, a classmethod over this object does not bind it, but puts the class
        before the arguments of calls, and of no other method. If the keys do not depend on the
        class, any will do for them, and that in which the function was written for a run of it.
        """
        if (
            self._keys.first != "cls"
            or not self._is_method
            or "cls" in kwargs
            or (args and isinstance(args[0], type))
        ):
            return args
        owner = self._owner() if is_run else None
        if self._keys.needs("cls") or (is_run and owner is None):
            raise TypeError(
                f"{self._keys.who} does not know its class here: "
                "decorate the classmethod, or pass the class as the first argument"
            )
        return (owner, *args)

    def _owner(self) -> Any:
        """Return the class in which the function was written; None if it is not in a module."""
        owner: Any = sys.modules.get(self._function.__module__)
        for name in self._function.__qualname__.split(".")[:-1]:
            owner = getattr(owner, name, None)
        return owner

    # Looks

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of this call in the storage."""
        return self._keys.of(self._with_class(args, kwargs, False), kwargs)

    def stats(self) -> CacheStats:
        """Return the statistics of the function."""
        found: CacheStats = self._layer.stats()
        return found

    if TYPE_CHECKING:
        __name__: str
        __qualname__: str
        __wrapped__: Callable[P, A]
    else:  # hidden, or a type checker would take every name for an attribute

        def __getattr__(self, name: str) -> Any:
            if name in _OF_FUNCTION:
                return getattr(self.__wrapped__, name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> str:
        return self.__qualname__  # pickled by name, as a function is

    def __repr__(self) -> str:
        return f"<cached {self._keys.who}>"


def _looks_like_method(function: Any) -> bool:
    """Return whether `function` was written in a class, and takes an instance or a class."""
    path = getattr(function, "__qualname__", "").split(".")
    if len(path) < 2 or path[-2] == "<locals>":
        return False
    code = getattr(function, "__code__", None)
    return code is not None and code.co_argcount > 0 and code.co_varnames[0] in ("self", "cls")


# Options


def _seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def freshness_of(
    ttl: float | timedelta | None, stale: float | timedelta, freshness: Freshness | None
) -> Freshness:
    """Return the one set of options: `freshness`, or one made of `ttl` and `stale`."""
    if freshness is None:
        if ttl is None:
            raise TypeError("ttl must be a number of seconds or a timedelta, or give freshness")
        return Freshness(ttl=_seconds(ttl), stale=_seconds(stale))
    if not isinstance(freshness, Freshness):
        raise TypeError(f"freshness must be a Freshness or None, got {shown(freshness)}")
    if ttl is not None or stale != 0:
        raise TypeError("give ttl and stale, or freshness, which has both, but not all of them")
    background = freshness.background
    if background is None:
        return freshness

    def start(job: Callable[[], None]) -> object:
        return background(partial(copy_context().run, job))  # the job finds its call there

    return replace(freshness, background=start)


def kept(storage: Any, freshness: Freshness) -> Any:
    """Return `storage`, such that it keeps entries while they may be returned.

    Raises ``TypeError`` for what is no storage, ``ValueError`` for one that drops entries earlier.
    """
    missing = [name for name in _METHODS if not callable(getattr(storage, name, None))]
    if missing or isinstance(storage, type):
        raise TypeError(
            f"storage must be a Storage, got {shown(storage)}: "
            f"it has no method {missing[0] if missing else 'of its own'}"
        )
    seconds = freshness.ttl + freshness.stale
    if hasattr(storage, "keeping"):
        return storage.keeping(seconds)
    lowest = storage
    while hasattr(lowest, "storage"):
        lowest = lowest.storage
    lifetime = getattr(lowest, "lifetime", None)
    if lifetime is not None and lifetime < seconds:
        raise ValueError(
            f"storage must keep entries for ttl + stale, {seconds:g} s, "
            f"but may drop them after {lifetime:g} s: {shown(lowest)}"
        )
    return storage
