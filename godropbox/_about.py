"""What runs here: the version, the implementation and why, vectors, Python and platform. No I/O."""

import platform
import sys

from . import __version__, _kernels

__all__ = ["about"]


def about() -> dict[str, str]:
    """Return what runs here, by name, in the order in which reports show it."""
    free = getattr(sys, "_is_gil_enabled", None)
    lock = "" if free is None or free() else ", without the interpreter lock"
    return {
        "version": __version__,
        "implementation": _kernels.IMPLEMENTATION,
        "reason": _kernels.REASON,
        "simd": _kernels.hash2.SIMD,
        "python": f"{platform.python_implementation()} {platform.python_version()}{lock}",
        "platform": platform.platform(),
    }
