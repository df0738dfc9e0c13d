"""Forms of arrays: literals, elements and slices, and what an array contains."""

from . import _grammar
from ._base import Node, operand, write_operand
from ._forms import Form, check_type, type_text
from ._names import shown
from ._render import Renderer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "ARRAY_LITERAL",
    "ARRAY_RELATION",
    "SLICE",
    "SUBSCRIPT",
    "brackets",
    "checked_items",
    "is_array",
]

# Compiled, these are C variables.
BITS = _grammar.BITS
MUL = _grammar.MUL
ATOM = _grammar.ATOM
UNKNOWN = _grammar.UNKNOWN
VALUE = _grammar.VALUE
PREDICATE = _grammar.PREDICATE
ARRAY = _grammar.ARRAY


class ArrayLiteral(Form):
    """``ARRAY[a,b]``; the detail is the type of the elements, or None."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the elements, and a cast if there is a type."""
        out.need("arrays")
        out.text.put("ARRAY[" if detail is None else "CAST(ARRAY[")
        for index in range(len(items)):
            if index:
                out.text.put(",")
            _write_item(out, items[index])
        out.text.put("]")
        if detail is not None:
            out.text.put(f" AS {type_text(out, str(detail))}[])")
        return 0


class Subscript(Form):
    """``array[i]`` and ``array[i : j]``; the detail has a 1 or a 2 for each pair of brackets."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the array, in parentheses unless it is a column, and the brackets."""
        out.need("arrays")
        base = items[0]
        named = False
        if isinstance(base, Node):
            node = base
            named = node._is_name()
        if not named:
            out.text.put("(")
        write_operand(out, base, 0)
        if not named:
            out.text.put(")")
        widths: tuple[int, ...] = detail  # type: ignore[assignment]  # see the docstring
        index = 1
        for width in widths:
            out.text.put("[")
            self._bound(out, items[index])
            if width == 2:
                out.text.put(" : ")  # with spaces, because a driver may read :2 as a parameter
                self._bound(out, items[index + 1])
            out.text.put("]")
            index += width
        return 0

    def _bound(self, out: Renderer, value: object) -> int:
        if value is not None:  # a slice may be open
            write_operand(out, value, 0)
        return 0


class Relation(Form):
    """``a @> b`` and its like between arrays; the detail is the operator."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write both arrays and the operator."""
        out.need("arrays")
        write_operand(out, items[0], MUL + 1)
        out.text.put(str(detail))
        return write_operand(out, items[1], MUL + 1)


ARRAY_LITERAL: "Final" = ArrayLiteral("ARRAY_LITERAL", ATOM, VALUE, ARRAY)
SUBSCRIPT: "Final" = Subscript("SUBSCRIPT", ATOM, UNKNOWN)
SLICE: "Final" = Subscript("SLICE", ATOM, VALUE, ARRAY)
ARRAY_RELATION: "Final" = Relation("ARRAY_RELATION", BITS, PREDICATE)


def is_array(node: Node) -> bool:
    """Return whether ``node[key]`` is an element or a slice of an array."""
    parts = node._parts()
    return node._family() == ARRAY or (parts is not None and parts[0] is SUBSCRIPT)


def brackets(base: Node, key: object) -> "tuple[Form, tuple[object, ...], tuple[object, ...]]":
    """Return the form, the operands and the detail of an element or a slice of an array.

    `key` is a position from 1, a slice that includes its end, or a tuple for several dimensions.
    """
    items: list[object] = [base]
    widths: list[object] = []
    parts = base._parts()
    if parts is not None and parts[0] is SUBSCRIPT:
        items = list(parts[1])
        known: tuple[object, ...] = parts[2]  # type: ignore[assignment]  # its widths
        widths.extend(known)
    for one in key if isinstance(key, tuple) else (key,):
        bounds: tuple[object, ...] = (one,)
        if isinstance(one, slice):
            if one.step is not None:
                raise ValueError(f"a slice of an array has no step, got {shown(key)}")
            bounds = (one.start, one.stop)
        for bound in bounds:
            is_open = bound is None and len(bounds) == 2
            if not is_open and (isinstance(bound, bool) or not isinstance(bound, (int, Node))):
                raise TypeError(
                    "a subscript must be an int, an expression, a slice or a tuple of them, "
                    f"got {shown(key)}"
                )
        items.extend(bounds)
        widths.append(len(bounds))
    return SLICE if 2 in widths else SUBSCRIPT, tuple(items), tuple(widths)


def checked_items(values: object, kind: "str | None") -> "tuple[object, ...]":
    """Return the elements of an array literal; the inner lists are tuples of the same."""
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"values of array() must be a list, got {shown(values)}")
    if kind is not None:
        check_type(kind)
    elif not values:
        raise ValueError("an empty array needs the type of its elements: array([], kind)")
    return tuple(
        [checked_items(v, kind) if isinstance(v, (list, tuple)) else operand(v) for v in values]
    )


def _write_item(out: Renderer, item: object) -> int:
    if not isinstance(item, tuple):
        return write_operand(out, item, 0)
    out.text.put("[")
    for index in range(len(item)):
        if index:
            out.text.put(",")
        _write_item(out, item[index])
    out.text.put("]")
    return 0
