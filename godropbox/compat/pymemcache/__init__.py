"""pymemcache 4.0.0's face over our clients: put ``godropbox.compat.`` before it in import lines.

The modules, names, arguments, results and exceptions are pymemcache's; connections, the wire and
the placement of keys are ours. ``docs/from-pymemcache.md`` says what differs.
"""

from .client.base import Client, KeepaliveOpts, PooledClient
from .client.hash import HashClient
from .client.retrying import RetryingClient
from .exceptions import (
    MemcacheClientError,
    MemcacheError,
    MemcacheIllegalInputError,
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
    MemcacheUnknownCommandError,
    MemcacheUnknownError,
)

__all__ = [
    "Client",
    "HashClient",
    "KeepaliveOpts",
    "MemcacheClientError",
    "MemcacheError",
    "MemcacheIllegalInputError",
    "MemcacheServerError",
    "MemcacheUnexpectedCloseError",
    "MemcacheUnknownCommandError",
    "MemcacheUnknownError",
    "PooledClient",
    "RetryingClient",
]

__version__ = "4.0.0"  # of the pymemcache whose face this is
