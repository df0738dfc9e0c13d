"""The ASCII protocol, which every memcached and proxy speaks. No I/O.

Source: doc/protocol.txt of memcached. Gets request the CAS token as well (``gets``), which costs
next to nothing. Compiled as it stands.
"""

from collections.abc import Iterable
from typing import Any

from ..._kernels import wire, wire_request
from ..errors import InvalidArgumentError
from ..types import Capabilities, Key
from .base import Protocol, Request
from .exchange import (
    ALIVE,
    APPEND,
    CAS,
    GAT,
    LOGIN,
    PREPEND,
    SET,
    Exchange,
    GetExchange,
    GetManyExchange,
    MutateExchange,
    Probe,
)

__all__ = ["STORE_WORDS", "AsciiProtocol"]

CAPABILITIES = Capabilities(
    protocol="ASCII",
    increment_creates=False,
    store_returns_cas=False,
    conditional_replace=False,
    verbosity=True,
    stale_while_revalidate=False,
    binary_keys=False,
)

_LINES = wire.codes.LINES
_VALUES = wire.codes.VALUES
_STRICT = wire.codes.STRICT
STORE_WORDS = (
    wire.codes.WORDS["STORED"]
    | wire.codes.WORDS["NOT_STORED"]
    | wire.codes.WORDS["EXISTS"]
    | wire.codes.WORDS["NOT_FOUND"]
)
_DELETE_WORDS = wire.codes.WORDS["DELETED"] | wire.codes.WORDS["NOT_FOUND"]
_TOUCH_WORDS = wire.codes.WORDS["TOUCHED"] | wire.codes.WORDS["NOT_FOUND"]
_COUNT_WORDS = wire.codes.WORDS["NUMBER"] | wire.codes.WORDS["NOT_FOUND"]
# The command for an item without a CAS token, and whether a token is allowed.
_VERBS = {
    "set": (b"set ", True),
    "cas or add": (b"add ", True),
    "add": (b"add ", False),
    "replace": (b"replace ", False),
    "append": (b"append ", False),
    "prepend": (b"prepend ", False),
}
# The kind of command that a server must know for an item without a CAS token.
_KINDS = {
    "set": SET,
    "cas or add": SET,
    "add": SET,
    "replace": SET,
    "append": APPEND,
    "prepend": PREPEND,
}


class AsciiProtocol(Protocol):
    """Factory of exchanges in the ASCII protocol."""

    __slots__ = ("_plain_probes",)

    def __init__(self, prefix: Key = b"", shard_id: int = 0) -> None:
        Protocol.__init__(self, CAPABILITIES, prefix, shard_id)
        self.is_text = True
        # Probes by operation, for items without a CAS token.
        self._plain_probes = {verb: self._probe_of(kinds) for verb, kinds in _KINDS.items()}
        self.set_probe = self._plain_probes["set"]
        self._admin_probe = self._probe_of(ALIVE)

    def _gets(self, keys: list[Any], prefix: bytes, many: bool) -> Request:
        if not keys:
            return [], wire.Reply(_LINES, 0)
        text = wire_request.ascii_keys(b"gets", keys, prefix, self.most_line)
        lines = text.count(b"\n") if len(keys) > 1 else 1
        return [text], wire.Reply(_VALUES, len(keys), 0, 0, 0, lines)

    def gat(self, key: Key, expire: int) -> GetExchange:
        """Get one item and give it a new expiry."""
        exchange: GetExchange = Protocol.gat(self, key, expire)
        if self.is_text:
            exchange.probe = self._probe_of(GAT)
        return exchange

    def gat_multi(self, keys: Iterable[Key], expire: int) -> GetManyExchange:
        """Get many items and give each a new expiry; a key given twice is asked for once."""
        exchange: GetManyExchange = Protocol.gat_multi(self, keys, expire)
        if self.is_text:
            exchange.probe = self._probe_of(GAT)
        return exchange

    def _gat(self, key: Key, expire: int) -> Request:
        request = wire_request.ascii_keys(b"gats %d" % expire, [key], self.prefix)
        return [request], wire.Reply(_VALUES, 1)

    def _gats(self, keys: list[Any], expire: int, prefix: bytes) -> Request:
        if not keys:
            return [], wire.Reply(_LINES, 0)
        request = wire_request.ascii_keys(b"gats %d" % expire, keys, prefix)
        return [request], wire.Reply(_VALUES, len(keys))

    def _stores(self, verb: str, items: list[Any], prefix: bytes) -> Request:
        command, tokens = _VERBS[verb]
        request = wire_request.ascii_stores(command, items, prefix, tokens)
        return request, wire.Reply(_LINES, len(items), STORE_WORDS, 0, _STRICT)

    def _store_probe(self, verb: str, items: Iterable[Any]) -> Probe | None:
        tokens = wire_request.token_kinds(items)
        if tokens == 1:
            probe: Probe = self._plain_probes[verb]
            return probe
        kinds = _KINDS[verb] if tokens & 1 else 0
        return self._probe_of(kinds | CAS if tokens & 2 else kinds)

    def _deletes(self, keys: list[Any], prefix: bytes) -> Request:
        request = wire_request.ascii_each(b"delete ", keys, b"\r\n", prefix)
        return [request], wire.Reply(_LINES, len(keys), _DELETE_WORDS)

    def _touch(self, key: Key, expire: int) -> Request:
        request = wire_request.ascii_each(b"touch ", [key], b" %d\r\n" % expire, self.prefix)
        return [request], wire.Reply(_LINES, 1, _TOUCH_WORDS)

    def _touches(self, keys: list[Any], expire: int, prefix: bytes) -> Request:
        request = wire_request.ascii_each(b"touch ", keys, b" %d\r\n" % expire, prefix)
        return [request], wire.Reply(_LINES, len(keys), _TOUCH_WORDS)

    def _count(self, down: bool, key: Key, delta: int, initial: int, expire: int | None) -> Request:
        verb = b"decr " if down else b"incr "
        request = wire_request.ascii_each(verb, [key], b" %d\r\n" % delta, self.prefix)
        return [request], wire.Reply(_LINES, 1, _COUNT_WORDS)

    def _plain(self, verb: str, number: int) -> Request:
        if verb == "quit":
            return [b"quit\r\n"], wire.Reply(_LINES, 0)
        command = b"flush_all" if verb == "flush" else b"verbosity"
        return [b"%b %d\r\n" % (command, number)], wire.Reply(_LINES, 1, wire.codes.WORDS["OK"])

    def _version(self) -> Request:
        return [b"version\r\n"], wire.Reply(_LINES, 1, wire.codes.WORDS["VERSION"])

    def _stats(self, name: str) -> Request:
        command = f"stats {name}" if name else "stats"
        return [command.encode() + b"\r\n"], wire.Reply(wire.codes.STATS, 1)

    def authenticate(self, user: str, password: str) -> Exchange:
        """Log in to a server started with ``--auth-file``; must be the first request."""
        words = f"{user} {password}".encode()
        if any(byte < 0x20 or byte == 0x7F for byte in words) or " " in user:
            raise InvalidArgumentError(
                "user and password must have no control characters, and user no space"
            )
        request = b"set auth 0 0 %d\r\n%b\r\n" % (len(words), words)
        reply = wire.Reply(_LINES, 1, wire.codes.WORDS["STORED"])
        return MutateExchange([request], reply, "auth", self._probe_of(LOGIN))
