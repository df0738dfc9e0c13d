"""Pools of handles that are dear to open: who may have one, who waits, what is closed and when.

- ``SimpleResourcePool``: handles to one location.
- ``MultiResourcePool``: many locations, each on its own.
- ``RoundRobinResourcePool``: many locations of which any will do.
- ``PoolOptions``: the limits, and how to open, check and close; ``ManagedHandle``: a handle on
  loan; ``PoolStats``, ``Loan``: what a pool tells about itself.

Nothing here knows what a handle is. Opening, checking and closing are the caller's functions and
run outside every lock; the clock is the caller's too, if he likes.
"""

from ._many import MultiResourcePool, RoundRobinResourcePool
from ._options import (
    ForeignHandleError,
    InactiveHandleError,
    LameDuckError,
    Loan,
    OpenError,
    PoolExhaustedError,
    PoolOptions,
    PoolStats,
    PoolTimeoutError,
    UnknownLocationError,
)
from ._simple import ManagedHandle, SimpleResourcePool

__all__ = [
    "ForeignHandleError",
    "InactiveHandleError",
    "LameDuckError",
    "Loan",
    "ManagedHandle",
    "MultiResourcePool",
    "OpenError",
    "PoolExhaustedError",
    "PoolOptions",
    "PoolStats",
    "PoolTimeoutError",
    "RoundRobinResourcePool",
    "SimpleResourcePool",
    "UnknownLocationError",
]
