"""What can go wrong with memcached, in the three families of ``godropbox.errors``.

``UsageError``: the call was wrong, and nothing was sent. ``ServerError``: the server refused, with
its words as the message and the status in ``fields``, or answered what answers nothing.
``NetworkError``: no connection, a broken one, or no answer in time.
"""

from ..errors import (
    ConnectionLostError,
    DeadlineExceededError,
    NetworkError,
    ServerError,
    UsageError,
)

__all__ = [
    "ClientClosedError",
    "ConnectionLostError",
    "ConnectionUnusableError",
    "DeadlineExceededError",
    "InvalidArgumentError",
    "InvalidTypeError",
    "NetworkError",
    "NotSupportedError",
    "ReplyError",
    "ServerError",
    "UnmappedKeyError",
    "UsageError",
]


class InvalidArgumentError(UsageError, ValueError):
    """An argument is out of its range; the message names it, the range and the value."""


class InvalidTypeError(UsageError, TypeError):
    """An argument is of a wrong type."""


class NotSupportedError(UsageError):
    """The protocol has no such operation, as its ``capabilities`` tell, or the server lacks it.

    Of a server, ``fields`` have its ``address`` and ``version``, and the ``shard`` in a fleet.
    """


class ConnectionUnusableError(UsageError):
    """The client is invalid, was closed, or belongs to the process that forked this one."""


class ClientClosedError(ConnectionUnusableError):
    """The client, or the shard manager whose servers it asks, was closed by its user."""


class UnmappedKeyError(UsageError):
    """The shard function gives the key to no shard."""


class ReplyError(ServerError):
    """The reply does not answer the request; the client is invalid from then on."""
