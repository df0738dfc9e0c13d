"""pymemcache's own tests over ``godropbox.compat.pymemcache``: canned sockets, and a real server.

4.0.0 was published without its client of ElastiCache, so there are no tests of that here.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from support.memcached import running
from theirs.sources import asked_for_requirements, run_pytest, source

PINNED: Final = "pymemcache==4.0.0"
REQUIREMENTS: Final = ("pytest>=8", "gevent>=24")

# These measure clients of three libraries, and compressors, and need both.
_MEASURE: Final = ("test_benchmark.py", "test_compression.py")

# Every test that does not pass, by the reason. One that does is a failure as well.
_EXTRACTS: Final = "overrides _extract_value, which is private, and is refused by name"
_CONNECTS: Final = "calls _connect, which is private"
_GETS_NOREPLY: Final = "gives get a noreply, which pymemcache's own clients do not take"
_MIXED_IN: Final = ("test_get_not_found", "test_get_not_found_default")
LEFT_OUT: Final = {
    "test_client.TestClient::test_serialization": "compares the bytes that are sent",
    "test_client.TestPooledClientIdleTimeout::test_free_idle": "turns a private clock",
    "test_client_hash.TestHashClient::test_ignore_exec_set_many": (
        "wants a set_many that failed to report nothing, which is to report it as stored"
    ),
    "test_client_hash.TestHashClient::test_dead_server_comes_back": _GETS_NOREPLY,
    "test_client_hash.TestHashClient::test_failed_is_retried": _GETS_NOREPLY,
    **{
        f"test_client.TestClientSocketConnect::{name}": _CONNECTS
        for name in (
            "test_linux_socket_keepalive",
            "test_socket_close",
            "test_socket_close_exception",
            "test_socket_connect_closes_on_failure",
            "test_socket_connect_ipv4",
            "test_socket_connect_ipv6",
            "test_socket_connect_unix",
        )
    },
    **{
        f"{suite}::{name}": _EXTRACTS
        for suite in (
            "test_client.TestClient",
            "test_client.TestPooledClient",
            "test_client.TestPooledClientIdleTimeout",
            "test_client_hash.TestHashClient",
            "test_client_retry.TestRetryingClientPassthrough",
        )
        for name in ("test_get_found", *_MIXED_IN)
    },
    **{
        f"test_client.{suite}::{name}": _EXTRACTS
        for suite in ("TestMockClient", "TestPrefixedClient", "TestPrefixedPooledClient")
        for name in _MIXED_IN
    },
}
# pymemcache itself skips its test of TLS, for each client and module of sockets.
PASSED: Final = 638
SKIPPED: Final = 6
# Of those that pass: with each client, each module of sockets and a real server.
WITH_A_SERVER: Final = 200


def main() -> None:
    """Run the tests; exit with 1 unless exactly the expected ones passed."""
    with source(PINNED) as unpacked, tempfile.TemporaryDirectory() as folder:
        shutil.copytree(unpacked / "pymemcache" / "test", Path(folder, "suite"))
        for name in _MEASURE:
            Path(folder, "suite", name).unlink()
        with running("tcp", Path(folder)) as server:
            host, port = server.address.split(":")
            arguments = ["-p", "theirs.alias_of_pymemcache", "-W", "ignore", "--tb=short", "suite"]
            outcome = run_pytest(
                Path(folder), [*arguments, "--server", host, "--port", port], _environment()
            )
    failed = {name.removeprefix("suite.") for name in outcome.failed}
    for name in sorted(failed - set(LEFT_OUT)):
        print(f"failed: {name}")
    for name in sorted(set(LEFT_OUT) - failed):
        print(f"left out, but it passes or is gone: {name} ({LEFT_OUT[name]})")
    served = sum(name.startswith("suite.test_integration") for name in outcome.passed)
    counts = len(outcome.passed), len(outcome.skipped), served
    print(
        f"{counts[0]} passed, {served} of them with a server; {len(failed)} left out, "
        f"{counts[1]} skipped by pymemcache itself"
    )
    if failed != set(LEFT_OUT) or counts != (PASSED, SKIPPED, WITH_A_SERVER):
        sys.exit(f"expected {PASSED} to pass, {WITH_A_SERVER} of them with a server")


def _environment() -> dict[str, str]:
    """Return this environment, with paths that hold in another folder."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    folders = [str(Path(__file__).parent.parent), *(str(Path(each).resolve()) for each in given)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(folders)}


if __name__ == "__main__" and not asked_for_requirements(REQUIREMENTS):
    main()
