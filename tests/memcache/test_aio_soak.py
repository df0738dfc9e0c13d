"""Soak of the asyncio client: no wrong value, no hang, nothing left; and what requests weigh.

``GODROPBOX_SOAK_OPS`` sets the length of the soak, 12,000 operations by default.
"""

import asyncio
import ctypes
import gc
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.aio import LOOPS, run, turns
from support.aio_soak import Soak
from support.memcached import Server
from support.middle import Middle

from godropbox.memcache.aio import AsyncClient

OPERATIONS = int(os.environ.get("GODROPBOX_SOAK_OPS", "12000"))
TIMEOUT = 0.1
# How much later than its deadline an operation may end: strictly where the machine is idle, and
# so that a hang is told from a busy machine where it is not.
GRACE = 0.05 if "GODROPBOX_STRICT" in os.environ else 10.0
PROTOCOLS = ("meta", "ascii", "binary")
IN_FLIGHT = 100_000 if "GODROPBOX_SOAK_OPS" in os.environ else 20_000


def resident() -> int:
    """Return the process's memory, without what the C library keeps for later."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("loop", LOOPS)
def test_soak(
    servers: Callable[[str], Server],
    loop: str,
    protocol: Any,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    share = max(OPERATIONS // (len(PROTOCOLS) * len(LOOPS)), 600)
    seed = len(LOOPS) * PROTOCOLS.index(protocol) + LOOPS.index(loop)
    address = servers("tcp").address
    shown = ""

    async def trial() -> None:
        nonlocal shown
        async with Middle(address) as one, Middle(address) as other:
            client = AsyncClient(
                [one.address, other.address, address],
                protocol=protocol,
                timeout=TIMEOUT,
                connect_timeout=TIMEOUT,
                connections=2,
                max_in_flight=20,
            )
            async with client:
                soak = Soak(client, [one, other], TIMEOUT, seed)
                await soak.run(share // 5)
                memory = resident()
                await soak.run(share - share // 5)
            assert one.sockets + other.sockets == 0
            assert len(asyncio.all_tasks()) == 1
            grown = resident() - memory
            shown = (
                f"{loop} {protocol}: {share} operations; {dict(soak.ends)}; {dict(soak.faults)};"
                f" late by {soak.late:.3f} s; grown by {grown >> 10} KiB"
            )
            assert {"answers", "ConnectionLostError", "CancelledError", "BoomError"} <= set(
                soak.ends
            )
            assert soak.late < GRACE
            assert grown < 8 << 20

    files = len(os.listdir("/proc/self/fd"))
    try:
        run(trial(), loop)
    finally:
        if "GODROPBOX_SOAK_OPS" in os.environ:
            with capsys.disabled():
                print(f"\n{shown}")
    assert len(os.listdir("/proc/self/fd")) <= files + 2  # uvloop's threads open two, once
    assert caplog.records == []


@pytest.mark.parametrize("loop", LOOPS)
def test_memory_of_requests_in_flight(loop: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ""

    async def trial() -> None:
        nonlocal shown
        keys = [f"key-{i}" for i in range(IN_FLIGHT)]
        async with Middle("127.0.0.1:1") as middle:
            middle.greeting = "hold"
            client = AsyncClient(
                [middle.address],
                protocol="ascii",
                timeout=300.0,
                retry_reads=False,
                max_in_flight=2 * IN_FLIGHT,
                max_in_flight_bytes=1 << 30,
            )
            first = asyncio.create_task(client.get("first"))
            await middle.until(lambda: middle.asked > 0)
            gc.collect()
            tracemalloc.start()
            before, whole = tracemalloc.get_traced_memory()[0], resident()
            tasks = [asyncio.create_task(client.get(key)) for key in keys]
            # Gets of one turn may share a request: each takes its key and a space of it.
            await middle.until(lambda: middle.asked >= sum(len(key) + 1 for key in keys))
            await turns(2)
            traced = (tracemalloc.get_traced_memory()[0] - before) / IN_FLIGHT
            tracemalloc.stop()
            shown = f"{loop}: {traced:.0f} B a request in flight, its task included"
            shown += (
                f"; {(resident() - whole) / IN_FLIGHT:.0f} B resident, those of tracemalloc too"
            )
            assert traced < 1536
            middle.cut()
            ends = await asyncio.gather(first, *tasks, return_exceptions=True)
            assert all(isinstance(each, Exception) for each in ends)
            await client.close()

    try:
        run(trial(), loop)
    finally:
        if "GODROPBOX_SOAK_OPS" in os.environ:
            with capsys.disabled():
                print(f"\n{shown}")
