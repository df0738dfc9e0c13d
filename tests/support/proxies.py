"""Proxies with two servers behind them, one of which is dead: real ones, and one that is played.

The played one is memcached's own (1.6.45, ``-o proxy_config``), as it was seen to answer; a key
that begins with "dead" is the dead server's. Real ones hash: ``split`` tells whose keys are whose.
"""

import contextlib
import os
import socketserver
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from godropbox import memcache

from .memcached import _free_port, installed, running
from .real_proxies import memcached_proxy, nutcracker, nutcracker_program, own_proxy_program

__all__ = ["DEAD", "FakeProxy", "real", "split"]

DEAD = b"SERVER_ERROR backend failure\r\n"
MEMCACHED_WITH_PROXY = "GODROPBOX_MEMCACHED_WITH_PROXY"


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        with contextlib.suppress(ConnectionError):
            while line := self.rfile.readline():
                self.server.received.append(line)
                reply = self.answer(line.split())
                if reply is None:
                    return
                self.wfile.write(reply)

    def answer(self, words: list[bytes]) -> bytes | None:
        """Return the reply to a line; None is for what closes the connection."""
        assert isinstance(self.server, _Server)
        held, verb = self.server.held, words[0]
        if verb == b"version":
            return b"VERSION 1.6.45\r\n"
        if verb == b"mn":
            return b"MN\r\n"
        if verb in (b"get", b"gets", b"gat", b"gats"):
            keys = words[1 if verb.startswith(b"get") else 2 :]
            blocks = [self.block(verb, key) for key in keys]
            return b"".join(blocks) + (b"" if blocks == [DEAD] else b"END\r\n")
        if verb in (b"mg", b"ms", b"md"):
            return self.meta(verb, words[1], words[2:])
        if verb not in (b"set", b"add", b"replace", b"delete", b"touch"):
            return None
        value = self.rfile.read(int(words[4]) + 2)[:-2] if len(words) > 4 else b""
        if words[1].startswith(b"dead"):
            return DEAD
        if verb == b"replace" or (verb in (b"delete", b"touch") and words[1] not in held):
            return b"NOT_STORED\r\n" if verb == b"replace" else b"NOT_FOUND\r\n"
        if verb == b"delete":
            del held[words[1]]
            return b"DELETED\r\n"
        if verb == b"touch":
            return b"TOUCHED\r\n"
        held[words[1]] = (words[2], value)
        return b"" if words[-1] == b"noreply" else b"STORED\r\n"

    def block(self, verb: bytes, key: bytes) -> bytes:
        assert isinstance(self.server, _Server)
        if key.startswith(b"dead"):
            return DEAD
        if key not in self.server.held:
            return b""
        flags, value = self.server.held[key]
        token = b" 7" if verb.endswith(b"s") else b""
        return b"VALUE %b %b %d%b\r\n%b\r\n" % (key, flags, len(value), token, value)

    def meta(self, verb: bytes, key: bytes, flags: list[bytes]) -> bytes:
        assert isinstance(self.server, _Server)
        held = self.server.held
        value = self.rfile.read(int(flags.pop(0)) + 2)[:-2] if verb == b"ms" else b""
        if key.startswith(b"dead"):
            return DEAD
        opaque = b"".join(b" " + flag for flag in flags if flag.startswith(b"O"))
        if verb == b"mg":
            if key not in held:
                return b"" if b"q" in flags else b"EN" + opaque + b"\r\n"
            name = b" k" + key if b"k" in flags else b""
            if b"v" not in flags:
                return b"HD%b%b\r\n" % (name, opaque)
            head = b"VA %d f%b c7" % (len(held[key][1]), held[key][0])
            return b"%b%b%b\r\n%b\r\n" % (head, name, opaque, held[key][1])
        if verb == b"ms" and b"MR" in flags:
            return b"NS" + opaque + b"\r\n"
        if verb == b"ms":
            held[key] = (next((flag[1:] for flag in flags if flag[:1] == b"F"), b"0"), value)
            return b"HD c8" + opaque + b"\r\n"
        return (b"NF" if held.pop(key, None) is None else b"HD") + opaque + b"\r\n"


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.held: dict[bytes, tuple[bytes, bytes]] = {}
        self.received: list[bytes] = []
        self.connections = 0

    def process_request(self, request: object, client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]  # as it came


class FakeProxy:
    """memcached's proxy, played; use it as a context. It counts its `connections`."""

    def __init__(self) -> None:
        self._server = _Server()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def connections(self) -> int:
        return self._server.connections

    @property
    def received(self) -> list[bytes]:
        return self._server.received

    def __enter__(self) -> "FakeProxy":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _memcached_with_proxy() -> str | None:
    return os.environ.get(MEMCACHED_WITH_PROXY) or own_proxy_program(installed())


@contextlib.contextmanager
def real(kind: str, folder: Path) -> Iterator[str]:
    """Run a proxy over a live server and a port where none is; return its address.

    Skips the test where the program is missing: nutcracker, or a memcached with a proxy, which is
    the one that the environment names, or the one that all tests start if it has one.
    """
    is_nutcracker = kind == "nutcracker"
    program = nutcracker_program() if is_nutcracker else _memcached_with_proxy()
    if not program:
        pytest.skip(f"no {kind} proxy: install nutcracker, or set {MEMCACHED_WITH_PROXY}")
    with running("tcp", folder) as server:
        addresses = [server.address, f"127.0.0.1:{_free_port()}"]
        start = nutcracker if is_nutcracker else memcached_proxy
        with start(folder, addresses, program, reached=any) as proxy:
            yield proxy.address


def split(address: str, keys: Iterable[str]) -> tuple[list[str], list[str]]:
    """Store keys through a proxy; return those that it could store, and the dead server's."""
    alive, dead = [], []
    with memcache.Client(address, protocol="ascii", timeout=5.0) as client:
        for key in keys:
            try:
                client.set(key, f"<{key}>")
                alive.append(key)
            except memcache.ServerError:
                dead.append(key)
    assert alive
    assert dead
    return alive, dead
