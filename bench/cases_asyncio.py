"""asyncio: the client's processor time a get, on asyncio's own loop and on uvloop, and its latency.

Right is that every get gives its own key's value, and that what was set is what a plain connection
reads back. A turn of a row is one call of ``run_until_complete``; loops are made and connections
dialled before. Each row has keys of its own.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from time import perf_counter
from typing import Any

from .cases_memcache import items_of
from .clients_asyncio import CLIENTS, FLOOR, OURS, Call, Client, Face
from .memcached import Plain, a_server
from .model import RESULT, AtMost, Case, Group, MissingError, Names, Row, Target, WrongError
from .ours import PURE
from .redis_server import PlainRedis, a_redis

__all__ = ["GROUPS"]

Shares = list[list[Any]]

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": lambda: import_module("uvloop").new_event_loop(),
}


@contextmanager
def servers() -> Iterator[dict[str, Any]]:
    """Run a memcached and a Redis; give the address of each, or why there is none."""
    with a_server() as memcached:
        try:
            with a_redis() as redis:
                yield {"memcached": memcached, "redis": redis}
        except MissingError as error:
            yield {"memcached": memcached, "redis": str(error)}


def witness(client: Client, resource: dict[str, Any]) -> tuple[list[Any], Any]:
    """Return the address of the client's server and a plain connection to it."""
    address = resource[client.server]
    if isinstance(address, str):
        raise MissingError(address)
    return address, (PlainRedis if client.server == "redis" else Plain)(address)


def opened(loop_name: str, client: Client, address: list[Any]) -> tuple[Any, Face]:
    """Return a new loop with the client open on it."""
    loop = LOOPS[loop_name]()
    try:
        return loop, loop.run_until_complete(client.open(*address))
    except BaseException:
        loop.close()
        raise


def closed(loop: asyncio.AbstractEventLoop, face: Face) -> None:
    """Close the client, end what it leaves running, and close the loop."""

    async def close() -> None:
        await face.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0.01)  # a transport closes its socket on a later turn

    try:
        loop.run_until_complete(close())
    finally:
        loop.close()


async def gets(get: Call, shares: Shares) -> Shares:
    """Get the keys of each share in turn, all shares at once, a task each."""

    async def one(keys: list[Any]) -> list[Any]:
        return [await get(key) for key in keys]

    if len(shares) == 1:
        return [await one(shares[0])]
    return await asyncio.gather(*[one(keys) for keys in shares])


async def slowest(get: Call, shares: Shares) -> float:
    """Do the same, and return how many seconds a get takes at the 99th percentile."""
    times: list[float] = []

    async def one(keys: list[Any]) -> None:
        for key in keys:
            began = perf_counter()
            await get(key)
            times.append(perf_counter() - began)

    await asyncio.gather(*[one(keys) for keys in shares])
    times.sort()
    return times[len(times) * 99 // 100]


async def again(call: Call, given: Any, times: int) -> Any:
    """Await the call so many times; return what it gives."""
    for _ in range(times):
        answer = await call(given)
    return answer


BATCHES = 10
Maker = Callable[[Any], Names]


def gets_names(loop_name: str, client: Client, tasks: int, each: int) -> Maker:
    """Return the maker of a row in which so many tasks get so many keys each."""

    def make(resource: dict[str, Any]) -> Names:
        address, plain = witness(client, resource)
        items = items_of(f"{loop_name}: {tasks} tasks", client.label)
        plain.store(items)
        plain.close()
        loop, face = opened(loop_name, client, address)
        keys = list(items)
        shares = [[keys[(at + n) % len(keys)] for n in range(each)] for at in range(tasks)]
        asked = [[face.key(key) for key in share] for share in shares]
        return {
            "run": loop.run_until_complete,
            "gets": partial(gets, face.get, asked),
            "slowest": partial(slowest, face.get, asked),
            "count": tasks * each,
            "close": partial(closed, loop, face),
            "value": face.value,
            "wanted": [[items[key] for key in share] for share in shares],
        }

    return make


def right_values(result: Shares, names: Names) -> None:
    if [[names["value"](each) for each in share] for share in result] != names["wanted"]:
        raise WrongError("a value differs from what was stored")


def right_when_slowest(result: float, names: Names) -> None:
    """Hold the same tasks to their values, for the row keeps none."""
    right_values(names["run"](names["gets"]()), names)


def many_names(loop_name: str, client: Client, reads: bool) -> Maker:
    """Return the maker of a row that gets, or sets, 100 keys in a call."""

    def make(resource: dict[str, Any]) -> Names:
        address, plain = witness(client, resource)
        items = items_of(f"{loop_name}: {'get' if reads else 'set'} of 100 keys", client.label)
        plain.delete(items)
        if reads:
            plain.store(items)
        held = plain.read(items)
        plain.close()
        if held != (items if reads else {}):
            raise WrongError("the server does not hold what it should before the first turn")
        loop, face = opened(loop_name, client, address)
        given = {face.key(key): value for key, value in items.items()}
        return {
            "run": loop.run_until_complete,
            "gets": partial(again, face.get_many, list(given), BATCHES),
            "sets": partial(again, face.set_many, given, BATCHES),
            "count": BATCHES,
            "close": partial(closed, loop, face),
            "found": partial(face.found, list(given)),
            "given": given,
            "stored": face.stored,
            "items": items,
            "read": lambda: read(client, resource, items),
        }

    return make


def read(client: Client, resource: dict[str, Any], items: dict[str, bytes]) -> dict[str, bytes]:
    """Return what the client's server holds under the keys of the items."""
    _, plain = witness(client, resource)
    try:
        held: dict[str, bytes] = plain.read(items)
        return held
    finally:
        plain.close()


def right_mapping(result: Any, names: Names) -> None:
    if names["found"](result) != names["given"]:
        raise WrongError("a key or a value differs from what was stored")


def right_sets(result: Any, names: Names) -> None:
    if names["read"]() != names["items"]:
        raise WrongError("the server does not hold what was to be stored")
    if not names["stored"](result):
        raise WrongError(f"sets were reported as failed: {result!r}")


Chosen = tuple[Client, ...]


def case(name: str, clients: Chosen, to_row: Callable[..., Row], target: Target) -> Case:
    """Return the case of these clients; the target is on ours."""
    rows = [
        to_row(
            client,
            kind=client.kind,
            peer=client.peer,
            target=target if client.label == OURS else None,
            env=PURE if client.kind == "pure" else {},
        )
        for client in clients
    ]
    return Case(name, tuple(rows), floor=FLOOR, ours=OURS)


def gets_case(
    loop: str, words: str, tasks: int, each: tuple[int, int], clients: Chosen, target: Target
) -> Case:
    """Return the case of `tasks` tasks: how many gets `each` does, in a row and in a slow row."""

    def row(client: Client, **more: Any) -> Row:
        make = gets_names(loop, client, tasks, each[client.slow])
        call = "run(gets())"
        return Row(client.label, call, make, operations="count", check=right_values, **more)

    return case(f"{words}, {loop}", clients, row, target)


def many_case(loop: str, words: str, reads: bool, clients: Chosen, target: Target) -> Case:
    """Return the case of calls for 100 keys."""
    call, check = ("run(gets())", right_mapping) if reads else ("run(sets())", right_sets)

    def row(client: Client, **more: Any) -> Row:
        make = many_names(loop, client, reads)
        return Row(client.label, call, make, operations="count", check=check, **more)

    chosen = tuple(client for client in clients if client.many)
    return case(f"{words}, {loop}", chosen, row, target)


def latency_case(loop: str, clients: Chosen) -> Case:
    """Return the case of the 99th percentile with 100 tasks."""

    def row(client: Client, **more: Any) -> Row:
        make = gets_names(loop, client, 100, 5 if client.slow else 10)
        return Row(client.label, "run(slowest())", make, check=right_when_slowest, **more)

    return case(f"get, 100 tasks, {loop}", clients, row, AtMost(1.0, FLOOR))


def cases(loop: str, clients: Chosen) -> tuple[Case, ...]:
    """Return the cases of processor time."""
    return (
        gets_case(loop, "get in turn", 1, (200, 50), clients, AtMost(0.8, FLOOR)),
        gets_case(loop, "get, 10 tasks", 10, (100, 5), clients, AtMost(0.6, FLOOR)),
        gets_case(loop, "get, 100 tasks", 100, (20, 1), clients, AtMost(0.6, FLOOR)),
        gets_case(loop, "get, 1,000 tasks", 1000, (10, 1), clients, AtMost(0.6, FLOOR)),
        many_case(loop, "get of 100 keys", True, clients, AtMost(0.25, FLOOR)),
        many_case(loop, "set of 100 keys", False, clients, AtMost(0.3, FLOOR)),
    )


ABOUT = (
    "Values of 100 bytes, keys of 14; one memcached with one thread on loopback, and one Redis for "
    "the clients that do not speak to memcached, on one core with the clients. The hand-written "
    "protocol is an `asyncio.Protocol` in plain Python with one connection: requests in order, a "
    "deque of futures, one write a turn of the loop. Each task gets one key after the other. "
)
PROCESSOR = (
    "The time is the processor's that the client's own process takes, in its code and in the "
    "kernel: what a caller pays where the server is another machine. For 100 keys, emcache and "
    "aiomcache get them in one request and set them by 100 sets at once; the clients of Redis use "
    "MGET and MSET."
)
# A client that writes each request by itself pays for the writes, whatever the loop.
JOINING = tuple(client for client in CLIENTS if not client.slow)
LATENCIES = tuple(client for client in CLIENTS if not client.slow or client.label == "aiomcache")

GROUPS = (
    Group(
        "asyncio",
        "asyncio: the client's processor time",
        ABOUT + PROCESSOR,
        "call",
        cases("asyncio", CLIENTS),
        resource=servers,
        clock="process_time",
        share=0.4,
    ),
    Group(
        "asyncio-uvloop",
        "uvloop: the client's processor time",
        ABOUT + PROCESSOR,
        "call",
        cases("uvloop", JOINING),
        resource=servers,
        clock="process_time",
        share=0.4,
    ),
    Group(
        "asyncio-latency",
        "asyncio: the 99th percentile of latency",
        ABOUT + "The time is what 99 of 100 gets take at most, by the wall clock.",
        "get, 99th percentile",
        tuple(latency_case(loop, LATENCIES) for loop in LOOPS),
        resource=servers,
        clock=RESULT,
        share=0.6,
    ),
)
