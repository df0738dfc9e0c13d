"""The hot paths, and the one place that chooses between compiled and pure Python.

``GODROPBOX_IMPL`` is read here, once: ``native`` raises where the compiled library is missing,
``pure`` leaves it alone, ``auto`` (the default) takes it if it loads. It holds every compiled
module, so the whole package is native or the whole package is pure, never a mixture.

Every kernel is a pair of modules with one stem, ``hash2_c`` and ``hash2_py``; the chosen one is
an attribute here under the stem, imported when it is first read: SQL needs none of memcached's, and
the other way round. Modules in Cython's pure-Python mode, which are one file compiled or not, need
no twin. ``_compiled`` lists both.
"""

import importlib
import importlib.machinery
import os
import sys
from types import ModuleType

from ._compiled import KERNELS, LIBRARY, MODULES

__all__ = [
    "IMPLEMENTATION",
    "KERNELS",
    "MODULES",
    "REASON",
    "batch",
    "binlog",
    "hash2",
    "lasting",
    "murmur3",
    "oihash",
    "pairs",
    "pipeline",
    "placement",
    "sqltext",
    "stack",
    "transport",
    "wire",
    "wire_request",
]

TYPE_CHECKING = False  # not typing's: that module takes longer to import than the kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class _FromLibrary:
    """A finder that gives the compiled modules, which are all in the one library (PEP 489)."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._names = {*MODULES, *(f"{__name__}.{stem}_c" for stem in KERNELS)}

    def find_spec(
        self, fullname: str, path: "Sequence[str] | None" = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._names:
            return None
        loader = importlib.machinery.ExtensionFileLoader(fullname, self._path)
        return importlib.machinery.ModuleSpec(fullname, loader, origin=self._path)


def _load(suffix: str) -> list[ModuleType]:
    return [importlib.import_module(f"{__name__}.{stem}{suffix}") for stem in KERNELS]


def pairs() -> dict[str, tuple[ModuleType | None, ModuleType]]:
    """Return both twins of every kernel by stem, compiled (None in a pure process) and pure.

    For what compares the two, such as ``python -m godropbox``; a pure twin that is not in use is
    imported here.
    """
    native = _load("_c") if IMPLEMENTATION == "native" else [None] * len(KERNELS)
    return dict(zip(KERNELS, zip(native, _load("_py"), strict=True), strict=True))


def _choose(wanted: str) -> tuple[str, str]:
    """Return the implementation's name, and why it was chosen."""
    if wanted not in ("auto", "native", "pure"):
        raise ValueError(f"GODROPBOX_IMPL must be auto, native or pure, got {wanted!r}")
    if wanted == "pure":
        return "pure", "GODROPBOX_IMPL=pure asks for it"
    try:
        library = importlib.import_module(LIBRARY)
    except ImportError as error:
        if wanted == "native":
            raise ImportError(
                f"GODROPBOX_IMPL=native, but the compiled library is missing: {error}"
            ) from error
        return "pure", f"the compiled library is missing: {error}"
    sys.meta_path.insert(0, _FromLibrary(str(library.__file__)))
    asked = wanted == "native"
    reason = "GODROPBOX_IMPL=native asks for it" if asked else "the compiled library loads"
    return "native", reason


IMPLEMENTATION, REASON = _choose(os.environ.get("GODROPBOX_IMPL", "auto"))

if TYPE_CHECKING:
    from . import batch_py as batch
    from . import binlog_py as binlog
    from . import hash2_py as hash2
    from . import lasting_py as lasting
    from . import murmur3_py as murmur3
    from . import oihash_py as oihash
    from . import pipeline_py as pipeline
    from . import placement_py as placement
    from . import sqltext_py as sqltext
    from . import stack_py as stack
    from . import transport_py as transport
    from . import wire_py as wire
    from . import wire_request_py as wire_request
else:

    def __getattr__(name: str) -> ModuleType:
        if name not in KERNELS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        suffix = "_c" if IMPLEMENTATION == "native" else "_py"
        module = importlib.import_module(f"{__name__}.{name}{suffix}")
        if not getattr(sys, "_is_gil_enabled", lambda: True)():
            _make_lasting(module, importlib.import_module(f"{__name__}.lasting{suffix}").lasting)
        globals()[name] = module  # the same one if another thread is here, too
        return module

    def _make_lasting(kernel: ModuleType, lasting: "Callable[[object], object]") -> None:
        """Have threads count no references to a kernel, nor wait for those who do."""
        for found in (kernel, *vars(kernel).values()):
            if type(found).__name__ in ("builtin_function_or_method", "module", "type"):
                lasting(found)
