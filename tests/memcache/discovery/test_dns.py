"""Fleets in DNS: addresses, names of a StatefulSet and SRV records, by a real dnsmasq.

The system's resolver cannot be pointed at it, so a look-up by dnspython stands for
``socket.getaddrinfo``, with the errors of that.
"""

import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import dns.exception
import dns.resolver
import pytest
from support.discovering import soon
from support.dnsmasq import Dnsmasq
from support.pools import Clock

from godropbox.memcache import InvalidArgumentError, InvalidTypeError, UsageError
from godropbox.memcache.discovery import Answer, DNSSource, SourceError, SRVSource

KINDS = {socket.AF_INET: "A", socket.AF_INET6: "AAAA"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dnsmasq]:
    made = Dnsmasq(tmp_path_factory.mktemp("dnsmasq"))
    yield made
    made.stop()


class Lookup:
    """``socket.getaddrinfo`` over one server."""

    def __init__(self, server: Dnsmasq, seconds: float = 20.0) -> None:
        self.server = server
        self.seconds = seconds

    def __call__(self, host: str, port: int, family: int, kind: int) -> list[Any]:
        resolver = self.server.resolver()
        try:
            found = resolver.resolve(
                f"{host}.", KINDS[socket.AddressFamily(family)], lifetime=self.seconds
            )
        except dns.resolver.NXDOMAIN:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
        except dns.resolver.NoAnswer:
            raise socket.gaierror(-5, "No address associated with hostname") from None
        except dns.exception.DNSException:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure") from None
        return [(family, kind, 6, "", (str(row.address), port)) for row in found]


def of(said: Answer | None) -> list[str]:
    assert said is not None
    return [f"{name} {address} {state.name}" for name, address, state in said.servers]


# Addresses of one name


def test_the_addresses_of_a_name_in_an_order_of_their_own(server: Dnsmasq) -> None:
    addresses = [f"10.1.{i // 250}.{i % 250 + 1}" for i in range(100)]  # truncated, so by TCP
    server.serve(*[f"host-record=many.test,{each}" for each in addresses])
    clock = Clock()
    source = DNSSource("many.test", 11311, lookup=Lookup(server), clock=clock)
    said = source.next(20)
    assert said is not None
    assert (said.version, said.is_ordered) == (None, False)
    assert [server.address for server in said.servers] == [f"{each}:11311" for each in addresses]
    assert [server.name for server in said.servers] == [f"{each}:11311" for each in addresses]
    assert source.next(0) is None
    clock.advance(10)
    assert source.next(20) == said
    assert source.name == "dns://many.test:11311"


def test_ipv6_is_taken_where_there_is_no_ipv4(server: Dnsmasq) -> None:
    server.serve(
        "host-record=both.test,10.0.0.1,fd00::1",
        "host-record=six.test,fd00::a",
        "host-record=six.test,fd00::2",
    )
    lookup = Lookup(server)
    assert of(DNSSource("both.test", lookup=lookup).next(20)) == [
        "10.0.0.1:11211 10.0.0.1:11211 ACTIVE"
    ]
    assert of(DNSSource("six.test", lookup=lookup).next(20)) == [
        "[fd00::2]:11211 [fd00::2]:11211 ACTIVE",
        "[fd00::a]:11211 [fd00::a]:11211 ACTIVE",
    ]
    assert of(DNSSource("both.test", family="ipv6", lookup=lookup).next(20)) == [
        "[fd00::1]:11211 [fd00::1]:11211 ACTIVE"
    ]
    with pytest.raises(SourceError, match="the resolver knows no address"):
        DNSSource("six.test", family="ipv4", lookup=lookup).next(20)


def test_no_such_name_is_an_error_and_no_empty_fleet(server: Dnsmasq) -> None:
    server.serve()
    source = DNSSource("cache.test", lookup=Lookup(server))
    with pytest.raises(SourceError, match=r"dns://cache.test:11211: the resolver knows no address"):
        source.next(20)
    server.serve("host-record=cache.test,10.0.0.1")
    assert len(of(source.next(20))) == 1


@pytest.mark.parametrize("how", ["gone", "hangs", "refuses"])
def test_a_resolver_that_fails_is_an_error(server: Dnsmasq, how: str) -> None:
    server.serve("host-record=cache.test,10.0.0.1")
    clock = Clock()
    source = DNSSource("cache.test", lookup=Lookup(server, 0.3), clock=clock)
    assert len(of(source.next(20))) == 1
    if how == "gone":
        server.stop()
    elif how == "hangs":
        server.hang()
    else:
        server.serve("server=/test/127.0.0.1#1")  # asks who is not there: SERVFAIL or REFUSED
    clock.advance(10)
    with pytest.raises(SourceError, match=r"the resolver failed: .*Temporary failure"):
        source.next(20)
    server.serve("host-record=cache.test,10.0.0.1")
    assert len(of(source.next(20))) == 1


def test_the_systems_own_resolver() -> None:
    assert of(DNSSource("127.0.0.1", 11311).next(20)) == ["127.0.0.1:11311 127.0.0.1:11311 ACTIVE"]
    assert "127.0.0.1:11311" in str(DNSSource("localhost", 11311, family="ipv4").next(20))
    with pytest.raises(SourceError, match=r"dns://a-name-that-is-none.invalid:1: the resolver"):
        DNSSource("a-name-that-is-none.invalid", 1, timeout=60.0).next(60)


# Names


def test_names_are_identities_wherever_they_are(server: Dnsmasq) -> None:
    names = [f"cache-{i}.cache.test" for i in range(20)]
    server.serve(*[f"host-record={name},10.0.0.{i + 1}" for i, name in enumerate(names)])
    clock = Clock()
    source = DNSSource(port=11311, names=names, lookup=Lookup(server), clock=clock)
    said = source.next(20)
    assert said is not None
    assert said.is_ordered
    assert of(said) == [f"{name} 10.0.0.{i + 1}:11311 ACTIVE" for i, name in enumerate(names)]
    # The third moves, the second is gone.
    moved = [
        f"host-record={name},10.0.0.{i + 1}" for i, name in enumerate(names) if i not in (1, 2)
    ]
    server.serve(*moved, f"host-record={names[2]},10.9.9.9")
    clock.advance(10)
    after = of(source.next(20))
    assert after[:4] == [
        f"{names[0]} 10.0.0.1:11311 ACTIVE",
        f"{names[1]} 10.0.0.2:11311 DOWN",
        f"{names[2]} 10.9.9.9:11311 ACTIVE",
        f"{names[3]} 10.0.0.4:11311 ACTIVE",
    ]
    assert len(after) == 20


def test_a_name_that_was_never_found_is_down(server: Dnsmasq) -> None:
    server.serve("host-record=a.test,10.0.0.1")
    source = DNSSource(names=["a.test", "b.test"], lookup=Lookup(server))
    assert of(source.next(20)) == ["a.test 10.0.0.1:11211 ACTIVE", "b.test b.test:11211 DOWN"]
    assert source.name == "dns://:11211?names=a.test,b.test"


def test_a_range_of_names_stands_for_each() -> None:
    def lookup(host: str, port: int, *rest: Any) -> list[Any]:
        return [(2, 1, 6, "", (f"10.0.0.{len(host)}", port))]

    source = DNSSource(names=["x", "cache-{9..11}.cache"], lookup=lookup)
    said = source.next(20)
    assert said is not None
    assert [server.name for server in said.servers] == [
        "x",
        "cache-9.cache",
        "cache-10.cache",
        "cache-11.cache",
    ]
    assert source.name == "dns://:11211?names=x,cache-{9..11}.cache"
    for bad in ("a{2..1}", "a{0..65535}", "a{1..2}-{1..2}"):
        with pytest.raises(InvalidArgumentError):
            DNSSource(names=[bad])


def test_a_name_for_which_the_resolver_fails_stays_as_it_was() -> None:
    found: dict[str, Any] = {"a": "10.0.0.1", "b": "10.0.0.2"}

    def lookup(host: str, port: int, *rest: Any) -> list[Any]:
        if isinstance(found[host], int):
            raise socket.gaierror(found[host], "failed")
        return [(2, 1, 6, "", (found[host], port))]

    clock = Clock()
    source = DNSSource(names=["a", "b"], lookup=lookup, clock=clock)
    assert of(source.next(20)) == ["a 10.0.0.1:11211 ACTIVE", "b 10.0.0.2:11211 ACTIVE"]
    found["b"] = socket.EAI_AGAIN
    clock.advance(10)
    assert of(source.next(20)) == ["a 10.0.0.1:11211 ACTIVE", "b 10.0.0.2:11211 ACTIVE"]
    found["a"] = socket.EAI_NONAME
    clock.advance(10)
    with pytest.raises(SourceError, match="none of 2 names resolves"):
        source.next(20)


def test_a_name_that_is_down_stays_so_while_the_resolver_fails() -> None:
    said: dict[str, Any] = {"a": "10.0.0.1", "b": "10.0.0.2"}

    def lookup(host: str, port: int, family: int, kind: int) -> list[Any]:
        if isinstance(said[host], int):
            raise socket.gaierror(said[host], "no")
        return [(family, kind, 6, "", (said[host], port))]

    clock = Clock()
    source = DNSSource(names=["a", "b"], family="ipv4", lookup=lookup, clock=clock)
    assert of(source.next(20)) == ["a 10.0.0.1:11211 ACTIVE", "b 10.0.0.2:11211 ACTIVE"]
    for error in (socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_AGAIN):
        said["b"] = error
        clock.advance(10)
        assert of(source.next(20)) == ["a 10.0.0.1:11211 ACTIVE", "b 10.0.0.2:11211 DOWN"]
    said["b"] = "10.0.0.3"
    clock.advance(10)
    assert of(source.next(20))[1] == "b 10.0.0.3:11211 ACTIVE"


def test_a_question_that_is_late_looks_no_more_names_up() -> None:
    asked, go = [], threading.Event()

    def lookup(host: str, *_: Any) -> list[Any]:
        asked.append(host)
        go.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    before = set(threading.enumerate())
    source = DNSSource(names=["cache-{0..99}"], timeout=0.05, lookup=lookup)
    with pytest.raises(SourceError, match=r"no answer within|no time left"):
        source.next(20)
    go.set()
    soon(lambda: before >= set(threading.enumerate()))
    assert len(asked) <= 16


def test_of_several_addresses_that_before_is_kept() -> None:
    found = ["10.0.0.9", "10.0.0.20", "10.0.0.3"]

    def lookup(host: str, port: int, *rest: Any) -> list[Any]:
        return [(2, 1, 6, "", (each, port)) for each in found]

    clock = Clock()
    source = DNSSource(names=["a"], lookup=lookup, clock=clock)
    assert of(source.next(20)) == ["a 10.0.0.3:11211 ACTIVE"]
    found[:] = ["10.0.0.1", "10.0.0.3"]
    clock.advance(10)
    assert of(source.next(20)) == ["a 10.0.0.3:11211 ACTIVE"]
    found[:] = ["10.0.0.20", "10.0.0.9"]
    clock.advance(10)
    assert of(source.next(20)) == ["a 10.0.0.9:11211 ACTIVE"]


# SRV records


def srv(server: Dnsmasq, **named: Any) -> SRVSource:
    return SRVSource("_memcached._tcp.test", resolver=server.resolver(), **named)


def record(target: str, port: int = 11211, more: str = "") -> str:
    return f"srv-host=_memcached._tcp.test,{target},{port}{more}"


def test_targets_are_identities(server: Dnsmasq) -> None:
    hosts = [f"host-record=cache-{i}.test,10.0.0.{i + 1}" for i in range(3)]
    records = [record(f"cache-{i}.test", 11211 + i % 2) for i in (2, 0, 1)]
    server.serve(*hosts[:2], *records, record("cache-0.test", 11311, ",10,50"))
    clock = Clock()
    source = srv(server, clock=clock)
    said = source.next(20)
    assert of(said) == [
        "cache-0.test:11211 10.0.0.1:11211 ACTIVE",
        "cache-0.test:11311 10.0.0.1:11311 ACTIVE",
        "cache-1.test:11212 10.0.0.2:11212 ACTIVE",
        "cache-2.test:11211 cache-2.test:11211 DOWN",
    ]
    server.serve(*hosts[1:], *records[1:], "host-record=cache-0.test,10.7.7.7")
    clock.advance(1)  # its TTL
    assert of(source.next(20)) == [
        "cache-0.test:11211 10.7.7.7:11211 ACTIVE",
        "cache-1.test:11212 10.0.0.2:11212 ACTIVE",
    ]


def test_a_long_record_is_asked_for_by_tcp(server: Dnsmasq) -> None:
    names = [f"a-long-name-of-a-server-{i}.test" for i in range(60)]
    server.serve(
        *[f"host-record={name},10.0.0.{i + 1}" for i, name in enumerate(names)],
        *[record(name) for name in names],
    )
    assert len(of(srv(server).next(20))) == 60


def test_the_ttl_is_bounded(server: Dnsmasq) -> None:
    server.serve("host-record=a.test,10.0.0.1", record("a.test"))
    clock = Clock()
    source = srv(server, min_interval=5.0, clock=clock)
    source.next(20)
    clock.advance(4.9)
    assert source.next(0) is None
    clock.advance(0.1)
    assert source.next(20) is not None


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "the resolver knows no servers"),
        (["host-record=_memcached._tcp.test,10.0.0.1"], "the resolver knows no servers"),
        (["server=/test/127.0.0.1#1"], "the resolver failed"),
        ([record("a.test")], "none of 1 names resolves"),
    ],
)
def test_what_is_no_record_is_an_error(server: Dnsmasq, records: list[str], message: str) -> None:
    server.serve(*records)
    source = srv(server, timeout=1.0)
    with pytest.raises(SourceError, match=f"srv://_memcached._tcp.test: {message}"):
        source.next(20)


def test_a_resolver_that_hangs_is_an_error(server: Dnsmasq) -> None:
    server.serve("host-record=a.test,10.0.0.1", record("a.test"))
    source = srv(server, timeout=0.3)
    server.hang()
    with pytest.raises(SourceError):
        source.next(20)
    server.go_on()


def test_the_systems_configuration_is_read_anew_after_a_failure(
    server: Dnsmasq, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("host-record=a.test,10.0.0.1", record("a.test"))
    nowhere = server.resolver()
    nowhere.port = 1
    made = [nowhere, server.resolver()]
    monkeypatch.setattr(dns.resolver, "Resolver", lambda: made.pop(0))
    source = SRVSource("_memcached._tcp.test", timeout=0.5)
    with pytest.raises(SourceError, match="the resolver failed"):
        source.next(20)
    assert len(of(source.next(20))) == 1
    assert made == []


def test_without_dnspython_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.resolver", None)
    with pytest.raises(UsageError, match=r"pip install 'godropbox\[dns\]'"):
        SRVSource("_memcached._tcp.test")


@pytest.mark.parametrize(
    ("named", "error", "message"),
    [
        ({}, InvalidArgumentError, "host or names must be given, not both and not neither"),
        ({"host": "a", "names": ["b"]}, InvalidArgumentError, "host or names must be given"),
        ({"host": 5}, InvalidTypeError, "host must be a str, got 5"),
        ({"host": "a b"}, InvalidArgumentError, "address must be"),
        ({"names": "a"}, InvalidTypeError, "names must be a list of host names, got 'a'"),
        ({"names": ["a", "a"]}, InvalidArgumentError, r"names must differ, got \['a', 'a'\]"),
        ({"names": ["a b"]}, InvalidArgumentError, "address must be"),
        ({"host": "a", "port": 0}, InvalidArgumentError, r"port must be in \[1, 65535\], got 0"),
        ({"host": "a", "port": 65536}, ValueError, "port must be an int in"),
        ({"host": "a", "family": "ipx"}, InvalidArgumentError, "family must be 'ipv4', 'ipv6'"),
        ({"host": "a", "interval": 0}, InvalidArgumentError, "interval must be in"),
    ],
)
def test_bad_arguments_are_refused(
    named: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        DNSSource(**named)


def test_bad_arguments_of_srv_are_refused() -> None:
    for named, error in (
        ({"service": ""}, InvalidTypeError),
        ({"service": 5}, InvalidTypeError),
        ({"service": "a", "min_interval": 0}, InvalidArgumentError),
        ({"service": "a", "max_interval": 0.5}, InvalidArgumentError),
    ):
        with pytest.raises(error):
            SRVSource(**named)
