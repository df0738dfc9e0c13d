"""A memcached for the benchmarks, and the bare connection that is their floor and their witness."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from .model import MissingError

__all__ = ["Plain", "Plains", "a_server", "running", "servers", "set_request"]


def set_request(key: str, value: bytes) -> bytes:
    """Return the request that stores a value, in the ASCII protocol."""
    return b"set %b 0 0 %d\r\n%b\r\n" % (key.encode(), len(value), value)


class Plain:
    """A plain Python socket that speaks ASCII, one whole request at a time."""

    def __init__(self, address: list[Any]) -> None:
        self._socket = socket.create_connection((address[0], address[1]), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(None)  # so that a call is one system call, and no poll before it
        self._room = memoryview(bytearray(1 << 16))
        self.close = self._socket.close

    def ask(self, request: bytes, size: int) -> int:
        """Send a request and receive `size` bytes, in as few calls as they come in."""
        self.send(request)
        return self.take(size)

    def send(self, request: bytes) -> None:
        """Send a request."""
        self._socket.sendall(request)

    def take(self, size: int) -> int:
        """Receive `size` bytes, in as few calls as they come in."""
        got = self._socket.recv_into(self._room)
        while got < size:
            got += self._socket.recv_into(self._room[got:]) or self._ended()
        return got

    def _ended(self) -> int:
        raise ConnectionError("memcached closed the connection")

    def received(self, size: int) -> bytes:
        """Return the first bytes of what the last ``ask`` received."""
        return bytes(self._room[:size])

    def talk(self, request: bytes, end: bytes) -> bytes:
        """Send a request and return what comes back, up to the `end` of it."""
        self._socket.sendall(request)
        reply = b""
        while not reply.endswith(end):
            reply += self._socket.recv(1 << 16) or b"%d" % self._ended()
        return reply

    def store(self, items: Mapping[str, bytes]) -> None:
        """Store each item."""
        for key, value in items.items():
            self.talk(set_request(key, value), b"STORED\r\n")

    def delete(self, keys: Iterable[str]) -> None:
        """Delete each key, there or not."""
        for key in keys:
            self.talk(b"delete %b\r\n" % key.encode(), b"\r\n")

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return what the server holds under these keys, without those that it does not hold."""
        held = {}
        for key in keys:
            reply = self.talk(b"get %b\r\n" % key.encode(), b"END\r\n")
            head, _, rest = reply.partition(b"\r\n")
            if rest:
                held[key] = rest[: int(head.split(b" ")[3])]
        return held


class Plains:
    """A plain socket to each of many servers: for a floor, and to see what the servers hold."""

    def __init__(self, addresses: list[list[Any]]) -> None:
        self.each = [Plain(address) for address in addresses]

    def ask_all(self, asked: list[tuple[Plain, bytes, int]]) -> list[int]:
        """Send each request over its socket, then receive each reply of so many bytes."""
        for plain, request, _ in asked:
            plain.send(request)
        return [plain.take(size) for plain, _, size in asked]

    def delete(self, keys: Iterable[str]) -> None:
        """Delete each key from every server, there or not."""
        for plain in self.each:
            plain.delete(keys)

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return what the servers hold under these keys, in the order of the keys."""
        held: dict[str, bytes] = {}
        for plain in self.each:
            held |= plain.read(keys)
        return {key: held[key] for key in keys if key in held}

    def close(self) -> None:
        """Close them all."""
        for plain in self.each:
            plain.close()


@contextmanager
def _pinned(core: int) -> Iterator[None]:
    """Keep this process, and all that it starts meanwhile, on one core, counted from the last.

    Otherwise the kernel has server and client share a core for one row and not for the next.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[-1 - core % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def servers(count: int, apart: bool = False, more: Sequence[str] = ()) -> Iterator[list[list[Any]]]:
    """Run memcacheds with one thread each on loopback; give their hosts and ports.

    They are on one core with us, where what a client does adds to the time whole, or `apart`, where
    each is woken by the other, as in most places where a server is not the client's own. `more` are
    further arguments of memcached.
    """
    with ExitStack() as stack:
        with _pinned(1 if apart else 0):
            addresses = [stack.enter_context(running(more))[0] for _ in range(count)]
        with _pinned(0):
            yield addresses


@contextmanager
def a_server(apart: bool = False) -> Iterator[list[Any]]:
    """Run one of ``servers``; give its host and port."""
    with servers(1, apart) as addresses:
        yield addresses[0]


@contextmanager
def running(more: Sequence[str] = ()) -> Iterator[tuple[list[Any], subprocess.Popen[bytes]]]:
    """Run a memcached with one thread on loopback; give its host and port, and its process."""
    program = shutil.which("memcached")
    if program is None:
        raise MissingError("memcached is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [program, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "256", "-t", "1"]
    command += more  # after the others, which it may replace
    if os.geteuid() == 0:
        command += ["-u", "root"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        address = ["127.0.0.1", port]
        until = time.monotonic() + 10
        while not _answers(address):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"memcached does not listen: {' '.join(command)}")
        yield address, process
    finally:
        process.kill()
        process.wait()


def _answers(address: list[Any]) -> bool:
    try:
        Plain(address).close()
    except ConnectionError:
        return False
    return True
