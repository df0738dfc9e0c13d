"""Channels of all kinds over pairs of sockets, and signals that meet an exchange on its way."""

import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from support.memory import COUNTS_REFERENCES

__all__ = ["CHANNELS", "Fake", "Opening", "Pair", "alarm", "plain", "veiled"]

Pair = tuple[socket.socket, socket.socket]


class Fake:
    """A channel that is no socket: it blocks, and tells what it has read ahead."""

    def __init__(self, near: socket.socket) -> None:
        self.near = near
        self.ahead = 0

    def sendall(self, data: Any) -> None:
        self.near.sendall(data)

    def recv_into(self, buffer: Any) -> int:
        return self.near.recv_into(buffer, 3)  # in small pieces

    def settimeout(self, seconds: float | None) -> None:
        self.near.settimeout(seconds)

    def pending(self) -> int:
        return self.ahead

    def close(self) -> None:
        self.near.close()


class Veiled(socket.socket):
    """A socket with something in between, as TLS: every other send has to be made again."""

    sends = 0

    def recv_into(self, *arguments: Any) -> int:
        try:
            return super().recv_into(*arguments)
        except BlockingIOError:
            raise ssl.SSLWantReadError from None

    def send(self, data: Any, *arguments: Any) -> int:
        self.sends += 1
        if self.fileno() >= 0 and self.gettimeout() == 0.0 and self.sends % 2:
            raise ssl.SSLWantWriteError
        return super().send(data[:10_000], *arguments)


def plain(near: socket.socket) -> Any:
    return near


def veiled(near: socket.socket) -> Any:
    return Veiled(near.family, near.type, near.proto, near.detach())


CHANNELS = [plain, veiled, Fake]
Opening = Callable[[socket.socket], Any]


@contextmanager
def alarm(handler: Callable[[], Any]) -> Iterator[None]:
    """Run a handler of a signal in a moment."""
    before = signal.signal(signal.SIGALRM, lambda *_: handler())
    # Not before what it is to interrupt: PyPy compiles meanwhile.
    signal.setitimer(signal.ITIMER_REAL, 0.02 if COUNTS_REFERENCES else 0.2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
