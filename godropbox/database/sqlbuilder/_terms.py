"""Expressions that functions build: calls, CASE, CAST, aliases, windows, slots.

``_nodes`` has the nodes that operators build, ``functions`` the public functions.
"""

from . import _grammar
from ._base import above, depth_of, nulls_of, operand, predicate, write_operand
from ._clauses import ordered, unordered, write_list
from ._columns import Column
from ._names import check_name, shown
from ._nodes import Expression
from ._prepared import Place, new_place
from ._render import Renderer
from .dialects import unsupported

__all__ = [
    "Alias",
    "Call",
    "Case",
    "Cast",
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
    "cast_node",
    "interval_node",
    "literal_node",
    "over_node",
    "slot_node",
    "star_node",
    "tuple_node",
    "values_node",
]

ATOM = _grammar.ATOM
ODD_VALUE = _grammar.ODD_VALUE
VALUE = _grammar.VALUE
PREDICATE = _grammar.PREDICATE
UNKNOWN = _grammar.UNKNOWN
NULL = _grammar.NULL
NULL_IN_ROW = _grammar.NULL_IN_ROW
MAYBE_NULL = _grammar.MAYBE_NULL
MYSQL = _grammar.MYSQL
POSTGRESQL = _grammar.POSTGRESQL


class Literal(Expression):
    """Plain value as an expression."""

    __slots__ = ("_value",)

    _value: object

    def _write(self, out: Renderer) -> int:
        return out.literal(self._value)

    def _write_factor(self, out: Renderer) -> int:
        if isinstance(self._value, float):
            return out.factor(self._value)
        return out.literal(self._value)

    def _nulls(self) -> int:
        return NULL if self._value is None else 0

    def _row_width(self) -> int:
        return -1 if self._value is None else 1


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
                    return out.name(self._name)
        raise ValueError(f"alias {self._name} is not in the select list")

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

    def over(
        self,
        *,
        partition_by: "tuple[Expression, ...] | list[Expression]" = (),
        order_by: "tuple[object, ...] | list[object]" = (),
    ) -> Expression:
        """Return the call as a window function: ``f(...) OVER (PARTITION BY ... ORDER BY ...)``."""
        return over_node(self, tuple(partition_by), tuple(order_by))


class Over(Expression):
    """Window function."""

    __slots__ = ("_call", "_order", "_partition")

    _call: Call
    _order: "tuple[object, ...]"
    _partition: "tuple[object, ...]"

    def _write(self, out: Renderer) -> int:
        text = out.text
        self._call._write(out)
        text.put(" OVER (")
        if self._partition:
            text.put("PARTITION BY ")
            write_list(out, self._partition)
        if self._order:
            text.put(" ORDER BY " if self._partition else "ORDER BY ")
            write_list(out, self._order)
        text.put(")")
        return 0


class Interval(Expression):
    """INTERVAL to add to a time or subtract from it."""

    __slots__ = ("_exact", "_microseconds")

    _exact: bool
    _microseconds: int

    def _write(self, out: Renderer) -> int:
        out.need(_grammar.IN_MYSQL | _grammar.IN_POSTGRESQL, "INTERVAL")
        size = abs(self._microseconds)
        seconds, micros = divmod(size, 1000000)
        hours, rest = divmod(seconds, 3600)
        sign = "-" if self._microseconds < 0 else ""
        # A driver may read a colon as a parameter; both dialects accept text without colons.
        if out.dialect == POSTGRESQL and out.binding:
            out.text.put(f"INTERVAL '{sign}{seconds}.{micros:06} seconds'")
        elif out.dialect == POSTGRESQL:
            out.text.put(f"INTERVAL '{sign}{hours}:{rest // 60:02}:{rest % 60:02}.{micros:06}'")
        else:
            colon = " " if out.binding else ":"
            digits = f"{micros:06}" if self._exact else str(micros)
            span = colon.join([str(hours), str(rest // 60), str(rest % 60), digits])
            out.text.put(f"INTERVAL '{sign}{span}' HOUR_MICROSECOND")
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
        short = self._if and out.dialect == MYSQL
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
        if out.dialect == MYSQL:
            out.text.put("VALUES(")
            self._column._write(out)
            out.text.put(")")
            return 0
        self._column._check_scope(out)
        out.text.put("excluded.")
        return out.name(self._column._bare)


class Cast(Expression):
    """``CAST(value AS type)``."""

    __slots__ = ("_names", "_operand")

    _names: "tuple[str, ...]"
    _operand: object

    def _write(self, out: Renderer) -> int:
        out.text.put("CAST(")
        write_operand(out, self._operand, 0)
        out.text.put(" AS ")
        name: str = self._names[out.dialect]
        if not name:
            raise unsupported(out.dialect, f"CAST to {self._names[3]}")
        out.text.put(name)
        out.text.put(")")
        return 0

    def _nulls(self) -> int:
        return nulls_of(self._operand)


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


class Slot(Expression):
    """Slot of a prepared statement, filled with a value later."""

    __slots__ = ("_place",)

    _place: Place

    def _write(self, out: Renderer) -> int:
        return out.slot(self._place, self._place._many)

    def _write_factor(self, out: Renderer) -> int:
        if out.dialect == MYSQL:
            return out.slot(self._place.as_factor(), self._place._many)
        return out.slot(self._place, self._place._many)

    def _nulls(self) -> int:
        return MAYBE_NULL if self._place._nullable else 0

    def _row_width(self) -> int:
        return -1 if self._place._nullable or self._place._many else 1

    def __repr__(self) -> str:
        return f"<{self._place!r}>"


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
    node._name = check_name("alias", name)
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


def over_node(
    function: Expression, partition: "tuple[object, ...]", order: "tuple[object, ...]"
) -> Expression:
    """Return the call `function` as a window function."""
    node = Over.__new__(Over)
    node._call = as_call(function)
    for term in partition:
        if not isinstance(term, Expression):
            raise TypeError(f"a term of PARTITION BY must be an expression, got {shown(term)}")
    node._partition = partition
    node._order = ordered(order) if order else ()
    made(node, VALUE, depth_of((function, *partition, *unordered(order))) + 1)
    return node


def as_call(node: Expression) -> Call:
    """Return `node` if it is a call, or raise ``TypeError``."""
    if not isinstance(node, Call):
        raise TypeError(f"only a function call has a window, got {node!r}")
    return node


def interval_node(microseconds: int, exact: bool) -> Expression:
    """Return an interval of `microseconds`."""
    node = Interval.__new__(Interval)
    node._microseconds = microseconds
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


def cast_node(value: object, names: "tuple[str, ...]") -> Expression:
    """Return a cast to the type that `names` holds for each dialect."""
    node = Cast.__new__(Cast)
    node._operand = operand(value)
    node._names = names
    made(node, ODD_VALUE if nulls_of(node._operand) else VALUE, above(node._operand, None))
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
