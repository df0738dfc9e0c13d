"""pylibmc's ``Client``: servers as text, a mapping, behaviors by name."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ._behaviors import Behaviors
from ._client import SERVER_TCP, SERVER_UDP, SERVER_UNIX, checked_servers, client
from .consts import (
    BehaviorDict,
    all_behaviors,
    all_callbacks,
    distributions,
    distributions_rvs,
    hashers,
    hashers_rvs,
)

if TYPE_CHECKING:
    from typing import Self

    from ...memcache import ShardFunction

__all__ = ["Client", "shard_function", "translate_server_spec", "translate_server_specs"]

_Key = str | bytes
_Spec = tuple[int, str, int, int]

_MISSING: Final = object()
_KNOWN: Final = frozenset([*all_behaviors, *all_callbacks, "_retry_timeout"])


def translate_server_spec(server: str, port: int = 11211, weight: int = 1) -> _Spec:
    """Return the type, host, port and weight of a server given as text.

    >>> translate_server_spec("127.0.0.1:11212:3")
    (1, '127.0.0.1', 11212, 3)
    >>> translate_server_spec("[::1]")
    (1, '::1', 11211, 1)
    >>> translate_server_spec("/run/memcached.sock", weight=2)
    (4, '/run/memcached.sock', 0, 2)
    """
    if not isinstance(server, str):
        raise TypeError(f"a server must be str, such as 'host:port', got {server!r}")
    if server.startswith("/"):
        return SERVER_UNIX, server, 0, int(weight)
    kind = SERVER_TCP
    if server.startswith("udp:"):
        kind, server = SERVER_UDP, server[4:]
    if server.startswith("["):
        host, bracket, more = server[1:].partition("]")
        if not bracket or not (more == "" or more.startswith(":")):
            raise ValueError(f"a server must be 'host:port:weight', got {server!r}")
        more = more[1:]
    else:
        host, _, more = server.partition(":")
    given_port, _, given_weight = more.partition(":")
    return kind, host, int(given_port or port), int(given_weight or weight)


def translate_server_specs(servers: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Return servers as tuples: those that are text translated, tuples of three as they are."""
    found: list[tuple[Any, ...]] = []
    for server in servers:
        is_tuple = isinstance(server, tuple) and len(server) in (3, 4)
        found.append(server if is_tuple else translate_server_spec(server))
    return found


def _numeric(behaviors: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return behaviors with numbers for the names of hashes and distributions."""
    if behaviors is None:
        return None
    unknown = sorted(str(name) for name in behaviors if name not in _KNOWN)
    if unknown:
        raise ValueError(f"unknown behavior names: {', '.join(unknown)}")
    found = dict(behaviors)
    if "_retry_timeout" in found:
        old = found.pop("_retry_timeout")
        found.setdefault("retry_timeout", old)
    for name, numbers in (("hash", hashers), ("distribution", distributions)):
        if found.get(name) is not None:
            found[name] = numbers[found[name]]
    if found.get("ketama_hash") in hashers:
        found["ketama_hash"] = hashers[found["ketama_hash"]]
    return found


def shard_function(
    behaviors: Mapping[str, Any] | None = None, servers: Iterable[Any] = ()
) -> "ShardFunction":
    """Return the ``shard_func`` with which our own ``Client`` finds the keys of one of these.

    `behaviors` are those of the client; `servers` matter where they have weights.
    """
    settings = Behaviors(False)
    settings.set(_numeric(behaviors) or {})
    weights = checked_servers(translate_server_specs(servers)) if servers else []
    settings.heed_weights(weights)
    return settings.function(weights)


class Client(client):
    """A client of memcached servers, as ``pylibmc.Client`` is one. Threads may share it.

    `servers` are ``"host"``, ``"host:port"``, ``"host:port:weight"``, ``"[IPv6]:port"`` or the path
    of a Unix socket, or tuples of a type, a host and a port. `binary` chooses the binary protocol,
    which a login with `username` and `password` needs. `behaviors` are by name; one that is unknown
    raises ``ValueError``, one that has no meaning here ``NotSupportedError``, by its name.
    """

    def __init__(
        self,
        servers: Iterable[Any],
        behaviors: Mapping[str, Any] | None = None,
        binary: bool = False,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        if isinstance(servers, (str, bytes)):
            raise TypeError(f"servers must be a list of servers, got {servers!r}")
        self.binary = binary
        self.addresses = list(servers)
        super().__init__(
            translate_server_specs(self.addresses), binary, username, password, _numeric(behaviors)
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.addresses!r}, binary={self.binary!r})"

    def __str__(self) -> str:
        addresses = ", ".join(map(str, self.addresses))
        return f"<{type(self).__name__} for {addresses}, binary={self.binary!r}>"

    def clone(self) -> "Self":
        """Return a client of the same servers, with behaviors of its own."""
        other = super().clone()
        other.addresses = list(self.addresses)
        other.binary = self.binary
        return other

    # A mapping

    def __getitem__(self, key: _Key) -> Any:
        value = self.get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: _Key, value: Any) -> None:
        if not self.set(key, value):
            raise KeyError(f"failed setting {key!r}")

    def __delitem__(self, key: _Key) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __contains__(self, key: _Key) -> bool:
        return self.get(key, _MISSING) is not _MISSING

    # Behaviors

    def get_behaviors(self) -> BehaviorDict:
        """Return the behaviors, with the names of the hash and the distribution."""
        values = super().get_behaviors()
        values["hash"] = hashers_rvs[values["hash"]]
        values["distribution"] = distributions_rvs[values["distribution"]]
        return BehaviorDict(self, values)

    def set_behaviors(self, behaviors: Mapping[str, Any]) -> None:
        """Set some behaviors by name."""
        super().set_behaviors(_numeric(behaviors) or {})

    @property
    def behaviors(self) -> BehaviorDict:
        """The behaviors, by name; setting one sets it on the client."""
        return self.get_behaviors()

    @behaviors.setter
    def behaviors(self, values: Mapping[str, Any]) -> None:
        self.set_behaviors(values)
