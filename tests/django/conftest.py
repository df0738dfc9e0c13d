"""Django's settings, once for all tests of this folder, and caches over real servers."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings
from support.django_faces import FORMS, Face
from support.memcached import Server, running
from support.server_fleets import ServerFleet

from godropbox.django import GodropboxCache
from godropbox.memcache import Client

settings.configure(
    CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.sessions", "godropbox.django"],
    MIDDLEWARE=[],
    SECRET_KEY="tests",
    SESSION_SERIALIZER="django.contrib.sessions.serializers.JSONSerializer",
    USE_TZ=True,
)
django.setup()

MakeCache = Callable[..., GodropboxCache]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests, each of which has its own prefix of keys."""
    with running("tcp", tmp_path_factory.mktemp("memcached")) as started:
        yield started


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFleet]:
    """Three servers."""
    servers = ServerFleet("tcp", 3, tmp_path_factory.mktemp("fleet"))
    yield servers
    servers.close()


@pytest.fixture
def prefix() -> str:
    """A prefix of keys of the test's own."""
    return uuid.uuid4().hex[:12]


@pytest.fixture
def make(server: Server, prefix: str) -> MakeCache:
    """Make caches of the server: options by name, and what goes beside ``OPTIONS``."""

    def made(location: Any = None, beside: Any = None, **options: Any) -> GodropboxCache:
        params = {"KEY_PREFIX": prefix, "OPTIONS": {"timeout": 10.0} | options, **(beside or {})}
        return GodropboxCache(location or server.address, params)

    return made


@pytest.fixture
def cache(make: MakeCache) -> GodropboxCache:
    """A cache without options."""
    return make()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of the server, that sees what the caches store."""
    with Client(server.address, timeout=10.0, serializer="pickle") as found:
        yield found


@pytest.fixture
def site() -> Path:
    """The folder of the example."""
    return Path(__file__).parent.parent.parent / "examples" / "django_site"


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    """Which form of the methods a test calls."""
    name: str = request.param
    return name


@pytest.fixture
def faced(form: str) -> Iterator[Callable[[GodropboxCache], Face]]:
    """Give a cache the face of one form."""
    with asyncio.Runner() as runner:
        yield lambda cache: Face(cache, form, runner)


@pytest.fixture
def face(faced: Callable[[GodropboxCache], Face], cache: GodropboxCache) -> Face:
    """A cache without options, in one form."""
    return faced(cache)
