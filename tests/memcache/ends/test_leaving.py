"""Callers under asyncio that are cancelled, time out or fail together: nobody else notices."""

import asyncio
from typing import Any

import pytest
from support.aio import run, turns
from support.ends import (
    CALLERS,
    Leaving,
    all_ended,
    all_is_well,
    ask,
    between,
    divided,
    ended,
    warm,
)


@pytest.mark.parametrize("way", ["cancel", "timeout", "group"])
@pytest.mark.parametrize("moment", ["in line", "unsent", "sent", "half"])
@pytest.mark.parametrize("callers", CALLERS)
def test_a_caller_that_leaves_is_not_noticed(
    filled: str, loop: str, protocol: Any, callers: str, moment: str, way: str
) -> None:
    async def trial() -> None:
        async with between(filled, protocol) as (middle, client):
            if moment == "in line":
                middle.mute()
            else:
                await warm(client)
            if moment == "sent":
                middle.mute()
            elif moment == "half":
                middle.after(5, None)
            before = middle.asked, middle.answered
            leave, stay = divided(client, callers)
            # Those who leave stand in between.
            first = [asyncio.create_task(ended(each)) for each in stay[: len(stay) // 2]]
            leaving = Leaving(way, leave)
            rest = [asyncio.create_task(ended(each)) for each in stay[len(stay) // 2 :]]
            if moment == "sent":
                await middle.until(lambda: middle.asked > before[0])
                await turns(3)
            elif moment == "half":
                await middle.until(lambda: middle.answered > before[1])
                await turns(3)
            else:
                await turns(2 if way == "group" else 1)
            leaving.leave()
            await leaving.left()
            middle.speak()
            assert [each.error for each in await asyncio.gather(*first, *rest)] == [None] * len(
                stay
            )
            await all_is_well(middle, client)
            assert middle.made == 1

    run(trial(), loop)


@pytest.mark.parametrize("callers", ["five", "many"])
def test_a_caller_that_is_cancelled_when_its_reply_is_there(
    filled: str, loop: str, protocol: Any, callers: str
) -> None:
    async def trial() -> None:
        async with between(filled, protocol) as (middle, client):
            await warm(client)
            count = middle.asked
            middle.mute()
            leave, stay = divided(client, callers)

            async def first() -> None:
                await ask(client, 0, "get")
                for task in tasks:
                    assert task.cancel()  # its reply came with the first one's

            canceller = asyncio.create_task(first())
            tasks = [asyncio.create_task(each) for each in leave]
            others = [asyncio.create_task(ended(each)) for each in stay]
            await middle.until(lambda: middle.asked > count)
            await turns(3)
            middle.speak()
            await canceller
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                assert type(result) is asyncio.CancelledError
            assert [each for each in await asyncio.gather(*others) if each.error is not None] == []
            await all_is_well(middle, client)
            assert middle.made == 1

    run(trial(), loop)


@pytest.mark.parametrize("way", ["cancel", "timeout", "group"])
def test_callers_that_leave_a_server_that_does_not_read(
    filled: str, loop: str, protocol: Any, way: str
) -> None:
    async def trial() -> None:
        async with between(filled, protocol) as (middle, client):
            await warm(client)
            middle.deafen()
            leave, stay = divided(client, "big60")
            leaving = Leaving(way, leave)
            rest = asyncio.create_task(all_ended(stay))
            await turns(10)
            leaving.leave()
            await leaving.left()
            middle.listen()
            assert [each for each in await rest if each.error is not None] == []
            await all_is_well(middle, client)
            assert middle.made == 1

    run(trial(), loop)
