"""Base class of expression nodes, and checks of operands.

``_nodes.Expression`` adds the operators and is the only direct subclass of ``Node``.
"""

from ..._kernels._signature import declared
from . import _grammar
from ._render import Renderer
from ._statement import Query
from ._values import plain_operand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    import cython  # type: ignore[import-untyped]  # only its compiler reads this
else:
    from ..._kernels import _uncompiled as cython

__all__ = [
    "Node",
    "above",
    "always_null",
    "depth_of",
    "family_of",
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
TEXT = _grammar.TEXT
VALUE = _grammar.VALUE
PREDICATE = _grammar.PREDICATE
NULL = _grammar.NULL
NULL_IN_ROW = _grammar.NULL_IN_ROW
MAYBE_NULL = _grammar.MAYBE_NULL
MAX_DEPTH = _grammar.MAX_DEPTH


class Node:
    """Piece of SQL with a value, a depth, a kind and a precedence."""

    __slots__ = ("_depth", "_kind", "_prec")
    __signature__ = declared

    _depth: int
    _kind: int
    _prec: int

    def _write(self, out: Renderer) -> int:
        raise TypeError(f"{type(self).__name__} is abstract")

    def _write_projection(self, out: Renderer) -> int:
        return self._write(out)

    def _write_factor(self, out: Renderer) -> int:
        """Write this node as an operand of ``*``, ``/`` or ``%``."""
        return self._write(out)

    def _level(self, out: Renderer) -> int:
        """Return the precedence in the dialect, which is never below ``_prec``."""
        return self._prec

    def _family(self) -> int:
        """Return the family of ``_grammar`` that the value belongs to, or 0."""
        return 0

    def _nulls(self) -> int:
        """Return the NULL bits of ``_grammar``, or 0 if the node can equal a value."""
        return 0

    def _row_width(self) -> int:
        """Return the number of values in a row, 1 for a single value, -1 if unknown."""
        return -1

    def _is_star(self) -> bool:
        return False

    def _yields(self) -> type:
        """Return the Python class of the node's values as a driver gives them, or ``object``."""
        return bool if self._kind == PREDICATE else object

    def _output(self) -> "Any":
        """Return the column that a select list makes of the node, its class, or None for ``*``."""
        return self._yields()

    def _parts(self) -> "tuple[object, tuple[object, ...], object] | None":
        """Return the form of a node that has one, its operands and its detail."""
        return None

    def _item(self) -> "str | None":
        """Return the type of an array's elements if it is known."""
        return None

    def _listed(self, values: object) -> object:
        """Return a list as an array to compare with this one, or None to write its elements."""
        return None

    def _is_value(self) -> bool:
        """Return whether the node is a plain value, whose text may start with a minus."""
        return False

    def _is_name(self) -> bool:
        """Return whether the node is a column."""
        return False

    def __copy__(self) -> "Self":
        return self

    def __deepcopy__(self, memo: object) -> "Self":
        return self


def operand(value: object) -> object:
    """Return `value` as an operand: an expression or a plain value."""
    if isinstance(value, Node):
        return value
    kind = type(value)
    if kind is int or kind is str or value is None or kind is float or kind is bool:
        return value
    if isinstance(value, Query):
        raise TypeError("a query in an expression must be query.scalar()")
    return plain_operand(value)


def predicate(what: str, value: object) -> "Any":
    """Return `value` if it can be a condition; otherwise raise an error that names `what`."""
    if isinstance(value, Node):
        node = cython.cast(Node, value)
        if node._kind > VALUE:
            return node
    if isinstance(value, bool):
        raise TypeError(f"{what} must be a SQL condition, got the Python bool {value}")
    if isinstance(value, Node):
        raise TypeError(f"{what} must be a SQL condition such as a comparison, got {value!r}")
    raise TypeError(f"{what} must be a SQL condition, got {type(value).__name__}")


def depth_of(items: tuple[object, ...]) -> int:
    """Return the depth of the deepest of `items`; a node around them is one deeper."""
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
    """Return the depth of a node around two operands."""
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
        f"an expression may nest at most {MAX_DEPTH} levels: pass all operands to one call of "
        "and_(), or_(), add() and so on"
    )


def nulls_of(value: object) -> int:
    """Return an operand's ``_nulls``; for a plain value, NULL or 0."""
    if isinstance(value, Node):
        node = value
        return node._nulls()
    return NULL if value is None else 0


def family_of(value: object) -> int:
    """Return an operand's ``_family``; for a plain value TEXT or 0."""
    if isinstance(value, Node):
        node = value
        return node._family()
    return TEXT if isinstance(value, str) else 0


def width_of(value: object) -> int:
    """Return an operand's ``_row_width``; for a plain value 1, for None -1."""
    if isinstance(value, Node):
        node = value
        return node._row_width()
    return -1 if value is None else 1


def same_width(what: str, left: object, right: object) -> int:
    """Raise if the operands of `what` have known and different widths."""
    ours = width_of(left)
    theirs = width_of(right)
    if ours != theirs and min(ours, theirs) >= 0:
        raise ValueError(
            f"the operands of {what.strip()} must have the same width, got {ours} and {theirs}"
        )
    return 0


def always_null(symbol: str) -> Exception:
    """Return the error for arithmetic with None."""
    return ValueError(
        f"{symbol.strip()} with None is always null: leave None out, or use a bare None instead"
    )


def never_true(what: str, nulls: int) -> Exception:
    """Return the error for a condition that can never be true because of `nulls`."""
    if nulls & MAYBE_NULL:
        return ValueError(
            f"{what} a nullable slot is never true if the slot is None: leave out nullable, and "
            "prepare another statement with is_null() or is_not_null() for None"
        )
    if nulls & NULL_IN_ROW:
        return ValueError(f"{what} a row with None is never true: compare its columns one by one")
    return ValueError(f"{what} None is never true: write is_null() or is_not_null()")


def write_operand(out: Renderer, value: object, least: int) -> int:
    """Write an operand, in parentheses if its precedence is below `least`."""
    if not isinstance(value, Node):
        return out.literal(value)
    node = cython.cast(Node, value)
    if node._prec >= least:
        return node._write(out)  # type: ignore[no-any-return]  # Cython has no types
    return write_enclosed(out, node, least)


def write_enclosed(out: Renderer, node: Node, least: int) -> int:
    """Write an expression in parentheses, unless its precedence in the dialect is `least`."""
    if node._level(out) >= least:
        return node._write(out)
    out.text.put("(")
    node._write(out)
    out.text.put(")")
    return 0
