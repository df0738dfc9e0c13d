"""aiocache's own tests of caches, locks, serializers and decorators over our cache.

They run as those marked for its memcached back end, over a server of their own.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

from support.memcached import running
from theirs.sources import asked_for_requirements, run_pytest, source

VERSION = "aiocache==0.12.3"
EXPECTED = 119
NEEDED = ["marshmallow>=3", "pytest>=8", "pytest-asyncio>=1", "pytest-mock>=3"]

# By name, and why.
LEFT_OUT = {
    "test_base.py::TestMemcachedCache::test_accept_explicit_args": "imports its own back end",
    "test_base.py::TestMemcachedCache::test_set_too_long_key": "such a key is hashed",
    "test_base.py::TestMemcachedCache::test_set_float_ttl_fails": "a fraction is rounded up",
    "test_base.py::TestMemcachedCache::test_multi_set_float_ttl": "a fraction is rounded up",
    "test_base.py::TestMemcachedCache::test_close": "looks into aiomcache's pool",
    "test_lock.py::TestMemcachedRedLock::test_float_lease": "a fraction is rounded up",
    "test_factory.py::TestCache::test_from_url_memcached": "imports its own back end",
    "test_factory.py::TestCache::test_from_url_unexpected_param[memcached]": "its own scheme",
}


def main() -> int:
    if asked_for_requirements([VERSION, *NEEDED]):
        return 0
    with source(VERSION) as folder, tempfile.TemporaryDirectory() as made:
        tests = folder / "tests" / "acceptance"
        with running("tcp", Path(made)) as server:
            conftest = tests / "conftest.py"
            text, count = re.subn(
                r"Cache\(Cache\.MEMCACHED,",
                f"ours(servers=['{server.address}'],",
                conftest.read_text(),
            )
            assert count == 1
            conftest.write_text(f"from godropbox.aiocache import GodropboxCache as ours\n{text}")
            arguments = ["tests/acceptance", "-m", "memcached", "-o", "addopts="]
            arguments += ["-o", "asyncio_default_fixture_loop_scope=function"]
            arguments += [f"--deselect=tests/acceptance/{name}" for name in LEFT_OUT]
            outcome = run_pytest(folder, arguments, os.environ)
    print(f"{len(outcome.passed)} passed, failed: {outcome.failed}, skipped: {outcome.skipped}")
    return 0 if len(outcome.passed) == EXPECTED and not outcome.failed + outcome.skipped else 1


if __name__ == "__main__":
    sys.exit(main())
