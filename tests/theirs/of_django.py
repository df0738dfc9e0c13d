"""Django's own tests of its caches and sessions, run over ``godropbox.django.GodropboxCache``.

``BaseMemcachedTests``, which Django runs over its memcached back ends, and every class of
``tests/cache`` that Django runs over its cache in memory, with ours in its place, blocking and
asyncio; and the sessions of ``tests/sessions_tests`` that a cache keeps.
"""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from support.memcached import installed
from theirs.sources import asked_for_requirements, run_pytest, source

# Django 6 needs Python 3.12. DJANGO=... names another version: 6.0.10 passes too.
VERSION = os.environ.get("DJANGO", "5.2.19" if sys.version_info < (3, 12) else "6.1.3")
REQUIREMENTS = [f"django=={VERSION}", "jinja2", "pytest>=8", "tblib"]

# Each test that is left out, and why; the names are those of a report of pytest.
_LOCMEM = "it looks into the dict of Django's cache in memory"
_DEFERRED = "pickling such a model reads the data base, which Django forbids in an event loop"
_CLASS = "it mocks the client classes of Django's own back ends"
LEFT_OUT = {
    "tests.cache.tests.DefaultNonExpiringCacheKeyTests::"
    "test_caches_set_with_timeout_as_none_has_correct_default_timeout": _LOCMEM,
    "tests.cache.tests.DefaultNonExpiringCacheKeyTests::"
    "test_caches_set_with_timeout_as_none_set_non_expiring_key": _LOCMEM,
    "tests.cache.tests.DefaultNonExpiringCacheKeyTests::"
    "test_caches_with_unset_timeout_set_expiring_key": _LOCMEM,
    "tests.cache.test_ours.OfGodropbox::test_close": _CLASS,
    "tests.cache.test_ours.OfGodropbox::test_set_many_returns_failing_keys": _CLASS,
    "tests.cache.test_ours.AsyncOfGodropbox::"
    "test_cache_read_for_model_instance_with_deferred": _DEFERRED,
    "tests.cache.test_ours.AsyncOfGodropbox::"
    "test_cache_write_for_model_instance_with_deferred": _DEFERRED,
    "tests.cache.test_ours.AsyncOfGodropbox::test_close": _CLASS,
    "tests.cache.test_ours.AsyncOfGodropbox::test_set_many_returns_failing_keys": _CLASS,
}

# Classes of other back ends, and what has none.
OTHERS = [
    "DummyCacheTests",
    "DBCache",
    "CreateCacheTable",
    "LocMemCacheTests",
    "FileBased",
    "Redis",
    "PyLibMC",
    "PyMemcache",
]
OURS = "godropbox.django.GodropboxCache"
LOCMEM = "django.core.cache.backends.locmem.LocMemCache"

SETTINGS = """\
import os
BASE = {"BACKEND": "godropbox.django.GodropboxCache", "LOCATION": os.environ["MEMCACHED"]}
OTHER = BASE | {"LOCATION": os.environ["OTHER_MEMCACHED"]}
CACHES = {"default": BASE}
DATABASES = {name: {"ENGINE": "django.db.backends.sqlite3"} for name in ("default", "other")}
SECRET_KEY = "tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
LANGUAGE_CODE = "en"
ROOT_URLCONF = "urls"
STATIC_URL = "static/"
SITE_ID = 1
INSTALLED_APPS = [
    "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sites",
    "django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles",
    "cache", "sessions_tests",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "DIRS": [os.path.join(os.path.dirname(__file__), "templates")],
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
}]
MIGRATION_MODULES = {"auth": None, "contenttypes": None, "sessions": None}
"""

CONFTEST = """\
import django
import pytest
django.setup()
from django.test.utils import setup_databases, setup_test_environment, teardown_databases


@pytest.fixture(scope="session", autouse=True)
def environment():
    setup_test_environment()
    kept = setup_databases(0, interactive=False)
    yield
    teardown_databases(kept, 0)


@pytest.fixture(autouse=True)
def empty():
    from django.core.cache import cache
    cache.clear()
"""

TESTS = """\
from unittest import mock

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.cache import cache, caches
from django.test import TestCase, override_settings

from . import tests
from .tests import BaseMemcachedTests, caches_setting_for_tests, memcached_excluded_caches


@override_settings(
    CACHES=caches_setting_for_tests(base=settings.BASE, exclude=memcached_excluded_caches)
)
class OfGodropbox(BaseMemcachedTests, TestCase):
    base_params = settings.BASE


class Waiting:
    '''A cache each of whose blocking methods waits for the one for event loops.'''

    def __init__(self, find):
        object.__setattr__(self, "_find", find)

    def __getattr__(self, name):
        inner = self._find()
        method = getattr(inner, f"a{name}", None)
        return getattr(inner, name) if method is None else async_to_sync(method)

    def __setattr__(self, name, value):
        setattr(self._find(), name, value)

    def __contains__(self, key):
        return self.has_key(key)


class AllWaiting:
    def __getitem__(self, alias):
        caches[alias]
        return Waiting(lambda: caches[alias])


class AsyncOfGodropbox(OfGodropbox):
    def setUp(self):
        if "_async_" in self._testMethodName:  # it calls them itself
            return
        for name, kind in [("cache", Waiting(lambda: cache)), ("caches", AllWaiting())]:
            patch = mock.patch.object(tests, name, kind)
            patch.start()
            self.addCleanup(patch.stop)

    def tearDown(self):
        cache.clear()
"""


def of_ours(text: str) -> str:
    """Return a module of tests with our back end in place of Django's cache in memory.

    What has a location of its own has a server of its own.
    """

    def ours(found: re.Match[str]) -> str:
        server = "OTHER" if found[1] else "BASE"
        return f'"BACKEND": "{OURS}", "LOCATION": settings.{server}["LOCATION"]'

    # To memcached one second is what is left of the present one, and these tests need more.
    text = text.replace("CACHE_MIDDLEWARE_SECONDS=1,", "CACHE_MIDDLEWARE_SECONDS=60,", 1)
    return re.sub(rf'"BACKEND": "{re.escape(LOCMEM)}"(,\s*"LOCATION": "[^"]*")?', ours, text)


@contextlib.contextmanager
def memcached() -> Iterator[str]:
    """Run a memcached, and give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [installed(), "-U", "0", "-l", "127.0.0.1", "-p", str(port)]
    command += ["-u", "root"] if os.geteuid() == 0 else []
    process = subprocess.Popen(command)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def main() -> int:
    """Run the tests; return 1 unless all passed that are not left out."""
    names = " and not ".join(OTHERS)
    with source(f"django=={VERSION}") as folder, memcached() as first, memcached() as second:
        tests = folder / "tests"
        (tests / "of_settings.py").write_text(SETTINGS)
        (tests / "conftest.py").write_text(CONFTEST)
        (tests / "cache" / "test_ours.py").write_text(TESTS)
        text = (tests / "cache" / "tests.py").read_text()
        (tests / "cache" / "tests.py").write_text(of_ours(text))
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "of_settings",
            "MEMCACHED": first,
            "OTHER_MEMCACHED": second,
            "PYTHONPATH": os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")]),
        }
        files = ["cache/tests.py", "cache/test_ours.py", "sessions_tests/tests.py"]
        chosen = ["-k", f"(not {names}) and (cache or Cache)"]
        outcome = run_pytest(tests, [*files, *chosen], environment)
    failed = set(outcome.failed) - LEFT_OUT.keys()
    surprising = LEFT_OUT.keys() - set(outcome.failed)
    for name in sorted(failed):
        print(f"failed: {name}")
    for name in sorted(surprising):
        print(f"left out, but did not fail: {name}")
    skipped = set(outcome.skipped)
    print(f"Django {VERSION}: {len(outcome.passed)} passed, {len(skipped)} skipped by Django")
    return 1 if failed or surprising or len(outcome.passed) < 390 else 0


if __name__ == "__main__":
    if not asked_for_requirements(REQUIREMENTS):
        sys.exit(main())
