"""Servers for the tests of the consistent cache."""

from collections.abc import Iterator

import pytest
from caching.consist_support import Caches, dial
from support.memcached import Server, running

from godropbox.memcache import RawMetaClient


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("tcp", tmp_path_factory.mktemp("memcached")) as server:
        yield server


@pytest.fixture
def raw(server: Server) -> Iterator[RawMetaClient]:
    with dial(server) as client:
        assert client.flush().ok
        yield client


@pytest.fixture
def caches(server: Server, raw: RawMetaClient) -> Iterator[Caches]:
    with Caches(server) as caches:
        yield caches
