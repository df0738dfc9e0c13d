"""Base classes of statements: render as text, as text and parameters, or as a prepared statement.

Statements are immutable; each subclass writes itself.
"""

from ..._kernels._signature import declared
from ._prepared import Prepared, prepared
from ._render import Renderer, new_renderer
from ._tags import tags_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from godropbox.database.sqltypes import SqlMode


__all__ = ["Query", "Statement"]


class Statement:
    """SQL statement; its methods return new statements and leave it unchanged."""

    __slots__ = ()
    __signature__ = declared

    def _write_statement(self, out: Renderer) -> int:
        raise TypeError(f"{type(self).__name__} is abstract")

    def sql(
        self,
        database: str,
        *,
        dialect: str = "mysql",
        mode: "SqlMode | None" = None,
        tags: "Mapping[str, str] | None" = None,
    ) -> str:
        """Return the statement's text with literals, and with tables qualified by `database`.

        `database` is the shard: a MySQL database, a SQLite schema (``main``) or a PostgreSQL
        schema. `dialect` is ``mysql``, ``sqlite`` or ``postgresql``. `mode` is the ``SqlMode`` of
        the session that will run the text; pass it if that has NO_BACKSLASH_ESCAPES. `tags` become
        a comment at the end, in sqlcommenter's format.

        Raise ``ValueError`` or ``TypeError`` for a statement that is incomplete or unsafe, and
        ``UnsupportedFeature`` for a feature that the dialect lacks.
        """
        out = new_renderer(database, dialect, mode)
        self._write_statement(out)
        if tags is not None:
            out.text.put(tags_text(tags))
        return out.text.take()

    def bind(
        self,
        database: str,
        paramstyle: str = "format",
        *,
        dialect: str = "mysql",
        mode: "SqlMode | None" = None,
        tags: "Mapping[str, str] | None" = None,
    ) -> "tuple[str, tuple[object, ...] | dict[str, object]]":
        """Return the statement's text and parameters for a DB-API cursor's ``execute``.

        `paramstyle` is the driver's: ``format``, ``qmark`` or ``numeric`` give a tuple of
        parameters, ``named`` or ``pyformat`` a dict. Each element of a list after IN becomes one
        parameter. The other arguments and the errors are as in ``sql``.
        """
        out = new_renderer(database, dialect, mode)
        out.bind_to(paramstyle)
        self._write_statement(out)
        if tags is not None:
            out.text.put(out.written(tags_text(tags)))
        if out.mark is None and out.paramstyle != "numeric":
            named = {f"p{number}": value for number, value in enumerate(out.text.kept(), 1)}
            return out.text.take(), named
        return out.text.take(), out.text.kept()

    def prepare(
        self,
        database: str,
        *,
        paramstyle: "str | None" = None,
        dialect: str = "mysql",
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

    def __repr__(self) -> str:
        try:
            text = self.sql("db")
        except (TypeError, ValueError) as error:
            text = str(error)
        return f"<{type(self).__name__} {text}>"

    def __reduce__(self) -> "NoReturn":
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied")


class Query(Statement):
    """Statement that returns rows and can be a subquery."""

    __slots__ = ()

    def _write_query(self, out: Renderer) -> int:
        raise TypeError(f"{type(self).__name__} is abstract")

    def _levels(self) -> int:
        return 1

    def _width(self) -> int:
        return -1
