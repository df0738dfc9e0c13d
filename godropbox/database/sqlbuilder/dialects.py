"""The dialects, and the error for a feature that one of them lacks.

Choose a dialect when you render a statement: by name, or by the server's ``SqlMode``. A feature
that the dialect lacks raises ``UnsupportedFeature``; nothing is approximated.
"""

from ._names import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from godropbox.database.sqltypes import SqlMode

__all__ = ["DIALECTS", "PARAMSTYLES", "UnsupportedFeature"]

# Styles of literals by dialect; MySQL without backslash escapes has style 1.
DIALECTS: "Final" = {"mysql": 0, "sqlite": 2, "postgresql": 3}

PARAMSTYLES: "Final" = ("format", "qmark", "numeric", "named", "pyformat")

_NAMES: "Final" = ("MySQL", "SQLite", "PostgreSQL")


class UnsupportedFeature(ValueError):  # noqa: N818  # it names what is missing, like KeyError
    """The statement uses a feature that the dialect lacks."""


def unsupported(dialect: int, feature: str) -> UnsupportedFeature:
    """Return the error for a feature that a dialect lacks."""
    return UnsupportedFeature(f"{_NAMES[dialect]} has no {feature}")


def style_of(dialect: object, mode: "SqlMode | None") -> int:
    """Return the style of literals for a dialect and, if given, a server's mode."""
    if not isinstance(dialect, str) or dialect not in DIALECTS:
        raise ValueError(f"dialect must be mysql, sqlite or postgresql, got {shown(dialect)}")
    if mode is None:
        return DIALECTS[dialect]
    if dialect not in ("mysql", mode.dialect):
        raise ValueError(f"dialect is {dialect}, but mode is for {mode.dialect}")
    return mode.style


def placeholder(paramstyle: str, number: int) -> str:
    """Return the placeholder of parameter `number`, counted from 1."""
    if paramstyle == "numeric":
        return f":{number}"
    return f":p{number}" if paramstyle == "named" else f"%(p{number})s"


def check_paramstyle(paramstyle: object) -> str:
    """Return `paramstyle` if it is one of the five of DB-API (PEP 249)."""
    for known in PARAMSTYLES:
        if paramstyle == known:
            return known
    raise ValueError(f"paramstyle must be one of {', '.join(PARAMSTYLES)}, got {shown(paramstyle)}")
