from array import array
from typing import Any, Self

from _typeshed import ReadableBuffer
from typing_extensions import disjoint_base

from .wire_c import Reply

__all__ = ["gather", "open_scatter", "unfit"]

@disjoint_base
class Scatter:
    def __new__(self, most: int, seconds: float | None) -> Self: ...
    def start(self, fd: int, request: list[ReadableBuffer], reply: Reply) -> None: ...
    def finish(self, at: int) -> Exception | None: ...

def open_scatter(most: int, seconds: float | None) -> Scatter | None: ...
def unfit(fds: list[int]) -> list[int] | None: ...
def gather(
    fds: list[int],
    keys: list[Any],
    places: list[int],
    verb: bytes,
    prefix: bytes,
    seconds: float | None,
) -> tuple[list[bytes | None], array[int], array[int], dict[int, Any]] | None: ...
