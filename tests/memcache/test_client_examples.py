"""The example of the thumbnails runs, as a newcomer runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from support.memcached import Server

import godropbox

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "thumbnails.py"


def run(*arguments: str, path: str | None = None) -> list[str]:
    here = Path(godropbox.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(here)}
    if path is not None:
        environment["PATH"] = path
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE), "--store", "0", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_over_servers_of_its_own_with_a_chart(tmp_path: Path) -> None:
    drawn = tmp_path / "thumbnails.svg"
    lines = run("--pages", "5", "--chart", str(drawn))
    assert lines[0].startswith("nothing in the cache yet: one by one ")
    assert lines[1].startswith("everything in the cache: one by one ")
    # Twice each way: 200 loads one by one, and one for all at once.
    assert lines[2] == "over 4 memcached, 402 loads from the store"
    assert lines[3] == f"the chart: {drawn}"
    texts = ["".join(text.itertext()) for text in ElementTree.parse(drawn).iter() if text.text]
    assert "A page of 200 thumbnails of 4 KiB" in texts
    assert texts.count("one by one") == texts.count("all at once") == 2


def test_over_given_servers(servers: Callable[[str], Server]) -> None:
    addresses = [servers("tcp").address, servers("unix").address]
    lines = run("--pages", "2", "--thumbnails", "10", "--servers", *addresses)
    assert lines[-1] == "over 2 memcached, 22 loads from the store"


def test_without_memcached_it_says_so() -> None:
    lines = run("--pages", "2", "--thumbnails", "10", path="/nowhere")
    words = "over an in-memory cache, because memcached is not installed, 22 loads"
    assert lines[-1].startswith(words)
