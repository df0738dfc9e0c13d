"""A thousand tasks over one connection: loads once, cancels half, and nobody gets a wrong value.

Run ``python examples/asyncio_cache.py``. It starts a memcached on a free port, or uses those of
``--servers``, and runs on uvloop if ``--uvloop`` is given.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator

from godropbox.memcache.aio import AsyncClient

TASKS = 1000
USERS = 10


@contextlib.asynccontextmanager
async def memcached() -> AsyncIterator[str]:
    """Run a memcached on a free port; give its address."""
    program = shutil.which("memcached")
    if program is None:
        raise SystemExit("memcached is not installed: give addresses with --servers")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "1"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command += ["-u", "root"]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(10):
            while not await listens(port):
                await asyncio.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


class Database:
    """Loads users slowly, and counts the loads."""

    def __init__(self) -> None:
        self.loads = 0

    async def load(self, number: int) -> dict[str, str]:
        self.loads += 1
        await asyncio.sleep(0.02)
        return {"name": f"user {number}"}


async def opened(client: AsyncClient) -> int:
    """Return how many connections the servers have ever accepted."""
    return sum(int(stats["total_connections"]) for stats in (await client.stats()).values())


async def show(client: AsyncClient) -> None:
    database = Database()
    before = await opened(client)

    async def page(number: int) -> str:
        user = await client.get_or_set(f"user:{number}", lambda: database.load(number), 60)
        name: str = user["name"]
        return name

    await client.delete_many(f"user:{n}" for n in range(USERS))
    names = await asyncio.gather(*(page(n % USERS) for n in range(TASKS)))
    assert names == [f"user {n % USERS}" for n in range(TASKS)]
    print(f"{TASKS} tasks missed {USERS} keys at once: {database.loads} loads")

    tasks = [asyncio.create_task(client.get(f"user:{n % USERS}")) for n in range(TASKS)]
    await asyncio.sleep(0)  # all requests are on their way
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
    right = sum(result == {"name": f"user {n % USERS}"} for n, result in enumerate(results))
    print(f"{cancelled} gets cancelled in flight: the other {right} have the right value")

    found = await client.get_many(f"user:{n}" for n in range(USERS))
    print(f"a batch of {USERS} keys: {len(found)} found")
    print(f"connections opened meanwhile: {await opened(client) - before}")


async def run(servers: list[str]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        addresses = servers or [await stack.enter_async_context(memcached())]
        client = AsyncClient(addresses, timeout=5.0, serializer="json", prefix="example:")
        await show(await stack.enter_async_context(client))


def main() -> None:
    parser = argparse.ArgumentParser(description="A thousand tasks over one connection.")
    parser.add_argument("--servers", nargs="*", default=[], help="addresses of memcached servers")
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop")
    given = parser.parse_args()
    factory = None
    if given.uvloop:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run(given.servers))


if __name__ == "__main__":
    main()
