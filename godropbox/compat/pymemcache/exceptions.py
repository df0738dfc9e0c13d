"""pymemcache's exceptions. What failed underneath, an error of godropbox, is their cause."""

__all__ = [
    "MemcacheClientError",
    "MemcacheError",
    "MemcacheIllegalInputError",
    "MemcacheServerError",
    "MemcacheUnexpectedCloseError",
    "MemcacheUnknownCommandError",
    "MemcacheUnknownError",
]


class MemcacheError(Exception):
    """Base of the errors of a client."""


class MemcacheClientError(MemcacheError):
    """The server refused the arguments of a request."""


class MemcacheUnknownCommandError(MemcacheClientError):
    """The server does not know the command."""


class MemcacheIllegalInputError(MemcacheClientError):
    """A key, a value or a number cannot be sent; nothing was."""


class MemcacheServerError(MemcacheError):
    """The server failed at a request."""


class MemcacheUnknownError(MemcacheError):
    """The reply does not answer the request; the connection is closed."""


class MemcacheUnexpectedCloseError(MemcacheServerError):
    """The server closed the connection before its reply was complete."""
