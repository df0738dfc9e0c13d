"""Flask-Caching's own tests over our back end: what its memcached back end is put to, and more.

Its tests of the decorators, of templates and of signals run over its cache in memory. They run here
over ours.
"""

import os
import sys
import tempfile
from pathlib import Path

from support.memcached import running
from theirs.sources import asked_for_requirements, run_pytest, source

VERSION = "Flask-Caching==2.5.1"
EXPECTED = 157
NEEDED = ["asgiref>=3", "flit_core>=3", "pytest>=8", "pytest-xprocess>=1"]

CLASSES = """\
import os

import flask_caching
import pytest
from test_backend_cache import TestMemcachedCache as Theirs

from godropbox.flask import GodropboxCache


class TestGodropboxCache(Theirs):
    _guaranteed_deletes = True

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def requirements(cls):
        pass

    @pytest.fixture
    def make_cache(self):
        cache = GodropboxCache([os.environ["SERVER"]], key_prefix="werkzeug-test-case:")
        cache.clear()
        yield lambda: cache
        cache.clear()
        cache.close()


del Theirs
"""
# Before every test, and for every app that asks for the cache in memory, whose clock they move on;
# memcached's they wait for, from where one of its seconds begins, as it counts whole ones.
OVER_OURS = """

import time

from godropbox.memcache import Client


@pytest.fixture(autouse=True)
def over_ours(monkeypatch):
    made = []
    configured = fsc.Cache._set_cache

    def set_cache(self, app, config):
        if config["CACHE_TYPE"] in ("SimpleCache", "simple"):
            config["CACHE_TYPE"] = "godropbox.flask.GodropboxCache"
            config["CACHE_MEMCACHED_SERVERS"] = [os.environ["SERVER"]]
            config["CACHE_KEY_PREFIX"] = f"{len(made)}:"
            configured(self, app, config)
            made.append(app.extensions["cache"][self])
        else:
            configured(self, app, config)

    monkeypatch.setattr(fsc.Cache, "_set_cache", set_cache)
    yield
    for cache in made:
        cache.clear()
        cache.close()


class RealClock:
    def advance(self, seconds):
        assert seconds < 10
        time.sleep(seconds + 0.05)


@pytest.fixture
def clock():
    with Client(os.environ["SERVER"]) as client:
        begun = client.stats()[0]["uptime"]
        while client.stats()[0]["uptime"] == begun:
            time.sleep(0.01)
    return RealClock()
"""
FILES = [
    "test_godropbox_cache.py",
    "test_basic_app.py",
    "test_cache.py",
    "test_hash_method.py",
    "test_memoize.py",
    "test_signals.py",
    "test_subclassing.py",
    "test_templates.py",
    "test_view.py",
]
# By name, and why.
LEFT_OUT = {
    "test_basic_app.py::test_dict_config_initapp": "asks whether the cache is that in memory",
    "test_basic_app.py::test_dict_config_both": "asks whether the cache is that in memory",
    "test_basic_app.py::test_init_app_multi_apps": "about Redis",
    "test_basic_app.py::test_app_redis_cache_backend_url_default_db": "about Redis",
    "test_basic_app.py::test_app_redis_cache_backend_url_custom_db": "about Redis",
    "test_basic_app.py::test_app_redis_cache_backend_url_explicit_db_arg": "about Redis",
    "test_cache.py::test_cache_unlink": "about Redis",
    "test_memoize.py::test_memoize_entry_written_late_keeps_its_own_timeout": "waits for 2 minutes",
    "test_memoize.py::test_memoize_version_key_outlives_newest_entry": "waits for 2 minutes",
    "test_memoize.py::test_memoize_version_key_expires_once_its_entries_have": "waits for a minute",
    "test_memoize.py::test_memoize_delete_resets_version_key": "waits for an hour",
}


def main() -> int:
    if asked_for_requirements([VERSION, *NEEDED]):
        return 0
    with source(VERSION) as folder, tempfile.TemporaryDirectory() as made:
        tests = Path(folder, "tests")
        (tests / "test_godropbox_cache.py").write_text(CLASSES)
        with (tests / "conftest.py").open("a") as conftest:
            conftest.write(OVER_OURS)
        with running("tcp", Path(made)) as server:
            environment = os.environ | {"SERVER": server.address}
            arguments = [f"tests/{name}" for name in FILES]
            arguments += [f"--deselect=tests/{name}" for name in LEFT_OUT]
            outcome = run_pytest(folder, arguments, environment)
    print(f"{len(outcome.passed)} passed, failed: {outcome.failed}, skipped: {outcome.skipped}")
    return 0 if len(outcome.passed) == EXPECTED and not outcome.failed + outcome.skipped else 1


if __name__ == "__main__":
    sys.exit(main())
