"""Django's sessions over the back end: ``cache`` and ``cached_db``."""

import asyncio
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.core.management import call_command
from django.test.utils import override_settings
from support.memcached import Server

from godropbox.memcache import ServerError

ENGINES = {
    "cache": "django.contrib.sessions.backends.cache",
    "cached_db": "django.contrib.sessions.backends.cached_db",
}


@pytest.fixture(scope="module", autouse=True)
def tables() -> Iterator[None]:
    """The table of sessions, in memory."""
    from django.db import connections

    call_command("migrate", verbosity=0, run_syncdb=True)
    yield
    connections.close_all()


@pytest.fixture(params=list(ENGINES))
def store(request: pytest.FixtureRequest, server: Server, prefix: str) -> Iterator[Any]:
    """The class of sessions of an engine, over a cache of the test's own."""
    cache = {
        "BACKEND": "godropbox.django.GodropboxCache",
        "LOCATION": server.address,
        "KEY_PREFIX": prefix,
    }
    with override_settings(CACHES={"default": cache}, SESSION_ENGINE=ENGINES[request.param]):
        yield import_module(ENGINES[request.param]).SessionStore


def test_a_session_is_kept(store: Any) -> None:
    session = store()
    session["user"] = {"name": "Ann", "visits": 1}
    session.save()
    again = store(session.session_key)
    assert again["user"] == {"name": "Ann", "visits": 1}
    again["user"]["visits"] = 2
    again.save()
    assert store(session.session_key)["user"]["visits"] == 2
    assert store().exists(session.session_key)
    again.flush()
    assert not store().exists(session.session_key)
    assert store(session.session_key).get("user") is None


def test_a_session_expires_with_its_age(store: Any) -> None:
    session = store()
    session["a"] = 1
    session.set_expiry(100)
    session.save()
    cache: Any = caches["default"]
    assert cache.ttl(session.cache_key) in range(90, 101)


def test_a_session_too_large_for_the_cache_leaves_no_old_one_there(store: Any) -> None:
    session = store()
    session["a"] = "old"
    session.save()
    session["a"] = "x" * 2_000_000
    if "cached_db" in store.__module__:
        session.save()  # Django logs that the cache failed
    else:
        with pytest.raises(ServerError, match="item_size_max"):
            session.save()
    assert caches["default"].get(session.cache_key) is None


def test_a_large_session_may_be_in_parts(store: Any) -> None:
    with override_settings(
        CACHES={"default": settings.CACHES["default"] | {"OPTIONS": {"large_values": "parts"}}}
    ):
        session = store()
        session["a"] = "x" * 2_000_000
        session.save()
        assert store(session.session_key)["a"] == "x" * 2_000_000


def test_sessions_for_event_loops(store: Any) -> None:
    if "cached_db" in store.__module__:
        return  # its data base is in memory, and so of one thread

    async def main() -> None:
        session = store()
        await session.aset("user", "Ann")
        await session.asave()
        again = store(session.session_key)
        assert await again.aget("user") == "Ann"
        assert await again.aexists(session.session_key)
        await again.adelete()
        assert not await again.aexists(session.session_key)

    asyncio.run(main())


def test_cached_db_reads_the_data_base_when_the_cache_is_empty(store: Any) -> None:
    session = store()
    session["a"] = 1
    session.save()
    caches["default"].delete(session.cache_key)
    kept = store(session.session_key).get("a")
    assert kept == (1 if "cached_db" in store.__module__ else None)
