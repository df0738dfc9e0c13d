"""Starts memcached processes on free ports of 127.0.0.1, and ends them."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from typing import Final

from ..memcache.errors import ConnectionLostError

__all__ = ["Processes", "program"]

_PATIENCE: Final = 10.0  # seconds for a process to listen


def program() -> str | None:
    """Return the path of memcached, None if it is not installed."""
    return shutil.which("memcached") or shutil.which("memcached", path="/usr/sbin:/usr/local/bin")


class Processes:
    """memcached processes by number, each at a port that it keeps; `path` is the program's."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._ports: dict[int, int] = {}
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> str:
        """Start a server, anew at its old address if it has had one; return its address.

        Raises ``ConnectionLostError`` if it does not listen within ten seconds.
        """
        for attempt in range(3):
            port = self._ports.get(number) or _free_port()
            command = [self._path, "-l", "127.0.0.1", "-p", str(port), "-U", "0"]
            command += ["-m", "16", "-t", "1"]
            if hasattr(os, "geteuid") and os.geteuid() == 0:
                command += ["-u", "nobody"]
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            self._running[number] = process
            if _listens(process, port):
                self._ports[number] = port
                return f"127.0.0.1:{port}"
            self.kill(number)
            if attempt == 2:
                break
        raise ConnectionLostError(f"{self._path} does not listen at port {port}")

    def kill(self, number: int) -> None:
        """End it at once, and wait until it has ended."""
        process = self._running.pop(number, None)
        if process is not None:
            process.kill()
            process.wait()

    def stop(self, number: int) -> None:
        """Have it do nothing until ``go_on``."""
        self._running[number].send_signal(signal.SIGSTOP)

    def go_on(self, number: int) -> None:
        """Have a stopped one continue."""
        self._running[number].send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End all."""
        for number in list(self._running):
            self.kill(number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Wait until a process listens; tell whether it does."""
    until = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < until:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 1),
        ):
            return True
        time.sleep(0.01)
    return False
