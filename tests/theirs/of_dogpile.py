"""dogpile.cache's own suites over our back end: those that its pymemcache back end is put to."""

import os
import sys
import tempfile
from pathlib import Path

from support.memcached import running
from theirs.sources import asked_for_requirements, run_pytest, source

VERSION = "dogpile.cache==1.5.0"
EXPECTED = 157

# In its own module each of these classes is that of pymemcache, by another name of the back end.
# What it asks of a back end before the tests is asked of its client there, which is pymemcache's.
CLASSES = """\
from tests.cache import test_memcached_backend as theirs


class Ours:
    backend = "dogpile.cache.godropbox"

    @classmethod
    def _check_backend_available(cls, backend):
        backend.set("x", "y")
        assert backend.get("x") == "y"


class PlainTest(Ours, theirs._NonDistributedMemcachedTestSuite):
    pass


class DistributedWithTimeoutTest(Ours, theirs._DistributedMemcachedWithTimeoutTestSuite):
    pass


class TLSTest(Ours, theirs._NonDistributedTLSMemcachedTestSuite):
    config_args = {
        "arguments": {
            "url": "127.0.0.1:%s" % theirs.TLS_MEMCACHED_PORT,  # as the certificate says
            "tls_context": theirs.TLS_CONTEXT,
        }
    }


class DistributedTest(Ours, theirs._DistributedMemcachedTestSuite):
    pass


class DistributedMutexTest(Ours, theirs._DistributedMemcachedMutexTestSuite):
    pass


class DistributedMutexWithTimeoutTest(Ours, theirs._DistributedMemcachedMutexWithTimeoutTestSuite):
    pass


class SerializerTest(
    Ours, theirs._GenericSerializerTestSuite, theirs._NonDistributedMemcachedTestSuite
):
    pass


class RetryTest(Ours, theirs._NonDistributedMemcachedTestSuite):
    config_args = {"arguments": {"url": theirs.MEMCACHED_URL, "eject_after": 3}}
"""
# Left out: PyMemcacheArgsTest and the other tests of its module, which look at what its back ends
# hand to a mock of pymemcache, python-memcached or pylibmc, and not at a cache.


def main() -> int:
    if asked_for_requirements([VERSION, "pytest>=8"]):
        return 0
    with source(VERSION) as folder, tempfile.TemporaryDirectory() as made:
        Path(folder, "tests", "cache", "test_godropbox_backend.py").write_text(CLASSES)
        tls = Path(folder, "tests", "tls")
        with running("tcp", Path(made)) as plain, running("tls", tls) as secure:
            (tls / "cert.pem").replace(tls / "ca-root.crt")  # its own runs out in 2027
            environment = os.environ | {
                "DOGPILE_MEMCACHED_PORT": plain.address.split(":")[1],
                "DOGPILE_TLS_MEMCACHED_PORT": secure.address.split(":")[1],
            }
            outcome = run_pytest(
                folder, ["tests/cache/test_godropbox_backend.py", "-m", ""], environment
            )
    print(f"{len(outcome.passed)} passed, failed: {outcome.failed}, skipped: {outcome.skipped}")
    return 0 if len(outcome.passed) == EXPECTED and not outcome.failed + outcome.skipped else 1


if __name__ == "__main__":
    sys.exit(main())
