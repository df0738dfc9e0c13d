"""The meta protocol: memcached's newest, text with flags. No I/O.

Source: doc/protocol.txt of memcached 1.6. Every request has its own opaque, which the reply must
repeat. A batch of gets is quiet: the server replies only to hits and to the final ``mn``.
Operations on the whole server use ASCII commands. Compiled as it stands.
"""

from binascii import b2a_base64
from collections.abc import Iterable
from typing import Any

from ..._kernels import wire, wire_request
from ..errors import InvalidArgumentError, InvalidTypeError
from ..responses import MetaResponse, MutateResponse, stored_mutate
from ..types import Capabilities, Item, Key, ResponseStatus
from .ascii import AsciiProtocol
from .base import _NAME, Protocol, Request, expiry, ranged
from .exchange import (
    ALIVE,
    MD_TOKEN,
    META,
    NEW_CAS,
    MetaGetExchange,
    MutateExchange,
    Probe,
    as_caller_error,
)

__all__ = ["LEASE_LEFT", "MAYBE_TOO_LARGE", "MetaProtocol", "lease_release", "outlives_lease"]

_MODES = {"set": b"", "add": b" ME", "replace": b" MR", "append": b" MA", "prepend": b" MP"}
# Flags for an item with and without a CAS token; "c" requests the new token.
_STORES = {
    **{verb: (b" c" + mode, b" c" + mode) for verb, mode in _MODES.items()},
    "cas or add": (b" c", b" c ME"),
}
LEASE_LEFT = 10
"""Seconds left to a lease that was touched: a loader that died must not block others."""
MAYBE_TOO_LARGE = 1 << 16
"""Bytes of a value from which on it may be over a server's limit for an item."""
_QUIET = wire.codes.QUIET
_BARE = wire.codes.BARE
_TOKEN = "[0, 2**64)"


class _Encoded(bytes):
    """Key in base64, as sent on the wire."""

    __slots__ = ()


class TouchExchange(MutateExchange):
    """A touch that tells an empty item without flags apart."""

    __slots__ = ()

    def _result(self) -> MutateResponse:
        response = MutateExchange._result(self)
        row = self.reply.rows()[0]
        if response.ok and row.flags == 0 and b" s0 " in row.line + b" ":
            return stored_mutate(self.key, ResponseStatus.ITEM_NOT_STORED)
        return response


class MetaProtocol(AsciiProtocol):
    """Factory of exchanges in the meta protocol.

    With `binary_keys` a key may contain any bytes, at most 186 with the prefix: keys are sent in
    base64 and stored decoded.
    """

    __slots__ = ()

    def __init__(self, prefix: Key = b"", shard_id: int = 0, binary_keys: bool = False) -> None:
        Protocol.__init__(self, _capabilities(binary_keys), b"", shard_id, binary_keys)
        if binary_keys:
            self.prefix = prefix.encode() if isinstance(prefix, str) else prefix
        elif prefix:
            self.prefix = self._wire_prefix(prefix)
        self.probe = self._probe_of(META)
        self._admin_probe = self._probe_of(ALIVE)

    def _store_probe(self, verb: str, items: Iterable[Any]) -> Probe | None:
        return self.probe

    def _probe_key(self) -> tuple[bytes, bytes]:
        if not self.encodes:
            return AsciiProtocol._probe_key(self)
        return b2a_base64(self.prefix[: 186 - len(_NAME)] + _NAME, newline=False), b" b"

    def _wire_key(self, key: Key, prefix: bytes) -> bytes:
        if not self.encodes or isinstance(key, _Encoded):
            return AsciiProtocol._wire_key(self, key, b"" if self.encodes else prefix)
        if not isinstance(key, (str, bytes)):
            raise InvalidTypeError(f"key must be str or bytes, got {key!r:.80}")
        raw = prefix + (key.encode() if isinstance(key, str) else key)
        if not 0 < len(raw) <= 186:
            raise InvalidArgumentError(
                f"key must be 1 to 186 bytes with its prefix, got {len(raw)} bytes"
            )
        return _Encoded(b2a_base64(raw, newline=False))

    def _keyed(
        self, command: bytes, keys: list[Any], flags: bytes, prefix: bytes, options: int = 0
    ) -> Request:
        first = self._reserve(len(keys))
        if self.encodes:
            keys = [self._wire_key(key, prefix) for key in keys]
            prefix, flags = b"", flags + b" b"
        quiet = options == _QUIET
        request = wire_request.meta_keys(command, keys, flags, first, prefix, quiet)
        return [request], wire.Reply(wire.codes.META, len(keys), 0, first, options)

    def _get_flags(self) -> bytes:
        """Return the flags of every get.

        The reply names the key, but not one in base64: a server sends it as the item has it, and an
        item that was appended to, counted up, or written by others has it with any bytes in it, the
        ends of lines too. The opaque tells the request all the same.
        """
        return b" f c" if self.encodes else b" f c k"

    def _gets(self, keys: list[Any], prefix: bytes, many: bool) -> Request:
        if not keys:
            return [], wire.Reply(wire.codes.LINES, 0)
        flags = b" v" + self._get_flags()
        return self._keyed(b"mg ", keys, flags, prefix, _QUIET if many else 0)

    def _gat(self, key: Key, expire: int) -> Request:
        flags = b" v%b T%d" % (self._get_flags(), expire)
        return self._keyed(b"mg ", [key], flags, self.prefix)

    def _gats(self, keys: list[Any], expire: int, prefix: bytes) -> Request:
        if not keys:
            return [], wire.Reply(wire.codes.LINES, 0)
        flags = b" v%b T%d" % (self._get_flags(), expire)
        return self._keyed(b"mg ", keys, flags, prefix, _QUIET)

    def _stores(self, verb: str, items: list[Any], prefix: bytes) -> Request:
        # Of a value that is over its limit a server with meta's words deletes what was there, and
        # with ASCII's keeps it, but for a set without a token. Those of ASCII return no token.
        if not self.encodes and _may_be_too_large(verb, items):
            return AsciiProtocol._stores(self, verb, items, prefix)
        with_token, without = _STORES[verb]
        return self._stored(with_token, without, items, prefix)

    def _stored(
        self, with_token: bytes, without: bytes, items: list[Any], prefix: bytes
    ) -> Request:
        first = self._reserve(len(items))
        if self.encodes:
            if not all(isinstance(item, Item) for item in items):
                raise InvalidTypeError("every item must be an Item")
            items = [item._replace(key=self._wire_key(item.key, prefix)) for item in items]
            with_token, without, prefix = with_token + b" b", without + b" b", b""
        request = wire_request.meta_stores(with_token, without, items, first, prefix)
        options = wire.codes.STRICT | _BARE
        return request, wire.Reply(wire.codes.META, len(items), 0, first, options)

    def _deletes(self, keys: list[Any], prefix: bytes) -> Request:
        return self._keyed(b"md ", keys, b"", prefix, _BARE)

    def _touch(self, key: Key, expire: int) -> Request:
        return self._keyed(b"mg ", [key], b" T%d" % expire, self.prefix, _BARE)

    def _touches(self, keys: list[Any], expire: int, prefix: bytes) -> Request:
        return self._keyed(b"mg ", keys, b" T%d" % expire, prefix, _BARE)

    def _count(self, down: bool, key: Key, delta: int, initial: int, expire: int | None) -> Request:
        flags = b" v %b D%d" % (b"MD" if down else b"MI", delta)
        if expire is not None:
            flags += b" N%d J%d" % (expire, initial)
        return self._keyed(b"ma ", [key], flags, self.prefix)

    def touch_value(self, key: Key, expire: int) -> MutateExchange:
        """Give an item a new expiry; ITEM_NOT_STORED is the answer of one that is empty.

        That has the expiry, too, but is no value if it has no flags: it is a lease that is out.
        """
        flags = b" s f T%d" % expiry(expire)
        try:
            request, reply = self._keyed(b"mg ", [key], flags, self.prefix, _BARE)
        except (TypeError, ValueError) as error:
            raise as_caller_error(error) from None
        return TouchExchange(request, reply, key, self.probe)

    def examine(self) -> list[Any]:
        """Return the exchanges that show which dialect a server speaks, see ``dialect_of``."""
        settings = self.stats("settings")
        settings.probe = self.probe
        return [settings, self.version()]

    # Operations that only meta has

    def meta_get(
        self,
        key: Key,
        *,
        value: bool = True,
        expire: int | None = None,
        lease: int | None = None,
        recache: int | None = None,
        details: bool = False,
    ) -> MetaGetExchange:
        """Get one item and its metadata.

        - `value`: whether to return the value (flag v).
        - `expire`: set a new expiry (flag T).
        - `lease`: on a miss, create an empty item that lives so many seconds; the client whose
          response is ``won`` should fill it (flag N).
        - `recache`: let one client win when fewer than this many seconds are left (flag R).
        - `details`: return ``ttl``, ``size``, ``hit_before`` and ``last_access`` (t, s, h, l).
        """
        flags = b" v" + self._get_flags() if value else self._get_flags()
        if expire is not None:
            flags += b" T%d" % expiry(expire)
        if lease is not None:
            # With 0 an empty item would stay for ever, and with less everybody would win.
            flags += b" N%d" % ranged("lease", lease, 1, 1 << 31, "[1, 2**31)")
        if recache is not None:
            flags += b" R%d" % ranged("recache", recache, 0, 1 << 31, "[0, 2**31)")
        if details:
            flags += b" t s h l"
        try:
            request, reply = self._keyed(b"mg ", [key], flags, self.prefix)
        except (TypeError, ValueError) as error:
            raise as_caller_error(error) from None
        named = self._wire_key(key, self.prefix)
        leases = None if lease is None and recache is None else self
        return MetaGetExchange(request, reply, key, named, b"", self.probe, leases)

    def release(self, key: Key, response: MetaResponse) -> MutateExchange:
        """Give up the lease that `response` won; see ``lease_release``."""
        verb, subject, options = lease_release(key, response)
        exchange: MutateExchange = getattr(self, verb)(subject, **options)
        return exchange

    def meta_set(
        self, item: Item, *, invalidate: bool = False, new_cas: int | None = None
    ) -> MutateExchange:
        """Store an item as ``set`` does.

        With `invalidate`, an item whose CAS token is older than the stored one's is stored and
        marked stale (flag I). `new_cas` becomes the item's CAS token (flag E, from memcached
        1.6.27).
        """
        flags = b" c I" if invalidate else b" c"
        if new_cas is not None:
            # A server takes 0 for none, and gives a token of its own.
            flags += b" E%d" % ranged("new_cas", new_cas, 1, 1 << 64, "[1, 2**64)")
        try:
            request, reply = self._stored(flags, flags, [item], self.prefix)
        except (TypeError, ValueError) as error:
            raise as_caller_error(error) from None
        probe = self.probe if new_cas is None else self._probe_of(META | NEW_CAS)
        return MutateExchange(request, reply, item.key, probe)

    def meta_delete(
        self, key: Key, *, cas: int = 0, stale: bool = False, expire: int | None = None
    ) -> MutateExchange:
        """Delete an item; if `cas` is not 0, only if it is the item's CAS token.

        With `stale` the item is kept and marked stale (flag I), with `expire` as its new expiry
        (flag T): gets still find it, and the first one wins the lease.
        """
        flags = b" C%d" % cas if ranged("cas", cas, 0, 1 << 64, _TOKEN) else b""
        if stale:
            flags += b" I"
        if expire is not None:
            if not stale:
                raise InvalidArgumentError("expire needs stale: a deleted item has no expiry")
            flags += b" T%d" % expiry(expire)
        try:
            request, reply = self._keyed(b"md ", [key], flags, self.prefix, _BARE)
        except (TypeError, ValueError) as error:
            raise as_caller_error(error) from None
        probe = self._probe_of(META | MD_TOKEN) if cas else self.probe
        return MutateExchange(request, reply, key, probe)


def outlives_lease(expire: int) -> bool:
    """Return whether an expiry would keep a lease for longer than ``LEASE_LEFT``."""
    return expire == 0 or expire > LEASE_LEFT


def lease_release(key: Key, response: MetaResponse) -> tuple[str, Any, dict[str, Any]]:
    """Return the operation, its subject and its options that give up the lease `response` won.

    The next caller that looks then wins it. The item is left as it was, or deleted if it was the
    lease alone.
    """
    value = response.value or b""
    if not (value or response.flags):
        return "meta_delete", key, {"cas": response.cas}
    if response.stale:
        return "meta_delete", key, {"cas": response.cas, "stale": True}
    left = 0 if response.ttl == -1 else max(response.ttl or 0, 1)
    return "cas", Item(key, value, response.flags, response.cas, left), {}


def _may_be_too_large(verb: str, items: list[Any]) -> bool:
    """Return whether items include a large one, and ASCII has words for them all."""
    is_large = has_token = False
    for item in items:
        if not isinstance(item, tuple) or len(item) != 5:
            return False
        value = item[1]
        if type(value) is not bytes:
            try:
                value = memoryview(value).cast("B")
            except (TypeError, ValueError):
                return False
        is_large = is_large or len(value) >= MAYBE_TOO_LARGE
        has_token = has_token or bool(item[3])
    if verb == "set":
        return is_large and has_token
    return is_large and (verb == "cas or add" or not has_token)


def _capabilities(binary_keys: bool) -> Capabilities:
    return Capabilities(
        protocol="meta",
        increment_creates=True,
        store_returns_cas=True,
        conditional_replace=True,
        verbosity=True,
        stale_while_revalidate=True,
        binary_keys=binary_keys,
    )
