"""Functions that build expressions, as an alternative to operators.

Every function takes expressions and plain values, and builds the same nodes as the operators.
``and_``, ``or_``, ``add``, ``sub``, ``mul`` and ``div`` take any number of operands and put one
pair of parentheses around them.
"""

from . import _grammar
from ._clauses import Ordering, ordering
from ._forms import (
    BIT_NOT,
    CONCAT,
    EXTRACT,
    NEGATIVE,
    bit_inverted,
    concatenated,
    escaped,
    negated,
    words_for_extract,
)
from ._groups import exists_node, nary
from ._names import shown
from ._nodes import (
    Expression,
    any_of,
    applied,
    array_node,
    binary,
    cast_node,
    negation,
)
from ._raw import raw_node
from ._statement import Query
from ._terms import (
    Alias,
    Call,
    Slot,
    alias_node,
    call,
    case_node,
    interval_node,
    literal_node,
    ordered_call,
    slot_node,
    star_node,
    string_agg_node,
    tuple_node,
    values_node,
    word_node,
)
from ._types import matched
from ._windows import Window, window_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from typing import Any, Final, LiteralString

__all__ = [
    "add",
    "alias",
    "all_",
    "and_",
    "any_",
    "array",
    "asc",
    "between",
    "bit_and",
    "bit_not",
    "bit_or",
    "bit_xor",
    "case",
    "cast",
    "concat",
    "count",
    "desc",
    "div",
    "eq",
    "escape_for_like",
    "exists",
    "extract",
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
    "neg",
    "not_",
    "not_in",
    "nulls_first",
    "nulls_last",
    "or_",
    "raw",
    "regexp",
    "shift_left",
    "shift_right",
    "slot",
    "star",
    "string_agg",
    "sub",
    "tuple_",
    "values",
    "window",
]

# The functions that SQL calls without parentheses.
_WORDS = frozenset(
    {"CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "CURRENT_USER", "LOCALTIMESTAMP"}
)


def eq(left: object, right: object) -> Expression:
    """Return ``left=right``, or ``left IS null`` if `right` is None."""
    return binary("=", *matched(left, right), _grammar.COMPARE)


def ne(left: object, right: object) -> Expression:
    """Return ``left!=right``, or ``left IS NOT null`` if `right` is None."""
    return binary("!=", *matched(left, right), _grammar.COMPARE)


def lt(left: object, right: object) -> Expression:
    """Return ``left<right``."""
    return binary("<", *matched(left, right), _grammar.COMPARE)


def le(left: object, right: object) -> Expression:
    """Return ``left<=right``."""
    return binary("<=", *matched(left, right), _grammar.COMPARE)


def gt(left: object, right: object) -> Expression:
    """Return ``left>right``."""
    return binary(">", *matched(left, right), _grammar.COMPARE)


def ge(left: object, right: object) -> Expression:
    """Return ``left>=right``."""
    return binary(">=", *matched(left, right), _grammar.COMPARE)


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


class Func:
    """Maker of function calls: ``func.lower(x)``, or ``func("lower", x)``."""

    __slots__ = ()

    def __call__(
        self,
        name: str,
        *arguments: object,
        distinct: bool = False,
        order_by: "tuple[Expression | Ordering, ...] | list[Expression | Ordering]" = (),
    ) -> Call:
        """Return the SQL function call ``name(arguments)`` or ``name(DISTINCT arguments)``.

        `order_by` is the order of the rows in an aggregate: ``name(arguments ORDER BY ...)``.
        """
        made = call(name, arguments, distinct)
        return ordered_call(made, tuple(order_by)) if order_by else made

    def __getattr__(self, name: str) -> "Named":
        """Return the maker of calls of the function `name`."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Named(name)

    def __repr__(self) -> str:
        return "func"


class Named:
    """Maker of calls of one function, made by ``func.name``."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(
        self,
        *arguments: object,
        distinct: bool = False,
        order_by: "tuple[Expression | Ordering, ...] | list[Expression | Ordering]" = (),
    ) -> Call:
        """Return the call; the arguments are as in ``func``.

        CURRENT_DATE and its like, which SQL calls without parentheses, get none.
        """
        if not arguments and self._name.upper() in _WORDS:
            return word_node(self._name.upper())
        return func(self._name, *arguments, distinct=distinct, order_by=order_by)

    def __repr__(self) -> str:
        return f"func.{self._name}"


func: "Final" = Func()


def count(argument: object = None, *, distinct: bool = False) -> Call:
    """Return ``COUNT(*)``, or ``COUNT(argument)``, or ``COUNT(DISTINCT argument)``."""
    return call("COUNT", (star() if argument is None else argument,), distinct)


def string_agg(
    value: object,
    separator: str = ",",
    *,
    distinct: bool = False,
    order_by: "tuple[Expression | Ordering, ...] | list[Expression | Ordering]" = (),
) -> Call:
    """Return the values of a group as one text, with `separator` between them.

    It is ``GROUP_CONCAT(value ORDER BY ... SEPARATOR ',')`` in MySQL, which cuts the text at
    ``group_concat_max_len``, and ``STRING_AGG(value, ',' ORDER BY ...)`` in PostgreSQL.
    """
    return string_agg_node(value, separator, distinct, tuple(order_by))


def window(
    name: "str | None" = None,
    *,
    partition_by: "Expression | tuple[Expression, ...] | list[Expression]" = (),
    order_by: "Expression | Ordering | tuple[object, ...] | list[object]" = (),
    rows: "tuple[int | None, int | None] | None" = None,
    range_: "tuple[int | timedelta | None, int | timedelta | None] | None" = None,
    groups: "tuple[int | None, int | None] | None" = None,
    exclude: "str | None" = None,
) -> Window:
    """Return the rows that a window function sees, for ``over``.

    `name` is the window of the statement that this one adds to. `rows`, `range_` or `groups` is the
    frame, a pair (start, end) counted from the current row: a negative number precedes it, 0 is the
    row itself, None is unbounded; `range_` also takes a timedelta. `exclude` is ``current row``,
    ``group``, ``ties`` or ``no others``.
    """
    return window_of(name, partition_by, order_by, rows, range_, groups, exclude)


def extract(field: str, moment: object) -> Expression:
    """Return one field of a date or a time, a whole number: ``EXTRACT(YEAR FROM moment)``.

    `field` is ``year``, ``quarter``, ``month``, ``week`` (of ISO 8601), ``day``, ``hour``,
    ``minute``, ``second``, ``microsecond`` (of the second), ``dow`` (0 is Sunday), ``isodow`` (1 is
    Monday), ``doy`` or ``epoch`` (seconds since 1970 as if in UTC).
    """
    return applied(EXTRACT, (moment,), words_for_extract(field))


def interval(
    duration: "timedelta | None" = None,
    *,
    years: int = 0,
    months: int = 0,
    exact: bool = False,
) -> Expression:
    """Return an INTERVAL to add to a time or subtract from it.

    It is a `duration`, or a number of `years` and `months`, whose length depends on the time.

    By default the text is the Go library's, which writes microseconds without leading zeros: MySQL
    reads 7 of them as 0.7 seconds. With `exact` they have six digits, which MySQL reads right.
    Whole seconds, and any duration in PostgreSQL, are right either way.
    """
    from datetime import timedelta  # slow to import, so only here

    if years or months:
        if duration is not None:
            raise ValueError("an interval has a duration or years and months: add two intervals")
        return interval_node(0, exact, _months(years, months))
    if not isinstance(duration, timedelta):
        raise TypeError(f"duration must be a timedelta, got {shown(duration)}")
    duration = timedelta.__add__(duration, timedelta())  # a subclass may override attributes
    seconds = duration.days * 86400 + duration.seconds
    return interval_node(seconds * 1000000 + duration.microseconds, exact)


def _months(years: object, months: object) -> int:
    for what, number in (("years", years), ("months", months)):
        if not isinstance(number, int) or isinstance(number, bool) or abs(number) > 120000:
            raise ValueError(f"{what} must be an int in [-120000, 120000], got {shown(number)}")
    total: int = int(years) * 12 + int(months)  # type: ignore[call-overload]  # ints, tested above
    if not total:
        raise ValueError("years and months must not add up to nothing")
    return total


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

    `kind` is ``integer``, ``unsigned``, ``double``, ``decimal``, ``text``, ``bytes``, ``boolean``,
    ``date``, ``datetime``, ``timestamptz``, ``time``, ``json`` or ``uuid``, for which rendering
    writes the dialect's name, or any type by its name in the server: ``DECIMAL(10,2)``,
    ``TIMESTAMP WITH TIME ZONE``, ``INT[]``. Rendering raises ``UnsupportedFeature`` for a type that
    the dialect is known to lack.
    """
    return cast_node(value, kind)


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


def concat(*items: object) -> Expression:
    """Return the texts as one: ``a || b || c``, or ``CONCAT(a,b,c)``; NULL if one of them is."""
    return applied(CONCAT, concatenated(items), None)


def neg(value: object) -> Expression:
    """Return ``-value``."""
    return applied(NEGATIVE, negated(value), "-")


def bit_not(value: object) -> Expression:
    """Return ``~value``, all bits inverted; the result is unsigned in MySQL, signed elsewhere."""
    return applied(BIT_NOT, bit_inverted(value), "~")


def shift_left(value: object, count: object) -> Expression:
    """Return ``value << count``."""
    return binary(" << ", value, count, _grammar.BITS)


def shift_right(value: object, count: object) -> Expression:
    """Return ``value >> count``; the sign is not kept in MySQL."""
    return binary(" >> ", value, count, _grammar.BITS)


def any_(of: "Query | Expression | list[object]") -> Expression:
    """Return ANY of a query's or an array's values, to compare with: ``c.id == any_(query)``."""
    return any_of("ANY", of)


def all_(of: "Query | Expression | list[object]") -> Expression:
    """Return ALL of a query's or an array's values, to compare with: ``c.id > all_(query)``."""
    return any_of("ALL", of)


def array(values: "list[Any] | tuple[Any, ...]", kind: "str | None" = None) -> Expression:
    """Return an array of `values`, which may be lists of equal length; in PostgreSQL alone.

    `kind` is the type of the elements, as in ``cast``; an empty array needs it, and a comparison
    with a column needs the column's: ``ARRAY[1,2]`` is an array of INT.
    """
    return array_node(values, kind)


def raw(text: "LiteralString", *values: object) -> Expression:
    """Return a fragment of SQL as it is, with `values` in place of each ``?`` outside of quotes.

    `text` must be a literal of the program, never data: pyright refuses others, and mypy cannot yet
    tell. A value is a
    plain value, which is encoded, or an expression. Write ``??`` for a question mark. Raise
    ``ValueError`` if the values do not fit, and for a comment, a semicolon, an open quote or
    parenthesis, and a backslash.
    """
    return raw_node(text, values)


def nulls_first(term: "Expression | Ordering") -> Ordering:
    """Return a term for ORDER BY that has NULL before all values."""
    return ordering(term, "", " NULLS FIRST")


def nulls_last(term: "Expression | Ordering") -> Ordering:
    """Return a term for ORDER BY that has NULL after all values."""
    return ordering(term, "", " NULLS LAST")


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
    return escaped(text)


def as_expression(what: str, value: object) -> Expression:
    """Return `value` if it is an expression, or raise ``TypeError``."""
    if not isinstance(value, Expression):
        raise TypeError(f"{what} must be an expression, got {shown(value)}")
    return value
