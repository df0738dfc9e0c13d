"""The memcached servers of a chaos run: killed, stopped, flushed, filled up, and moved in state.

The shards' states are bytes of a file that all processes map, so that a change is seen by all of
them at once; that is the assumption which a real fleet has to meet by other means.
"""

import mmap
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

from godropbox.memcache import Item, NetworkError, RawMetaClient, ServerError, connect
from support.memcached import EXTRA, installed

__all__ = ["STATES", "Fleet", "States"]

STATES = ("ACTIVE", "WRITE_ONLY", "WARM_UP", "DOWN")
_FILLERS = 4000
_START_SECONDS = 10.0


class States:
    """The shards' states, and whether the run is over, shared through a file."""

    def __init__(self, path: Path, count: int) -> None:
        if not path.exists():
            path.write_bytes(bytes(count + 1))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), count + 1)
        self._count = count

    def __getitem__(self, shard: int) -> str:
        return STATES[self._map[shard]]

    def __setitem__(self, shard: int, state: str) -> None:
        self._map[shard] = STATES.index(state)

    @property
    def over(self) -> bool:
        """Whether the run is over."""
        return bool(self._map[self._count])

    def end(self) -> None:
        """Tell all processes that the run is over."""
        self._map[self._count] = 1

    def close(self) -> None:
        self._map.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Fleet:
    """memcached servers, each on a port of its own that it keeps."""

    def __init__(self, count: int, megabytes: int) -> None:
        self._command = [installed(), "-U", "0", "-t", "1", "-m", str(megabytes), *EXTRA]
        self._command += ["-l", "127.0.0.1"]
        if os.geteuid() == 0:
            self._command += ["-u", "root"]
        self._ports = [_free_port() for _ in range(count)]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * count
        self.counts: Counter[str] = Counter()

    @property
    def addresses(self) -> list[str]:
        """The servers' addresses."""
        return [f"127.0.0.1:{port}" for port in self._ports]

    def __enter__(self) -> "Fleet":
        for shard in range(len(self._ports)):
            self.start(shard)
        return self

    def __exit__(self, *error: object) -> None:
        for shard in range(len(self._ports)):
            self.kill(shard)

    def is_up(self, shard: int) -> bool:
        """Whether there is a process, be it a stopped one."""
        return self._processes[shard] is not None

    def start(self, shard: int) -> None:
        """Start a server, and wait until it listens."""
        command = [*self._command, "-p", str(self._ports[shard])]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._ports[shard]), 1).close()
                break
            except OSError:
                assert process.poll() is None, "memcached ended"
                assert time.monotonic() < until, "memcached does not listen"
        self._processes[shard] = process

    def kill(self, shard: int) -> None:
        """End a server at once."""
        process = self._processes[shard]
        if process is not None:
            process.kill()
            process.wait()
            self._processes[shard] = None

    def signal(self, shard: int, number: signal.Signals) -> None:
        """Stop a server where it stands, or let it go on."""
        process = self._processes[shard]
        if process is not None:
            process.send_signal(number)

    def flush(self, shard: int) -> bool:
        """Flush a server; return whether it has said so."""
        try:
            with self._client(shard) as client:
                return client.flush().ok
        except (NetworkError, ServerError):
            return False

    def fill(self, shard: int, turn: int) -> None:
        """Store so much of the size of entries that entries have to go."""
        items = [Item(f"filler:{turn}:{n:05}", b"x" * 24) for n in range(_FILLERS)]
        try:
            with self._client(shard) as client:
                client.set_multi(items)
                entries = client.stats().entries[0]
        except (NetworkError, ServerError):
            return
        self.counts["most evictions of one server"] = max(
            self.counts["most evictions of one server"], int(entries["evictions"])
        )

    def _client(self, shard: int) -> RawMetaClient:
        return RawMetaClient(connect(self.addresses[shard], timeout=1.0))
