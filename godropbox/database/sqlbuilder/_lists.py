"""Lists after IN that have expressions among their values, or rows of them."""

from ._base import Node, depth_of, never_true, write_operand
from ._render import Renderer
from ._values import searched

__all__ = ["depth_in", "has_nodes", "in_words", "mixed", "write_mixed"]


def has_nodes(values: "tuple[object, ...]") -> bool:
    """Return whether there is an expression among values or in rows of values."""
    for value in values:
        if isinstance(value, Node):
            return True
        if isinstance(value, (tuple, list)) and has_nodes(tuple(value)):
            return True
    return False


def mixed(values: "tuple[object, ...]", width: int, what: str) -> "tuple[object, ...]":
    """Return the list of ``in_``, or its rows of `width`, with the expressions among the values."""
    if width < 0 and isinstance(values[0], (tuple, list)):
        width = len(values[0])
    taken: list[object] = []
    for value in values:
        if isinstance(value, Node):
            node = value
            if node._nulls():
                raise never_true(f"{what} with", node._nulls())
            same = node._row_width()
            if same >= 0 and max(width, 1) != same:
                raise ValueError(
                    f"values of in_() must have {max(width, 1)} columns like the left side, "
                    f"got {node!r}"
                )
            taken.append(node)
        elif width >= 0 and isinstance(value, (tuple, list)) and len(value) == width:
            taken.append(mixed(tuple(value), -1, what))
        else:
            taken.extend(searched((value,), width, what))
    return tuple(taken)


def depth_in(values: "tuple[object, ...]") -> int:
    """Return the depth of the deepest expression in a list."""
    depth = 0
    for value in values:
        depth = max(depth, depth_in(value) if isinstance(value, tuple) else depth_of((value,)))
    return depth


def write_mixed(out: Renderer, values: "tuple[object, ...]") -> int:
    """Write the values and rows of a list, without parentheses around it."""
    for index in range(len(values)):
        value = values[index]
        if index:
            out.text.put(", " if isinstance(value, tuple) else ",")
        if isinstance(value, tuple):
            out.text.put("(")
            write_mixed(out, value)
            out.text.put(")")
        else:
            write_operand(out, value, 0)
    return 0


def in_words(negated: bool) -> str:
    """Return how messages call the operator."""
    return "NOT IN" if negated else "IN"
