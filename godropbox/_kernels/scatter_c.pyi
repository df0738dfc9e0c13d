from typing import Self

from _typeshed import ReadableBuffer
from typing_extensions import disjoint_base

from .wire_c import Reply

__all__ = ["open_scatter", "unfit"]

@disjoint_base
class Scatter:
    def __new__(self, most: int, seconds: float | None) -> Self: ...
    def start(self, fd: int, request: list[ReadableBuffer], reply: Reply) -> None: ...
    def finish(self, at: int) -> Exception | None: ...

def open_scatter(most: int, seconds: float | None) -> Scatter | None: ...
def unfit(fds: list[int]) -> list[int] | None: ...
