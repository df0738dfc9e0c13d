"""A fleet in Consul: the instances of a service, by blocking queries of its HTTP interface.

The rules of blocking queries are those of Consul's own documentation, "Blocking Queries": the
index of a reply is sent with the next question, it begins anew at 0 when it goes backwards, it is
at least 1 otherwise, a reply is no proof of a change, and questions are limited in their rate.
"""

import ssl
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final
from urllib.parse import quote, urlencode

from ..._address import Address, address_text
from ..._kernels._args import shown
from ..address import DEFAULT_PORT, parse_address
from ..errors import InvalidArgumentError, InvalidTypeError
from ..fleet.shards import ShardState
from .entries import as_query, checked_seconds, state_of
from .http import (
    HttpSource,
    Piece,
    Reply,
    Request,
    Steps,
    Wait,
    checked_endpoint,
    checked_text,
    checked_tls,
    checked_token,
    parsed,
    said_in,
)
from .types import Answer, Server, SourceError

__all__ = ["ConsulSource"]

_PORT: Final = 8500
_IDENTITIES: Final = ("node", "service")
# The shortest time from one question to the next.
_PAUSE: Final = 0.2
_LONGEST_WAIT: Final = 600.0  # seconds; Consul takes no more
_HEALTH: Final = ("passing", "warning", "critical")


class ConsulSource(HttpSource):
    """The instances of a service in Consul, asked of the agent at `address`.

    An instance is a server. `identity` ``"node"``: its name is ``NODE/ID``, the node's name and the
    service's ID, which is its own on that node alone; ``"service"``: the ID, for those who give
    each instance another. Its address is the service's, or else the node's. Its state is that of a
    tag such as ``state=WRITE_ONLY``, or of the service's meta data under ``state``, and ``DOWN``
    while a check of it or of its node is critical, or warns where `only_passing`; maintenance is
    such a check. So a server that is ill keeps its place, and no key moves; one that is
    deregistered is gone.

    `tag` and `datacenter` choose instances; `token` is of an ACL. `wait`: seconds for which Consul
    holds a question back, up to 600. `timeout`: seconds for the reply to come after that. Answers
    have no version, for Consul's index may go backwards.
    """

    def __init__(
        self,
        address: str,
        service: str,
        *,
        tag: str | None = None,
        datacenter: str | None = None,
        token: str | None = None,
        only_passing: bool = True,
        identity: str = "node",
        tls: ssl.SSLContext | None = None,
        wait: float = 60.0,
        timeout: float = 10.0,
    ) -> None:
        self._target: Address = checked_endpoint("address", address, _PORT)
        self._service = checked_text("service", service)
        self._token = None if token is None else checked_token("token", token)
        if identity not in _IDENTITIES:
            raise InvalidArgumentError(
                f"identity must be 'node' or 'service', got {shown(identity)}"
            )
        self._identity = identity
        if not isinstance(only_passing, bool):
            raise InvalidTypeError(f"only_passing must be a bool, got {shown(only_passing)}")
        self._ill = _HEALTH[1:] if only_passing else _HEALTH[2:]
        self._held = checked_seconds("wait", wait)
        if self._held > _LONGEST_WAIT:
            raise InvalidArgumentError(f"wait must be in (0, 600] seconds, got {shown(wait)}")
        chosen = {"tag": tag, "dc": datacenter}
        self._chosen = {
            name: checked_text({"dc": "datacenter"}.get(name, name), value)
            for name, value in chosen.items()
            if value is not None
        }
        # All that chooses and names servers, for a kept file must not be taken for another's.
        query = {"tag": tag, "datacenter": datacenter, "identity": identity}
        if identity == _IDENTITIES[0]:
            del query["identity"]
        name = f"consul://{address_text(self._target)}/{service}{as_query(query)}"
        super().__init__(name, checked_tls(tls), checked_seconds("timeout", timeout))

    def _steps(self, closing: threading.Event) -> Steps:
        index = 0
        while True:
            began = monotonic()
            # A held question takes up to a sixteenth longer, lest all come at once.
            held = self._held * 17 / 16 if index else 0.0
            with self._asking(closing, self._target, self._request(index)) as question:
                piece = yield Wait(question, began + held + self._timeout)
            reply = self._checked(piece)
            told = self._index(reply)
            index = 0 if told < index else max(told, 1)
            yield Answer(None, self._servers(reply.body))
            if monotonic() < began + _PAUSE:
                yield Wait(None, began + _PAUSE)

    def _request(self, index: int) -> Request:
        query = dict(self._chosen)
        if index:
            query |= {"index": str(index), "wait": f"{max(round(self._held * 1000), 1)}ms"}
        path = f"/v1/health/service/{quote(self._service, safe='')}"
        headers = {"Accept": "application/json"}
        if self._token is not None:
            headers["X-Consul-Token"] = self._token
        return Request("GET", f"{path}?{urlencode(query)}" if query else path, headers)

    def _checked(self, piece: Piece) -> Reply:
        where = address_text(self._target)
        if not isinstance(piece, Reply):
            raise SourceError(f"{self._name}: {where} did not answer within {self._timeout:g} s")
        if piece.status != 200:
            said = said_in(piece.body)
            raise SourceError(f"{self._name}: {where} answered with status {piece.status}: {said}")
        return piece

    def _index(self, reply: Reply) -> int:
        told = reply.headers.get("x-consul-index", "")
        if not (told.isascii() and told.isdigit() and len(told) <= 20):
            raise SourceError(
                f"{self._name}: expected a number as X-Consul-Index, got {shown(told)}"
            )
        return int(told)

    def _servers(self, body: bytes) -> tuple[Server, ...]:
        found: dict[str, Server] = {}
        for each in _of(list, parsed(self._name, body), self._name, "instances"):
            server = self._server(_of(dict, each, self._name, "an instance"))
            if server.name in found:
                hint = ": take identity='node'" if self._identity == "service" else ""
                raise SourceError(f"{self._name}: {server.name!r} is there twice{hint}")
            found[server.name] = server
        return tuple(found.values())

    def _server(self, told: dict[str, Any]) -> Server:
        service = _of(dict, told.get("Service"), self._name, "Service")
        node = _of(dict, told.get("Node"), self._name, "Node")
        name = _of(str, service.get("ID"), self._name, "Service.ID")
        if self._identity == "node":
            name = f"{_of(str, node.get('Node'), self._name, 'Node.Node')}/{name}"
        where = f"{self._name}, {name!r}"
        host = _of(str, service.get("Address") or node.get("Address"), where, "an address")
        port = _of(int, service.get("Port") or DEFAULT_PORT, where, "Service.Port")
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            parse_address(address)
        except InvalidArgumentError as error:
            raise SourceError(f"{where}: {error}") from None
        state = self._state(where, service)
        if any(
            self._is_ill(where, each) for each in _of(list, told.get("Checks"), where, "Checks")
        ):
            state = ShardState.DOWN
        return Server(name, address, state)

    def _is_ill(self, where: str, check: Any) -> bool:
        status = _of(dict, check, where, "a check").get("Status")
        if status not in _HEALTH:
            raise SourceError(
                f"{where}: a check is one of {', '.join(_HEALTH)}, got {shown(status)}"
            )
        return status in self._ill

    def _state(self, where: str, service: dict[str, Any]) -> ShardState:
        tags: Sequence[Any] = _of(list, service.get("Tags") or [], where, "Tags")
        for tag in tags:
            if isinstance(tag, str) and tag.lower().startswith("state="):
                return state_of(f"{where}, tag {tag!r}", tag[len("state=") :])
        meta = _of(dict, service.get("Meta") or {}, where, "Meta")
        return state_of(f"{where}, Meta", meta["state"]) if "state" in meta else ShardState.ACTIVE


def _of(kind: type, value: Any, where: str, what: str) -> Any:
    """Return what the reply has in a place, if it is of the kind that Consul has there."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)) or value == "":
        raise SourceError(f"{where}: expected {what} as a {kind.__name__}, got {shown(value)}")
    return value
