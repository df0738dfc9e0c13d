"""Reads the files that matter: those that mention a library or come by one through such a file."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from .files import names_of, top_modules
from .names import Names
from .scopes import read
from .tables import Tables
from .values import Defined, Held, Made, MadeHere, Member, Named, Source, Value

__all__ = ["Reading", "Unread"]

MENTIONED: Final = re.compile(rb"[Mm]emcache|pylibmc")
IMPORTS: Final = re.compile(rb"^[ \t]*(?:from|import)\b[^\n(]*(?:\([^)]*\))?", re.M)
WORD: Final = re.compile(rb"\w+")


@dataclass(frozen=True, slots=True, order=True)
class Unread:
    """A file that could not be read, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class _Export:
    """Names in a module by which others come by a library; `folder` is where pytest has them."""

    module: bytes
    names: tuple[bytes, ...]
    folder: Path | None

    def may_be_used(self, path: Path, imported: frozenset[bytes]) -> bool:
        """Tell whether a file with these words in its imports may import the module."""
        return self.module in imported or (self.folder is not None and self.folder in path.parents)


class Reading:
    """Reads the files that matter, until nothing more is found that other files could use."""

    def __init__(self, tables: Tables, paths: Sequence[Path]) -> None:
        self.names = Names(tables, top_modules(paths))
        self._pending = list(paths)
        self._imported: dict[Path, frozenset[bytes]] = {}  # the words of its imports, by file
        self._unread: list[Unread] = []
        self._sources: list[Source] = []

    def all(self) -> tuple[list[Source], list[Unread]]:
        exports: list[_Export] = []
        new = list(self._read(self._mentions))
        while new:
            for source in new:
                self.names.add(source)
            self._sources += new
            exports = [each for source in new if (each := self._export(source)) is not None]
            new = list(self._read(partial(self._uses, exports))) if exports else []
        return self._sources, self._unread

    def _read(self, wanted: Callable[[Path], bytes | None]) -> Iterator[Source]:
        """Read the pending files that are wanted: those that a text is returned for."""
        left = []
        for path in self._pending:
            try:
                text = wanted(path)
                if text is None:
                    left.append(path)
                    continue
                names, is_package = names_of(path)
                source = Source(path, names, is_package, text)
                read(source)
            except OSError as error:
                self._unread.append(Unread(str(path), error.strerror or str(error)))
            except SyntaxError as error:
                why = f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)
                self._unread.append(Unread(str(path), why))
            except (ValueError, RecursionError, MemoryError) as error:
                self._unread.append(Unread(str(path), str(error) or type(error).__name__))
            else:
                yield source
        self._pending = left

    def _mentions(self, path: Path) -> bytes | None:
        """Return the text of a file that mentions a library."""
        text = path.read_bytes()
        if MENTIONED.search(text):
            return text
        imports = b" ".join(IMPORTS.findall(text))
        self._imported[path] = frozenset(WORD.findall(imports))
        return None

    def _uses(self, exports: Sequence[_Export], path: Path) -> bytes | None:
        """Return the text of a file that may use what other files export."""
        words = self._imported[path]
        likely = [each for each in exports if each.may_be_used(path, words)]
        if not likely:
            return None
        text = path.read_bytes()
        return text if any(name in text for each in likely for name in each.names) else None

    def _export(self, source: Source) -> _Export | None:
        """Return what other files can use of a library through this one."""
        names = [name for name in source.top.names if self._leads_to_theirs(source, name)]
        if not names:
            return None
        module = source.names[-1]
        folder = source.path.parent if module == "conftest" else None
        return _Export(module.encode(), tuple(name.encode() for name in names), folder)

    def _leads_to_theirs(self, source: Source, name: str) -> bool:
        try:
            values = self.names.named(name, source.top)
            return any(self._leads(each, 2) for each in values)
        except RecursionError:
            return False

    def _leads(self, value: Value, depth: int) -> bool:
        """Tell whether a library's thing can be reached from a value."""
        match value:
            case Named() | Made() | Member():
                return True
            case Held():
                return any(self._leads(each, depth) for each in value.values)
            case Defined() | MadeHere() if depth:
                scope = value.scope
                if not scope.is_class:
                    return any(self._leads(each, 0) for each in self.names.results(scope))
                if any(self.names.tables.thing(base) for base in self.names.library_bases(scope)):
                    return True
                members = frozenset({MadeHere(scope)})
                return any(
                    self._leads(each, depth - 1)
                    for name in scope.names
                    for each in self.names.attribute(members, name)
                )
        return False
