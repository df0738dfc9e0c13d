"""One memcached under three clients: what pymemcache and pylibmc wrote is read, and the reverse."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pylibmc
import pytest
from pymemcache.client.base import Client as PyMemcache
from pymemcache.serde import compressed_serde, pickle_serde
from support.memcached import Server

from godropbox.memcache import Client, UnreadableValueError

LONG = "text that is long enough to be worth a compressor's while, " * 100
VALUES: dict[str, Any] = {"bytes": b"\x00raw", "text": "t\u20acxt", "int": -7, "long": LONG}


@pytest.fixture
def address(servers: Callable[[str], Server]) -> str:
    return servers("tcp").address


@pytest.fixture
def ours(address: str) -> Iterator[Client]:
    with Client([address], protocol="ascii", compressor="zlib", prefix=f"{os.getpid()}:") as client:
        yield client


@pytest.mark.parametrize("serde", [pickle_serde, compressed_serde], ids=["plain", "compressed"])
def test_pymemcache(ours: Client, address: str, serde: Any) -> None:
    host, port = address.split(":")
    prefix = b"%d:" % os.getpid()
    theirs = PyMemcache((host, int(port)), serde=serde, key_prefix=prefix, default_noreply=False)
    try:
        for key, value in VALUES.items():
            theirs.set(key, value)
        assert ours.get_many(list(VALUES)) == VALUES
        theirs.set("object", {"a": 1})
        with pytest.raises(UnreadableValueError):
            ours.get("object")
        if serde is compressed_serde:  # the plain one knows no compressed text
            for key, value in VALUES.items():
                ours.set(key, value)
                assert theirs.get(key) == value
    finally:
        theirs.close()


def test_pylibmc(ours: Client, address: str) -> None:
    theirs = pylibmc.Client([address])
    prefix = f"{os.getpid()}:"
    try:
        for key, value in VALUES.items():
            theirs.set(prefix + key, value, min_compress_len=100)
        assert ours.get_many(list(VALUES)) == VALUES
        theirs.set(prefix + "bool", True)
        assert ours.get("bool") == 1
        for key, value in VALUES.items():
            ours.set(key, value)
            assert theirs.get(prefix + key) == value
    finally:
        theirs.disconnect_all()
