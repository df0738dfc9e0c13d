"""Pools of handles that are expensive to open: limits, waiting, checks and lifetimes.

- ``SimpleResourcePool``: handles to one location.
- ``MultiResourcePool``: many locations, each with its own pool.
- ``RoundRobinResourcePool``: many interchangeable locations.
- ``PoolOptions``: the limits, and how to open, check and close; ``ManagedHandle``: a handle on
  loan; ``PoolStats``, ``Loan``: the state of a pool.
- ``aio.AsyncResourcePool``: handles to one location, for asyncio.

Nothing here knows what a handle is. The functions that open, check and close are the caller's and
run outside every lock; the clock can be the caller's, too.
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
    PoolOverrides,
    PoolStats,
    PoolTimeoutError,
    UnknownLocationError,
)
from ._pool import ManagedHandle
from ._simple import SimpleResourcePool

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
    "PoolOverrides",
    "PoolStats",
    "PoolTimeoutError",
    "RoundRobinResourcePool",
    "SimpleResourcePool",
    "UnknownLocationError",
]
