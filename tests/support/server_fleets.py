"""Fleets of real memcached servers for the tests of sharded clients."""

import contextlib
import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from godropbox.memcache import (
    AsciiProtocol,
    BaseShardManager,
    BinaryProtocol,
    MetaProtocol,
    ShardedClient,
    ShardOptions,
    StaticShardManager,
)
from godropbox.memcache.aio import AsyncShardedClient, AsyncShardOptions, AsyncStaticShardManager
from support.blocking import LOOPS, Blocking
from support.memcached import Server, running

__all__ = ["DRIVERS", "PROTOCOLS", "ServerFleet", "loans", "owner", "sharded", "unverified"]

DRIVERS = ("blocking", *LOOPS)
PROTOCOLS = {"ascii": AsciiProtocol, "binary": BinaryProtocol, "meta": MetaProtocol}


class ServerFleet:
    """Servers of one kind, each of which can be stopped, killed and started again."""

    def __init__(self, kind: str, count: int, folder: Path) -> None:
        self._kind = kind
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._running: list[contextlib.ExitStack] = []
        self.servers: list[Server] = []
        for i in range(count):
            self._running.append(contextlib.ExitStack())
            self.servers.append(self._start(i, 0))

    def _start(self, at: int, port: int) -> Server:
        folder = self._folder / f"{at}"
        folder.mkdir(exist_ok=True)
        return self._running[at].enter_context(running(self._kind, folder, port))

    @property
    def addresses(self) -> list[str]:
        return [server.address for server in self.servers]

    def stop(self, at: int) -> None:
        process = self.servers[at].process
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)  # it answers until all its threads have stopped

    def resume(self, at: int) -> None:
        self.servers[at].process.send_signal(signal.SIGCONT)

    def kill(self, at: int) -> None:
        self._running[at].close()

    def restart(self, at: int) -> None:
        """Start a server where a killed one was: an empty one, at the same address."""
        self.servers[at] = self._start(at, int(self.servers[at].address.rpartition(":")[2]))

    def close(self) -> None:
        for each in self._running:
            each.close()


def unverified() -> ssl.SSLContext:
    """Return a context that trusts what a server shows, whoever signed it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def sharded(
    fleet: ServerFleet,
    protocol: str = "ascii",
    *,
    tls: bool = False,
    timeout: float = 10.0,
    shard_func: Any = None,
    kind: type[ShardedClient] = ShardedClient,
    driver: str = "blocking",
    **options: Any,
) -> Iterator[Any]:
    """Give a client of a fleet, and see in the end that it lent no connection for good.

    With `driver` a kind of event loop, it is an ``AsyncShardedClient`` with a blocking face.
    """
    options |= {"timeout": timeout, "connect_timeout": 5.0, "tls": unverified() if tls else None}
    more = {} if shard_func is None else {"shard_func": shard_func}
    if driver != "blocking":
        of_tasks = AsyncStaticShardManager(
            fleet.addresses, options=AsyncShardOptions(**options), **more
        )
        with Blocking(AsyncShardedClient(of_tasks, PROTOCOLS[protocol]()), driver) as face:
            yield face
        return
    manager = StaticShardManager(fleet.addresses, options=ShardOptions(**options), **more)
    with kind(manager, PROTOCOLS[protocol]()) as client:
        yield client
        assert loans(manager) == 0


def loans(manager: BaseShardManager) -> int:
    """Return how many connections are on loan."""
    return sum(shard.pool.num_active for shard in manager.fleet().shards)


def owner(client: ShardedClient, key: str) -> int:
    """Return the shard of a key."""
    return client.manager.fleet().of(key)
