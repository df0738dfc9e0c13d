"""One-key writes over a plain socket: what is sent, and what a reply means, on both twins alike."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from conftest import twins
from support.lines import Fake, Opening, Pair, alarm, veiled

pytestmark = pytest.mark.once


@pytest.fixture(params=twins("transport"), ids=lambda twin: twin.__name__)
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    chosen: ModuleType = request.param
    return chosen


@pytest.fixture
def sides() -> Iterator[list[Pair]]:
    pairs = [socket.socketpair() for _ in range(6)]
    for _, far in pairs:
        far.settimeout(10)
    yield pairs
    for pair in pairs:
        for end in pair:
            end.close()


STORED = {"STORED": 0, "NOT_FOUND": 1, "EXISTS": 2, "NOT_STORED": 5}
# What writes one key, the request that it sends, and what the lines mean that may answer it.
WRITES: dict[str, tuple[Callable[[Any], Any], bytes, dict[str, int]]] = {
    "store": (
        lambda line: line.store(b"add ", "key", b"p:", b"abc", 7, 60, 0),
        b"add p:key 7 60 3\r\nabc\r\n",
        STORED,
    ),
    "store of an expired value": (
        lambda line: line.store(b"set ", b"key", b"p:", b"", 2**32 - 1, -(2**31), 0),
        b"set p:key 4294967295 2592001 0\r\n\r\n",
        STORED,
    ),
    "store with a token": (
        lambda line: line.store(b"set ", "key", b"", b"abc", 0, 2**31 - 1, 2**63 - 1),
        b"cas key 0 2147483647 3 9223372036854775807\r\nabc\r\n",
        STORED,
    ),
    "store with a large token": (
        lambda line: line.store(b"cas ", "k\u00e9y", b"", b"abc", 0, 0, 2**64 - 1),
        b"cas k\xc3\xa9y 0 0 3 18446744073709551615\r\nabc\r\n",
        STORED,
    ),
    "store of a buffer": (
        lambda line: line.store(b"set ", "key", b"", bytearray(b"abc"), True, 0, 0),
        b"set key 1 0 3\r\nabc\r\n",
        STORED,
    ),
    "store of many bytes": (
        lambda line: line.store(b"append ", "key", b"", b"x" * 2049, 0, 0, 0),
        b"append key 0 0 2049\r\n" + b"x" * 2049 + b"\r\n",
        STORED,
    ),
    "delete": (
        lambda line: line.delete("key", b"p:"),
        b"delete p:key\r\n",
        {"DELETED": 0, "NOT_FOUND": 1},
    ),
    "touch": (
        lambda line: line.touch("key", b"p:", -1),
        b"touch p:key -1\r\n",
        {"TOUCHED": 0, "NOT_FOUND": 1},
    ),
    "touch of an item": (
        lambda line: line.touch_item("key", b"p:", 60),
        b"mg p:key s f T60 O0\r\n",
        {
            "HD s5 f0 O0": 0,
            "HD s0 f7 O0": 0,
            "HD s05 f0 O0 Z": 0,
            "HD s0 f0 O0": -1,
            "HD s0 f0 O0 Z": -1,
            "HD  s0 f0 O0": -1,
            "HD O0 f0 s0": -1,
            "EN O0": 1,
            "EN": 1,
        },
    ),
    "touch of an item under another key": (
        lambda line: line.touch_item("k\u00e9y", b"", -1),
        b"mg k\xc3\xa9y s f T-1 O0\r\n",
        {"HD s5 f0 O0": 0, "HD s0 f0 O0 W": -1},
    ),
    "count": (
        lambda line: line.count(False, "key", b"p:", 3),
        b"incr p:key 3\r\n",
        {"0": 0, "18446744073709551615": 2**64 - 1, "7   ": 7, "NOT_FOUND": -1},
    ),
    "count down": (
        lambda line: line.count(True, b"key", b"", 2**64 - 1),
        b"decr key 18446744073709551615\r\n",
        {"0": 0, "NOT_FOUND": -1},
    ),
}
WRITE = pytest.mark.parametrize(("write", "request_", "meanings"), WRITES.values(), ids=WRITES)
Write = Callable[[Any], Any]


@contextmanager
def answering(far: socket.socket, request: bytes, *pieces: bytes) -> Iterator[None]:
    """Have a socket take this request, and nothing else, and answer in pieces."""
    taken = []

    def serve() -> None:
        data = b""
        while len(data) < len(request):
            data += far.recv(1 << 16)
        taken.append(data)
        for piece in pieces:
            far.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    thread.join()
    assert taken == [request]


@WRITE
def test_a_write(
    kernel: ModuleType, sides: list[Pair], write: Write, request_: bytes, meanings: dict[str, int]
) -> None:
    near, far = sides[0]
    line = kernel.Line(near, 10.0)
    for text, meaning in meanings.items():
        reply = text.encode() + b"\r\n"
        for pieces in ([reply], [bytes([byte]) for byte in reply]):
            with answering(far, request_, *pieces):
                assert write(line) == meaning
            assert (line.clean, line.begun) == (True, True)
    for words, status in ((b"SERVER_ERROR out of memory", 0x82), (b"SERVER_ERROR", 0x84)):
        with answering(far, request_, words + b"\r\n"):
            assert write(line) == (status, words)
        assert (line.clean, line.begun) == (True, True)


@WRITE
def test_a_write_that_is_not_answered(
    kernel: ModuleType, sides: list[Pair], write: Write, request_: bytes, meanings: dict[str, int]
) -> None:
    right = next(iter(meanings)).encode() + b"\r\n"
    for (near, far), (reply, words) in zip(
        sides,
        (
            (b"HUH\r\n", "a line is not one that answers the request: b'HUH"),
            (b"OK\r\n", "a line is not one that answers the request: b'OK"),
            (right + b"x", "there are bytes after the end of the reply: b'x' at byte"),
            (right.replace(b"\r", b""), "a line does not end in CR LF"),
        ),
        strict=False,
    ):
        line = kernel.Line(near, 10.0)
        with answering(far, request_, reply), pytest.raises(ValueError, match=words):
            write(line)
        assert (line.clean, line.begun) == (False, True)


@pytest.mark.parametrize("words", [b"ERROR", b"CLIENT_ERROR bad data chunk"])
def test_a_command_that_carries_data_is_not_to_be_refused(
    kernel: ModuleType, sides: list[Pair], words: bytes
) -> None:
    for (near, far), (name, (write, request, _)) in zip(sides * 2, WRITES.items(), strict=False):
        line = kernel.Line(near, 10.0)
        if not name.startswith("store"):
            continue
        refused = pytest.raises(ValueError, match="a command that carries data was refused")
        with answering(far, request, words + b"\r\n"), refused:
            write(line)
        assert (line.clean, line.begun) == (False, True)


@WRITE
def test_a_write_that_ends_too_soon_or_too_late(
    kernel: ModuleType, sides: list[Pair], write: Write, request_: bytes, meanings: dict[str, int]
) -> None:
    near, far = sides[0]
    line = kernel.Line(near, 0.02)
    with answering(far, request_), pytest.raises(TimeoutError) as caught:
        write(line)
    assert caught.value.errno is None
    assert (line.clean, line.begun) == (False, True)
    near, far = sides[1]
    line = kernel.Line(near, 10.0)

    def serve() -> None:
        far.recv(1 << 16)
        far.sendall(b"S")
        far.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(ConnectionResetError, match="closed the connection after 1 bytes"):
        write(line)
    thread.join()
    assert (line.clean, line.begun) == (False, True)


@WRITE
def test_a_write_over_a_line_that_is_unfit(
    kernel: ModuleType, sides: list[Pair], write: Write, request_: bytes, meanings: dict[str, int]
) -> None:
    for spoil, kind in (
        (lambda near, far: far.sendall(b"STORED\r\n"), ValueError),
        (lambda near, far: far.close(), ConnectionResetError),
        (lambda near, far: near.close(), OSError),
    ):
        near, far = sides.pop()
        line = kernel.Line(near, 10.0)
        spoil(near, far)  # type: ignore[no-untyped-call]  # a lambda
        with pytest.raises(kind):
            write(line)
        assert (line.clean, line.begun) == (False, False)
        near.close()
        far.close()


@WRITE
@pytest.mark.parametrize("opening", [veiled, Fake])
def test_a_write_takes_a_plain_socket(
    kernel: ModuleType,
    sides: list[Pair],
    opening: Opening,
    write: Write,
    request_: bytes,
    meanings: dict[str, int],
) -> None:
    line = kernel.Line(opening(sides[0][0]), 10.0)
    with pytest.raises(ValueError, match="the channel must be a plain socket"):
        write(line)
    line.channel.close()


class Index:
    def __index__(self) -> int:
        return 5


WRONG: dict[str, tuple[Write, type[Exception], str]] = {
    "key": (lambda line: line.delete(5, b""), TypeError, "key must be str or bytes, got 5"),
    "no key": (lambda line: line.touch("", b"", 0), ValueError, "key must be 1 to 250 bytes"),
    "long key": (
        lambda line: line.count(False, "k" * 249, b"p:", 1),
        ValueError,
        "key must be 1 to 250 bytes with its prefix, got 251 bytes",
    ),
    "bad byte": (
        lambda line: line.store(b"set ", "a\r\nb", b"", b"", 0, 0, 0),
        ValueError,
        "key must have no byte up to 0x20",
    ),
    "surrogate": (
        lambda line: line.store(b"set ", "\udc80", b"", b"", 0, 0, 0),
        ValueError,
        "key must be text that UTF-8 can encode",
    ),
    "flags": (
        lambda line: line.store(b"set ", "k", b"", b"", 2**32, 0, 0),
        ValueError,
        r"flags must be an int in \[0, 2\*\*32\), got 4294967296",
    ),
    "no flags": (
        lambda line: line.store(b"set ", "k", b"", b"", None, 0, 0),
        TypeError,
        r"flags must be an int in \[0, 2\*\*32\), got None",
    ),
    "expiry of a store": (
        lambda line: line.store(b"set ", "k", b"", b"", 0, 1.5, 0),
        TypeError,
        r"expire must be an int in \[-2\*\*31, 2\*\*31\), got 1.5",
    ),
    "token": (
        lambda line: line.store(b"set ", "k", b"", b"", 0, 0, -1),
        ValueError,
        r"cas must be an int in \[0, 2\*\*64\), got -1",
    ),
    "data": (
        lambda line: line.store(b"set ", "k", b"", "text", 0, 0, 0),
        TypeError,
        "value must be bytes-like, got 'text'",
    ),
    "expiry": (
        lambda line: line.touch("k", b"", 2**31),
        ValueError,
        r"expire must be an int in \[-2\*\*31, 2\*\*31\), got 2147483648",
    ),
    "expiry of an item": (
        lambda line: line.touch_item("k", b"", 2**31),
        ValueError,
        r"expire must be an int in \[-2\*\*31, 2\*\*31\), got 2147483648",
    ),
    "delta": (
        lambda line: line.count(True, "k", b"", 2**64),
        ValueError,
        r"delta must be an int in \[0, 2\*\*64\), got 18446744073709551616",
    ),
    "negative delta": (
        lambda line: line.count(True, "k", b"", -1),
        ValueError,
        r"delta must be an int in \[0, 2\*\*64\), got -1",
    ),
    "text for a delta": (
        lambda line: line.count(True, "k", b"", "1"),
        TypeError,
        r"delta must be an int in \[0, 2\*\*64\), got '1'",
    ),
}


@pytest.mark.parametrize(("write", "kind", "words"), WRONG.values(), ids=WRONG)
def test_a_write_that_must_not_be_sent(
    kernel: ModuleType, sides: list[Pair], write: Write, kind: type[Exception], words: str
) -> None:
    line = kernel.Line(sides[0][0], 10.0)
    with pytest.raises(kind, match=words):
        write(line)
    assert (line.clean, line.begun) == (True, False)
    with answering(sides[0][1], b"delete key\r\n", b"DELETED\r\n"):
        assert line.delete("key", b"") == 0


def test_a_write_takes_what_is_an_index(kernel: ModuleType, sides: list[Pair]) -> None:
    near, far = sides[0]
    line = kernel.Line(near, 10.0)
    number: Any = Index()
    with answering(far, b"set key 5 5 1\r\n1\r\n", b"STORED\r\n"):
        assert line.store(b"set ", "key", b"", b"1", number, number, 0) == 0
    with answering(far, b"touch key 5\r\n", b"TOUCHED\r\n"):
        assert line.touch("key", b"", number) == 0
    with answering(far, b"incr key 5\r\n", b"8\r\n"):
        assert line.count(False, "key", b"", number) == 8


@pytest.mark.parametrize("size", [16_383, 16_384, 5_000_000])
def test_a_write_of_more_than_a_socket_takes(
    kernel: ModuleType, sides: list[Pair], size: int
) -> None:
    near, far = sides[0]
    line = kernel.Line(near, 10.0)
    data = bytes(range(256)) * (size // 256 + 1)
    request = b"set key 0 0 %d\r\n%b\r\n" % (len(data), data)
    for seconds in (None, 10.0):
        with answering(far, request, b"STORED\r\n"):
            assert line.store(b"set ", "key", b"", data, 0, 0, 0, seconds) == 0
        assert (line.clean, line.begun) == (True, True)


def test_a_refusal_may_come_before_all_is_sent(kernel: ModuleType, sides: list[Pair]) -> None:
    near, far = sides[0]
    line = kernel.Line(near, 10.0)
    data = b"x" * 5_000_000
    taken = []

    def serve() -> None:
        data = far.recv(100)
        far.sendall(b"SERVER_ERROR object too large for cache\r\n")
        left = len(b"set key 0 0 5000000\r\n") + 5_000_002 - len(data)
        while left:
            left -= len(far.recv(min(left, 1 << 20)))
        taken.append(left)

    thread = threading.Thread(target=serve)
    thread.start()
    answer = line.store(b"set ", "key", b"", data, 0, 0, 0)
    thread.join()
    assert answer == (3, b"SERVER_ERROR object too large for cache")
    assert taken == [0]
    assert line.clean


if hasattr(signal, "setitimer"):

    @WRITE
    def test_a_handler_may_end_a_write(
        kernel: ModuleType,
        sides: list[Pair],
        write: Write,
        request_: bytes,
        meanings: dict[str, int],
    ) -> None:
        def stop() -> None:
            raise KeyboardInterrupt

        line = kernel.Line(sides[0][0], 10.0)
        with alarm(stop), pytest.raises(KeyboardInterrupt):
            write(line)
        assert (line.clean, line.begun) == (False, True)
