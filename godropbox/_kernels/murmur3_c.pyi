from array import array
from collections.abc import Iterable

from _typeshed import ReadableBuffer

__all__ = ["hash32", "hash32_many"]

def hash32(data: ReadableBuffer, seed: int = 0) -> int: ...
def hash32_many(items: Iterable[ReadableBuffer], seed: int = 0) -> array[int]: ...
