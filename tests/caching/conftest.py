"""Servers for the tests of the consistent cache."""

from collections.abc import Iterator

import pytest
from caching.consist_support import Caches, dial
from support.forms import FORMS, form_of
from support.memcached import Server, running

from godropbox.memcache import RawMetaClient


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests that use ``form`` over all forms, those about threads over one."""
    if "form" in metafunc.fixturenames:
        is_about_threads = metafunc.definition.get_closest_marker("threads")
        metafunc.parametrize("form", FORMS[:1] if is_about_threads else FORMS, indirect=True)


@pytest.fixture
def form(request: pytest.FixtureRequest) -> Iterator[str]:
    """Have the classes of ``support.forms`` make one form."""
    with form_of(request.param):
        yield request.param


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
