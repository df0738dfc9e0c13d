"""The dialects, one object in a file each, and how to choose one.

Choose a dialect when you render a statement: the object, its name, or the server's ``SqlMode``. A
feature that the dialect lacks raises ``UnsupportedFeature``; nothing is approximated.
"""

from godropbox._kernels import lasting

from .._names import shown
from ._dialect import FEATURES, Dialect, UnsupportedFeature, unsupported
from .mariadb import mariadb
from .mysql import mysql
from .postgresql import postgresql
from .sqlite import sqlite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from godropbox.database.sqltypes import SqlMode

__all__ = [
    "DIALECTS",
    "FEATURES",
    "Dialect",
    "UnsupportedFeature",
    "choose",
    "mariadb",
    "mysql",
    "postgresql",
    "sqlite",
    "unsupported",
]

DIALECTS: "Final[dict[str, Dialect]]" = {
    dialect.name: lasting.lasting(dialect) for dialect in (mysql, mariadb, sqlite, postgresql)
}


def choose(dialect: object, mode: "SqlMode | None") -> "tuple[Dialect, int]":
    """Return a dialect and the style of its literals in a server's mode.

    The dialect is that of the mode if `dialect` is left at its default.
    """
    if isinstance(dialect, Dialect):
        chosen = dialect
    elif isinstance(dialect, str) and dialect in DIALECTS:
        chosen = DIALECTS[dialect]
    else:
        raise ValueError(
            f"dialect must be a Dialect or one of {', '.join(DIALECTS)}, got {shown(dialect)}"
        )
    if mode is None:
        return chosen, chosen.style
    known = DIALECTS[mode.dialect]
    if dialect == "mysql":
        return known, mode.style
    if known.style != chosen.style:
        raise ValueError(f"dialect is {chosen.name}, but mode is for {mode.dialect}")
    return chosen, mode.style
