"""Sources by URL: which is made, with what, and what is refused in words."""

import ssl
import sys
from types import ModuleType
from typing import Any

import pytest

from godropbox.memcache import InvalidArgumentError, InvalidTypeError
from godropbox.memcache.discovery import (
    DNSSource,
    ElastiCacheSource,
    FileSource,
    SRVSource,
    source,
)
from godropbox.memcache.discovery import urls as module


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("file:/etc/pools.json", FileSource, "file:/etc/pools.json"),
        ("file:///etc/my%20pools?pool=A&interval=1", FileSource, "file:/etc/my pools?pool=A"),
        ("file:pools", FileSource, "file:pools"),
        ("dns://cache.prod.svc:11311", DNSSource, "dns://cache.prod.svc:11311"),
        ("dns://cache?family=ipv4&interval=5", DNSSource, "dns://cache:11211?family=ipv4"),
        ("dns://:11311?names=a.x,b.x", DNSSource, "dns://:11311?names=a.x,b.x"),
        ("dns://:1?names=a-{0..3}.x", DNSSource, "dns://:1?names=a-{0..3}.x"),
        ("srv://_memcached._tcp.example.org", SRVSource, "srv://_memcached._tcp.example.org"),
        ("elasticache://c.cfg:11211/", ElastiCacheSource, "elasticache://c.cfg:11211"),
        ("elasticache://[::1]?timeout=1", ElastiCacheSource, "elasticache://[::1]:11211"),
    ],
)
def test_a_url_names_a_source(url: str, kind: type, name: str) -> None:
    made = source(url)
    assert type(made) is kind
    assert made.name == name


@pytest.mark.parametrize(
    "url",
    [
        "consul://h:8500/cache",
        "consul://h:8500/cache?tag=main",
        "consul://h:8500/cache?tag=main&datacenter=east",
        "consul://h:8500/cache?identity=service",
        "zookeeper://h:2181/a",
        "zookeeper://h:2181/a?layout=node",
        "dns://cache:11211?family=ipv6",
        "dns://:11211?names=a-{0..3}.x&family=ipv6",
        "file:/etc/pools.json?pool=A",
    ],
)
def test_all_that_chooses_servers_is_in_the_name(url: str) -> None:
    assert source(url).name == url


def test_a_name_says_how_nodes_are_dialled() -> None:
    assert source("elasticache://c.cfg:11211?dial=host").name.endswith("?dial=host")
    assert ElastiCacheSource("c.cfg", tls=ssl.create_default_context()).name.endswith("?dial=host")


def test_what_is_odd_in_a_name_is_quoted() -> None:
    made = source("consul://h:8500/cache?tag=a%26b%20c")
    assert made.name == "consul://h:8500/cache?tag=a%26b%20c"


class Taken:
    """Stands for a class of a source: remembers its arguments."""

    name = "x"

    def __init__(self, *given: Any, **named: Any) -> None:
        self.taken = given, named


@pytest.mark.parametrize(
    ("url", "arguments", "taken"),
    [
        (
            "zookeeper://h1:2181,h2:2181/a/b?layout=node&session=4",
            {"user": "ann", "password": "secret", "timeout": 3.0},
            (
                ("h1:2181,h2:2181", "/a/b"),
                {
                    "layout": "node",
                    "session": 4.0,
                    "timeout": 3.0,
                    "auth": ("digest", "ann:secret"),
                },
            ),
        ),
        (
            "etcd://h1:2379,h2:2379/memcache/main/?refresh=5",
            {"user": "ann", "password": "secret"},
            (
                (["h1:2379", "h2:2379"], "memcache/main/"),
                {"refresh": 5.0, "user": "ann", "password": "secret"},
            ),
        ),
        ("etcd://h//key", {"token": "t"}, ((["h"], "/key"), {"token": "t"})),
        (
            "consul://localhost:8500/memcached?tag=main&only_passing=false&wait=30",
            {"token": "t"},
            (
                ("localhost:8500", "memcached"),
                {"tag": "main", "only_passing": False, "wait": 30.0, "token": "t"},
            ),
        ),
    ],
)
def test_what_coordinators_are_given(
    monkeypatch: pytest.MonkeyPatch, url: str, arguments: dict[str, Any], taken: Any
) -> None:
    name, cls, _, _ = module.SCHEMES[url.partition(":")[0]]
    stand_in = ModuleType(name)
    setattr(stand_in, cls, Taken)
    monkeypatch.setitem(sys.modules, f"godropbox.memcache.discovery.{name}", stand_in)
    made: Any = source(url, **arguments)
    assert made.taken == taken


@pytest.mark.parametrize(
    ("url", "arguments", "message"),
    [
        ("", {}, "url must begin with one of file:, dns:"),
        ("cache:11211", {}, "url must begin with one of"),
        ("zookeper://h/x", {}, "did you mean 'zookeeper'?"),
        ("file:", {}, "url must be file:/path, got 'file:'"),
        ("file://host/path", {}, "url must be file:/path"),
        ("file:/x?pol=A", {}, "url must have nothing but pool, interval after '?', got 'pol'"),
        ("file:/x?interval=soon", {}, "interval in the url must be a number, got 'soon'"),
        ("file:/x?interval=0", {}, r"interval must be in \[0.01, 3600\] seconds"),
        ("dns:cache", {}, "url must be dns://host:port, got 'dns:cache'"),
        ("dns://cache:x", {}, r"url must have a port in \[1, 65535\]"),
        ("dns://", {}, "url must be dns://host:port"),
        ("dns://:1", {}, "host or names must be given"),
        ("srv://a/b", {}, "url must be srv://host:port"),
        ("elasticache://h:0", {}, r"port in \[1, 65535\]"),
        ("etcd://h:1", {}, "url must be etcd://host:port/path"),
        ("zookeeper:///path", {}, "url must be zookeeper://host:port/path"),
        ("consul://h/x?only_passing=maybe", {}, "must be true or false, got 'maybe'"),
        (
            "consul://h/x?token=secret",
            {},
            "got 'token': a secret is an argument, not part of a URL",
        ),
        ("zookeeper://h/x", {"user": "ann"}, "user and password must be given together"),
        ("file:/x", {"password": "secret"}, "password must be None for file:, which takes none"),
    ],
)
def test_bad_urls_are_refused(url: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message.replace("?", r"\?")) as raised:
        source(url, **arguments)
    assert "secret" not in str(raised.value).replace("a secret is", "")


def test_a_secret_in_a_url_is_refused_and_not_shown() -> None:
    for url in ("etcd://ann:secret@h:2379/x", "nothing://ann:secret@h", "dns://ann:secret@h:1"):
        with pytest.raises(InvalidArgumentError) as raised:
            source(url)
        assert "secret" not in str(raised.value)
        assert "...@h" in str(raised.value)
    for url in ("cosnul://h/x?token=secret", "consul://ann:secret@h/x?token=secret"):
        with pytest.raises(InvalidArgumentError, match=r"h/x\?\.\.\.'") as raised:
            source(url)
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["consul://h:8500/x", "etcd://h:2379/x/"])
@pytest.mark.parametrize("token", ["secret\n", " secret", "secret\r\nX: y", "secret\u2026"])
def test_a_token_that_no_header_can_have_is_refused_and_not_shown(url: str, token: str) -> None:
    with pytest.raises(InvalidArgumentError, match="token must be printable ASCII") as raised:
        source(url, token=token)
    assert "secret" not in str(raised.value)
    source(url, token="Bearer a.b")


def test_other_types_are_refused() -> None:
    with pytest.raises(InvalidTypeError, match="url must be a str, such as"):
        source(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="tls must be None for dns:"):
        source("dns://h", tls=ssl.create_default_context())
