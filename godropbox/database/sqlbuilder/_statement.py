"""Base classes of statements: render as text, as text and parameters, or as a prepared statement.

Statements are immutable; each subclass writes itself.
"""

from godropbox._kernels import lasting

from ..._kernels._signature import declared
from ._params import is_named
from ._prepared import Prepared, prepared
from ._render import Renderer, new_renderer
from ._tags import tags_text
from .dialects import DIALECTS, UnsupportedFeature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    import cython  # type: ignore[import-untyped]  # only its compiler reads this

    from godropbox.database.sqltypes import SqlMode

    from .dialects import Dialect
else:
    from ..._kernels import _uncompiled as cython


__all__ = ["Query", "Statement"]


class Statement:
    """SQL statement; its methods return new statements and leave it unchanged."""

    __slots__ = ("_copies",)
    __signature__ = declared

    _copies: "lasting.Copies | None"  # for the threads that render it, without an interpreter lock

    def _own(self) -> "Statement":
        """Return what the calling thread is to render, which did not make this."""
        with cython.critical_section(self):
            if self._copies is None:
                self._copies = lasting.Copies()
        own: Statement = self._copies.own(self)
        return own

    def _write_statement(self, out: Renderer) -> int:
        raise TypeError(f"{type(self).__name__} is abstract")

    def sql(
        self,
        database: "str | None" = None,
        *,
        dialect: "str | Dialect" = "mysql",
        mode: "SqlMode | None" = None,
        tags: "Mapping[str, str] | None" = None,
    ) -> str:
        """Return the statement's text with literals, and with tables qualified by `database`.

        `database` is the shard: a MySQL database, a SQLite schema (``main``) or a PostgreSQL
        schema. Without it tables are not qualified, so the connection's own database counts.
        `dialect` is a ``Dialect`` or its name: ``mysql``, ``mariadb``, ``sqlite`` or
        ``postgresql``. `mode` is the ``SqlMode`` of the session that will run the text; pass it if
        that has NO_BACKSLASH_ESCAPES. `tags` become a comment at the end, in sqlcommenter's format.

        Raise ``ValueError`` or ``TypeError`` for a statement that is incomplete or unsafe, and
        ``UnsupportedFeature`` for a feature that the dialect lacks.
        """
        out = new_renderer(database, dialect, mode)
        if lasting.is_foreign(self):
            self._own()._write_statement(out)
        else:
            self._write_statement(out)
        if tags is not None:
            out.text.put(tags_text(tags))
        return out.text.take()

    def bind(
        self,
        database: "str | None" = None,
        paramstyle: str = "format",
        *,
        dialect: "str | Dialect" = "mysql",
        mode: "SqlMode | None" = None,
        tags: "Mapping[str, str] | None" = None,
    ) -> "tuple[str, tuple[object, ...] | dict[str, object]]":
        """Return the statement's text and parameters for a DB-API cursor's ``execute``.

        `paramstyle` is the driver's: ``format``, ``qmark``, ``numeric`` or ``numeric_dollar`` (for
        asyncpg) give a tuple of parameters, ``named`` or ``pyformat`` a dict. Each element of a
        list after IN becomes one parameter. The other arguments and the errors are as in ``sql``.
        """
        out = new_renderer(database, dialect, mode)
        out.bind_to(paramstyle)
        if lasting.is_foreign(self):
            self._own()._write_statement(out)
        else:
            self._write_statement(out)
        if tags is not None:
            out.text.put(out.written(tags_text(tags)))
        if out.mark is None and is_named(out.paramstyle):
            named = {f"p{number}": value for number, value in enumerate(out.text.kept(), 1)}
            return out.text.take(), named
        return out.text.take(), out.text.kept()

    def prepare(
        self,
        database: "str | None" = None,
        *,
        paramstyle: "str | None" = None,
        dialect: "str | Dialect" = "mysql",
        mode: "SqlMode | None" = None,
        tags: "Mapping[str, str] | None" = None,
    ) -> Prepared:
        """Render the statement once, to fill its slots many times.

        Fill the result with ``bind(**values)`` if you pass `paramstyle`, otherwise with
        ``sql(**values)``. The other arguments and the errors are as in ``sql``.
        """
        out = new_renderer(database, dialect, mode)
        out.slots = []
        if paramstyle is not None:
            out.bind_to(paramstyle)
        self._write_statement(out)
        if tags is not None:
            out.text.put(out.written(tags_text(tags)))
        return prepared(out)

    def __str__(self) -> str:
        """Return the statement's text for people: without a database, a slot as ``:name``.

        The dialect is the first of MySQL, MariaDB, SQLite and PostgreSQL that can say it all. An
        incomplete statement gives its error in angle brackets.
        """
        lacking = ""
        for dialect in DIALECTS.values():
            out = new_renderer(None, dialect, None)
            out.slots = []
            try:
                self._write_statement(out)
            except UnsupportedFeature as error:
                lacking = lacking or str(error)
            except (TypeError, ValueError) as error:
                return f"<{type(self).__name__}: {error}>"
            else:
                return out.readable()
        return f"<{type(self).__name__}: {lacking}>"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __copy__(self) -> "Self":
        return self

    def __deepcopy__(self, memo: object) -> "Self":
        return self


class Query(Statement):
    """Statement that returns rows and can be a subquery."""

    __slots__ = ()

    def _write_query(self, out: Renderer) -> int:
        raise TypeError(f"{type(self).__name__} is abstract")

    def _levels(self) -> int:
        return 1

    def _width(self) -> int:
        return -1

    def _reads(self, name: str) -> bool:
        """Return whether a table named `name` is in a FROM of the query, subqueries left out."""
        return False

    def _yields(self) -> type:
        """Return the Python class of the first column's values, or ``object``."""
        return object
