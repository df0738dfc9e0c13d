"""While a server is asked whether it knows a command, nothing goes behind the question."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support import aio
from support.memcached import Server

from godropbox.memcache.aio import AsyncClient


@pytest.mark.parametrize("loop", aio.LOOPS)
@pytest.mark.parametrize("protocol", ["meta", "ascii"])
def test_a_get_waits_for_a_question(
    servers: Callable[[str], Server], protocol: Any, loop: str
) -> None:
    async def ask() -> None:
        async with AsyncClient(servers("tcp").address, protocol=protocol, timeout=10.0) as client:
            assert await client.get("absent") is None  # which is no question
            calls = [client.set("a", b"1"), client.get("b"), client.get("c"), client.add("d", b"1")]
            await client.flush_all()
            assert await asyncio.gather(*calls) == [True, None, None, True]

    aio.run(ask(), loop)
