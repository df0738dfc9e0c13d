# cython: annotation_typing=False
"""What every node of an expression is, and what is asked of operands.

``Expression``, which has the operators, is in ``_nodes``; it is the only class made from ``Node``.
"""

from . import _grammar
from ._render import Renderer
from ._statement import Query
from ._values import plain_operand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "Node",
    "above",
    "always_null",
    "depth_of",
    "never_true",
    "nulls_of",
    "operand",
    "predicate",
    "same_width",
    "too_deep",
    "write_enclosed",
    "write_operand",
]

# Compiled, these are C variables.
VALUE = _grammar.VALUE
NULL = _grammar.NULL
NULL_IN_ROW = _grammar.NULL_IN_ROW
MAYBE_NULL = _grammar.MAYBE_NULL
MAX_DEPTH = _grammar.MAX_DEPTH


class Node:
    """A piece of SQL with a value: how deep it is, what it may stand for, how it holds together."""

    __slots__ = ("_depth", "_kind", "_prec")

    _depth: int
    _kind: int
    _prec: int

    def _write(self, out: Renderer) -> int:
        raise TypeError(f"{type(self).__name__} is abstract")

    def _write_projection(self, out: Renderer) -> int:
        return self._write(out)

    def _write_factor(self, out: Renderer) -> int:
        """Write what stands beside ``*``, ``/`` or ``%``."""
        return self._write(out)

    def _nulls(self) -> int:
        """Return NULL, or NULL_IN_ROW, or MAYBE_NULL, or 0 for what can equal something."""
        return 0

    def _row_width(self) -> int:
        """Return how many values a row has, 1 for a value, and -1 where it is not known."""
        return -1

    def _is_star(self) -> bool:
        return False


def operand(value: object) -> object:
    """Return what may stand as an operand: an expression, or a value that has a literal."""
    if isinstance(value, Node):
        return value
    kind = type(value)
    if kind is int or kind is str or value is None or kind is float or kind is bool:
        return value
    if isinstance(value, Query):
        raise TypeError("a query stands in an expression as query.scalar()")
    return plain_operand(value)


def predicate(what: str, value: object) -> "Any":
    """Return `value` if it can be a truth value, or raise naming `what` had to be one."""
    if isinstance(value, Node):
        node = value
        if node._kind > VALUE:
            return node
    if isinstance(value, bool):
        raise TypeError(f"{what} must be a SQL condition, got the Python bool {value}")
    if isinstance(value, Node):
        raise TypeError(f"{what} must be a SQL condition such as a comparison, got {value!r}")
    raise TypeError(f"{what} must be a SQL condition, got {type(value).__name__}")


def depth_of(items: tuple[object, ...]) -> int:
    """Return the levels of the deepest of `items`, which a node around them is one above."""
    deepest = 0
    for item in items:
        if isinstance(item, Node):
            node = item
            deepest = max(deepest, node._depth)
        elif isinstance(item, Query):
            query = item
            deepest = max(deepest, query._levels())
    if deepest >= MAX_DEPTH:
        raise too_deep()
    return deepest


def above(left: object, right: object) -> int:
    depth = 0
    if isinstance(left, Node):
        node = left
        depth = node._depth
    if isinstance(right, Node):
        node = right
        depth = max(depth, node._depth)
    elif isinstance(right, Query):
        query = right
        depth = max(depth, query._levels())
    if depth >= MAX_DEPTH:
        raise too_deep()
    return depth + 1


def too_deep() -> Exception:
    """Return the error for an expression that nests too deeply."""
    return ValueError(
        f"an expression may nest at most {MAX_DEPTH} levels: give and_(), or_(), add() and "
        "their like all their operands at once"
    )


def nulls_of(value: object) -> int:
    """Return what an operand's ``_nulls`` says; for a plain value, whether it is None."""
    if isinstance(value, Node):
        node = value
        return node._nulls()
    return NULL if value is None else 0


def width_of(value: object) -> int:
    """Return what an operand's ``_row_width`` says; for a plain value 1, and -1 for None."""
    if isinstance(value, Node):
        node = value
        return node._row_width()
    return -1 if value is None else 1


def same_width(what: str, left: object, right: object) -> int:
    """Raise unless the operands of `what` have as many values, or it is not known of one."""
    ours = width_of(left)
    theirs = width_of(right)
    if ours != theirs and min(ours, theirs) >= 0:
        raise ValueError(
            f"the sides of {what.strip()} must have as many values, got {ours} and {theirs}"
        )
    return 0


def always_null(symbol: str) -> Exception:
    """Return the error for arithmetic with None."""
    return ValueError(
        f"{symbol.strip()} with None is always null: leave None out, or write it alone for null"
    )


def never_true(what: str, nulls: int) -> Exception:
    """Return the error for a condition that None, one of `nulls`, keeps from being true."""
    if nulls & MAYBE_NULL:
        return ValueError(
            f"{what} a slot that is nullable is never true when it is filled with None: leave out "
            "nullable, and prepare another statement, with is_null() or is_not_null(), for None"
        )
    if nulls & NULL_IN_ROW:
        return ValueError(f"{what} a row with None is never true: compare its columns one by one")
    return ValueError(f"{what} None is never true: write is_null() or is_not_null()")


def write_operand(out: Renderer, value: object, least: int) -> int:
    """Write an operand, in parentheses if it holds together less tightly than `least`."""
    if not isinstance(value, Node):
        return out.literal(value)
    node = value
    if node._prec >= least:
        return node._write(out)
    return write_enclosed(out, node)


def write_enclosed(out: Renderer, node: Node) -> int:
    """Write an expression in parentheses."""
    out.text.put("(")
    node._write(out)
    out.text.put(")")
    return 0
