"""The list of a server's keys: ``lru_crawler metadump``, whose reply is read as it comes. No I/O.

Source: doc/protocol.txt of memcached and its crawler.c; metadump came with 1.4.31, and its walk of
the hash table with 1.5.22. The first line is ``OK`` from 1.6.43 on, and an item has ``flags`` from
1.6.24 on. The exact fields are subject to change: others are ignored.
"""

import re
from typing import Final, Literal, NamedTuple

from ..errors import InvalidArgumentError, NotSupportedError, ReplyError, ServerError
from ..types import ResponseStatus

__all__ = ["Dump", "KeyInfo", "Walk", "check_walk"]

Walk = Literal["hash", "lru"]

_CLASSES: Final = {"hash": b"hash", "lru": b"all"}
_LONGEST: Final = 4096  # bytes of a line: a key has at most 750
_FIELDS: Final = (b"key", b"exp", b"la", b"cas", b"fetch", b"cls", b"size", b"flags")
_USUAL: Final = re.compile(
    rb"key=(\S+) exp=(-?\d+) la=(\d+) cas=(\d+) fetch=(\w+) cls=(\d+) size=(\d+)"
    rb"(?: flags=(\d+)(?: .*)?)? *$"
)
_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


class KeyInfo(NamedTuple):
    """A key that a server has, and what it says of the item.

    - `key`: the key; `shard`: the id of its server.
    - `expires`, `last_access`: in seconds since 1970, by the server's clock; `expires` is None for
      an item that never does.
    - `cas`: the token; `size`: bytes of the whole item, its header and key included; `slab_class`.
    - `fetched`: whether it was read since it was stored.
    - `flags`: the client's flags; None from memcached before 1.6.24.
    """

    key: bytes
    shard: int
    expires: int | None
    last_access: int
    cas: int
    size: int
    slab_class: int
    fetched: bool
    flags: int | None = None


def check_walk(by: object) -> None:
    """Raise ``InvalidArgumentError`` for what is no way to walk over a server's items."""
    if by not in _CLASSES:
        raise InvalidArgumentError(f"by must be 'hash' or 'lru', got {by!r}")


class Dump:
    """One dump of a shard: send `request`, ``feed`` what comes, until `is_over`."""

    def __init__(self, shard: int, address: str, by: Walk) -> None:
        check_walk(by)
        self.request: Final = b"lru_crawler metadump %b\r\n" % _CLASSES[by]
        self.is_over = False
        self.has_begun = False  # whether a line of the reply has come
        self.address: Final = address
        self._shard = shard
        self._rest = b""

    def feed(self, data: bytes) -> list[KeyInfo]:
        """Take bytes of the reply; return the keys of the lines that they complete.

        Raises ``NotSupportedError``, ``ServerError`` or ``ReplyError``.
        """
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST:
            raise ReplyError(f"a line of over {_LONGEST} bytes in a list of keys")
        found = []
        for line in lines:
            if self.is_over:
                raise ReplyError(f"something follows a list of keys: {line!r:.80}")
            if line.startswith(b"key="):
                found.append(self._info(line))
            else:
                self._control(line.rstrip(b"\r"))
            self.has_begun = True
        if self.is_over and self._rest:
            raise ReplyError(f"something follows a list of keys: {self._rest!r:.80}")
        return found

    def _control(self, line: bytes) -> None:
        """Take a line that has no key."""
        if line == b"END" or (not self.has_begun and line.startswith(b"NOTSTARTED")):  # it has none
            self.is_over = True
            return
        if line == b"OK" and not self.has_begun:
            return
        text = line.decode("utf-8", "backslashreplace")
        if line.startswith(b"BUSY") or b"try again" in line:
            raise ServerError(
                f"{text}: a server lists its keys to one client at a time, and to none while it "
                "looks for expired ones: try again",
                status=ResponseStatus.BUSY,
            )
        if b"unauthenticated" in line:
            raise ServerError(text, status=ResponseStatus.AUTHENTICATION_ERROR)
        words = (b"ERROR", b"CLIENT_ERROR", b"BADCLASS")
        if not self.has_begun and line.startswith(words):
            raise NotSupportedError(
                f"{self.address} lists no keys: to lru_crawler metadump it says {text!r}",
                address=self.address,
                reply=text,
            )
        if line.startswith((*words, b"SERVER_ERROR")):
            raise ServerError(text, status=ResponseStatus.INTERNAL_ERROR)
        raise ReplyError(f"this is no line of a list of keys: {line!r:.80}")

    def _info(self, line: bytes) -> KeyInfo:
        match = _USUAL.match(line)
        if match is not None:  # in half the time
            key, exp, la, cas, fetch, cls, size, flags = match.groups()
        else:
            fields = dict(pair.split(b"=", 1) for pair in line.split() if b"=" in pair)
            key, exp, la, cas, fetch, cls, size, flags = map(fields.get, _FIELDS)
        if b"%" in key:
            key = _ENCODED.sub(lambda match: bytes([int(match[1], 16)]), key)
        try:
            return KeyInfo(
                key,
                self._shard,
                None if exp == b"-1" else int(exp),
                int(la),
                int(cas),
                int(size),
                int(cls),
                fetch == b"yes",
                None if flags is None else int(flags),
            )
        except (TypeError, ValueError):  # one is missing, or no number
            raise ReplyError(f"this is no line of a list of keys: {line!r:.80}") from None
