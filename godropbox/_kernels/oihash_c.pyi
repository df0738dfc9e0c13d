from collections.abc import Iterable

from _typeshed import ReadableBuffer

__all__ = ["added", "added_hashes"]

def added(digest: bytes, items: Iterable[ReadableBuffer], removes: bool = False) -> bytes: ...
def added_hashes(
    digest: bytes, items: Iterable[ReadableBuffer], removes: bool = False
) -> bytes: ...
