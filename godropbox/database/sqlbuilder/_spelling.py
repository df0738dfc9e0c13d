"""Messages about a name that is not known: what it may have meant, and what there is."""

from ._names import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["no_column"]


def no_column(owner: str, name: object, known: "Iterable[str]") -> str:
    """Return the message about `name`, which is not among the columns `known` of `owner`."""
    from difflib import get_close_matches  # slow to import, so only here

    names = list(known)
    close = get_close_matches(name, names, 1) if isinstance(name, str) else []
    guess = f": did you mean {close[0]!r}? Its columns are" if close else "; its columns are"
    return f"{owner} has no column {shown(name)}{guess} {', '.join(names)}"
