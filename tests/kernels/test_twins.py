"""Twins look alike from outside: the same names, signatures and docstrings.

The docstring lives in the pure twin; the compiled one repeats it, for ``help()``, and is held to
it here. Types are the stubs' affair, which stubtest holds to the compiled modules.
"""

import importlib
import inspect
from types import ModuleType

import pytest
from conftest import twins

from godropbox import _kernels


def _functions(module: ModuleType) -> dict[str, object]:
    """Return a twin's functions; what the pure one has no way to do is None there."""
    lower = {name: getattr(module, name) for name in module.__all__ if name.islower()}
    return {name: function for name, function in lower.items() if callable(function)}


def _classes(module: ModuleType) -> dict[str, set[str]]:
    """Return the public names of each class of a twin."""
    classes = {name: getattr(module, name) for name in module.__all__}
    return {
        name: {each for each in dir(kind) if not each.startswith("_")}
        for name, kind in classes.items()
        if isinstance(kind, type)
    }


def _signature(function: object) -> list[tuple[str, object, object]]:
    assert callable(function)
    parameters = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default) for each in parameters]


@pytest.mark.parametrize("stem", _kernels.KERNELS)
def test_names_signatures_and_docstrings_agree(stem: str) -> None:
    pure = importlib.import_module(f"godropbox._kernels.{stem}_py")
    for twin in twins(stem):
        assert twin.__all__ == pure.__all__
        expected = _functions(pure)
        assert expected or _classes(pure)
        for name, names in _classes(twin).items():  # what C alone calls has no name in Python
            assert names
            assert names <= _classes(pure)[name]
        for name in expected:
            function = getattr(twin, name)
            assert _signature(function) == _signature(expected[name]), name
            assert inspect.getdoc(function) == inspect.getdoc(expected[name]), name
            assert inspect.getdoc(function), name


@pytest.mark.parametrize("stem", _kernels.KERNELS)
def test_the_chosen_twin_is_the_one_that_was_asked_for(stem: str) -> None:
    suffix = "_c" if _kernels.IMPLEMENTATION == "native" else "_py"
    assert getattr(_kernels, stem).__name__ == f"godropbox._kernels.{stem}{suffix}"


def test_pairs_holds_every_kernel_and_no_compiled_one_in_a_pure_process() -> None:
    pairs = _kernels.pairs()
    assert tuple(pairs) == _kernels.KERNELS
    for stem, (native, pure) in pairs.items():
        assert pure.__name__ == f"godropbox._kernels.{stem}_py"
        assert (native is None) == (_kernels.IMPLEMENTATION == "pure")
        assert native is None or native is getattr(_kernels, stem)
