"""The example runs as a newcomer runs it, and shows what its text promises."""

import os
import subprocess
import sys
from pathlib import Path

from support.memcached import running

import godropbox

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(godropbox.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples/caching_tiers.py"), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


EXPECTED = """\
read from SQLite: 'Ann' (0 hits, 1 misses, 0 cache failures, 0 in doubt)
read from the cache: 'Ann' (1 hits, 1 misses, 0 cache failures, 0 in doubt)
read from both: {'ann': 'Ann', 'bob': 'Bob'} (2 hits, 3 misses, 0 cache failures, 0 in doubt)
the cache dies
read from SQLite: 'Ann' (2 hits, 4 misses, 1 cache failures, 0 in doubt)
written, and read from SQLite: 'Anna' (2 hits, 5 misses, 4 cache failures, 1 in doubt)
the cache is back, with the old entry: Ann
the old entry is dropped first: 'Anna' (2 hits, 6 misses, 4 cache failures, 0 in doubt)
read from the cache again: 'Anna' (3 hits, 6 misses, 4 cache failures, 0 in doubt)
""".splitlines()


def test_with_a_cache_in_the_process() -> None:
    assert run() == EXPECTED


def test_with_a_cache_in_memcached(tmp_path: Path) -> None:
    with running("tcp", tmp_path) as server:
        assert run("--memcached", server.address) == EXPECTED
