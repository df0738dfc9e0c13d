"""What hooks are told of each operation, and the two that are ready to be told."""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry
from support.blocking import LOOPS, Blocking
from support.memcached import Server, need_tokens

from godropbox import memcache
from godropbox.memcache import BaseShardManager, Item, ShardState
from godropbox.memcache.aio import AsyncBaseShardManager, AsyncClient
from godropbox.memcache.client import Client
from godropbox.memcache.hooks import Event, OpenTelemetryHook, PrometheusHook
from godropbox.memcache.testing import MockClient


def watched(**options: Any) -> tuple[Client, MockClient, list[Event]]:
    """Return a client over a mock, and the list of its events."""
    events: list[Event] = []
    raw = MockClient()
    return Client.over(raw, hooks=(events.append,), **options), raw, events


@pytest.fixture(params=["mock", "raw", *LOOPS])
def seen(
    request: pytest.FixtureRequest, servers: Callable[[str], Server]
) -> Iterator[tuple[Any, Any, list[Event]]]:
    """Give a client of an empty server, raw operations on that, and the list of its events."""
    if request.param == "mock":
        yield watched()
        return
    address = servers("tcp").address
    events: list[Event] = []
    with memcache.RawMetaClient(memcache.connect(address)) as raw:
        assert raw.flush().ok
        if request.param == "raw":
            yield Client.over(raw, hooks=(events.append,)), raw, events
        else:
            client = AsyncClient([address], hooks=(events.append,))
            yield Blocking(client, request.param), raw, events


@pytest.mark.parametrize(
    ("call", "operation", "outcome"),
    [
        (lambda client: client.get("k"), "get", "hit"),
        (lambda client: client.get("absent"), "get", "miss"),
        (lambda client: client.get("lease"), "get", "miss"),
        (lambda client: client.gets("k"), "get", "hit"),
        (lambda client: client.gat("k", 1), "gat", "hit"),
        (lambda client: client.set("k", 1), "set", "ok"),
        (lambda client: client.add("k", 1), "add", "not stored"),
        (lambda client: client.replace("k", 1), "replace", "ok"),
        (lambda client: client.cas("k", 1, 999), "cas", "exists"),
        (lambda client: client.delete("k"), "delete", "ok"),
        (lambda client: client.touch("absent", 1), "touch", "miss"),
        (lambda client: client.incr("k"), "increment", "ok"),
        (lambda client: client.decr("absent"), "decrement", "miss"),
    ],
)
def test_an_operation_on_one_key(
    seen: tuple[Any, Any, list[Event]],
    call: Callable[[Client], Any],
    operation: str,
    outcome: str,
) -> None:
    need_tokens()
    client, raw, events = seen
    raw.set(Item("k", b"5", flags=4))
    raw.set(Item("lease", b""))
    call(client)
    (event,) = events
    assert (event.operation, event.outcome, event.error) == (operation, outcome, None)
    assert len(event.keys) == 1
    assert event.duration >= 0
    assert event.started > 1e18
    assert (event.hits, event.misses) == (outcome == "hit", outcome == "miss")


def test_an_append_is_a_get_and_an_append(seen: tuple[Any, Any, list[Event]]) -> None:
    need_tokens()
    client, raw, events = seen
    raw.set(Item("k", b"text", flags=16))
    assert client.append("k", "1")
    assert client.prepend("k", "1")
    assert not client.append("absent", "1")
    assert [(event.operation, event.outcome) for event in events] == [
        ("get", "hit"),
        ("append", "ok"),
        ("get", "hit"),
        ("prepend", "ok"),
        ("get", "miss"),
    ]


def test_batches_and_whole_servers(seen: tuple[Any, Any, list[Event]]) -> None:
    client, _, events = seen
    client.set_many({"a": 1, "b": 2})
    client.get_many(["a", "b", "c"])
    client.delete_many(["a"])
    client.version()
    client.stats()
    client.flush_all()
    assert [(e.operation, len(e.keys), e.outcome) for e in events] == [
        ("set_multi", 2, "ok"),
        ("get_multi", 3, "ok"),
        ("delete_multi", 1, "ok"),
        ("version", 0, "ok"),
        ("stats", 0, "ok"),
        ("flush", 0, "ok"),
    ]
    assert (events[1].hits, events[1].misses, events[1].errors) == (2, 1, 0)


@pytest.mark.parametrize("kind", ["blocking", *LOOPS])
def test_failures_of_the_network_are_told_with_their_errors(kind: str) -> None:
    events: list[Event] = []
    options: dict[str, Any] = {"failures": "miss", "hooks": (events.append,)}
    client: Any = Client(["127.0.0.1:1"], **options)
    if kind in LOOPS:
        client = Blocking(AsyncClient(["127.0.0.1:1"], **options), kind)
    assert client.get("k") is None
    assert client.get_many(["a", "b"]) == {}
    assert client.set_many({"a": 1}) == ["a"]
    with pytest.raises(memcache.InvalidArgumentError):
        client.get("a b")
    assert [(e.operation, e.outcome, e.errors, type(e.error)) for e in events] == [
        ("get", "error", 1, memcache.ConnectionLostError),
        ("get_multi", "error", 2, memcache.ConnectionLostError),
        ("set_multi", "error", 1, memcache.ConnectionLostError),
        ("get", "error", 1, memcache.InvalidArgumentError),
    ]
    client.close()


def test_failures_are_told_with_their_errors() -> None:
    client, raw, events = watched(failures="miss")
    raw.fail_everything = True
    client.get("k")
    client.get_many(["a", "b"])
    with pytest.raises(memcache.InvalidArgumentError):
        client.get("a b")
    assert [(e.outcome, e.errors, type(e.error)) for e in events] == [
        ("error", 1, memcache.ServerError),
        ("error", 2, memcache.ServerError),
        ("error", 1, memcache.InvalidArgumentError),
    ]


def test_a_hook_that_raises_is_logged_and_costs_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Event] = []

    def faulty(event: Event) -> None:
        raise ZeroDivisionError("a fault")

    client = Client.over(MockClient(), hooks=(faulty, events.append))
    with caplog.at_level(logging.ERROR, "godropbox.memcache"):
        assert client.set("k", 1) is True
    assert "a hook failed at set" in caplog.text
    assert "ZeroDivisionError: a fault" in caplog.text
    assert len(events) == 1


def test_a_hook_that_ends_the_program_keeps_no_other_from_being_called() -> None:
    told: list[str] = []

    def stop(event: Event) -> None:
        told.append("first")
        raise KeyboardInterrupt

    client = Client.over(MockClient(), hooks=(stop, lambda event: told.append("second")))
    with pytest.raises(KeyboardInterrupt):
        client.set("k", b"v")
    assert told == ["first", "second"]


@pytest.mark.parametrize("kind", ["blocking", *LOOPS])
def test_the_shard_of_a_key_is_told(servers: Callable[[str], Server], kind: str) -> None:
    events: list[Event] = []
    addresses = [servers("tcp").address, servers("unix").address]
    options: dict[str, Any] = {"timeout": 10.0, "hooks": (events.append,)}
    options["shard_func"] = lambda key, n: 1
    client: Any = Client(addresses, **options)
    if kind in LOOPS:
        client = Blocking(AsyncClient(addresses, **options), kind)
    client.set("k", 1)
    client.get_many(["k"])
    with pytest.raises(memcache.InvalidTypeError):
        client.get(5)
    client.close()
    assert [event.shard for event in events] == [1, None, None]


@pytest.mark.parametrize("kind", ["blocking", *LOOPS])
def test_a_shard_function_that_raises_is_told_and_hides_no_mistake(
    servers: Callable[[str], Server], kind: str
) -> None:
    def lost(key: object, count: int) -> int:
        raise LookupError(f"no shard for {key!r}")

    events: list[Event] = []
    options: Any = {"shard_func": lost, "hooks": (events.append,)}
    address = servers("tcp").address
    client: Any = Client([address, "127.0.0.1:1"], **options)
    if kind != "blocking":
        client = Blocking(AsyncClient([address, "127.0.0.1:1"], **options), kind)
    with pytest.raises(LookupError, match="no shard for 'k'"):
        client.set("k", 1)
    with pytest.raises(memcache.InvalidArgumentError, match="key must be 1 to 250 bytes"):
        client.set("", 1)
    assert [(event.operation, event.shard, event.outcome) for event in events] == [
        ("set", None, "error")
    ] * 2
    client.close()


@pytest.mark.parametrize("kind", ["blocking", *LOOPS])
@pytest.mark.parametrize("protocol", ["meta", "ascii", "binary"])
def test_batches_over_a_fleet_are_told_key_by_key(
    servers: Callable[[str], Server], protocol: Any, kind: str
) -> None:
    events: list[Event] = []
    states = [(servers("tcp").address, ShardState.ACTIVE), ("127.0.0.1:1", ShardState.WRITE_ONLY)]
    options: dict[str, Any] = {"protocol": protocol, "timeout": 10.0, "hooks": (events.append,)}
    manager: Any = BaseShardManager(lambda key, shards: int(key[-1]) % 2)
    client: Any = Client(manager, **options)
    if kind in LOOPS:
        manager = Blocking(AsyncBaseShardManager(lambda key, shards: int(key[-1]) % 2), kind)
        client = Blocking(AsyncClient(manager.inner, **options), manager)
    with manager:
        manager.update_shard_states(states)
        client.delete_many(["absent0", "empty0"])
        assert client.set_many({"a0": b"1", "b0": "text", "c0": 5, "skipped1": b"1"}) == [
            "skipped1"
        ]
        assert client.set_many({"a0": b"1"}) == []
        asked = ["a0", "b0", "absent0", "a0", "skipped1", "c0", "absent0"]
        for _ in range(2):
            assert client.get_many(asked) == {"a0": b"1", "b0": "text", "c0": 5}
    told = [(e.operation, list(e.keys), e.outcome, e.hits, e.misses, e.errors) for e in events]
    assert told[1:] == [
        ("set_multi", ["a0", "b0", "c0", "skipped1"], "ok", 0, 0, 0),
        ("set_multi", ["a0"], "ok", 0, 0, 0),
        *[("get_multi", asked, "ok", 3, 1, 0)] * 2,
    ]


@pytest.mark.parametrize("seen", ["raw", *LOOPS], indirect=True)
def test_what_get_or_set_did_is_told(seen: tuple[Any, Any, list[Event]]) -> None:
    need_tokens()
    client, _, events = seen
    client.get_or_set("k", lambda: 1, 60)
    client.get_or_set("k", lambda: 2, 60)
    with pytest.raises(ZeroDivisionError):
        client.get_or_set("l", lambda: 1 // 0, 60)
    assert [(e.operation, e.outcome) for e in events] == [
        ("lease", "miss"),
        ("cas", "ok"),
        ("get_or_set", "loaded"),
        ("lease", "hit"),
        ("get_or_set", "hit"),
        ("lease", "miss"),
        ("lease", "ok"),
        ("get_or_set", "error"),
    ]
    assert isinstance(events[-1].error, ZeroDivisionError)


def test_prometheus() -> None:
    registry = CollectorRegistry()
    raw = MockClient()
    client = Client.over(raw, hooks=(PrometheusHook(registry, "cache"),), failures="miss")
    client.set("a", 1)
    client.get("a")
    client.get_many(["a", "b", "c"])
    raw.fail_everything = True
    client.get("a")

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    total = "cache_operations_total"
    assert value(total, operation="get", outcome="hit", shard="") == 1
    assert value(total, operation="get", outcome="error", shard="") == 1
    assert value(total, operation="get_multi", outcome="ok", shard="") == 1
    keys = "cache_keys_total"
    assert value(keys, operation="get_multi", result="hit") == 1
    assert value(keys, operation="get_multi", result="miss") == 2
    assert value(keys, operation="get", result="error") == 1
    assert value("cache_operation_seconds_count", operation="get") == 2


def test_open_telemetry() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    raw = MockClient()
    client = Client.over(raw, hooks=(OpenTelemetryHook(provider),), failures="miss")
    with provider.get_tracer("test").start_as_current_span("page"):
        client.get_many(["a", "b"])
        raw.fail_everything = True
        client.get("a")
    many, one, page = exporter.get_finished_spans()
    assert (many.name, one.name, page.name) == ("memcache get_multi", "memcache get", "page")
    assert many.kind is SpanKind.CLIENT
    assert many.parent is not None
    assert many.parent.span_id == page.context.span_id
    assert many.attributes == {
        "db.system.name": "memcached",
        "db.operation.name": "get_multi",
        "db.operation.batch.size": 2,
        "memcache.outcome": "ok",
        "memcache.hits": 0,
        "memcache.misses": 2,
    }
    assert many.start_time is not None
    assert many.end_time is not None
    assert page.start_time is not None
    assert page.start_time <= many.start_time <= many.end_time
    assert many.status.status_code is StatusCode.UNSET
    assert one.status.status_code is StatusCode.ERROR
    assert [event.name for event in one.events] == ["exception"]


def test_no_metrics_package_is_imported_before_it_is_used() -> None:
    program = (
        "import sys, godropbox.memcache.client as c, godropbox.memcache.testing as t\n"
        "c.Client.over(t.MockClient()).set('k', 1)\n"
        "wanted = {'prometheus_client', 'opentelemetry', 'msgpack', 'backports'}\n"
        "print(sorted(wanted & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (PrometheusHook, r"PrometheusHook needs .* install godropbox\[prometheus\]"),
        (OpenTelemetryHook, r"OpenTelemetryHook needs .* install godropbox\[opentelemetry\]"),
        (lambda: Client.over(MockClient(), serializer="msgpack"), r"install godropbox\[msgpack\]"),
        (lambda: Client.over(MockClient(), compressor="zstd"), r"install godropbox\[zstd\]"),
    ],
)
def test_a_package_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any], words: str
) -> None:
    for name in ("prometheus_client", "opentelemetry.trace", "msgpack"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(memcache.UsageError, match=words):
        make()
