"""What pylibmc's behaviors mean here: the options of the engine, which they make."""

from functools import partial
from pickle import HIGHEST_PROTOCOL
from typing import Any, Final
from weakref import finalize

from ...memcache import (
    AsciiProtocol,
    BinaryProtocol,
    Connection,
    Credentials,
    ShardedClient,
    ShardOptions,
    connect,
)
from ...memcache.fleet.libmemcached import DISTRIBUTIONS, HASHES, Libmemcached
from ...memcache.fleet.manager import PooledShardManager, all_active
from ...resource_pool import MultiResourcePool
from ._errors import Error, NotSupportedError
from .consts import all_behaviors, distributions, distributions_rvs, hashers, hashers_rvs

__all__ = ["Behaviors", "Held", "Server"]

Server = tuple[str, int]
"""An address, as ``memcache.connect`` takes it, and a weight."""

_DEFAULTS: Final = {
    **dict.fromkeys(all_behaviors, 0),
    "connect_timeout": 4000,
    "retry_timeout": 2,
    "remove_failed": 5,
    "failure_limit": 5,
    "_io_msg_watermark": 500,
    "_io_bytes_watermark": 66560,
    "_poll_timeout": 5000,
    "_socket_send_size": 4194304,
    "_socket_recv_size": 131072,
    "pickle_protocol": -1,
}
_SWITCHES: Final = frozenset(
    ["auto_eject", "cas", "no_block", "tcp_keepalive", "tcp_nodelay", "verify_keys"]
)
_LACKING: Final = {
    "buffer_requests": "a write is sent at once, many by set_multi",
    "num_replicas": "a key is on one server",
    "_hash_with_prefix_key": "the server is chosen by the key without its namespace",
    "_noreply": "every reply is read",
    "_sort_hosts": "servers are numbered in the order in which they are given",
}
_LEAST: Final = {"remove_failed": 1, "failure_limit": 0, "retry_timeout": 1, "dead_timeout": 0}
# What the values and the keys look like; all others make another engine.
_OF_VALUES: Final = frozenset(["cas", "pickle_protocol", "verify_keys"])
_MAX_NAMESPACE: Final = 127
_NEVER: Final = 1e8  # seconds


class Behaviors:
    """The behaviors of one client, and what follows from them.

    `values` are the numbers, by pylibmc's names; `prefix` is the namespace.
    """

    def __init__(self, is_binary: bool) -> None:
        self.values: dict[str, int] = dict(_DEFAULTS)
        self.prefix = b""
        self._is_binary = is_binary
        self._ring_hash = "default"

    def copy(self) -> "Behaviors":
        """Return behaviors that can be changed on their own."""
        other = Behaviors(self._is_binary)
        other.values = dict(self.values)
        other.prefix = self.prefix
        other._ring_hash = self._ring_hash
        return other

    def set(self, given: Any) -> bool:
        """Set some behaviors; return whether that takes another engine.

        Raises ``TypeError`` for a value that is no int, ``NotSupportedError`` for one that has no
        meaning here, and ``Error`` or ``ValueError`` for one that is out of range.
        """
        before = self._key()
        for name in all_behaviors:
            if name in given:
                value = given[name]
                if not isinstance(value, int):
                    kind = type(value).__name__
                    raise TypeError(f"behavior {name} must be int, not {kind}")
                self._set(name, value)
        if "namespace" in given:
            self._set_namespace(given["namespace"])
        return self._key() != before

    def _key(self) -> tuple[Any, ...]:
        values = tuple(self.values[name] for name in all_behaviors if name not in _OF_VALUES)
        return *values, self.prefix, self._ring_hash

    def _set(self, name: str, value: int) -> None:
        values = self.values
        if name in _LACKING and value:
            raise NotSupportedError(f"behavior {name!r} must be 0, got {value}: {_LACKING[name]}")
        if value < _LEAST.get(name, value):
            raise Error(f"behavior {name!r} must be at least {_LEAST[name]}, got {value}")
        if name == "verify_keys" and value and self._is_binary:
            raise Error("behavior 'verify_keys' must be 0 with the binary protocol, got 1")
        if name == "hash":
            self._set_hash(value)
        elif name == "ketama":
            self._set_distribution("consistent ketama" if value else "modula")
        elif name == "ketama_weighted":
            if value:
                self._set_hash(hashers["md5"])
            self._set_distribution("consistent weighted" if value else "consistent ketama")
        elif name == "distribution":
            wanted = distributions_rvs.get(value, str(value))
            if wanted not in DISTRIBUTIONS:
                raise _no_such(name, wanted, DISTRIBUTIONS)
            self._set_distribution(wanted)
        elif name in ("remove_failed", "failure_limit"):
            values["remove_failed"] = values["failure_limit"] = value
            if name == "remove_failed":
                values["auto_eject"] = 1
        elif name != "ketama_hash":  # which libmemcached overrides with the hash
            values[name] = int(bool(value)) if name in _SWITCHES else int(value)
            if name == "pickle_protocol" and not -1 <= value <= HIGHEST_PROTOCOL:
                raise ValueError(
                    f"behavior {name!r} must be in [-1, {HIGHEST_PROTOCOL}], got {value}"
                )

    def _set_hash(self, value: int) -> None:
        wanted = hashers_rvs.get(value, str(value))
        if wanted not in HASHES:
            raise _no_such("hash", wanted, tuple(HASHES))
        self.values["hash"] = self.values["ketama_hash"] = value

    def _set_distribution(self, name: str) -> None:
        self.values["distribution"] = distributions[name]
        self.values["ketama"] = int(name != "modula")
        self.values["ketama_weighted"] = int(name == "consistent weighted")
        self._ring_hash = hashers_rvs[self.values["hash"]]

    def heed_weights(self, servers: list[Server]) -> None:
        """Weight the ring if a server has a weight, as libmemcached does when it is given one."""
        if self.values["distribution"] and any(weight > 1 for _, weight in servers):
            self.values["ketama_weighted"] = 1

    def _set_namespace(self, value: Any) -> None:
        if isinstance(value, str):
            value = value.encode()
        if not isinstance(value, bytes):
            kind = type(value).__name__
            raise TypeError(f"behavior namespace must be bytes or str, not {kind}")
        if len(value) > _MAX_NAMESPACE:
            raise Error(
                f"behavior 'namespace' must be at most {_MAX_NAMESPACE} bytes, got {len(value)}"
            )
        if not self._is_binary and any(byte <= 0x20 or byte == 0x7F for byte in value):
            raise ValueError(f"bad key provided: {value!r} has blanks or control characters")
        self.prefix = value

    # What follows

    def timeout(self) -> float | None:
        """Return the seconds for a whole operation, None for no limit."""
        parts = [self.values["send_timeout"], self.values["receive_timeout"]]
        micros = sum(part for part in parts if part > 0)
        limits = [micros / 1e6] if micros else []
        if self.values["_poll_timeout"] > 0:
            limits.append(self.values["_poll_timeout"] / 1e3)
        return min(limits) if limits else None

    def options(self, auth: Credentials | None) -> ShardOptions:
        """Return the options of the servers."""
        values = self.values
        timeout = self.timeout()
        connect_timeout = values["connect_timeout"] / 1e3
        if connect_timeout <= 0:
            connect_timeout = timeout or _NEVER
        removes = bool(values["auto_eject"]) and values["distribution"] != 0
        wait = values["retry_timeout"]
        if removes and values["dead_timeout"]:
            wait = values["dead_timeout"]
        return ShardOptions(
            timeout=timeout,
            connect_timeout=connect_timeout,
            auth=auth,
            eject_after=max(values["failure_limit"], 1) if removes else 1,
            retry_after=float(wait),
            max_retry_after=float(wait),
            retry_jitter=0.0,
            ejected="next" if removes else "miss",
        )

    def function(self, servers: list[Server]) -> Libmemcached:
        """Return the shard function of the servers."""
        return Libmemcached(
            bool(self.values["distribution"]),
            hashers_rvs[self.values["hash"]],
            self._ring_hash,
            dict(servers) if self.values["ketama_weighted"] else None,
        )

    def engine(self, servers: list[Server], auth: Credentials | None) -> ShardedClient:
        """Return a client of the servers, which closes its connections when it is collected."""
        function = self.function(servers)
        options = self.options(auth)
        pool = options.pool_options(partial(_open, options), Connection.close)
        manager = PooledShardManager(function, options, MultiResourcePool(pool))
        manager.update_shard_states(all_active([address for address, _ in servers]))
        protocol = BinaryProtocol if self._is_binary else AsciiProtocol
        engine = ShardedClient(manager, protocol(self.prefix), options.timeout)
        finalize(engine, manager.close)
        return engine


class Held:
    """What of a client threads may replace while others use it, so not in fields of C."""

    __slots__ = ("behaviors", "engine")

    def __init__(self, behaviors: Behaviors, engine: ShardedClient) -> None:
        self.behaviors = behaviors
        self.engine = engine


def _open(options: ShardOptions, address: str) -> Connection:
    """Return a connection that is made by ``connect_timeout``, as libmemcached's are."""
    channel = connect(
        address,
        timeout=options.timeout,
        connect_timeout=options.connect_timeout,
        auth=options.auth,
    )
    return Connection(channel, options.timeout)


def _no_such(name: str, wanted: str, known: tuple[str, ...]) -> Exception:
    allowed = ", ".join(map(repr, known))
    return NotSupportedError(f"behavior {name!r} must be one of {allowed}, got {wanted!r}")
