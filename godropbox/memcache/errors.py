"""What can go wrong with memcached, in the three families of ``godropbox.errors``.

``UsageError``: the call was wrong, and nothing was sent. ``ServerError``: the server refused, with
its words as the message and the status in ``fields``, or answered what answers nothing.
``NetworkError``: no connection, a broken one, or no answer in time.
"""

from ..errors import NetworkError, ServerError, UsageError

__all__ = [
    "ConnectionLost",
    "ConnectionUnusable",
    "DeadlineExceeded",
    "InvalidArgument",
    "InvalidType",
    "NetworkError",
    "NotSupported",
    "ReplyError",
    "ServerError",
    "UsageError",
]


class InvalidArgument(UsageError, ValueError):
    """An argument is out of its range; the message names it, the range and the value."""


class InvalidType(UsageError, TypeError):
    """An argument is of a wrong type."""


class NotSupported(UsageError):
    """The protocol has no such operation; its ``capabilities`` tell."""


class ConnectionUnusable(UsageError):
    """The client is invalid, was closed, or belongs to the process that forked this one."""


class ReplyError(ServerError):
    """The reply does not answer the request; the client is invalid from then on."""


class ConnectionLost(NetworkError):
    """The connection could not be made, was closed, or broke; the client is invalid from then on."""


class DeadlineExceeded(NetworkError):
    """The operation did not end by its deadline."""
