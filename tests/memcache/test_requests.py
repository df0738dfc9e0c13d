"""Requests: the bytes that are sent, the rules for keys and items, and both twins alike."""

import itertools
import os
import random
import re
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import twins

from godropbox import memcache
from godropbox._kernels import _uncompiled
from godropbox.memcache import (
    AsciiProtocol,
    BinaryProtocol,
    Item,
    MetaProtocol,
)

KEYS: list[Any] = [
    "", "a", "k" * 250, "k" * 251, "é" * 125, "é" * 126, "a b", "a\0", "a\r\n", "\x20", "\x21",
    "\x7f", "\x80", "\udc80", b"", b"a", b"k" * 250, b"k" * 251, b"\x7f", b"\xff", b"\x1f", 5, None,
]  # fmt: skip
ITEMS: list[Any] = [
    *(Item(key, b"v") for key in KEYS),
    Item("a", b""),
    Item("a", b"x" * 16383),
    Item("a", b"x" * 16384),
    Item("a", bytearray(b"y" * 20000)),
    Item("a", memoryview(b"abcdef")[::2]),
    Item("a", memoryview(b"abcdef").cast("H")),
    Item("a", "text"),  # type: ignore[arg-type]
    Item("a", b"", flags=2**32 - 1, cas=2**64 - 1, expire=2**31 - 1),
    Item("a", b"", flags=2**32),
    Item("a", b"", flags=-1),
    Item("a", b"", flags=1.5),  # type: ignore[arg-type]
    Item("a", b"", cas=2**64),
    Item("a", b"", cas=-1),
    Item("a", b"", expire=-(2**31)),
    Item("a", b"", expire=-(2**31) - 1),
    Item("a", b"", expire=2**31),
    Item("a", b"", flags=True, expire=False),
    ("a", b""),
    5,
]

Build = Callable[..., Any]
BUILDS: dict[str, Build] = {
    "wire_key": lambda m: lambda k, i, p: m.wire_key(k, p),
    "ascii_keys": lambda m: lambda k, i, p: m.ascii_keys(b"gets", [k, "z"], p),
    "ascii_each": lambda m: lambda k, i, p: m.ascii_each(b"delete ", [k, k], b"\r\n", p),
    "binary_keys": lambda m: lambda k, i, p: m.binary_keys(13, [k, k], b"ex", 2**32 - 1, p, True),
    "meta_keys": lambda m: lambda k, i, p: m.meta_keys(b"mg ", [k, k], b" v", 2**32 - 1, p, True),
    "ascii_stores": lambda m: lambda k, i, p: m.ascii_stores(b"set ", [i, i], p),
    "ascii_tokenless": lambda m: lambda k, i, p: m.ascii_stores(b"add ", [i], p, False),
    "binary_stores": lambda m: lambda k, i, p: m.binary_stores(1, 2, [i, i], True, 2**32 - 1, p),
    "binary_bare": lambda m: lambda k, i, p: m.binary_stores(14, 14, [i], False, 7, p),
    "meta_stores": lambda m: lambda k, i, p: m.meta_stores(b" c", b" c ME", [i, i], 9, p),
}


def outcome(call: Build, *given: Any) -> tuple[str, Any]:
    try:
        made = call(*given)
    except (TypeError, ValueError) as error:
        return type(error).__name__, str(error)
    if isinstance(made, list):
        return "made", [bytes(part) for part in made]
    return "made", made


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("prefix", [b"", b"prefix:"])
def test_the_twins_build_the_same(name: str, prefix: bytes) -> None:
    calls = [BUILDS[name](twin) for twin in twins("wire_request")]
    for key, item in itertools.zip_longest(KEYS, ITEMS, fillvalue="a"):
        outcomes = [outcome(call, key, item, prefix) for call in calls]
        assert all(each == outcomes[0] for each in outcomes), (key, item, outcomes)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "1 to 250 bytes with its prefix, got 0 bytes"),
        ("k" * 251, "1 to 250 bytes with its prefix, got 251 bytes"),
        ("é" * 126, "got 252 bytes"),
        ("a b", "no byte up to 0x20 and no 0x7f, got 0x20 at 1"),
        ("a\0", "got 0x00 at 1"),
        ("a\r\n", "got 0x0d at 1"),
        (b"\x7f", "got 0x7f at 0"),
        ("\udc80", "text that UTF-8 can encode"),
    ],
)
def test_what_is_wrong_with_a_key(key: Any, words: str) -> None:
    for protocol in (AsciiProtocol(), BinaryProtocol(), MetaProtocol()):
        with pytest.raises(memcache.InvalidArgumentError) as caught:
            protocol.get(key)
        assert words in str(caught.value)


def test_the_prefix_counts() -> None:
    protocol = AsciiProtocol(prefix="p" * 100)
    assert len(bytes(protocol.get("k" * 150).request[0])) == len("gets ") + 250 + 2
    with pytest.raises(memcache.InvalidArgumentError, match="with its prefix, got 251 bytes"):
        protocol.get("k" * 151)
    with pytest.raises(memcache.InvalidArgumentError, match="got 0x20 at 1"):
        AsciiProtocol(prefix="a b")


def test_an_opaque_is_never_used_twice_in_a_row() -> None:
    meta, binary = MetaProtocol(), BinaryProtocol()
    assert [bytes(meta.get("a").request[0])[-4:-2] for _ in range(3)] == [b"O0", b"O1", b"O2"]
    opaques = []
    for _ in range(3):
        opaques.append(bytes(binary.get_multi(["a", "b"]).request[0])[12:16])
    assert len(set(opaques)) == 3


def opaques_of(exchange: Any) -> list[int]:
    """Return the opaques of a request, in its order."""
    data = b"".join(map(bytes, exchange.request))
    found = [int(number) for number in re.findall(rb" O([0-9]+)", data)]
    while data[:1] == b"\x80":
        (size,) = struct.unpack_from(">I", data, 8)
        found += struct.unpack_from(">I", data, 12)
        data = data[24 + size :]
    return found


class Odd:
    """A number of flags that runs code of its own while a request is made."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._run = run

    def __index__(self) -> int:
        self._run()
        return 0


MANY: dict[str, Callable[[Any, list[Any]], Any]] = {
    "set_multi": lambda protocol, items: protocol.set_multi(items),
    "cas_multi": lambda protocol, items: protocol.cas_multi(items),
    "set": lambda protocol, items: protocol.set(items[0]),
    "add": lambda protocol, items: protocol.add(items[0]),
}


@pytest.mark.parametrize("maker", [MetaProtocol, BinaryProtocol])
@pytest.mark.parametrize("call", MANY)
def test_no_opaque_is_given_twice_while_a_request_is_made(
    maker: Callable[[], Any], call: str
) -> None:
    """Not to what the items' own code makes, nor to what another thread makes meanwhile."""
    protocol = maker()
    made: list[int] = []

    def nested() -> None:
        made.extend(opaques_of(protocol.get_multi(["x", "y"])))
        made.extend(opaques_of(protocol.delete("z")))

    def beside() -> None:
        thread = threading.Thread(target=nested)
        thread.start()
        thread.join()

    items = [Item(f"key{i}", b"v", flags=Odd(run)) for i, run in enumerate([nested, beside])]  # type: ignore[arg-type]
    made.extend(opaques_of(MANY[call](protocol, items)))
    assert len(made) >= 4
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("maker", [MetaProtocol, BinaryProtocol])
def test_threads_that_share_a_protocol_share_no_opaque(maker: Callable[[], Any]) -> None:
    protocol = maker()
    began = threading.Barrier(4)
    made: list[list[int]] = [[] for _ in range(4)]

    def run(mine: list[int]) -> None:
        began.wait(20)
        for _ in range(500):
            mine.extend(opaques_of(protocol.get_multi(["a", "b", "c"])))
            mine.extend(opaques_of(protocol.get("a")))

    threads = [threading.Thread(target=run, args=(mine,)) for mine in made]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    together = [opaque for mine in made for opaque in mine]
    assert len(together) >= 4 * 500 * 4
    assert len(set(together)) == len(together)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_forks_while_an_opaque_is_taken_makes_requests() -> None:
    protocol = MetaProtocol()
    children: list[int] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            os._exit(0 if protocol.get("a").request else 1)
        children.append(child)

    with _uncompiled.critical_section(protocol):
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0


def test_large_values_are_not_copied() -> None:
    value = random.Random(1).randbytes(100_000)
    for protocol in (AsciiProtocol(), BinaryProtocol(), MetaProtocol()):
        request = protocol.set(Item("a", value)).request
        assert any(part is value for part in request)


def test_binary_keys() -> None:
    protocol = MetaProtocol(prefix=b"\0", binary_keys=True)
    assert protocol.get(b" \r\n\xff").request == [b"mg ACANCv8= v f c b O0\r\n"]
    with pytest.raises(
        memcache.InvalidArgumentError, match="1 to 186 bytes with its prefix, got 187"
    ):
        protocol.get(b"x" * 186)
