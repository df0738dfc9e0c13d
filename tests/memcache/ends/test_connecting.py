"""Connections under asyncio that come to nothing: no answer, a handshake or a login cut short."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.aio import run, turns
from support.ends import (
    BROKEN,
    LATE,
    LOST,
    TIMEOUT,
    End,
    all_ended,
    asked,
    between,
    check,
    greets,
    well_again,
)
from support.memcached import PASSWORD, USER, Server
from support.middle import Middle

from godropbox.memcache import Credentials
from godropbox.memcache.aio import AsyncClient

from ..conftest import tls_context


@pytest.fixture
def unanswering() -> Iterator[str]:
    """Return an address where nobody takes or refuses a connection."""
    sockets = [socket.create_server(("127.0.0.1", 0), backlog=0)]
    host, port = sockets[0].getsockname()
    for _ in range(4):  # so many that the system has no room for more, and drops them
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex((host, port))
        sockets.append(waiting)
    yield f"{host}:{port}"
    for each in sockets:
        each.close()


@pytest.mark.parametrize(
    ("callers", "connect_timeout"), [("a get", 30.0), ("a set", TIMEOUT / 2), ("many", 30.0)]
)
def test_a_connection_that_is_not_answered(
    unanswering: str, loop: str, protocol: Any, callers: str, connect_timeout: float
) -> None:
    async def trial() -> None:
        async with AsyncClient(
            [unanswering], protocol=protocol, timeout=TIMEOUT, connect_timeout=connect_timeout
        ) as client:
            check(await all_ended(asked(client, callers)), LATE, False)
        assert len(asyncio.all_tasks()) == 1

    run(trial(), loop)


HANDSHAKE = {
    "silent": End(LATE, greets("hold")),
    "eof": End(LOST, greets("eof")),
    "reset": End(LOST, greets("reset")),
    "half, then silent": End(LATE, lambda middle: middle.after(100, None)),
    "half, then eof": End(LOST, lambda middle: middle.after(100, "eof")),
    "half, then reset": End(LOST, lambda middle: middle.after(100, "reset")),
    "garbage": End(LOST, lambda middle: middle.after(0, "garbage")),
    "half, then garbage": End(LOST, lambda middle: middle.after(100, "garbage")),
}
LOGIN = {
    "silent": End(LATE, Middle.mute),
    "half, then silent": End(LATE, lambda middle: middle.after(3, None)),
    "eof": End(LOST, Middle.mute, Middle.cut),
    "reset": End(LOST, Middle.mute, lambda middle: middle.cut("reset")),
    "half, then eof": End(LOST, lambda middle: middle.after(3, "eof")),
    "half, then reset": End(LOST, lambda middle: middle.after(3, "reset")),
    "garbage": End(BROKEN, lambda middle: middle.after(0, "garbage")),
}


@pytest.mark.parametrize("name", list(HANDSHAKE))
@pytest.mark.parametrize(("callers", "connect_timeout"), [("a get", 30.0), ("many", TIMEOUT)])
def test_a_handshake_that_does_not_end(
    servers: Callable[[str], Server],
    tmp_path: Path,
    loop: str,
    callers: str,
    name: str,
    connect_timeout: float,
) -> None:
    server = servers("tls")
    end = HANDSHAKE[name]
    options = {
        "tls": tls_context(server, tmp_path),
        "timeout": end.timeout,
        "connect_timeout": max(connect_timeout, end.timeout),
    }

    async def trial() -> None:
        async with between(server.address, "meta", **options) as (middle, client):
            end.before(middle)
            check(await all_ended(asked(client, callers)), end.kinds, False)
            if connect_timeout == TIMEOUT:
                await well_again(middle, client)

    run(trial(), loop)


@pytest.mark.parametrize("name", list(LOGIN))
@pytest.mark.parametrize(("callers", "connect_timeout"), [("a get", 30.0), ("many", TIMEOUT)])
@pytest.mark.parametrize("kind", ["ascii-auth", "sasl"])
def test_a_login_that_does_not_end(
    servers: Callable[[str], Server],
    loop: str,
    kind: str,
    callers: str,
    name: str,
    connect_timeout: float,
) -> None:
    server = servers(kind)
    mechanism: Any = "ascii" if kind == "ascii-auth" else "sasl"
    end = LOGIN[name]
    options = {
        "auth": Credentials(USER, PASSWORD, mechanism),
        "timeout": end.timeout,
        "connect_timeout": max(connect_timeout, end.timeout),
    }

    async def trial() -> None:
        protocol = "binary" if kind == "sasl" else "ascii"
        async with between(server.address, protocol, **options) as (middle, client):
            end.before(middle)
            task = asyncio.create_task(all_ended(asked(client, callers)))
            if end.then is not End.then:
                await middle.until(lambda: middle.asked > 0)
                await turns(3)
                end.then(middle)
            check(await task, end.kinds, False)
            if connect_timeout == TIMEOUT:
                await well_again(middle, client)

    run(trial(), loop)
