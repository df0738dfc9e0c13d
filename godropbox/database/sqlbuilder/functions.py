"""Functions that build expressions, as an alternative to operators.

Every function takes expressions and plain values, and builds the same nodes as the operators.
``and_``, ``or_``, ``add``, ``sub``, ``mul`` and ``div`` take any number of operands and put one
pair of parentheses around them.
"""

from . import _grammar
from ._clauses import Ordering, ordering
from ._groups import exists_node, nary
from ._names import shown
from ._nodes import Expression, binary, negation
from ._statement import Query
from ._terms import (
    Alias,
    Call,
    Slot,
    alias_node,
    call,
    case_node,
    cast_node,
    interval_node,
    literal_node,
    slot_node,
    star_node,
    tuple_node,
    values_node,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

__all__ = [
    "add",
    "alias",
    "and_",
    "asc",
    "between",
    "bit_and",
    "bit_or",
    "bit_xor",
    "case",
    "cast",
    "count",
    "desc",
    "div",
    "eq",
    "escape_for_like",
    "exists",
    "func",
    "ge",
    "gt",
    "if_",
    "in_",
    "interval",
    "le",
    "like",
    "literal",
    "lt",
    "mul",
    "ne",
    "not_",
    "not_in",
    "or_",
    "regexp",
    "slot",
    "star",
    "sub",
    "tuple_",
    "values",
]

# The name of each CAST type in MySQL, SQLite and PostgreSQL, and here.
_TYPES = {
    "integer": ("SIGNED", "INTEGER", "BIGINT", "integer"),
    "unsigned": ("UNSIGNED", "", "", "unsigned"),
    "double": ("DOUBLE", "REAL", "DOUBLE PRECISION", "double"),
    "text": ("CHAR", "TEXT", "TEXT", "text"),
    "bytes": ("BINARY", "BLOB", "BYTEA", "bytes"),
    "date": ("DATE", "", "DATE", "date"),
    "datetime": ("DATETIME(6)", "", "TIMESTAMP", "datetime"),
    "timestamptz": ("", "", "TIMESTAMPTZ", "timestamptz"),
    "time": ("TIME(6)", "", "TIME", "time"),
    "decimal": ("DECIMAL(65,30)", "NUMERIC", "NUMERIC", "decimal"),
}


def eq(left: object, right: object) -> Expression:
    """Return ``left=right``, or ``left IS null`` if `right` is None."""
    return binary("=", left, right, _grammar.COMPARE)


def ne(left: object, right: object) -> Expression:
    """Return ``left!=right``, or ``left IS NOT null`` if `right` is None."""
    return binary("!=", left, right, _grammar.COMPARE)


def lt(left: object, right: object) -> Expression:
    """Return ``left<right``."""
    return binary("<", left, right, _grammar.COMPARE)


def le(left: object, right: object) -> Expression:
    """Return ``left<=right``."""
    return binary("<=", left, right, _grammar.COMPARE)


def gt(left: object, right: object) -> Expression:
    """Return ``left>right``."""
    return binary(">", left, right, _grammar.COMPARE)


def ge(left: object, right: object) -> Expression:
    """Return ``left>=right``."""
    return binary(">=", left, right, _grammar.COMPARE)


def like(left: object, pattern: object) -> Expression:
    """Return ``left LIKE pattern``; escape wildcards in data with ``escape_for_like``."""
    return binary(" LIKE ", left, pattern, _grammar.COMPARE)


def regexp(left: object, pattern: object) -> Expression:
    """Return ``left REGEXP pattern``, with the server's syntax of regular expressions."""
    return binary(" REGEXP ", left, pattern, _grammar.COMPARE)


def in_(left: Expression, values: "Iterable[object] | Query") -> Expression:
    """Return ``left IN (values)``; see ``Expression.in_``."""
    return as_expression("left", left).in_(values)


def not_in(left: Expression, values: "Iterable[object] | Query") -> Expression:
    """Return ``left NOT IN (values)``; see ``Expression.not_in``."""
    return as_expression("left", left).not_in(values)


def between(left: Expression, low: object, high: object) -> Expression:
    """Return ``left BETWEEN low AND high``, which includes both ends."""
    return as_expression("left", left).between(low, high)


def and_(*conditions: Expression) -> Expression:
    """Return ``(a AND b AND ...)``, or a single condition unchanged; raise without any."""
    return nary(" AND ", conditions, 0)


def or_(*conditions: Expression) -> Expression:
    """Return ``(a OR b OR ...)``, or a single condition unchanged; raise without any."""
    return nary(" OR ", conditions, 0)


def not_(condition: Expression) -> Expression:
    """Return ``NOT (condition)``."""
    return negation(condition)


def add(*operands: object) -> Expression:
    """Return ``(a + b + ...)``, or a single operand unchanged; raise without any."""
    return nary(" + ", operands, _grammar.ADD)


def sub(*operands: object) -> Expression:
    """Return ``(a - b - ...)``, or a single operand unchanged; raise without any."""
    return nary(" - ", operands, _grammar.ADD)


def mul(*operands: object) -> Expression:
    """Return ``(a * b * ...)``, or a single operand unchanged; raise without any."""
    return nary(" * ", operands, _grammar.MUL)


def div(*operands: object) -> Expression:
    """Return ``(a / b / ...)``, or a single operand unchanged; raise without any."""
    return nary(" / ", operands, _grammar.MUL)


def bit_or(left: object, right: object) -> Expression:
    """Return ``left | right``."""
    return binary(" | ", left, right, _grammar.BITS)


def bit_and(left: object, right: object) -> Expression:
    """Return ``left & right``."""
    return binary(" & ", left, right, _grammar.BITS)


def bit_xor(left: object, right: object) -> Expression:
    """Return ``left ^ right``; SQLite has no such operator."""
    return binary(" ^ ", left, right, _grammar.BITS)


def func(name: str, *arguments: object, distinct: bool = False) -> Call:
    """Return the SQL function call ``name(arguments)`` or ``name(DISTINCT arguments)``."""
    return call(name, arguments, distinct)


def count(argument: object = None, *, distinct: bool = False) -> Call:
    """Return ``COUNT(*)``, or ``COUNT(argument)``, or ``COUNT(DISTINCT argument)``."""
    return call("COUNT", (star() if argument is None else argument,), distinct)


def interval(duration: "timedelta", *, exact: bool = False) -> Expression:
    """Return an INTERVAL to add to a time or subtract from it.

    By default the text is the Go library's, which writes microseconds without leading zeros: MySQL
    reads 7 of them as 0.7 seconds. With `exact` they have six digits, which MySQL reads right.
    Whole seconds, and any duration in PostgreSQL, are right either way.
    """
    from datetime import timedelta  # slow to import, so only here

    if not isinstance(duration, timedelta):
        raise TypeError(f"duration must be a timedelta, got {shown(duration)}")
    duration = timedelta.__add__(duration, timedelta())  # a subclass may override attributes
    seconds = duration.days * 86400 + duration.seconds
    return interval_node(seconds * 1000000 + duration.microseconds, exact)


def tuple_(*items: object) -> Expression:
    """Return the row ``(a,b,...)``, to compare with another row or to use with ``in_``."""
    return tuple_node(items)


def if_(condition: Expression, then: object, otherwise: object) -> Expression:
    """Return ``IF(condition,then,otherwise)``, or CASE in a dialect without IF."""
    return case_node((condition, then), otherwise, True)


def case(*pairs: "tuple[Expression, object]", otherwise: object = None) -> Expression:
    """Return ``CASE WHEN a THEN b ... ELSE otherwise END`` for pairs (a, b)."""
    flat: list[object] = []
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f"pairs must be tuples (condition, value), got {shown(pair)}")
        flat.extend(pair)
    if not flat:
        raise ValueError("CASE needs at least one pair")
    return case_node(tuple(flat), otherwise, False)


def values(column: Expression) -> Expression:
    """Return the value that INSERT tried to put in `column`, for ``on_duplicate_key_update``."""
    return values_node(column)


def cast(value: object, kind: str) -> Expression:
    """Return ``CAST(value AS type)``.

    `kind` is ``integer``, ``unsigned``, ``double``, ``decimal``, ``text``, ``bytes``, ``date``,
    ``datetime``, ``timestamptz`` or ``time``. Rendering writes the dialect's name for it, or raises
    ``UnsupportedFeature``.
    """
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ValueError(f"kind must be one of {', '.join(_TYPES)}, got {shown(kind)}")
    return cast_node(value, _TYPES[kind])


def exists(query: Query) -> Expression:
    """Return ``EXISTS (query)``; the query may use columns of the enclosing statement."""
    return exists_node(query)


def star() -> Expression:
    """Return ``*``; use ``table.star`` for the columns of one table."""
    return star_node(None)


def alias(name: str, expression: object) -> Alias:
    """Return ``(expression) AS name`` for a select list; in later clauses it is just the name."""
    return alias_node(name, expression)


def literal(value: object) -> Expression:
    """Return a plain value as an expression."""
    return literal_node(value)


def slot(name: str, kind: type, *, nullable: bool = False, many: bool = False) -> Slot:
    """Return a slot of a prepared statement, to be filled with a value of class `kind`.

    With `nullable`, None can fill the slot: as a value to store, or for ``==``, which then matches
    NULL; other comparisons raise. With `many`, a list of values fills it, for ``in_``.
    """
    return slot_node(name, kind, nullable, many)


def asc(expression: Expression) -> Ordering:
    """Return ``expression ASC``, for ORDER BY."""
    return ordering(expression, " ASC")


def desc(expression: Expression) -> Ordering:
    """Return ``expression DESC``, for ORDER BY."""
    return ordering(expression, " DESC")


def escape_for_like(text: str) -> str:
    r"""Return `text` with a backslash before each ``\``, ``%`` and ``_``."""
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {shown(text)}")
    text = str.__str__(text)  # a subclass may override __str__
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def as_expression(what: str, value: object) -> Expression:
    """Return `value` if it is an expression, or raise ``TypeError``."""
    if not isinstance(value, Expression):
        raise TypeError(f"{what} must be an expression, got {shown(value)}")
    return value
