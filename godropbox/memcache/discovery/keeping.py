"""The last good answer of a source in a file, from which a process starts while that is away."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ..._kernels._guarded import text_of
from ..fleet.shards import ShardState
from .files import read_regular
from .rules import checked_answer
from .types import Answer, Server, SourceError

__all__ = ["Keeper"]

_FORMAT: Final = 1


class Keeper:
    """A file at `path` with the last good answer of the source named `source`.

    Several processes may share it: it is replaced as a whole, and each writes what all of them are
    given.
    """

    def __init__(self, path: "str | os.PathLike[str]", source: str) -> None:
        self._path: Final = Path(path)
        self._source: Final = source

    def read(self) -> Answer | None:
        """Return the answer that is kept, None if there is no file yet.

        Raises ``SourceError`` for a file that cannot be read, is garbled, or is of another source.
        """
        try:
            data, _ = read_regular(self._path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise SourceError(f"{self._path} cannot be read: {text_of(error)}") from error
        try:
            return self._answer(json.loads(data))
        except SourceError:
            raise
        except Exception as error:  # ValueError, KeyError, RecursionError: it is another's text
            raise SourceError(f"{self._path} is not what was kept: {text_of(error)}") from error

    def _answer(self, kept: Any) -> Answer:
        if kept["format"] != _FORMAT:
            raise SourceError(f"{self._path} is in format {kept['format']!r}, not {_FORMAT}")
        if kept["source"] != self._source:
            raise SourceError(f"{self._path} is of {kept['source']!r}, not of {self._source!r}")
        servers = [
            Server(each["name"], each["address"], ShardState[each["state"]])
            for each in kept["servers"]
        ]
        answer = Answer(kept["version"], tuple(servers), is_ordered=True)
        if not servers:
            raise SourceError(f"{self._path} has no server")
        checked_answer(answer, str(self._path))
        return answer._replace(is_ordered=bool(kept["is_ordered"]))

    def write(self, answer: Answer) -> None:
        """Replace the file, in one step and for good. Raises ``SourceError`` where that fails.

        The user may read and write it, and others read it, as far as the umask lets them.
        """
        kept = {
            "format": _FORMAT,
            "source": self._source,
            "version": answer.version,
            "is_ordered": answer.is_ordered,
            "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "servers": [
                {"name": name, "address": address, "state": state.name}
                for name, address, state in answer.servers
            ],
        }
        data = json.dumps(kept, indent=1).encode() + b"\n"
        part = self._path.with_name(f".{self._path.name}.{os.urandom(8).hex()}")
        try:
            try:
                _write_new(part, data)
                part.replace(self._path)
            except BaseException:
                with suppress(OSError):
                    part.unlink(missing_ok=True)
                raise
            _sync_folder(self._path.parent)
        except OSError as error:
            raise SourceError(f"{self._path} cannot be written: {text_of(error)}") from error


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the new name last, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
