"""What is told of every operation, for metrics and tracing, and two that are ready to be told.

A hook is a callable of an ``Event``, given to the client as one of ``hooks`` in its options. It is
called in the thread of the operation when that is over, so it has to be quick; what it raises is
logged (``godropbox.memcache``) and no operation fails for it. Where there are no hooks, nothing of
this is run. No I/O of its own.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from .._calls import call_all
from .._kernels._guarded import text_of
from .._kernels._identity import refuse_copies
from .responses import CountResponse, GetResponse, MutateResponse
from .serializers import package
from .types import Item, Key, ResponseStatus

__all__ = ["Event", "Hook", "Observed", "OpenTelemetryHook", "PrometheusHook", "tell"]

_LOG: Final = logging.getLogger("godropbox.memcache")
_STORES: Final = frozenset(["set", "add", "replace", "append", "prepend", "cas"])
_OF_ONE: Final = _STORES | {"get", "gat", "delete", "touch", "increment", "decrement"}
_OF_MANY: Final = frozenset(["get_multi", "set_multi", "delete_multi"])
_OF_ALL: Final = frozenset(["flush", "stats", "version"])
_OF_LEASES: Final = frozenset(["meta_get", "meta_delete", "run"])
_OUTCOMES: Final = {
    ResponseStatus.OK: "ok",
    ResponseStatus.KEY_NOT_FOUND: "miss",
    ResponseStatus.KEY_EXISTS: "exists",
    ResponseStatus.ITEM_NOT_STORED: "not stored",
}


class Event(NamedTuple):
    """An operation that is over.

    - `operation`: as the raw clients call it (``get_multi``, ``increment``), ``lease`` for the
      get by which a ``get_or_set`` begins or goes on waiting, and ``get_or_set`` for the whole.
    - `keys`: what it was for, as it was given; empty for what is asked of whole servers.
    - `shard`: the id of the key's server; None for a batch and where it is not known.
    - `duration` in seconds, and `started`, in nanoseconds since 1970.
    - `outcome`: of one key ``hit``, ``miss``, ``ok``, ``exists``, ``not stored``, ``skipped`` (no
      server serves the key now) or ``error``; of a batch ``ok`` or ``error``; of a ``get_or_set``
      ``hit``, ``waited`` (for another's value), ``loaded`` or ``error``.
    - `hits`, `misses`, `errors`: of how many keys it is true; `error`: the first of them.
    """

    operation: str
    keys: Sequence[Key]
    shard: int | None
    duration: float
    started: int
    outcome: str
    hits: int = 0
    misses: int = 0
    errors: int = 0
    error: BaseException | None = None


Hook = Callable[[Event], object]
# The last five fields of an event.
_Told = tuple[str, int, int, int, BaseException | None]


def tell(hooks: Iterable[Hook], event: Event) -> None:
    """Call the hooks; what they raise is logged. What ends a program is raised after the last."""

    def call(hook: Hook) -> None:
        try:
            hook(event)
        except Exception:
            _LOG.exception("a hook failed at %s", event.operation)

    call_all([partial(call, hook) for hook in hooks])


class Observed:
    """The operations of a client, with each one told to hooks when it is over."""

    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        operations: Any,
        hooks: tuple[Hook, ...],
        shard_of: Callable[[Key], int] | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._operations = operations
        self._hooks = hooks
        self._shard_of = shard_of
        self._timer = timer

    def __repr__(self) -> str:
        return repr(self._operations)

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._operations, name)
        if name in _OF_ONE or name in _OF_LEASES:
            return partial(self._of_one, "lease" if name in _OF_LEASES else name, call)
        if name in _OF_MANY:
            return partial(self._of_many, name, call)
        return partial(self._of_all, name, call) if name in _OF_ALL else call

    def _of_one(self, name: str, call: Callable[..., Any], what: Any, *more: Any, **kw: Any) -> Any:
        key = what.key if isinstance(what, Item) else what
        return self._timed(name, [key], partial(call, what, *more, **kw), _of_one)

    def _of_many(self, name: str, call: Callable[..., Any], things: Sequence[Any]) -> Any:
        keys = [thing.key if isinstance(thing, Item) else thing for thing in things]
        return self._timed(name, keys, partial(call, things), _of_many)

    def get_listed(self, keys: list[Any]) -> Any:
        """``ShardedClient.get_values``, told as a ``get_multi``."""
        call = partial(self._operations._get_listed, keys)
        return self._timed("get_multi", keys.copy(), call, partial(_of_values, keys))

    def set_listed(self, keys: list[Any], *more: Any) -> Any:
        """``ShardedClient.set_values``, told as a ``set_multi``."""
        call = partial(self._operations._set_listed, keys, *more)
        return self._timed("set_multi", keys.copy(), call, _of_many)

    def _of_all(self, name: str, call: Callable[..., Any], *args: Any) -> Any:
        return self._timed(name, [], partial(call, *args), _of_one)

    def _timed(
        self, name: str, keys: list[Any], call: Callable[[], Any], told: Callable[[Any], _Told]
    ) -> Any:
        started, begun = time.time_ns(), self._timer()
        shard = self._place(keys[0]) if keys and told is _of_one else None
        try:
            answer = call()
        except BaseException as error:
            failed = ("error", 0, 0, len(keys), error)
            tell(self._hooks, Event(name, keys, shard, self._timer() - begun, started, *failed))
            raise
        duration = self._timer() - begun
        tell(self._hooks, Event(name, keys, shard, duration, started, *told(answer)))
        return answer

    def _place(self, key: Any) -> int | None:
        try:
            return None if self._shard_of is None else self._shard_of(key)
        except (TypeError, ValueError):
            return None  # a bad key, as the operation itself will say


def _of_one(response: Any) -> _Told:
    """Return the outcome of an operation on one key, or on whole servers."""
    outcome = _outcome(response)
    counts = (int(outcome == "hit"), int(outcome == "miss"), int(outcome == "error"))
    return outcome, *counts, response.error


def _of_many(answers: Any) -> _Told:
    """Return the outcome of a batch."""
    responses = list(answers.values()) if isinstance(answers, Mapping) else answers
    outcomes = list(map(_outcome, responses))
    errors = outcomes.count("error")
    first = responses[outcomes.index("error")].error if errors else None
    outcome = "error" if errors else "ok"
    return outcome, outcomes.count("hit"), outcomes.count("miss"), errors, first


def _of_values(asked: list[Any], answers: Any) -> _Told:
    """Return the outcome of a get, of the values and the rest of the answers."""
    found, rest = answers
    outcome, hits, misses, errors, first = _of_many(rest)
    missing = len(set(asked)) - len(found) - len(rest)
    return outcome, hits + len(found), misses + missing, errors, first


def _outcome(response: Any) -> str:
    if response.error is not None:
        return "error"
    if response.skipped:
        return "skipped"
    if isinstance(response, GetResponse) and response.found:
        return "hit" if response.value or response.flags else "miss"  # a lease's is a miss
    if isinstance(response, (GetResponse, MutateResponse, CountResponse)):
        return _OUTCOMES.get(response.status, "error")
    return "ok"


class PrometheusHook:
    """Counts and times operations in metrics of ``prometheus_client`` (godropbox[prometheus]).

    ``{namespace}_operations_total{operation, outcome, shard}``, where `shard` is empty for batches;
    ``{namespace}_keys_total{operation, result}`` with the results hit, miss and error; and the
    histogram ``{namespace}_operation_seconds{operation}``. `registry` is by default the package's.
    """

    def __init__(self, registry: Any = None, namespace: str = "memcache") -> None:
        client = package("prometheus_client", "PrometheusHook", "prometheus")
        registry = client.REGISTRY if registry is None else registry
        self._operations = client.Counter(
            f"{namespace}_operations",
            "Operations on memcached",
            ["operation", "outcome", "shard"],
            registry=registry,
        )
        self._keys = client.Counter(
            f"{namespace}_keys", "Keys by result", ["operation", "result"], registry=registry
        )
        self._seconds = client.Histogram(
            f"{namespace}_operation_seconds",
            "Time taken by operations on memcached",
            ["operation"],
            registry=registry,
            buckets=[d * 10.0**e for e in range(-5, 1) for d in (1, 2, 5)],
        )

    def __call__(self, event: Event) -> None:
        """Count an event."""
        shard = "" if event.shard is None else str(event.shard)
        self._operations.labels(event.operation, event.outcome, shard).inc()
        self._seconds.labels(event.operation).observe(event.duration)
        results = (("hit", event.hits), ("miss", event.misses), ("error", event.errors))
        for result, count in results:
            if count:
                self._keys.labels(event.operation, result).inc(count)


class OpenTelemetryHook:
    """Makes a span of each operation, under the current one (godropbox[opentelemetry]).

    A span has the operation, its outcome, its shard and the number of its keys; the keys themselves
    stay out of it, as they may be anybody's data. `tracer_provider` is by default the global one.
    """

    def __init__(self, tracer_provider: Any = None) -> None:
        trace = package("opentelemetry.trace", "OpenTelemetryHook", "opentelemetry")
        self._tracer = trace.get_tracer("godropbox.memcache", tracer_provider=tracer_provider)
        self._kind = trace.SpanKind.CLIENT
        self._failed = trace.StatusCode.ERROR

    def __call__(self, event: Event) -> None:
        """Make the span of an event."""
        attributes: dict[str, Any] = {
            "db.system.name": "memcached",
            "db.operation.name": event.operation,
            "db.operation.batch.size": len(event.keys),
            "memcache.outcome": event.outcome,
            "memcache.hits": event.hits,
            "memcache.misses": event.misses,
        }
        if event.shard is not None:
            attributes["memcache.shard"] = event.shard
        span = self._tracer.start_span(
            f"memcache {event.operation}",
            kind=self._kind,
            attributes=attributes,
            start_time=event.started,
        )
        if event.error is not None:
            span.record_exception(event.error)
            span.set_status(self._failed, text_of(event.error))
        span.end(event.started + int(event.duration * 1e9))
