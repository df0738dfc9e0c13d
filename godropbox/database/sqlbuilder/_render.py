"""The rendering of one statement: its text so far, its parameters, and the tables in scope.

Nodes write themselves through a ``Renderer``, which makes only literals, names and placeholders. A
``Renderer`` serves one call in one thread.
"""

from math import isfinite

from godropbox._kernels import sqltext

from . import _names
from ._names import check_identifier
from ._params import check_paramstyle, placeholder
from .dialects import DIALECTS, choose
from .dialects._dialect import OPERATORS, Dialect, unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    import cython  # type: ignore[import-untyped]  # only its compiler reads this

    from godropbox.database.sqltypes import SqlMode
else:
    from ..._kernels import _uncompiled as cython

__all__ = ["Renderer", "bad_scope", "double_text", "new_renderer"]

# Compiled, these are C variables.
sent_value = sqltext.parameter
MAX_PLAIN = _names.MAX_PLAIN
DEFAULT: Dialect = DIALECTS["mysql"]


@cython.freelist(8)
@cython.no_gc
@cython.cclass
class Renderer:
    """Text, parameters and scope of a statement while it is rendered."""

    __slots__ = (
        "aliases",
        "binding",
        "ctes",
        "database",
        "dialect",
        "doubles",
        "like_escape",
        "mark",
        "paramstyle",
        "place",
        "prefix",
        "proposed",
        "row_alias",
        "scope",
        "slots",
        "source",
        "style",
        "text",
        "ticks",
        "unqualified",
    )

    # `scope` holds the names of the tables whose columns may be used; None disables the check.
    # `aliases` is the select list whose aliases may be used, or None; `source` its FROM, whose
    # columns may have the same names; `place` says where: 0 in GROUP BY and HAVING, 1 in a term of
    # ORDER BY, 2 as a whole one, 3 in ORDER BY after a set operation, which knows names alone.
    text: "sqltext.Text"
    dialect: Dialect
    style: int  # of literals, as the kernel's number
    ticks: bool  # whether a backquote encloses names, otherwise a double quote
    like_escape: bool  # whether LIKE has no escape character before ESCAPE names one
    # The database is `prefix` if its name is plain, `database` if not; both are None without one.
    prefix: "str | None"
    database: "str | None"
    scope: "tuple[str, ...] | None"
    aliases: "tuple[object, ...] | None"
    source: object
    place: int
    ctes: "tuple[str, ...]"
    row_alias: "str | None"  # the name of the row that INSERT tried to write, if it has one
    proposed: bool  # whether a value of that row was written
    unqualified: bool
    binding: bool  # whether values become parameters instead of literals
    paramstyle: str  # of placeholders that contain a number or a name
    mark: "str | None"  # the placeholder, or None if it contains a number or a name
    doubles: bool  # whether to double each %, because the driver formats the text
    slots: "list[object] | None"

    def literal(self, value: object) -> int:
        """Write a value as a literal or as a placeholder."""
        if not self.binding:
            self.text.literal(value)
            return 0
        mark = self.mark
        if mark is not None and self.text.keep_marked(value, mark):
            return 0
        return self._bind(value)

    def factor(self, value: float) -> int:
        """Write a float that is an operand of ``*``, ``/`` or ``%``, as a double.

        MySQL reads plain digits as a DECIMAL, whose division has only four more decimal places.
        """
        if not self.dialect.decimal_literals or not isfinite(value):
            return self.literal(value)
        if self.binding:
            self.text.keep(value)
            return self._write_mark()
        self.text.put(double_text(value))
        return 0

    def literals(self, values: "tuple[object, ...]") -> int:
        """Write values, separated by commas."""
        text = self.text
        if not self.binding:
            text.literals(values, ",")
            return 0
        mark = self.mark
        first = 0
        if mark is not None:
            first = text.keep_plain(values, mark)
        for index in range(first, len(values)):
            if index:
                text.put(",")
            self._bind(values[index])
        return 0

    def constant(self, value: str) -> int:
        """Write text of the statement's own as a literal, which never becomes a parameter."""
        text = sqltext.new_text(self.style)
        text.literal(value)
        self.text.put(self.written(text.take()))
        return 0

    def ints(self, values: "tuple[object, ...]") -> int:
        """Write ints of at most 64 bits, separated by commas."""
        text = self.text
        mark = self.mark
        if not self.binding:
            text.ints(values)
        elif mark is not None:
            text.keep_ints(values, mark)
        else:
            self.literals(values)
        return 0

    def rows(self, rows: "tuple[tuple[object, ...], ...]", width: int) -> int:
        """Write rows of plain values: ``(1,2), (3,4)``."""
        text = self.text
        if not self.binding:
            text.rows(rows, width)
            return 0
        mark = self.mark
        if mark is not None and text.keep_rows(rows, width, mark):
            return 0
        for index in range(len(rows)):
            text.put(", (" if index else "(")
            self.literals(rows[index])
            text.put(")")
        return 0

    def bind_to(self, paramstyle: str) -> int:
        """From now on, collect parameters instead of writing literals."""
        self.binding = True
        if paramstyle == "format":
            self.mark = "%s"
            self.doubles = True
        elif paramstyle == "qmark":
            self.mark = "?"
        else:
            self.paramstyle = check_paramstyle(paramstyle)
            self.doubles = self.paramstyle == "pyformat"
        return 0

    def _bind(self, value: object) -> int:
        self.text.keep(sent_value(value, self.style))
        return self._write_mark()

    def written(self, text: str) -> str:
        """Return `text`, which contains no placeholder, escaped for the driver."""
        return text.replace("%", "%%") if self.doubles else text

    def _write_mark(self) -> int:
        if self.mark is not None:
            self.text.put(self.mark)
        else:
            self.text.put(placeholder(self.paramstyle, self.text.count()))
        return 0

    def column(self, owner: str, quoted: str) -> int:
        """Write a column, `quoted` as the dialect quotes."""
        if self.scope is not None and not sqltext.has_same(self.scope, owner):
            self.check_scope(owner, quoted)
        self.text.put(quoted)
        return 0

    def check_scope(self, owner: str, column: str) -> int:
        """Raise unless `owner`, an interned name, is a table in scope."""
        scope = self.scope
        if scope is None or owner in scope:  # unpickled names are not interned
            return 0
        raise bad_scope(owner, column, scope)

    def slot(self, slot: object, many: bool) -> int:
        """Split the text here, so that a prepared statement can fill `slot`."""
        if self.slots is None:
            raise ValueError(f"{slot!r} has no value: render the statement with prepare()")
        if self.binding:
            self.text.keep(slot)
            if not many:
                self._write_mark()
                return 0
        self.slots.append(self.text.take())
        self.slots.append(slot)
        return 0

    def readable(self) -> str:
        """Return the text for people, a slot in it as ``:name``."""
        return "".join([str(piece) for piece in self.slots or ()]) + self.text.take()

    def name(self, name: str) -> int:
        """Write a name, quoted."""
        text = self.text
        mark = "`" if self.ticks else '"'
        if len(name) > MAX_PLAIN or not sqltext.is_word(name):
            self.dialect.check_name(name)
            name = self.written(name.replace(mark, mark + mark))
        text.put(mark)
        text.put(name)
        text.put(mark)
        return 0

    def odd_column(self, owner: str, bare: str, shown: str) -> int:
        """Write a column that is unqualified, or whose name or its table's is not plain."""
        self.check_scope(owner, shown)
        if not self.unqualified:
            self.name(owner)
            self.text.put(".")
        return self.name(bare)

    def table(self, ticked: str, quoted: str) -> int:
        """Write the database, if any, and a table; the arguments are the text after it."""
        text = self.text
        prefix = self.prefix
        if prefix is None:
            if self.database is not None:
                self.name(self.database)
                text.put(".")
            text.put(ticked[2:] if self.ticks else quoted[2:])
        elif self.ticks:
            text.put_char("`")
            text.put(prefix)
            text.put(ticked)
        else:
            text.put_char('"')
            text.put(prefix)
            text.put(quoted)
        return 0

    def odd_table(self, database: "str | None", table: str) -> int:
        """Write a table that has its own database, or whose name is not plain."""
        if database is None:
            database = self.prefix if self.database is None else self.database
        if database is not None:
            self.name(database)
            self.text.put(".")
        return self.name(table)

    def operator(self, symbol: str) -> str:
        """Return the dialect's operator for one of ours, or raise ``UnsupportedFeature``."""
        found = self.dialect.operators.get(symbol, symbol)
        if found is None:
            raise unsupported(self.dialect, OPERATORS[symbol])
        return found

    def can(self, feature: str) -> bool:
        """Return whether the dialect has a feature, one of ``dialects.FEATURES``."""
        return feature in self.dialect.features

    def need(self, feature: str) -> int:
        """Raise ``UnsupportedFeature`` unless the dialect has `feature`."""
        if feature not in self.dialect.features:
            raise unsupported(self.dialect, feature)
        return 0


def double_text(value: float) -> str:
    """Return the text of a finite float that MySQL reads as a double."""
    text = float.__repr__(value)
    return text if "e" in text else text.removesuffix(".0") + "e0"


def bad_scope(owner: str, column: str, scope: "tuple[str, ...]") -> Exception:
    """Return the error for a column whose table is not in the statement."""
    known = ", ".join(scope) or "none"
    return ValueError(f"{column}: table {owner} is not in this statement, whose tables are {known}")


def new_renderer(database: object, dialect: object, mode: "SqlMode | None") -> Renderer:
    """Return a renderer for a dialect or for a server's mode."""
    out = Renderer.__new__(Renderer)
    out.prefix = out.database = None
    if database is not None:
        prefix = database if type(database) is str else check_identifier("database", database)
        if sqltext.is_word(prefix) and len(prefix) <= MAX_PLAIN:
            out.prefix = prefix
        else:
            out.database = check_identifier("database", prefix)
    if mode is None and type(dialect) is str and dialect == "mysql":
        out.dialect = DEFAULT
        out.text = sqltext.new_text(0)
        out.style = 0
        out.ticks = True
        out.like_escape = False
    else:
        chosen, style = choose(dialect, mode)
        out.dialect = chosen
        out.text = sqltext.new_text(style)
        out.style = style
        out.ticks = chosen.quote == "`"
        out.like_escape = style == 1 or chosen.like_escape
    out.scope = None
    out.aliases = None
    out.source = None
    out.place = 0
    out.ctes = ()
    out.row_alias = None
    out.proposed = False
    out.unqualified = False
    out.binding = False
    out.paramstyle = ""
    out.mark = None
    out.doubles = False
    out.slots = None
    return out
