"""32-bit murmur3, not for security: ``hash32`` for one item, ``hash32_many`` for many."""

from ._kernels import murmur3 as _kernel

__all__ = ["hash32", "hash32_many"]

hash32 = _kernel.hash32
hash32_many = _kernel.hash32_many
