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
        parse_address(address, 11211)
    with pytest.raises(memcache.InvalidArgumentError, match=words):
        parse_memcached(address)


@pytest.mark.parametrize("address", [None, 80, b"a:1", ("a", 1, 2), (1, 2)])
def test_what_is_no_address_is_refused(address: Any) -> None:
    with pytest.raises(TypeError, match=r"address must be \(host, port\) or a str, got"):
        parse_address(address)
    with pytest.raises(memcache.InvalidTypeError, match="address must be"):
        parse_memcached(address)
