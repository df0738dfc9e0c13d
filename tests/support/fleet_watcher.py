"""Processes that follow a source of servers, and tell each state of the first one as it comes.

``python -m support.fleet_watcher threads|asyncio URL``: a line is the server's name, its state,
and when it was seen on the machine's monotonic clock. It runs until it is killed.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from godropbox.memcache import BaseShardManager
from godropbox.memcache.aio import AsyncBaseShardManager
from godropbox.memcache.discovery import Follower
from godropbox.memcache.discovery.aio import AsyncFollower

PAUSE = 0.002  # seconds between two looks
KINDS = ("threads", "threads", "asyncio")


def next_line(follower: "subprocess.Popen[str]") -> tuple[str, str, float]:
    """Return what a process saw next: a server's name and state, and when on the common clock."""
    assert follower.stdout is not None
    name, state, moment = follower.stdout.readline().split()
    return name, state, float(moment)


@contextmanager
def watching(url: str) -> Iterator[list["subprocess.Popen[str]"]]:
    """Run processes that follow a source, two with threads and one with asyncio."""
    paths = [str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with ExitStack() as stack:
        followers = []
        for kind in KINDS:
            command = [sys.executable, "-m", "support.fleet_watcher", kind, url]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
            )
            stack.callback(process.kill)
            followers.append(process)
        yield followers


def check_states(url: str, name: str, set_state: Callable[[str], object]) -> None:
    """Check that each state which is set of the first server is in force in every process in 1 s.

    It has the name, and is active at first.
    """
    with watching(url) as followers:
        for follower in followers:
            assert next_line(follower)[:2] == (name, "ACTIVE")
        for state in ("WRITE_ONLY", "DOWN", "WARM_UP", "ACTIVE"):
            began = time.monotonic()
            set_state(state)
            for follower in followers:
                seen, found, moment = next_line(follower)
                assert (seen, found) == (name, state)
                assert moment - began < 1.0


class Watch:
    """What is told of a manager's fleet."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._seen = ""

    def look(self) -> None:
        """Tell the first server's state, if it is another than before."""
        shards = self._manager.fleet().shards
        if shards and shards[0].state.name != self._seen:
            self._seen = shards[0].state.name
            print(shards[0].name, self._seen, time.monotonic(), flush=True)


def threads(url: str) -> None:
    manager = BaseShardManager()
    watch = Watch(manager)
    with Follower(url, manager):
        while True:
            watch.look()
            time.sleep(PAUSE)


async def tasks(url: str) -> None:
    manager = AsyncBaseShardManager()
    watch = Watch(manager)
    async with AsyncFollower(url, manager):
        while True:
            watch.look()
            await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    if sys.argv[1] == "asyncio":
        asyncio.run(tasks(sys.argv[2]))
    else:
        threads(sys.argv[2])
