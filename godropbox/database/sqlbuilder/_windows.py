"""Windows: the rows that a window function sees, with their order and frame."""

from ..._kernels._signature import declared
from ._base import Node, depth_of
from ._clauses import ordered, unordered, write_list
from ._names import check_identifier, shown
from ._render import Renderer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Self

__all__ = ["Window", "window_of"]

_EXCLUDED: "Final" = {
    "current row": "CURRENT ROW",
    "group": "GROUP",
    "ties": "TIES",
    "no others": "NO OTHERS",
}


class Window:
    """Rows that a window function sees: what OVER has in its parentheses; made by ``window``."""

    __slots__ = ("_bounds", "_depth", "_exclude", "_name", "_order", "_partition", "_unit")
    __signature__ = declared

    _bounds: "tuple[object, ...]"  # of the frame, see _bound
    _depth: int
    _exclude: str
    _name: "str | None"  # of the window that this one adds to
    _order: "tuple[object, ...]"
    _partition: "tuple[object, ...]"
    _unit: str  # ROWS, RANGE, GROUPS, or nothing without a frame

    def __copy__(self) -> "Self":
        return self

    def __deepcopy__(self, memo: object) -> "Self":
        return self

    def _is_name(self) -> bool:
        """Return whether the window is just one of the statement's, by its name."""
        return self._name is not None and not (self._partition or self._order or self._unit)

    def _write(self, out: Renderer) -> int:
        """Write the definition with its parentheses."""
        text = out.text
        text.put("(")
        gap = ""
        if self._name is not None:
            out.name(self._name)
            gap = " "
        if self._partition:
            text.put(gap + "PARTITION BY ")
            write_list(out, self._partition)
            gap = " "
        if self._order:
            text.put(gap + "ORDER BY ")
            write_list(out, self._order)
            gap = " "
        if self._unit:
            if self._unit == "GROUPS":
                out.need("GROUPS in a window")
            text.put(gap + self._unit + " BETWEEN ")
            _write_bound(out, self._bounds[0], "PRECEDING")
            text.put(" AND ")
            _write_bound(out, self._bounds[1], "FOLLOWING")
        if self._exclude:
            out.need("EXCLUDE in a window")
            text.put(" EXCLUDE " + self._exclude)
        text.put(")")
        return 0


def window_of(
    name: object,
    partition: object,
    order: object,
    rows: object,
    range_: object,
    groups: object,
    exclude: object,
) -> Window:
    """Return a window; see the function ``window``."""
    node = Window.__new__(Window)
    node._name = None if name is None else check_identifier("window name", name)
    node._partition = _terms(partition)
    for term in node._partition:
        if not isinstance(term, Node):
            raise TypeError(f"a term of PARTITION BY must be an expression, got {shown(term)}")
    given = _terms(order)
    node._order = ordered(given) if given else ()
    node._depth = depth_of((*node._partition, *unordered(node._order))) + 1
    node._unit = ""
    node._bounds = ()
    for unit, bounds in (("ROWS", rows), ("RANGE", range_), ("GROUPS", groups)):
        if bounds is None:
            continue
        if node._unit:
            raise ValueError(f"a window has one of rows, range_ and groups, got {node._unit} too")
        node._unit = unit
        node._bounds = _frame(unit, bounds)
    node._exclude = ""
    if exclude is not None:
        if not isinstance(exclude, str) or exclude.lower() not in _EXCLUDED:
            raise ValueError(f"exclude must be one of {', '.join(_EXCLUDED)}, got {shown(exclude)}")
        if not node._unit:
            raise ValueError("exclude needs a frame: pass rows, range_ or groups")
        node._exclude = _EXCLUDED[exclude.lower()]
    return node


def _terms(given: object) -> "tuple[object, ...]":
    return tuple(given) if isinstance(given, (tuple, list)) else (given,)


def _frame(unit: str, bounds: "Any") -> "tuple[object, ...]":
    """Return both ends of a frame: None for unbounded, 0 for the current row."""
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        raise TypeError(f"a frame must be a pair (start, end), got {shown(bounds)}")
    taken = tuple([_bound(unit, bound) for bound in bounds])
    start, end = taken
    if start is not None and end is not None and type(start) is type(end) and start > end:
        raise ValueError(f"a frame must not start after its end, got {shown(bounds)}")
    return taken


def _bound(unit: str, bound: "Any") -> "Any":
    """Return a plain int, a timedelta or None, or raise."""
    if bound is None:
        return None
    if isinstance(bound, int) and not isinstance(bound, bool):
        bound = int.__add__(bound, 0)
        if not -(1 << 63) < bound < 1 << 63:
            raise ValueError(f"an end of a frame must be less than 2**63 away, got {bound}")
        return bound
    if unit == "RANGE":
        from datetime import timedelta  # slow to import, so only here

        if isinstance(bound, timedelta):
            return timedelta.__add__(bound, timedelta())
    wanted = "an int, a timedelta" if unit == "RANGE" else "an int"
    raise TypeError(f"an end of a frame must be {wanted} or None, got {shown(bound)}")


def _write_bound(out: Renderer, bound: "Any", unbounded: str) -> int:
    text = out.text
    if bound is None:
        text.put("UNBOUNDED " + unbounded)
        return 0
    if isinstance(bound, int):
        if bound:
            text.put(f"{abs(bound)} {'PRECEDING' if bound < 0 else 'FOLLOWING'}")
        else:
            text.put("CURRENT ROW")
        return 0
    out.need("RANGE with an INTERVAL")
    micros = (bound.days * 86400 + bound.seconds) * 1000000 + bound.microseconds
    text.put(out.dialect.interval(abs(micros), True, out.binding))
    text.put(" PRECEDING" if micros < 0 else " FOLLOWING")
    return 0
