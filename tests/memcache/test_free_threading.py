"""Clients that threads share, while other threads close their connections and replace options."""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from support.memcached import Server
from support.threads import together

from godropbox.compat.pymemcache.client.base import PooledClient
from godropbox.compat.pymemcache.exceptions import MemcacheError
from godropbox.compat.pymemcache.serde import pickle_serde
from godropbox.errors import DropboxError
from godropbox.memcache import Client, StaticShardManager


def test_clients_are_closed_under_load(servers: Callable[[str], Server]) -> None:
    """A get over a connection that another thread closes has its own value, or fails."""
    manager = StaticShardManager([servers("tcp").address])
    client = Client(manager)
    for number in range(4):
        client.set(f"key{number}", number)
    lent: list[Any] = []

    def get(number: int) -> Callable[[], None]:
        def work() -> None:
            with suppress(DropboxError):
                assert client.get(f"key{number}") == number

        return work

    def close() -> None:
        for shard in manager.fleet().shards:
            with shard.pool.get() as loan:
                lent.append(loan.handle)
            lent[-1].close()
            if len(lent) > 8:
                del lent[:4]

    together(get(1), get(2), get(3), close)
    client.close()
    manager.close()


def test_what_a_pymemcache_client_refers_to_is_replaced(servers: Callable[[str], Server]) -> None:
    """Options are set and connections closed while other threads use the client."""
    host, _, port = servers("tcp").address.rpartition(":")
    client = PooledClient((host, int(port)), serde=pickle_serde, timeout=5.0, ignore_exc=False)
    client.set("key", [1], noreply=False)

    def get() -> None:
        with suppress(OSError, MemcacheError):
            assert client.get("key") == [1]
            client.set("other", [2], noreply=True)

    def change() -> None:
        client.serde = type(pickle_serde)()
        client.timeout = float(random.random() + 5.0)
        client.encoding = "".join(["as", "cii"])

    together(get, get, change, client.close)
    client.close()
