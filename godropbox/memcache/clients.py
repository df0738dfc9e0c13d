"""The raw clients: one for each protocol. Compiled as it stands (``clients.pxd``)."""

from functools import partial

from .connection import Channel, Seconds
from .protocol.ascii import AsciiProtocol
from .protocol.binary import BinaryProtocol
from .protocol.meta import MetaProtocol
from .raw import RawClient
from .responses import GetResponse, MetaResponse, MutateResponse
from .types import Int, Item, Key

__all__ = ["RawAsciiClient", "RawBinaryClient", "RawMetaClient"]


class RawAsciiClient(RawClient):
    """A client that speaks the ASCII protocol over one connection."""

    __slots__ = ("_prefix",)

    def __init__(
        self,
        channel: Channel,
        shard_id: Int = 0,
        *,
        timeout: Seconds = None,
        prefix: Key = b"",
    ) -> None:
        ascii_protocol = AsciiProtocol(prefix, shard_id)
        self._prefix = ascii_protocol.prefix
        RawClient.__init__(self, channel, ascii_protocol, timeout)

    def get(self, key: Key) -> GetResponse:
        """Get one item; a miss is an answer, not an error."""
        if self._line is None:
            return RawClient.get(self, key)
        return self._fetch(b"gets ", key, self._prefix)


class RawBinaryClient(RawClient):
    """A client that speaks the binary protocol over one connection."""

    __slots__ = ()

    def __init__(
        self,
        channel: Channel,
        shard_id: Int = 0,
        *,
        timeout: Seconds = None,
        prefix: Key = b"",
    ) -> None:
        RawClient.__init__(self, channel, BinaryProtocol(prefix, shard_id), timeout)


class RawMetaClient(RawClient):
    """A client that speaks the meta protocol over one connection.

    With `binary_keys` a key may have any bytes, at most 186 of them with the prefix.
    """

    __slots__ = ("_meta",)

    def __init__(
        self,
        channel: Channel,
        shard_id: Int = 0,
        *,
        timeout: Seconds = None,
        prefix: Key = b"",
        binary_keys: bool = False,
    ) -> None:
        self._meta = MetaProtocol(prefix, shard_id, binary_keys)
        RawClient.__init__(self, channel, self._meta, timeout)

    def meta_get(
        self,
        key: Key,
        *,
        value: bool = True,
        expire: Int | None = None,
        lease: Int | None = None,
        recache: Int | None = None,
        details: bool = False,
    ) -> MetaResponse:
        """Get one item and what is known of it; see ``MetaProtocol.meta_get``."""
        make = partial(
            self._meta.meta_get,
            value=value,
            expire=expire,
            lease=lease,
            recache=recache,
            details=details,
        )
        response: MetaResponse = self._run(make, key)
        return response

    def meta_set(
        self, item: Item, *, invalidate: bool = False, new_cas: Int | None = None
    ) -> MutateResponse:
        """Store an item with a token of one's own, or stale; see ``MetaProtocol.meta_set``."""
        make = partial(self._meta.meta_set, invalidate=invalidate, new_cas=new_cas)
        response: MutateResponse = self._run(make, item)
        return response

    def meta_delete(
        self, key: Key, *, cas: Int = 0, stale: bool = False, expire: Int | None = None
    ) -> MutateResponse:
        """Delete an item, or mark it stale; see ``MetaProtocol.meta_delete``."""
        make = partial(self._meta.meta_delete, cas=cas, stale=stale, expire=expire)
        response: MutateResponse = self._run(make, key)
        return response
