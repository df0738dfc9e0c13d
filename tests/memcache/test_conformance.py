"""The suite of conformance, over every protocol and transport against the real memcached."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.blocking import LOOPS, Blocking
from support.memcache_suite import CHECKS
from support.memcached import Server
from support.server_fleets import PROTOCOLS

from godropbox import memcache
from godropbox.memcache.aio import AsyncShardedClient, AsyncShardOptions, AsyncStaticShardManager

from .conftest import tls_context

SHARDED = [check for check in CHECKS if check.__name__ != "quit_ends_it"]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_client(check: Callable[[Any], None], dial: Callable[[], memcache.RawClient]) -> None:
    check(dial())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("check", SHARDED, ids=lambda check: check.__name__)
def test_async_client(
    check: Callable[[Any], None],
    servers: Callable[[str], Server],
    protocol: str,
    transport: str,
    loop: str,
    tmp_path: Path,
) -> None:
    server = servers(transport)
    tls = tls_context(server, tmp_path) if transport == "tls" else None
    options = AsyncShardOptions(timeout=10.0, connect_timeout=10.0, tls=tls)
    manager = AsyncStaticShardManager([server.address], options=options)
    with Blocking(AsyncShardedClient(manager, PROTOCOLS[protocol]()), loop) as client:
        assert client.flush().ok
        check(client)
