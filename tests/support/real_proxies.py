"""memcached's own proxy, of 1.6.40 and later, and nutcracker: real ones, over servers given.

Each is ready once the servers are `reached`: ``all`` of them, or ``any`` where some are dead.
"""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from support.dialects import converse
from support.memcached import Server, _free_port, running

__all__ = ["memcached_proxy", "nutcracker", "nutcracker_program", "own_proxy_program"]

Reached = Callable[[Iterable[object]], bool]


def own_proxy_program(program: str) -> str | None:
    """Return the program if it has the proxy built in, else None."""
    told = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    return program if "proxy_config=routelib" in told else None


def nutcracker_program() -> str | None:
    """Return the path of nutcracker if it is installed."""
    return shutil.which("nutcracker") or shutil.which("nutcracker", path="/usr/sbin")


@contextlib.contextmanager
def memcached_proxy(
    folder: Path,
    servers: Sequence[str],
    program: str,
    port: int = 0,
    reached: Reached = all,
) -> Iterator[Server]:
    """Run memcached as a proxy that spreads keys over `servers`, by its built-in routes."""
    listed = ", ".join(f'"{each}"' for each in servers)
    routes = folder / "pool.lua"
    routes.write_text(
        f"pools{{ main = {{ backends = {{ {listed} }} }} }}\n"
        'routes{ default = route_direct{ child = "main" } }\n'
    )
    extra = ["-o", f"proxy_config=routelib,proxy_arg={routes}"]
    with running("tcp", folder, port, program=program, extra=extra) as server:
        _wait(server, reached)
        yield server


@contextlib.contextmanager
def nutcracker(
    folder: Path, servers: Sequence[str], program: str, reached: Reached = all
) -> Iterator[Server]:
    """Run nutcracker over `servers`."""
    port, beside = _free_port(), _free_port()
    listed = "".join(f"   - {each}:1\n" for each in servers)
    settings = folder / "nutcracker.yml"
    settings.write_text(
        f"pool:\n  listen: 127.0.0.1:{port}\n  hash: fnv1a_64\n  distribution: modula\n"
        f"  auto_eject_hosts: false\n  timeout: 2000\n  servers:\n{listed}"
    )
    command = [program, "-c", str(settings), "-o", str(folder / "nutcracker.log")]
    command += ["-a", "127.0.0.1", "-s", str(beside), "-p", str(folder / "nutcracker.pid")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        server = Server(f"127.0.0.1:{port}", process)
        _wait(server, reached)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait(server: Server, reached: Reached) -> None:
    """Wait until a proxy listens, and has reached what is behind it."""
    until = time.monotonic() + 10
    while True:
        assert server.process.poll() is None, "the proxy ended"
        with contextlib.suppress(ConnectionRefusedError):
            answers = [converse(server.address, b"get key%d\r\n" % at) for at in range(20)]
            if reached(answer == b"END\r\n" for answer in answers):
                return
        assert time.monotonic() < until, f"no proxy answers at {server.address}"
