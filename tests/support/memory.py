"""Objects that nothing refers to: CPython lets go of them at once, PyPy in a collection.

So does CPython without its lock with what threads share.
"""

import gc
import sys

__all__ = ["COUNTS_REFERENCES", "let_go"]

COUNTS_REFERENCES = sys.implementation.name == "cpython"
_COUNTS_ALL = COUNTS_REFERENCES and getattr(sys, "_is_gil_enabled", lambda: True)()


def let_go() -> None:
    """Have what nothing refers to gone; where references are counted, it already is."""
    if not _COUNTS_ALL:
        for _ in range(3):  # a collection runs finalizers, the next one frees what they held
            gc.collect()
