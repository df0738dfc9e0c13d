from typing import Self

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
    @property
    def is_busy(self) -> bool: ...
    def get(
        self, verb: bytes, key: str | bytes, prefix: bytes, seconds: float | None = None
    ) -> tuple[int, bytes | None, int, int]: ...

def carry(lines: list[Line], talks: list[Talk], seconds: float | None) -> None: ...
def unfit(lines: list[Line]) -> list[int]: ...
