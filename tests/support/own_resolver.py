"""Run as a program in a network and a mount of its own: the system's resolver asks dnsmasq.

It prints what it found as JSON. ``unshare --net --mount`` makes both; the test skips where that is
not permitted.
"""

import fcntl
import json
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from godropbox.memcache.discovery import DNSSource, SourceError
from support.dnsmasq import Dnsmasq

_SIOCSIFFLAGS = 0x8914
_UP_AND_RUNNING = 0x41


def _begin(folder: Path) -> None:
    """Have a loopback device, and a resolver that asks it."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh", b"lo", _UP_AND_RUNNING)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)
    config = folder / "resolv.conf"
    config.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", str(config), "/etc/resolv.conf"], check=True)


def _asked(source: DNSSource) -> Any:
    try:
        said = source.next(30)
    except SourceError as error:
        return str(error)
    assert said is not None
    return [f"{name} {address} {state.name}" for name, address, state in said.servers]


def main(folder: Path) -> dict[str, Any]:
    _begin(folder)
    server = Dnsmasq(folder)
    server.port = 53
    addresses = [f"host-record=many.test,10.1.0.{i}" for i in range(1, 101)]
    server.serve(*addresses, "host-record=six.test,fd00::2", "host-record=cache-0.test,10.0.0.1")
    try:
        orders = [
            tuple(row[4][0] for row in socket.getaddrinfo("many.test", 1, socket.AF_INET, 1))
            for _ in range(5)
        ]
        found = {
            "orders": len(set(orders)),
            "many": [_asked(DNSSource("many.test")) for _ in range(2)],
            "six": _asked(DNSSource("six.test")),
            "names": _asked(DNSSource(names=["cache-0.test", "cache-1.test"])),
            "none": _asked(DNSSource("nobody.test")),
        }
        server.stop()
        found["stopped"] = _asked(DNSSource("many.test"))
    finally:
        server.stop()
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
