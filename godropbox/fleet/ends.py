"""A server that keys are copied from or to: its list of keys, and its items with their tokens.

An item is bytes, flags and the seconds that it has left; nothing is deserialized.
"""

import re
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from typing import Any, Final, NamedTuple

from .._kernels import wire, wire_request
from ..errors import DropboxError
from ..memcache import (
    AsciiProtocol,
    AutoProtocol,
    KeyInfo,
    RawMetaClient,
    ResponseStatus,
    ShardedClient,
    ShardOptions,
    StaticShardManager,
    connect,
)
from ..memcache.discovery.types import Server
from ..memcache.errors import NotSupportedError, ServerError
from ..memcache.protocol.exchange import Exchange

__all__ = ["End", "Found", "listed_keys", "words_of"]

_NUMBER: Final = re.compile(r"\[Errno -?\d+\] ")  # of an OSError, which its words repeat
_LISTS: Final = 5  # tries to list the keys of a server that lists them to another
_BUSY: Final = 0.5  # seconds between two


class Found(NamedTuple):
    """An item as its source has it; `left` is seconds, -1 for ever."""

    key: bytes
    value: bytes
    flags: int
    cas: int
    left: int


class End:
    """A server that is read from or written to: a client, and a connection for meta's commands."""

    def __init__(self, server: Server, options: ShardOptions) -> None:
        self._address = server.address
        self._options = options
        manager = StaticShardManager([server.address], options=options)
        self.client: Final = ShardedClient(manager, AutoProtocol(), options.timeout)
        self._plain: Final = ShardedClient(manager, AsciiProtocol(), options.timeout)
        self._raw: RawMetaClient | None = None
        self._has_meta: bool | None = None
        self._skew: float | None = None
        self._life: tuple[str, int] | None = None  # the process and its age, when asked last
        self._opaque = 0  # of the next request

    @property
    def has_meta(self) -> bool:
        """Whether the server knows meta commands; raises what asking it raises."""
        if self._has_meta is None:
            [dialect] = self.client.dialects().values()
            if dialect.error is not None:
                raise dialect.error
            self._has_meta = dialect.protocol == "meta"
        return self._has_meta

    def _connected(self) -> RawMetaClient:
        raw = self._raw
        if raw is None or not raw.is_valid:
            if raw is not None:
                raw.close()
            options = self._options
            channel = connect(
                self._address,
                timeout=options.timeout,
                connect_timeout=options.connect_timeout,
                tls=options.tls,
                auth=options.auth,
            )
            raw = self._raw = RawMetaClient(channel, timeout=options.timeout)
        return raw

    def peek(self, keys: list[bytes]) -> list[tuple[Any, int]]:
        """Return the item of each key and its marks, without a trace in the server's LRU.

        Instead of an item there is None for a miss, or an error.
        """
        rows = self._looked(keys, b" v f c t u")
        found: list[tuple[Any, int]] = []
        for key, row in zip(keys, rows, strict=True):
            if row is None or isinstance(row, DropboxError):
                found.append((row, 0))
                continue
            line = row.line  # VA size f c t O, in this order
            begin = line.find(b" t") + 2
            left = int(line[begin : line.find(b" ", begin)])
            found.append((Found(key, row.value, row.flags, row.cas, left), row.marks))
        return found

    def held(self, keys: list[bytes]) -> list[tuple[Any, int]]:
        """Return items as ``peek`` does, of any server; what they have left is not told."""
        if self.has_meta:
            return self.peek(keys)
        answers = self._plain.get_multi(keys)
        found: list[tuple[Any, int]] = []
        for key in keys:
            answer = answers[key]
            if answer.error is not None or answer.value is None:
                found.append((answer.error, 0))
            else:
                found.append((Found(key, answer.value, answer.flags, answer.cas, -1), 0))
        return found

    def tokens(self, keys: list[bytes]) -> list[int | None]:
        """Return the token of each key's item, None for one that is gone, or marked stale."""
        if not self.has_meta:
            answers = self._plain.get_multi(keys)
            return [answers[key].cas if answers[key].found else None for key in keys]
        tokens: list[int | None] = []
        for row in self._looked(keys, b" c u"):
            is_good = row is not None and not isinstance(row, DropboxError)
            tokens.append(row.cas if is_good and not row.marks & wire.codes.STALE else None)
        return tokens

    def _looked(self, keys: list[bytes], flags: bytes) -> list[Any]:
        raw = self._connected()
        first, self._opaque = self._opaque, self._opaque + len(keys) & 0xFFFFFFFF
        request = wire_request.meta_keys(b"mg ", keys, flags, first, b"", True)
        reply = wire.Reply(wire.codes.META, len(keys), 0, first, wire.codes.QUIET)
        rows: list[Any] = raw.connection.run(_Look([request], reply, len(keys), raw.protocol.probe))
        # A look at a stale item takes the right to load it: give that back.
        taken = wire.codes.WON | wire.codes.STALE
        for key, row in zip(keys, rows, strict=True):
            if row is not None and row.marks & taken == taken:
                with suppress(NotSupportedError):
                    raw.meta_delete(key, cas=row.cas, stale=True)
        return rows

    def get(self, infos: Sequence[KeyInfo]) -> list[tuple[Any, int]]:
        """Return items as ``peek`` does, from a server without meta commands.

        What an item has left is known from the list of keys, if it is still the same item.
        """
        answers = self._plain.get_multi([info.key for info in infos])
        found: list[tuple[Any, int]] = []
        for info in infos:
            answer = answers[info.key]
            if answer.error is not None:
                found.append((answer.error, 0))
            elif answer.value is None or answer.cas != info.cas:
                found.append((None, 0))
            else:
                left = -1
                if info.expires is not None:
                    left = max(0, int(info.expires - self._now()))
                found.append((Found(info.key, answer.value, answer.flags, answer.cas, left), 0))
        return found

    def _now(self) -> float:
        """Return the server's own time, in seconds since 1970."""
        if self._skew is None:
            [entries] = self.client.stats().entries.values()
            self._skew = float(entries["time"]) - time.time()
        return time.time() + self._skew

    def was_restarted(self) -> bool:
        """Return whether the server is another process than when this was asked before.

        One that does not answer is asked again the next time.
        """
        try:
            [entries] = self.client.stats().entries.values()
            life = entries["pid"], int(entries["uptime"])
        except (DropboxError, OSError, KeyError, ValueError):
            return False
        before, self._life = self._life, life
        return before is not None and (before[0] != life[0] or life[1] < before[1])

    def delete(self, copies: Sequence[tuple[bytes, int]]) -> list[Exception | None]:
        """Delete items that still have these tokens, 0 is any; return how each failed."""
        failures: dict[bytes, Exception | None] = {}
        bare = [key for key, token in copies if not token or not self.has_meta]
        for key, token in copies:
            if token and self.has_meta:
                try:
                    failures[key] = self._connected().meta_delete(key, cas=token).error
                except NotSupportedError:
                    bare.append(key)
        if bare:  # a miss is never wrong
            answers = self.client.delete_multi(bare)
            failures.update((key, each.error) for key, each in zip(bare, answers, strict=True))
        return [failures[key] for key, _ in copies]

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()
        self.client.close()


class _Look(Exchange):
    """A look at many keys by meta: a row, None or an error for each, in their order."""

    __slots__ = ("_count",)

    def __init__(self, request: Any, reply: Any, count: int, probe: Any) -> None:
        Exchange.__init__(self, request, reply, probe)
        self._count = count

    def _result(self) -> list[Any]:
        found: list[Any] = [None] * self._count
        for row in self.reply.rows():
            if row.marks & wire.codes.FAILED:
                # Which key it is about is not said; its copy would be made of nothing.
                raise ValueError(f"the server refuses to look up keys: {row.value!r:.80}")
            if row.place < self._count and row.status == 0:
                found[row.place] = row
        return found


def listed_keys(
    client: ShardedClient, sleep: Callable[[float], object] = time.sleep
) -> Generator[KeyInfo, None, None]:
    """Yield the keys of a client's servers, as ``iter_keys`` does.

    A server that lists them to another client at the moment is asked again, for two seconds.
    """
    for left in reversed(range(_LISTS)):
        has_begun = False
        infos: Any = client.iter_keys()
        with closing(infos):
            try:
                for info in infos:
                    has_begun = True
                    yield info
                return
            except ServerError as error:
                if has_begun or not left or error.fields.get("status") is not ResponseStatus.BUSY:
                    raise
        sleep(_BUSY)


def words_of(error: Exception, address: str) -> str:
    """Return what an error of a client of one server says, without the server's place in it."""
    text = error.message if isinstance(error, DropboxError) else str(error)
    for words in (f"shard 0 at {address}: ", f"cannot connect to {address}: "):
        text = text.removeprefix(words)
    return _NUMBER.sub("", text) or type(error).__name__
