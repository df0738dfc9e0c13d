"""A proxy in the test's own event loop, whose misdeeds happen at the moments that a test chooses.

It has no task and no thread: sockets, and what the loop calls when one is ready. So a test can
count tasks, and knows that nothing happens while it does not wait.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Literal, Self

__all__ = ["Middle"]

End = Literal["eof", "reset", "garbage"]
Greeting = Literal["forward", "hold", "eof", "reset"]

_CHUNK = 1 << 18
_RESET = struct.pack("ii", 1, 0)


class _Pair:
    """A client's connection, and the one to the server."""

    def __init__(self, near: socket.socket, far: socket.socket | None) -> None:
        self.near = near
        self.far = far
        self.held = bytearray()  # replies that are not handed on yet
        self.out: dict[socket.socket, bytearray] = {}  # what a socket had no room for


class Middle:
    """Listens on a free port of 127.0.0.1 and forwards to `target`; use it as a context.

    `greeting` is what a new connection meets. `room` is how many more bytes of replies are handed
    on, None for all; the first byte beyond meets `end`, or is held if that is None. `asked` and
    `made` count the bytes of requests and the connections.
    """

    def __init__(self, target: str) -> None:
        host, port = target.split(":")
        self._target = (host, int(port))
        self._loop = asyncio.get_running_loop()
        self._pairs: list[_Pair] = []
        self._waiter: asyncio.Future[None] | None = None
        self._is_deaf = False
        self._listener: socket.socket | None = None
        self._port = 0
        self.greeting: Greeting = "forward"
        self.room: int | None = None
        self.end: End | None = None
        self.asked = 0
        self.made = 0
        self.answered = 0
        self.start()
        # Of an earlier server that had this port: the ends of its connections, not closed yet.
        self._earlier = _sockets_to(self._port)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._pairs)

    @property
    def sockets(self) -> int:
        """How many sockets of this process are connected to this one, open here or not."""
        return len(_sockets_to(self._port) - self._earlier)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, always at the same port; if it does not yet."""
        if self._listener is not None:
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        listener.listen(512)
        listener.setblocking(False)
        self._port = listener.getsockname()[1]
        self._listener = listener
        self._loop.add_reader(listener, self._accept)

    def stop(self) -> None:
        """Refuse connections, and close those there are."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._loop.remove_reader(listener)
            listener.close()
        self.cut()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something has happened in here; for a minute at most."""
        async with asyncio.timeout(60):
            while not is_so():
                self._waiter = self._waiter or self._loop.create_future()
                await self._waiter

    def _happened(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # What a test does

    def mute(self) -> None:
        """Hold all replies from now on."""
        self.room, self.end = 0, None

    def speak(self) -> None:
        """Hand on what was held, and all replies from now on."""
        self.room, self.end = None, None
        for pair in self._pairs.copy():
            held, pair.held = pair.held, bytearray()
            self._send(pair, pair.near, held)

    def after(self, count: int, end: End | None) -> None:
        """After so many more bytes of replies come to an end, or hold the rest if it is None."""
        self.room, self.end = count, end
        for pair in self._pairs.copy():
            held, pair.held = bytes(pair.held), bytearray()
            if held:
                self._reply(pair, held)

    def say(self, data: bytes) -> None:
        """Send what nobody asked for."""
        for pair in self._pairs.copy():
            self._send(pair, pair.near, data)

    def deafen(self) -> None:
        """Read no more requests."""
        self._is_deaf = True
        for pair in self._pairs:
            self._loop.remove_reader(pair.near)

    def listen(self) -> None:
        """Read requests again."""
        self._is_deaf = False
        for pair in self._pairs:
            self._loop.add_reader(pair.near, self._ask, pair)

    def cut(self, end: End = "eof") -> None:
        """Bring all connections to an end."""
        for pair in self._pairs.copy():
            self._finish(pair, end, b"")

    # What the loop calls

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            near, _ = self._listener.accept()
        except BlockingIOError:
            return
        self.made += 1
        near.setblocking(False)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.greeting in ("eof", "reset"):
            _close(near, self.greeting == "reset")
            self._happened()
            return
        far = None
        if self.greeting == "forward":
            far = socket.create_connection(self._target)
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            far.setblocking(False)
        pair = _Pair(near, far)
        self._pairs.append(pair)
        if not self._is_deaf:
            self._loop.add_reader(near, self._ask, pair)
        if far is not None:
            self._loop.add_reader(far, self._answer, pair)
        self._happened()

    def _ask(self, pair: _Pair) -> None:
        try:
            data = pair.near.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(pair)
            return
        self.asked += len(data)
        if pair.far is not None:
            self._send(pair, pair.far, data)
        self._happened()

    def _answer(self, pair: _Pair) -> None:
        assert pair.far is not None
        try:
            data = pair.far.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._finish(pair, "eof", b"")
            return
        self.answered += len(data)
        if pair.held or self.room is not None:
            self._reply(pair, data)
        else:
            self._send(pair, pair.near, data)
        self._happened()

    def _reply(self, pair: _Pair, data: bytes) -> None:
        """Hand on what there is room for, and bring about the end."""
        room = len(data) if self.room is None else self.room
        if pair.held:
            room = 0
        now, rest = data[:room], data[room:]
        if self.room is not None:
            self.room -= len(now)
        if not rest:
            self._send(pair, pair.near, now)
        elif self.end is None:
            self._send(pair, pair.near, now)
            pair.held += rest
        else:
            end, self.end, self.room = self.end, None, None
            if end == "garbage":
                now += b"\x00garbage\r\n"
            self._finish(pair, end, now, rest)

    def _finish(self, pair: _Pair, end: End, last: bytes, rest: bytes = b"") -> None:
        """Send the last bytes, and close the connection; what is garbled goes on."""
        if last:
            self._send(pair, pair.near, last)
        if end == "garbage":
            self._send(pair, pair.near, rest)
            return
        if pair in self._pairs:
            self._forget(pair, end == "reset")

    def _send(self, pair: _Pair, end: socket.socket, data: bytes | bytearray) -> None:
        if end in pair.out:
            pair.out[end] += data
        elif pair in self._pairs:
            pair.out[end] = bytearray(data)
            self._flush(pair, end)
            if end in pair.out and pair in self._pairs:
                self._loop.add_writer(end, self._flush, pair, end)

    def _flush(self, pair: _Pair, end: socket.socket) -> None:
        out = pair.out[end]
        try:
            while out:
                sent = end.send(out[:_CHUNK])
                del out[:sent]
        except BlockingIOError:
            return
        except OSError:
            if pair in self._pairs:
                self._forget(pair)
            return
        del pair.out[end]
        self._loop.remove_writer(end)

    def _forget(self, pair: _Pair, is_reset: bool = False) -> None:
        self._pairs.remove(pair)
        for end in (pair.near, pair.far):
            if end is not None:
                self._loop.remove_reader(end)
                self._loop.remove_writer(end)
        _close(pair.near, is_reset)
        if pair.far is not None:
            pair.far.close()
        self._happened()


def _close(near: socket.socket, is_reset: bool) -> None:
    if is_reset:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    near.close()


def _sockets_to(port: int) -> set[str]:
    """Return the names of this process's sockets that are connected to a port of this machine."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            link = os.readlink(f"/proc/self/fd/{name}")
            if not link.startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as one:
                peer = one.getpeername()
                if len(peer) == 2 and peer[1] == port and one.getsockname() != peer:
                    found.add(link)
    return found
