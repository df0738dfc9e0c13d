"""Reading a file that somebody else may replace by anything, such as a FIFO that nobody writes."""

import os
import stat
from typing import Final

__all__ = ["read_regular"]

_LONGEST: Final = 32 << 20  # bytes


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_regular(path: "str | os.PathLike[str]") -> tuple[bytes, os.stat_result]:
    """Return a regular file's bytes, and its stat from before they were read.

    Raises ``OSError``, also for what is no regular file, for which nothing waits, and for one of
    more than 32 MiB.
    """
    with open(path, "rb", opener=_open) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is no regular file")
        data = file.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise OSError(f"it is too large: it must be at most {_LONGEST} bytes")
    return data, found
