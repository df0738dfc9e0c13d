"""Exchanges: one request, the reply to it as it comes in, and what the reply means. No I/O.

A protocol makes an exchange; a driver sends ``request``, gives every byte received to ``feed``
until it is ``done``, and then asks for ``result``. An exchange is used once. Any exception out
of it means that the connection must not be used again. Compiled as it stands (``exchange.pxd``).
"""

from typing import TYPE_CHECKING, Any

from ..._kernels import wire
from ..._kernels._identity import refuse_copies
from ..._kernels._signature import declared
from ..errors import InvalidArgumentError, InvalidTypeError, ReplyError, ServerError, UsageError
from ..responses import (
    CountResponse,
    GetResponse,
    MetaResponse,
    MutateResponse,
    Response,
    StatsResponse,
    VersionResponse,
    failed_get,
    failed_mutate,
    fill_gets,
    list_mutations,
    one_get,
)
from ..types import Key, ResponseStatus

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = [
    "ALIVE",
    "APPEND",
    "BINARY",
    "CAS",
    "GAT",
    "LOGIN",
    "MD_TOKEN",
    "META",
    "NEW_CAS",
    "PREPEND",
    "SET",
    "CountExchange",
    "Exchange",
    "GetExchange",
    "GetManyExchange",
    "MetaGetExchange",
    "MutateExchange",
    "MutateManyExchange",
    "PartExchange",
    "Probe",
    "ResponseExchange",
    "StatsExchange",
    "VersionExchange",
    "as_caller_error",
    "get_response",
    "server_error",
]

# What a server must be seen to know before it is sent an exchange: a sum of kinds of headers.
SET = 1  # of ASCII's set, add and replace, which are as old as memcached
APPEND = 2
PREPEND = 4
CAS = 8
META = 16  # of meta commands as memcached has them from 1.6.10
NEW_CAS = 32  # of meta's ms with the flag E, which memcached has from 1.6.27
BINARY = 64
LOGIN = 128  # of the set that logs in
MD_TOKEN = 256  # of meta's md with a token, which memcached heeds from 1.6.13

GAT = 512  # of ASCII's gat and gats, which memcached has from 1.5.3
ALIVE = (
    1024  # no command: the server must just have answered, so that a close is about what follows
)

_STATUSES = {int(status): status for status in ResponseStatus}
_OK = ResponseStatus.OK
_DETAILS = {b"t": "ttl", b"s": "size", b"h": "hit_before", b"l": "last_access"}


def as_caller_error(error: Exception) -> UsageError:
    """Return what a kernel said about an argument as an error of the caller's family."""
    if isinstance(error, UsageError):
        return error
    kind = InvalidTypeError if isinstance(error, TypeError) else InvalidArgumentError
    return kind(str(error))


def server_error(status: int, text: bytes) -> tuple[ResponseStatus, ServerError]:
    """Return a refusal's status and error; one that no protocol knows breaks the exchange."""
    known = _STATUSES.get(status)
    if known is None:
        raise ReplyError(f"the server answered with an unknown status, 0x{status:04x}: {text!r}")
    words = text.decode("utf-8", "backslashreplace") or known.name
    return known, ServerError(words, status=known)


def get_response(key: Key, hit: tuple[int, bytes | None, int, int]) -> GetResponse:
    """Return the answer for a key, of what ``Reply.hit`` makes of the reply."""
    number, value, flags, cas = hit
    if number == 0 or number == 1:
        return one_get(key, value, flags, cas)
    status, error = server_error(number, value or b"")
    return failed_get(key, status, error)


class Probe:
    """What an exchange needs: `kinds` of headers, and how a connection is asked whether it knows.

    It is asked for `key`, with `flags` behind meta's; nobody stores anything under it.
    """

    __slots__ = ("flags", "key", "kinds")

    def __init__(self, kinds: int, key: bytes, flags: bytes = b"") -> None:
        self.kinds = kinds
        self.key = key
        self.flags = flags


class Exchange:
    """One request and its reply; a subclass knows what the reply means.

    `probe` is None where the request carries nothing that a server could take for a command.
    """

    __slots__ = ("probe", "reply", "request")
    __reduce_ex__ = refuse_copies
    __signature__ = declared

    def __init__(
        self, request: "list[ReadableBuffer]", reply: wire.Reply, probe: Probe | None = None
    ) -> None:
        self.request = request
        self.reply = reply
        self.probe = probe

    @property
    def done(self) -> bool:
        """Whether the reply is complete."""
        return self.reply.done

    def feed(self, data: "ReadableBuffer") -> int:
        """Take bytes of the reply; return how many: all, unless the reply ends inside them.

        Raises ``ReplyError``.
        """
        try:
            return self.reply.feed(data)
        except ValueError as error:
            raise ReplyError(str(error)) from None

    def result(self) -> Any:
        """Return what the reply means. Raises ``ReplyError`` if it answers something else."""
        try:
            return self._result()
        except ValueError as error:
            raise ReplyError(str(error)) from None

    def in_step(self) -> bool:
        """Return whether nothing of this can be left to come, now that there is a result."""
        return True

    def refused(self, line: bytes) -> Any:
        """Return what it means that the server answers each request with the same error line."""
        self.feed(line + b"\r\n")
        return self.result()

    def lost(self, error: OSError) -> Exception:
        """Return what it means that the channel failed while this was under way."""
        return error

    def _result(self) -> Any:
        """Return what the reply means; a ValueError says why it means nothing."""
        return None


class GetExchange(Exchange):
    """A get of one key, which the reply may name as `named` under `prefix`."""

    __slots__ = ("key", "named", "prefix")

    def __init__(
        self,
        request: "list[ReadableBuffer]",
        reply: wire.Reply,
        key: Key,
        named: Key,
        prefix: bytes,
        probe: Probe | None = None,
    ) -> None:
        self.request = request
        self.reply = reply
        self.probe = probe
        self.key = key
        self.named = named
        self.prefix = prefix

    def in_step(self) -> bool:
        return not self.reply.is_cut

    def _result(self) -> GetResponse:
        return get_response(self.key, self.reply.hit(self.named, self.prefix))


class MetaGetExchange(GetExchange):
    """A get of one key with all that only the meta protocol tells.

    `leases` is the protocol, where the reply may give a lease.
    """

    __slots__ = ("leases",)

    def __init__(
        self,
        request: "list[ReadableBuffer]",
        reply: wire.Reply,
        key: Key,
        named: Key,
        prefix: bytes,
        probe: Probe | None = None,
        leases: Any = None,
    ) -> None:
        GetExchange.__init__(self, request, reply, key, named, prefix, probe)
        self.leases = leases

    def abandoned(self, response: MetaResponse) -> Exchange | None:
        """Return what to send if the caller is gone that asked: it gives up the lease it won."""
        if self.leases is None or response.error is not None or not response.won:
            return None
        released: Exchange = self.leases.release(self.key, response)
        return released

    def _result(self) -> MetaResponse:
        number, value, flags, cas = self.reply.hit(self.named, self.prefix)
        row = self.reply.rows()[0]
        if number > 1:
            status, error = server_error(number, value or b"")
            return MetaResponse(self.key, status, error=error)
        details: dict[str, int | None] = {
            "won": row.marks & wire.codes.WON,
            "taken": row.marks & wire.codes.SENT,
            "stale": row.marks & wire.codes.STALE,
        }
        for token in row.line.split(b" ")[1:]:
            name = _DETAILS.get(token[:1])
            if name is not None:
                details[name] = _detail(name, token[1:])
        held = value if row.marks & wire.codes.HAS_VALUE else None
        return MetaResponse(self.key, _STATUSES[number], held, flags, cas, details)


def _detail(name: str, text: bytes) -> int:
    if len(text) > 20 or not text.removeprefix(b"-").isdigit():
        raise ValueError(f"{name} is not a number of at most 20 bytes: {text!r:.80}")
    return int(text)


class GetManyExchange(Exchange):
    """A get of many keys; the answers go into `found`.

    `aliases` is None if `keys` are as they were given. Otherwise it maps a key on the wire to the
    keys that were given for it, and `found` has all keys in the order given, and already the errors
    of those that cannot be sent.
    """

    __slots__ = ("aliases", "found", "keys", "prefix")

    def __init__(
        self,
        request: "list[ReadableBuffer]",
        reply: wire.Reply,
        found: dict[Any, GetResponse],
        keys: list[Any],
        prefix: bytes,
        aliases: dict[bytes, list[Key]] | None = None,
        probe: Probe | None = None,
    ) -> None:
        self.request = request
        self.reply = reply
        self.probe = probe
        self.found = found
        self.keys = keys
        self.prefix = prefix
        self.aliases = aliases

    def in_step(self) -> bool:
        # An error line in place of ASCII's values ends the reply of memcached itself, but a proxy
        # may answer the other keys behind it.
        return not self.reply.is_cut

    def refused(self, line: bytes) -> Any:
        # A quiet batch of another protocol would wait for what ends it.
        self.reply = wire.Reply(wire.codes.VALUES, 1)
        return Exchange.refused(self, line)

    def _result(self) -> Any:
        values, flags, cas, failures = self.reply.hits(self.keys, self.prefix)
        found = self.found if self.aliases is None else {}
        fill_gets(found, self.keys, values, flags, cas)
        if failures is not None:
            for at, (number, text) in failures.items():
                found[self.keys[at]] = failed_get(self.keys[at], *server_error(number, text))
        if self.aliases is not None:
            for wire_key, given in self.aliases.items():
                for key in given:
                    self.found[key] = _renamed(found[wire_key], key)
        return self.found


def _renamed(response: GetResponse, key: Key) -> GetResponse:
    if response.error is not None:
        return failed_get(key, response.status, response.error)
    return one_get(key, response.value, response.flags, response.cas)


class MutateExchange(Exchange):
    """A store, delete or touch of one key."""

    __slots__ = ("key",)

    def __init__(
        self,
        request: "list[ReadableBuffer]",
        reply: wire.Reply,
        key: Key,
        probe: Probe | None = None,
    ) -> None:
        self.request = request
        self.reply = reply
        self.probe = probe
        self.key = key

    def _result(self) -> MutateResponse:
        statuses, cas, failures = self.reply.outcomes(1)
        if failures is not None:
            return failed_mutate(self.key, *server_error(*failures[0]))
        return list_mutations([self.key], statuses, cas)[0]


class MutateManyExchange(Exchange):
    """A batch of stores or deletes; `faulty` has an answer for each place that was not sent."""

    __slots__ = ("faulty", "keys")

    def __init__(
        self,
        request: "list[ReadableBuffer]",
        reply: wire.Reply,
        keys: list[Any],
        faulty: dict[int, MutateResponse] | None = None,
        probe: Probe | None = None,
    ) -> None:
        self.request = request
        self.reply = reply
        self.probe = probe
        self.keys = keys
        self.faulty = faulty

    def refused(self, line: bytes) -> Any:
        self.feed((line + b"\r\n") * len(self.keys))
        return self.result()

    def _result(self) -> list[MutateResponse]:
        statuses, cas, failures = self.reply.outcomes(len(self.keys))
        answers: list[MutateResponse] = list_mutations(self.keys, statuses, cas)
        if failures is not None:
            for at, (number, text) in failures.items():
                answers[at] = failed_mutate(self.keys[at], *server_error(number, text))
        if self.faulty is not None:
            for at in sorted(self.faulty):
                answers.insert(at, self.faulty[at])
        return answers


class PartExchange(Exchange):
    """One shard's part of a batch: `part` of a ``batch.Batch``, which has the answers.

    The result is the status and the words of an error line in place of all answers, or None.
    """

    __slots__ = ("part",)

    def _set_up(self, part: Any, probe: Probe | None) -> "PartExchange":
        """Be new, in less time than an ``__init__`` takes."""
        self.request = part.request
        self.reply = part
        self.probe = probe
        self.part = part
        return self

    def in_step(self) -> bool:
        return not self.part.is_cut  # as for a get of many keys

    def refused(self, line: bytes) -> Any:
        reply = wire.Reply(wire.codes.LINES, 1)
        reply.feed(line + b"\r\n")
        row = reply.rows()[0]
        return row.status, row.value

    def _result(self) -> Any:
        return self.part.refusal


class CountExchange(Exchange):
    """An increment or decrement; `in_value` where the count is text in a value, as meta has it."""

    __slots__ = ("in_value", "key")

    def __init__(
        self,
        request: "list[ReadableBuffer]",
        reply: wire.Reply,
        key: Key,
        in_value: bool = False,
        probe: Probe | None = None,
    ) -> None:
        self.request = request
        self.reply = reply
        self.probe = probe
        self.key = key
        self.in_value = in_value

    def _result(self) -> CountResponse:
        row = self.reply.rows()[0]
        if row.marks & wire.codes.FAILED:
            status, error = server_error(row.status, row.value)
            return CountResponse(self.key, status, 0, error)
        if row.status != 0:
            return CountResponse(self.key, _STATUSES[row.status])
        if not self.in_value:
            return CountResponse(self.key, _OK, row.number)
        if row.marks & wire.codes.HAS_KEY:
            raise ValueError(f"the reply names a key that was not asked for: {row.key!r}")
        if len(row.value) > 20 or not row.value.isdigit() or int(row.value) >> 64:
            raise ValueError(f"a count is not a number below 2**64: {row.value!r:.80}")
        return CountResponse(self.key, _OK, int(row.value))


class ResponseExchange(Exchange):
    """An operation that is answered with a status alone, or with nothing."""

    __slots__ = ()

    def _result(self) -> Response:
        for row in self.reply.rows():
            if row.marks & wire.codes.FAILED:
                return Response(*server_error(row.status, row.value))
            if row.status != 0:
                return Response(_STATUSES[row.status])
        return Response(_OK)


class VersionExchange(Exchange):
    """A question for the server's version."""

    __slots__ = ("shard_id",)

    def __init__(
        self,
        request: "list[ReadableBuffer]",
        reply: wire.Reply,
        shard_id: int,
        probe: Probe | None = None,
    ) -> None:
        self.request = request
        self.reply = reply
        self.probe = probe
        self.shard_id = shard_id

    def _result(self) -> VersionResponse:
        row = self.reply.rows()[0]
        if row.marks & wire.codes.FAILED:
            status, error = server_error(row.status, row.value)
            return VersionResponse(status, {}, error)
        text = row.value.decode("utf-8", "backslashreplace")
        return VersionResponse(_OK, {self.shard_id: text})


class StatsExchange(Exchange):
    """A question for the server's statistics."""

    __slots__ = ("shard_id",)

    def __init__(
        self,
        request: "list[ReadableBuffer]",
        reply: wire.Reply,
        shard_id: int,
        probe: Probe | None = None,
    ) -> None:
        self.request = request
        self.reply = reply
        self.probe = probe
        self.shard_id = shard_id

    def _result(self) -> StatsResponse:
        entries: dict[str, str] = {}
        for row in self.reply.rows():
            if row.marks & wire.codes.FAILED or row.status != 0:
                status, error = server_error(row.status, row.value)
                return StatsResponse(status, {}, error)
            if row.key or row.value:  # not the end of the binary ones
                name = row.key.decode("utf-8", "backslashreplace")
                entries[name] = row.value.decode("utf-8", "backslashreplace")
        return StatsResponse(_OK, {self.shard_id: entries})
