"""cachelib's own tests over our back end: those that its memcached back end is put to."""

import os
import sys
import tempfile
from pathlib import Path

from support.memcached import running
from theirs.sources import asked_for_requirements, run_pytest, source

VERSION = "cachelib==0.17.0"
EXPECTED = 32

# The classes of which theirs is made, one of them stricter: a bool stays one.
CLASSES = """\
import os

import pytest
from clear import ClearTests
from common import CommonTests
from delete_many_with_prefix import DeleteManyWithPrefixTests
from has import HasTests
from test_interface_uniformity import TestInterfaceUniformity as Uniformity

from godropbox.cachelib import GodropboxCache


@pytest.fixture
def redis_server():
    pass


@pytest.fixture
def memcached_server():
    pass


@pytest.fixture(autouse=True)
def cache_factory(request, key_prefix):
    def factory(self, *args, **kwargs):
        kwargs.setdefault("key_prefix", key_prefix)
        cache = GodropboxCache([os.environ["SERVER"]], *args, **kwargs)
        cache.clear()
        request.addfinalizer(cache.close)
        return cache

    request.cls.cache_factory = factory
    request.cls.cache_list = [factory(None)]


class TestGodropboxCache(CommonTests, ClearTests, HasTests, DeleteManyWithPrefixTests):
    pass


class TestUniformity(Uniformity):
    pass


del Uniformity
"""
# Left out: the tests of pylibmc's pool of clients, and of a check of the connection that only its
# pylibmc client makes.


def main() -> int:
    if asked_for_requirements([VERSION, "flit_core>=3", "pytest>=8", "pytest-xprocess>=1"]):
        return 0
    with source(VERSION) as folder, tempfile.TemporaryDirectory() as made:
        Path(folder, "tests", "test_godropbox_cache.py").write_text(CLASSES)
        with running("tcp", Path(made)) as server:
            environment = os.environ | {"SERVER": server.address}
            outcome = run_pytest(folder, ["tests/test_godropbox_cache.py"], environment)
    print(f"{len(outcome.passed)} passed, failed: {outcome.failed}, skipped: {outcome.skipped}")
    return 0 if len(outcome.passed) == EXPECTED and not outcome.failed + outcome.skipped else 1


if __name__ == "__main__":
    sys.exit(main())
