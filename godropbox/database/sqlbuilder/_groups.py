# cython: annotation_typing=False
"""Expressions over several operands: ``(a AND b AND ...)``, NOT, BETWEEN.

Made by functions and by the rarer operators; the everyday ones are in ``_nodes``.
"""

from . import _grammar
from ._nodes import Expression, above, depth_of, operand, predicate, write_operand
from ._render import Renderer

__all__ = ["Between", "Nary", "Not", "between_node", "nary", "negation"]

# Compiled, these are C variables.
COMPARE = _grammar.COMPARE
BETWEEN = _grammar.BETWEEN
ATOM = _grammar.ATOM
NOT = _grammar.NOT
VALUE = _grammar.VALUE
PREDICATE = _grammar.PREDICATE


class Nary(Expression):
    """What the functions ``and_``, ``add`` and their like build: operands in one pair of ()."""

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


def nary(symbol: str, items: tuple[object, ...], prec: int) -> Expression:
    """Return ``(a symbol b symbol ...)``; one operand stands for itself."""
    name = symbol.strip()
    if not items:
        raise ValueError(f"{name} of nothing: give at least one operand")
    node = Nary.__new__(Nary)
    node._symbol = symbol
    node._least = prec
    node._prec = ATOM
    if prec:
        node._items = tuple([operand(item) for item in items])
        node._kind = VALUE
    else:
        node._items = tuple([predicate(f"an operand of {name}", item) for item in items])
        node._kind = PREDICATE
    if len(items) == 1 and isinstance(node._items[0], Expression):
        only = node._items[0]
        node._prec = only._prec
    node._depth = depth_of(node._items) + 1
    return node


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
    node._low = operand(low)
    node._high = operand(high)
    node._negated = negated
    node._prec = BETWEEN
    node._kind = PREDICATE
    node._depth = depth_of((left, node._low, node._high)) + 1
    return node
