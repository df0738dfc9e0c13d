"""The hot paths, and the one place that chooses between compiled and pure Python.

``GODROPBOX_IMPL`` is read here, once: ``native`` raises where a compiled module is missing,
``pure`` uses none, ``auto`` (the default) takes the compiled ones if every one of them loads.
What is chosen holds for the whole package: all native or all pure, never a mixture.

Every kernel is a pair of modules with one stem, ``hash2_c`` and ``hash2_py``; the chosen one is
an attribute here under the stem. Modules in Cython's pure-Python mode, which are one file
compiled or not, need no twin. ``_compiled`` lists both.
"""

import importlib
import importlib.machinery
import os
import sys
from types import ModuleType

from ._compiled import KERNELS, MODULES

__all__ = [
    "IMPLEMENTATION",
    "KERNELS",
    "MODULES",
    "REASON",
    "batch",
    "hash2",
    "murmur3",
    "pairs",
    "placement",
    "sqltext",
    "stack",
    "transport",
    "wire",
    "wire_request",
]

TYPE_CHECKING = False  # not typing's: that module takes longer to import than the kernels

if TYPE_CHECKING:
    from collections.abc import Sequence


class _SourceOnly:
    """A finder that gives the Python source of ``MODULES``, past any compiled form beside it."""

    @staticmethod
    def find_spec(
        fullname: str, path: "Sequence[str] | None" = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in MODULES or path is None:
            return None
        loader = (importlib.machinery.SourceFileLoader, importlib.machinery.SOURCE_SUFFIXES)
        for folder in path:
            spec = importlib.machinery.FileFinder(folder, loader).find_spec(fullname)
            if spec is not None:
                return spec
        return None


def _load(suffix: str) -> list[ModuleType]:
    return [importlib.import_module(f"{__name__}.{stem}{suffix}") for stem in KERNELS]


def pairs() -> dict[str, tuple[ModuleType | None, ModuleType]]:
    """Return both twins of every kernel by stem, compiled (None in a pure process) and pure.

    For what compares the two, such as ``python -m godropbox``; a pure twin that is not in use is
    imported here.
    """
    native = _chosen if IMPLEMENTATION == "native" else [None] * len(KERNELS)
    return dict(zip(KERNELS, zip(native, _load("_py"), strict=True), strict=True))


def _uncompiled() -> list[str]:
    """Return the names in ``MODULES`` that have no compiled form, without importing them."""
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    return [
        name
        for name in MODULES
        if not any(os.path.exists(os.path.join(root, *name.split(".")) + end) for end in suffixes)
    ]


def _choose(wanted: str) -> tuple[str, str, list[ModuleType]]:
    """Return the implementation's name, why it was chosen, and its kernels."""
    if wanted not in ("auto", "native", "pure"):
        raise ValueError(f"GODROPBOX_IMPL must be auto, native or pure, got {wanted!r}")
    if wanted == "pure":
        return "pure", "GODROPBOX_IMPL=pure asks for it", _load("_py")
    cause: ImportError | None = None
    try:
        kernels = _load("_c")
    except ImportError as error:
        missing = str(error)
        cause = error
    else:
        uncompiled = _uncompiled()
        if not uncompiled:
            asked = wanted == "native"
            reason = "GODROPBOX_IMPL=native asks for it" if asked else "every compiled module loads"
            return "native", reason, kernels
        missing = f"No compiled form of {', '.join(uncompiled)}"
    if wanted == "native":
        raise ImportError(
            f"GODROPBOX_IMPL=native, but a compiled module is missing: {missing}"
        ) from cause
    return "pure", f"a compiled module is missing: {missing}", _load("_py")


IMPLEMENTATION, REASON, _chosen = _choose(os.environ.get("GODROPBOX_IMPL", "auto"))
if IMPLEMENTATION == "pure":
    sys.meta_path.insert(0, _SourceOnly)

if TYPE_CHECKING:
    from . import batch_py as batch
    from . import hash2_py as hash2
    from . import murmur3_py as murmur3
    from . import placement_py as placement
    from . import sqltext_py as sqltext
    from . import stack_py as stack
    from . import transport_py as transport
    from . import wire_py as wire
    from . import wire_request_py as wire_request
else:
    globals().update(zip(KERNELS, _chosen, strict=True))
