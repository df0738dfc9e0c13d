"""Expressions: their operators and methods, and the nodes that those build.

An expression is an immutable tree. It keeps plain values as operands; rendering turns them into
literals or parameters. ``_terms`` has the rarer expressions, ``_columns`` the columns.
"""

from godropbox._kernels import sqltext

from . import _grammar
from ._arrays import ARRAY_LITERAL, brackets, checked_items, is_array
from ._base import (
    Node,
    above,
    always_null,
    depth_of,
    never_true,
    nulls_of,
    operand,
    predicate,
    same_width,
    too_deep,
    write_enclosed,
    write_operand,
)
from ._documents import JSON_DOCUMENT, JSON_EQUAL, JSON_GET, document, step
from ._forms import (
    BIT_NOT,
    CAST,
    NEGATIVE,
    QUANTIFIED,
    Form,
    bit_inverted,
    check_type,
    negated,
    refuse_text,
)
from ._lists import depth_in, has_nodes, in_words, mixed, write_mixed
from ._methods import Methods, give
from ._names import shown
from ._render import Renderer, new_renderer
from ._statement import Query
from ._values import checked_values, searched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, NoReturn

    import cython  # type: ignore[import-untyped]  # only its compiler reads this
else:
    from ..._kernels import _uncompiled as cython

GenericAlias: "Any" = type(list[int])  # without importing types

# Compiled, these are C variables.
LOOSE = _grammar.LOOSE
COMPARE = _grammar.COMPARE
BETWEEN = _grammar.BETWEEN
NOT = _grammar.NOT
BITS = _grammar.BITS
ADD = _grammar.ADD
MUL = _grammar.MUL
UNARY = _grammar.UNARY
ATOM = _grammar.ATOM
ODD_VALUE = _grammar.ODD_VALUE
VALUE = _grammar.VALUE
PREDICATE = _grammar.PREDICATE
UNKNOWN = _grammar.UNKNOWN
NULL = _grammar.NULL
NULL_IN_ROW = _grammar.NULL_IN_ROW
MAYBE_NULL = _grammar.MAYBE_NULL
MAX_DEPTH = _grammar.MAX_DEPTH
TEXT = _grammar.TEXT
JSON = _grammar.JSON

# The comparisons that mean the same when their sides are swapped.
_MIRRORED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Expression(Methods):
    """Piece of SQL with a value.

    The operators ``== != < <= > >= + - * / % | ^ & ~ << >>`` build expressions. ``&``, ``|`` and
    ``~`` are AND, OR and NOT of conditions, and bit operators of other values. Because a
    comparison builds an expression, an expression has no truth value in Python and hashes by
    identity.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        try:
            text = _preview(self)
        except (TypeError, ValueError) as error:
            text = str(error)
        return f"<{type(self).__name__} {text}>"

    def __bool__(self) -> "NoReturn":
        raise TypeError(
            "a SQL expression has no truth value in Python: combine with & | ~ instead of "
            "and, or, not; use in_() instead of in; compare one pair at a time"
        )

    def __iter__(self) -> "NoReturn":
        raise TypeError(f"{type(self).__name__} is not iterable")

    def __hash__(self) -> int:
        return object.__hash__(self)

    @classmethod
    def __class_getitem__(cls, parameter: object) -> object:
        return GenericAlias(cls, parameter)  # Expression[int], for type checkers

    def __eq__(self, other: object) -> "Expression":  # type: ignore[override]
        return binary("=", self, other, COMPARE)

    def __ne__(self, other: object) -> "Expression":  # type: ignore[override]
        return binary("!=", self, other, COMPARE)

    def __lt__(self, other: object) -> "Expression":
        return binary("<", self, other, COMPARE)

    def __le__(self, other: object) -> "Expression":
        return binary("<=", self, other, COMPARE)

    def __gt__(self, other: object) -> "Expression":
        return binary(">", self, other, COMPARE)

    def __ge__(self, other: object) -> "Expression":
        return binary(">=", self, other, COMPARE)

    def __add__(self, other: object) -> "Expression":
        if type(other) is str or self._family() == TEXT:
            refuse_text(self, other)
        return binary(" + ", self, other, ADD)

    def __radd__(self, other: object) -> "Expression":
        if type(other) is str or self._family() == TEXT:
            refuse_text(self, other)
        return binary(" + ", other, self, ADD)

    def __sub__(self, other: object) -> "Expression":
        return binary(" - ", self, other, ADD)

    def __rsub__(self, other: object) -> "Expression":
        return binary(" - ", other, self, ADD)

    def __mul__(self, other: object) -> "Expression":
        return binary(" * ", self, other, MUL)

    def __rmul__(self, other: object) -> "Expression":
        return binary(" * ", other, self, MUL)

    def __truediv__(self, other: object) -> "Expression":
        return binary(" / ", self, other, MUL)

    def __rtruediv__(self, other: object) -> "Expression":
        return binary(" / ", other, self, MUL)

    def __mod__(self, other: object) -> "Expression":
        return binary(" % ", self, other, MUL)

    def __rmod__(self, other: object) -> "Expression":
        return binary(" % ", other, self, MUL)

    def __and__(self, other: object) -> "Expression":
        if self._kind == PREDICATE or _meets(self, other):
            return _chain(" AND ", self, other)
        return binary(" & ", self, other, BITS)

    def __rand__(self, other: object) -> "Expression":
        if self._kind == PREDICATE:
            return _chain(" AND ", predicate("an operand of &", other), self)
        return binary(" & ", other, self, BITS)

    def __or__(self, other: object) -> "Expression":
        if self._kind == PREDICATE or _meets(self, other):
            return _chain(" OR ", self, other)
        return binary(" | ", self, other, BITS)

    def __ror__(self, other: object) -> "Expression":
        if self._kind == PREDICATE:
            return _chain(" OR ", predicate("an operand of |", other), self)
        return binary(" | ", other, self, BITS)

    def __xor__(self, other: object) -> "Expression":
        return binary(" ^ ", self, other, BITS)

    def __rxor__(self, other: object) -> "Expression":
        return binary(" ^ ", other, self, BITS)

    def __lshift__(self, other: object) -> "Expression":
        return binary(" << ", self, other, BITS)

    def __rlshift__(self, other: object) -> "Expression":
        return binary(" << ", other, self, BITS)

    def __rshift__(self, other: object) -> "Expression":
        return binary(" >> ", self, other, BITS)

    def __rrshift__(self, other: object) -> "Expression":
        return binary(" >> ", other, self, BITS)

    def __neg__(self) -> "Expression":
        return applied(NEGATIVE, negated(self), "-")

    def __invert__(self) -> "Expression":
        if self._kind > VALUE:
            return negation(self)
        return applied(BIT_NOT, bit_inverted(self), "~")

    def __getitem__(self, key: object) -> "Expression":
        return _element(self, key)

    def __contains__(self, item: object) -> "NoReturn":
        raise TypeError("in has no SQL: write in_(), any_() or contains()")

    def like(self, pattern: object) -> "Expression":
        """Return ``self LIKE pattern``; escape wildcards with ``escape_for_like``."""
        return binary(" LIKE ", self, pattern, COMPARE)

    def not_like(self, pattern: object) -> "Expression":
        """Return ``self NOT LIKE pattern``."""
        return binary(" NOT LIKE ", self, pattern, COMPARE)

    def regexp(self, pattern: object) -> "Expression":
        """Return ``self REGEXP pattern``, with the server's syntax of regular expressions."""
        return binary(" REGEXP ", self, pattern, COMPARE)

    def in_(self, values: "Iterable[object] | Query") -> "Expression":
        """Return ``self IN (values)``; FALSE without values.

        `values` is an iterable of values and expressions, a query or a slot. Raise ``ValueError``
        for None among them, which IN never matches, and for a row or query whose width differs from
        the left side's.
        """
        return _membership(self, values, False)

    def not_in(self, values: "Iterable[object] | Query") -> "Expression":
        """Return ``self NOT IN (values)``; TRUE without values.

        Raise as ``in_`` does: with None among the values, NOT IN is never true.
        """
        return _membership(self, values, True)

    def between(self, low: object, high: object) -> "Expression":
        """Return ``self BETWEEN low AND high``, which includes both ends."""
        return between_node(self, low, high, False)

    def not_between(self, low: object, high: object) -> "Expression":
        """Return ``self NOT BETWEEN low AND high``."""
        return between_node(self, low, high, True)

    def is_null(self) -> "Expression":
        """Return ``self IS null``, as ``self == None`` does."""
        return binary("=", self, None, COMPARE)

    def is_not_null(self) -> "Expression":
        """Return ``self IS NOT null``, as ``self != None`` does."""
        return binary("!=", self, None, COMPARE)


@cython.no_gc
@cython.cclass
class Binary(Expression):
    """Two operands and the operator between them."""

    __slots__ = ("_left", "_left_value", "_right", "_right_value", "_symbol")

    # An operand is the expression, or the plain value if the expression is None.
    _left: "Expression | None"
    _left_value: object
    _right: "Expression | None"
    _right_value: object
    _symbol: str

    def _write(self, out: Renderer) -> int:
        symbol = self._symbol
        prec = self._prec
        least = prec
        if prec == COMPARE:
            least = COMPARE + 1
        elif prec == BITS:
            least = MUL + 1
            if "%" in symbol:  # of op()
                symbol = out.written(symbol)
            if isinstance(self._left, Binary):
                below = self._left
                if below._symbol == self._symbol:
                    least = BITS
        if prec == MUL:
            return self._write_product(out)
        if self._left is None:
            out.literal(self._left_value)
        elif self._left._prec >= least:
            self._left._write(out)
        else:
            write_enclosed(out, self._left, least)
        if self._right is None:
            if self._right_value is None and prec == COMPARE:
                return _write_null(out, symbol)
            out.text.put(out.operator(symbol) if out.dialect.operators else symbol)
            out.literal(self._right_value)
        else:
            out.text.put(out.operator(symbol) if out.dialect.operators else symbol)
            if prec == BITS:
                least = MUL + 1
            elif len(symbol) > 5 and symbol.endswith("LIKE "):
                least = UNARY  # in MySQL's grammar a pattern is no sum
            else:
                least = prec + 1
            if self._right._prec >= least:
                self._right._write(out)
            else:
                write_enclosed(out, self._right, least)
        if out.like_escape and symbol.endswith("LIKE "):
            out.text.put(" ESCAPE '\\'")
        return 0

    def _write_product(self, out: Renderer) -> int:
        _write_factor(out, self._left, self._left_value, MUL)
        out.text.put(out.written(self._symbol))
        _write_factor(out, self._right, self._right_value, MUL + 1)
        return 0

    def _row_width(self) -> int:
        return 1


@cython.no_gc
@cython.cclass
class Chain(Expression):
    """Operands of a chain of ``&`` or ``|``, in one pair of parentheses.

    The operands before the last are one expression, or nested pairs (earlier operands, operand),
    so that each step of a long chain costs one small object and rendering needs no recursion.
    """

    __slots__ = ("_before", "_first", "_last", "_symbol")

    _before: "tuple[object, Expression] | None"
    _first: "Expression | None"
    _last: Expression
    _symbol: str

    def _write(self, out: Renderer) -> int:
        text = out.text
        symbol = self._symbol
        text.put_char("(")
        if self._first is not None:
            self._first._write(out)
        else:
            items = self._earlier()
            for index in range(len(items) - 1, -1, -1):
                if index < len(items) - 1:
                    text.put(symbol)
                item = items[index]
                item._write(out)
        text.put(symbol)
        self._last._write(out)
        text.put_char(")")
        return 0

    def _earlier(self) -> "list[Expression]":
        """Return the operands before the last, from the right, unless there is only one."""
        items: list[Any] = []
        before: object = self._before
        while isinstance(before, tuple):
            items.append(before[1])
            before = before[0]
        items.append(before)
        return items

    def __reduce__(self) -> "tuple[object, ...]":
        # Flat, because pickling recurses.
        earlier = [self._first] if self._first is not None else self._earlier()
        return chained, (self._symbol, (*reversed(earlier), self._last))


@cython.no_gc
@cython.cclass
class In(Expression):
    """``left IN (...)`` with plain values, a query, or an expression that is a list."""

    __slots__ = ("_ints", "_left", "_mixed", "_negated", "_values")

    _ints: bool  # whether all of the values are short ints
    _left: object
    _mixed: bool  # whether there are expressions among the values
    _negated: bool
    _values: object

    def _write(self, out: Renderer) -> int:
        text = out.text
        values = self._values
        if isinstance(values, tuple) and not values:
            text.put("TRUE" if self._negated else "FALSE")
            return 0
        write_operand(out, self._left, COMPARE + 1)
        text.put(" NOT IN (" if self._negated else " IN (")
        if isinstance(values, tuple):
            if self._ints:
                out.ints(values)
            elif self._mixed or isinstance(values[0], tuple):
                if isinstance(values[0], tuple) and not out.can("rows in IN"):
                    text.put("VALUES ")
                if self._mixed:
                    write_mixed(out, values)
                else:
                    out.rows(values, len(values[0]))
            else:
                out.literals(values)
        elif isinstance(values, Query):
            query = values
            query._write_query(out)
        else:
            write_operand(out, values, 0)
        text.put_char(")")
        return 0


def binary(symbol: str, left: object, right: object, prec: int) -> Expression:
    """Return ``left symbol right``."""
    node = Binary.__new__(Binary)
    node._symbol = symbol
    node._prec = prec
    node._kind = PREDICATE if prec == COMPARE else VALUE
    depth = nulls = 0
    odd = False
    if isinstance(left, Expression):
        node._left = left
        node._left_value = None
        depth = node._left._depth
        if node._left._kind == ODD_VALUE:
            odd = True
            nulls = node._left._nulls()
    else:
        node._left = None
        node._left_value = operand(left)
        if node._left_value is None:
            nulls = NULL
    node._right = None
    if isinstance(right, Expression):
        node._right = right
        node._right_value = None
        depth = max(depth, node._right._depth)
        if node._right._kind == ODD_VALUE:
            odd = True
            nulls |= node._right._nulls()
    elif type(right) is int:
        node._right_value = right
    else:
        node._right_value = operand(right)
        if node._right_value is None:
            nulls |= NULL
    if depth >= MAX_DEPTH:
        raise too_deep()
    node._depth = depth + 1
    if odd and (isinstance(node._left, AnyOf) or isinstance(node._right, AnyOf)):
        return _quantified(node)
    if nulls:
        if prec != COMPARE:
            if nulls & NULL:
                raise always_null(symbol)
            return node
        _settle_null(node, nulls)
    if odd and prec == COMPARE:
        same_width(symbol, left, node._right_value if node._right is None else node._right)
        return _with_document(node)
    return node


def _with_document(node: Binary) -> Expression:
    """Return a comparison, of JSON on both sides if one is a part of a document."""
    symbol = node._symbol
    left: object = node._left_value if node._left is None else node._left
    right: object = node._right_value if node._right is None else node._right
    if right is None or (symbol not in _MIRRORED and symbol != " <=> "):
        return node
    if not _is_part(left):
        if not _is_part(right):
            return node
        left, right, symbol = right, left, _MIRRORED.get(symbol, symbol)
    if isinstance(right, Expression):
        _beside_part(right)
        return node
    if symbol == "=" or symbol == "!=":
        return _shaped(JSON_EQUAL, (left, document(right)), symbol)
    return binary(symbol, left, _shaped(JSON_DOCUMENT, (document(right),), None), COMPARE)


def _is_part(value: object) -> bool:
    """Return whether an operand is a part of a JSON document."""
    if not isinstance(value, Expression):
        return False
    node = value
    return node._kind == ODD_VALUE and node._family() == JSON


def _beside_part(value: object) -> object:
    """Return what a part of a JSON document is compared with, as a document."""
    if value is None or isinstance(value, Query):
        return value
    if not isinstance(value, Expression):
        return _shaped(JSON_DOCUMENT, (document(value),), None)
    node = value
    if node._is_value():
        raise TypeError(
            f"a part of JSON is compared with JSON, got {shown(value)}: compare what as_text(), "
            "as_integer() or as_float() returns"
        )
    return node


def _settle_null(node: Binary, nulls: int) -> int:
    """Turn a comparison with None into one that can be true, or raise."""
    symbol = node._symbol
    equality = symbol in ("=", "!=")
    left = nulls_of(node._left_value if node._left is None else node._left)
    right = nulls_of(node._right_value if node._right is None else node._right)
    if equality and not nulls & NULL_IN_ROW and (left == NULL or right == NULL):
        if right != NULL:
            node._left, node._left_value = node._right, node._right_value
        node._right = None
        node._right_value = None
    elif symbol == "=" and nulls == MAYBE_NULL:
        node._symbol = " <=> "
    elif symbol == " <=> " and not nulls & NULL_IN_ROW:
        return 0
    else:
        raise never_true(f"{symbol.strip()} with", nulls)
    return 0


def _write_factor(out: Renderer, node: "Expression | None", value: object, least: int) -> int:
    if node is None:
        return out.factor(value) if type(value) is float else out.literal(value)
    if node._prec >= least:
        return node._write_factor(out)
    return write_enclosed(out, node, least)


def _write_null(out: Renderer, symbol: str) -> int:
    if symbol == "=":
        symbol = " IS "
    elif symbol == "!=":
        symbol = " IS NOT "
    out.text.put(symbol)
    out.text.put("null")
    return 0


def _chain(symbol: str, left: Expression, right: object) -> Expression:
    node = Chain.__new__(Chain)
    node._symbol = symbol
    node._last = predicate("an operand of & and |", right)
    if node._last._prec == LOOSE:
        node._last = _grouped(right)
    if left._prec == LOOSE:
        left = _grouped(left)
    node._first = left
    node._before = None
    node._depth = max(left._depth, node._last._depth) + 1
    if isinstance(left, Chain):
        chain = left
        if chain._symbol == symbol:
            before: object = chain._first if chain._before is None else chain._before
            node._before = (before, chain._last)
            node._first = None
            node._depth = max(chain._depth, node._last._depth + 1)
    if node._depth > MAX_DEPTH:
        raise too_deep()
    node._prec = ATOM
    node._kind = PREDICATE
    return node


def chained(symbol: str, operands: "tuple[Expression, ...]") -> Expression:
    """Return the chain of at least two operands."""
    node = operands[0]
    for index in range(1, len(operands)):
        node = _chain(symbol, node, operands[index])
    return node


def conjunction(left: Expression, right: object) -> Expression:
    """Return ``left AND right``."""
    return _chain(" AND ", left, right)


def _membership(left: Expression, values: object, negated: bool) -> Expression:
    node = In.__new__(In)
    node._left = left
    node._negated = negated
    node._mixed = False
    node._prec = COMPARE
    node._kind = PREDICATE
    node._depth = left._depth + 1
    nulls, width = 0, -1
    if left._kind == ODD_VALUE:
        nulls, width = left._nulls(), left._row_width()
        if _is_part(left):
            width = -1
            if isinstance(values, Expression):
                _beside_part(values)
            elif not isinstance(values, Query):
                given: Any = checked_values(values, (Query,))
                values = [_beside_part(value) for value in given]
    if type(values) is not list and type(values) is not tuple:
        values = checked_values(values, (Query, Expression))
    if isinstance(values, (list, tuple)):
        taken: tuple[object, ...] = tuple(values)
        plainness = sqltext.plainness(taken)
        if plainness == 0 or width >= 0:
            if has_nodes(taken):
                node._mixed = True
                taken = mixed(taken, width, in_words(negated))
                node._depth = max(node._depth, depth_in(taken) + 1)
            else:
                taken = searched(taken, width, in_words(negated))
            plainness = 0
        node._values = taken
        node._ints = plainness == 2
    else:
        node._values = values
        node._ints = False
        node._depth = above(left, values)
        nulls |= nulls_of(values) if isinstance(values, Expression) else 0
        _check_searched(left, values, negated)
    if nulls:
        raise never_true(f"{in_words(negated)} with", nulls)
    return node


def _check_searched(left: Expression, values: object, negated: bool) -> int:
    """Raise if the left side of IN has another width than the query or row after it."""
    ours = left._row_width()
    if isinstance(values, Query):
        query = values
        theirs = query._width()
        if ours != theirs and min(ours, theirs) >= 0:
            raise ValueError(
                f"the query after {in_words(negated)} must have {ours} columns like the left "
                f"side, got {theirs}"
            )
    elif left._kind == ODD_VALUE:
        same_width(in_words(negated), left, values)
    return 0


def _meets(left: Expression, right: object) -> bool:
    """Return whether `left` may be a condition and `right` is one."""
    if left._kind != UNKNOWN or not isinstance(right, Expression):
        return False
    node = right
    return node._kind == PREDICATE


class Not(Expression):
    """``NOT (operand)``."""

    __slots__ = ("_operand",)

    _operand: Expression

    def _write(self, out: Renderer) -> int:
        out.text.put("NOT (")
        self._operand._write(out)
        out.text.put(")")
        return 0


class Between(Expression):
    """``left BETWEEN low AND high``."""

    __slots__ = ("_high", "_left", "_low", "_negated")

    _left: object
    _low: object
    _high: object
    _negated: bool

    def _write(self, out: Renderer) -> int:
        write_operand(out, self._left, COMPARE + 1)
        out.text.put(" NOT BETWEEN " if self._negated else " BETWEEN ")
        write_operand(out, self._low, COMPARE + 1)
        out.text.put(" AND ")
        write_operand(out, self._high, COMPARE + 1)
        return 0


def negation(value: object) -> Expression:
    """Return ``NOT (value)``."""
    node = Not.__new__(Not)
    node._operand = predicate("the operand of NOT", value)
    node._prec = NOT
    node._kind = PREDICATE
    node._depth = above(node._operand, None)
    return node


def between_node(left: Expression, low: object, high: object, negated: bool) -> Expression:
    """Return ``left BETWEEN low AND high``, or NOT BETWEEN."""
    node = Between.__new__(Between)
    node._left = left
    if _is_part(left):
        low, high = _beside_part(low), _beside_part(high)
    node._low = operand(low)
    node._high = operand(high)
    nulls = left._nulls() | nulls_of(node._low) | nulls_of(node._high)
    if nulls:
        raise never_true("NOT BETWEEN with" if negated else "BETWEEN with", nulls)
    if left._row_width() != 1 or isinstance(node._low, Node) or isinstance(node._high, Node):
        same_width("BETWEEN", left, node._low)
        same_width("BETWEEN", left, node._high)
    node._negated = negated
    node._prec = BETWEEN
    node._kind = PREDICATE
    node._depth = depth_of((left, node._low, node._high)) + 1
    return node


def _preview(node: Expression) -> str:
    out = new_renderer(None, "mysql", None)
    out.slots = []
    node._write(out)
    return out.readable()


class Grouped(Expression):
    """Raw fragment in parentheses, in a chain that adds none."""

    __slots__ = ("_operand",)

    _operand: Expression

    def _write(self, out: Renderer) -> int:
        out.text.put("(")
        self._operand._write(out)
        out.text.put(")")
        return 0


def _grouped(operand: "Any") -> Grouped:
    node = Grouped.__new__(Grouped)
    node._operand = operand
    node._prec = ATOM
    node._kind = PREDICATE
    node._depth = above(operand, None)
    return node


class Applied(Expression):
    """Expression of one of the forms, which write it."""

    __slots__ = ("_detail", "_form", "_items")

    _detail: object
    _form: Form
    _items: "tuple[object, ...]"

    def _write(self, out: Renderer) -> int:
        return self._form.write(out, self._items, self._detail)

    def _level(self, out: Renderer) -> int:
        return self._form.level(out)

    def _family(self) -> int:
        return self._form.family

    def _nulls(self) -> int:
        return self._form.nulls(self._items)

    def _row_width(self) -> int:
        return 1

    def _parts(self) -> "tuple[object, tuple[object, ...], object]":
        return self._form, self._items, self._detail

    def _item(self) -> "str | None":
        detail = self._detail
        return detail if self._form is ARRAY_LITERAL and isinstance(detail, str) else None


class AnyOf(Expression):
    """Query or array of which ANY or ALL is compared: the right side of a comparison."""

    __slots__ = ("_of", "_word")

    _of: object
    _word: str

    def _write(self, out: Renderer) -> int:
        raise misplaced(self)

    def _level(self, out: Renderer) -> int:
        raise misplaced(self)


def applied(form: Form, items: "tuple[object, ...]", detail: object) -> Expression:
    """Return the expression of `form`; `items` are its operands and `detail` what it needs."""
    return _shaped(form, tuple([operand(item) for item in items]), detail)


def _shaped(form: Form, items: "tuple[object, ...]", detail: object) -> Expression:
    node = Applied.__new__(Applied)
    node._form = form
    node._items = items
    node._detail = detail
    node._prec = form.prec
    node._kind = ODD_VALUE if form.nulls(items) else form.kind
    node._depth = depth_of(items) + 1
    return node


def cast_node(value: object, kind: object) -> Expression:
    """Return ``CAST(value AS kind)``."""
    return applied(CAST, (value,), check_type(kind))


def array_node(values: object, kind: "str | None") -> Expression:
    """Return the array of `values`, whose elements have the type `kind` if that is given."""
    return _shaped(ARRAY_LITERAL, checked_items(values, kind), kind)


def _element(base: Expression, key: object) -> Expression:
    """Return ``base[key]``: an element or a slice of an array, or what a document has there."""
    if is_array(base):
        form, bounds, widths = brackets(base, key)
        return applied(form, bounds, widths)
    items, keys = step(base, key)
    return applied(JSON_GET, items, keys)


def any_of(word: str, of: object) -> Expression:
    """Return ANY or ALL of a query or an array."""
    if isinstance(of, (list, tuple)):
        of = array_node(of, None)
    if not isinstance(of, (Query, Expression)):
        raise TypeError(f"the operand of {word} must be a query, an array or a list, got {of!r}")
    if isinstance(of, Query):
        query = of
        if query._width() > 1:
            raise ValueError(f"the query after {word} must have one column, got {query._width()}")
    node = AnyOf.__new__(AnyOf)
    node._of = of
    node._word = word
    node._prec = -1
    node._kind = ODD_VALUE
    node._depth = above(None, of)
    return node


def _quantified(node: Binary) -> Expression:
    """Return a comparison with ANY or ALL on its right side, where SQL wants it."""
    symbol = node._symbol
    left: object = node._left_value if node._left is None else node._left
    right: object = node._right_value if node._right is None else node._right
    if isinstance(left, AnyOf):
        left, right, symbol = right, left, _MIRRORED.get(symbol, "")
    if not isinstance(right, AnyOf) or isinstance(left, AnyOf) or symbol not in _MIRRORED:
        raise misplaced(node)
    wanted = right
    if nulls_of(left):
        raise never_true(f"{symbol} {wanted._word} with", nulls_of(left))
    return _shaped(QUANTIFIED, (left, wanted._of), f"{symbol} {wanted._word}")


def misplaced(node: Expression) -> Exception:
    """Return the error for ANY or ALL where nothing is compared with it."""
    return TypeError("ANY and ALL stand only beside = != < <= > >= and one other value")


give(applied=applied, array=array_node, binary=binary)
