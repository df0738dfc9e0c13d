"""Stand-ins for Cython where a module of this package runs uncompiled.

Compiled, a critical section costs nothing under the interpreter lock, and is the object's own lock
without one. Uncompiled it is a lock that a thread may take twice, since a finalizer or a signal
handler can run another operation in the middle of any section.
"""

from typing import Any

__all__ = ["compiled", "critical_section"]

compiled = False


def critical_section(layer: Any) -> Any:
    """Return the lock of a layer, a context manager."""
    return layer._lock
