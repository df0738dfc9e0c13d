"""Checks of plain values as operands and as the list of ``in_``.

Callers handle ints, floats, strings, bools and None themselves; only the rarer types come here. The
``sqltext`` kernel converts them to plain values.
"""

from godropbox._kernels import sqltext

from ._names import shown

_PLAINEST = frozenset({bool, bytes, float, int, str})

__all__ = ["checked_values", "plain_operand", "searched"]


def plain_operand(value: object) -> object:
    """Return `value` as a plain value, or raise if it has no literal."""
    try:
        return sqltext.plain_value(value)
    except TypeError:
        raise TypeError(
            f"an operand must be an expression or a value that has a literal, got {shown(value)} "
            f"({type(value).__name__})"
        ) from None


def checked_values(values: object, nodes: "tuple[type, ...]") -> object:
    """Return the right side of ``in_``: a node unchanged, any other iterable as a tuple."""
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
    """Return the list of ``in_`` as plain values, or as rows of `width` unless that is -1.

    With -1, the unknown width of a left side, the values are rows if the first one is.
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
                f"values[{index}] must have {width} values like the left side, got {len(value)}"
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
            f"{what} never matches None in its list: leave None out, and add is_null() or "
            "is_not_null()"
        )
    return plain
