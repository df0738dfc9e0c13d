"""Errors of binary logs."""

from godropbox import errors
from godropbox.errors import DropboxError

__all__ = [
    "BinlogError",
    "ChecksumError",
    "DataError",
    "MetadataError",
    "PositionLost",
    "ServerError",
]


class BinlogError(DropboxError):
    """A binary log cannot be read; the message says in which file and where."""


class DataError(BinlogError, ValueError):
    """Bytes are not what their event has to be: cut short, too long, or unknown."""


class ChecksumError(DataError):
    """An event's CRC-32 is not that of its bytes."""


class MetadataError(BinlogError, LookupError):
    """The log does not say what the bytes of a column mean, and nobody else did."""


class ServerError(BinlogError, errors.ServerError):
    """A server refused; `code` is its number for the error, 0 where it gave none."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class PositionLost(ServerError):  # noqa: N818  # it says what is lost
    """A server cannot go on from a position: it was purged, or never was in this server's log.

    What changed meanwhile is not to be learned from it: whoever follows the log starts over.
    """
