from collections.abc import Sequence
from typing import Any, Self, final

__all__ = ["RowDecoder"]

@final
class RowDecoder:
    def __new__(
        cls,
        columns: Sequence[tuple[int, int, int, object]],
        wanted: Sequence[bool] | None,
        zero_text: bool,
        absent: object,
    ) -> Self: ...
    def rows(self, data: bytes, at: int, present: bytes) -> list[tuple[Any, ...]]: ...
    def pairs(
        self, data: bytes, at: int, present: bytes, updated: bytes
    ) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]: ...
    def row(self, data: bytes, at: int, present: bytes) -> tuple[tuple[Any, ...], int]: ...
    def value(self, index: int, data: bytes, at: int) -> tuple[Any, int]: ...
