"""From rows to keys: what a user says of each table, and the keys of one image of a row. No I/O.

A rule is a template such as ``"user:{id}"``, whose names are columns, or a function of a row.
"""

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from ..._kernels._args import shown
from ..._kernels._guarded import require_plain
from ...database.binlog import ABSENT
from ...errors import DropboxError

__all__ = ["AbsentColumnError", "KeyRule", "Row", "Rule", "Rules", "merged"]

Key = str | bytes
KeyRule = str | Callable[[Mapping[str, Any]], "Key | Iterable[Key] | None"]
"""A template, or a function from a row (a mapping of the columns that it has) to its keys."""

_GENERATION: Final = "generation"


class AbsentColumnError(DropboxError, LookupError):
    """A row's image lacks a column that its key is made of; the log has other than full images."""


class _Absent(Exception):  # noqa: N818  # never seen outside
    """A column is not in the image."""


class Row(dict[str, Any]):
    """The columns of an image, by name; another column raises ``KeyError``."""

    __slots__ = ("absent",)

    def __init__(self, columns: Sequence[str], values: Sequence[Any]) -> None:
        pairs = zip(columns, values, strict=True)
        super().__init__(pair for pair in pairs if pair[1] is not ABSENT)
        self.absent: frozenset[str] = frozenset(columns).difference(self)

    def __missing__(self, name: str) -> Any:
        if name in self.absent:
            raise _Absent(name)
        raise KeyError(name)


def merged(before: Sequence[Any], after: Sequence[Any]) -> Sequence[Any]:
    """Return a row after an update: what its image leaves out did not change."""
    if ABSENT not in after:
        return after
    return [old if new is ABSENT else new for old, new in zip(before, after, strict=True)]


class Rule:
    """One rule of a table: the columns that it needs, and keys of rows.

    The key of a template with ``{generation}`` is the tuple of texts around that.
    """

    __slots__ = ("_function", "_label", "_parts", "columns", "has_generation")

    def __init__(self, table: str, rule: KeyRule) -> None:
        self._label = f"a key of {table}, {rule!r}" if isinstance(rule, str) else f"keys of {table}"
        self._function: Callable[..., Any] | None = None
        self._parts: list[tuple[str, str | None, bool]] = []
        self.columns: frozenset[str] | None = None  # None for a function, which may want any
        self.has_generation = False
        if isinstance(rule, str):
            self._parse(rule)
        elif callable(rule):
            require_plain(f"keys[{table!r}]", rule)
            self._function = rule
        else:
            raise TypeError(f"keys of {table} must be a template or a function, got {shown(rule)}")

    def _parse(self, template: str) -> None:
        """Cut the template: text, then a column or None for the generation, then whether hex."""
        try:
            pieces = list(string.Formatter().parse(template))
        except ValueError as error:
            raise ValueError(f"{self._label}: {error}") from None
        for text, name, form, conversion in pieces:
            if name is None:
                self._parts.append((text, "", False))
                continue
            if not name or conversion or form not in ("", "hex") or not _is_column(name):
                raise ValueError(
                    f"{self._label}: braces must have a column, such as {{id}} or {{id:hex}}"
                )
            if name == _GENERATION:
                self.has_generation = True
            self._parts.append((text, None if name == _GENERATION else name, form == "hex"))
        self.columns = frozenset(name for _, name, _ in self._parts if name)
        if not self.columns:
            raise ValueError(f"{self._label}: it names no column, so that all rows have one key")

    def keys(self, columns: Sequence[str], values: Sequence[Any]) -> list[Any]:
        """Return the keys of an image; raise ``AbsentColumnError`` if it lacks a column."""
        try:
            if self._function is not None:
                return _listed(self._label, self._function(Row(columns, values)))
            return self._filled(columns, values)
        except _Absent as absent:
            raise AbsentColumnError(
                f"{self._label}: column {absent.args[0]} is not in the image of a row: set "
                "binlog_row_image to FULL, or say absent='forget'"
            ) from None

    def _filled(self, columns: Sequence[str], values: Sequence[Any]) -> list[Any]:
        texts = [""]
        for text, name, as_hex in self._parts:
            texts[-1] += text
            if name is None:
                texts.append("")
            elif name:
                try:
                    value = values[columns.index(name)]
                except ValueError:
                    raise LookupError(
                        f"{self._label}: the table has no column {name}, it has "
                        f"{', '.join(columns)}"
                    ) from None
                if value is None:
                    return []  # what is NULL is no part of a key
                texts[-1] += self._text(value, name, as_hex)
        return [tuple(texts) if self.has_generation else texts[0]]

    def _text(self, value: Any, name: str, as_hex: bool) -> str:
        if value is ABSENT:
            raise _Absent(name)
        if isinstance(value, bytes):
            if not as_hex:
                raise TypeError(
                    f"{self._label}: column {name} has bytes: write {{{name}:hex}}, or give a "
                    "function"
                )
            return value.hex()
        if as_hex:
            if not isinstance(value, UUID):
                raise TypeError(f"{self._label}: column {name} has no bytes, got {shown(value)}")
            return value.hex
        return str(value)


def _is_column(name: str) -> bool:
    return not any(mark in name for mark in ".[]")


def _listed(label: str, found: Any) -> list[Any]:
    """Return what a function returned as a list of keys."""
    if found is None:
        return []
    if isinstance(found, (str, bytes)):
        return [found]
    keys = list(found)
    for key in keys:
        if not isinstance(key, (str, bytes)):
            raise TypeError(f"{label}: a key must be str or bytes, got {shown(key)}")
    return keys


class Rules:
    """The rules of all tables, by their names as database.table."""

    def __init__(self, keys: Mapping[str, KeyRule | Iterable[KeyRule]]) -> None:
        if not keys:
            raise ValueError("keys must name a table")
        self._rules: dict[str, list[Rule]] = {}
        for table, given in keys.items():
            if not isinstance(table, str) or table.count(".") < 1:
                raise ValueError(f"keys must be of tables as database.table, got {shown(table)}")
            rules = [given] if isinstance(given, str) or callable(given) else list(given)
            self._rules[table] = [Rule(table, rule) for rule in rules]
            if not self._rules[table]:
                raise ValueError(f"keys of {table} must have a rule")
        # Those of which all keys have a generation, so that a new one forgets the table.
        self.generational = frozenset(
            table
            for table, rules in self._rules.items()
            if all(rule.has_generation for rule in rules)
        )
        self.has_generations = any(rule.has_generation for rules in self for rule in rules)

    def __iter__(self) -> Any:
        return iter(self._rules.values())

    @property
    def tables(self) -> frozenset[str]:
        """The tables, as database.table."""
        return frozenset(self._rules)

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """The columns that the keys of a table are made of, for the tables with templates alone."""
        found = {}
        for table, rules in self._rules.items():
            sets = [rule.columns for rule in rules]
            if None not in sets:
                found[table] = tuple(sorted(frozenset().union(*filter(None, sets))))
        return found

    def of(self, table: str) -> list[Rule]:
        """Return the rules of a table, none for another."""
        return self._rules.get(table, [])

    def named(self, database: str | None, table: str | None) -> list[str]:
        """Return the tables that a name stands for, of which a part that is None is any.

        Letters count in either case, as servers differ in that.
        """
        if database is None:
            return list(self._rules)
        wanted = database.casefold(), None if table is None else table.casefold()
        found = []
        for name in self._rules:
            of, _, own = name.casefold().partition(".")
            if of == wanted[0] and wanted[1] in (None, own):
                found.append(name)
        return found
