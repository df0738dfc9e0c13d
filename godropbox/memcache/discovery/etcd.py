"""A fleet in etcd, by its JSON gateway: a prefix with a key for each server, or one key of JSON.

The gateway is etcd's own since 3.4, on the port of its clients. What it does besides: bytes are
base64 in both directions, 64-bit numbers are strings, fields that are zero are absent. A watch is
silent while its server hangs, and after it was told that its revisions are compacted; so the keys
are read again each ``refresh`` seconds.
"""

import base64
import json
import random
import ssl
import threading
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any, Final

from ..._address import Address, address_text
from ..._kernels._args import shown
from ..errors import InvalidArgumentError, InvalidTypeError
from ..fleet.shards import ShardState
from .entries import (
    STATES,
    checked_name,
    checked_seconds,
    checked_state,
    is_server_name,
    list_with_state,
    server_of,
    servers_of,
    states_of,
    states_with,
    with_states,
)
from .http import (
    Asking,
    ClosedError,
    HttpSource,
    Problem,
    Question,
    Reply,
    Request,
    Steps,
    Wait,
    checked_endpoint,
    checked_text,
    checked_tls,
    checked_token,
    is_token,
    parsed,
    said_in,
)
from .types import Answer, Server, SourceError

__all__ = ["EtcdSource"]

_PORT: Final = 2379
_UNAUTHENTICATED: Final = 16  # gRPC's codes
_FAILED_PRECONDITION: Final = 9
# A watch that ends earlier than this after the keys were read is a failure, lest it be begun again
# and again without a pause.
_BRIEF: Final = 1.0
_LONGEST_PAUSE: Final = 0.05


class _RejectedTokenError(SourceError):
    """The token has expired, or the server has forgotten it."""


class EtcdSource(HttpSource):
    """A fleet in etcd 3.4 or later.

    `endpoints` are addresses such as ``"etcd-1:2379"``, asked in turn. `key` ends in a slash where
    it is a prefix: each key under it is a server, named by the rest of the key, with its address
    or ``{"address": ..., "state": ...}`` as value; names with a dot in front are no servers, and
    ``PREFIX.states`` has the states that operators set. Otherwise it is one key that holds
    ``{"servers": [{"name", "address", "state"}, ...]}``.

    `user` and `password` get a token, which is renewed; `token` is one from elsewhere. `timeout`:
    seconds for one question. `refresh`: seconds after which the keys are read again, as a watch
    that hangs is silent. A version is the revision of the last change that was seen, or of the
    store when it was read.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str],
        key: str,
        *,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = 10.0,
        refresh: float = 30.0,
    ) -> None:
        self._endpoints = _checked_endpoints(endpoints)
        self._key = checked_text("key", key)
        if (user is None) is not (password is None):
            raise InvalidArgumentError("user and password must be given together, got one of them")
        if user is not None and token is not None:
            raise InvalidArgumentError("token must be None where a user is given, got both")
        self._user = None if user is None else checked_text("user", user)
        self._password = None if password is None else checked_text("password", password)
        self._given = None if token is None else checked_token("token", token)
        self._token: str | None = self._given
        self._refresh = checked_seconds("refresh", refresh)
        self._is_prefix = key.endswith("/")
        self._at = 0
        name = "etcd://" + ",".join(map(address_text, self._endpoints))
        name += f"/{key}"
        super().__init__(name, checked_tls(tls), checked_seconds("timeout", timeout))

    def set_state(self, name: str, state: ShardState | None) -> None:
        """Set the state of the server `name`, for everyone; None takes back what was set.

        It is written only if nobody else has written meanwhile, else read and tried again, so
        operators lose nothing of each other's. May be called from any thread. Raises
        ``InvalidArgumentError`` for a name that is no server's, and ``SourceError`` where it could
        not be done in the source's timeout.
        """
        closing = self._closing
        self._run(self._setting(closing, checked_name(name), checked_state(state)), closing)

    def _steps(self, closing: threading.Event) -> Steps:
        failures: list[SourceError] = []
        while True:
            target = self._endpoints[self._at % len(self._endpoints)]
            try:
                yield from self._follow(closing, target, failures)
            except SourceError as error:
                self._next_endpoint(error, failures)

    def _next_endpoint(self, error: SourceError, failures: list[SourceError]) -> None:
        """Go on to the next endpoint; raise when none is left that has not failed."""
        if isinstance(error, ClosedError):
            raise error
        self._at += 1
        if isinstance(error, _RejectedTokenError):
            self._token = self._given
        failures.append(error)
        if len(failures) >= len(self._endpoints):
            if len(failures) == 1:
                raise error
            said = "; ".join(str(each).removeprefix(f"{self._name}: ") for each in failures)
            raise SourceError(f"{self._name}: no endpoint serves: {said}") from error

    def _follow(
        self, closing: threading.Event, target: Address, failures: list[SourceError]
    ) -> Steps:
        """Read the keys and watch them, until they have to be read again."""
        began = monotonic()
        values, revision = yield from self._range(closing, target)
        tree = _Tree(self._name, self._key, self._is_prefix)
        tree.put(values)
        failures.clear()
        yield tree.said(revision)
        wanted: dict[str, Any] = {**self._keys(), "start_revision": str(revision + 1)}
        body = json.dumps({"create_request": wanted}).encode()
        request = Request("POST", "/v3/watch", self._headers(), body)
        try:
            with self._asking(closing, target, request, lines=True) as watch:
                yield from self._watched(watch, tree, target, began + self._refresh)
        except SourceError as error:
            if monotonic() - began < _BRIEF or isinstance(error, ClosedError):
                raise
            self._at += 1  # another one may serve

    def _watched(self, watch: Question, tree: "_Tree", target: Address, until: float) -> Steps:
        latest: int | None = None
        while True:
            try:
                # What is there already is one change.
                piece = yield Wait(watch, until if latest is None else 0.0)
            except SourceError:
                if latest is not None:
                    yield tree.said(latest)
                raise
            if isinstance(piece, Reply):
                if piece.status != 200:
                    raise self._refused(target, piece)
                continue
            if not isinstance(piece, bytes):
                if latest is None:
                    return
                yield tree.said(latest)
                latest = None
                continue
            if not piece.strip():
                continue
            message = parsed(f"{self._name}, watch", piece)
            result = message.get("result") if isinstance(message, dict) else None
            if not isinstance(result, dict):
                raise self._error(target, message, piece)
            if result.get("canceled"):
                if "compact_revision" in result:
                    return
                reason = str(result.get("cancel_reason", "no reason given"))
                kind = _RejectedTokenError if "Unauthenticated" in reason else SourceError
                raise kind(f"{self._name}: the watch was refused: {reason}")
            revision = tree.apply(result.get("events", ()))
            latest = latest if revision is None else revision

    def _keys(self) -> dict[str, str]:
        """Return the range of keys, as requests have it."""
        keys = {"key": _base64(self._key.encode())}
        if self._is_prefix:
            keys["range_end"] = _base64(self._key[:-1].encode() + b"0")  # what follows a slash
        return keys

    def _range(
        self, closing: threading.Event, target: Address
    ) -> Asking[tuple[list["_Value"], int]]:
        told = yield from self._call(closing, target, "/v3/kv/range", self._keys())
        what = f"{self._name}, range"
        values = told.get("kvs", [])
        if not isinstance(values, list):
            raise SourceError(f"{what}: expected a list of keys, got {shown(values)}")
        return [_Value(what, each) for each in values], _revision(what, told)

    def _call(
        self, closing: threading.Event, target: Address, path: str, asked: dict[str, Any]
    ) -> Asking[dict[str, Any]]:
        """Ask and return what is told; with a new token where the server rejects the old one."""
        if self._user is not None and self._token is None:
            yield from self._log_in(closing, target)
        try:
            return (yield from self._told(closing, target, path, asked))
        except _RejectedTokenError:
            if self._user is None:
                raise
        yield from self._log_in(closing, target)
        return (yield from self._told(closing, target, path, asked))

    def _log_in(self, closing: threading.Event, target: Address) -> Asking[None]:
        self._token = None
        asked = {"name": self._user, "password": self._password}
        try:
            told = yield from self._told(closing, target, "/v3/auth/authenticate", asked)
        except _NotEnabledError:
            return  # as etcd's own clients do: it is told to all before it is enabled
        token = told.get("token")
        if not is_token(token):
            raise SourceError(f"{self._name}: {address_text(target)} gave no token")
        self._token = token

    def _told(
        self, closing: threading.Event, target: Address, path: str, asked: dict[str, Any]
    ) -> Asking[dict[str, Any]]:
        request = Request("POST", path, self._headers(), json.dumps(asked).encode())
        reply = yield from self._reply(closing, target, request)
        if reply.status != 200:
            raise self._refused(target, reply)
        told = parsed(f"{self._name}, {path}", reply.body)
        if not isinstance(told, dict) or "header" not in told:
            raise self._error(target, told, reply.body)
        return told

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = self._token
        return headers

    def _refused(self, target: Address, reply: Reply) -> SourceError:
        try:
            told = json.loads(reply.body)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            said = said_in(reply.body)
            return SourceError(
                f"{self._name}: {address_text(target)} answered with status {reply.status}: {said}"
            )
        return self._error(target, told, reply.body)

    def _error(self, target: Address, told: Any, data: bytes) -> SourceError:
        """Return the error that a server tells: 3.4 and 3.5 name its fields differently."""
        fields = told.get("error", told) if isinstance(told, dict) else None
        if not isinstance(fields, dict):
            fields = told if isinstance(told, dict) else {}
        text = fields.get("message") or fields.get("error")
        code = fields.get("code", fields.get("grpc_code"))
        said = text if isinstance(text, str) else said_in(data)
        kind: type[SourceError] = SourceError
        if code == _UNAUTHENTICATED or "invalid auth token" in said:
            kind = _RejectedTokenError
        elif code == _FAILED_PRECONDITION and "not enabled" in said:
            kind = _NotEnabledError
        return kind(f"{self._name}: {address_text(target)} answered: {said}")

    def _setting(
        self, closing: threading.Event, name: str, state: ShardState | None
    ) -> Asking[None]:
        until = monotonic() + self._timeout
        failures: list[SourceError] = []
        while True:
            target = self._endpoints[self._at % len(self._endpoints)]
            try:
                if (yield from self._set_once(closing, target, name, state)):
                    return
                failures.clear()
            except SourceError as error:
                self._next_endpoint(error, failures)
            if monotonic() > until:
                raise SourceError(
                    f"{self._name}: the state of {name!r} was not set within {self._timeout:g} s, "
                    "as others went on writing"
                )
            yield Wait(None, monotonic() + random.random() * _LONGEST_PAUSE)

    def _set_once(
        self, closing: threading.Event, target: Address, name: str, state: ShardState | None
    ) -> Asking[bool]:
        """Set a state; return whether nobody else wrote meanwhile."""
        values, _ = yield from self._range(closing, target)
        if self._is_prefix:
            key = f"{self._key}{STATES}"
            tree = _Tree(self._name, self._key, True)
            tree.put(values)
            held = tree.states
            data = held.data if held is not None else b""
            text = states_with(self._name, data, tree.names(), name, state)
        else:
            key = self._key
            held = values[0] if values else None
            if held is None:
                raise SourceError(f"{self._name}: there is no such key")
            text = list_with_state(self._name, held.data, name, state)
        if text is None:
            return True
        put: dict[str, Any] = {"key": _base64(key.encode()), "value": _base64(text)}
        if held is not None:
            put["ignore_lease"] = True  # without it, a put takes the key from its lease
        compared = {
            "key": put["key"],
            "target": "MOD",
            "result": "EQUAL",
            "mod_revision": str(held.revision if held is not None else 0),
        }
        asked = {"compare": [compared], "success": [{"request_put": put}]}
        told = yield from self._call(closing, target, "/v3/kv/txn", asked)
        return told.get("succeeded") is True


class _NotEnabledError(SourceError):
    """The server has no logins."""


class _Value:
    """A key with its value and the revision that wrote it."""

    __slots__ = ("data", "key", "revision")

    def __init__(self, what: str, told: Any) -> None:
        if not isinstance(told, dict):
            raise SourceError(f"{what}: expected a key and a value, got {shown(told)}")
        self.key = _unbase64(what, told.get("key"))
        self.data = _unbase64(what, told.get("value", ""))
        self.revision = _number(what, told.get("mod_revision"))


class _Tree:
    """The keys of a fleet as they are, by what was read and what a watch told since."""

    def __init__(self, name: str, key: str, is_prefix: bool) -> None:
        self._name = name
        self._key = key.encode()
        self._is_prefix = is_prefix
        self._values: dict[bytes, _Value] = {}
        # What is understood of the values, until they change.
        self._servers: dict[bytes, Server] = {}
        self.states: _Value | None = None

    def put(self, values: Iterable[_Value]) -> None:
        for each in values:
            self._put(each)

    def apply(self, events: Any) -> int | None:
        """Apply what a watch tells; return the latest revision of it, None if it told nothing."""
        what = f"{self._name}, watch"
        latest = None
        for each in _listed(what, events):
            value = _Value(what, each.get("kv") if isinstance(each, dict) else None)
            if each.get("type") == "DELETE":
                self._forget(value.key)
            else:
                self._put(value)
            latest = max(latest or 0, value.revision)
        return latest

    def _put(self, value: _Value) -> None:
        self._forget(value.key)
        self._values[value.key] = value
        if value.key == self._key + STATES.encode():
            self.states = value

    def _forget(self, key: bytes) -> None:
        self._values.pop(key, None)
        self._servers.pop(key, None)
        if key == self._key + STATES.encode():
            self.states = None

    def names(self) -> set[str]:
        """Return the names of all servers."""
        named = (key[len(self._key) :].decode("utf-8", "replace") for key in self._values)
        return {name for name in named if is_server_name(name)}

    def said(self, revision: int) -> Answer | Problem:
        """Return what the keys say, or what is wrong with them."""
        try:
            if not self._is_prefix:
                return self._list(revision)
            servers = [self._server(key) for key in sorted(self._values) if self._names(key)]
            where = f"{self._name}{STATES}"
            states = states_of(where, self.states.data) if self.states is not None else {}
            return Answer(revision, with_states(servers, states))
        except SourceError as error:
            return Problem(error)

    def _list(self, revision: int) -> Answer:
        value = self._values.get(self._key)
        if value is None:
            raise SourceError(f"{self._name}: there is no such key")
        return Answer(revision, servers_of(self._name, value.data), is_ordered=True)

    def _names(self, key: bytes) -> bool:
        return is_server_name(key[len(self._key) :].decode("utf-8", "replace"))

    def _server(self, key: bytes) -> Server:
        found = self._servers.get(key)
        if found is None:
            rest = key[len(self._key) :]
            try:
                name = rest.decode()
            except UnicodeDecodeError:
                raise SourceError(f"{self._name}: a key must be UTF-8, got {shown(key)}") from None
            found = server_of(f"{self._name}{name}", name, self._values[key].data)
            self._servers[key] = found
        return found


def _checked_endpoints(value: Any) -> list[Address]:
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, Sequence) or isinstance(given, (bytes, bytearray)):
        raise InvalidTypeError(
            f"endpoints must be an address or a list of them, got {shown(value)}"
        )
    found = [checked_endpoint("endpoints", each, _PORT) for each in given]
    if not found:
        raise InvalidArgumentError("endpoints must name at least one address, got none")
    return found


def _listed(what: str, value: Any) -> Iterable[Any]:
    if not isinstance(value, (list, tuple)):
        raise SourceError(f"{what}: expected a list, got {shown(value)}")
    return value


def _revision(what: str, told: dict[str, Any]) -> int:
    header = told["header"]
    if not isinstance(header, dict):
        raise SourceError(f"{what}: expected a header, got {shown(header)}")
    return _number(what, header.get("revision"))


def _number(what: str, value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise SourceError(f"{what}: expected a revision, got {shown(value)}")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unbase64(what: str, value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise SourceError(f"{what}: expected base64, got {shown(value)}") from None
