"""The clients that the asyncio cases race: the floor, ours, and the peers, each opened on a loop.

What a client takes and gives is its own matter; here it gets one face, without a call in between.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from . import floor_asyncio
from .ours import load

__all__ = ["CLIENTS", "FLOOR", "OURS", "Call", "Client", "Face", "floor", "ours"]

FLOOR = "hand-written protocol"
FLOOR_AT_ONCE = "hand-written, a write a get"
OURS = "AsyncClient"
SECONDS = 60.0  # a deadline that no slow row meets

Call = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Face:
    """What an open client does; each call returns what is awaited.

    - `get` takes a key, `get_many` keys, `set_many` a dict: of what `key` makes of a str.
    - `value` makes bytes of what `get` gives; `found` makes a dict of the keys and of what
      `get_many` gives; `stored` says whether what `set_many` gives is a success.
    """

    get: Call
    get_many: Call
    set_many: Call
    close: Callable[[], Awaitable[object]]
    key: Callable[[str], Any] = str
    value: Callable[[Any], bytes | None] = lambda answer: answer
    found: Callable[[Sequence[Any], Any], Mapping[Any, bytes]] = lambda keys, answer: answer
    stored: Callable[[Any], bool] = lambda answer: answer == []


@dataclass(frozen=True, slots=True)
class Client:
    """A client by its row's label.

    `open` takes the host and port of its `server`. `peer` is its name in ``peers.PEERS``. A client
    that is `slow` takes over 30 microseconds a get however many wait. One that is not `many` has
    another row that gets and sets many keys in the same way.
    """

    label: str
    open: Callable[[str, int], Awaitable[Face]]
    kind: str = "peer"
    peer: str = ""
    server: str = "memcached"
    slow: bool = False
    many: bool = True


async def floor(host: str, port: int, at_once: bool = False) -> Face:
    connected = floor_asyncio.connected
    if at_once:
        gets: floor_asyncio.Gets = await connected(floor_asyncio.GetsAtOnce, host, port)
    else:
        gets = await connected(floor_asyncio.Gets, host, port)
    many_gets = await connected(floor_asyncio.ManyGets, host, port)
    many_sets = await connected(floor_asyncio.ManySets, host, port)

    async def close() -> None:
        for protocol in (gets, many_gets, many_sets):
            protocol.close()

    return Face(gets.get, many_gets.get_many, many_sets.set_many, close)


async def ours(host: str, port: int, implementation: str, **options: Any) -> Face:
    aio = load("memcache.aio", implementation)
    client = aio.AsyncClient([f"{host}:{port}"], timeout=SECONDS, **options)
    return Face(client.get, client.get_many, client.set_many, client.close)


async def in_threads(host: str, port: int) -> Face:
    """Open our own ``Client`` behind the loop's default executor."""
    client = load("memcache", "native").Client(f"{host}:{port}", timeout=SECONDS)
    loop = asyncio.get_running_loop()

    def call(method: Callable[[Any], Any]) -> Call:
        return lambda given: loop.run_in_executor(None, method, given)

    async def close() -> None:
        await loop.shutdown_default_executor()
        client.close()

    return Face(call(client.get), call(client.get_many), call(client.set_many), close)


def of_one(set_one: Callable[..., Awaitable[Any]]) -> Call:
    """Return the set of many that a client does without: all sets at once."""

    async def set_many(items: Mapping[Any, bytes]) -> list[Any]:
        return await asyncio.gather(*[set_one(key, value) for key, value in items.items()])

    return set_many


async def emcache(host: str, port: int, **options: Any) -> Face:
    library = import_module("emcache")
    node = library.MemcachedHostAddress(host, port)
    client = await library.create_client([node], timeout=SECONDS, **options)
    return Face(
        client.get,
        client.get_many,
        of_one(client.set),
        client.close,
        key=str.encode,
        value=lambda item: item and item.value,
        found=lambda keys, items: {key: items[key].value for key in keys},
        stored=lambda results: results == [None] * len(results),
    )


async def aiomcache(host: str, port: int) -> Face:
    client = import_module("aiomcache").Client(host, port)
    multi_get = client.multi_get
    return Face(
        client.get,
        lambda keys: multi_get(*keys),
        of_one(client.set),
        client.close,
        key=str.encode,
        found=lambda keys, values: dict(zip(keys, values, strict=True)),
        stored=all,
    )


def _of_redis(client: Any, close: Callable[[], Awaitable[object]]) -> Face:
    return Face(
        client.get,
        client.mget,
        client.mset,
        close,
        found=lambda keys, values: dict(zip(keys, values, strict=True)),
        stored=bool,
    )


async def redis(host: str, port: int) -> Face:
    library = import_module("redis.asyncio")
    # Its plain pool raises where more tasks wait than it may have connections.
    pool = library.BlockingConnectionPool(host=host, port=port, timeout=SECONDS)
    client = library.Redis.from_pool(pool)
    return _of_redis(client, client.aclose)


async def coredis(host: str, port: int) -> Face:
    client = import_module("coredis").Redis(host, port)
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def keep() -> None:  # one task has to enter and leave it
        try:
            async with client:
                ready.set_result(None)
                await done.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    keeper = asyncio.create_task(keep())

    async def close() -> None:
        done.set()
        await keeper

    await ready
    return _of_redis(client, close)


async def glide(host: str, port: int) -> Face:
    library = import_module("glide")
    client = await library.GlideClient.create(
        library.GlideClientConfiguration(
            [library.NodeAddress(host, port)], request_timeout=int(SECONDS * 1000)
        )
    )
    return _of_redis(client, client.close)


CLIENTS: tuple[Client, ...] = (
    Client(FLOOR, floor, kind="floor"),
    Client(FLOOR_AT_ONCE, partial(floor, at_once=True), kind="floor", many=False),
    Client(OURS, partial(ours, implementation="native"), kind="native"),
    Client(f"{OURS}, pure", partial(ours, implementation="pure"), kind="pure"),
    Client("Client in threads", in_threads, kind="native", slow=True),
    Client(
        "emcache, autobatching", partial(emcache, autobatching=True), peer="emcache", many=False
    ),
    Client("emcache, 2 connections", emcache, peer="emcache", slow=True),
    Client(
        "emcache, 1 connection",
        partial(emcache, max_connections=1),
        peer="emcache",
        slow=True,
        many=False,
    ),
    Client("aiomcache", aiomcache, peer="aiomcache", slow=True),
    Client("redis-py", redis, peer="redis", server="redis", slow=True),
    Client("coredis", coredis, peer="coredis", server="redis", slow=True),
    Client("valkey-glide", glide, peer="valkey-glide", server="redis", slow=True),
)
