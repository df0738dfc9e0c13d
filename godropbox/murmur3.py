"""32-bit murmur3, fast and not for security: ``hash32`` and, many at a time, ``hash32_many``."""

from ._kernels import murmur3 as _kernel

__all__ = ["hash32", "hash32_many"]

hash32 = _kernel.hash32
hash32_many = _kernel.hash32_many
