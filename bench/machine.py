"""What a reader must know of the machine, of what ran on it, and of who else did."""

import os
import platform
import subprocess
import sys
import timeit
from datetime import UTC, datetime
from statistics import median
from typing import Any

from .peers import PEERS

__all__ = ["environment_record", "two_at_once"]

SPIN = """
import time
began = time.perf_counter()
sum(i * i for i in range(2_000_000))
print(time.perf_counter() - began)
"""


def _spin(count: int) -> float:
    """Return the seconds that the slowest of so many processes at once takes for its work."""
    command = [sys.executable, "-I", "-S", "-c", SPIN]
    at_once = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return max(float(process.communicate()[0]) for process in at_once)


def two_at_once() -> float:
    """Return how much of one process's work two at once get done: 2 where two cores are free.

    It bounds what two threads can show in this run.
    """
    return median(2 * _spin(1) / _spin(2) for _ in range(3))


def environment_record(quick: bool, two: float, machine: dict[str, Any]) -> dict[str, Any]:
    """Return what a reader must know of what ran and where.

    `two` is what ``two_at_once`` gave before the run, `machine` what pytest-benchmark found.
    """
    import godropbox
    from godropbox import _kernels

    call = min(timeit.repeat('len(b"")', number=200_000, repeat=7)) / 200_000
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "quick": quick,
        "cpu": machine.get("cpu", {}).get("brand_raw") or platform.machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "free_threaded": not getattr(sys, "_is_gil_enabled", lambda: True)(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "two": two,
        "call": call,
        "godropbox": godropbox.__version__,
        "implementation": godropbox.IMPLEMENTATION,
        "reason": _kernels.REASON,
        "simd": _kernels.hash2.SIMD,
        "peers": {peer.name: peer.version() for peer in PEERS},
        "homes": {peer.name: peer.home for peer in PEERS},
    }
