"""The binary protocol: fixed headers, opaques, a CAS token in every reply. No I/O.

Source: the protocol document and protocol_binary.h of memcached, which has deprecated it in favour
of meta. Every request on a connection has its own opaque, which the reply must repeat. A batch of
gets is quiet: the server replies only to hits and to the final NOOP. Compiled as it stands.
"""

import struct
from typing import Any

from ..._kernels import wire, wire_request
from ..errors import InvalidArgumentError
from ..types import Capabilities, Key
from .base import Protocol, Request
from .exchange import BINARY, Exchange, MutateExchange

__all__ = ["BinaryProtocol"]

CAPABILITIES = Capabilities(
    protocol="binary",
    increment_creates=True,
    store_returns_cas=True,
    conditional_replace=True,
    verbosity=False,
    stale_while_revalidate=False,
    binary_keys=False,
)

_GET = 0x00
_DELETE = 0x04
_INCREMENT = 0x05
_DECREMENT = 0x06
_QUIT = 0x07
_FLUSH = 0x08
_VERSION = 0x0B
_GETKQ = 0x0D
_STAT = 0x10
_TOUCH = 0x1C
_GAT = 0x1D
_SASL_AUTH = 0x21
# The opcodes for an item with and without a CAS token, and whether extras (flags, expiry) follow.
_STORES = {
    "set": (0x01, 0x01, True),
    "cas or add": (0x01, 0x02, True),
    "add": (0x02, 0x02, True),
    "replace": (0x03, 0x03, True),
    "append": (0x0E, 0x0E, False),
    "prepend": (0x0F, 0x0F, False),
}
_NEVER_CREATE = 0xFFFFFFFF
# The expiry is unsigned in this protocol; a Unix time in January 1970 expires at once.
_LONG_AGO = 60 * 60 * 24 * 30 + 1


def _unsigned(expire: int) -> int:
    return expire if expire >= 0 else _LONG_AGO


def _reply(opcodes: int, count: int, first: int, options: int = 0) -> wire.Reply:
    return wire.Reply(wire.codes.PACKETS, count, opcodes, first, options)


class BinaryProtocol(Protocol):
    """Factory of exchanges in the binary protocol."""

    __slots__ = ()

    def __init__(self, prefix: Key = b"", shard_id: int = 0) -> None:
        Protocol.__init__(self, CAPABILITIES, prefix, shard_id)
        self.probe = self._admin_probe = self._probe_of(BINARY)

    def _gets(self, keys: list[Any], prefix: bytes, many: bool) -> Request:
        if not many:
            return self._keyed(_GET, keys, b"", prefix)
        if not keys:
            return [], wire.Reply(wire.codes.LINES, 0)
        first = self._reserve(len(keys) + 1)  # the NOOP at the end has one, too
        request = wire_request.binary_keys(_GETKQ, keys, b"", first, prefix, True)
        return [request], _reply(1 << _GETKQ, len(keys), first, wire.codes.QUIET)

    def _keyed(self, opcode: int, keys: list[Any], extras: bytes, prefix: bytes) -> Request:
        first = self._reserve(len(keys))
        request = wire_request.binary_keys(opcode, keys, extras, first, prefix)
        return [request], _reply(1 << opcode, len(keys), first)

    def _gat(self, key: Key, expire: int) -> Request:
        return self._keyed(_GAT, [key], struct.pack(">I", _unsigned(expire)), self.prefix)

    def _gats(self, keys: list[Any], expire: int, prefix: bytes) -> Request:
        if not keys:
            return [], wire.Reply(wire.codes.LINES, 0)
        return self._keyed(_GAT, keys, struct.pack(">I", _unsigned(expire)), prefix)

    def _stores(self, verb: str, items: list[Any], prefix: bytes) -> Request:
        first = self._reserve(len(items))
        opcode, zero, extras = _STORES[verb]
        request = wire_request.binary_stores(opcode, zero, items, extras, first, prefix)
        return request, _reply(1 << opcode | 1 << zero, len(items), first)

    def _deletes(self, keys: list[Any], prefix: bytes) -> Request:
        return self._keyed(_DELETE, keys, b"", prefix)

    def _touch(self, key: Key, expire: int) -> Request:
        return self._keyed(_TOUCH, [key], struct.pack(">I", _unsigned(expire)), self.prefix)

    def _touches(self, keys: list[Any], expire: int, prefix: bytes) -> Request:
        return self._keyed(_TOUCH, keys, struct.pack(">I", _unsigned(expire)), prefix)

    def _count(self, down: bool, key: Key, delta: int, initial: int, expire: int | None) -> Request:
        seconds = _NEVER_CREATE if expire is None else _unsigned(expire)
        extras = struct.pack(">QQI", delta, initial, seconds)
        return self._keyed(_DECREMENT if down else _INCREMENT, [key], extras, self.prefix)

    def _packet(
        self, opcode: int, key: bytes = b"", extras: bytes = b"", value: bytes = b""
    ) -> Request:
        first = self._reserve(1)
        size = len(key) + len(extras) + len(value)
        head = struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, size, first, 0)
        options = wire.codes.SERIES if opcode == _STAT else 0
        return [head + extras + key + value], _reply(1 << opcode, 1, first, options)

    def _plain(self, verb: str, number: int) -> Request:
        if verb == "quit":
            return self._packet(_QUIT)
        return self._packet(_FLUSH, extras=struct.pack(">I", number))

    def _version(self) -> Request:
        return self._packet(_VERSION)

    def _stats(self, name: str) -> Request:
        return self._packet(_STAT, name.encode())

    def authenticate(self, user: str, password: str) -> Exchange:
        """Log in with SASL PLAIN to a server started with ``--enable-sasl``."""
        if "\0" in user or "\0" in password:
            raise InvalidArgumentError("user and password must have no NUL character")
        words = f"\0{user}\0{password}".encode()
        request, reply = self._packet(_SASL_AUTH, b"PLAIN", value=words)
        return MutateExchange(request, reply, "PLAIN", self.probe)
