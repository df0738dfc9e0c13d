"""Fake servers, each speaking memcached's protocols as one version or proxy does, byte for byte.

One emulator with a store, and a table of what differs. ``tests/vectors/dialects.json`` holds what
the real ones answered to ``CONVERSATIONS``, ``support.facts`` what they answered in detail; tests
hold the fakes to both, and, where real ones are given, those too.
``python -m support.dialects NAME=ADDRESS ...`` writes the file anew.
"""

import base64
import binascii
import json
import re
import selectors
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["CONVERSATIONS", "DIALECTS", "Dialect", "FakeServer", "converse", "recordings"]

RECORDED = Path(__file__).parent.parent / "vectors" / "dialects.json"
MAX_ITEM = 1024 * 1024 - 512


@dataclass(frozen=True)
class Dialect:
    """What differs from memcached 1.6.18."""

    version: str
    # none: 1.5.22's first draft; draft: 1.6.6 and 1.6.9; final: from 1.6.10.
    meta: Literal["none", "draft", "final"] = "final"
    space: bytes = b" "  # in front of the flags of a status
    is_bare: bool = False  # a miss of mg repeats nothing
    tells_asked_token: bool = False  # in the c of an EX or NF
    is_md_token_lost: bool = False  # it counts as 0, so that none fits
    has_new_cas: bool = False  # the flag E, and the x of md
    makes_by_append: bool = False  # an append with N, and the s of ms
    fetches_by_token: bool = False  # the C of mg
    has_tokens: bool = True  # no -C
    least_expiry: int = 1 << 63  # that touch, gat and T refuse
    nothing: bytes = b"ERROR\r\n"  # the answer to an empty line, or a word that wants more
    swallows: bool = False  # the value of a key that is too long
    after_long_key: bytes = b""  # a line more, and what was answered before is lost
    most_pending: int = 2048  # bytes of a line that has not come whole, get and gets apart
    is_get_short: bool = False  # a get has 16 KiB at most, and as much pending as other lines
    kind: Literal["memcached", "proxy", "redis"] = "memcached"
    must_log_in: bool = False
    is_dead: bool = False  # the proxy's server


DIALECTS = {
    "1.5.22": Dialect("1.5.22", "none"),
    "1.6.6": Dialect("1.6.6", "draft", space=b"  ", is_bare=True),
    "1.6.9": Dialect("1.6.9", "draft", space=b"  ", is_bare=True),
    "1.6.12": Dialect(
        "1.6.12",
        space=b"  ",
        is_bare=True,
        tells_asked_token=True,
        is_md_token_lost=True,
        is_get_short=True,
        most_pending=1024,
    ),
    "1.6.17": Dialect("1.6.17", space=b"  ", is_bare=True),
    "1.6.18": Dialect("1.6.18"),
    "1.6.45": Dialect(
        "1.6.45",
        has_new_cas=True,
        makes_by_append=True,
        fetches_by_token=True,
        swallows=True,
        least_expiry=1 << 31,
        nothing=b"CLIENT_ERROR bad command line format\r\n",
        after_long_key=b"\r\n",
    ),
    "nutcracker": Dialect("1.6.18", kind="proxy"),
    "nutcracker, dead": Dialect("1.6.18", kind="proxy", is_dead=True),
    "redis": Dialect("", "none", kind="redis"),
}

# Each is sent to a server of its own kind whole, over a connection of its own, in this order. A
# proxy forgets what was pipelined before a command that makes it close: one command each for it.
CONVERSATIONS = [
    b"version\r\n",
    b"replace pk 0 1 9\r\ngodropbox\r\n",
    b"append pk 0 1 9\r\ngodropbox\r\n",
    b"prepend pk 0 1 9\r\ngodropbox\r\n",
    b"cas pk 0 1 9 0\r\ngodropbox\r\n",
    b"ms pk 9 MR C0 O1\r\ngodropbox\r\n",
    b"ms pk 9 MR C0 E1 O1\r\ngodropbox\r\n",
    b"ms cGs= 9 MR C0 b O1\r\ngodropbox\r\n",
    b"set a 5 0 3\r\nabc\r\n",
    b"get a\r\n",
    b"gets none\r\n",
    b"add a 0 0 1\r\nx\r\n",
    b"append a 0 0 1\r\nd\r\n",
    b"prepend a 0 0 1\r\n_\r\n",
    b"get a none\r\n",
    b"replace a 1 0 3\r\nnew\r\n",
    b"delete a\r\n",
    b"delete a\r\n",
    b"set n 0 0 2\r\n10\r\n",
    b"incr n 5\r\n",
    b"decr n 100\r\n",
    b"get n\r\n",
    b"incr none 1\r\n",
    b"touch n 100\r\n",
    b"touch none 100\r\n",
    b"set gone 0 -1 1\r\nx\r\n",
    b"get gone\r\n",
    b"gats 100 n\r\n",
    b"nonsense\r\n",
    b"\r\n",
    b"mn\r\n",
    b"get " + b"x" * 251 + b"\r\n",
    b"touch none 4294967295\r\n",
    b"ms m 3 T0 F7 c O1\r\nabc\r\nms m 1 c ME O2\r\nx\r\nms none 1 c C99 O3\r\nx\r\n",
    b"ms m 1 c C1 O4\r\nx\r\nms m 1 zz\r\nx\r\nmn\r\n",
    b"mg m v f k O1\r\nmg none v f c k O2\r\nmg m v f k q O3\r\nmg none v q O4\r\nmn\r\n",
    b"mg m T100 O5\r\nmg none T100 O6\r\n",
    b"md none O1\r\nmd m O2\r\nmd none O3\r\n",
    b"ma none v MI D1 O1\r\nma k v MI D1 N0 J5 O2\r\nma k v MI D2 O3\r\nma k v MD D100 O4\r\n",
    b"ms YQpi 3 b O1\r\nabc\r\nmg YQpi v f k b O2\r\nmd YQpi b O3\r\n",
    b"set victim 0 0 5\r\nvalue\r\nmd victim C99 O1\r\nmd victim I T30 O2\r\n",
    bytes.fromhex("800b" + "00" * 10 + "0d0a0d0a" + "00" * 8),
]


def recordings() -> dict[str, list[tuple[bytes, bytes]]]:
    """Return what each real server answered, by its name."""
    found = json.loads(RECORDED.read_text())
    return {
        name: [(sent.encode("latin-1"), got.encode("latin-1")) for sent, got in rows]
        for name, rows in found.items()
    }


def converse(address: str, request: bytes, seconds: float = 5.0) -> bytes:
    """Send bytes and a ``quit`` to a server, and return all that it answers until it closes."""
    host, port = address.rsplit(":", 1)
    received = b""
    with socket.create_connection((host, int(port)), seconds) as channel:
        is_binary = request.startswith(b"\x80")
        channel.sendall(request + (bytes.fromhex("8007" + "00" * 22) if is_binary else b"quit\r\n"))
        try:
            while data := channel.recv(65536):
                received += data
        except ConnectionResetError:  # closed by one that had not read all
            pass
    return received


def normal(reply: bytes, version: str) -> bytes:
    """Return a reply without what depends on the hour: the version, and tokens."""
    reply = re.sub(rb" c[1-9][0-9]*(?= |\r)", b" c#", reply)
    reply = re.sub(rb"(VALUE \S+ \d+ \d+) \d+", rb"\1 #", reply)
    return reply.replace(version.encode(), b"V") if version else reply


class Item:
    """What is stored: the value, client flags, the token, the second it ends, meta's marks."""

    def __init__(self, value: bytes, flags: int, cas: int, ends: float | None = None) -> None:
        self.value = value
        self.flags = flags
        self.cas = cas
        self.ends = ends
        self.stale = False
        self.is_won = False
        self.is_binary = False


_MONTH = 60 * 60 * 24 * 30


def _end_of(expire: int) -> float | None:
    """Return when an item ends that is given an expiry, which servers keep in 32 bits."""
    expire = ((expire + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
    if expire <= 0:
        return None if expire == 0 else 0.0
    return expire if expire > _MONTH else time.time() + expire


class Store:
    """The items of one server, in the words of every protocol."""

    def __init__(self, has_tokens: bool = True) -> None:
        self.items: dict[bytes, Item] = {}
        self.flushes = 0
        self._last = 0
        self._has_tokens = has_tokens

    def token(self) -> int:
        self._last += self._has_tokens
        return self._last

    def get(self, key: bytes) -> Item | None:
        """Return an item that has not ended."""
        item = self.items.get(key)
        if item is not None and item.ends is not None and item.ends <= time.time():
            del self.items[key]
            return None
        return item

    def put(
        self, mode: str, key: bytes, value: bytes, flags: int, cas: int | None, expire: int
    ) -> str:
        """Store; return stored, not_stored, exists or not_found."""
        old = self.get(key)
        ends = _end_of(expire)
        if cas is not None:
            if old is None:
                return "not_found"
            if cas == 0 or cas != old.cas:
                return "exists"
        if mode in ("append", "prepend"):
            if old is None or len(old.value) + len(value) > MAX_ITEM:
                return "not_stored"
            value = old.value + value if mode == "append" else value + old.value
            flags, ends = old.flags, old.ends
        elif (mode == "add" and old is not None) or (mode == "replace" and old is None):
            return "not_stored"
        self.items[key] = Item(value, flags, self.token(), ends)
        return "stored"

    def count(self, key: bytes, down: bool, delta: int) -> int | None:
        """Count; return the new number, or None for a value that is none."""
        item = self.items[key]
        if re.fullmatch(rb" *[0-9]{1,20} *", item.value) is None or int(item.value) >> 64:
            return None
        number = int(item.value)
        number = max(number - delta, 0) if down else (number + delta) % (1 << 64)
        value = str(number).encode()
        if len(value) > len(item.value):  # which makes another item
            item = self.items[key] = Item(value, item.flags, 0, item.ends)
        item.value = value.ljust(len(item.value))
        item.cas = self.token()
        return number


class _MoreError(Exception):
    """The request is not complete."""


class _CloseError(Exception):
    """The connection is closed, after what is said."""


class _LostError(Exception):
    """The connection is closed, and what was answered is lost."""


_CLASSIC = {"stored": "STORED", "not_stored": "NOT_STORED", "exists": "EXISTS"}
_CLASSIC |= {"not_found": "NOT_FOUND"}
_META = {"stored": b"HD", "not_stored": b"NS", "exists": b"EX", "not_found": b"NF"}
_BAD_FORMAT = b"CLIENT_ERROR bad command line format\r\n"
_STORES = {b"set", b"add", b"replace", b"append", b"prepend", b"cas"}
# What nutcracker 0.5.0 forwards; all else closes the connection.
_WANT_MORE = {b"get", b"gets", b"mg", b"ms", b"md", b"ma", b"touch", b"delete", b"verbosity"}
_BAD_TOKEN = b"CLIENT_ERROR bad token in command line format\r\n"
_TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"
_FORWARDED = _STORES | {b"get", b"gets", b"incr", b"decr", b"delete", b"touch", b"version", b"quit"}


class Conversation:
    """One connection: takes bytes, gives bytes."""

    def __init__(self, dialect: Dialect, store: Store) -> None:
        self.dialect = dialect
        self.store = store
        self.is_over = False
        self.is_in = not dialect.must_log_in
        self._data = b""
        self._is_torn = False  # a get came in pieces
        self._forgets = False  # what was answered before, in one piece with it

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return what is answered."""
        self._data += data
        answers: list[bytes] = []
        while self._data and not self.is_over:
            try:
                taken, answer = self._one()
            except _MoreError:
                break
            except _LostError:
                self.is_over = True
                answers = []
                break
            except _CloseError as error:
                self.is_over = True
                answers.append(error.args[0] if error.args else b"")
                break
            self._data = self._data[taken:]
            if self._forgets:
                answers.clear()
                self._forgets = False
            answers.append(answer)
        return b"".join(answers)

    def _one(self) -> tuple[int, bytes]:
        is_memcached = self.dialect.kind == "memcached"
        if is_memcached and self._data[:1] == b"\x80" and self.is_in:
            return self._packet()
        line, end, _ = self._data.partition(b"\n")
        if not end:
            is_get = line.startswith((b"get ", b"gets "))
            if is_memcached and len(line) > self.dialect.most_pending:
                if not is_get:
                    raise _CloseError
                self._is_torn = True
            raise _MoreError
        taken = len(line) + 1
        if is_memcached and taken > 1 << 14:
            if not line.startswith((b"get ", b"gets ")):
                raise _CloseError
            self._is_torn = True
        was_torn, self._is_torn = self._is_torn, False
        if was_torn and self.dialect.is_get_short:
            return taken, b"ERROR\r\n"
        words = line.removesuffix(b"\r").split()
        if self.dialect.kind == "redis":
            if words[:1] == [b"flush_all"] or words[:1] == [b"flushall"]:
                self.store.flushes += 1
            text = words[0].decode("latin-1") if words else ""
            return taken, f"-ERR unknown command '{text}'\r\n".encode("latin-1") if words else b""
        if self.dialect.kind == "proxy" and not self._is_forwarded(words):
            raise _LostError
        if not self.is_in:
            return self._log_in(words, taken)
        verb = words[0] if words else b""
        if verb in _STORES or verb == b"ms":
            return self._store(words, taken)
        answer = self._line(words)
        return taken, answer

    def _is_forwarded(self, words: list[bytes]) -> bool:
        if not words or words[0] not in _FORWARDED or any(len(word) > 250 for word in words):
            return False
        if words[0] in _STORES:
            return words[3][:1] != b"-"
        return True

    def _log_in(self, words: list[bytes], taken: int) -> tuple[int, bytes]:
        if words[5:] not in ([], [b"noreply"]) or words[:1] != [b"set"]:
            # Whatever else has come is forgotten; 1.6.45 closes on what is short.
            if self.dialect.version == "1.6.45" and taken < 6:
                raise _CloseError
            return len(self._data), b"CLIENT_ERROR unauthenticated\r\n"
        size = int(words[4])
        if len(self._data) < taken + size + 2:
            raise _MoreError
        given = self._data[taken : taken + size]
        self.is_in = given == b"ann secret"
        answer = b"STORED\r\n" if self.is_in else b"CLIENT_ERROR authentication failure\r\n"
        return taken + size + 2, answer

    def _data_of(self, taken: int, size: int) -> tuple[int, bytes]:
        if len(self._data) < taken + size + 2:
            raise _MoreError
        value = self._data[taken : taken + size]
        return taken + size + 2, value

    def _store(self, words: list[bytes], taken: int) -> tuple[int, bytes]:
        verb = words[0]
        if len(words) > 1 and len(words[1]) > 250:
            size = int(words[2 if verb == b"ms" else 4])
            return self._data_of(taken, size)[0] if self.dialect.swallows else taken, _BAD_FORMAT
        if verb == b"ms":
            return self._meta_store(words, taken)
        is_quiet = words[-1] == b"noreply"
        if len(words) - is_quiet != 5 + (verb == b"cas") or not words[4].isdigit():
            return taken, b"ERROR\r\n"
        taken, value = self._data_of(taken, int(words[4]))
        if self.dialect.is_dead:
            return taken, b"SERVER_ERROR Connection refused\r\n"
        if len(value) > MAX_ITEM:
            if verb == b"set":
                self.store.items.pop(words[1], None)
            return taken, b"" if is_quiet else _TOO_LARGE
        mode = "set" if verb == b"cas" else verb.decode()
        cas = int(words[5]) if verb == b"cas" else None
        flags = int(words[2])
        done = self.store.put(
            mode, words[1], value, 0 if flags >> 32 else flags, cas, int(words[3])
        )
        return taken, b"" if is_quiet else f"{_CLASSIC[done]}\r\n".encode()

    def _line(self, words: list[bytes]) -> bytes:
        verb = words[0] if words else b""
        dialect, store = self.dialect, self.store
        if verb == b"quit":
            raise _CloseError
        if dialect.is_dead:
            return b"SERVER_ERROR Connection refused\r\n"
        if not words or (len(words) == 1 and verb in _WANT_MORE):
            return dialect.nothing
        if verb == b"version":
            return f"VERSION {dialect.version}\r\n".encode()
        if verb == b"flush_all":
            store.flushes += 1
            store.items.clear()
            return b"" if words[-1] == b"noreply" else b"OK\r\n"
        if verb == b"verbosity":
            return b"OK\r\n"
        if verb == b"stats":
            return self._stats(words)
        if verb in (b"get", b"gets", b"gat", b"gats"):
            return self._classic_get(words)
        if verb in (b"delete", b"touch", b"incr", b"decr") and len(words[1]) > 250:
            return _BAD_FORMAT
        if verb == b"delete":
            if len(words) > 2 and words[2] not in (b"0", b"noreply") and not dialect.swallows:
                usage = b".  Usage: delete <key> [noreply]\r\n"
                return _BAD_FORMAT.replace(b"\r\n", usage)
            is_there = store.get(words[1]) is not None
            store.items.pop(words[1], None)
            return b"DELETED\r\n" if is_there else b"NOT_FOUND\r\n"
        if verb == b"touch":
            return self._classic_touch(words)
        if verb in (b"incr", b"decr"):
            return self._classic_count(words)
        return self._meta_line(words)

    def _stats(self, words: list[bytes]) -> bytes:
        known = [b"items", b"slabs", b"sizes", b"settings", b"conns", b"detail", b"cachedump"]
        if self.dialect.swallows:
            known += [b"proxy", b"proxyfuncs", b"proxybe"]
        if len(words) > 1:
            return b"END\r\n" if words[1] in known else b"ERROR\r\n"
        return b"STAT curr_items %d\r\nSTAT version 1\r\nEND\r\n" % len(self.store.items)

    def _classic_touch(self, words: list[bytes]) -> bytes:
        if int(words[2]) >= self.dialect.least_expiry:
            return b"CLIENT_ERROR invalid exptime argument\r\n"
        item = self.store.get(words[1])
        if item is None:
            return b"NOT_FOUND\r\n"
        item.ends = _end_of(int(words[2]))
        return b"TOUCHED\r\n"

    def _classic_get(self, words: list[bytes]) -> bytes:
        touches = words[0].startswith(b"gat")
        if touches and int(words[1]) >= self.dialect.least_expiry:
            return b"CLIENT_ERROR invalid exptime argument\r\n"
        keys = words[2 if touches else 1 :]
        if not keys and self.dialect.swallows:
            return _BAD_FORMAT
        if any(len(key) > 250 for key in keys):
            self._forgets = bool(self.dialect.after_long_key)
            return _BAD_FORMAT + self.dialect.after_long_key
        answer = b""
        for key in keys:
            item = self.store.get(key)
            if item is not None:
                if touches:
                    item.ends = _end_of(int(words[1]))
                token = b" %d" % item.cas if words[0].endswith(b"s") else b""
                answer += b"VALUE %b %d %d%b\r\n" % (key, item.flags, len(item.value), token)
                answer += item.value + b"\r\n"
        return answer + b"END\r\n"

    def _classic_count(self, words: list[bytes]) -> bytes:
        if self.store.get(words[1]) is None:
            return b"NOT_FOUND\r\n"
        number = self.store.count(words[1], words[0] == b"decr", int(words[2]))
        if number is None:
            return b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        return b"%d\r\n" % number

    # Meta

    def _flags(self, words: list[bytes]) -> dict[bytes, bytes]:
        return {word[:1]: word[1:] for word in words}

    def _status(
        self, code: bytes, words: list[bytes], item: Item | None = None, size: int | None = None
    ) -> bytes:
        """Write a line, with the flags asked for in their order; `item` only for what has it."""
        given = []
        is_hit = item is not None and self._is_fetch
        for word in words:
            if word[:1] == b"O":
                given.append(word)
            elif word == b"k":
                given += self._named(item if is_hit else None, b"b" in words)
            elif word == b"c" and code != b"EN":
                given.append(b"c%d" % (item.cas if item else self._no_token(words)))
            elif word == b"f" and item is not None:
                given.append(b"f%d" % item.flags)
            elif word == b"t" and item is not None:
                left = -1 if item.ends is None else round(item.ends - time.time())
                given.append(b"t%d" % left)
            elif word == b"s" and item is not None and (is_hit or self.dialect.makes_by_append):
                given.append(b"s%d" % len(item.value))
        if size is not None:
            code += b" %d" % size
        return code + b"".join(b" " + each for each in given) + b"\r\n"

    def _named(self, item: Item | None, is_encoded: bool) -> list[bytes]:
        """Return a key as k gives it: a hit's in the form of the item, else of the request."""
        if item is None:
            return [b"k" + self._wire, b"b"] if is_encoded else [b"k" + self._wire]
        if item.is_binary:
            return [b"k" + base64.b64encode(self._key), b"b"]
        return [b"k" + self._key]

    def _no_token(self, words: list[bytes]) -> int:
        asked = self._flags(words).get(b"C", b"0")
        dialect = self.dialect
        return int(asked) if dialect.tells_asked_token and dialect.has_tokens else 0

    def _names(self, wire: bytes, flags: list[bytes]) -> bytes | None:
        """Take the key of a request; return what is wrong with it."""
        self._wire = self._key = wire
        if len(wire) > 250:
            return _BAD_FORMAT
        if b"b" in flags:
            try:
                self._key = base64.b64decode(wire, validate=True)
            except binascii.Error:
                self._key = b""
            if not self._key:
                return b"CLIENT_ERROR error decoding key\r\n"
        if not self.dialect.is_bare and any(len(flag) > 32 and flag[:1] == b"O" for flag in flags):
            return b"CLIENT_ERROR opaque token too long\r\n"
        return None

    def _is_beyond(self, given: dict[bytes, bytes], letters: bytes = b"TNR") -> bool:
        """Tell whether an expiry is more than the server takes."""
        each = (given.get(bytes([letter]), b"0") for letter in letters)
        return any(int(seconds or b"0") >= self.dialect.least_expiry for seconds in each)

    def _meta_store(self, words: list[bytes], taken: int) -> tuple[int, bytes]:
        dialect, store = self.dialect, self.store
        if dialect.meta == "none":
            return taken, b"CLIENT_ERROR invalid or duplicate flag\r\n"
        if dialect.meta == "draft":
            return taken, b"CLIENT_ERROR invalid flag\r\n"
        taken, value = self._data_of(taken, int(words[2]))
        flags, self._is_fetch = self._flags(words[3:]), False
        wrong = self._names(words[1], words[3:])
        known = b"bcCFIkMNOqsST" if not dialect.has_new_cas else b"bcCEFIkMNOqsST"
        if any(letter not in known or letter == b"S" for letter in flags):
            wrong = b"CLIENT_ERROR invalid flag\r\n"
        elif self._is_beyond(flags, b"T") or int(flags.get(b"E", b"0")) >> 64:
            wrong = _BAD_TOKEN
        if wrong:
            return taken, wrong
        if len(value) > MAX_ITEM:
            store.items.pop(self._key, None)
            return taken, _TOO_LARGE
        modes = {b"E": "add", b"R": "replace", b"A": "append", b"P": "prepend", b"S": "set"}
        mode = modes[flags.get(b"M", b"S").upper()]
        cas = int(flags[b"C"]) if b"C" in flags else None
        expire, given = int(flags.get(b"T", b"0")), int(flags.get(b"F", b"0"))
        old = store.get(self._key)
        is_late = b"I" in flags and cas is not None and old is not None and cas < old.cas
        makes = dialect.makes_by_append and cas is None and b"N" in flags
        if makes and old is None and mode in ("append", "prepend"):
            mode, expire = "set", int(flags[b"N"])
        done = store.put(mode, self._key, value, given, None if is_late else cas, expire)
        item = store.items.get(self._key) if done == "stored" else None
        if item is not None:
            item.stale = is_late
            item.is_binary = b"b" in flags and mode not in ("append", "prepend")
            item.cas = (dialect.has_tokens and int(flags.get(b"E", b"0"))) or item.cas
        answer = self._status(_META[done], words[3:], item)
        return taken, b"" if done == "stored" and b"q" in flags else answer

    def _meta_line(self, words: list[bytes]) -> bytes:
        verb, meta = words[0], self.dialect.meta
        if verb == b"mn":
            return b"EN\r\n" if meta == "none" else b"MN\r\n"
        if verb not in (b"mg", b"md", b"ma") or (meta == "none" and verb == b"ma"):
            return b"ERROR\r\n"
        if meta == "none":
            if len(words) > 4:
                return b"CLIENT_ERROR incorrect number of tokens supplied\r\n"
            return b"CLIENT_ERROR invalid or duplicate flag\r\n"
        if meta == "draft" and b"b" in words:
            what = b"invalid flag" if verb == b"mg" else b"invalid or duplicate flag"
            return b"CLIENT_ERROR %b\r\n" % what
        flags, self._is_fetch = words[2:], verb == b"mg"
        wrong = self._names(words[1], flags)
        if self._is_fetch and not flags and self.dialect.is_bare:
            wrong = _BAD_FORMAT
        if verb == b"md" and b"x" in flags and not self.dialect.has_new_cas:
            wrong = b"CLIENT_ERROR invalid or duplicate flag\r\n"
        if self._is_beyond(self._flags(flags)):
            wrong = b"CLIENT_ERROR invalid or duplicate flag\r\n" if verb == b"ma" else _BAD_TOKEN
        if wrong:
            return wrong
        item = self.store.get(self._key)
        if verb == b"mg":
            return self._meta_get(flags, item)
        answer = self._meta_delete if verb == b"md" else self._meta_count
        line = answer(flags, item)
        return b"" if b"q" in flags and line.startswith((b"HD", b"OK")) else line

    def _wide(self, line: bytes) -> bytes:
        """Return a status as versions write it that put two spaces, and one after a bare word."""
        space = self.dialect.space
        code, between, rest = line.removesuffix(b"\r\n").partition(b" ")
        line = code + (space + rest if between else space[1:]) + b"\r\n"
        return line.replace(b"HD", b"OK", 1) if self.dialect.meta == "draft" else line

    def _meta_get(self, flags: list[bytes], item: Item | None) -> bytes:
        given = self._flags(flags)
        marks = []
        if item is None and b"N" in given:
            item = self.store.items[self._key] = Item(b"", 0, self.store.token())
            item.ends = _end_of(int(given[b"N"]))
            item.is_won, marks = True, [b"W"]
        elif item is None:
            if b"q" in flags:
                return b""
            return b"EN\r\n" if self.dialect.is_bare else self._status(b"EN", flags)
        else:
            marks = self._marks(item, int(given.get(b"R", b"0")))
            if b"T" in given:
                item.ends = _end_of(int(given[b"T"]))
        told = b"".join(b" " + mark for mark in marks) + b"\r\n"
        has_it = self.dialect.fetches_by_token and given.get(b"C") == b"%d" % item.cas
        if b"v" not in flags or has_it:
            return self._status(b"HD", flags, item).replace(b"\r\n", told)
        line = self._status(b"VA", flags, item, len(item.value))
        return line.removesuffix(b"\r\n") + told + item.value + b"\r\n"

    def _marks(self, item: Item, recache: int) -> list[bytes]:
        ends_soon = item.ends is not None and item.ends - time.time() < recache
        stale = [b"X"] if item.stale else []
        if item.is_won:
            return [b"Z", *stale]
        if item.stale or ends_soon:
            item.is_won = True
            return [*stale, b"W"]
        return []

    def _meta_delete(self, flags: list[bytes], item: Item | None) -> bytes:
        given, dialect = self._flags(flags), self.dialect
        if item is None:
            return self._wide(self._status(b"NF", flags))
        asked = 0 if dialect.is_md_token_lost else int(given.get(b"C", b"0"))
        if b"C" in given and asked != item.cas:
            return self._wide(self._status(b"EX", flags))
        if b"x" in given:
            item = self.store.items[self._key] = Item(b"", 0, self.store.token())
        if b"I" in given:
            item.stale, item.is_won, item.cas = True, False, self.store.token()
            item.ends = _end_of(int(given[b"T"])) if b"T" in given else item.ends
        elif b"x" not in given:
            del self.store.items[self._key]
        return self._wide(self._status(b"HD", flags))

    def _meta_count(self, flags: list[bytes], item: Item | None) -> bytes:
        given, store = self._flags(flags), self.store
        if item is None and b"N" not in given:
            return self._wide(self._status(b"NF", flags))
        if item is None:
            item = store.items[self._key] = Item(given.get(b"J", b"0"), 0, store.token())
            item.ends = _end_of(int(given[b"N"]))
        else:
            is_down = given.get(b"M", b"I").upper() in (b"D", b"-")
            if store.count(self._key, is_down, int(given.get(b"D", b"1"))) is None:
                return b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
            item = store.items[self._key]
        number = item.value.strip()
        if b"v" not in given:
            return self._status(b"HD", flags, item)
        return self._status(b"VA", flags, item, len(number)) + number + b"\r\n"

    # Binary

    def _packet(self) -> tuple[int, bytes]:
        if len(self._data) < 24:
            raise _MoreError
        fields = struct.unpack(">BBHBBHIIQ", self._data[:24])
        _, opcode, key_size, extra_size, _, _, size, opaque, cas = fields
        if len(self._data) < 24 + size:
            raise _MoreError
        body = self._data[24 : 24 + size]
        extras, key = body[:extra_size], body[extra_size : extra_size + key_size]
        value = body[extra_size + key_size :]
        if opcode == 0x07:
            raise _CloseError(_reply(opcode, opaque))
        return 24 + size, self._answer(opcode, opaque, cas, extras, key, value)

    def _answer(
        self, opcode: int, opaque: int, cas: int, extras: bytes, key: bytes, value: bytes
    ) -> bytes:
        store = self.store
        item = store.get(key)
        if opcode == 0x0B:
            return _reply(opcode, opaque, value=self.dialect.version.encode())
        if opcode == 0x08:
            store.flushes += 1
            store.items.clear()
            return _reply(opcode, opaque)
        modes = {1: "set", 2: "add", 3: "replace", 0x0E: "append", 0x0F: "prepend"}
        if opcode in modes:
            flags, expire = struct.unpack(">Ii", extras) if extras else (0, 0)
            mode = modes[opcode]
            if not cas and item is not None and mode == "add":
                return _reply(opcode, opaque, 2, value=b"Data exists for key.")
            if not cas and item is None and mode == "replace":
                return _reply(opcode, opaque, 1, value=b"Not found")
            done = store.put(mode, key, value, flags, cas or None, expire)
            status = {"stored": 0, "not_found": 1, "exists": 2, "not_stored": 5}[done]
            held = store.items.get(key)
            return _reply(opcode, opaque, status, cas=held.cas if held and not status else 0)
        if opcode == 0x0A:
            return _reply(opcode, opaque)
        if opcode in (5, 6):
            return self._binary_count(opcode, opaque, extras, key, item)
        if item is None:
            return b"" if opcode == 0x0D else _reply(opcode, opaque, 1, value=b"Not found")
        if opcode == 0x04:
            del store.items[key]
            return _reply(opcode, opaque)
        if opcode in (0x00, 0x0D, 0x1D):
            named = key if opcode == 0x0D else b""
            flags = struct.pack(">I", item.flags)
            return _reply(opcode, opaque, 0, flags, named, item.value, item.cas)
        return _reply(opcode, opaque, 0, cas=item.cas)  # touch

    def _binary_count(
        self, opcode: int, opaque: int, extras: bytes, key: bytes, item: Item | None
    ) -> bytes:
        delta, initial, expire = struct.unpack(">QQI", extras)
        if item is None:
            if expire == 0xFFFFFFFF:
                return _reply(opcode, opaque, 1, value=b"Not found")
            item = self.store.items[key] = Item(b"%d" % initial, 0, self.store.token())
        elif self.store.count(key, opcode == 6, delta) is None:
            words = b"Non-numeric server-side value for incr or decr"
            return _reply(opcode, opaque, 6, value=words)
        return _reply(opcode, opaque, value=struct.pack(">Q", int(item.value)), cas=item.cas)


def _reply(
    opcode: int,
    opaque: int,
    status: int = 0,
    extras: bytes = b"",
    key: bytes = b"",
    value: bytes = b"",
    cas: int = 0,
) -> bytes:
    size = len(extras) + len(key) + len(value)
    sizes = (len(key), len(extras), 0, status, size)
    return struct.pack(">BBHBBHIIQ", 0x81, opcode, *sizes, opaque, cas) + extras + key + value


class FakeServer:
    """A server on a free port of 127.0.0.1; use it as a context. One thread serves all."""

    def __init__(self, dialect: Dialect, piece: int = 65536) -> None:
        self.dialect = dialect
        self.store = Store(dialect.has_tokens)
        self.received = bytearray()  # over all connections
        self._piece = piece  # bytes that are taken and answered at a time
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wake, self._woken = socket.socketpair()
        self._hung_up = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._serve)
        host, port = self._listener.getsockname()
        self.address = f"{host}:{port}"

    def __enter__(self) -> "FakeServer":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._wake.close()
        self._thread.join()

    def hang_up(self) -> None:
        """Close all connections, as a restart does."""
        self._wake.send(b"x")
        assert self._hung_up.acquire(timeout=10.0)

    def _serve(self) -> None:
        conversations: dict[socket.socket, Conversation] = {}
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    end = key.fileobj
                    assert isinstance(end, socket.socket)
                    if end is self._woken and end.recv(1):
                        for each in conversations:
                            selector.unregister(each)
                            each.close()
                        conversations.clear()
                        self._hung_up.release()
                        break  # what else was ready may be closed
                    if end is self._woken:
                        for each in [*conversations, self._listener, self._woken]:
                            each.close()
                        return
                    if end is self._listener:
                        channel, _ = end.accept()
                        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        conversations[channel] = Conversation(self.dialect, self.store)
                        selector.register(channel, selectors.EVENT_READ)
                    elif not self._go_on(end, conversations[end]):
                        selector.unregister(end)
                        del conversations[end]
                        end.close()

    def _go_on(self, channel: socket.socket, conversation: Conversation) -> bool:
        """Take what has come and answer it; return whether there may be more."""
        try:
            data = channel.recv(65536)
            self.received += data
            for start in range(0, len(data), self._piece):
                answer = conversation.feed(data[start : start + self._piece])
                for at in range(0, len(answer), self._piece):
                    channel.sendall(answer[at : at + self._piece])
        except OSError:
            return False
        return bool(data) and not conversation.is_over


def record(servers: dict[str, str]) -> None:
    """Ask real servers, by their names in ``DIALECTS``, and write down what they answer."""
    found = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    for name, address in servers.items():
        version = DIALECTS[name].version
        found[name] = [
            [sent.decode("latin-1"), normal(converse(address, sent), version).decode("latin-1")]
            for sent in CONVERSATIONS
        ]
    RECORDED.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    record(dict(each.split("=", 1) for each in sys.argv[1:]))
