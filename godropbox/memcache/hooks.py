"""Hooks: an event after every operation, for metrics and tracing. No I/O.

A hook is a callable that takes an ``Event``; pass it in the client's ``hooks`` option. It runs in
the thread of the operation, after the operation ends, so keep it fast. Its exceptions are logged
(``godropbox.memcache``) and fail no operation. A client without hooks runs none of this code.
``PrometheusHook`` and ``OpenTelemetryHook`` are ready to use.
"""

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

_STORES: Final = frozenset(["set", "add", "replace", "append", "prepend", "cas"])
_OF_ONE: Final = _STORES | {"get", "gat", "delete", "touch", "increment", "decrement"}
_OF_MANY: Final = frozenset(["get_multi", "gat_multi", "set_multi", "touch_multi", "delete_multi"])
_OF_ALL: Final = frozenset(["flush", "stats", "version"])
_OF_LEASES: Final = frozenset(["meta_get", "meta_delete", "run"])
_OUTCOMES: Final = {
    ResponseStatus.OK: "ok",
    ResponseStatus.KEY_NOT_FOUND: "miss",
    ResponseStatus.KEY_EXISTS: "exists",
    ResponseStatus.ITEM_NOT_STORED: "not stored",
}


class Event(NamedTuple):
    """A finished operation.

    - `operation`: the raw client's name for it (``get_multi``, ``increment``); ``lease`` for each
      get that ``get_or_set`` sends, and ``get_or_set`` for the whole call.
    - `keys`: the keys, as passed by the caller; empty for operations on whole servers.
    - `shard`: the key's shard; None for a batch or if unknown.
    - `duration`: in seconds; `started`: in nanoseconds since 1970.
    - `outcome`: for one key ``hit``, ``miss``, ``ok``, ``exists``, ``not stored``, ``skipped`` (the
      key's shard does not serve now) or ``error``; for a batch ``ok`` or ``error``; for
      ``get_or_set`` ``hit``, ``waited`` (another client loaded it), ``loaded`` or ``error``.
    - `hits`, `misses`, `errors`: numbers of keys; `error`: the first error.
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
_Result = tuple[str, int, int, int, BaseException | None]


def tell(hooks: Iterable[Hook], event: Event) -> None:
    """Call the hooks and log their exceptions; raise a ``BaseException`` after the last hook."""

    def call(hook: Hook) -> None:
        try:
            hook(event)
        except Exception:
            import logging  # costs an import more than all of this package's hooks

            logging.getLogger("godropbox.memcache").exception(
                "a hook failed at %s", event.operation
            )

    call_all([partial(call, hook) for hook in hooks])


class Observed:
    """Wrapper around a client's operations that reports each of them to the hooks."""

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

    def _of_one(
        self, name: str, call: Callable[..., Any], subject: Any, *more: Any, **kw: Any
    ) -> Any:
        key = subject.key if isinstance(subject, Item) else subject
        return self._timed(name, [key], partial(call, subject, *more, **kw), _of_one)

    def _of_many(
        self, name: str, call: Callable[..., Any], batch: Sequence[Any], *more: Any
    ) -> Any:
        keys = [each.key if isinstance(each, Item) else each for each in batch]
        return self._timed(name, keys, partial(call, batch, *more), _of_many)

    def get_listed(self, keys: list[Any]) -> Any:
        """Call ``ShardedClient.get_values``; report a ``get_multi``."""
        call = partial(self._operations._get_listed, keys)
        return self._timed("get_multi", keys.copy(), call, partial(_of_values, keys))

    def set_listed(self, keys: list[Any], *more: Any) -> Any:
        """Call ``ShardedClient.set_values``; report a ``set_multi``."""
        call = partial(self._operations._set_listed, keys, *more)
        return self._timed("set_multi", keys.copy(), call, _of_many)

    # The short writes of ``ShardedClient``.

    def store_one(self, verb: str, key: Any, *more: Any) -> Any:
        """Call ``ShardedClient._store_one``; report `verb`."""
        return self._of_short(verb, key, partial(self._operations._store_one, verb, key, *more))

    def delete_one(self, key: Any) -> Any:
        """Call ``ShardedClient._delete_one``; report a ``delete``."""
        return self._of_short("delete", key, partial(self._operations._delete_one, key))

    def touch_one(self, key: Any, expire: Any) -> Any:
        """Call ``ShardedClient._touch_one``; report a ``touch``."""
        return self._of_short("touch", key, partial(self._operations._touch_one, key, expire))

    def count_one(self, down: bool, key: Any, delta: Any) -> Any:
        """Call ``ShardedClient._count_one``; report an ``increment`` or a ``decrement``."""
        name = "decrement" if down else "increment"
        return self._of_short(name, key, partial(self._operations._count_one, down, key, delta))

    def _of_short(self, name: str, key: Any, call: Callable[[], Any]) -> Any:
        return self._timed(name, [key], call, _of_written)

    def _of_all(self, name: str, call: Callable[..., Any], *args: Any) -> Any:
        return self._timed(name, [], partial(call, *args), _of_one)

    def _timed(
        self, name: str, keys: list[Any], call: Callable[[], Any], judge: Callable[[Any], _Result]
    ) -> Any:
        started, begun = time.time_ns(), self._timer()
        shard = self._shard_for(keys, judge)
        try:
            response = call()
        except BaseException as error:
            failed = ("error", 0, 0, len(keys), error)
            tell(self._hooks, Event(name, keys, shard, self._timer() - begun, started, *failed))
            raise
        duration = self._timer() - begun
        tell(self._hooks, Event(name, keys, shard, duration, started, *judge(response)))
        return response

    def _shard_for(self, keys: list[Any], judge: Callable[[Any], _Result]) -> int | None:
        """Return the shard of an operation on one key."""
        if self._shard_of is None or not keys or judge not in (_of_one, _of_written):
            return None
        try:
            return self._shard_of(keys[0])
        except Exception:
            return None  # of a bad key, or a user's function: the operation itself raises for it


def _of_one(response: Any) -> _Result:
    """Return the result of an operation on one key or on whole servers."""
    outcome = _outcome(response)
    counts = (int(outcome == "hit"), int(outcome == "miss"), int(outcome == "error"))
    return outcome, *counts, response.error


def _of_written(answer: Any) -> _Result:
    """Return the result of a short write: None or a count if it was done, else the response."""
    return _of_one(answer) if hasattr(answer, "status") else ("ok", 0, 0, 0, None)


def _of_many(batch: Any) -> _Result:
    """Return the result of a batch."""
    responses = list(batch.values()) if isinstance(batch, Mapping) else batch
    outcomes = list(map(_outcome, responses))
    errors = outcomes.count("error")
    first = responses[outcomes.index("error")].error if errors else None
    outcome = "error" if errors else "ok"
    return outcome, outcomes.count("hit"), outcomes.count("miss"), errors, first


def _of_values(asked: list[Any], gathered: Any) -> _Result:
    """Return the result of a get that returned values, and responses for other keys."""
    found, rest = gathered
    outcome, hits, misses, errors, first = _of_many(rest)
    missing = len(set(asked)) - len(found) - len(rest)
    return outcome, hits + len(found), misses + missing, errors, first


def _outcome(response: Any) -> str:
    if response.error is not None:
        return "error"
    if response.skipped:
        return "skipped"
    if isinstance(response, GetResponse) and response.found:
        return "hit" if response.value or response.flags else "miss"  # an unfilled lease is a miss
    if isinstance(response, (GetResponse, MutateResponse, CountResponse)):
        return _OUTCOMES.get(response.status, "error")
    return "ok"


class PrometheusHook:
    """Hook that counts and times operations with ``prometheus_client`` (godropbox[prometheus]).

    - ``{namespace}_operations_total{operation, outcome, shard}``; `shard` is empty for batches
    - ``{namespace}_keys_total{operation, result}``; `result` is hit, miss or error
    - ``{namespace}_operation_seconds{operation}``, a histogram

    `registry` defaults to the global registry of ``prometheus_client``.
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
        """Record an event."""
        shard = "" if event.shard is None else str(event.shard)
        self._operations.labels(event.operation, event.outcome, shard).inc()
        self._seconds.labels(event.operation).observe(event.duration)
        results = (("hit", event.hits), ("miss", event.misses), ("error", event.errors))
        for result, count in results:
            if count:
                self._keys.labels(event.operation, result).inc(count)


class OpenTelemetryHook:
    """Hook that records a span for each operation (godropbox[opentelemetry]).

    The span is a child of the current one. It has the operation, the outcome, the shard and the
    number of keys, but not the keys, which may be personal data. `tracer_provider` defaults to the
    global one.
    """

    def __init__(self, tracer_provider: Any = None) -> None:
        trace = package("opentelemetry.trace", "OpenTelemetryHook", "opentelemetry")
        self._tracer = trace.get_tracer("godropbox.memcache", tracer_provider=tracer_provider)
        self._kind = trace.SpanKind.CLIENT
        self._failed = trace.StatusCode.ERROR

    def __call__(self, event: Event) -> None:
        """Record the span of an event."""
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
