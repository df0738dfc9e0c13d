from typing import Self

from _typeshed import ReadableBuffer
from typing_extensions import disjoint_base

from ._channels import Channel, Talk

__all__ = ["Line", "carry", "unfit"]

@disjoint_base
class Line:
    def __new__(self, channel: Channel, seconds: float | None) -> Self: ...
    @property
    def channel(self) -> Channel: ...
    @property
    def fd(self) -> int: ...
    @property
    def seconds(self) -> float | None: ...
    clean: bool
    begun: bool
    def left(self) -> float | None: ...
    def shut(self) -> bool: ...
    def get(
        self, verb: bytes, key: str | bytes, prefix: bytes, seconds: float | None = None
    ) -> tuple[int, bytes | None, int, int]: ...
    def store(
        self,
        verb: bytes,
        key: str | bytes,
        prefix: bytes,
        data: ReadableBuffer,
        flags: int,
        expire: int,
        cas: int,
        seconds: float | None = None,
    ) -> int | tuple[int, bytes]: ...
    def delete(
        self, key: str | bytes, prefix: bytes, seconds: float | None = None
    ) -> int | tuple[int, bytes]: ...
    def touch(
        self, key: str | bytes, prefix: bytes, expire: int, seconds: float | None = None
    ) -> int | tuple[int, bytes]: ...
    def touch_item(
        self, key: str | bytes, prefix: bytes, expire: int, seconds: float | None = None
    ) -> int | tuple[int, bytes]: ...
    def count(
        self, down: bool, key: str | bytes, prefix: bytes, delta: int, seconds: float | None = None
    ) -> int | tuple[int, bytes]: ...

def carry(lines: list[Line], talks: list[Talk], seconds: float | None) -> None: ...
def unfit(lines: list[Line]) -> list[int]: ...
