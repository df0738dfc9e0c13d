"""Rows of several shards, and how they become one list; without I/O.

Rows that the shards have sorted are merged, as they are in one database. What each shard computes
over its own rows alone, such as COUNT or DISTINCT, is nobody's to add up but the caller's.
"""

import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import combinations
from typing import Any, Final, Generic, NamedTuple, TypeVar

from ...errors import DropboxError, UsageError
from .. import sqlbuilder as sb
from ._engines import Engine
from ._errors import ScatterError
from ._layout import shards_text
from ._statements import Filled, blanked, checked_query

__all__ = ["Gathering", "Scattered", "gathering"]

_T = TypeVar("_T")
_OVER_ROWS: Final = re.compile(
    r"\b(COUNT|SUM|AVG|MIN|MAX|GROUP_CONCAT|TOTAL|BIT_AND|BIT_OR|BIT_XOR|STD(?:DEV(?:_POP|_SAMP)?)?"
    r"|VAR(?:_POP|_SAMP|IANCE)?|ANY_VALUE|BOOL_AND|BOOL_OR|EVERY|\w+_AGG|XMLAGG|JSON_\w*AGG"
    r"|JSONB?_GROUP_\w+|PERCENTILE\w*|MEDIAN|MODE|CORR|REGR_\w+|COVAR_\w+)\s*\(|\bOVER\b",
    re.IGNORECASE,
)
_COLLATE: Final = re.compile(r" COLLATE [`\"]?([^`\" )]+)[`\"]?\)?(?: AS [`\"]?([^`\",]+))?")


class _Term(NamedTuple):
    column: int
    descends: bool
    nulls_first: bool
    refuses_text: bool  # whose order in the database is not known
    name: str


class Gathering:
    """How the rows of a query are merged: by which columns, and how many of them.

    `statement` is what each shard runs: with a LIMIT that leaves enough rows for any OFFSET.
    """

    __slots__ = ("limit", "offset", "statement", "terms", "text_key")

    def __init__(
        self,
        statement: Any,
        terms: tuple[_Term, ...],
        limit: int,
        offset: int,
        text_key: Callable[[str], Any] | None,
    ) -> None:
        self.statement = statement
        self.terms = terms
        self.limit = limit
        self.offset = offset
        self.text_key = text_key

    def merges_as(self, other: "Gathering") -> bool:
        """Return whether rows are merged in the same way."""
        return (self.terms, self.limit, self.offset) == (other.terms, other.limit, other.offset)

    def merged(self, rows: Mapping[int, list[Any]]) -> Iterator[Any]:
        """Return the driver's rows of all shards in the query's order."""
        found: Iterator[Any]
        if not self.terms:
            found = (row for shard in sorted(rows) for row in rows[shard])
        else:
            found = self._in_order(rows)
        for number, row in enumerate(found):
            if self.limit >= 0 and number >= self.offset + self.limit:
                return
            if number >= self.offset:
                yield row

    def _in_order(self, rows: Mapping[int, list[Any]]) -> Iterator[Any]:
        """Yield the rows of all shards; raise if they are not in order, or cannot be compared."""
        streams = [self._sorted(shard, rows[shard]) for shard in sorted(rows)]
        try:
            for _, _, _, row in heapq.merge(*streams):
                yield row
        except TypeError as error:
            self._refuse_mixed(rows, error)
            raise

    def _refuse_mixed(self, rows: Mapping[int, list[Any]], error: TypeError) -> None:
        """Raise an error that names the first column whose values cannot be compared, if any."""
        for term in self.terms:
            parts: dict[type, list[Any]] = {}
            for each in rows.values():
                for row in each:
                    if isinstance(row, Mapping):
                        return
                    value = row[term.column]
                    parts.setdefault(type(value), []).append(self._part(term, value))
            for (first, (part, *_)), (second, (other, *_)) in combinations(parts.items(), 2):
                why = _incomparable([part, other])
                if why is not None:
                    kinds = sorted((first.__name__, second.__name__))
                    text = f"values of {kinds[0]} and of {kinds[1]}"
                    raise self._mixed(term, kinds, text, error)
            for kind, each in parts.items():
                why = _incomparable(each)
                if why is not None:
                    text = f"values of {kind.__name__} that cannot be compared ({why})"
                    raise self._mixed(term, [kind.__name__], text, error)

    @staticmethod
    def _mixed(term: _Term, kinds: list[str], values: str, error: TypeError) -> UsageError:
        made = UsageError(
            f"the rows cannot be merged by column {term.name}, which has {values}: pass "
            "merge=False, and combine result.by_shard",
            cause=error,
            column=term.name,
            types=kinds,
        )
        made.__cause__ = error
        return made

    def _sorted(self, shard: int, rows: list[Any]) -> Iterator[tuple[Any, int, int, Any]]:
        """Yield a shard's rows with what they are compared by; raise if they are not in order."""
        last: Any = None
        for number, row in enumerate(rows):
            if isinstance(row, Mapping):
                raise TypeError(
                    f"rows must be tuples to be merged, got {type(row).__name__}: have connect "
                    "make cursors that return tuples"
                )
            key = [self._part(term, row[term.column]) for term in self.terms]
            if last is not None and key < last:
                raise UsageError(
                    f"the rows of shard {shard} are not in the order that they are merged by: pass "
                    "text_key, which sorts text as the database's collation does",
                    shard=shard,
                )
            last = key
            yield key, shard, number, row

    def _part(self, term: _Term, value: Any) -> Any:
        if value is None:
            return (0 if term.nulls_first else 2, 0)
        if isinstance(value, (float, Decimal)) and value != value:
            # Only PostgreSQL has NaN, and sorts it above all other values.
            return (0.5 if term.descends else 1.5, 0)
        if isinstance(value, str):
            if self.text_key is not None:
                value = self.text_key(value)
            elif term.refuses_text:
                raise UsageError(
                    f"the rows cannot be merged by column {term.name} without text_key, because it "
                    "is a text: a function that sorts texts as their collation does",
                    column=term.name,
                )
        return (1, _Descending(value) if term.descends else value)


def _incomparable(parts: list[Any]) -> TypeError | None:
    """Return the error of putting them in order, or None."""
    try:
        sorted(parts)
    except TypeError as error:
        return error
    return None


class _Descending:
    """A value that sorts the other way round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: "_Descending") -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]  # compared, never a key


def gathering(
    statement: Any, engine: Engine, text_key: Callable[[str], Any] | None, how: str
) -> Gathering:
    """Return how the rows of a query over several shards are merged.

    Raise ``ValueError`` for a query whose rows cannot be merged: what it computes over many rows,
    an ORDER BY that is not in its select list, a LIMIT in a slot, and a text in ORDER BY whose
    order in the database is not known here.
    """
    query = statement._of.statement if isinstance(statement, Filled) else statement
    if not isinstance(query, sb.SelectBase):
        return Gathering(statement, (), -1, -1, None)
    items, order, limit, offset, groups = query._gathering()  # type: ignore[attr-defined]
    text = checked_query(query, engine, how)
    if groups or _computes_over_rows(blanked(text), engine):
        raise ValueError(
            f"{how} must not compute over rows (GROUP BY, DISTINCT, COUNT and the like), which "
            "each shard does for itself: pass merge=False, and combine result.by_shard"
        )
    if not isinstance(limit, int) or not isinstance(offset, int):
        raise ValueError(f"{how} must have LIMIT and OFFSET as ints to be merged")
    if isinstance(statement, Filled):
        if offset > 0:
            raise ValueError(f"{how} must have no OFFSET to be merged, if it is prepared")
    elif offset > 0:
        statement = query.offset(0)  # type: ignore[attr-defined]
        if limit >= 0:
            statement = statement.limit(limit + offset)
    terms = tuple(_terms(items, order, engine, text_key, how, text))
    return Gathering(statement, terms, limit, max(offset, 0), text_key)


def _computes_over_rows(text: str, engine: Engine) -> bool:
    """Return whether a query's text, without its literals, has an aggregate or a window."""
    for found in _OVER_ROWS.finditer(text):
        word = (found[1] or "").upper()
        # SQLite's MAX and MIN of several values are what others call GREATEST and LEAST.
        if engine.name != "sqlite" or word not in ("MAX", "MIN"):
            return True
        if not _has_comma(text, found.end()):
            return True
    return False


def _has_comma(text: str, start: int) -> bool:
    """Return whether an argument is followed by another, from `start` inside of parentheses."""
    depth = 0
    for letter in text[start:]:
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth < 0:
                return False
        elif letter == "," and not depth:
            return True
    return False


def _terms(
    items: tuple[Any, ...],
    order: tuple[Any, ...],
    engine: Engine,
    text_key: Callable[[str], Any] | None,
    how: str,
    text: str,
) -> Iterator[_Term]:
    for number, given in enumerate(order, 1):
        term, descends, nulls = given, False, ""
        if isinstance(given, sb.Ordering):
            term, descends, nulls = given._parts()  # type: ignore[attr-defined]
        index = _index_of(term, items)
        if index is None:
            raise ValueError(
                f"{how} must select what it is ordered by to be merged: term {number} of ORDER BY "
                "is not in the select list"
            )
        kind = getattr(term, "python_type", None) or _kind_of(items[index])
        refuses_text = False
        if kind is str or kind is object:
            collation = _collation_of(items[index], text)
            is_text = kind is str or bool(collation)
            refuses_text = text_key is None and not _is_binary(collation, engine)
            if is_text and refuses_text:
                raise ValueError(
                    f"{how} must be merged by text_key, because term {number} of ORDER BY is a "
                    "text: a function that sorts texts as their collation does"
                )
        # NULL is below all values, but in PostgreSQL above them.
        first = nulls == "FIRST" if nulls else engine.sorts_null_last() == descends
        name = getattr(items[index], "name", None)
        named = name if isinstance(name, str) else str(index + 1)
        yield _Term(index, descends, first, refuses_text, named)


def _is_binary(collation: str, engine: Engine) -> bool:
    """Return whether texts are sorted as Python sorts them."""
    if engine.name == "sqlite":
        return not collation or collation.upper() == "BINARY"
    return collation.endswith(("_bin", "binary", "C"))


def _collation_of(item: Any, text: str) -> str:
    """Return the name of the collation that an item has by its column or by COLLATE, or "".

    `text` is its query's.
    """
    if isinstance(item, sb.Alias):
        for written in _COLLATE.finditer(text):
            if written[2] == item.name:
                return written[1]
        try:  # a column has its collation under another name, too
            item = next(iter(sb.cte("x", sb.select(item)).c), None)
        except (TypeError, ValueError):
            return ""
    elif not isinstance(item, sb.Column):
        found = _COLLATE.search(repr(item))
        return "" if found is None else found[1]
    return getattr(item, "collation", None) or ""


def _kind_of(item: Any) -> Any:
    try:
        return sb.select(item).columns[0].python_type
    except (TypeError, ValueError):
        return object


def _index_of(term: Any, items: tuple[Any, ...]) -> int | None:
    """Return the place of a term of ORDER BY in the select list."""
    for index, item in enumerate(items):
        if item is term:
            return index
    name = getattr(term, "name", None)
    if not isinstance(name, str):
        return None
    for index, item in enumerate(items):
        if getattr(item, "name", None) != name or isinstance(item, sb.Column) != isinstance(
            term, sb.Column
        ):
            continue
        if not isinstance(term, sb.Column) or item.table_name == term.table_name:
            return index
    return None


class Scattered(Generic[_T]):
    """What a scattered statement found: rows by shard, and errors by shard.

    `by_shard` has the rows of each shard that answered, `results` what the driver told of each,
    `errors` the error of each that failed or was late.
    """

    __slots__ = ("_gathering", "_merged", "_read", "errors", "results")

    def __init__(
        self,
        results: Mapping[int, Any],
        errors: Mapping[int, DropboxError],
        gathering: Gathering | None,
        read: Callable[[Iterable[Any]], Iterable[Any]] | None,
    ) -> None:
        self.results = dict(sorted(results.items()))
        self.errors = dict(sorted(errors.items()))
        self._gathering = gathering
        self._read = read

    @property
    def by_shard(self) -> dict[int, list[_T]]:
        """The rows of each shard that answered."""
        return {shard: self._made(result.rows) for shard, result in self.results.items()}

    @property
    def is_complete(self) -> bool:
        """Whether no shard failed."""
        return not self.errors

    def rows(self, *, partial: bool = False) -> list[_T]:
        """Return the rows of all shards, merged by the query's ORDER BY, LIMIT and OFFSET.

        Without an ORDER BY, and with ``merge=False``, they are in the order of the shards. Raise
        ``ScatterError`` if shards failed, unless `partial` rows will do, and ``UsageError`` if
        `text_key` does not sort as the database does.
        """
        if self.errors and not partial:
            raise self.error()
        rows = {shard: result.rows for shard, result in self.results.items()}
        if self._gathering is None:
            return self._made([row for each in rows.values() for row in each])
        return self._made(list(self._gathering.merged(rows)))

    def error(self) -> ScatterError:
        """Return the error for the shards that failed."""
        if not self.errors:
            raise ValueError("no shard failed")
        first = next(iter(self.errors.values()))
        asked = len(self.errors) + len(self.results)
        made = ScatterError(
            f"{len(self.errors)} of {asked} shards failed ({shards_text(self.errors)}): {first}",
            cause=first,
            shards=list(self.errors),
        )
        made.errors = self.errors
        return made

    def _made(self, rows: list[Any]) -> list[Any]:
        return rows if self._read is None else list(self._read(rows))

    def __repr__(self) -> str:
        return f"<Scattered: {len(self.results)} shards answered, {len(self.errors)} failed>"
