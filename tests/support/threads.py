"""Runs functions side by side, over and over: what the tests of free threading do.

``GODROPBOX_THREADS`` says for how many seconds each test runs in place of a fraction of one. The
long form, outside CI, is ``GODROPBOX_THREADS=100 PYTHON_GIL=0`` on a free-threaded interpreter.
"""

import os
import sys
import threading
import time
from collections.abc import Callable

__all__ = ["SECONDS", "together"]

SECONDS = float(os.environ.get("GODROPBOX_THREADS", "0.15"))


def together(*works: Callable[[], object]) -> None:
    """Call each function over and over, in a thread of its own; raise the first error of any."""
    failures: list[BaseException] = []
    end = time.monotonic() + SECONDS

    def repeat(work: Callable[[], object]) -> None:
        try:
            while time.monotonic() < end and not failures:
                for _ in range(20):
                    work()
        except BaseException as error:
            failures.append(error)

    before = sys.getswitchinterval()
    # An interpreter with a lock changes threads as often as it can; PyPy would do nothing else.
    sys.setswitchinterval(1e-4 if sys.implementation.name == "pypy" else 1e-6)
    try:
        threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS + 60)
            assert not thread.is_alive()
    finally:
        sys.setswitchinterval(before)
    if failures:
        raise failures[0]
