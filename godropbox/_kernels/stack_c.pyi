__all__ = ["StackedError", "capture"]

def capture(skip: int = 0, limit: int = 200) -> tuple[object, ...]: ...

class StackedError(Exception):
    _stack: tuple[object, ...]
    def __init__(
        self, message: str, /, *, cause: BaseException | None = None, **fields: object
    ) -> None: ...
