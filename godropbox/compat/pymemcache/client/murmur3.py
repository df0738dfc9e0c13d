"""pymemcache's hash of a node and a key, by our kernel."""

from ...._kernels._placement import low_bytes
from ....murmur3 import hash32

__all__ = ["murmur3_32"]


def murmur3_32(data: str, seed: int = 0) -> int:
    """Return the 32-bit MurmurHash3 (x86) of the low byte of each character."""
    raw = data.encode("ascii") if data.isascii() else low_bytes(data)
    return hash32(raw, seed & 0xFFFFFFFF)
