from typing import Self

from _typeshed import ReadableBuffer
from typing_extensions import disjoint_base

from .wire_c import Reply

__all__ = ["open_line"]

@disjoint_base
class Line:
    def __new__(self, fd: int, seconds: float) -> Self: ...
    @property
    def fd(self) -> int: ...
    @property
    def clean(self) -> bool: ...
    @property
    def begun(self) -> bool: ...
    def get(
        self, verb: bytes, key: str | bytes, prefix: bytes, seconds: float | None = None
    ) -> tuple[int, bytes | None, int, int]: ...
    def exchange(
        self, request: list[ReadableBuffer], reply: Reply, seconds: float | None = None
    ) -> None: ...

def open_line(fd: int, seconds: float) -> Line | None: ...
