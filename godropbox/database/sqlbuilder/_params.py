"""Paramstyles: how a driver writes the place of a parameter (DB-API, PEP 249, and asyncpg's)."""

from ._names import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["PARAMSTYLES", "check_paramstyle", "is_named", "placeholder"]

PARAMSTYLES: "Final" = ("format", "qmark", "numeric", "numeric_dollar", "named", "pyformat")


def placeholder(paramstyle: str, number: int) -> str:
    """Return the placeholder of parameter `number`, counted from 1."""
    if paramstyle == "numeric":
        return f":{number}"
    if paramstyle == "numeric_dollar":
        return f"${number}"
    return f":p{number}" if paramstyle == "named" else f"%(p{number})s"


def is_named(paramstyle: str) -> bool:
    """Return whether the driver takes the parameters as a dict."""
    return paramstyle in ("named", "pyformat")


def check_paramstyle(paramstyle: object) -> str:
    """Return `paramstyle` if it is known, or raise ``ValueError``."""
    for known in PARAMSTYLES:
        if paramstyle == known:
            return known
    raise ValueError(f"paramstyle must be one of {', '.join(PARAMSTYLES)}, got {shown(paramstyle)}")
