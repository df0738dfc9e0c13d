"""Storages, and layers of them: caches that never make things worse.

- ``Storage``: the protocol that all of them follow.
- ``DictStorage``, ``FunctionStorage``: a dict, and a storage made of functions.
"""

from .storage import (
    MISSING,
    DictStorage,
    FunctionStorage,
    PartialFailureError,
    StaleCacheError,
    Storage,
    StorageBusyError,
    StorageError,
    UnsupportedOperationError,
)

__all__ = [
    "MISSING",
    "DictStorage",
    "FunctionStorage",
    "PartialFailureError",
    "StaleCacheError",
    "Storage",
    "StorageBusyError",
    "StorageError",
    "UnsupportedOperationError",
]
