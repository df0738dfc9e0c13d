"""Expressions that functions build: calls, CASE, CAST, aliases, windows, slots.

``_nodes`` has the nodes that operators build, ``functions`` the public functions.
"""

from . import _grammar
from ._base import above, depth_of, nulls_of, operand, predicate, write_operand
from ._clauses import ordered, unordered, write_list
from ._columns import Column, output_column, renamed
from ._makers import MAKERS
from ._methods import give
from ._names import check_identifier, check_name, shown
from ._nodes import Expression
from ._prepared import Place, new_place
from ._render import Renderer
from ._windows import Window, window_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Any, Final

    from ._clauses import Ordering

__all__ = [
    "Aggregate",
    "Alias",
    "Call",
    "Case",
    "Interval",
    "Literal",
    "Over",
    "Slot",
    "Star",
    "Tuple",
    "Values",
    "alias_node",
    "call",
    "case_node",
    "interval_node",
    "literal_node",
    "ordered_call",
    "over_node",
    "slot_node",
    "star_node",
    "string_agg_node",
    "tuple_node",
    "values_node",
    "word_node",
]

ATOM = _grammar.ATOM
ODD_VALUE = _grammar.ODD_VALUE
TEXT = _grammar.TEXT
VALUE = _grammar.VALUE
PREDICATE = _grammar.PREDICATE
UNKNOWN = _grammar.UNKNOWN
NULL = _grammar.NULL
NULL_IN_ROW = _grammar.NULL_IN_ROW
MAYBE_NULL = _grammar.MAYBE_NULL

# The aggregates that ignore NULL, so that FILTER is exactly a CASE around their first argument.
_IGNORE_NULL: "Final" = frozenset({"AVG", "COUNT", "MAX", "MIN", "SUM"})


class Literal(Expression):
    """Plain value as an expression."""

    __slots__ = ("_value",)

    _value: object

    def _write(self, out: Renderer) -> int:
        return out.literal(self._value)

    def _is_value(self) -> bool:
        return True

    def _family(self) -> int:
        return TEXT if isinstance(self._value, str) else 0

    def _write_factor(self, out: Renderer) -> int:
        if isinstance(self._value, float):
            return out.factor(self._value)
        return out.literal(self._value)

    def _nulls(self) -> int:
        return NULL if self._value is None else 0

    def _row_width(self) -> int:
        return -1 if self._value is None else 1

    def _yields(self) -> type:
        return yields(self._value)


class Alias(Expression):
    """Expression with a name, for a select list.

    In the GROUP BY, HAVING and ORDER BY of that SELECT, it is just the name.
    """

    __slots__ = ("_name", "_term")

    _name: str
    _term: object

    @property
    def name(self) -> str:
        """The alias."""
        return self._name

    def _write(self, out: Renderer) -> int:
        if out.aliases is None:
            raise ValueError(
                f"alias {self._name} works only in a select list, GROUP BY, HAVING and ORDER BY"
            )
        for item in out.aliases:
            if isinstance(item, Alias):
                alias = item
                if alias._name == self._name:
                    if out.place >= 2 or not alias._is_hidden(out):
                        return out.name(self._name)
                    return alias._write_term(out)
        raise ValueError(f"alias {self._name} is not in the select list")

    def _is_hidden(self, out: Renderer) -> bool:
        """Return whether the name would be a column's here, or nothing at all."""
        if not out.can("aliases in ORDER BY" if out.place else "aliases in HAVING"):
            return True
        source: Any = out.source
        return source is not None and bool(source._has_column(self._name))

    def _write_term(self, out: Renderer) -> int:
        """Write the expression, in place of its name."""
        aliases = out.aliases
        out.aliases = None
        write_operand(out, self._term, ATOM)
        out.aliases = aliases
        return 0

    def _yields(self) -> type:
        return yields(self._term)

    def _output(self) -> Column:
        if isinstance(self._term, Column):
            return renamed(self._term, self._name)
        return output_column(self._yields(), self._name)

    def _write_projection(self, out: Renderer) -> int:
        out.text.put("(")
        write_operand(out, self._term, 0)
        out.text.put(") AS ")
        return out.name(self._name)


class Call(Expression):
    """Function call, optionally with DISTINCT."""

    __slots__ = ("_arguments", "_distinct", "_name")

    _arguments: "tuple[object, ...]"
    _distinct: bool
    _name: str

    def _write(self, out: Renderer) -> int:
        text = out.text
        text.put(self._name)
        text.put("(DISTINCT " if self._distinct else "(")
        write_operands(out, self._arguments)
        text.put(")")
        return 0

    def table_valued(
        self,
        name: str,
        *columns: Column,
        ordinality: "str | None" = None,
        typed: bool = False,
    ) -> "Any":
        """Return the rows of the function as a source for FROM: ``f(...) AS name (columns)``.

        `columns` are declared like a table's: in PostgreSQL they name the function's columns in
        their order; SQLite, where these have names already, needs those. `ordinality` names one
        more column, which counts the rows. `typed` also says the columns' types, for functions such
        as ``json_to_recordset``. Arguments may be columns of tables before it in FROM.
        """
        return MAKERS["table_function"](name, self, columns, ordinality, typed)

    def _yields(self) -> type:
        name = self._name.upper()
        if name in _OF_ARGUMENT:
            return yields(self._arguments[0]) if self._arguments else object
        return _RESULTS.get(name, object)

    def filter(self, condition: Expression) -> "Call":
        """Return the aggregate of the rows for which `condition` is true: with FILTER.

        A dialect without FILTER gets a CASE in AVG, COUNT, MAX, MIN, SUM and ``string_agg``, which
        is the same there, and raises ``UnsupportedFeature`` in others.
        """
        node = _aggregate(self)
        node._condition = predicate("the condition of FILTER", condition)
        node._depth = depth_of((node, node._condition)) + 1
        return node

    def within_group(self, *order_by: "Expression | Ordering") -> "Call":
        """Return the ordered-set aggregate: ``f(...) WITHIN GROUP (ORDER BY ...)``."""
        node = _aggregate(self)
        node._order = ordered(order_by)
        node._within = True
        node._depth = depth_of((node, *unordered(order_by))) + 1
        return node

    def over(
        self,
        window: "Window | str | None" = None,
        *,
        partition_by: "Expression | tuple[Expression, ...] | list[Expression]" = (),
        order_by: "Expression | Ordering | tuple[object, ...] | list[object]" = (),
        rows: "tuple[int | None, int | None] | None" = None,
        range_: "tuple[int | timedelta | None, int | timedelta | None] | None" = None,
        groups: "tuple[int | None, int | None] | None" = None,
        exclude: "str | None" = None,
    ) -> Expression:
        """Return the call as a window function: ``f(...) OVER (PARTITION BY ... ORDER BY ...)``.

        `window` is a window made by ``window``, or the name of one of the statement. The other
        arguments define one in place, as in ``window``.
        """
        taken = (partition_by, order_by, rows, range_, groups, exclude)
        if not isinstance(window, Window):
            return over_node(self, window_of(window, *taken))
        if taken != ((), (), None, None, None, None):
            raise ValueError("a window of its own takes no more arguments in over()")
        return over_node(self, window)


class Aggregate(Call):
    """Call of an aggregate with ORDER BY, FILTER, WITHIN GROUP or a separator."""

    __slots__ = ("_condition", "_order", "_separator", "_within")

    _condition: "Expression | None"
    _order: "tuple[object, ...]"
    _separator: "str | None"  # of string_agg alone
    _within: bool

    def _family(self) -> int:
        return 0 if self._separator is None else TEXT

    def _write(self, out: Renderer) -> int:
        text = out.text
        native = self._condition is None or out.can("FILTER")
        if not native and self._separator is None and self._name.upper() not in _IGNORE_NULL:
            out.need("FILTER")
        if self._order and not self._within:
            self._need_order(out)
        text.put(self._name if self._separator is None else out.dialect.string_agg)
        text.put("(DISTINCT " if self._distinct else "(")
        if native:
            write_operands(out, self._arguments)
        else:
            self._write_cases(out)
        if self._separator is not None and not out.can("SEPARATOR"):
            self._write_separator(out)
        if self._order and not self._within:
            text.put(" ORDER BY ")
            write_list(out, self._order)
        if self._separator is not None and out.can("SEPARATOR"):
            text.put(" SEPARATOR ")
            out.constant(self._separator)
        text.put(")")
        if self._within:
            out.need("WITHIN GROUP")
            text.put(" WITHIN GROUP (ORDER BY ")
            write_list(out, self._order)
            text.put(")")
        if self._condition is not None and native:
            text.put(" FILTER (WHERE ")
            self._condition._write(out)
            text.put(")")
        return 0

    def _need_order(self, out: Renderer) -> int:
        if self._separator is None or not out.can("SEPARATOR"):
            out.need("ORDER BY in an aggregate")
        return 0

    def _write_separator(self, out: Renderer) -> int:
        """Write the separator as the second argument."""
        if self._distinct and not out.can("DISTINCT with several arguments"):
            if self._separator != ",":
                out.need("DISTINCT with several arguments")
            return 0  # the default
        out.text.put(",")
        return out.literal(self._separator)

    def _write_cases(self, out: Renderer) -> int:
        """Write the arguments so that the aggregate ignores the rows that FILTER would."""
        text = out.text
        for index in range(len(self._arguments)):
            argument = self._arguments[index]
            if index:
                text.put(",")
                write_operand(out, argument, 0)
                continue
            text.put("CASE WHEN ")
            write_operand(out, self._condition, 0)
            text.put(" THEN ")
            if _is_star(argument):
                text.put("1")
            else:
                write_operand(out, argument, 0)
            text.put(" END")
        return 0


class Over(Expression):
    """Window function."""

    __slots__ = ("_call", "_window")

    _call: Call
    _window: Window

    def _write(self, out: Renderer) -> int:
        self._call._write(out)
        out.text.put(" OVER ")
        if self._window._is_name():
            return out.name(str(self._window._name))
        return self._window._write(out)

    def _yields(self) -> type:
        return self._call._yields()


class Interval(Expression):
    """INTERVAL to add to a time or subtract from it."""

    __slots__ = ("_exact", "_microseconds", "_months")

    _exact: bool
    _microseconds: int
    _months: int  # instead of microseconds unless 0

    def _write(self, out: Renderer) -> int:
        out.need("INTERVAL")
        if self._months:
            out.need("months in INTERVAL")
            out.text.put(out.dialect.months(self._months))
            return 0
        out.text.put(out.dialect.interval(self._microseconds, self._exact, out.binding))
        return 0


class Tuple(Expression):
    """Row of values: ``(a,b)``."""

    __slots__ = ("_items",)

    _items: "tuple[object, ...]"

    def _write(self, out: Renderer) -> int:
        out.text.put("(")
        write_operands(out, self._items)
        out.text.put(")")
        return 0

    def _nulls(self) -> int:
        found = 0
        for item in self._items:
            nulls = nulls_of(item)
            found |= NULL_IN_ROW if nulls == NULL else nulls
        return found

    def _row_width(self) -> int:
        return len(self._items)


class Case(Expression):
    """``CASE WHEN ... THEN ... ELSE ... END``, or MySQL's ``IF(...)``."""

    __slots__ = ("_default", "_if", "_pairs")

    _default: object
    _if: bool
    _pairs: "tuple[object, ...]"

    def _write(self, out: Renderer) -> int:
        text = out.text
        short = self._if and out.can("IF()")
        text.put("IF(" if short else "CASE")
        for index in range(0, len(self._pairs), 2):
            if not short:
                text.put(" WHEN ")
            write_operand(out, self._pairs[index], 0)
            text.put("," if short else " THEN ")
            write_operand(out, self._pairs[index + 1], 0)
        text.put("," if short else " ELSE ")
        write_operand(out, self._default, 0)
        text.put(")" if short else " END")
        return 0


class Values(Expression):
    """Value that INSERT tried to put in a column, in its ON DUPLICATE KEY UPDATE."""

    __slots__ = ("_column",)

    _column: Column

    def _write(self, out: Renderer) -> int:
        out.proposed = True
        if out.row_alias is not None:
            self._column._check_scope(out)
            out.name(out.row_alias)
            out.text.put(".")
            return out.name(self._column._bare)
        if out.can("ON DUPLICATE KEY UPDATE"):
            out.text.put("VALUES(")
            self._column._write(out)
            out.text.put(")")
            return 0
        self._column._check_scope(out)
        out.text.put("excluded.")
        return out.name(self._column._bare)


class Word(Call):
    """Function that is called without parentheses, such as CURRENT_TIMESTAMP."""

    __slots__ = ()

    def _write(self, out: Renderer) -> int:
        if self._name in ("CURRENT_USER", "LOCALTIMESTAMP"):
            out.need(self._name)
        out.text.put(self._name)
        return 0


class Star(Expression):
    """``*``, or ``table.*``."""

    __slots__ = ("_owner",)

    _owner: "str | None"

    def _write(self, out: Renderer) -> int:
        if self._owner is not None:
            if out.scope is not None:
                out.check_scope(self._owner, f"`{self._owner}`.*")
            out.name(self._owner)
            out.text.put(".")
        out.text.put("*")
        return 0

    def _is_star(self) -> bool:
        return True

    def _output(self) -> None:
        return None


class Slot(Expression):
    """Slot of a prepared statement, filled with a value later."""

    __slots__ = ("_place",)

    _place: Place

    def _write(self, out: Renderer) -> int:
        return out.slot(self._place, self._place._many)

    def _write_factor(self, out: Renderer) -> int:
        if out.dialect.decimal_literals:
            return out.slot(self._place.as_factor(), self._place._many)
        return out.slot(self._place, self._place._many)

    def _is_value(self) -> bool:
        return True

    def _nulls(self) -> int:
        return MAYBE_NULL if self._place._nullable else 0

    def _row_width(self) -> int:
        return -1 if self._place._nullable or self._place._many else 1

    def _yields(self) -> type:
        return self._place._type

    def __repr__(self) -> str:
        return f"<{self._place!r}>"


# Functions whose values have a type of their own, and those that have their argument's, everywhere.
_RESULTS: "dict[str, type]" = {
    **dict.fromkeys(["COUNT", "ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE", "LENGTH"], int),
    **dict.fromkeys(["CONCAT", "LOWER", "UPPER", "TRIM", "LTRIM", "RTRIM", "REPLACE"], str),
}
_OF_ARGUMENT = frozenset({"MIN", "MAX", "COALESCE", "LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE"})


def yields(value: object) -> type:
    """Return the Python class of an operand's values, or ``object`` if it is not known."""
    if isinstance(value, Expression):
        node = value
        return node._yields()
    return object if value is None else type(value)


def write_operands(out: Renderer, items: "tuple[object, ...]") -> int:
    """Write operands, separated by commas."""
    for index in range(len(items)):
        if index:
            out.text.put(",")
        write_operand(out, items[index], 0)
    return 0


def made(node: Expression, kind: int, depth: int) -> int:
    """Set the kind and the depth of a new term, and the precedence that all terms have."""
    node._prec = ATOM
    node._kind = kind
    node._depth = depth
    return 0


def literal_node(value: object) -> Expression:
    """Return a plain value as an expression."""
    if isinstance(value, Expression):
        raise TypeError(f"value must be a plain value, got the expression {shown(value)}")
    node = Literal.__new__(Literal)
    node._value = operand(value)
    made(node, UNKNOWN if isinstance(node._value, bool) else VALUE, 1)
    if node._value is None:
        node._kind = ODD_VALUE
    return node


def alias_node(name: str, term: object) -> Alias:
    """Return ``(term) AS name``."""
    node = Alias.__new__(Alias)
    node._name = check_identifier("alias", name)
    node._term = operand(term)
    made(node, UNKNOWN, above(node._term, None))
    return node


def call(name: str, arguments: "tuple[object, ...]", distinct: bool) -> Call:
    """Return ``name(arguments)``."""
    node = Call.__new__(Call)
    node._name = check_name("function name", name)
    node._arguments = tuple([operand(argument) for argument in arguments])
    node._distinct = distinct
    if distinct and not arguments:
        raise ValueError(f"{name}(DISTINCT) needs an argument")
    made(node, UNKNOWN, depth_of(node._arguments) + 1)
    return node


def _is_star(value: object) -> bool:
    if not isinstance(value, Expression):
        return False
    node = value
    return node._is_star()


def _aggregate(old: Call) -> Aggregate:
    """Return a copy of a call, to which clauses can be added."""
    node = Aggregate.__new__(Aggregate)
    node._name = old._name
    node._arguments = old._arguments
    node._distinct = old._distinct
    made(node, UNKNOWN, old._depth)
    node._condition = None
    node._order = ()
    node._separator = None
    node._within = False
    if isinstance(old, Aggregate):
        known = old
        node._condition = known._condition
        node._order = known._order
        node._separator = known._separator
        node._within = known._within
    return node


def ordered_call(old: Call, order_by: "tuple[object, ...]") -> Call:
    """Return the aggregate with ORDER BY among its arguments."""
    node = _aggregate(old)
    node._order = ordered(order_by)
    node._depth = depth_of((node, *unordered(order_by))) + 1
    return node


def string_agg_node(
    value: object, separator: object, distinct: bool, order_by: "tuple[object, ...]"
) -> Call:
    """Return the values of a group as one text."""
    if not isinstance(separator, str):
        raise TypeError(f"separator must be a str, got {shown(separator)}")
    node = _aggregate(call("STRING_AGG", (value,), distinct))
    node._separator = str.__str__(separator)
    return ordered_call(node, order_by) if order_by else node


def over_node(function: Call, window: Window) -> Expression:
    """Return the call `function` as a window function."""
    node = Over.__new__(Over)
    node._call = function
    node._window = window
    made(node, VALUE, max(depth_of((function,)), window._depth) + 1)
    return node


def interval_node(microseconds: int, exact: bool, months: int = 0) -> Expression:
    """Return an interval of `months`, or of `microseconds` if there are none."""
    node = Interval.__new__(Interval)
    node._microseconds = microseconds
    node._months = months
    node._exact = exact
    made(node, VALUE, 1)
    return node


def tuple_node(items: "tuple[object, ...]") -> Expression:
    """Return ``(a,b,...)``."""
    if not items:
        raise ValueError("tuple_() needs at least one element")
    node = Tuple.__new__(Tuple)
    node._items = tuple([operand(item) for item in items])
    made(node, ODD_VALUE, depth_of(node._items) + 1)
    return node


def case_node(pairs: "tuple[object, ...]", default: object, short: bool) -> Expression:
    """Return CASE for `pairs`, a flat tuple: condition, value, condition, value and so on."""
    node = Case.__new__(Case)
    items: list[object] = []
    for index in range(0, len(pairs), 2):
        items.append(predicate("a condition of CASE and IF", pairs[index]))
        items.append(operand(pairs[index + 1]))
    node._pairs = tuple(items)
    node._default = operand(default)
    node._if = short
    made(node, UNKNOWN, depth_of((*items, node._default)) + 1)
    return node


def values_node(column: object) -> Expression:
    """Return ``VALUES(column)``."""
    if not isinstance(column, Column):
        raise TypeError(f"column must be a column, got {shown(column)}")
    node = Values.__new__(Values)
    node._column = column
    made(node, UNKNOWN, 2)
    return node


def word_node(word: str) -> Call:
    """Return the function `word`, which has no parentheses."""
    node = Word.__new__(Word)
    node._name = word
    node._arguments = ()
    node._distinct = False
    made(node, VALUE, 1)
    return node


def star_node(owner: "str | None") -> Expression:
    """Return ``*`` or ``owner.*``."""
    node = Star.__new__(Star)
    node._owner = owner
    made(node, VALUE, 1)
    return node


def slot_node(name: str, kind: type, nullable: bool, many: bool) -> Slot:
    """Return a slot for values of class `kind`."""
    node = Slot.__new__(Slot)
    node._place = new_place(check_name("slot name", name), kind, nullable, many)
    made(node, ODD_VALUE if nullable else VALUE, 1)
    return node


give(alias=alias_node)
