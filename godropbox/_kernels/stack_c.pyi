from inspect import Signature
from typing import ClassVar

__all__ = ["StackedError", "StackedOSError", "capture"]

def capture(skip: int = 0, limit: int = 200) -> tuple[object, ...]: ...

class StackedError(Exception):
    __signature__: ClassVar[Signature]
    _stack: tuple[object, ...]
    def __init__(
        self, message: str, /, *, cause: BaseException | None = None, **fields: object
    ) -> None: ...

class StackedOSError(OSError): ...
