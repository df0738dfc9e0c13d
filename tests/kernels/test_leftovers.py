"""Bytes behind a reply: the drivers refuse them, in the same words over every kind of channel."""

import socket
from types import ModuleType
from typing import Any

import pytest
from conftest import twins

pytestmark = pytest.mark.once

REPLY = b"VALUE a 0 1 7\r\nx\r\nEND\r\n"
REST = b"END\r\n" + b"y" * 100
WORDS = (
    f"there are bytes after the end of the reply: {REST[:60]!r} at byte {len(REPLY)} of the reply"
)


class Talk:
    """One exchange with a request and a reply, and how it failed."""

    def __init__(self, reply: Any) -> None:
        self.request = [b"gets a\r\n"]
        self.reply = self if reply is None else reply
        self.failure: Any = "not told"
        self.given = False
        self.data = b""

    def advance(self, failure: Exception | None) -> "Talk | None":
        if not self.given:
            self.given = True
            return self
        self.failure = failure
        return None

    # As its own reply

    @property
    def done(self) -> bool:
        return len(self.data) >= len(REPLY)

    @property
    def size(self) -> int:
        return len(self.data)

    def feed(self, data: Any) -> int:
        taken = bytes(data)[: len(REPLY) - len(self.data)]
        self.data += taken
        return len(taken)


class Pipe:
    """A channel that is no socket."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def sendall(self, data: Any) -> None:
        pass

    def settimeout(self, seconds: Any) -> None:
        pass

    def recv_into(self, buffer: Any) -> int:
        buffer[: len(self.data)] = self.data
        return len(self.data)

    def close(self) -> None:
        pass


@pytest.fixture(params=twins("transport"), ids=lambda twin: twin.__name__)
def transport(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


@pytest.fixture(params=twins("wire"), ids=lambda twin: twin.__name__)
def wire(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


class Peer:
    """A socket whose peer answers as soon as it was asked."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()

    def answer(self, data: bytes) -> None:
        self.far.sendall(data)

    def close(self) -> None:
        self.near.close()
        self.far.close()


def failure_of(transport: ModuleType, reply: Any, data: bytes, several: bool) -> Any:
    """Carry an exchange whose reply is `data`; return how it failed."""
    talks = [Talk(reply)]
    if not several:
        lines = [transport.Line(Pipe(data), None)]
        transport.carry(lines, talks, 5.0)
        return talks[0].failure
    # Of several lines none is first seen to be quiet, so that the answers may be there already.
    peers = [Peer(), Peer()]
    try:
        for peer in peers:
            peer.answer(data if peer is peers[0] else REPLY)
        lines = [transport.Line(peer.near, None) for peer in peers]
        talks.append(Talk(None))
        transport.carry(lines, talks, 5.0)
    finally:
        for peer in peers:
            peer.close()
    assert talks[1].failure is None
    return talks[0].failure


@pytest.mark.parametrize("several", [False, True], ids=["one pipe", "two sockets"])
def test_bytes_behind_a_reply_are_refused(
    transport: ModuleType, wire: ModuleType, several: bool
) -> None:
    reply = wire.Reply(wire.codes.VALUES, 1)
    failure = failure_of(transport, reply, REPLY + REST, several)
    assert type(failure) is ValueError
    assert str(failure) == WORDS
    assert failure_of(transport, wire.Reply(wire.codes.VALUES, 1), REPLY, several) is None


@pytest.mark.parametrize("several", [False, True], ids=["one pipe", "two sockets"])
def test_an_exchange_that_is_its_own_reply_looks_itself(
    transport: ModuleType, several: bool
) -> None:
    assert failure_of(transport, None, REPLY + REST, several) is None


@pytest.mark.parametrize("several", [False, True], ids=["one pipe", "two sockets"])
def test_any_other_taker_may_leave_nothing(transport: ModuleType, several: bool) -> None:
    failure = failure_of(transport, Talk("another"), REPLY + REST, several)
    assert type(failure) is ValueError
    assert str(failure) == WORDS
