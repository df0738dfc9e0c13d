"""What went wrong underneath, as the exceptions that pymemcache raises."""

import re
from typing import Any, Final

from ....errors import ConnectionLostError, DeadlineExceededError
from ....memcache.errors import (
    ConnectionUnusableError,
    InvalidArgumentError,
    InvalidTypeError,
    NotSupportedError,
    ReplyError,
    ServerError,
)
from ....resource_pool import LameDuckError, OpenError, PoolExhaustedError
from ..exceptions import (
    MemcacheClientError,
    MemcacheIllegalInputError,
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
    MemcacheUnknownCommandError,
    MemcacheUnknownError,
)

__all__ = ["refusal", "translated"]

# The line in the words of a ``ReplyError`` for a command with data that was refused.
_REFUSED: Final = re.compile(r"refused: b(['\"])(.*?)(?:\\r|\1)")


def refusal(line: bytes, name: str) -> Exception | None:
    """Return the exception for an error line in reply to the command `name`, else None."""
    if line.startswith(b"ERROR"):
        return MemcacheUnknownCommandError(name.encode())
    kind, _, text = line.partition(b" ")
    kind = kind.removesuffix(b":")  # memcached 1.6.45 has one where shutdown is not enabled
    if kind == b"CLIENT_ERROR":
        return MemcacheClientError(text)
    return MemcacheServerError(text) if kind == b"SERVER_ERROR" else None


def translated(error: Exception, name: str) -> Exception:
    """Return the exception for an error of the command `name`; other errors are returned as is."""
    found = _translated(error, name)
    if found is not error:
        found.__cause__ = error
    return found


def _translated(error: Exception, name: str) -> Exception:
    if isinstance(error, ReplyError):
        line = _REFUSED.search(str(error))
        refused = refusal(line[2].encode(), name) if line else None
        return refused or MemcacheUnknownError(str(error))
    if isinstance(error, ServerError):
        text: str = error.fields.get("reply", error.message)
        return refusal(text.encode(), name) or MemcacheServerError(text.encode())
    if isinstance(error, DeadlineExceededError):
        return TimeoutError(error.message)
    if isinstance(error, ConnectionLostError | OpenError):
        return _lost(error)
    if isinstance(error, PoolExhaustedError):
        return RuntimeError(f"Too many objects: {error.message}")
    if isinstance(error, ConnectionUnusableError | LameDuckError):
        return MemcacheUnexpectedCloseError(f"closed in another thread: {error.message}")
    if isinstance(error, NotSupportedError):
        return MemcacheUnknownCommandError(name.encode())
    if isinstance(error, InvalidArgumentError | InvalidTypeError):
        return MemcacheIllegalInputError(error.message)
    return error


def _lost(error: Exception) -> Exception:
    cause: Any = error.__cause__
    while isinstance(cause, ExceptionGroup):
        cause = cause.exceptions[-1]  # that of the address that was tried last
    if not isinstance(cause, OSError):
        # What a foreign ``socket_module`` raised, or nothing that is known.
        return cause if isinstance(cause, Exception) else MemcacheUnexpectedCloseError(str(error))
    if isinstance(cause, ConnectionResetError) and cause.errno is None:
        return MemcacheUnexpectedCloseError(str(error))
    again: Exception = type(cause)(*cause.args)
    return again
