"""A Redis, or Valkey, for the benchmarks, and the plain connection that is their witness."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .model import MissingError

__all__ = ["PlainRedis", "a_redis"]


class PlainRedis:
    """A plain Python socket that speaks RESP, one command at a time."""

    def __init__(self, address: list[Any]) -> None:
        self._socket = socket.create_connection((address[0], address[1]), 10)
        self._replies = self._socket.makefile("rb")

    def _ask(self, *words: bytes) -> bytes | None:
        parts = [b"*%d\r\n" % len(words)] + [b"$%d\r\n%b\r\n" % (len(w), w) for w in words]
        self._socket.sendall(b"".join(parts))
        line = self._replies.readline()
        if not line:
            raise ConnectionError("Redis closed the connection")
        if not line.startswith(b"$"):
            return line[1:-2]
        size = int(line[1:])
        return None if size < 0 else self._replies.read(size + 2)[:-2]

    def store(self, items: Mapping[str, bytes]) -> None:
        """Store each item."""
        for key, value in items.items():
            self._ask(b"SET", key.encode(), value)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete each key, there or not."""
        for key in keys:
            self._ask(b"DEL", key.encode())

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return what the server holds under these keys, without those that it does not hold."""
        held = {key: self._ask(b"GET", key.encode()) for key in keys}
        return {key: value for key, value in held.items() if value is not None}

    def close(self) -> None:
        """Close the connection."""
        self._replies.close()
        self._socket.close()


@contextmanager
def a_redis() -> Iterator[list[Any]]:
    """Run a server on loopback that keeps nothing on disk; give its host and port."""
    program = shutil.which("redis-server")
    if program is None:
        raise MissingError("redis-server is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    options = {"--bind": "127.0.0.1", "--port": str(port), "--save": "", "--appendonly": "no"}
    command = [program, *(word for pair in options.items() for word in pair)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = ["127.0.0.1", port]
        until = time.monotonic() + 10
        while not _answers(address):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server does not listen: {' '.join(command)}")
        yield address
    finally:
        process.kill()
        process.wait()


def _answers(address: list[Any]) -> bool:
    try:
        PlainRedis(address).close()
    except ConnectionError:
        return False
    return True
