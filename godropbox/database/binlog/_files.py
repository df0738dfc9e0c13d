"""Binary logs in files: one, or the files of a server's folder one after the other."""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import IO, Self

from ._errors import DataError
from ._events import Event, Position, Rotate
from ._gtids import GtidSet, MariaDBGtidSet
from ._reader import BinlogParser, Schema

__all__ = ["BinlogFiles", "open_log"]

_CHUNK = 1 << 18  # bytes that are read at a time
_FIRST = 4 + 19  # a log's first bytes, and the header of its first event


class BinlogFiles:
    """Events of files, made by ``binlog.open``; iterate over it, once, in one thread.

    Close it, or use it as a context manager; the end of iteration closes it too.
    """

    def __init__(
        self,
        path: str,
        parser: BinlogParser,
        follows: bool,
        offset: int = 0,
        has_index: bool = False,
    ) -> None:
        self._path = path
        self._has_index = has_index
        self._offset = offset
        self._parser = parser
        self._follows = follows
        self._file: IO[bytes] | None = None
        self._events = self._read()

    @property
    def resume(self) -> Position | None:
        """Where to go on reading, as ``BinlogParser.resume``."""
        return self._parser.resume

    @property
    def gtids(self) -> GtidSet | MariaDBGtidSet | None:
        """The transactions whose end was read, with those that the log says went before."""
        return self._parser.gtids

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def __next__(self) -> Event:
        return next(self._events)

    def _read(self) -> Iterator[Event]:
        path: str | None = self._path
        while path is not None:
            following = None
            folder, name = os.path.split(path)
            for event in self._events_of(path):
                if isinstance(event, Rotate):
                    following = event.file
                yield event
            if self._has_index:  # a server that ends or is killed leaves a log without a ROTATE
                following = _behind(folder, name) or following
            path = os.path.join(folder, following) if self._follows and following else None
            if path is not None and not os.path.exists(path):
                path = None

    def _events_of(self, path: str) -> Iterator[Event]:
        offset, self._offset = self._offset, 0  # of the first file only
        self._parser.start(os.path.basename(path), offset)
        with open(path, "rb") as file:
            self._file = file
            if offset:
                yield from self._parser.events(_head(file))
                file.seek(offset)
            while data := file.read(_CHUNK):
                yield from self._parser.events(data)
        self._file = None
        self._parser.end()

    def close(self) -> None:
        """Close the file; the iteration ends."""
        self._events.close()  # type: ignore[attr-defined]  # it is a generator
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _head(file: IO[bytes]) -> bytes:
    """Return a log's first bytes and its first event, which says how to read the others."""
    head = file.read(_FIRST)
    return head + file.read(int.from_bytes(head[13:17], "little") + 4 - _FIRST)


def _listed(folder: str) -> list[str]:
    """Return the names of the logs that a folder's index lists, in their order."""
    indexes = sorted(name for name in os.listdir(folder) if name.endswith(".index"))
    if len(indexes) != 1:
        raise DataError(
            f"{folder}: one file of it must end with .index, got {', '.join(indexes) or 'none'}"
        )
    with open(os.path.join(folder, indexes[0]), encoding="utf-8") as file:
        names = [os.path.basename(line.strip()) for line in file if line.strip()]
    if not names:
        raise DataError(f"{os.path.join(folder, indexes[0])} names no file")
    return names


def _behind(folder: str, name: str) -> str | None:
    """Return the name of the log that the index lists behind another, as of now."""
    names = _listed(folder)
    return dict(itertools.pairwise(names)).get(name)


def open_log(
    path: str | os.PathLike[str],
    *,
    tables: Iterable[str] | None = None,
    columns: Mapping[str, Iterable[str]] | None = None,
    schema: Schema | None = None,
    zero_dates: str = "text",
    statements: str = "everything",
    lenient: bool = False,
    follow: bool = True,
    position: Position | None = None,
) -> BinlogFiles:
    """Return the events of a file, or of a folder with the logs of a server and their index.

    With `follow`, reading goes on in the next file: of a folder in the next one that the index
    lists, else in the one that a ROTATE event at the end names, if it is in the same folder. With
    `position`, a ``resume`` of an earlier reading, it goes on there.
    The other arguments are those of ``BinlogParser``. Raises ``OSError`` for a file that cannot be
    opened, and ``DataError``, ``ChecksumError`` and ``MetadataError`` while it is read.
    """
    name = os.fspath(path)
    parser = BinlogParser(
        tables=tables,
        columns=columns,
        schema=schema,
        zero_dates=zero_dates,
        statements=statements,
        lenient=lenient,
    )
    has_index = os.path.isdir(name)
    if has_index:
        name = os.path.join(name, _listed(name)[0] if position is None else position.file)
    elif position is not None and os.path.basename(name) != position.file:
        raise ValueError(f"position must be in {os.path.basename(name)}, got {position.file}")
    offset = 0 if position is None else position.offset
    return BinlogFiles(name, parser, follow, offset, has_index)
