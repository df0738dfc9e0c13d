from typing import Final

from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["SIMD", "consistent_hash", "hash_many", "may_overlap", "set_hash", "set_hash_many"]

SIMD: Final[str]

def consistent_hash(key: int, num_shards: int) -> int: ...
def hash_many(
    keys: ReadableBuffer,
    few: int,
    many: int,
    out_few: WriteableBuffer,
    out_many: WriteableBuffer | None,
) -> None: ...
def may_overlap(first: ReadableBuffer, second: ReadableBuffer) -> bool: ...
def set_hash(key: int, bitmap: bytes, lowest: int, highest: int) -> int: ...
def set_hash_many(
    keys: ReadableBuffer, bitmap: bytes, lowest: int, highest: int, out: WriteableBuffer
) -> None: ...
