from _typeshed import ReadableBuffer

from .wire_c import Reply

__all__ = ["exchange", "unfit"]

def exchange(
    fds: list[int],
    requests: list[list[ReadableBuffer]],
    replies: list[Reply],
    seconds: float | None,
) -> list[Exception | None] | None: ...
def unfit(fds: list[int]) -> list[int] | None: ...
