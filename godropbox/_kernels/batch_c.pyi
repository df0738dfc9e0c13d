from array import array
from typing import Any, Never, final

from .batch_py import Placement

__all__ = ["plan", "plan_values"]

@final
class Plan:
    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    @property
    def places(self) -> list[int]: ...
    def get(
        self, fds: list[int], seconds: float | None, plain: bool
    ) -> (
        tuple[dict[Any, bytes], list[tuple[Any, bytes, int]], dict[int, Any]]
        | tuple[list[bytes | None], array[int], array[int], dict[int, Any]]
        | None
    ): ...
    def store(
        self, fds: list[int], verb: bytes, words: int, seconds: float | None
    ) -> tuple[bytes, dict[int, tuple[int, bytes]], dict[int, Any]] | None: ...

def plan(
    things: list[Any],
    placement: Placement,
    num_shards: int,
    prefix: bytes,
    kind: type | None = None,
) -> Plan | None: ...
def plan_values(
    keys: list[Any],
    values: list[Any],
    flags: list[Any] | None,
    expire: Any,
    placement: Placement,
    num_shards: int,
    prefix: bytes,
) -> Plan | None: ...
