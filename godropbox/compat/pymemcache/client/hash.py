"""pymemcache's client of many servers: a key on one of them, and on another while that one is dead.

Batches go to all servers at once while all is well. While a server fails they go to one after the
other, by pymemcache's rules for each.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ...._kernels._identity import refuse_copies
from ....memcache.batch_steps import Gets, Mutations, Values
from ....memcache.errors import ServerError, UsageError
from ....memcache.fleet.shards import Fleet, Shard
from ....memcache.sync import run
from ..exceptions import MemcacheError
from ..serde import Deserializer, Serde, Serializer
from ._arguments import (
    KeepaliveOpts,
    Key,
    check_key_helper,
    checked_integer,
    listed,
    normalize_server_spec,
)
from ._errors import translated
from .base import Client, PooledClient
from .rendezvous import RendezvousHash

if TYPE_CHECKING:
    from ssl import SSLContext  # loaded by those who make one

__all__ = ["HashClient"]

_log: Final = logging.getLogger(__name__)
_KINDS: Final = (Client, PooledClient)


class _Texts:
    """The placement of keys that are not text: pymemcache hashes what they are as text."""

    def __init__(self, placement: Any) -> None:
        self._placement = placement

    def of(self, key: Any) -> int:
        """Return the server of a key."""
        return int(self._placement.of(key if type(key) is str else f"{key}"))

    def of_many(self, keys: Iterable[Any]) -> list[int]:
        """Return the servers of many keys."""
        return [self.of(key) for key in keys]


class _Manager:
    """The manager of a fleet for one batch: the pools are those of the clients."""

    is_closed = False

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def fleet(self) -> Fleet:
        """Return the fleet."""
        return self._fleet

    def failed(self, shard: Shard, error: BaseException) -> None:
        """Count nothing: the client looks at the answers."""

    def succeeded(self, shard: Shard) -> None:
        """Count nothing."""

    def disconnect_all(self) -> None:
        """Leave the pools to the clients."""

    def close(self) -> None:
        """Leave the pools to the clients."""


class HashClient:
    """A client of many servers. Threads may share it.

    `servers` are as ``Client`` takes one. A `hasher` has ``add_node``, ``remove_node`` and
    ``get_node(key)``; by default it is rendezvous hashing. A server that fails is left alone for
    `retry_timeout` seconds, and its keys are a miss or not stored; if it fails `retry_attempts`
    times more it is dead for `dead_timeout` seconds, and its keys go to the others. With
    `use_pooling` the clients are ``PooledClient``, with the arguments of that. All other arguments
    are as in ``Client``; with `ignore_exc` a write that fails is not raised, but is not stored.
    """

    client_class: Any = Client
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        servers: Iterable[Any],
        hasher: Callable[[], Any] = RendezvousHash,
        serde: Serde | None = None,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
        connect_timeout: float | None = None,
        timeout: float | None = None,
        no_delay: bool = False,
        socket_module: Any = socket,
        socket_keepalive: KeepaliveOpts | None = None,
        key_prefix: Key = b"",
        max_pool_size: int | None = None,
        pool_idle_timeout: float = 0,
        lock_generator: Callable[[], Any] | None = None,
        retry_attempts: int = 2,
        retry_timeout: float = 1,
        dead_timeout: float = 60,
        use_pooling: bool = False,
        ignore_exc: bool = False,
        allow_unicode_keys: bool = False,
        default_noreply: bool = True,
        encoding: str = "ascii",
        tls_context: "SSLContext | None" = None,
    ) -> None:
        self.clients: dict[Any, Any] = {}
        self.retry_attempts = retry_attempts
        self.retry_timeout = retry_timeout
        self.dead_timeout = dead_timeout
        self.use_pooling = use_pooling
        self.key_prefix = key_prefix.encode("ascii") if isinstance(key_prefix, str) else key_prefix
        self.ignore_exc = ignore_exc
        self.allow_unicode_keys = allow_unicode_keys
        self.default_noreply = default_noreply
        self.encoding = encoding
        self.tls_context = tls_context
        self._failed_clients: dict[Any, dict[str, Any]] = {}
        self._dead_clients: dict[Any, float] = {}
        self._last_dead_check_time = time.time()
        self._lock = threading.RLock()
        self.hasher = hasher()
        self.default_kwargs: dict[str, Any] = {
            "connect_timeout": connect_timeout,
            "timeout": timeout,
            "no_delay": no_delay,
            "socket_module": socket_module,
            "socket_keepalive": socket_keepalive,
            "key_prefix": key_prefix,
            "serde": serde,
            "serializer": serializer,
            "deserializer": deserializer,
            "allow_unicode_keys": allow_unicode_keys,
            "default_noreply": default_noreply,
            "encoding": encoding,
            "tls_context": tls_context,
        }
        if use_pooling:
            self.default_kwargs["max_pool_size"] = max_pool_size
            self.default_kwargs["pool_idle_timeout"] = pool_idle_timeout
            self.default_kwargs["lock_generator"] = lock_generator
        for server in servers:
            self.add_server(normalize_server_spec(server))

    # Servers

    def add_server(self, server: Any, port: Any = None) -> None:
        """Add a server: (host, port), a path of a Unix socket, or a host and a port apart."""
        server = _joined(server, port)
        kind = PooledClient if self.use_pooling else self.client_class
        client = kind(server, **self.default_kwargs)
        if self.use_pooling:
            client.client_class = self.client_class
        name = _name(server)
        with self._lock:
            self.clients[name] = client
            self.hasher.add_node(name)

    def remove_server(self, server: Any, port: Any = None) -> None:
        """Take a server that failed out of the rotation, until it was dead for long enough."""
        server = _joined(server, port)
        with self._lock:
            self._failed_clients.pop(server, None)
            self._dead_clients[server] = time.time()
            self.hasher.remove_node(_name(server))

    def _retry_dead(self) -> None:
        """Bring back the servers that were dead for long enough."""
        now = time.time()
        if now - self._last_dead_check_time <= self.dead_timeout:
            return
        with self._lock:
            back = [s for s, since in self._dead_clients.items() if now - since > self.dead_timeout]
            for server in back:
                _log.debug("bringing server back into rotation %s", server)
                self.add_server(server)
                self._dead_clients.pop(server, None)
            self._last_dead_check_time = now

    def _mark_failed_server(self, server: Any) -> None:
        """Count a failure of a server; one that may not be retried is dead."""
        with self._lock:
            failed = self._failed_clients.get(server)
            if failed is not None:
                failed["attempts"] += 1
                failed["failed_time"] = time.time()
                return
            self._failed_clients[server] = {"failed_time": time.time(), "attempts": 0}
            if self.retry_attempts <= 0:
                self._mark_dead(server)

    def _get_client(self, key: Any) -> Any:
        """Return the client of a key's server; None if no server is left and that is ignored."""
        if self._dead_clients:
            self._retry_dead()
        name = self.hasher.get_node(key)
        if name is not None:
            return self.clients[name]
        self._check_key(key)
        if self.ignore_exc:
            return None
        raise MemcacheError("All servers seem to be down right now")

    def _check_key(self, key: Any) -> None:
        check_key_helper(key, self.allow_unicode_keys, self.key_prefix)

    # One call of one server

    def _is_left_alone(self, server: Any) -> bool:
        """Return whether a server that failed is not to be tried yet; make it dead in the end."""
        with self._lock:
            failed = self._failed_clients.get(server)
            if failed is None:
                return False
            if failed["attempts"] < self.retry_attempts:
                waited = time.time() - failed["failed_time"]
                return bool(waited <= self.retry_timeout)
            self._mark_dead(server)
            return False

    def _mark_dead(self, server: Any) -> None:
        """Take a server out of the rotation, unless it is: a call of all servers asks it, too."""
        _log.debug("marking server as dead: %s", server)
        if server in self._dead_clients:
            self._failed_clients.pop(server, None)
            self._dead_clients[server] = time.time()
        else:
            self.remove_server(server)

    def _safely_run_func(
        self, client: Any, func: Callable[..., Any], default: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Return what a call of a client does, the default where its server is left alone.

        What is raised is counted, and raised unless it is to be ignored.
        """
        server = client.server
        if server in self._failed_clients and self._is_left_alone(server):
            return default
        try:
            result = func(*args, **kwargs)
        except Exception as error:
            if isinstance(error, OSError):
                self._mark_failed_server(server)
            if not self.ignore_exc:
                raise
            return default
        if server in self._failed_clients:
            self._failed_clients.pop(server, None)
        return result

    def _run_cmd(self, cmd: str, key: Any, default: Any, *args: Any) -> Any:
        """Return what a call about one key does."""
        client = self._get_client(key)
        if client is None:
            return default
        call = getattr(client, cmd)
        if not self._failed_clients and not self.ignore_exc:
            try:
                return call(key, *args)
            except OSError:
                self._mark_failed_server(client.server)
                raise
        if self.ignore_exc:
            self._check_key(key)  # which is not ignored
        return self._safely_run_func(client, call, default, key, *args)

    def get(self, key: Key, default: Any = None) -> Any:
        """Return the value of a key, `default` if it has none."""
        return self._run_cmd("get", key, default, default)

    def gets(self, key: Key, default: Any = None, cas_default: Any = None) -> Any:
        """Return the value of a key and its token, or the defaults."""
        return self._run_cmd("gets", key, None, default, cas_default)

    def set(
        self,
        key: Key,
        value: Any,
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> Any:
        """Store a value, as ``Client.set`` does; False if no server took it."""
        return self._run_cmd("set", key, False, value, expire, noreply, flags)

    def add(
        self,
        key: Key,
        value: Any,
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> Any:
        """Store a value where there is none, as ``Client.add`` does."""
        return self._run_cmd("add", key, False, value, expire, noreply, flags)

    def replace(
        self,
        key: Key,
        value: Any,
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> Any:
        """Store a value where there is one, as ``Client.replace`` does."""
        return self._run_cmd("replace", key, False, value, expire, noreply, flags)

    def append(
        self,
        key: Key,
        value: Any,
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> Any:
        """Put data after a value, as ``Client.append`` does."""
        return self._run_cmd("append", key, False, value, expire, noreply, flags)

    def prepend(
        self,
        key: Key,
        value: Any,
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> Any:
        """Put data before a value, as ``Client.prepend`` does."""
        return self._run_cmd("prepend", key, False, value, expire, noreply, flags)

    def cas(
        self,
        key: Key,
        value: Any,
        cas: int | str | bytes,
        expire: int = 0,
        noreply: bool = False,
        flags: int | None = None,
    ) -> Any:
        """Store a value over the one whose token ``gets`` returned, as ``Client.cas`` does."""
        return self._run_cmd("cas", key, False, value, cas, expire, noreply, flags)

    def delete(self, key: Key, noreply: bool | None = None) -> Any:
        """Delete a value, as ``Client.delete`` does."""
        return self._run_cmd("delete", key, False, noreply)

    def touch(self, key: Key, expire: int = 0, noreply: bool | None = None) -> Any:
        """Give a value a new expiry, as ``Client.touch`` does."""
        return self._run_cmd("touch", key, False, expire, noreply)

    def incr(self, key: Key, value: int, noreply: bool | None = False) -> Any:
        """Add to a number, as ``Client.incr`` does."""
        return self._run_cmd("incr", key, False, value, noreply)

    def decr(self, key: Key, value: int, noreply: bool | None = False) -> Any:
        """Take from a number, as ``Client.decr`` does."""
        return self._run_cmd("decr", key, False, value, noreply)

    # Batches

    def _by_client(self, keys: Iterable[Any]) -> tuple[list[tuple[Any, list[Any]]], list[Any]]:
        """Return clients with their keys, and the keys that no server is left for."""
        batches: dict[int, tuple[Any, list[Any]]] = {}
        lost: list[Any] = []
        for key in keys:
            client = self._get_client(key)
            if client is None:
                lost.append(key)
            else:
                batches.setdefault(id(client), (client, []))[1].append(key)
        return [*batches.values()], lost

    def _plain_shards(self) -> list[Shard] | None:
        """Return the shards of the nodes, in the hasher's order; None where each needs its client.

        That is where a server failed, or a client is not of a kind that is known here.
        """
        hasher = self.hasher
        if type(hasher) is not RendezvousHash or self._failed_clients:
            return None
        if self._dead_clients:
            self._retry_dead()
        if hasher._placement() is None:  # it has a hash of its own
            return None
        shards = []
        for name in hasher.nodes:
            client = self.clients[name]
            if type(client) not in _KINDS or not client._is_plain():
                return None
            shards.append(client._shard)
        return shards or None

    def _fleet(self, keys: list[Any], shards: list[Shard]) -> "_Manager":
        """Return the fleet, as a batch of these keys needs it."""
        placement = self.hasher._placement()
        for key in keys:
            if type(key) is not str:
                placement = _Texts(placement)
                break
        return _Manager(Fleet(tuple(shards), placement))

    def get_many(self, keys: Iterable[Key], gets: bool = False) -> dict[Any, Any]:
        """Return the values of the keys that have one, by key, from all servers at once.

        With `gets` it does what ``gets_many`` does.
        """
        return self._got(listed(keys), bool(gets))

    def get_multi(self, keys: Iterable[Key], gets: bool = False) -> dict[Any, Any]:
        """Return the values of many keys, as ``get_many`` does."""
        return self._got(listed(keys), bool(gets))

    def gets_many(self, keys: Iterable[Key]) -> dict[Any, Any]:
        """Return the values and the tokens of the keys that have one, by key."""
        return self._got(listed(keys), True)

    def gets_multi(self, keys: Iterable[Key]) -> dict[Any, Any]:
        """Return the values and the tokens of many keys, as ``gets_many`` does."""
        return self._got(listed(keys), True)

    def _got(self, keys: list[Any], with_tokens: bool) -> dict[Any, Any]:
        shards = self._plain_shards()
        if shards is None or not keys:
            return self._got_in_turn(keys, with_tokens)
        client = self._any_client()
        client._check_keys(keys)
        manager = self._fleet(keys, shards)
        step = Gets(manager, client._protocol, [*keys], False, not with_tokens)
        complete(manager, step)
        lost: list[tuple[Any, Exception]] = []
        found: dict[Any, Any]
        if with_tokens:
            found = client._tokens(step.answers, lost)
        else:
            found = client._values(step.found, step.answers, lost)
        if lost:
            self._take_losses(lost, "gets" if with_tokens else "get")
        return found

    def _got_in_turn(self, keys: list[Any], with_tokens: bool) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key in keys:
            self._check_key(key)
        batches, _ = self._by_client(keys)
        for client, some in batches:
            call = client.gets_many if with_tokens else client.get_many
            found.update(self._safely_run_func(client, call, {}, some))
        return found

    def set_many(
        self,
        values: Mapping[Any, Any],
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> list[Any]:
        """Store many values, by key, on all servers at once; return the keys that were not stored.

        With `noreply` they are those alone whose server could not be reached, which is raised
        unless `ignore_exc` is set.
        """
        keys = [*values]
        shards = self._plain_shards()
        if shards is None or not keys:
            return self._set_in_turn(values, expire, noreply, flags)
        client = self._any_client()
        if noreply is None:
            noreply = self.default_noreply
        seconds = checked_integer("expire", expire)
        self._check_all(client, keys)
        data, marks = client._all_encoded(values, flags)
        manager = self._fleet(keys, shards)
        step = Values(manager, client._protocol, [*keys], data, marks, seconds)
        complete(manager, step)
        failed, lost = [], []
        for key, response in zip(keys, step.answers, strict=True) if step.answers else ():
            error = response.error
            if error is not None and not (noreply and type(error) is ServerError):
                lost.append((key, error))
                failed.append(key)
            elif not noreply and not response.ok:
                failed.append(key)
        if lost:
            self._take_losses(lost, "set")
        return failed

    def set_multi(
        self,
        values: Mapping[Any, Any],
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> list[Any]:
        """Store many values, as ``set_many`` does."""
        return self.set_many(values, expire, noreply, flags)

    def _set_in_turn(
        self, values: Mapping[Any, Any], expire: Any, noreply: Any, flags: Any
    ) -> list[Any]:
        for key in values:
            self._check_key(key)
        batches, failed = self._by_client(values)
        for client, keys in batches:
            some = {key: values[key] for key in keys}
            failed += self._safely_run_func(
                client, client.set_many, keys, some, expire, noreply, flags
            )
        return failed

    def delete_many(self, keys: Iterable[Key], noreply: bool | None = None) -> bool:
        """Delete many values, on all servers at once; return True."""
        given = listed(keys)
        shards = self._plain_shards()
        if shards is None or not given:
            for key in given:
                self._run_cmd("delete", key, False, noreply)
            return True
        client = self._any_client()
        self._check_all(client, given)
        if noreply is None:
            noreply = self.default_noreply
        manager = self._fleet(given, shards)
        protocol = client._protocol
        step = Mutations(manager, protocol, protocol.delete_multi, [*given], False, False)
        complete(manager, step)
        lost = []
        for key, response in zip(given, step.answers, strict=True):
            error = response.error
            if error is not None and not (noreply and type(error) is ServerError):
                lost.append((key, error))
        if lost:
            self._take_losses(lost, "delete")
        return True

    def delete_multi(self, keys: Iterable[Key], noreply: bool | None = None) -> bool:
        """Delete many values, as ``delete_many`` does."""
        return self.delete_many(keys, noreply)

    def _check_all(self, client: Any, keys: list[Any]) -> None:
        try:
            client._check_all(keys)
        except UsageError as error:
            raise translated(error, "") from error

    def _any_client(self) -> Any:
        """Return a client that encodes, decodes and checks for all."""
        return next(iter(self.clients.values()))

    def _take_losses(self, lost: list[tuple[Any, Exception]], name: str) -> None:
        """Count the failures of servers, once each; raise the first unless it is to be ignored."""
        first: Exception | None = None
        servers = set()
        for key, error in lost:
            self._check_key(key)  # which is not ignored
            found = translated(error, name)
            first = first or found
            if isinstance(found, OSError):
                servers.add(self.clients[self.hasher.get_node(key)].server)
        for server in servers:
            self._mark_failed_server(server)
        if first is not None and not self.ignore_exc:
            raise first

    # All servers

    def flush_all(self, delay: int = 0, noreply: bool | None = None) -> None:
        """Forget everything on all servers, `delay` seconds from now."""
        for client in [*self.clients.values()]:
            self._safely_run_func(client, client.flush_all, False, delay, noreply)

    def close(self) -> None:
        """Close the connections; the next call makes others."""
        for client in [*self.clients.values()]:
            client.close()

    def disconnect_all(self) -> None:
        """Close the connections, as ``close`` does."""
        self.close()

    def quit(self) -> None:
        """Close the connections, as ``close`` does."""
        for client in [*self.clients.values()]:
            client.quit()


def complete(manager: Any, step: Any) -> None:
    """Carry the visits of a batch, until there are no more."""
    goes_on = True
    while goes_on:
        if step.visits:
            run(manager, step.visits, None)
        goes_on = step.take()


def _joined(server: Any, port: Any) -> Any:
    """Return a server whose host and port may be apart."""
    if port is None:
        return server
    if not isinstance(server, str):
        raise TypeError("Server must be a string when passing port.")
    return server, port


def _name(server: Any) -> Any:
    """Return the name of a server, by which keys are placed."""
    if isinstance(server, (list, tuple)) and len(server) == 2:
        return f"{server[0]}:{server[1]}"
    return server
