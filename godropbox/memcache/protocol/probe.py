"""Probes: find out which commands a server knows before sending it a value. No I/O.

A server that does not know a command runs the value that follows as its next command. So each
connection first gets the same command with a harmless value, under a condition that stores nothing;
the reply shows whether the server swallowed the value. A probe is sent once per connection and kind
of command, not once per server: after a restart another server may be behind the same address.

Replies of real servers (memcached 1.5.22 to 1.6.45, nutcracker 0.5.0):

=================================  ==================================================
``ms`` before memcached 1.6.10     ``CLIENT_ERROR invalid flag``, then ``ERROR`` for the value
``ms`` from 1.6.10                 ``NF`` or ``EX``: no item has the CAS token 0
``ms .. E1`` before 1.6.27         ``CLIENT_ERROR invalid flag``; the value was swallowed
nutcracker, any meta command       none: it closes the connection and drops pipelined replies
a dead server behind a proxy       ``SERVER_ERROR``, value swallowed: try another key
before a login (``--auth-file``)   ``CLIENT_ERROR unauthenticated``; the server may then close
binary, to a text server           an error line
=================================  ==================================================
"""

import os
import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..._kernels import wire
from ..errors import NotSupportedError, ReplyError
from .exchange import (
    ALIVE,
    APPEND,
    BINARY,
    CAS,
    GAT,
    LOGIN,
    MD_TOKEN,
    META,
    NEW_CAS,
    PREPEND,
    SET,
    Exchange,
    Probe,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["Proof", "is_before", "lacks_meta"]

# Not a command of any server, without spaces, and at least 6 bytes: before the login, memcached
# 1.6.45 with --auth-file closes the connection on shorter lines.
_VALUE = b"godropbox"
_LINES = 2  # reply lines if the value was run: one for the value, one for the version
_KEYS = 16  # keys to try while servers behind a proxy are dead
_LONGEST = 8192  # bytes of a line
_CROWDED = wire.codes.CROWDED
# By kind: the command, the replies of a server that knows it, and its name in errors.
_ASCII = {
    SET: (b"replace %b 0 1 9", rb"NOT_STORED|STORED", "the ASCII command replace"),
    APPEND: (b"append %b 0 1 9", rb"NOT_STORED|STORED", "the ASCII command append"),
    PREPEND: (b"prepend %b 0 1 9", rb"NOT_STORED|STORED", "the ASCII command prepend"),
    CAS: (b"cas %b 0 1 9 0", rb"NOT_FOUND|EXISTS", "the ASCII command cas"),
}
_META = {
    META: (b"", "the meta commands of memcached 1.6.10"),
    NEW_CAS: (b" E1", "the flag E of the meta command ms (new_cas), of memcached 1.6.27"),
}
# Earlier versions of memcached do not compare the token of md and refuse every one.
_MD_TOKEN = (1, 6, 13)
_FINAL_META = (1, 6, 10)
_MET = rb"(NF|EX|NS) +O1"
_HINT = 'use protocol="ascii"'
_VERSION = 0x0B
_PRINTABLE = tuple(bytes([byte]) for byte in range(0x20, 0x7F))
# Sent as the opaque: a text server sees ends of lines and replies.
_LINE_ENDS = 0x0D0A0D0A


class _Step(Exchange):
    """One request of a probe, and the lines of its reply."""

    __slots__ = ("_rest", "lines", "name")

    def __init__(self, request: bytes, rest: bytes = b"") -> None:
        self.request = [request]
        self.probe = None
        self._rest = bytearray(rest)
        self.lines: list[bytes] = []
        self.name = ""  # the feature that the server lacks if it closes the connection now

    @property
    def done(self) -> bool:
        return bool(self.lines)

    def feed(self, data: "ReadableBuffer") -> int:
        view = memoryview(data).cast("B")
        self._rest += view
        self.cut()
        if _CROWDED in self.lines:
            raise wire.codes.no_room()
        return len(view)

    def cut(self) -> None:
        """Take complete lines out of the received bytes."""
        while not self.done:
            line, end, rest = self._rest.partition(b"\n")
            if not end:
                if len(line) > _LONGEST:
                    self.lines.append(bytes(line))
                return
            self._rest = rest
            self.lines.append(bytes(line.removesuffix(b"\r")))

    @property
    def reply(self) -> Any:  # type: ignore[override]  # it is its own
        return self

    @property
    def size(self) -> int:
        return len(self._rest)

    @property
    def rest(self) -> bytes:
        return bytes(self._rest)

    def result(self) -> Any:
        return self.lines

    def lost(self, error: OSError) -> Exception:
        if self.name and not self._rest and isinstance(error, ConnectionError):
            return _unknown(self.name, "; it closed the connection")
        return error


class _VersionStep(_Step):
    """A ``version`` request after a step that may still have a reply to come."""

    __slots__ = ()

    @property
    def done(self) -> bool:
        if not self.lines:
            return False
        last = self.lines[-1]
        is_error = last.startswith((b"ERROR", b"CLIENT_ERROR"))
        return not is_error or len(self.lines) == _LINES or b"unauthenticated" in last


class _PacketStep(_Step):
    """The version request of the binary protocol; its packet counts as one line."""

    __slots__ = ()

    def feed(self, data: "ReadableBuffer") -> int:
        view = memoryview(data).cast("B")
        self._rest += view
        reply = bytes(self._rest)
        if reply.startswith(_CROWDED):
            raise wire.codes.no_room()
        if _CROWDED.startswith(reply):
            return len(view)
        is_short = len(reply) < 24 or len(reply) < 24 + int.from_bytes(reply[8:12], "big")
        if reply[:1] != b"\x81" or not is_short or len(reply) > _LONGEST:
            self.lines.append(reply)
        return len(view)

    def lost(self, error: OSError) -> Exception:
        if isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError):
            text = f"{error}, after its first request of the binary protocol"
            return type(error)(f"{text}: if the server does not speak that, {_HINT}")
        return error


def _check_whole(step: _Step) -> None:
    if step.rest:
        raise ReplyError("there are bytes after the end of the reply")


def _unknown(name: str, more: str = "") -> NotSupportedError:
    return NotSupportedError(f"it does not know {name}{more}")


def lacks_meta() -> NotSupportedError:
    """Return the error of a server that is seen to be without meta commands."""
    return _unknown(_META[META][1])


def is_before(version: str | None, other: tuple[int, int, int]) -> bool:
    """Return whether a version of memcached is known, and before `other`."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version or "")
    return found is not None and tuple(map(int, found.groups())) < other


class Proof:
    """Probe of one connection for the kinds of commands that an exchange needs.

    The driver runs each of ``steps`` in turn. Afterwards `proven` has the kinds that the server
    knows. If one is missing, either `error` is set, or `refusal` is the reply line for the exchange
    (the server is busy or requires a login). `in_step` is whether the connection may be reused.
    """

    def __init__(self, probe: Probe, proven: int, version: str | None) -> None:
        self.proven = proven
        self.version = version
        # Where ASCII may be used instead: whether the version alone may tell that meta is lacking,
        # and a version that was seen to.
        self.may_judge = False
        self.without_meta: str | None = None
        self.error: NotSupportedError | None = None
        self.refusal: bytes | None = None
        self.in_step = True
        self._probe = probe

    @property
    def can_turn(self) -> bool:
        """Whether the exchange can be made in ASCII's words instead."""
        return self.may_judge and not getattr(self._probe, "needs", "")

    def steps(self) -> Iterator[_Step]:
        """Yield the steps; complete each before asking for the next."""
        kinds = (LOGIN, SET, APPEND, PREPEND, CAS, GAT, META, NEW_CAS, MD_TOKEN, BINARY, ALIVE)
        for kind in kinds:
            if not self._probe.kinds & ~self.proven & kind:
                continue
            if kind == BINARY:
                yield from self._packet()
            elif kind == LOGIN:
                yield from self._login()
            elif kind == MD_TOKEN:
                self._judge_md_token()
            elif kind == GAT:
                yield from self._gat()
            elif kind == ALIVE:
                yield from self._alive()
            elif kind in _ASCII:
                command, known, name = _ASCII[kind]
                yield from self._text(kind, command, known, name)
            else:
                yield from self._meta(kind)
            if not self.proven & kind:
                return

    def told(self, error: Exception, server: str) -> Exception:
        """Add the server's name, its version and a hint to an error about what it lacks."""
        if not isinstance(error, NotSupportedError):
            return error
        version = "of an unknown version" if self.version is None else f"version {self.version}"
        # No hint for a server that knows most of meta: ASCII would offer less.
        is_spoken = self.proven & (META | BINARY)
        hint = f"; {_HINT}" if self._probe.kinds & (META | BINARY) and not is_spoken else ""
        if hint and self.may_judge:
            needs = getattr(self._probe, "needs", "")  # of one that may be in ASCII's words
            hint = f"; {needs} needs them" if needs else ""
        text = f"{server}, {version}: {error}{hint}"
        return NotSupportedError(text, address=server, version=self.version)

    def _alive(self) -> Iterator[_Step]:
        """See that the server is alive, in case it closes the connection on the next step."""
        step = _Step(b"version\r\n")
        yield step
        line = step.lines[0]
        if b"unauthenticated" in line:
            self.refusal = line
            return
        _check_whole(step)
        self._take_version(line)
        self.proven |= ALIVE

    def _gat(self) -> Iterator[_Step]:
        yield from self._alive()
        self.proven &= ~ALIVE
        if self.refusal is not None:
            return
        name = "the ASCII command gats"
        step = _Step(b"gats 0 %b\r\n" % self._probe.key)
        step.name = name
        yield step
        line = step.lines[0]
        _check_whole(step)
        # Behind a proxy that knows it the key's server may be dead.
        if line == b"END" or line.startswith(b"SERVER_ERROR"):
            self.proven |= GAT
        elif line.startswith((b"ERROR", b"CLIENT_ERROR")):
            self.error = _unknown(name, f": {line.decode('ascii', 'backslashreplace'):.80}")
        else:
            raise ReplyError(f"the reply does not answer the probe of {name}: {line!r:.80}")

    def _meta(self, kind: int) -> Iterator[_Step]:
        if kind == META:
            yield from self._alive()
            self.proven &= ~ALIVE
            if self.refusal is not None:
                return
            if self.may_judge and self._is_without_meta():
                self.error = lacks_meta()
                return
        flags, name = _META[kind]
        command = b"ms %%b 9 MR C0%b%b O1" % (flags, self._probe.flags)
        yield from self._text(kind, command, _MET, name, kind == META)

    def _is_without_meta(self) -> bool:
        """Return whether the version tells that meta commands need not be tried."""
        if self.version is None:
            return False
        return self.version == self.without_meta or is_before(self.version, _FINAL_META)

    def _text(
        self, kind: int, command: bytes, known: bytes, name: str, closes: bool = False
    ) -> Iterator[_Step]:
        """Probe with `command`, a template for the key; `known` matches replies that accept it.

        With `closes`, a connection closed without a reply means that the command is unknown.
        """
        key = self._probe.key
        for _ in range(_KEYS):
            self.refusal = None
            step = _Step(b"%b\r\n%b\r\n" % (command % key, _VALUE))
            step.name = name if closes else ""
            yield step
            line = step.lines[0]
            if re.fullmatch(known, line):
                _check_whole(step)
                self.in_step = True
                self.proven |= kind
                return
            self.in_step = False
            if b"unauthenticated" in line:
                self.refusal = line
                return
            is_busy = line.startswith(b"SERVER_ERROR")
            if not is_busy:
                self.error = _unknown(name, f": {line.decode('ascii', 'backslashreplace'):.80}")
                if line.startswith(b"-"):  # an error of Redis
                    return
            if not line.startswith((b"SERVER_ERROR", b"ERROR", b"CLIENT_ERROR")):
                raise ReplyError(f"the reply does not answer the probe of {name}: {line!r:.80}")
            follow = _VersionStep(b"version\r\n", step.rest)
            follow.cut()
            yield follow
            _check_whole(follow)
            last = follow.lines[-1]
            self.in_step = last.startswith(b"VERSION ")
            self._take_version(last)
            if not is_busy:
                return
            if self.in_step and len(follow.lines) == 1:
                self.proven |= kind  # a value run as a command would have had a reply of its own
                return
            self.refusal = line
            if not last.startswith(b"SERVER_ERROR"):
                return
            # Behind a proxy this key's server may be dead; another key may reach a live one.
            key = key[:-6] + os.urandom(3).hex().encode()

    def _login(self) -> Iterator[_Step]:
        step = _Step(b"version\r\n")
        yield step
        if step.lines[0] == b"CLIENT_ERROR unauthenticated":
            _check_whole(step)
            self.proven |= LOGIN
            return
        _check_whole(step)
        self._take_version(step.lines[0])
        command, known, name = _ASCII[SET]
        yield from self._text(LOGIN, command, known, name)

    def _judge_md_token(self) -> None:
        """Judge by the version: servers that lack it refuse wrong and right tokens alike."""
        if is_before(self.version, _MD_TOKEN):
            self.error = _unknown("the token of the meta command md, of memcached 1.6.13")
        else:
            self.proven |= MD_TOKEN

    def _packet(self) -> Iterator[_Step]:
        head = struct.pack(">BBHBBHIIQ", 0x80, _VERSION, 0, 0, 0, 0, 0, _LINE_ENDS, 0)
        step = _PacketStep(head)
        yield step
        reply = step.lines[0]
        if reply[:1] in _PRINTABLE:
            self.in_step = False
            self.error = _unknown("the binary protocol")
            return
        size = int.from_bytes(reply[8:12], "big")
        if reply[:2] != b"\x81\x0b" or reply[12:16] != head[12:16] or len(reply) != 24 + size:
            raise ReplyError("the reply does not answer the probe of the binary protocol")
        self.version = reply[24:].decode("ascii", "backslashreplace")
        self.proven |= BINARY

    def _take_version(self, line: bytes) -> None:
        if line.startswith(b"VERSION "):
            self.version = line[8:].decode("ascii", "backslashreplace")
