"""Query tags: a comment at the end of a statement, in the format of sqlcommenter.

Keys and values are percent-encoded, so that they can neither end the comment nor open a quote. The
format: https://google.github.io/sqlcommenter/spec/.
"""

from ._names import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

__all__ = ["tags_text"]

_SAFE: "Final" = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


def _encoded(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, got {shown(value)} ({type(value).__name__})")
    data = str.encode(value, "utf-8", "surrogatepass")
    return "".join([chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in data])


def tags_text(tags: "Mapping[str, str]") -> str:
    """Return `tags`, sorted by key, as a comment."""
    if not hasattr(tags, "items"):
        raise TypeError(f"tags must be a mapping of str to str, got {shown(tags)}")
    pairs = sorted([(_encoded("a tag's key", key), value) for key, value in tags.items()])
    if not pairs:
        return ""
    text = ",".join([f"{key}='{_encoded('a tag', value)}'" for key, value in pairs])
    return f" /*{text}*/"
