"""Order-independent hashing: what both twins share."""

from ._args import shown

__all__ = ["PRIMES", "SIZE", "bad_size"]

SIZE = 32  # bytes of a digest

# The prime that each column of four bytes, low byte first, is taken modulo of.
PRIMES = (
    4294967291,
    4294967279,
    4294967231,
    4294967197,
    4294967189,
    4294967161,
    4294967143,
    4294967111,
)


def bad_size(name: str, size: int) -> ValueError:
    """Return the error for a hash that has not 32 bytes."""
    return ValueError(f"{name} must have {SIZE} bytes, got {shown(size)}")
