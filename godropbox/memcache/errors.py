"""Errors of the memcache clients, in the three families of ``godropbox.errors``.

- ``UsageError``: the call is wrong; nothing was sent.
- ``ServerError``: the server refused the request (its text is the message, the status is in
  ``fields``), or its reply does not match the request.
- ``NetworkError``: no connection, a broken connection, or no reply before the deadline.
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
    "WrongLoopError",
]


class InvalidArgumentError(UsageError, ValueError):
    """An argument is out of range; the message names the argument, the range and the value."""


class InvalidTypeError(UsageError, TypeError):
    """An argument has the wrong type."""


class NotSupportedError(UsageError):
    """The protocol (see ``capabilities``) or the server does not support the operation.

    If it is the server, ``fields`` has its ``address`` and ``version``, and in a fleet ``shard``.
    """


class ConnectionUnusableError(UsageError):
    """The client is invalid, is closed, or belongs to the parent process."""


class ClientClosedError(ConnectionUnusableError):
    """The client or its shard manager was closed by the caller."""


class WrongLoopError(UsageError, RuntimeError):
    """The client belongs to another event loop: the one that used it first."""


class UnmappedKeyError(UsageError):
    """The shard function maps the key to no shard."""


class ReplyError(ServerError):
    """The reply does not match the request; the client is invalid from then on."""
