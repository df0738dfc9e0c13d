"""Expressions in one pair of parentheses: ``(a AND b AND ...)``, and queries as values.

Functions build them; ``_nodes`` has the nodes that operators build.
"""

from . import _grammar
from ._base import above, always_null, depth_of, nulls_of, operand, predicate, write_operand
from ._names import shown
from ._nodes import Expression
from ._render import Renderer
from ._statement import Query

__all__ = ["Exists", "Nary", "Scalar", "exists_node", "nary", "scalar_node"]

# Compiled, these are C variables.
LOOSE = _grammar.LOOSE
ATOM = _grammar.ATOM
ODD_VALUE = _grammar.ODD_VALUE
VALUE = _grammar.VALUE
PREDICATE = _grammar.PREDICATE
UNKNOWN = _grammar.UNKNOWN
NULL = _grammar.NULL


class Nary(Expression):
    """Operands of ``and_``, ``add`` and similar functions, in one pair of parentheses."""

    __slots__ = ("_items", "_least", "_symbol")

    _items: tuple[object, ...]
    _least: int
    _symbol: str

    def _write(self, out: Renderer) -> int:
        items = self._items
        if len(items) == 1:
            return write_operand(out, items[0], 0)
        text = out.text
        text.put("(")
        write_operand(out, items[0], self._least)
        for index in range(1, len(items)):
            text.put(self._symbol)
            write_operand(out, items[index], self._least + 1)
        text.put(")")
        return 0

    def _nulls(self) -> int:
        return nulls_of(self._items[0]) if len(self._items) == 1 else 0

    def _is_value(self) -> bool:
        if len(self._items) > 1:
            return False
        only = self._items[0]
        if not isinstance(only, Expression):
            return True
        node = only
        return node._is_value()

    def _row_width(self) -> int:
        if len(self._items) > 1:
            return 1
        if not isinstance(self._items[0], Expression):
            return -1
        only = self._items[0]
        return only._row_width()


def nary(symbol: str, items: tuple[object, ...], prec: int) -> Expression:
    """Return ``(a symbol b symbol ...)``, or a single operand without parentheses."""
    name = symbol.strip()
    if not items:
        raise ValueError(f"{name} needs at least one operand")
    node = Nary.__new__(Nary)
    node._symbol = symbol
    node._least = max(prec, LOOSE + 1)  # a raw fragment gets parentheses
    node._prec = ATOM
    if prec:
        node._items = tuple([operand(item) for item in items])
        for item in node._items:
            if len(items) > 1 and nulls_of(item) == NULL:
                raise always_null(name)
        node._kind = VALUE
    else:
        node._items = tuple([predicate(f"an operand of {name}", item) for item in items])
        node._kind = PREDICATE
    if len(items) == 1 and isinstance(node._items[0], Expression):
        only = node._items[0]
        node._prec = only._prec
        if only._kind == ODD_VALUE:
            node._kind = ODD_VALUE
    elif len(items) == 1 and node._items[0] is None:
        node._kind = ODD_VALUE
    node._depth = depth_of(node._items) + 1
    return node


class Exists(Expression):
    """``EXISTS (query)``."""

    __slots__ = ("_query",)

    _query: Query

    def _write(self, out: Renderer) -> int:
        out.text.put("EXISTS (")
        self._query._write_query(out)
        out.text.put(")")
        return 0


class Scalar(Expression):
    """Query of one column and at most one row, as a value."""

    __slots__ = ("_query",)

    _query: Query

    def _write(self, out: Renderer) -> int:
        out.text.put("(")
        self._query._write_query(out)
        out.text.put(")")
        return 0

    def _row_width(self) -> int:
        return self._query._width()

    def _yields(self) -> type:
        return self._query._yields()


def exists_node(query: object) -> Expression:
    """Return ``EXISTS (query)``."""
    if not isinstance(query, Query):
        raise TypeError(f"query must be a SELECT or a UNION, got {shown(query)}")
    node = Exists.__new__(Exists)
    node._query = query
    node._prec = ATOM
    node._kind = PREDICATE
    node._depth = above(None, query)
    return node


def scalar_node(query: Query) -> Expression:
    """Return `query` as a value."""
    node = Scalar.__new__(Scalar)
    node._query = query
    node._prec = ATOM
    node._kind = UNKNOWN
    node._depth = above(None, query)
    return node
