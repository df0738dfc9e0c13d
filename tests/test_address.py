"""The one grammar of addresses: what is taken, what is refused, and back to text."""

import re
from typing import Any

import pytest

from godropbox import memcache
from godropbox._address import address_text, parse_address
from godropbox.memcache.address import parse_address as parse_memcached


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("localhost:11211", ("localhost", 11211)),
        ("[::1]:80", ("::1", 80)),
        (("::1", 80), ("::1", 80)),
        ("unix:/run/memcached.sock", "/run/memcached.sock"),
        ("unix:s", "s"),
        ("/run/memcached.sock", "/run/memcached.sock"),
        ("./s", "./s"),
    ],
)
def test_addresses(address: Any, parsed: Any) -> None:
    assert parse_address(address) == parse_address(address, 5) == parsed
    assert parse_memcached(address) == parsed
    assert parse_address(address_text(parsed)) == parsed


@pytest.mark.parametrize(
    ("address", "parsed"),
    [("localhost", ("localhost", 11211)), ("[::1]", ("::1", 11211)), ("[::1]:8", ("::1", 8))],
)
def test_the_port_is_the_callers_default(address: str, parsed: Any) -> None:
    assert parse_address(address, 11211) == parse_memcached(address) == parsed


@pytest.mark.parametrize("address", ["localhost", "[::1]"])
def test_without_a_default_a_port_is_required(address: str) -> None:
    with pytest.raises(ValueError, match="with a port in"):
        parse_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "::1",
        "::1:80",
        "[]",
        "[]:1",
        "unix:",
        ":80",
        "a:",
        "a:x",
        "a:-1",
        "a:0",
        "a:65536",
        ("a", True),
        ("a", "1"),
        ("a", 0),
        ("", 1),
    ],
)
def test_a_bad_address_is_refused(address: Any) -> None:
    words = re.escape("address must be host:port, [IPv6]:port, unix:/path or (host, port), with")
    with pytest.raises(ValueError, match=words):
        parse_address(address)
    words = re.escape("address must be host, host:port, [IPv6]:port or unix:/path, with a port in")
    with pytest.raises(ValueError, match=words):
        parse_address(address, 11211)
    with pytest.raises(memcache.InvalidArgumentError, match=words):
        parse_memcached(address)


@pytest.mark.parametrize("address", [None, 80, b"a:1", ("a", 1, 2), (1, 2)])
def test_what_is_no_address_is_refused(address: Any) -> None:
    with pytest.raises(TypeError, match=r"address must be \(host, port\) or a str, got"):
        parse_address(address)
    with pytest.raises(memcache.InvalidTypeError, match="address must be"):
        parse_memcached(address)


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("::1", "an IPv6 address is in brackets, as in '[::1]:11211'"),
        ("::1:11211", "an IPv6 address is in brackets, as in '[::1]:11211'"),
        ("fe80::1%eth0", "an IPv6 address is in brackets, as in '[::1]:11211'"),
        ("memcached://a:11211/", "an address has no scheme, write 'a:11211'"),
        ("inet:a:11211", "write 'a:11211'"),
        ("a:1,b:2", "give a list, ['a:1', 'b:2']"),
        ("a:1 b:2", "give a list, ['a:1', 'b:2']"),
        ("a:1; b:2", "give a list, ['a:1', 'b:2']"),
        (" a:1\n", "write 'a:1'"),
        ("11211", "that is a port alone"),
        ("/" + "x" * 107, "the path of a Unix socket has at most 107 bytes"),
    ],
)
def test_a_refusal_says_what_was_probably_meant(address: str, hint: str) -> None:
    with pytest.raises(memcache.InvalidArgumentError) as caught:
        parse_memcached(address)
    assert str(caught.value).endswith(f": {hint}")


@pytest.mark.parametrize(
    "host",
    [
        "a..b",
        "a..",
        ".a",
        ".",
        "a b",
        "a\tb",
        "a\0b",
        "user@a",
        "a?b",
        "x" * 64,
        "\xe4" * 60,
        "10.0.0.300",
        "1.2.3.4.5",
        "[a]",
        "[::g]",
        "[10.0.0.1]",
    ],
)
def test_what_can_be_no_host_is_refused_before_it_is_looked_up(host: str) -> None:
    for address in (host, f"{host}:11211"):
        with pytest.raises(memcache.InvalidArgumentError, match="address must be host"):
            parse_memcached(address)
    with pytest.raises(ValueError, match="address must be host"):
        parse_address((host, 11211))


@pytest.mark.parametrize(
    "host", ["a.", "a.b.", "my_cache-1", "xn--bcher-kva", "b\xfccher.example", "127.1", "x" * 63]
)
def test_unusual_hosts(host: str) -> None:
    assert parse_memcached(host) == (host, 11211)
    assert parse_memcached(f"{host}:5") == parse_address((host, 5)) == (host, 5)
    assert parse_memcached("[fe80::1%eth0]:5") == ("fe80::1%eth0", 5)
    assert parse_memcached("/" + "x" * 106) == "/" + "x" * 106
