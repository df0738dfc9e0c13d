"""What both twins of the ``binlog`` kernel share: how columns are read, and the rarer values.

Loaded with the twins; ``decimal`` and ``datetime`` only when rows are read.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "BITS",
    "DATE",
    "DATETIME",
    "DATETIME2",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "INDEX",
    "INT",
    "TEXT",
    "TIME",
    "TIME2",
    "TIMESTAMP",
    "TIMESTAMP2",
    "UTF8",
    "YEAR",
    "member",
    "members",
    "short",
    "too_many",
    "zero_date",
    "zero_datetime",
]

# How the bytes of a column are read, as in ``csrc/binlog.h``.
INT: "Final" = 0
FLOAT: "Final" = 1
DOUBLE: "Final" = 2
DECIMAL: "Final" = 3
YEAR: "Final" = 4
DATE: "Final" = 5
TIME: "Final" = 6
DATETIME: "Final" = 7
TIMESTAMP: "Final" = 8
TIME2: "Final" = 9
DATETIME2: "Final" = 10
TIMESTAMP2: "Final" = 11
BITS: "Final" = 12
INDEX: "Final" = 13
TEXT: "Final" = 14

UTF8: "Final" = "utf8"  # what makes a TEXT's value: this, None for bytes, or a function of bytes


def short(start: int, size: int) -> ValueError:
    """Return the error for a row that does not end where the bytes do."""
    return ValueError(f"the row at {start} of {size} bytes is cut short")


def member(index: int, names: "tuple[str, ...] | None") -> object:
    """Return a member of an ENUM, of which "" is number 0; the number where no names are known."""
    if names is None:
        return index
    if index >= len(names):
        raise ValueError(f"an ENUM has member {index}, of {len(names) - 1}")
    return names[index]


def members(bits: int, names: "tuple[str, ...] | None") -> object:
    """Return the members of a SET in their order; the bits where no names are known."""
    if names is None:
        return bits
    if bits >> len(names):
        raise ValueError(f"a SET has member {bits.bit_length() - 1}, of {len(names)}")
    return tuple([name for place, name in enumerate(names) if bits >> place & 1])


def too_many(micros: int) -> ValueError:
    """Return the error for a fraction of a second that is none."""
    return ValueError(f"a fraction of a second has {micros} microseconds")


def zero_date(as_text: bool, year: int, month: int, day: int) -> "str | None":
    """Return what stands for a date that is not in the calendar."""
    return f"{year:04}-{month:02}-{day:02}" if as_text else None


def zero_datetime(
    as_text: bool, day: "tuple[int, int, int]", clock: "tuple[int, int, int, int]", digits: int
) -> "str | None":
    """Return what stands for a moment that is not in the calendar, of so many digits."""
    if not as_text:
        return None
    hour, minute, second, micros = clock
    fraction = f".{micros:06}"[: digits + 1] if digits else ""
    return f"{zero_date(True, *day)} {hour:02}:{minute:02}:{second:02}{fraction}"
