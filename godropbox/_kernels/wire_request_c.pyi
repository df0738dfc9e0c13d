from collections.abc import Iterable
from typing import Any

from _typeshed import ReadableBuffer

from ._wire import checked_range as checked_range

__all__ = [
    "ascii_each",
    "ascii_keys",
    "ascii_stores",
    "binary_keys",
    "binary_stores",
    "checked_range",
    "has_repeats",
    "meta_keys",
    "meta_stores",
    "roomy_dict",
    "token_kinds",
    "wire_key",
]

def wire_key(key: str | bytes, prefix: bytes) -> bytes: ...
def roomy_dict(count: int) -> dict[Any, Any]: ...
def has_repeats(keys: list[Any]) -> bool: ...
def token_kinds(items: Iterable[Any]) -> int: ...
def ascii_keys(command: bytes, keys: list[Any], prefix: bytes, most_line: int = 8192) -> bytes: ...
def ascii_each(before: bytes, keys: list[Any], after: bytes, prefix: bytes) -> bytes: ...
def ascii_stores(
    verb: bytes, items: Iterable[Any], prefix: bytes, tokens: bool = True
) -> list[ReadableBuffer]: ...
def binary_keys(
    opcode: int, keys: list[Any], extras: bytes, first: int, prefix: bytes, quiet: bool = False
) -> bytes: ...
def binary_stores(
    opcode: int, zero: int, items: Iterable[Any], extras: bool, first: int, prefix: bytes
) -> list[ReadableBuffer]: ...
def meta_keys(
    command: bytes, keys: list[Any], flags: bytes, first: int, prefix: bytes, quiet: bool = False
) -> bytes: ...
def meta_stores(
    flags: bytes, zero: bytes, items: Iterable[Any], first: int, prefix: bytes
) -> list[ReadableBuffer]: ...
