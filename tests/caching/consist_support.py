"""What the tests of the consistent cache share: a storage with hooks, and channels that count."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from support.forms import ConsistentCacheOnStorage
from support.memcached import Server

from godropbox import memcache
from godropbox.caching.consistency.servers import FleetServers
from godropbox.caching.consistent import ConsistencyOptions
from godropbox.memcache import Connection, ShardOptions, ShardState, StaticShardManager

__all__ = [
    "Caches",
    "CountingChannel",
    "Servers",
    "Table",
    "connected",
    "dial",
    "options",
    "refuse",
    "unreachable",
]


class Table:
    """A storage: a dict that counts its calls, and does something before each read or write."""

    def __init__(self, **data: bytes) -> None:
        self.data: dict[str, bytes] = data
        self.reads = 0
        self.writes = 0
        self.before_reading: Callable[[], object] = lambda: None
        self.after_reading: Callable[[], object] = lambda: None
        self.before_writing: Callable[[], object] = lambda: None
        self.after_writing: Callable[[], object] = lambda: None

    def get(self, key: str, default: Any = None) -> Any:
        return self.get_multi([key]).get(key, default)

    def get_multi(self, keys: Iterable[str]) -> dict[str, bytes]:
        self.reads += 1
        self.before_reading()
        found = {key: self.data[key] for key in keys if key in self.data}
        self.after_reading()
        return found

    def set(self, key: str, value: bytes) -> None:
        self.set_multi({key: value})

    def set_multi(self, items: Mapping[str, bytes]) -> None:
        self._write(lambda: self.data.update(items))

    def delete(self, key: str) -> None:
        self.delete_multi([key])

    def delete_multi(self, keys: Iterable[str]) -> None:
        self._write(lambda: [self.data.pop(key, None) for key in keys])

    def flush(self) -> None:
        self._write(self.data.clear)

    def _write(self, write: Callable[[], object]) -> None:
        self.writes += 1
        self.before_writing()
        write()
        self.after_writing()


class CountingChannel:
    """A channel that counts how often something was sent: the round trips of a raw client."""

    def __init__(self, address: str) -> None:
        self._channel = memcache.connect(address)
        self.sent = 0

    def sendall(self, data: Any) -> None:
        self.sent += 1
        self._channel.sendall(data)

    def recv_into(self, buffer: Any) -> int:
        return self._channel.recv_into(buffer)

    def settimeout(self, seconds: float | None) -> None:
        self._channel.settimeout(seconds)

    def gettimeout(self) -> float | None:
        return self._channel.gettimeout()

    def close(self) -> None:
        self._channel.close()


def dial(server: Server) -> memcache.RawMetaClient:
    """Open a connection to a server."""
    return memcache.RawMetaClient(memcache.connect(server.address))


def connected(server: Server) -> Connection:
    """Open a connection to a server, as ``ShardOptions.open`` does."""
    return Connection(memcache.connect(server.address))


def refuse() -> Connection:
    """Fail to open a connection."""
    raise memcache.ConnectionLostError("nobody listens")


def options(**more: Any) -> ConsistencyOptions:
    """Return options that do not wait for what does not come."""
    return ConsistencyOptions(**{"settle_limit": 0.0, **more})


class Servers(FleetServers):
    """Servers over a manager of their own, with the last digit of a key for its shard."""

    def __init__(
        self, addresses: list[str], open_connection: Callable[[str], Connection] | None = None
    ) -> None:
        self._addresses = addresses
        self.manager = StaticShardManager(
            addresses,
            lambda key, shards: int(str(key)[-1]) % shards if shards > 1 else 0,
            ShardOptions(open=open_connection),
        )
        super().__init__(self.manager)

    def __enter__(self) -> "Servers":
        return self

    def __exit__(self, *error: object) -> None:
        self.manager.close()

    def use(self, *states: ShardState) -> None:
        """Change the states of the servers."""
        self.manager.update_shard_states(zip(self._addresses, states, strict=True))

    def cut(self) -> None:
        """Close the idle connections."""
        for shard in self.manager.fleet().shards:
            while (handle := shard.pool.get_idle()) is not None:
                handle.discard()


class Caches:
    """Makes consistent caches over one server, and closes their connections in the end."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._made = contextlib.ExitStack()

    def __enter__(self) -> "Caches":
        return self

    def __exit__(self, *error: object) -> None:
        self._made.close()

    def servers(self, *opens: Callable[[], Connection]) -> Servers:
        """Return servers to which these open connections, or the server as it is."""
        if not opens:
            return self._made.enter_context(Servers([self.server.address]))
        by_address = {f"shard{n}:1": each for n, each in enumerate(opens)}
        servers = Servers(list(by_address), lambda address: by_address[address]())
        return self._made.enter_context(servers)

    def over(
        self,
        table: Any,
        given: ConsistencyOptions | None = None,
        servers: FleetServers | None = None,
        **more: Any,
    ) -> Any:
        """Return a cache over a table, by default with a connection of its own."""
        return ConsistentCacheOnStorage(
            servers or self.servers(), table, given or options(), **more
        )


def unreachable() -> Any:
    """Return a cache whose server is not there, over a table that has a."""
    servers = Servers(["shard0:1"], lambda address: refuse())
    return ConsistentCacheOnStorage(servers, Table(a=b"1"), options())
