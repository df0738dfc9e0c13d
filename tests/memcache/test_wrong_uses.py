"""Wrong uses of the clients say what is wrong, where they are made."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.memcached import Server

from godropbox.memcache import (
    AsciiProtocol,
    Client,
    ClientOptions,
    InvalidTypeError,
    ShardedClient,
    ShardOptions,
    StaticShardManager,
    WrongLoopError,
)
from godropbox.memcache.aio import (
    AsyncClient,
    AsyncClientOptions,
    AsyncShardedClient,
    AsyncStaticShardManager,
)

SERVERS = ["127.0.0.1:9"]
ASCII = AsciiProtocol()


def test_a_manager_that_waits_in_another_way() -> None:
    with StaticShardManager(SERVERS) as manager:
        blocking: Any = manager
        for wrong in (lambda: AsyncClient(blocking), lambda: AsyncShardedClient(blocking, ASCII)):
            with pytest.raises(InvalidTypeError, match="manager must be an asyncio one"):
                wrong()
    waiting: Any = AsyncStaticShardManager(SERVERS)
    for call in (lambda: Client(waiting), lambda: ShardedClient(waiting, ASCII)):
        with pytest.raises(InvalidTypeError, match="manager must be a blocking one"):
            call()


def test_options_of_the_other_client() -> None:
    options: Any = ClientOptions()
    with pytest.raises(InvalidTypeError, match="options must be AsyncClientOptions, got Client"):
        AsyncClient(SERVERS, options)
    shards: Any = ShardOptions()
    with pytest.raises(InvalidTypeError, match="options must be AsyncShardOptions or AsyncClient"):
        AsyncStaticShardManager(SERVERS, options=shards)
    others: Any = AsyncClientOptions()
    with pytest.raises(InvalidTypeError, match="sleep must block in a Client"):
        Client(SERVERS, others)


def test_a_load_that_was_called_already() -> None:
    async def use() -> None:
        client = AsyncClient(SERVERS)
        with pytest.raises(InvalidTypeError, match="load must be a function, got 'value'"):
            await client.get_or_set("key", "value", 60)  # type: ignore[arg-type]
        await client.close()

    asyncio.run(use())
    with (
        Client(SERVERS) as client,
        pytest.raises(InvalidTypeError, match="load must be a function, got 'value'"),
    ):
        client.get_or_set("key", "value", 60)  # type: ignore[arg-type]


def test_another_loop_than_the_first(servers: Callable[[str], Server]) -> None:
    client = AsyncClient([servers("tcp").address])
    with asyncio.Runner() as first:
        first.run(client.get("another-loop"))
        for call in (client.get, client.delete):
            with pytest.raises(WrongLoopError, match="the event loop that used it first"):
                asyncio.run(call("key"))
        assert first.run(client.get("another-loop")) is None
        first.run(client.close())


def test_another_loop_closes_nothing(servers: Callable[[str], Server]) -> None:
    manager = AsyncStaticShardManager([servers("tcp").address])
    client = AsyncShardedClient(manager, ASCII)
    with asyncio.Runner() as first:
        first.run(client.get("another-loop"))
        with pytest.raises(WrongLoopError, match="the event loop that used it first"):
            asyncio.run(manager.close())
        assert not first.run(client.get("another-loop")).found
        first.run(manager.close())
