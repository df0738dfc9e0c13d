"""The plain values that stand in expressions: what is taken, and what is searched by ``in_``.

Only the rarer types come here; ints, floats, strings, bools and None are dealt with in place.
Which plain value one stands for is decided by the ``sqltext`` kernel alone.
"""

from godropbox._kernels import sqltext

from ._names import shown

_PLAINEST = frozenset({bool, bytes, float, int, str})

__all__ = ["checked_values", "plain_operand", "searched"]


def plain_operand(value: object) -> object:
    """Return the plain value that `value` stands for, or raise if it has no literal."""
    try:
        return sqltext.plain_value(value)
    except TypeError:
        raise TypeError(
            f"an operand must be an expression or a value with a literal, got {shown(value)} "
            f"({type(value).__name__})"
        ) from None


def checked_values(values: object, nodes: "tuple[type, ...]") -> object:
    """Return what ``in_`` searches: a node as it is, any other iterable as a tuple."""
    if isinstance(values, nodes):
        return values
    if isinstance(values, (str, bytes, bytearray, memoryview)) or not hasattr(
        type(values), "__iter__"
    ):
        raise TypeError(
            f"values of in_() must be an iterable of values or a query, got {shown(values)} "
            f"({type(values).__name__})"
        )
    return tuple(values)  # type: ignore[arg-type]  # it has __iter__, tested above


def searched(values: "tuple[object, ...]", width: int, what: str) -> "tuple[object, ...]":
    """Return the plain values that are looked in, rows of `width` if that is not negative.

    A left side of unknown width, -1, is compared with rows if the first value is one.
    """
    if width < 0 and values and isinstance(values[0], (tuple, list)):
        width = len(values[0])
    kinds = set(map(type, values))
    if width < 0 and type(None) not in kinds:
        exact = all(map(sqltext.exact_kind, kinds - _PLAINEST))
        if exact and all(getattr(value, "tzinfo", None) is None for value in values):
            return values
    taken = []
    for index, value in enumerate(values):
        if width < 0:
            taken.append(_searched(value, what))
            continue
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"values[{index}] must be a row, a tuple, got {shown(value)}")
        if len(value) != width:
            raise ValueError(
                f"values[{index}] must have {width} values, as the row that is looked for, "
                f"got {len(value)}"
            )
        taken.append(tuple([_searched(item, what) for item in value]))
    return tuple(taken)


def _searched(value: object, what: str) -> object:
    try:
        plain = sqltext.plain_value(value)
    except TypeError:
        raise TypeError(
            f"values of in_() must be plain values that have a literal, got {shown(value)} "
            f"({type(value).__name__})"
        ) from None
    if plain is None:
        raise ValueError(
            f"{what} a list with None is never true for it: leave None out, and add is_null() or "
            "is_not_null()"
        )
    return plain
