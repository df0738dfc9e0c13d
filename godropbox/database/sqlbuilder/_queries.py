"""What a SELECT and a combination of several have in common: the base class of both."""

from ._columns import Column
from ._groups import scalar_node
from ._makers import MAKERS
from ._nodes import Expression
from ._statement import Query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._records import Records, ResultColumn

__all__ = ["SelectBase"]


class SelectBase(Query):
    """Query that can be combined with others: a SELECT, or several of them."""

    __slots__ = ()

    def _outputs(self) -> "tuple[Column, ...]":
        """Return a column for each that the query yields, without a name if it has none."""
        return ()

    def _list_of_first(self) -> "tuple[Expression, ...]":
        """Return the select list that names the query's columns."""
        return ()

    def _gathering(self) -> "tuple[object, ...]":
        """Return what merging its rows from several shards takes.

        It is the select list, the terms of ORDER BY, LIMIT and OFFSET, each an int (-1 is none) or
        a slot or a literal, and whether rows stand for groups of rows.
        """
        return ((), (), -1, -1, False)

    def _bounded(self) -> bool:
        """Return whether the query has ORDER BY, LIMIT, OFFSET or a lock of its own."""
        return False

    def _has_with(self) -> bool:
        return False

    def _is_locked(self) -> bool:
        return False

    def _yields(self) -> type:
        return object if self._width() < 0 else self._outputs()[0].python_type

    @property
    def columns(self) -> "tuple[ResultColumn, ...]":
        """The name, the Python type and the nullability of each column that the query yields.

        Raise ``ValueError`` if the query selects ``*``.
        """
        from ._records import result_columns

        return result_columns(self._outputs())

    def records(self, make: "Callable[..., object] | None" = None) -> "Records":
        """Return a reader that turns a cursor's rows into records of the class `make`.

        `make` is a NamedTuple or a dataclass whose fields have the names of the query's columns, in
        the same order, or any function of the columns. Without it, a row becomes a named tuple.
        Raise ``ValueError`` if the fields and the columns differ. The reader serves any number of
        cursors::

            read = query.records(User)
            cursor.execute(*query.bind("shard1"))
            users = list(read(cursor))
        """
        from ._records import new_records

        return new_records(self._outputs(), make)

    def union(self, *others: "SelectBase") -> "SelectBase":
        """Return ``self UNION other``: distinct rows of all, in no order."""
        return _combined("UNION", self, others)

    def union_all(self, *others: "SelectBase") -> "SelectBase":
        """Return ``self UNION ALL other``: every row of all, in no order."""
        return _combined("UNION ALL", self, others)

    def intersect(self, *others: "SelectBase") -> "SelectBase":
        """Return ``self INTERSECT other``: the distinct rows that all have."""
        return _combined("INTERSECT", self, others)

    def intersect_all(self, *others: "SelectBase") -> "SelectBase":
        """Return ``self INTERSECT ALL other``: each row as often as all have it."""
        return _combined("INTERSECT ALL", self, others)

    def except_(self, *others: "SelectBase") -> "SelectBase":
        """Return ``self EXCEPT other``: the distinct rows that none of the others has."""
        return _combined("EXCEPT", self, others)

    def except_all(self, *others: "SelectBase") -> "SelectBase":
        """Return ``self EXCEPT ALL other``: each row as often as it is left over."""
        return _combined("EXCEPT ALL", self, others)

    def subquery(self, name: str) -> "Any":
        """Return the query as a source for FROM: ``(SELECT ...) AS name``."""
        made: Any = MAKERS["subquery"](name, self)
        return made

    def lateral(self, name: str) -> "Any":
        """Return the query as a source that may use columns of the tables before it in FROM."""
        made: Any = MAKERS["lateral"](name, self)
        return made

    def cte(self, name: str, *, materialized: "bool | None" = None) -> "Any":
        """Return the query as a common table expression, see ``sqlbuilder.cte``."""
        made: Any = MAKERS["cte"](name, self, materialized=materialized)
        return made

    def scalar(self) -> Expression:
        """Return the query, which has one column and at most one row, as a value."""
        return scalar_node(self)


def _combined(word: str, first: SelectBase, others: "tuple[SelectBase, ...]") -> "SelectBase":
    if not others:
        raise ValueError(f"{word} needs at least one other query")
    made: SelectBase = MAKERS["compound"](word, (first, *others))
    return made
