"""What the rows of this package share: the two implementations, asked for by name."""

import importlib
from types import ModuleType
from typing import Final

from .model import MissingError

__all__ = ["PURE", "load"]

# The environment of a row that measures the pure implementation, whole, in its own process.
PURE: Final = {"GODROPBOX_IMPL": "pure"}


def load(module: str, implementation: str) -> ModuleType:
    """Return the package's module, or raise ``MissingError`` where it runs on the other one."""
    found = importlib.import_module(f"godropbox.{module}")
    from godropbox import _kernels

    if implementation != _kernels.IMPLEMENTATION:
        raise MissingError(
            f"this process runs the {_kernels.IMPLEMENTATION} one: {_kernels.REASON}"
        )
    return found
