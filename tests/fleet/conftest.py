"""Real servers for the tests of the command ``fleet``: four, which the tests of a module share."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.memcached import Server, running

from godropbox.memcache import Client


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Four servers that run as long as the module's tests."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(running("tcp", tmp_path_factory.mktemp("server"), extra=()))
            for _ in range(4)
        ]


@pytest.fixture
def addresses(started: list[Server]) -> list[str]:
    """The addresses of four servers without a key."""
    found = [each.address for each in started]
    with Client(found, timeout=10.0) as client:
        client.flush_all()
    return found
