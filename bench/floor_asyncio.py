"""The floor of the asyncio cases: the protocol an engineer writes by hand for one memcached.

One connection, requests in order, a deque of what waits for a reply, and a write a turn of the
loop that joins what was asked meanwhile. It knows the one operation that is timed, checks no key,
has no deadline and no second server, and ends with its connection.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

__all__ = ["Gets", "GetsAtOnce", "ManyGets", "ManySets", "connected"]

_P = TypeVar("_P", bound="_Connection")


class _Connection(asyncio.Protocol):
    """The half that all share: joins writes, and fails what waits when the connection ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._out: list[bytes] = []
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def connection_lost(self, error: Exception | None) -> None:
        for future in self._unanswered():
            if not future.done():
                future.set_exception(error or ConnectionError("memcached closed the connection"))

    def _unanswered(self) -> list[asyncio.Future[Any]]:
        raise NotImplementedError

    def _flush(self) -> None:
        self._transport.write(b"".join(self._out))
        self._out.clear()

    def close(self) -> None:
        self._transport.close()


class Gets(_Connection):
    """Gets of one key: a future a request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._waiting: deque[asyncio.Future[bytes | None]] = deque()

    def _unanswered(self) -> list[asyncio.Future[Any]]:
        return list(self._waiting)

    def get(self, key: str) -> asyncio.Future[bytes | None]:
        future: asyncio.Future[bytes | None] = self._loop.create_future()
        self._waiting.append(future)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(f"mg {key} v f k\r\n".encode())
        return future

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        find, next_waiting = data.find, self._waiting.popleft
        at = 0
        while (end := find(b"\r\n", at)) >= 0:
            value = None
            if data[at : at + 3] == b"VA ":
                start = end + 2
                end = start + int(data[at + 3 : find(b" ", at + 3)])
                if len(data) < end + 2:
                    break
                value = data[start:end]
            elif data[at:end] != b"EN":
                raise ValueError(f"not a reply to mg: {data[at:end]!r}")
            at = end + 2
            future = next_waiting()
            if not future.done():
                future.set_result(value)
        self._rest = data[at:]


class GetsAtOnce(Gets):
    """The same with a write a get, as it is written first."""

    def get(self, key: str) -> asyncio.Future[bytes | None]:
        future: asyncio.Future[bytes | None] = self._loop.create_future()
        self._waiting.append(future)
        self._transport.write(f"mg {key} v f k\r\n".encode())
        return future


class ManyGets(_Connection):
    """Gets of many keys: a write and a future a batch."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._waiting: deque[tuple[asyncio.Future[dict[str, bytes]], Sequence[str]]] = deque()
        self._values: list[bytes | None] = []  # those that are there of the first batch

    def _unanswered(self) -> list[asyncio.Future[Any]]:
        return [future for future, _ in self._waiting]

    def get_many(self, keys: Sequence[str]) -> asyncio.Future[dict[str, bytes]]:
        future: asyncio.Future[dict[str, bytes]] = self._loop.create_future()
        self._waiting.append((future, keys))
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append("".join([f"mg {key} v f k\r\n" for key in keys]).encode())
        return future

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        find, values = data.find, self._values
        at = 0
        wanted = len(self._waiting[0][1])
        while (end := find(b"\r\n", at)) >= 0:
            if data[at : at + 3] == b"VA ":
                start = end + 2
                end = start + int(data[at + 3 : find(b" ", at + 3)])
                if len(data) < end + 2:
                    break
                values.append(data[start:end])
            elif data[at:end] == b"EN":
                values.append(None)
            else:
                raise ValueError(f"not a reply to mg: {data[at:end]!r}")
            at = end + 2
            if len(values) == wanted:
                future, keys = self._waiting.popleft()
                if not future.done():
                    future.set_result(
                        {k: v for k, v in zip(keys, values, strict=True) if v is not None}
                    )
                values.clear()
                wanted = len(self._waiting[0][1]) if self._waiting else 0
        self._rest = data[at:]


class ManySets(_Connection):
    """Sets of many keys: a write and a future a batch, which is given the keys that failed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._waiting: deque[tuple[asyncio.Future[list[str]], Sequence[str]]] = deque()
        self._lines: list[bytes] = []  # replies to the first batch

    def _unanswered(self) -> list[asyncio.Future[Any]]:
        return [future for future, _ in self._waiting]

    def set_many(self, items: Mapping[str, bytes]) -> asyncio.Future[list[str]]:
        future: asyncio.Future[list[str]] = self._loop.create_future()
        self._waiting.append((future, list(items)))
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out += [
            b"ms %b %d F0 T0\r\n%b\r\n" % (key.encode(), len(value), value)
            for key, value in items.items()
        ]
        return future

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        self._lines += lines
        while self._waiting and len(self._lines) >= len(self._waiting[0][1]):
            future, keys = self._waiting.popleft()
            replies, self._lines = self._lines[: len(keys)], self._lines[len(keys) :]
            if not future.done():
                future.set_result(
                    [
                        key
                        for key, line in zip(keys, replies, strict=True)
                        if not line.startswith(b"HD")
                    ]
                )


async def connected(make: Callable[[asyncio.AbstractEventLoop], _P], host: str, port: int) -> _P:
    """Return a protocol over a new connection to this server."""
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(lambda: make(loop), host, port)
    return protocol
