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
from ..responses import MetaResponse
from ..types import Capabilities, Item, Key
from .ascii import AsciiProtocol
from .base import _NAME, Protocol, Request, expiry, ranged
from .exchange import (
    MD_TOKEN,
    META,
    NEW_CAS,
    MetaGetExchange,
    MutateExchange,
    Probe,
    as_caller_error,
)

__all__ = ["MetaProtocol", "lease_release"]

_MODES = {"set": b"", "add": b" ME", "replace": b" MR", "append": b" MA", "prepend": b" MP"}
# Flags for an item with and without a CAS token; "c" requests the new token.
_STORES = {
    **{verb: (b" c" + mode, b" c" + mode) for verb, mode in _MODES.items()},
    "cas or add": (b" c", b" c ME"),
}
_GET_FLAGS = b" v f c k"
_QUIET = wire.codes.QUIET
_BARE = wire.codes.BARE
_TOKEN = "[0, 2**64)"


class _Encoded(bytes):
    """Key in base64, as sent on the wire."""

    __slots__ = ()


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
            self.prefix = self._wire_key(prefix, b"")
        self.probe = self._probe_of(META)

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

    def _gets(self, keys: list[Any], prefix: bytes, many: bool) -> Request:
        if not keys:
            return [], wire.Reply(wire.codes.LINES, 0)
        return self._keyed(b"mg ", keys, _GET_FLAGS, prefix, _QUIET if many else 0)

    def _gat(self, key: Key, expire: int) -> Request:
        return self._keyed(b"mg ", [key], b"%b T%d" % (_GET_FLAGS, expire), self.prefix)

    def _stores(self, verb: str, items: list[Any], prefix: bytes) -> Request:
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

    def _count(self, down: bool, key: Key, delta: int, initial: int, expire: int | None) -> Request:
        flags = b" v %b D%d" % (b"MD" if down else b"MI", delta)
        if expire is not None:
            flags += b" N%d J%d" % (expire, initial)
        return self._keyed(b"ma ", [key], flags, self.prefix)

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
        flags = b" v f c k" if value else b" f c k"
        if expire is not None:
            flags += b" T%d" % expiry(expire)
        if lease is not None:
            flags += b" N%d" % expiry(lease)
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
            flags += b" E%d" % ranged("new_cas", new_cas, 0, 1 << 64, _TOKEN)
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
