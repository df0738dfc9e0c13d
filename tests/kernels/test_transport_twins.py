"""Exchanges over one channel and many: each ends in its own way, on both twins alike."""

import errno
import importlib
import itertools
import select
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from conftest import twins
from support.lines import CHANNELS, Fake, Opening, Pair, alarm, plain, veiled
from support.memory import let_go
from support.talks import Asked, Told

from godropbox._kernels import _channels

pytestmark = pytest.mark.once

COUNTS = [1, 3]  # lines: alone, and at once
VERSION = b"version\r\n"


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


def a_reply(kernel: ModuleType, count: int = 1, words: str = "OK") -> Any:
    wire = importlib.import_module(kernel.__name__.replace("transport", "wire"))
    return wire.Reply(wire.codes.LINES, count, wire.codes.WORDS[words])


def asked(kernel: ModuleType, *request: Any) -> Asked:
    return Asked(request or [VERSION], a_reply(kernel))


@contextmanager
def serving(*answers: tuple[socket.socket, int, bytes]) -> Iterator[None]:
    """Have sockets answer in threads: each receives so many bytes, then sends what is given."""

    def serve(all_of_one: list[tuple[socket.socket, int, bytes]]) -> None:
        for far, size, reply in all_of_one:
            left = size
            while left:
                left -= len(far.recv(min(left, 1 << 16)))
            far.sendall(reply)

    grouped = [list(group) for _, group in itertools.groupby(answers, key=lambda answer: answer[0])]
    threads = [threading.Thread(target=serve, args=(group,)) for group in grouped]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


def same(end: Exception | None, kind: type, words: str) -> bool:
    return type(end) is kind and str(end) == words


# One exchange and several, over one channel and several


@pytest.mark.parametrize("opening", CHANNELS)
@pytest.mark.parametrize("count", COUNTS)
def test_exchanges_are_carried_in_turn(
    kernel: ModuleType, sides: list[Pair], count: int, opening: Opening
) -> None:
    lines = [kernel.Line(opening(near), 10.0) for near, _ in sides[:count]]
    talks = [Told(*(asked(kernel, b"ask", b" 1\r\n") for _ in range(3))) for _ in lines]
    answers = [(far, 7, b"OK\r\n") for _, far in sides[:count] for _ in range(3)]
    with serving(*answers):
        kernel.carry(lines, talks, None if count == 1 else 10.0)
    for line, talk in zip(lines, talks, strict=True):
        assert talk.ends == [None] * 3
        assert all(each.reply.done for each in talk.exchanges)
        assert (line.clean, line.begun) == (True, True)
    for line in lines:
        line.channel.close()


def test_channels_of_all_kinds_are_carried_at_once(kernel: ModuleType, sides: list[Pair]) -> None:
    channels = [opening(near) for opening, (near, _) in zip(CHANNELS, sides, strict=False)]
    lines = [kernel.Line(channel, None) for channel in channels]
    assert [line.fd >= 0 for line in lines] == [True, False, False]
    assert [line.channel for line in lines] == channels
    talks = [Told(asked(kernel), asked(kernel)) for _ in lines]
    with serving(*((far, len(VERSION), b"OK\r\n") for _, far in sides[:3] for _ in range(2))):
        kernel.carry(lines, talks, 10.0)
    assert [talk.ends for talk in talks] == [[None, None]] * 3
    channels[1].close()


def test_what_kinds_of_channels_there_are(sides: list[Pair]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    secure = context.wrap_socket(sides[0][0], do_handshake_on_connect=False)
    fake, other, near = Fake(sides[1][0]), veiled(sides[2][0]), sides[3][0]
    for channel, expected in (
        (near, (True, True, True)),
        (other, (False, True, True)),
        (secure, (False, True, False)),
        (fake, (False, False, False)),
    ):
        kinds = (_channels.is_plain, _channels.polls, _channels.interleaves)
        assert tuple(kind(channel) for kind in kinds) == expected
    secure.close()
    other.close()


def test_each_ends_in_its_own_way(kernel: ModuleType, sides: list[Pair]) -> None:
    lines = [kernel.Line(near, None) for near, _ in sides[:5]]
    talks = [Told(asked(kernel)) for _ in lines]
    for (_, far), reply in zip(
        sides, (b"OK\r\n", b"SERVER_ERROR no\r\n", b"HUH\r\n", b"O"), strict=False
    ):
        far.sendall(reply)
    sides[3][1].shutdown(socket.SHUT_WR)
    kernel.carry(lines, talks, 0.05)
    ends = [talk.ends[0] for talk in talks]
    assert ends[:2] == [None, None]
    assert same(
        ends[2],
        ValueError,
        "a line is not one that answers the request: b'HUH\\r\\n' at byte 0 of the reply",
    )
    lost = "the server closed the connection after 1 bytes of the reply"
    assert same(ends[3], ConnectionResetError, lost)
    assert same(ends[4], TimeoutError, "the deadline passed")
    assert [row.value for row in talks[1].exchanges[0].reply.rows()] == [b"SERVER_ERROR no"]
    assert [line.clean for line in lines] == [True, True, False, False, False]
    assert all(line.begun for line in lines)


@pytest.mark.parametrize("opening", CHANNELS)
@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (b"HUH\r\n", ValueError, "a line is not one that answers the request: b'HUH"),
        (b"OK\r\nX", ValueError, "after the end of the reply"),
        (b"O", ConnectionResetError, "the server closed the connection after 1 bytes of the"),
        (b"", ConnectionResetError, "the server closed the connection after 0 bytes of the"),
    ],
)
def test_one_ends_in_its_own_way(
    kernel: ModuleType,
    sides: list[Pair],
    opening: Opening,
    reply: bytes,
    kind: type[Exception],
    words: str,
) -> None:
    line = kernel.Line(opening(sides[0][0]), 10.0)
    talk = Told(asked(kernel), asked(kernel))
    far = sides[0][1]

    def close() -> None:
        far.recv(100)
        far.sendall(reply)
        far.shutdown(2)

    closing = threading.Thread(target=close)
    closing.start()
    kernel.carry([line], [talk], None)
    closing.join()
    assert type(talk.ends[0]) is kind
    assert words in str(talk.ends[0])
    assert (line.clean, line.begun, len(talk.ends)) == (False, True, 1)
    line.channel.close()


class Own:
    """An exchange that is its own reply, and knows by itself when it ends."""

    def __init__(self, error: type[BaseException] | None = None) -> None:
        self.request = [VERSION]
        self.reply = self
        self.data = b""
        self.error = error

    @property
    def done(self) -> bool:
        return self.data.endswith(b"END\n")

    @property
    def size(self) -> int:
        return len(self.data)

    def feed(self, data: Any) -> int:
        self.data += bytes(data)
        if self.error is not None:
            raise self.error("it does not fit")
        return len(data)


@pytest.mark.parametrize("opening", CHANNELS)
@pytest.mark.parametrize("count", COUNTS)
def test_an_exchange_may_be_its_own_reply(
    kernel: ModuleType, sides: list[Pair], count: int, opening: Opening
) -> None:
    lines = [kernel.Line(opening(near), 10.0) for near, _ in sides[:count]]
    talks = [Told(Own(), asked(kernel)) for _ in lines]
    reply = b"some\nlines\n" * 10_000 + b"END\n"
    answers = [(far, len(VERSION), each) for _, far in sides[:count] for each in (reply, b"OK\r\n")]
    with serving(*answers):
        kernel.carry(lines, talks, 10.0)
    for talk in talks:
        assert talk.ends == [None, None]
        assert talk.exchanges[0].data == reply
    for line in lines:
        line.channel.close()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", [ValueError, OSError])
def test_a_reply_may_refuse_its_bytes(
    kernel: ModuleType, sides: list[Pair], count: int, kind: type[Exception]
) -> None:
    lines = [kernel.Line(near, 10.0) for near, _ in sides[:count]]
    talks = [Told(Own(kind), Own()) for _ in lines]
    with serving(*((far, len(VERSION), b"OK\r\n") for _, far in sides[:count])):
        kernel.carry(lines, talks, 10.0)
    for line, talk in zip(lines, talks, strict=True):
        assert same(talk.ends[0], kind, "it does not fit")
        assert (len(talk.ends), line.clean) == (1, False)


@pytest.mark.parametrize("count", COUNTS)
def test_a_reply_of_its_own_tells_how_long_it_was(
    kernel: ModuleType, sides: list[Pair], count: int
) -> None:
    lines = [kernel.Line(near, 10.0) for near, _ in sides[:count]]
    talks = [Told(Own()) for _ in lines]

    def serve() -> None:
        for _, far in sides[:count]:
            far.recv(100)
            far.sendall(b"12345")
            far.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=serve)
    thread.start()
    kernel.carry(lines, talks, 10.0)
    thread.join()
    for talk in talks:
        words = "the server closed the connection after 5 bytes of the reply"
        assert same(talk.ends[0], ConnectionResetError, words)


@pytest.mark.parametrize("opening", CHANNELS)
@pytest.mark.parametrize("count", COUNTS)
def test_more_than_all_buffers_hold_goes_both_ways_at_once(
    kernel: ModuleType, sides: list[Pair], count: int, opening: Opening
) -> None:
    size = 3 << 20
    line_of = b"OK\r\n"
    if opening is Fake:  # it sends all before it receives
        size = 3 << 16
    lines = [kernel.Line(opening(near), 30.0) for near, _ in sides[:count]]
    request = [memoryview(bytes(size))[: size // 2], b"", bytearray(size // 2)] + [b"x"] * 100
    talks = [Told(Asked(request, a_reply(kernel, size // 8))) for _ in lines]

    def serve(far: socket.socket) -> None:
        left, more = size + 100, size // 8
        while left:  # it answers as it reads
            left -= len(far.recv(1 << 16))
            answered = min(more, 8192)
            if opening is not Fake:
                far.sendall(line_of * answered)
                more -= answered
        far.sendall(line_of * more)

    threads = [threading.Thread(target=serve, args=(far,)) for _, far in sides[:count]]
    for thread in threads:
        thread.start()
    kernel.carry(lines, talks, 30.0)
    for thread in threads:
        thread.join()
    for line, talk in zip(lines, talks, strict=True):
        assert talk.ends == [None]
        assert talk.exchanges[0].reply.size == size // 8 * 4
        line.channel.close()


@pytest.mark.parametrize("count", COUNTS)
def test_a_refusal_before_all_is_sent_ends_when_all_is_sent(
    kernel: ModuleType, sides: list[Pair], count: int
) -> None:
    size = 4 << 20
    lines = [kernel.Line(near, 30.0) for near, _ in sides[:count]]
    talks = [Told(asked(kernel, bytes(size))) for _ in lines]
    early = b"SERVER_ERROR object too large for cache\r\n"
    answers = [
        answer for _, far in sides[:count] for answer in ((far, 1, early), (far, size - 1, b""))
    ]
    with serving(*answers):
        kernel.carry(lines, talks, 30.0)
    for talk in talks:
        assert talk.ends == [None]
        assert talk.exchanges[0].reply.rows()[0].status == 0x03


class Sending(Told):
    """A talk whose server answers as soon as an exchange is chosen."""

    def __init__(self, far: socket.socket, *exchanges: Any) -> None:
        super().__init__(*exchanges)
        self.far = far

    def advance(self, failure: Exception | None) -> Any:
        exchange = super().advance(failure)
        if exchange is not None and self.at:
            self.far.sendall(b"OK\r\n")
        return exchange


@pytest.mark.parametrize("opening", CHANNELS)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("request_", [[], [b""], [b"", b""]])
def test_nothing_to_send_is_a_request_too(
    kernel: ModuleType, sides: list[Pair], count: int, opening: Opening, request_: list[bytes]
) -> None:
    lines = [kernel.Line(opening(near), 10.0) for near, _ in sides[:count]]
    talks = [
        Sending(far, asked(kernel), Asked(request_, a_reply(kernel))) for _, far in sides[:count]
    ]
    with serving(*((far, len(VERSION), b"OK\r\n") for _, far in sides[:count])):
        kernel.carry(lines, talks, 10.0)
    assert [talk.ends for talk in talks] == [[None, None]] * count
    assert all(talk.exchanges[1].reply.done for talk in talks)
    for line in lines:
        line.channel.close()


# Limits


@pytest.mark.parametrize("opening", CHANNELS)
@pytest.mark.parametrize("seconds", [1e-10, 0.02])
def test_a_line_has_a_limit_of_its_own(
    kernel: ModuleType, sides: list[Pair], opening: Opening, seconds: float
) -> None:
    line = kernel.Line(opening(sides[0][0]), seconds)
    talk = Told(asked(kernel), asked(kernel))
    kernel.carry([line], [talk], None)
    assert isinstance(talk.ends[0], TimeoutError)
    assert (len(talk.ends), line.clean, line.begun) == (1, False, True)
    line.channel.close()


@pytest.mark.parametrize("seconds", [1e-10, 0.02])
def test_a_get_has_the_limit_of_its_line(
    kernel: ModuleType, sides: list[Pair], seconds: float
) -> None:
    with pytest.raises(TimeoutError):
        kernel.Line(sides[0][0], seconds).get(b"get ", "key", b"")


@pytest.mark.parametrize("opening", CHANNELS)
@pytest.mark.parametrize("count", COUNTS)
def test_a_limit_is_for_one_call(
    kernel: ModuleType, sides: list[Pair], count: int, opening: Opening
) -> None:
    lines = [kernel.Line(opening(near), None) for near, _ in sides[:count]]
    for seconds in (1e-3, None, float("inf"), 1e300):
        talks = [Told(asked(kernel)) for _ in lines]
        if seconds == 1e-3:
            kernel.carry(lines, talks, seconds)
            for _, far in sides[:count]:
                if select.select([far], [], [], 0)[0]:  # what was sent, if it was sent in time
                    assert far.recv(100) == VERSION
            assert all(isinstance(talk.ends[0], TimeoutError) for talk in talks)
            continue
        with serving(*((far, len(VERSION), b"OK\r\n") for _, far in sides[:count])):
            kernel.carry(lines, talks, seconds)
        assert [talk.ends for talk in talks] == [[None]] * count
    for line in lines:
        line.channel.close()


class Stubborn(Told):
    """A talk that goes on whatever happens."""

    def advance(self, failure: Exception | None) -> Any:
        super().advance(failure)
        return self.exchanges[self.at] if self.at < len(self.exchanges) else None


@pytest.mark.parametrize("opening", CHANNELS)
@pytest.mark.parametrize("count", COUNTS)
def test_a_talk_that_is_late_is_told_so_to_its_end(
    kernel: ModuleType, sides: list[Pair], count: int, opening: Opening
) -> None:
    lines = [kernel.Line(opening(near), 0.02) for near, _ in sides[:count]]
    talks = [Stubborn(asked(kernel), asked(kernel), asked(kernel)) for _ in lines]
    kernel.carry(lines, talks, 0.02)
    for line, talk in zip(lines, talks, strict=True):
        assert [type(end) for end in talk.ends] == [TimeoutError] * 3
        assert not line.clean
        line.channel.close()


def test_what_came_in_time_is_taken_though_the_time_is_over(
    kernel: ModuleType, sides: list[Pair]
) -> None:
    lines = [kernel.Line(near, None) for near, _ in sides[:2]]
    talks = [Told(asked(kernel)) for _ in lines]
    for _, far in sides[:2]:
        far.sendall(b"OK\r\n")
    kernel.carry(lines, talks, 0.0)
    assert [talk.ends for talk in talks] == [[None], [None]]


# Connections that are unfit


@pytest.mark.parametrize("opening", [plain, veiled])
@pytest.mark.parametrize("count", [1, 5])
def test_which_are_unfit(
    kernel: ModuleType, sides: list[Pair], count: int, opening: Opening
) -> None:
    lines = [kernel.Line(opening(near), 7.0) for near, _ in sides[:5]]
    before = [line.channel.gettimeout() for line in lines]
    sides[1][1].sendall(b"x")
    sides[3][1].close()
    lines[4].channel.close()
    if count == 1:
        assert [kernel.unfit([line]) for line in lines] == [[], [0], [], [0], [0]]
    else:
        assert kernel.unfit(lines) == [1, 3, 4]
    assert kernel.unfit([]) == []
    assert [line.channel.gettimeout() for line in lines[:4]] == before[:4]
    for line in lines:
        line.channel.close()


def test_a_fake_is_unfit_by_what_it_has_read_ahead(kernel: ModuleType, sides: list[Pair]) -> None:
    channel = Fake(sides[0][0])
    line = kernel.Line(channel, 1.0)
    assert kernel.unfit([line]) == []
    channel.ahead = 1
    assert kernel.unfit([line]) == [0]
    talk = Told(asked(kernel))
    kernel.carry([line], [talk], 1.0)
    unasked = "bytes were waiting before the request was sent"
    assert same(talk.ends[0], ValueError, unasked)
    assert (line.clean, line.begun) == (False, False)
    channel.ahead, talk = 0, Told(asked(kernel))

    def serve() -> None:
        sides[0][1].recv(100)
        channel.ahead = 1
        sides[0][1].sendall(b"OK\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    kernel.carry([line], [talk], 10.0)
    thread.join()
    assert same(talk.ends[0], ValueError, "there are bytes after the end of the reply")


@pytest.mark.parametrize("opening", [plain, veiled])
@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        ("unasked", ValueError, "bytes were waiting before the request was sent"),
        (
            "ended",
            ConnectionResetError,
            "the server closed the connection after 0 bytes of the reply",
        ),
        ("closed", OSError, f"[Errno {errno.EBADF}] Bad file descriptor"),
    ],
)
def test_nothing_is_sent_over_a_line_that_is_unfit(
    kernel: ModuleType, sides: list[Pair], opening: Opening, spoil: str, kind: Any, words: str
) -> None:
    near, far = sides[0]
    line = kernel.Line(opening(near), 10.0)
    if spoil == "unasked":
        far.sendall(b"x")
    elif spoil == "ended":
        far.shutdown(socket.SHUT_WR)
    else:
        line.channel.close()
    talk = Told(asked(kernel))
    kernel.carry([line], [talk], None)
    assert same(talk.ends[0], kind, words)
    assert (line.clean, line.begun) == (False, False)
    far.setblocking(False)
    if spoil != "closed":
        with pytest.raises(BlockingIOError):
            far.recv(1)
    line.channel.close()


@pytest.mark.parametrize("opening", [plain, veiled])
def test_closed_sockets_among_others(
    kernel: ModuleType, sides: list[Pair], opening: Opening
) -> None:
    lines = [kernel.Line(opening(near), None) for near, _ in sides[:3]]
    talks = [Told(asked(kernel)) for _ in lines]
    lines[1].channel.close()
    with serving(*((sides[i][1], len(VERSION), b"OK\r\n") for i in (0, 2))):
        kernel.carry(lines, talks, 10.0)
    ends = [talk.ends[0] for talk in talks]
    assert [ends[0], ends[2]] == [None, None]
    assert isinstance(ends[1], OSError)
    assert ends[1].errno == errno.EBADF
    for line in lines:
        line.channel.close()


@pytest.mark.parametrize("count", COUNTS)
def test_sockets_that_are_being_connected(kernel: ModuleType, count: int) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as server:
        channels = []
        for _ in range(count):
            channel = socket.socket()
            channel.setblocking(False)
            assert channel.connect_ex(server.getsockname()) in (0, errno.EINPROGRESS)
            channels.append(channel)
        lines = [kernel.Line(channel, 10.0) for channel in channels]
        assert kernel.unfit(lines) == []
        talks = [Told(asked(kernel)) for _ in lines]

        def serve() -> None:
            taken = [server.accept()[0] for _ in range(count)]
            for each in taken:
                each.recv(100)
                each.sendall(b"OK\r\n")
                each.close()

        thread = threading.Thread(target=serve)
        thread.start()
        kernel.carry(lines, talks, 10.0)
        thread.join()
        assert [talk.ends for talk in talks] == [[None]] * count
        for channel in channels:
            channel.close()


def test_a_socket_whose_connection_is_refused(kernel: ModuleType) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        for count in COUNTS:
            channels = [socket.socket() for _ in range(count)]
            for channel in channels:
                channel.setblocking(False)
                channel.connect_ex(unheard.getsockname())
                select.select([], [channel], [], 10.0)
            lines = [kernel.Line(channel, 10.0) for channel in channels]
            talks = [Told(asked(kernel)) for _ in lines]
            kernel.carry(lines, talks, 10.0)
            for talk, channel in zip(talks, channels, strict=True):
                assert isinstance(talk.ends[0], ConnectionRefusedError)
                channel.close()


# What goes wrong on this side


@pytest.mark.parametrize("count", COUNTS)
def test_an_error_of_a_talk_comes_out(kernel: ModuleType, sides: list[Pair], count: int) -> None:
    class Failing(Told):
        def advance(self, failure: Exception | None) -> Any:
            if self.at == 0 and self is talks[-1]:
                raise LookupError("no more")
            return super().advance(failure)

    lines = [kernel.Line(near, 10.0) for near, _ in sides[:count]]
    replies = [a_reply(kernel) for _ in lines]
    talks = [Failing(Asked([VERSION], reply)) for reply in replies]
    with (
        serving((sides[count - 1][1], len(VERSION), b"OK\r\n")),
        pytest.raises(LookupError, match="no more"),
    ):
        kernel.carry(lines, talks, 10.0)
    for reply in replies[:-1]:
        assert not reply.done
        reply.feed(b"OK\r\n")  # it is nobody's any more
    assert [line.clean for line in lines] == [False] * (count - 1) + [True]


@pytest.mark.parametrize("count", COUNTS)
def test_a_request_that_is_no_bytes_lets_go_of_the_others(
    kernel: ModuleType, sides: list[Pair], count: int
) -> None:
    lines = [kernel.Line(near, 10.0) for near, _ in sides[:count]]
    held = bytearray(5)
    for wrong in ([held, "text"], [held] * 9 + ["text"]):
        talks = [Told(asked(kernel, *wrong)) for _ in lines]
        with pytest.raises(TypeError):
            kernel.carry(lines, talks, 10.0)
        del talks
        let_go()
        held.append(0)  # which a buffer that is held would forbid


def test_buffers_are_let_go_of_when_an_exchange_is_over(
    kernel: ModuleType, sides: list[Pair]
) -> None:
    line = kernel.Line(sides[0][0], 10.0)
    held = bytearray(b"version\r\n")
    for parts in ([held], [held] * 9):
        size = sum(map(len, parts))
        with serving((sides[0][1], size, b"OK\r\n")):
            talk = Told(asked(kernel, *parts))
            kernel.carry([line], [talk], None)
        assert talk.ends == [None]
        let_go()
        held.append(0)


def test_a_reply_is_received_once_at_a_time(kernel: ModuleType, sides: list[Pair]) -> None:
    for twin in (kernel,) if kernel.__name__.endswith("_c") else ():
        reply = a_reply(twin)
        lines = [twin.Line(near, None) for near, _ in sides[:2]]
        talks = [Told(Asked([VERSION], reply)) for _ in lines]
        with pytest.raises(RuntimeError, match="the reply is being received by another thread"):
            twin.carry(lines, talks, 10.0)
        reply.feed(b"OK\r\n")
        assert reply.done


def test_lines_and_talks_are_pairs(kernel: ModuleType, sides: list[Pair]) -> None:
    for opening in (plain, Fake):
        lines = [kernel.Line(opening(near), None) for near, _ in sides[:2]]
        for given in (lines, lines[:1], []):
            talks = [Told() for _ in range(len(given) + 1)]
            words = f"talks must be {len(given)}, one a line, got {len(given) + 1}"
            with pytest.raises(ValueError, match=words):
                kernel.carry(given, talks, 1.0)
    kernel.carry([], [], 1.0)
    with pytest.raises((TypeError, AttributeError)):
        kernel.carry([None], [Told()], 1.0)
    with pytest.raises((TypeError, AttributeError)):
        kernel.unfit([None])


def test_a_talk_may_change_the_lists(kernel: ModuleType, sides: list[Pair]) -> None:
    lines = [kernel.Line(near, None) for near, _ in sides[:3]]
    talks: list[Any] = []

    class Clearing(Told):
        def advance(self, failure: Exception | None) -> Any:
            if self.at == 0:
                lines.clear()
                talks.clear()
            return super().advance(failure)

    kept = [Clearing(asked(kernel), asked(kernel)) for _ in lines]
    talks.extend(kept)
    with serving(*((far, len(VERSION), b"OK\r\n") for _, far in sides[:3] for _ in range(2))):
        kernel.carry(lines, talks, 10.0)
    assert [talk.ends for talk in kept] == [[None, None]] * 3


# Signals


if hasattr(signal, "setitimer"):

    @pytest.mark.parametrize("opening", CHANNELS)
    @pytest.mark.parametrize("count", COUNTS)
    def test_a_handler_runs_while_it_is_waited(
        kernel: ModuleType, sides: list[Pair], count: int, opening: Opening
    ) -> None:
        lines = [kernel.Line(opening(near), 10.0) for near, _ in sides[:count]]
        talks = [Told(asked(kernel)) for _ in lines]

        def answer() -> None:
            for _, far in sides[:count]:
                far.sendall(b"OK\r\n")

        with alarm(answer):
            kernel.carry(lines, talks, None if count == 1 else 10.0)
        assert [talk.ends for talk in talks] == [[None]] * count
        for line in lines:
            line.channel.close()

    @pytest.mark.parametrize("opening", CHANNELS)
    @pytest.mark.parametrize("count", COUNTS)
    def test_a_handler_may_end_it(
        kernel: ModuleType, sides: list[Pair], count: int, opening: Opening
    ) -> None:
        def stop() -> None:
            raise KeyboardInterrupt

        lines = [kernel.Line(opening(near), 10.0) for near, _ in sides[:count]]
        replies = [a_reply(kernel) for _ in lines]
        talks = [Told(Asked([VERSION], reply)) for reply in replies]
        with alarm(stop), pytest.raises(KeyboardInterrupt):
            kernel.carry(lines, talks, None if count == 1 else 10.0)
        assert not any(line.clean for line in lines if line.begun)
        assert lines[0].begun
        for reply in replies:
            reply.feed(b"OK\r\n")  # it is nobody's any more
        for line in lines:
            line.channel.close()

    def test_a_handler_may_end_a_get(kernel: ModuleType, sides: list[Pair]) -> None:
        def stop() -> None:
            raise KeyboardInterrupt

        line = kernel.Line(sides[0][0], 10.0)
        with alarm(stop), pytest.raises(KeyboardInterrupt):
            line.get(b"get ", "key", b"")
        assert (line.clean, line.begun) == (False, True)

    @pytest.mark.parametrize("outer", ["get", "carry"])
    @pytest.mark.parametrize("inner", ["get", "carry"])
    def test_a_handler_cannot_use_the_compiled_line_that_waits(
        sides: list[Pair], outer: str, inner: str
    ) -> None:
        for kernel in twins("transport")[:-1]:
            near, far = sides.pop()
            line = kernel.Line(near, 10.0)
            reply = b"END\r\n" if outer == "get" else b"OK\r\n"

            def use(how: str, line: Any = line, kernel: ModuleType = kernel) -> None:
                if how == "get":
                    line.get(b"get ", "key", b"")
                else:
                    kernel.carry([line], [Told(asked(kernel))], None)

            def handle(use: Any = use, far: socket.socket = far, reply: bytes = reply) -> None:
                with pytest.raises(RuntimeError, match="in the middle of another exchange"):
                    use(inner)
                far.sendall(reply)

            with alarm(handle):
                use(outer)
            assert line.clean
            near.close()
            far.close()


# One key


def block(key: bytes, data: bytes, flags: int = 3, cas: int = 9) -> bytes:
    return b"VALUE %b %d %d %d\r\n%b\r\nEND\r\n" % (key, flags, len(data), cas, data)


@pytest.mark.parametrize("key", ["key", b"key"])
def test_a_get(kernel: ModuleType, sides: list[Pair], key: str | bytes) -> None:
    line = kernel.Line(sides[0][0], 10.0)
    for reply, expected in (
        (block(b"p:key", b"1"), (0, b"1", 3, 9)),
        (block(b"p:key", b"1" * 100_000), (0, b"1" * 100_000, 3, 9)),
        (b"END\r\n", (1, None, 0, 0)),
        (b"SERVER_ERROR out of memory\r\n", (0x82, b"SERVER_ERROR out of memory", 0, 0)),
        (block(b"p:key", b"", 0, 2**64 - 1), (0, b"", 0, 2**64 - 1)),
    ):
        for seconds in (None, 10.0):
            with serving((sides[0][1], len(b"gets p:key\r\n"), reply)):
                assert line.get(b"gets ", key, b"p:", seconds) == expected
            assert (line.clean, line.begun) == (True, True)


def test_a_get_that_is_not_answered(kernel: ModuleType, sides: list[Pair]) -> None:
    for (near, far), (reply, words) in zip(
        sides,
        (
            (block(b"kex", b"1"), "the reply names a key that was not asked for: b'kex'"),
            (block(b"key", b"1") + b"x", "after the end of the reply"),
            (b"HUH\r\n", "a line is not one that answers the request"),
        ),
        strict=False,
    ):
        line = kernel.Line(near, 10.0)
        with serving((far, len(b"gets key\r\n"), reply)), pytest.raises(ValueError, match=words):
            line.get(b"gets ", "key", b"")
        assert (line.clean, line.begun) == (False, True)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("", ValueError),
        ("a b", ValueError),
        (b"a\r\n", ValueError),
        ("k" * 249, ValueError),
        ("\u00e9" * 125, ValueError),
        ("\x7f", ValueError),
        ("\udc80", ValueError),
        (5, TypeError),
        (None, TypeError),
        (bytearray(b"key"), TypeError),
    ],
)
def test_a_get_of_a_bad_key(
    kernel: ModuleType, sides: list[Pair], key: Any, kind: type[Exception]
) -> None:
    requests = importlib.import_module("godropbox._kernels.wire_request_py")
    prefix = b"" if key == "" else b"p:"
    with pytest.raises(kind) as expected:
        requests.wire_key(key, prefix)
    line = kernel.Line(sides[0][0], 10.0)
    with pytest.raises(kind) as caught:
        line.get(b"gets ", key, prefix)
    assert str(caught.value) == str(expected.value)
    assert (line.clean, line.begun) == (True, False)
    with serving((sides[0][1], len(b"gets p:key\r\n"), b"END\r\n")):
        assert line.get(b"gets ", "key", b"p:") == (1, None, 0, 0)


def test_a_get_over_a_line_that_is_unfit(kernel: ModuleType, sides: list[Pair]) -> None:
    for spoil, kind in (
        (lambda near, far: far.sendall(b"END\r\n"), ValueError),
        (lambda near, far: far.close(), ConnectionResetError),
        (lambda near, far: near.close(), OSError),
    ):
        near, far = sides.pop()
        line = kernel.Line(near, 10.0)
        spoil(near, far)  # type: ignore[no-untyped-call]  # a lambda
        with pytest.raises(kind):
            line.get(b"gets ", "key", b"")
        assert (line.clean, line.begun) == (False, False)
        near.close()
        far.close()


@pytest.mark.parametrize("opening", [veiled, Fake])
def test_a_get_takes_a_plain_socket(
    kernel: ModuleType, sides: list[Pair], opening: Opening
) -> None:
    line = kernel.Line(opening(sides[0][0]), 10.0)
    with pytest.raises(ValueError, match="the channel must be a plain socket"):
        line.get(b"gets ", "key", b"")
    line.channel.close()
