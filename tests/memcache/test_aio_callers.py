"""Callers that share a connection: what one of them does, or meets, is no other's matter."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.aio import run, turns
from support.memcached import Server, need_tokens
from support.memory import let_go

from godropbox.memcache import ConnectionLostError, DeadlineExceededError, WrongLoopError
from godropbox.memcache.aio import (
    AsyncBaseShardManager,
    AsyncClient,
    AsyncShardOptions,
    AsyncStaticShardManager,
)

Answer = Callable[[bytes], Awaitable[bytes | None]]
Servers = Callable[[str], Server]


def values(line: bytes, found: list[tuple[bytes, bytes]]) -> bytes:
    """Return the reply to a get, or a gets, that finds these."""
    token = b" 7" if line.startswith(b"gets") else b""
    blocks = [b"VALUE %b 0 %d%b\r\n%b\r\n" % (k, len(v), token, v) for k, v in found]
    return b"".join(blocks) + b"END\r\n"


class Scripted:
    """A server that answers each line with what `answer` makes of it; None closes."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._server: Any = None
        self._tasks: set[Any] = set()
        self.lines: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            while line := await reader.readline():
                self.lines.append(line)
                reply = await self._answer(line)
                if reply is None:
                    break
                writer.write(reply)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        self._server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        finally:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)


async def outcome(what: Awaitable[Any]) -> Any:
    """Return what it returns, or raises."""
    try:
        return await what
    except Exception as error:
        return error


def names(line: bytes) -> list[bytes]:
    return line.split()[1:]


# Gets that are one request


def test_gets_of_one_turn_are_one_request(loop: str) -> None:
    need_tokens()

    async def answer(line: bytes) -> bytes:
        held = {b"a": b"1", b"b": b"22", b"e": b""}
        return values(line, [(name, held[name]) for name in names(line) if name in held])

    async def use() -> None:
        server = Scripted(answer)
        async with server.running() as address, AsyncClient(address, protocol="ascii") as client:
            await client.get("warm")
            wanted = ["a", "b", "none", "a", "e", "b"]
            assert await asyncio.gather(*map(client.get, wanted)) == (
                [b"1", b"22", None, b"1", None, b"22"]
            )
        assert server.lines == [b"gets warm\r\n", b"get a\r\n", b"get b none a e b\r\n"]

    run(use(), loop)


def test_a_request_for_gets_has_at_most_100_keys_and_8_kib(loop: str) -> None:
    async def answer(line: bytes) -> bytes:
        return b"END\r\n"

    async def use() -> None:
        server = Scripted(answer)
        async with server.running() as address, AsyncClient(address, protocol="ascii") as client:
            await client.get("warm")
            await asyncio.gather(*[client.get(f"k{n}") for n in range(251)])
            await asyncio.gather(*[client.get(f"{n:0>240}") for n in range(60)])
        assert [len(names(line)) for line in server.lines[1:5]] == [1, 100, 100, 50]
        assert sum(len(names(line)) for line in server.lines[5:]) == 60
        assert max(map(len, server.lines)) <= 8192 + 2

    run(use(), loop)


@pytest.mark.parametrize("reply", ["once", "in another order"])
def test_answers_find_their_callers(loop: str, reply: str) -> None:
    async def answer(line: bytes) -> bytes:
        found = list(dict.fromkeys(names(line))) if reply == "once" else names(line)[::-1]
        return values(line, [(name, name[:1]) for name in found])

    async def use() -> None:
        server = Scripted(answer)
        async with server.running() as address, AsyncClient(address, protocol="ascii") as client:
            await client.get("warm")
            keys: list[Any] = ["a", "b", b"b", "c", "b", "\u00e9", "\u00e9".encode(), "d"]
            found = await asyncio.gather(*map(client.get, keys))
            assert found == [b"a", b"b", b"b", b"c", b"b", b"\xc3", b"\xc3", b"d"]

    run(use(), loop)


def test_gets_that_were_refused_together_go_again_one_by_one(loop: str) -> None:
    async def answer(line: bytes) -> bytes:
        if len(names(line)) > 1:
            return b"SERVER_ERROR a server is dead\r\n"
        if names(line) == [b"dead"]:
            return b"SERVER_ERROR it is dead\r\n"
        return values(line, [(names(line)[0], b"x")])

    async def use() -> None:
        server = Scripted(answer)
        async with server.running() as address, AsyncClient(address, protocol="ascii") as client:
            for _ in range(2):
                keys = ["a", "b", "dead", "c"]
                ends = await asyncio.gather(*[outcome(client.get(k)) for k in keys])
                assert (ends[0], ends[1], ends[3]) == (b"x", b"x", b"x")
                assert "it is dead" in str(ends[2])
        assert server.connections == 2
        assert sum(len(names(line)) > 1 for line in server.lines) == 1

    run(use(), loop)


# Callers that leave


@pytest.mark.parametrize("count", range(6))
def test_a_lease_that_nobody_waits_for_is_given_up(loop: str, count: int, servers: Servers) -> None:
    need_tokens()

    async def load() -> bytes:
        return b"loaded"

    async def use() -> None:
        async with AsyncClient(servers("tcp").address, timeout=5) as client:
            await client.set("large", b"x" * 500_000)
            await client.get_or_set("warm", load, 60)
            key = f"lease {loop} {count}".replace(" ", ":")
            others = [asyncio.create_task(client.gets("large")) for _ in range(3)]
            caller = asyncio.create_task(client.get_or_set(key, load, 60))
            others += [asyncio.create_task(client.gets("large")) for _ in range(3)]
            await turns(count)
            caller.cancel()
            assert [value for value, _ in await asyncio.gather(*others)] == [b"x" * 500_000] * 6
            await asyncio.gather(caller, return_exceptions=True)
            assert await client.get_or_set(key, load, 60, lease_time=60, wait=5) == b"loaded"

    run(use(), loop)


def test_callers_in_line_that_were_cancelled_leave_nothing(loop: str) -> None:
    async def answer(line: bytes) -> bytes | None:
        await asyncio.Event().wait()
        return None

    async def use() -> None:
        server = Scripted(answer)
        async with server.running() as address:
            client = AsyncClient(address, protocol="ascii", timeout=None, max_in_flight=1)
            first = asyncio.create_task(outcome(client.get("first")))
            await turns(5)
            while not server.lines:
                await asyncio.sleep(0.001)
            for _ in range(20):
                tasks = [asyncio.create_task(client.set("k", bytes(1000))) for _ in range(50)]
                await turns(2)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            [shard] = client._owned.fleet().shards
            assert shard.pool.in_flight < 300
            for task in [first]:
                task.cancel()
            await asyncio.gather(first, return_exceptions=True)
            shard.pool.close()
            await client.close()

    run(use(), loop)


def test_a_late_first_caller_is_late_alone(loop: str) -> None:
    go_on = asyncio.Event()

    async def answer(line: bytes) -> bytes:
        if line.startswith(b"get") and names(line) != [b"warm"]:
            await go_on.wait()
        if line.startswith(b"get"):
            return b"END\r\n"
        return b"VERSION 1.6.45\r\n" if line.startswith(b"version") else b"HD\r\n"

    async def use() -> None:
        server = Scripted(answer)
        async with server.running() as address:
            options = AsyncShardOptions(timeout=30)
            async with AsyncStaticShardManager([address], options=options) as manager:
                patient = AsyncClient(manager, timeout=30)
                hasty = AsyncClient(manager, timeout=0.02)
                await patient.get("warm")
                waiting = [asyncio.create_task(patient.get(f"k{n}")) for n in range(3)]
                await turns(1)
                late = await outcome(hasty.touch("t", 5))  # which has to ask the server first
                assert isinstance(late, DeadlineExceededError)
                go_on.set()
                assert await asyncio.gather(*waiting) == [None] * 3

    run(use(), loop)


# Managers and fleets


class Raising(AsyncStaticShardManager):
    def failed(self, shard: Any, error: BaseException) -> None:
        raise RuntimeError("of the manager")


def test_a_manager_that_raises_leaves_nobody_waiting(loop: str) -> None:
    async def answer(line: bytes) -> None:
        return None

    async def use() -> None:
        server = Scripted(answer)
        options = AsyncShardOptions(eject_after=5)
        async with server.running() as address, Raising([address], options=options) as manager:
            client = AsyncClient(manager, protocol="ascii")
            calls = [client.get("a"), client.gets("b"), client.get("c"), client.gets("d")]
            kinds = {type(end) for end in await asyncio.gather(*map(outcome, calls))}
            assert kinds <= {RuntimeError, ConnectionLostError}
            assert RuntimeError in kinds

    run(use(), loop)


def test_one_lost_connection_counts_once(loop: str) -> None:
    async def answer(line: bytes) -> None:
        return None

    async def use() -> None:
        server = Scripted(answer)
        async with server.running() as address:
            options = AsyncShardOptions(eject_after=3)
            async with AsyncStaticShardManager([address], options=options) as manager:
                client = AsyncClient(manager, protocol="ascii")
                ends = await asyncio.gather(*[outcome(client.get(f"k{n}")) for n in range(20)])
                assert {type(end) for end in ends} == {ConnectionLostError}
                assert manager.fleet().shards[0].failures == 1

    run(use(), loop)


def test_a_get_whose_server_leaves_the_fleet_goes_to_another(loop: str) -> None:
    holds = asyncio.Event()

    async def refuse(line: bytes) -> bytes:
        if len(names(line)) > 1:
            await holds.wait()
            return b"SERVER_ERROR\r\n"
        return b"END\r\n"

    async def answer(line: bytes) -> bytes:
        return values(line, [(name, b"y") for name in names(line)])

    async def use() -> None:
        first, second = Scripted(refuse), Scripted(answer)
        async with (
            first.running() as here,
            second.running() as there,
            AsyncStaticShardManager([here]) as manager,
        ):
            client = AsyncClient(manager, protocol="ascii")
            await client.get("warm")
            calls = [asyncio.create_task(client.get(f"k{n}")) for n in range(4)]
            while len(first.lines) < 3:
                await asyncio.sleep(0.001)
            manager.update_shard_states([(there, 0)])
            holds.set()
            assert set(await asyncio.gather(*calls)) <= {None, b"y"}
            assert second.lines

    run(use(), loop)


def test_a_spare_connection_that_is_not_made_harms_nobody(loop: str) -> None:
    async def answer(line: bytes) -> bytes:
        await turns(2)
        return b"END\r\n"

    async def use() -> None:
        server = Scripted(answer)
        async with server.running() as address:
            client = AsyncClient(address, protocol="ascii", connections=2, connect_timeout=0.05)
            await client.get("warm")
            server._server.close()  # it takes no second connection
            assert await asyncio.gather(*[client.gets(f"k{n}") for n in range(30)]) == (
                [(None, None)] * 30
            )
            await client.close()

    run(use(), loop)


def test_a_fleet_is_changed_in_its_loop(loop: str, servers: Servers) -> None:
    async def use() -> None:
        async with AsyncBaseShardManager() as manager:
            manager.update_shard_states([(servers("tcp").address, 0)])
            client = AsyncClient(manager)
            await client.get("k")
            caught: list[BaseException] = []

            def change() -> None:
                try:
                    manager.update_shard_states([])
                except WrongLoopError as error:
                    caught.append(error)

            thread = threading.Thread(target=change)
            thread.start()
            await asyncio.to_thread(thread.join)
            assert "call_soon_threadsafe" in str(caught[0])
            assert len(manager.fleet().shards) == 1

    run(use(), loop)


def test_a_client_with_a_request_in_flight_is_garbage_with_its_loop(loop: str) -> None:
    async def answer(line: bytes) -> bytes | None:
        await asyncio.Event().wait()
        return None

    gone: list[Any] = []

    async def use() -> None:
        server = Scripted(answer)
        async with server.running() as address:
            client = AsyncClient(address, protocol="ascii", timeout=60)
            call = asyncio.create_task(client.get("k"))
            while not server.lines:
                await asyncio.sleep(0.001)
            [link] = client._owned._hub.links
            gone.append(weakref.ref(client))
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            link.transport.abort()  # the socket; the client is not closed
            await turns(3)

    run(use(), loop)
    gc.collect()
    let_go()
    assert gone[0]() is None
