"""Exchanges over many plain sockets: each ends in its own way, whichever is waited for first."""

import socket
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from conftest import twins

from godropbox._kernels import wire


@pytest.fixture
def sides() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    pairs = [socket.socketpair() for _ in range(5)]
    yield pairs
    for pair in pairs:
        for end in pair:
            end.close()


@pytest.fixture(params=twins("scatter"), ids=lambda twin: twin.__name__)
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    twin: ModuleType = request.param
    return twin


def has_none(kernel: ModuleType) -> bool:
    """Tell whether a twin leaves sockets to their own methods, as the pure one does."""
    if kernel.open_scatter(5, None) is not None:
        return False
    assert kernel.__name__.endswith("_py")
    assert kernel.unfit([0]) is None
    return True


def a_reply() -> Any:
    return wire.Reply(wire.codes.LINES, 1, wire.codes.WORDS["OK"])


def test_each_ends_in_its_own_way(
    kernel: ModuleType, sides: list[tuple[socket.socket, socket.socket]]
) -> None:
    if has_none(kernel):
        return
    scatter = kernel.open_scatter(5, 0.05)
    replies = [a_reply() for _ in sides]
    for (near, far), reply in zip(sides, replies, strict=True):
        scatter.start(near.fileno(), [b"flush_all", b" 0\r\n"], reply)
        assert far.recv(100) == b"flush_all 0\r\n"
    sides[0][1].sendall(b"OK\r\n")
    sides[1][1].sendall(b"SERVER_ERROR no\r\n")
    sides[2][1].sendall(b"HUH\r\n")
    sides[3][1].close()
    with pytest.raises(RuntimeError, match="received by another thread"):
        replies[4].feed(b"")
    ends = [scatter.finish(at) for at in (4, 2, 0, 3, 1)]
    assert [type(end) for end in ends] == [
        TimeoutError,
        ValueError,
        type(None),
        ConnectionResetError,
        type(None),
    ]
    assert [row.value for row in replies[1].rows()] == [b"SERVER_ERROR no"]


def test_what_does_not_fit(kernel: ModuleType, sides: list[Any]) -> None:
    if has_none(kernel):
        return
    scatter = kernel.open_scatter(1, None)
    with pytest.raises(ValueError, match="there are 0 exchanges, got 0"):
        scatter.finish(0)
    with pytest.raises(TypeError):
        scatter.start(sides[0][0].fileno(), ["text"], a_reply())
    scatter.start(sides[0][0].fileno(), [b"x"], a_reply())
    with pytest.raises(ValueError, match="there must be at most 1 exchanges"):
        scatter.start(sides[0][0].fileno(), [b"x"], a_reply())


def test_a_socket_that_is_no_more(kernel: ModuleType, sides: list[Any]) -> None:
    if has_none(kernel):
        return
    scatter = kernel.open_scatter(1, 5.0)
    gone = sides[0][0].detach()
    socket.close(gone)
    scatter.start(gone, [b"x"], a_reply())
    end = scatter.finish(0)
    assert isinstance(end, OSError)
    assert kernel.unfit([gone]) == [0]


def test_which_are_unfit(kernel: ModuleType, sides: list[Any]) -> None:
    if has_none(kernel):
        return
    sides[1][1].sendall(b"x")
    sides[3][1].close()
    assert kernel.unfit([near.fileno() for near, _ in sides]) == [1, 3]
    assert kernel.unfit([]) == []
