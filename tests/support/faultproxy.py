"""A proxy between a client and a real server that does what networks do.

It forwards bytes both ways and, on the way back to the client, takes one fault from a plan for
each connection: after so many bytes it delays for good, cuts off, resets, garbles, repeats, or
hands everything on in tiny pieces. It runs in one thread of its own, over one selector.
"""

import contextlib
import random
import selectors
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["none", "split", "hang", "truncate", "reset", "garble", "duplicate"]


@dataclass
class Fault:
    """One connection's fault: what happens, after how many bytes of replies."""

    kind: Kind = "none"
    after: int = 0


@dataclass
class _Pair:
    client: socket.socket
    server: socket.socket
    fault: Fault
    passed: int = 0
    held: bool = field(default=False)


class FaultProxy:
    """Listens on a free port of 127.0.0.1 and forwards to `target`; use it as a context."""

    def __init__(self, target: tuple[str, int], seed: int = 0) -> None:
        self._target = target
        self._random = random.Random(seed)
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve)
        self.fault = Fault()  # what the next connection gets
        host, port = self._listener.getsockname()
        self.address = f"{host}:{port}"

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._wake.close()
        self._thread.join()

    def _serve(self) -> None:
        pairs: dict[socket.socket, _Pair] = {}
        stopping = False
        while not stopping:
            for key, _ in self._selector.select():
                end = key.fileobj
                if end is self._woken:
                    stopping = True
                elif end is self._listener:
                    self._accept(pairs)
                elif isinstance(end, socket.socket) and end in pairs:
                    self._forward(pairs, end)
        for end in [*pairs, self._listener, self._woken]:
            end.close()
        self._selector.close()

    def _accept(self, pairs: dict[socket.socket, _Pair]) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self._target)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(end, selectors.EVENT_READ)
        pairs[client] = pairs[server] = _Pair(client, server, self.fault)

    def _close(self, pairs: dict[socket.socket, _Pair], pair: _Pair, reset: bool = False) -> None:
        if reset:
            linger = struct.pack("ii", 1, 0)
            pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        for end in (pair.client, pair.server):
            if pairs.pop(end, None) is not None:
                self._selector.unregister(end)
            end.close()

    def _forward(self, pairs: dict[socket.socket, _Pair], end: socket.socket) -> None:
        pair = pairs[end]
        try:
            data = end.recv(65536)
            if not data:
                self._close(pairs, pair)
            elif end is pair.client:
                pair.server.sendall(data)
            else:
                self._reply(pairs, pair, data)
        except OSError:
            self._close(pairs, pair)

    def _reply(self, pairs: dict[socket.socket, _Pair], pair: _Pair, data: bytes) -> None:
        kind, room = pair.fault.kind, pair.fault.after - pair.passed
        pair.passed += len(data)
        if pair.held:
            return
        if kind == "split":
            while data:
                size = self._random.randint(1, max(1, len(data) // 3))
                pair.client.sendall(data[:size])
                data = data[size:]
            return
        if kind == "none" or room >= len(data):
            pair.client.sendall(data)
            return
        room = max(room, 0)
        if kind == "duplicate":
            pair.client.sendall(data[:room] + data + data[room:])
        elif kind == "garble":
            # A byte that no text or header has: what is garbled must not pass for another value.
            pair.client.sendall(data[:room] + b"\x00" + data[room + 1 :])
        else:
            with contextlib.suppress(OSError):
                pair.client.sendall(data[:room])
            pair.held = kind == "hang"
            if not pair.held:
                self._close(pairs, pair, reset=kind == "reset")
