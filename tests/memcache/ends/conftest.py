"""What the tests of how requests end share: every loop and protocol, and a server with values."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from support.aio import LOOPS, run
from support.ends import MANY, PROTOCOLS, key_of, value_of
from support.memcached import Server

from godropbox.memcache import Client


@pytest.fixture(scope="module", autouse=True)
def files_of_loops() -> None:
    """Have the files open that uvloop's threads open once a process."""
    for each in LOOPS:
        with suppress(OSError):
            run(_connect_to_nothing(), each)


async def _connect_to_nothing() -> None:
    await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", 1)


@pytest.fixture(autouse=True)
def nothing_is_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """See that a test leaves no file open, and that nothing was logged."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before  # less where an earlier test's were closed
    assert caplog.records == []


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def filled(servers: Callable[[str], Server]) -> str:
    """Return the address of a server that has a value for each caller's key."""
    address = servers("tcp").address
    with Client([address], timeout=10.0) as client:
        client.set_many({key_of(i): value_of(key_of(i)) for i in range(MANY + 2)})
    return address
