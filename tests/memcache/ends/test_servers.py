"""Servers under asyncio that end connections, are silent, or do not read: what callers are told."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.aio import run, turns
from support.ends import (
    CALLERS,
    ENDS,
    LATE,
    LOST,
    MANY,
    PATIENT,
    TIMEOUT,
    End,
    all_ended,
    all_is_well,
    ask,
    ask_blindly,
    asked,
    between,
    check,
    ended,
    met,
    warm,
    well_again,
)
from support.memcached import Server

from godropbox.memcache import NetworkError, NotSupportedError, ReplyError
from godropbox.memcache.aio import AsyncClient

from ..conftest import tls_context


@pytest.mark.parametrize(
    ("name", "callers"),
    [
        (name, callers)
        for callers in CALLERS
        for name in ENDS
        if callers != "a set" or ENDS[name].kinds is not LATE  # each of those takes its time
    ],
)
def test_all_callers_are_told(
    filled: str, loop: str, protocol: Any, callers: str, name: str
) -> None:
    async def trial() -> None:
        end = ENDS[name]
        async with between(filled, protocol, timeout=end.timeout) as (middle, client):
            ends = await met(middle, client, end, all_ended(asked(client, callers)))
            some = name.startswith("half") or "garbage" in name
            check(ends, end.kinds, end.may_be_sent, some)
            if "garbage" in name and not end.is_cold:
                assert sum(isinstance(each.error, ReplyError) for each in ends) == 1
            await all_is_well(middle, client)

    run(trial(), loop)


@pytest.mark.parametrize("name", list(ENDS))
def test_a_group_of_tasks_ends_with_the_errors(
    filled: str, loop: str, protocol: Any, name: str
) -> None:
    async def together(client: AsyncClient) -> None:
        async with asyncio.TaskGroup() as group:
            for each in asked(client, "five"):
                group.create_task(each)

    async def trial() -> None:
        end = ENDS[name]
        async with between(filled, protocol, timeout=end.timeout) as (middle, client):
            with pytest.raises(ExceptionGroup) as caught:
                await met(middle, client, end, together(client))
            for each in caught.value.exceptions:
                assert isinstance(each, (NetworkError, ReplyError, NotSupportedError))
            await all_is_well(middle, client)

    run(trial(), loop)


@pytest.mark.parametrize("end", ["eof", "reset", "garbage", "restart"])
@pytest.mark.parametrize("callers", CALLERS)
def test_an_idle_connection_that_ends_costs_no_request(
    filled: str, loop: str, protocol: Any, callers: str, end: Any
) -> None:
    async def trial() -> None:
        async with between(filled, protocol) as (middle, client):
            await warm(client)
            if end == "restart":
                middle.stop()
                middle.start()
            elif end == "garbage":
                middle.say(b"VALUE ends-0 0 1\r\nx\r\nEND\r\n")
            else:
                middle.cut(end)
            await turns(3)
            ends = await all_ended(asked(client, callers))
            assert [each for each in ends if each.error is not None] == []
            assert middle.made == 2
            await all_is_well(middle, client)

    run(trial(), loop)


@pytest.mark.parametrize(
    "name",
    [
        "silent",
        "silent after half",
        "accepts, and is silent",
    ],
)
def test_who_asks_when_another_was_told_that_it_is_late(
    filled: str, loop: str, protocol: Any, name: str
) -> None:
    async def trial() -> None:
        async with between(filled, protocol, timeout=TIMEOUT) as (middle, client):
            if name == "accepts, and is silent":
                middle.greeting = "hold"
            else:
                await warm(client)
                middle.mute()
            count = middle.answered
            task = asyncio.create_task(ended(ask(client, 0, "get")))
            await turns(1)
            time.sleep(0.02)  # so late is it sent, if it is not yet, or half of it answered
            if name == "silent after half":
                await middle.until(lambda: middle.answered > count)
                middle.after(7, None)
            check([await task], LATE)
            middle.greeting = "forward"
            middle.speak()
            assert (await ended(ask(client, 0, "get"))).error is None

    run(trial(), loop)


def test_what_was_not_sent_goes_over_another_connection(
    filled: str, loop: str, protocol: Any
) -> None:
    async def trial() -> None:
        async with between(filled, protocol, max_in_flight=2) as (middle, client):
            await warm(client)
            count = middle.asked
            middle.mute()
            tasks = [asyncio.create_task(ended(ask(client, i))) for i in range(5)]
            await middle.until(lambda: middle.asked > count)
            await turns(3)
            middle.cut()
            middle.speak()
            ends = await asyncio.gather(*tasks)
            check(ends[:2], LOST, True)
            assert [each.error for each in ends[2:]] == [None, None, None]
            await all_is_well(middle, client)

    run(trial(), loop)


@pytest.mark.parametrize("callers", ["big1", "big5", "big200"])
def test_a_server_that_does_not_read(filled: str, loop: str, protocol: Any, callers: str) -> None:
    async def trial() -> None:
        async with between(filled, protocol, timeout=TIMEOUT) as (middle, client):
            await warm(client)
            middle.deafen()
            ends = await all_ended(asked(client, callers))
            check(ends, LATE, True if callers != "big200" else None)
            if callers == "big200":  # there is no room for more than 16 MiB
                told = [each.error.fields["sent"] for each in ends]  # type: ignore[union-attr]
                assert 40 < sum(told) < 60
            await all_is_well(middle, client)

    run(trial(), loop)


def test_a_server_that_reads_again(filled: str, loop: str, protocol: Any) -> None:
    async def trial() -> None:
        async with between(filled, protocol) as (middle, client):
            await warm(client)
            middle.deafen()
            task = asyncio.create_task(all_ended(asked(client, "big60")))
            await turns(10)
            middle.listen()
            assert [each for each in await task if each.error is not None] == []
            await all_is_well(middle, client)
            assert middle.made == 1

    run(trial(), loop)


@pytest.mark.parametrize("name", [name for name in ENDS if not ENDS[name].is_cold])
@pytest.mark.parametrize("count", [1, MANY])
def test_all_callers_are_told_over_tls(
    servers: Callable[[str], Server], tmp_path: Path, loop: str, count: int, name: str
) -> None:
    server = servers("tls")
    end = ENDS[name]
    # What is broken inside of TLS ends the connection, or looks like a record to come.
    kinds = LATE if end.kinds is LATE else (*LOST, *LATE) if "garbage" in name else LOST

    async def trial() -> None:
        timeout = TIMEOUT if set(LATE) & set(kinds) else PATIENT
        options = {
            "tls": tls_context(server, tmp_path),
            "timeout": timeout,
            "connect_timeout": PATIENT,
        }
        async with between(server.address, "meta", **options) as (middle, client):
            await well_again(middle, client)
            before = middle.asked
            end.before(middle)
            asks = [ask_blindly(client) for _ in range(count)]
            task = asyncio.create_task(all_ended(asks))
            await middle.until(lambda: middle.asked > before)
            await turns(3)
            end.then(middle)
            if end.then is not End.then:
                middle.speak()  # at most 128 are in flight: the others go over another connection
            ends = await task
            check(ends, kinds, None if count > 1 else True, some=True)
            await well_again(middle, client)

    run(trial(), loop)
