from array import array
from typing import Self

from _typeshed import ReadableBuffer
from typing_extensions import disjoint_base

from . import _wire as codes
from ._wire import Row

__all__ = ["Reply", "codes"]

@disjoint_base
class Reply:
    def __new__(
        self,
        kind: int,
        count: int,
        words: int = 0,
        first: int = 0,
        options: int = 0,
        lines: int = 1,
    ) -> Self: ...
    @property
    def kind(self) -> int: ...
    @property
    def done(self) -> bool: ...
    @property
    def size(self) -> int: ...
    @property
    def is_cut(self) -> bool: ...
    def feed(self, data: ReadableBuffer) -> int: ...
    def hit(self, key: str | bytes, prefix: bytes) -> tuple[int, bytes | None, int, int]: ...
    def hits(
        self, keys: list[str | bytes], prefix: bytes
    ) -> tuple[list[bytes | None], array[int], array[int], dict[int, tuple[int, bytes]] | None]: ...
    def outcomes(
        self, count: int
    ) -> tuple[bytes, array[int], dict[int, tuple[int, bytes]] | None]: ...
    def rows(self) -> list[Row]: ...
