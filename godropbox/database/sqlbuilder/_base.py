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
    "depth_of",
    "operand",
    "predicate",
    "too_deep",
    "write_enclosed",
    "write_operand",
]

# Compiled, these are C variables.
VALUE = _grammar.VALUE
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

    def _is_null(self) -> bool:
        return False

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
        if node._kind != VALUE:
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
