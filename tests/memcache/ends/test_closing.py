"""Closing a client of asyncio in every state, and replies that came while its loop was blocked."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.aio import run, turns
from support.ends import (
    GRACE,
    TIMEOUT,
    all_ended,
    ask,
    asked,
    ended,
    greets,
    key_of,
    warm,
    well_again,
)
from support.memcached import Server
from support.middle import Middle

from godropbox.memcache import ClientClosedError, NetworkError
from godropbox.memcache.aio import AsyncClient

from ..conftest import tls_context

CLOSING: dict[str, Callable[[Middle], object]] = {
    "connecting": greets("hold"),
    "in flight": lambda middle: None,
    "silent": Middle.mute,
    "half a reply": lambda middle: middle.after(7, None),
    "paused": Middle.deafen,
    "down": Middle.stop,
}


@pytest.mark.parametrize("state", list(CLOSING))
@pytest.mark.parametrize("callers", ["a get", "many", "big100"])
@pytest.mark.parametrize("is_tls", [False, True])
def test_closing_in_every_state(
    servers: Callable[[str], Server],
    tmp_path: Path,
    loop: str,
    state: str,
    callers: str,
    is_tls: bool,
) -> None:
    server = servers("tls" if is_tls else "tcp")

    async def trial() -> None:
        tls = tls_context(server, tmp_path) if is_tls else None
        async with Middle(server.address) as middle:
            client = AsyncClient([middle.address], timeout=TIMEOUT, connect_timeout=30.0, tls=tls)
            if state != "connecting":
                await well_again(middle, client)
            CLOSING[state](middle)
            tasks = [asyncio.create_task(ended(each)) for each in asked(client, callers)]
            await turns(3)
            began = time.monotonic()
            await client.close()
            assert time.monotonic() - began < TIMEOUT + GRACE
            assert middle.sockets == 0
            await turns(2)
            assert all(task.done() for task in tasks)
            for each in await asyncio.gather(*tasks):
                kinds = (NetworkError, ClientClosedError, AssertionError)
                assert each.error is None or isinstance(each.error, kinds), each
            assert len(asyncio.all_tasks()) == 1
            with pytest.raises(ClientClosedError):
                await client.get("a")

    run(trial(), loop)


def test_a_close_that_is_cancelled_closes_at_once(filled: str, loop: str, protocol: Any) -> None:
    async def trial() -> None:
        async with Middle(filled) as middle:
            client = AsyncClient([middle.address], protocol=protocol, timeout=30.0)
            await warm(client)
            middle.mute()
            task = asyncio.create_task(ended(ask(client, 0)))
            await turns(3)
            closing = asyncio.create_task(client.close())
            await turns(3)
            assert not closing.done()
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert isinstance((await task).error, ClientClosedError)
            await middle.until(lambda: middle.open == 0)
            await client.close()

    run(trial(), loop)


def test_closing_waits_for_what_is_in_flight(filled: str, loop: str, protocol: Any) -> None:
    async def trial() -> None:
        async with Middle(filled) as middle:
            client = AsyncClient([middle.address], protocol=protocol, timeout=30.0)
            await warm(client)
            count = middle.asked
            middle.mute()
            task = asyncio.create_task(all_ended(asked(client, "many")))
            await middle.until(lambda: middle.asked > count)
            closing = [asyncio.create_task(client.close()) for _ in range(2)]
            await turns(3)
            with pytest.raises(ClientClosedError):
                await client.get(key_of(0))
            assert not any(each.done() for each in closing)
            middle.speak()
            await asyncio.gather(*closing)
            assert [each for each in await task if each.error is not None] == []

    run(trial(), loop)


def test_replies_that_came_while_the_loop_was_blocked(
    filled: str, loop: str, protocol: Any
) -> None:
    async def trial() -> None:
        async with AsyncClient([filled], protocol=protocol, timeout=TIMEOUT) as client:
            await warm(client)
            tasks = [asyncio.create_task(ended(each)) for each in asked(client, "many")]
            await turns(2)
            time.sleep(TIMEOUT * 1.5)  # as a callback does that has no business in a loop
            ends = await asyncio.gather(*tasks)
            assert [each for each in ends if each.error is not None] == []

    run(trial(), loop)
