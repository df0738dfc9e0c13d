"""Arguments of the wrong type or size: our own words, from every protocol and raw client."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from support import aio
from support.blocking import LOOPS, Blocking

import godropbox
from godropbox import memcache
from godropbox.memcache import (
    AsciiProtocol,
    BaseShardManager,
    BinaryProtocol,
    Item,
    MetaProtocol,
    ShardedClient,
)
from godropbox.memcache.aio import AsyncBaseShardManager, AsyncClient, AsyncShardedClient
from godropbox.memcache.client import Client
from godropbox.memcache.testing import MockClient


class Unused:
    """A channel over which nothing may go."""

    def sendall(self, data: object, /) -> None:
        raise AssertionError(f"{data!r} was sent")

    def recv_into(self, buffer: Any, /) -> int:
        raise AssertionError("something was awaited")

    def settimeout(self, seconds: float | None, /) -> None:
        pass

    def close(self) -> None:
        pass


MAKERS: dict[str, Callable[[], Any]] = {
    "AsciiProtocol": AsciiProtocol,
    "BinaryProtocol": BinaryProtocol,
    "MetaProtocol": MetaProtocol,
    "RawAsciiClient": lambda: memcache.RawAsciiClient(Unused()),
    "RawBinaryClient": lambda: memcache.RawBinaryClient(Unused()),
    "RawMetaClient": lambda: memcache.RawMetaClient(Unused()),
    "MockClient": MockClient,
    "ShardedClient": lambda: ShardedClient(BaseShardManager(), MetaProtocol()),
    **{
        f"AsyncShardedClient, {loop}": lambda loop=loop: Blocking(  # type: ignore[misc]
            AsyncShardedClient(AsyncBaseShardManager(), MetaProtocol()), loop
        )
        for loop in LOOPS
    },
}
SHARDED = [name for name in MAKERS if "ShardedClient" in name]
EXPIRY = r"expire must be an int in \[-2\*\*31, 2\*\*31\)"
LEASE = r"lease must be an int in \[1, 2\*\*31\)"
NEW_CAS = r"new_cas must be an int in \[1, 2\*\*64\)"
LEVEL = r"level must be an int in \[0, 2\*\*31\)"
COUNT = r"must be an int in \[0, 2\*\*64\)"
# What is asked with each of the wrong values, and what is said of it.
CALLS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "gat": (lambda to, wrong: to.gat("a", wrong), EXPIRY),
    "touch": (lambda to, wrong: to.touch("a", wrong), EXPIRY),
    "increment": (lambda to, wrong: to.increment("a", wrong), f"delta {COUNT}"),
    "decrement": (lambda to, wrong: to.decrement("a", wrong), f"delta {COUNT}"),
    "initial": (lambda to, wrong: to.increment("a", 1, wrong), f"initial {COUNT}"),
    "flush": (lambda to, wrong: to.flush(wrong), r"expire must be an int in \[0, 2\*\*31\)"),
}
META: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "expire": (lambda to, wrong: to.meta_get("a", expire=wrong), EXPIRY),
    "lease": (lambda to, wrong: to.meta_get("a", lease=wrong), LEASE),
    "recache": (
        lambda to, wrong: to.meta_get("a", recache=wrong),
        r"recache must be an int in \[0, 2\*\*31\)",
    ),
    "new_cas": (lambda to, wrong: to.meta_set(Item("a", b""), new_cas=wrong), NEW_CAS),
    "cas": (lambda to, wrong: to.meta_delete("a", cas=wrong), f"cas {COUNT}"),
    "stale": (lambda to, wrong: to.meta_delete("a", stale=True, expire=wrong), EXPIRY),
}
WRONG = [1.5, 1.0, "1", b"1", []]


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("call", CALLS)
def test_a_number_of_another_type(maker: str, call: str) -> None:
    ask, words = CALLS[call]
    for wrong in WRONG:
        with pytest.raises(memcache.InvalidTypeError, match=f"{words}, got "):
            ask(MAKERS[maker](), wrong)


@pytest.mark.parametrize("maker", ["MetaProtocol", "RawMetaClient"])
@pytest.mark.parametrize("call", META)
def test_a_number_of_another_type_for_meta(maker: str, call: str) -> None:
    ask, words = META[call]
    for wrong in WRONG:
        with pytest.raises(memcache.InvalidTypeError, match=f"{words}, got "):
            ask(MAKERS[maker](), wrong)


@pytest.mark.parametrize("maker", ["AsciiProtocol", "MetaProtocol", "RawMetaClient"])
def test_a_level_of_another_type(maker: str) -> None:
    for wrong in WRONG:
        with pytest.raises(memcache.InvalidTypeError, match=f"{LEVEL}, got "):
            MAKERS[maker]().verbosity(wrong)


@pytest.mark.parametrize("maker", MAKERS)
def test_numbers_out_of_range(maker: str) -> None:
    to = MAKERS[maker]()
    for wrong in (-(2**31) - 1, 2**31, 2**100):
        with pytest.raises(memcache.InvalidArgumentError, match=f"{EXPIRY}, got {wrong}"):
            to.gat("a", wrong)
    for wrong in (-1, 2**64, -(2**100)):
        with pytest.raises(memcache.InvalidArgumentError, match=f"delta {COUNT}, got {wrong}"):
            to.increment("a", wrong)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_group_of_statistics_of_another_type(maker: str) -> None:
    with pytest.raises(memcache.InvalidTypeError, match="name must be a str, got 5"):
        MAKERS[maker]().stats(5)


@pytest.mark.parametrize("protocol", [AsciiProtocol, BinaryProtocol, MetaProtocol])
def test_what_counts_as_an_int_is_taken(protocol: Callable[[], Any]) -> None:
    class Three:
        def __index__(self) -> int:
            return 3

    assert protocol().increment("a", Three()).request == protocol().increment("a", 3).request
    assert protocol().touch("a", Three()).request == protocol().touch("a", 3).request


@pytest.mark.parametrize("wrong", ["1", b"1", [], True])
def test_a_timeout_of_another_type(wrong: Any) -> None:
    words = r"timeout must be a number in \(0, 1e9\) or None, got "
    with pytest.raises(memcache.InvalidTypeError, match=words):
        memcache.RawMetaClient(Unused(), timeout=wrong)
    with pytest.raises(memcache.InvalidTypeError, match=words):
        ShardedClient(BaseShardManager(), MetaProtocol(), wrong)
    with pytest.raises(memcache.InvalidTypeError, match=words):
        AsyncShardedClient(AsyncBaseShardManager(), MetaProtocol(), wrong)
    for kind in (Client, AsyncClient):
        with pytest.raises(memcache.InvalidTypeError, match="timeout must be a number, got "):
            kind(["127.0.0.1:1"], timeout=wrong)


# Keys of a batch of gets, whose answers go by key


def over(maker: str, **options: Any) -> Callable[[], Any]:
    return lambda: Client.over(MAKERS[maker](), **options)


CLIENTS: dict[str, Callable[[], Any]] = {
    **{
        f"Client.over({maker})": over(maker)
        for maker in MAKERS
        if "Client" in maker and "Async" not in maker
    },
    "Client.over(MockClient), hashing": over("MockClient", long_keys="hash"),
    "Client": lambda: Client(["127.0.0.1:1"]),
    "Client, hashing": lambda: Client(["127.0.0.1:1"], long_keys="hash"),
    "Client, with hooks": lambda: Client(["127.0.0.1:1"], hooks=(lambda event: None,)),
    "Client, ascii": lambda: Client(["127.0.0.1:1"], protocol="ascii"),
    "Client, binary": lambda: Client(["127.0.0.1:1"], protocol="binary"),
    **{
        f"AsyncClient, {loop}{', ' if options else ''}{', '.join(options)}": lambda loop=loop, options=options: (  # type: ignore[misc]  # noqa: E501
            Blocking(AsyncClient(["127.0.0.1:1"], **options), loop)
        )
        for loop in LOOPS
        for options in (
            {},
            {"long_keys": "hash"},
            {"hooks": (lambda event: None,)},
            {"protocol": "ascii"},
            {"protocol": "binary", "failures": "miss"},
        )
    },
}
GETS: dict[str, tuple[dict[str, Callable[[], Any]], Callable[[Any, list[Any]], Any]]] = {
    "get_multi": (MAKERS, lambda to, keys: to.get_multi(keys)),
    "get_many": (CLIENTS, lambda to, keys: to.get_many(keys)),
    "get_values": (
        {name: MAKERS[name] for name in SHARDED},
        lambda to, keys: to.get_values(keys),
    ),
    "get_sentinels": (
        {name: MAKERS[name] for name in SHARDED},
        lambda to, keys: to.get_sentinels(keys),
    ),
}
CASES = [(call, maker) for call, (makers, _) in GETS.items() for maker in makers]


@pytest.mark.parametrize(("call", "maker"), CASES)
@pytest.mark.parametrize("wrong", [["a"], {"a": 1}, {"a"}, bytearray(b"a"), (["a"],)], ids=repr)
def test_a_key_that_cannot_be_hashed_is_named(call: str, maker: str, wrong: Any) -> None:
    makers, ask = GETS[call]
    for keys in ([wrong], ["a", wrong], ["a", "a", wrong, 5], [wrong] * 600):
        to = makers[maker]()
        with pytest.raises(memcache.InvalidTypeError) as caught:
            ask(to, keys)
        assert str(caught.value).startswith("key must be str or bytes, got ")
        assert str(caught.value).endswith(f"({type(wrong).__name__})")


@pytest.mark.parametrize(("call", "maker"), CASES)
def test_what_a_keys_own_hash_raises_comes_out(call: str, maker: str) -> None:
    class Odd:
        def __hash__(self) -> int:
            raise ZeroDivisionError("of its own")

    makers, ask = GETS[call]
    with pytest.raises(ZeroDivisionError, match="of its own"):
        ask(makers[maker](), ["a", Odd()])


# The asyncio clients take what the blocking ones do

PAIRS = [(Client, AsyncClient), (ShardedClient, AsyncShardedClient)]
HAS_NO_TWIN = {"over"}  # which goes over raw clients


def public(kind: type) -> dict[str, Any]:
    """Return what a class has that has a name for users, by name."""
    return {
        name: inspect.getattr_static(kind, name)
        for name in dir(kind)
        if not name.startswith("_") and name not in HAS_NO_TWIN
    }


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    """Return the names, kinds and defaults of a method's parameters, but for ``self``."""
    given = list(inspect.signature(function).parameters.values())[1:]
    return [(each.name, each.kind, each.default) for each in given]


@pytest.mark.parametrize(("blocking", "of_tasks"), PAIRS)
def test_asyncio_has_the_same_methods_with_the_same_parameters(
    blocking: type, of_tasks: type
) -> None:
    theirs, ours = public(blocking), public(of_tasks)
    assert set(theirs) <= set(ours)
    assert set(ours) <= set(theirs)
    for name in theirs:
        if callable(theirs[name]):
            if name == "iter_keys":
                assert inspect.isasyncgenfunction(ours[name]), name
            else:
                assert inspect.iscoroutinefunction(ours[name]), name
            assert parameters(ours[name]) == parameters(theirs[name]), name
            assert inspect.getdoc(ours[name]), name
        else:  # a property is one in both
            assert not callable(ours[name]), name
    for name in ("__aenter__", "__aexit__"):
        assert inspect.iscoroutinefunction(getattr(of_tasks, name))
    assert inspect.getdoc(of_tasks)


def test_asyncio_clients_are_made_of_the_same_arguments() -> None:
    assert list(inspect.signature(AsyncClient).parameters) == ["servers", "options", "overrides"]
    assert list(inspect.signature(AsyncShardedClient).parameters) == [
        "manager",
        "protocol",
        "timeout",
        "retry_reads",
    ]
    if godropbox.IMPLEMENTATION == "native":
        return  # classes that are compiled have no signatures
    for blocking, of_tasks in PAIRS:
        theirs, ours = (inspect.signature(kind).parameters for kind in (blocking, of_tasks))
        assert [(each.name, each.kind) for each in ours.values()] == [
            (each.name, each.kind) for each in theirs.values()
        ]


@pytest.mark.parametrize("loop", aio.LOOPS)
def test_each_call_is_a_coroutine_that_tasks_take(loop: str) -> None:
    async def ask() -> None:
        async with AsyncClient(["127.0.0.1:1"], failures="miss") as client:
            task = asyncio.create_task(client.get("k", "none"))
            coroutine = client.get_many(["k"])
            assert inspect.iscoroutine(coroutine)
            assert list(await asyncio.gather(task, coroutine)) == ["none", {}]
            async with asyncio.TaskGroup() as group, asyncio.timeout(10):
                group.create_task(client.version())
                await asyncio.shield(client.stats())
            unused = client.set("k", 1)  # nothing is begun before it is awaited
            unused.close()

    aio.run(ask(), loop)
