"""Where a reader is, kept from one run to the next: what a store has to be, and one in a file."""

import json
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from ._errors import DataError
from ._events import Position
from ._gtids import GtidSet, MariaDBGtidSet

__all__ = ["FilePositions", "Place", "PositionStore", "number_of", "numbered", "store_of"]

_NUMBER: Final = re.compile(r"(?<=\.)\d+$", re.ASCII)  # of a log

Place = GtidSet | MariaDBGtidSet | Position
"""Where to go on reading: the transactions that were read, or the end of the last in a file."""


class PositionStore(Protocol):
    """Keeps a reader's place. For ``binlog.aio``, both may be coroutine functions."""

    def load(self) -> Any:
        """Return the place that was saved last, None if none was."""

    def save(self, place: Any) -> Any:
        """Keep a place; what it raises ends the iteration, which can be tried again."""


class _Callback:
    def __init__(self, save: Callable[[Place], object]) -> None:
        self.save = save

    def load(self) -> None:
        return None


def store_of(store: Any) -> PositionStore | None:
    """Return a store, or a function that saves, as a store. Raises ``TypeError``."""
    if store is None or (hasattr(store, "load") and hasattr(store, "save")):
        return store  # type: ignore[no-any-return]  # it is one
    if callable(store):
        return _Callback(store)
    raise TypeError(f"store must have load and save, or be a function, got {store!r}")


class FilePositions:
    """A place in a file of its own, which is replaced as a whole.

    After a crash the file has the place that was saved last, or the one before, never a part.
    ``load`` returns None where there is no file, and raises ``DataError`` for one that is no such
    file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)

    def load(self) -> Place | None:
        """Return the place that was saved last."""
        try:
            with open(self._path, encoding="utf-8") as file:
                return _place_of(json.load(file))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as wrong:
            raise DataError(f"{self._path}: it has no place in a log: {wrong}") from wrong

    def save(self, place: Place) -> None:
        """Write a place to a new file, bring it to the disk, and let it replace the old one."""
        folder = os.path.dirname(self._path) or "."
        number, name = tempfile.mkstemp(prefix=os.path.basename(self._path) + ".", dir=folder)
        try:
            with open(number, "w", encoding="utf-8") as file:
                json.dump(_described(place), file)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Bring the name of a replaced file to the disk, where the system knows of that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _described(place: Place) -> dict[str, Any]:
    if isinstance(place, Position):
        return {"file": place.file, "offset": place.offset}
    kind = "mysql" if isinstance(place, GtidSet) else "mariadb"
    return {kind: str(place)}


def _place_of(described: Any) -> Place:
    if not isinstance(described, dict):
        raise TypeError(f"an object is due, got {type(described).__name__}")
    for kind, parse in (("mysql", GtidSet.parse), ("mariadb", MariaDBGtidSet.parse)):
        text = described.get(kind)
        if isinstance(text, str):
            return parse(text)
    file, offset = described["file"], described["offset"]
    if not isinstance(file, str) or not isinstance(offset, int):
        raise TypeError("file must be a str, and offset an int")
    return Position(file, offset)


def number_of(name: str) -> int:
    """Return the number in the name of a log, 0 where it has none."""
    found = _NUMBER.search(name)
    return int(found[0]) if found else 0


def numbered(name: str) -> str | None:
    """Return the name that a server gives to the log behind one."""
    found = _NUMBER.search(name)
    return f"{name[: found.start()]}{int(found[0]) + 1:0{len(found[0])}}" if found else None
