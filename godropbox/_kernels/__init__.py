"""The hot paths, and the one place that chooses between compiled and pure Python.

``GODROPBOX_IMPL`` is read here, once: ``native`` raises where a compiled module is missing,
``pure`` uses none, ``auto`` (the default) takes the compiled ones if every one of them loads.
What is chosen holds for the whole package: all native or all pure, never a mixture.

Every kernel is a pair of modules with one stem, ``hash2_c`` and ``hash2_py``; the chosen one is
an attribute here under the stem. Modules in Cython's pure-Python mode, which are one file
compiled or not, are listed in ``MODULES``.
"""

import importlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Final

__all__ = [
    "IMPLEMENTATION",
    "KERNELS",
    "MODULES",
    "REASON",
    "hash2",
    "murmur3",
    "sqltext",
    "stack",
    "wire",
    "wire_request",
]

KERNELS: Final = ("hash2", "murmur3", "sqltext", "stack", "wire", "wire_request")
MODULES: Final[tuple[str, ...]] = (
    "godropbox.memcache.ascii",
    "godropbox.memcache.binary",
    "godropbox.memcache.clients",
    "godropbox.memcache.exchange",
    "godropbox.memcache.meta",
    "godropbox.memcache.protocol",
    "godropbox.memcache.raw",
    "godropbox.memcache.responses",
)


class _SourceOnly:
    """A finder that gives the Python source of ``MODULES``, past any compiled form beside it."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
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
    try:
        kernels = _load("_c")
    except ImportError as error:
        missing, cause = str(error), error
    else:
        uncompiled = _uncompiled()
        if not uncompiled:
            asked = wanted == "native"
            reason = "GODROPBOX_IMPL=native asks for it" if asked else "every compiled module loads"
            return "native", reason, kernels
        missing, cause = f"No compiled form of {', '.join(uncompiled)}", None
    if wanted == "native":
        raise ImportError(
            f"GODROPBOX_IMPL=native, but a compiled module is missing: {missing}"
        ) from cause
    return "pure", f"a compiled module is missing: {missing}", _load("_py")


IMPLEMENTATION, REASON, _chosen = _choose(os.environ.get("GODROPBOX_IMPL", "auto"))
if IMPLEMENTATION == "pure":
    sys.meta_path.insert(0, _SourceOnly)

if TYPE_CHECKING:
    from . import hash2_py as hash2
    from . import murmur3_py as murmur3
    from . import sqltext_py as sqltext
    from . import stack_py as stack
    from . import wire_py as wire
    from . import wire_request_py as wire_request
else:
    globals().update(zip(KERNELS, _chosen, strict=True))
