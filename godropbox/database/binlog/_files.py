"""Binary logs in files: one, or the files of a server's folder one after the other.

A server may be writing to them. What is at the end of a file is then not the log's end, and may be
a part of an event.
"""

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Final, Self

from ..._kernels._args import shown
from ._errors import DataError, PositionLost
from ._events import Event, Position, Rotate
from ._gtids import GtidSet, MariaDBGtidSet
from ._positions import number_of, numbered
from ._reader import BinlogParser, Schema

__all__ = ["BinlogFiles", "open_log"]

_CHUNK = 1 << 18  # bytes that are read at a time
_FIRST = 4 + 19  # a log's first bytes, and the header of its first event
_FLAGS: Final = 4 + 17  # where the first event's flags are
_IN_USE: Final = 0x01


@dataclass(frozen=True, slots=True)
class _Way:
    """How files are read: whether further ones are, and what is done at the end of the last."""

    follows: bool
    blocks: bool
    has_index: bool
    poll: float
    pause: Callable[[float], object] | None


class BinlogFiles:
    """Events of files, made by ``binlog.open``; iterate over it, once, in one thread.

    Close it, or use it as a context manager; the end of iteration closes it too. Another thread may
    close it while it waits.
    """

    def __init__(self, path: str, parser: BinlogParser, way: _Way, offset: int = 0) -> None:
        self._path = path
        self._offset = offset
        self._parser = parser
        self._way = way
        self._file: IO[bytes] | None = None
        self._rotated: str | None = None  # what the last ROTATE of the file names
        self._closing = threading.Event()
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
            offset, self._offset = self._offset, 0  # of the first file only
            self._parser.start(os.path.basename(path), offset)
            self._rotated = None
            with open(path, "rb") as file:
                self._file = file
                if offset:
                    yield from self._parsed(_head(file))
                    file.seek(offset)
                yield from self._rest(file, path)
                if self._way.blocks and _is_replaced(file, path):
                    self._begin_again(path, offset)
                    continue
                following = self._next(path)
                if following is not None and _is_in_use(file):
                    self._parser.drop_part()
            self._file = None
            if self._closing.is_set():
                return
            self._parser.end()
            path = following

    def _parsed(self, data: bytes) -> Iterator[Event]:
        for event in self._parser.events(data):
            if isinstance(event, Rotate):
                self._rotated = event.file
            yield event

    def _rest(self, file: IO[bytes], path: str) -> Iterator[Event]:
        """Yield the events from here on, until the file is at its end and nobody writes to it."""
        way = self._way
        is_last_look = not way.blocks
        while True:
            while data := file.read(_CHUNK):
                yield from self._parsed(data)
            if way.blocks and os.fstat(file.fileno()).st_size < file.tell():
                self._truncated(file)
                continue
            if is_last_look or (way.blocks and _is_replaced(file, path)):
                return
            # What came to the file before the next one was made is read before that is.
            is_last_look = self._next(path) is not None
            if self._rotated is not None and not way.follows:
                return
            if not is_last_look:
                self._wait()
                if self._closing.is_set():
                    return

    def _truncated(self, file: IO[bytes]) -> None:
        """Go back, if a server that came back has cut off no more than a part of a transaction."""
        size = os.fstat(file.fileno()).st_size
        whole = self._parser.drop_part()
        if size < whole and not self._parser.goes_back(size):
            name = os.path.basename(file.name)
            raise DataError(f"{name}: it had {whole} bytes that were read, and now has {size}")
        file.seek(min(size, whole))

    def _begin_again(self, path: str, offset: int) -> None:
        """See that no transaction was read from a file in whose place another one is.

        A server that is killed while it begins a log makes that log anew when it comes back.
        """
        name = os.path.basename(path)
        self._parser.drop_part()
        resume = self._parser.resume
        if resume is not None and resume.file == name:
            offset = max(offset, resume.offset)
        if offset > 4:  # where the first event is
            raise DataError(f"{name}: another file took its place after {offset} bytes were read")

    def _wait(self) -> None:
        if self._way.pause is None:
            self._closing.wait(self._way.poll)
        else:
            self._way.pause(self._way.poll)

    def _next(self, path: str) -> str | None:
        """Return the path of the file behind one that is at its end, None if there is none yet."""
        way = self._way
        if not way.follows:
            return None
        folder, name = os.path.split(path)
        # A server that ends or is killed leaves a log without a ROTATE.
        following = self._rotated
        if way.has_index:
            # What the index does not list yet, a server that is killed now makes anew.
            following = _behind(folder, name, way.blocks) or (None if way.blocks else following)
        elif following is None and way.blocks:
            following = numbered(name)
        if not following:
            return None
        path = os.path.join(folder, following)
        return path if os.path.exists(path) else None

    def close(self) -> None:
        """Close the file; the iteration ends."""
        self._closing.set()
        try:
            self._events.close()  # type: ignore[attr-defined]  # it is a generator
        except ValueError:
            return  # another thread is in it, which ends at its next look
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


def _is_replaced(file: IO[bytes], path: str) -> bool:
    """Return whether another file has this one's name; one that has none is still this."""
    try:
        return not os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _is_in_use(file: IO[bytes]) -> bool:
    """Return whether a log is marked as being written to; a server that was killed leaves that.

    MariaDB also leaves the part of an event that it was writing, of a transaction which it rolls
    back when it comes back.
    """
    file.seek(_FLAGS)
    return bool(int.from_bytes(file.read(2), "little") & _IN_USE)


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


def _behind(folder: str, name: str, is_live: bool) -> str | None:
    """Return the name of the log that the index lists behind another, as of now."""
    try:
        names = _listed(folder)
    except (DataError, FileNotFoundError):
        if is_live:
            return None  # a server that writes it anew removes it for a moment
        raise
    if name in names:
        return dict(itertools.pairwise(names)).get(name)
    following = numbered(name)
    if following in names:
        return following
    if not is_live or number_of(names[0]) <= number_of(name):
        return None  # the index does not list it yet
    raise PositionLost(
        f"{os.path.join(folder, name)}: the index lists neither it nor {following} any more, but "
        f"{names[0]} to {names[-1]}"
    )


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
    blocks: bool = False,
    poll: float = 0.1,
    pause: Callable[[float], object] | None = None,
) -> BinlogFiles:
    """Return the events of a file, or of a folder with the logs of a server and their index.

    With `follow`, reading goes on in the next file: of a folder in the next one that the index
    lists, else in the one that a ROTATE event at the end names, if it is in the same folder. With
    `position`, a ``resume`` of an earlier reading, it goes on there.

    With `blocks`, the log is one that a server writes to: where it ends, more is waited for, even
    in the middle of an event, and looked for every `poll` seconds, in (0, 3600]. `pause` waits for
    so long instead of a lock that ``close`` opens. A file that is not in a folder with an index is
    then followed by that with the next number, too.

    The other arguments are those of ``BinlogParser``. Raises ``OSError`` for a file that cannot be
    opened, and ``DataError``, ``ChecksumError`` and ``MetadataError`` while it is read;
    ``PositionLost`` if the files behind the one that was read were purged.
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
    if isinstance(poll, bool) or not isinstance(poll, (int, float)) or not 0 < poll <= 3600:
        raise ValueError(f"poll must be in (0, 3600] seconds, got {shown(poll)}")
    if pause is not None and not callable(pause):
        raise TypeError(f"pause must be a function, got {shown(pause)}")
    has_index = os.path.isdir(name)
    if has_index:
        name = os.path.join(name, _listed(name)[0] if position is None else position.file)
    elif position is not None and os.path.basename(name) != position.file:
        raise ValueError(f"position must be in {os.path.basename(name)}, got {position.file}")
    offset = 0 if position is None else position.offset
    way = _Way(bool(follow), bool(blocks), has_index, float(poll), pause)
    return BinlogFiles(name, parser, way, offset)
