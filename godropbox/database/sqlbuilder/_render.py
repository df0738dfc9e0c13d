"""The rendering of one statement: its text so far, its parameters, and the tables in scope.

Nodes write themselves through a ``Renderer``, which makes only literals, names and placeholders. A
``Renderer`` serves one call in one thread.
"""

from math import isfinite

from godropbox._kernels import sqltext

from . import _grammar, _names
from ._names import check_name
from .dialects import check_paramstyle, placeholder, style_of, unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from godropbox.database.sqltypes import SqlMode

__all__ = ["Renderer", "bad_scope", "double_text", "new_renderer"]

# Compiled, these are C variables.
new_text = sqltext.Text
sent_value = sqltext.parameter
MAX_NAME = _names.MAX_NAME


class Renderer:
    """Text, parameters and scope of a statement while it is rendered."""

    __slots__ = (
        "aliases",
        "binding",
        "ctes",
        "dialect",
        "doubles",
        "mark",
        "paramstyle",
        "plain",
        "prefix",
        "scope",
        "slots",
        "style",
        "text",
        "unqualified",
    )

    # `scope` holds the names of the tables whose columns may be used; None disables the check.
    # `aliases` is the select list whose aliases may be used, or None.
    text: "sqltext.Text"
    dialect: int
    style: int
    plain: bool
    prefix: str
    scope: "tuple[str, ...] | None"
    aliases: "tuple[object, ...] | None"
    ctes: "tuple[str, ...]"
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
        """Write a float that is an operand of ``*``, ``/`` or ``%``, as a double in MySQL.

        MySQL reads plain digits as a DECIMAL, whose division has only four more decimal places.
        """
        if self.dialect or not isfinite(value):
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

    def column(self, owner: str, ticked: str, quoted: str, bare: str) -> int:
        """Write a column: `ticked` in MySQL, `quoted` elsewhere, `bare` where unqualified."""
        if self.scope is not None:
            self.check_scope(owner, ticked)
        if self.unqualified:
            self.name(bare)
        elif self.dialect == 0:
            self.text.put(ticked)
        else:
            self.text.put(quoted)
        return 0

    def check_scope(self, owner: str, column: str) -> int:
        """Raise unless `owner`, an interned name, is a table in scope."""
        scope = self.scope
        if scope is None:
            return 0
        for known in scope:
            if known is owner:
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

    def name(self, name: str) -> int:
        """Write a name, quoted."""
        text = self.text
        mark = "`" if self.dialect == 0 else '"'
        text.put(mark)
        text.put(name)
        text.put(mark)
        return 0

    def table(self, ticked: str, quoted: str) -> int:
        """Write the database and a table; the arguments are the text after the database."""
        text = self.text
        if self.dialect == 0:
            text.put("`")
            text.put(self.prefix)
            text.put(ticked)
        else:
            text.put('"')
            text.put(self.prefix)
            text.put(quoted)
        return 0

    def operator(self, symbol: str) -> str:
        """Return another dialect's operator for one of MySQL's."""
        if self.dialect == _grammar.POSTGRESQL:
            if symbol == " REGEXP ":
                return " ~ "
            if symbol == "!=":
                return "<>"  # PostgreSQL reads !=-1 as the operator !=- before 1
        if symbol == " <=> ":
            return " IS NOT DISTINCT FROM " if self.dialect == _grammar.POSTGRESQL else " IS "
        if symbol == " ^ ":
            self.need(_grammar.IN_POSTGRESQL, "bitwise XOR")
            return " # "
        return symbol

    def need(self, allowed: int, feature: str) -> int:
        """Raise ``UnsupportedFeature`` unless the dialect is in the set `allowed`."""
        if not allowed >> self.dialect & 1:
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
    if type(database) is str:
        prefix = database
        if not (prefix.isascii() and prefix.isidentifier()) or len(prefix) > MAX_NAME:
            check_name("database", prefix)
    else:
        prefix = check_name("database", database)
    out.prefix = prefix
    if mode is None and type(dialect) is str and dialect == "mysql":
        out.text = new_text(0)
        out.style = out.dialect = 0
        out.plain = False
    else:
        style = style_of(dialect, mode)
        out.text = new_text(style)
        out.style = style
        out.dialect = max(style - 1, 0)
        out.plain = style == 1
    out.scope = None
    out.aliases = None
    out.ctes = ()
    out.unqualified = False
    out.binding = False
    out.paramstyle = ""
    out.mark = None
    out.doubles = False
    out.slots = None
    return out
