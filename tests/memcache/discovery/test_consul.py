"""A fleet in Consul, over an HTTP server that behaves as Consul's documents say."""

import contextlib
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support.coordinators import (
    PATIENCE,
    HttpServer,
    Reply,
    answered,
    check_closing,
    first,
    is_right_in_child,
    named,
    opening,
    problem,
)
from support.memcached import certificate

from godropbox.memcache import InvalidArgumentError, InvalidTypeError, ShardState
from godropbox.memcache.discovery.consul import ConsulSource
from godropbox.memcache.discovery.types import Server, SourceError

WRITE_ONLY, DOWN = ShardState.WRITE_ONLY, ShardState.DOWN

Open = Callable[..., ConsulSource]


def instance(node: str, service: str = "cache", **given: Any) -> dict[str, Any]:
    """Return an instance as Consul tells it: its node, its service and the checks of both."""
    checks = given.pop("checks", ["passing", "passing"])
    told = {"ID": service, "Service": "cache", "Address": "", "Port": 11211, "Tags": [], "Meta": {}}
    return {
        "Node": {"ID": "", "Node": node, "Address": f"{node}.internal", "Meta": {}},
        "Service": {**told, **given},
        "Checks": [{"CheckID": f"check-{i}", "Status": each} for i, each in enumerate(checks)],
    }


class Consul:
    """What Consul's agent does for one service: it holds questions back until the index differs."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._change = threading.Condition()
        self.index = 5
        self.instances: list[dict[str, Any]] = [instance("n1"), instance("n2")]
        # What is answered instead, until it is None.
        self.instead: Reply | None = None
        self.wanted: dict[str, str] = {}
        self.server = HttpServer(self._answer, tls)
        self.queries: list[dict[str, str]] = []

    @property
    def address(self) -> str:
        return self.server.address

    def set(self, instances: list[dict[str, Any]], index: int | None = None) -> None:
        with self._change:
            self.instances = instances
            self.index = self.index + 1 if index is None else index
            self._change.notify_all()

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply | None:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.queries.append(query)
        if parts.path != "/v1/health/service/cache":
            return 404, *_body(b"Invalid URL path")
        if any(headers.get(name) != value for name, value in self.wanted.items()):
            return 403, *_body(
                b"Permission denied: anonymous token lacks permission 'service:read'"
            )
        asked = int(query.get("index", "0"))
        with self._change:
            if asked and not self.instead:
                seconds = float(query["wait"].removesuffix("ms")) / 1000
                self._change.wait_for(lambda: self.index != asked or self.instead, seconds)
            if self.instead is not None:
                return self.instead
            tag = query.get("tag")
            found = [each for each in self.instances if not tag or tag in each["Service"]["Tags"]]
            return 200, *_body(json.dumps(found).encode(), self.index)

    def say(self, reply: Reply | None) -> None:
        """Answer this instead, also to the question that is held back."""
        with self._change:
            self.instead = reply
            self._change.notify_all()


def _body(data: bytes, index: int | str | None = None) -> tuple[dict[str, str], Iterator[bytes]]:
    headers = {"Content-Length": str(len(data))}
    if index is not None:
        headers["X-Consul-Index"] = str(index)
    return headers, iter([data])


@pytest.fixture
def consul() -> Iterator[Consul]:
    running = Consul()
    with running.server:
        yield running


@pytest.fixture
def open_source(consul: Consul) -> Iterator[Open]:
    def made(**options: Any) -> ConsulSource:
        return ConsulSource(consul.address, "cache", **{"timeout": PATIENCE, **options})

    with opening(made) as open_source:
        yield open_source


def test_instances_are_servers(consul: Consul, open_source: Open) -> None:
    consul.set(
        [
            instance("n1"),
            instance("n1", "cache-2", Address="10.0.0.2", Port=11212),
            instance("n2", Address="::1", Port=0),
            instance("n3", Tags=["v2", "State=write_only"]),
            instance("n4", Meta={"state": "WARM_UP"}, Tags=None),
        ]
    )
    source = open_source()
    answer = first(source)
    assert answer.version is None
    assert not answer.is_ordered
    assert answer.servers == (
        Server("n1/cache", "n1.internal:11211"),
        Server("n1/cache-2", "10.0.0.2:11212"),
        Server("n2/cache", "[::1]:11211"),
        Server("n3/cache", "n3.internal:11211", WRITE_ONLY),
        Server("n4/cache", "n4.internal:11211", ShardState.WARM_UP),
    )
    assert source.name == f"consul://{consul.address}/cache"
    assert source.name in repr(source)
    assert source.next(0.05) is None


def test_changes_come_at_once_by_one_question(consul: Consul, open_source: Open) -> None:
    source = open_source()
    assert len(first(source).servers) == 2
    assert source.next(0.3) is None
    assert source.next(0.05) is None
    assert len(consul.queries) == 2, "the question is held back over calls"
    began = time.monotonic()
    consul.set([instance("n1"), instance("n2"), instance("n3")])
    assert len(first(source).servers) == 3
    assert time.monotonic() - began < 1
    consul.set([])
    assert first(source).servers == ()


@pytest.mark.parametrize(
    ("only_passing", "checks", "is_down"),
    [
        (True, ["passing", "warning"], True),
        (False, ["passing", "warning"], False),
        (True, ["critical", "passing"], True),
        (False, ["critical", "passing"], True),  # such as the node's, or maintenance
        (True, [], False),
    ],
)
def test_an_ill_server_is_down_and_keeps_its_place(
    consul: Consul, open_source: Open, only_passing: bool, checks: list[str], is_down: bool
) -> None:
    consul.set([instance("n1", checks=checks, Tags=["state=WRITE_ONLY"]), instance("n2")])
    servers = named(first(open_source(only_passing=only_passing)))
    assert list(servers) == ["n1/cache", "n2/cache"]
    assert servers["n1/cache"].state is (DOWN if is_down else WRITE_ONLY)
    assert servers["n2/cache"].state is ShardState.ACTIVE


def test_identities(consul: Consul, open_source: Open) -> None:
    source = open_source(identity="service")
    with pytest.raises(SourceError, match=r"'cache' is there twice: take identity='node'"):
        source.next(PATIENCE)
    consul.set([instance("n1", "cache-1"), instance("n2", "cache-2")])
    assert list(named(first(source))) == ["cache-1", "cache-2"]
    consul.set([instance("n3", "cache-1"), instance("n2", "cache-2")])
    answer = answered(source, lambda said: named(said)["cache-1"].address == "n3.internal:11211")
    assert list(named(answer)) == ["cache-1", "cache-2"]


def test_what_is_asked_for(consul: Consul, open_source: Open) -> None:
    consul.wanted = {"x-consul-token": "secret"}
    consul.set([instance("n1", Tags=["a b"]), instance("n2")])
    assert "answered with status 403: Permission denied" in problem(open_source())
    source = open_source(tag="a b", datacenter="dc&2", token="secret", wait=0.25)
    assert list(named(first(source))) == ["n1/cache"]
    assert "secret" not in repr(source)
    answered(source, lambda said: True)
    assert consul.queries[-1] == {"tag": "a b", "dc": "dc&2", "index": "6", "wait": "250ms"}
    other = ConsulSource(consul.address, "no/thing?x", token="secret")
    with contextlib.closing(other):
        assert "answered with status 404: Invalid URL path" in problem(other)
    assert consul.server.asked[-1] == "/v1/health/service/no%2Fthing%3Fx"


def test_an_index_that_goes_back_begins_anew(consul: Consul, open_source: Open) -> None:
    source = open_source()
    assert len(first(source).servers) == 2
    consul.set([instance("n1")], index=3)
    assert len(answered(source, lambda said: len(said.servers) == 1).servers) == 1
    answered(source, lambda said: len(said.servers) == 1)
    assert "index" not in consul.queries[-1], "after an index that went back, none is sent"
    assert source.next(0.3) is None
    assert consul.queries[-1]["index"] == "3"
    # An index of 0 would not be held back.
    consul.set([instance("n2")], index=0)
    answered(source, lambda said: "n2/cache" in named(said))
    consul.set([instance("n2")], index=0)
    answered(source, lambda said: "n2/cache" in named(said))
    assert all(int(each.get("index", "1")) >= 1 for each in consul.queries)


def test_replies_that_come_at_once_are_limited_in_rate(consul: Consul, open_source: Open) -> None:
    source = open_source()
    assert len(first(source).servers) == 2
    told = json.dumps(consul.instances).encode()
    began = time.monotonic()
    for index in range(10, 13):
        consul.say((200, *_body(told, index)))
        assert len(first(source).servers) == 2
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((500, *_body(b"No cluster leader")), "answered with status 500: No cluster leader"),
        ((500, *_body(b"x" * 1000)), "x" * 300 + "..."),
        ((200, *_body(b"[]")), "expected a number as X-Consul-Index, got ''"),
        ((200, *_body(b"[]", "-1")), "expected a number as X-Consul-Index, got '-1'"),
        ((200, *_body(b"<html>", 9)), "expected JSON, got b'<html>'"),
        ((200, *_body(b"{}", 9)), "expected instances as a list, got {}"),
        ((200, *_body(b"[5]", 9)), "expected an instance as a dict, got 5"),
        ((200, *_body(b"[{}]", 9)), "expected Service as a dict, got None"),
        ((200, {"Content-Length": "500"}, iter([b"[]"])), "ended its reply too early"),
    ],
)
def test_what_is_garbled_is_an_error(
    consul: Consul, open_source: Open, reply: Any, words: str
) -> None:
    source = open_source()
    before = first(source)
    assert source.next(0.05) is None
    consul.say(reply)
    assert words in problem(source)
    consul.say(None)
    assert answered(source, lambda said: True) == before


def test_an_agent_that_closes_without_a_word() -> None:
    with (
        HttpServer(lambda path, headers, body: None) as server,
        contextlib.closing(ConsulSource(server.address, "cache")) as source,
    ):
        assert "closed connection without response" in problem(source)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Node": {"Node": "n1"}}, "'n1/cache': expected an address as a str, got None"),
        ({"Node": {}}, "expected Node.Node as a str, got None"),
        ({"Service": {"ID": ""}}, "expected Service.ID as a str, got ''"),
        ({"Service": {"ID": "c", "Address": "a", "Port": "1"}}, "expected Service.Port as a int"),
        ({"Service": {"ID": "c", "Address": "a", "Port": 70000}}, "'n1/c': address must be"),
        ({"Service": {"ID": "c", "Address": "a b", "Port": 7}}, "'n1/c': address must be"),
        ({"Service": {"ID": "c", "Tags": ["state=UP"]}}, "tag 'state=UP': a state is one of"),
        ({"Service": {"ID": "c", "Meta": {"state": "x"}}}, "Meta: a state is one of"),
        ({"Checks": None}, "expected Checks as a list, got None"),
        ({"Checks": [{"Status": "maintenance"}]}, "a check is one of passing, warning, critical"),
    ],
)
def test_an_instance_that_is_garbled_is_an_error(
    consul: Consul, open_source: Open, change: Any, words: str
) -> None:
    consul.set([{**instance("n1"), **change}, instance("n2")])
    source = open_source()
    assert words in problem(source)
    consul.set([instance("n1")])
    answered(source, lambda said: len(said.servers) == 1)


def test_a_server_that_hangs_is_an_error(consul: Consul, open_source: Open) -> None:
    def hang() -> Iterator[bytes]:
        time.sleep(1)
        yield b"[]"

    source = open_source(timeout=0.3, wait=0.1)
    before = first(source)
    consul.say((200, {"Content-Length": "2"}, hang()))
    assert "did not answer within 0.3 s" in problem(source)
    consul.say(None)
    assert answered(source, lambda said: True) == before
    gone = ConsulSource("127.0.0.1:1", "cache")
    with contextlib.closing(gone):
        assert "cannot connect to 127.0.0.1:1" in problem(gone)


def test_tls(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(cert, key)
    running = Consul(serving)
    trusting = ssl.create_default_context(cafile=str(cert))
    with running.server:
        with contextlib.closing(ConsulSource(running.address, "cache", tls=trusting)) as source:
            assert len(first(source).servers) == 2
            running.set([instance("n1")])
            assert len(answered(source, lambda said: len(said.servers) == 1).servers) == 1
            threading.Timer(0.1, source.close).start()
            with pytest.raises(SourceError, match="was closed"):
                source.next(PATIENCE)
        doubting = ssl.create_default_context()
        with contextlib.closing(ConsulSource(running.address, "cache", tls=doubting)) as source:
            assert "certificate verify failed" in problem(source)


def test_closing_ends_what_waits_and_the_next_call_begins_anew(open_source: Open) -> None:
    check_closing(open_source(), 0.3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_child_of_a_fork_asks_by_itself(consul: Consul, open_source: Open) -> None:
    source = open_source()
    before = first(source)
    assert source.next(0.3) is None
    assert is_right_in_child(source, before)
    consul.set([instance("n3")])
    assert list(named(first(source))) == ["n3/cache"]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (("http://h:1", "a"), {}, InvalidArgumentError, r"address: .*no scheme, write 'h:1'"),
        (("h", 5), {}, InvalidTypeError, "service must be a str, not int"),
        (("h", ""), {}, InvalidArgumentError, "service must not be empty"),
        (("h", "a"), {"token": b"c"}, InvalidTypeError, "token must be a str, not bytes"),
        (("h", "a"), {"tag": ""}, InvalidArgumentError, "tag must not be empty"),
        (("h", "a"), {"datacenter": 5}, InvalidTypeError, "datacenter must be a str, not int"),
        (("h", "a"), {"identity": "ip"}, InvalidArgumentError, "identity must be 'node' or 'serv"),
        (("h", "a"), {"only_passing": 1}, InvalidTypeError, "only_passing must be a bool, got 1"),
        (("h", "a"), {"tls": True}, InvalidTypeError, "tls must be an ssl.SSLContext or None"),
        (("h", "a"), {"wait": 601}, InvalidArgumentError, r"wait must be in \(0, 600\] seconds"),
        (("h", "a"), {"wait": 0}, InvalidArgumentError, r"wait must be in \(0, 1e6\] seconds"),
    ],
)
def test_arguments(arguments: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        ConsulSource(*arguments, **options)
