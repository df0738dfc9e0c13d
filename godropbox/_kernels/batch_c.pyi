from array import array
from collections.abc import Iterable
from typing import Any, Never, Protocol, final, type_check_only

from ._wire import Asked
from .wire_c import Reply

__all__ = ["Batch", "Part", "batch_of_items", "batch_of_keys", "batch_of_values"]

@type_check_only
class Placement(Protocol):
    def of_many(self, keys: Iterable[Any]) -> list[int]: ...

@final
class Part(Reply):
    def __init__(self, /, *args: Never, **kwargs: Never) -> None: ...
    @property
    def refusal(self) -> tuple[int, bytes] | None: ...
    @property
    def lines(self) -> int: ...
    @property
    def shard(self) -> int: ...
    @property
    def indices(self) -> list[int]: ...
    @property
    def request(self) -> list[bytes]: ...
    @property
    def failure(self) -> Exception | None: ...
    def advance(self, failure: Exception | None) -> Asked | None: ...

@final
class Batch:
    def __init__(self, /, *args: Never, **kwargs: Never) -> None: ...
    def parts(self) -> list[Part]: ...
    def condemn(self, part: Part) -> None: ...
    def values(self) -> tuple[dict[Any, bytes], list[tuple[Any, bytes, int]]]: ...
    def answers(self) -> tuple[list[bytes | None], array[int], array[int]]: ...
    def is_all_stored(self) -> bool: ...
    def failures(self) -> dict[int, tuple[int, bytes]]: ...
    def outcomes(self) -> tuple[bytes, dict[int, tuple[int, bytes]]]: ...

def batch_of_keys(
    keys: list[Any],
    placement: Placement,
    num_shards: int,
    prefix: bytes,
    bare: bool,
    most_line: int = 8192,
) -> Batch | None: ...
def batch_of_items(
    items: list[Any],
    placement: Placement,
    num_shards: int,
    prefix: bytes,
    kind: type,
    verb: bytes,
    words: int,
) -> Batch | None: ...
def batch_of_values(
    keys: list[Any],
    values: list[Any],
    flags: list[Any] | None,
    expire: Any,
    placement: Placement,
    num_shards: int,
    prefix: bytes,
    verb: bytes,
    words: int,
) -> Batch | None: ...
