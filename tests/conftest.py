"""Fixtures, the header that every test run shows, and what happens where a library is missing.

A missing library is an error, unless ``GODROPBOX_MISSING=skip`` says that this Python may lack
some: then the tests that import it are skipped by its name.
"""

import gc
import importlib
import importlib.util
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings
from support.aio import LOOPS

import godropbox
from godropbox import _kernels

# A busy machine is no failure, and PyPy pauses to compile.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# A shell has what it runs in the background ignore this, and so would every program of a test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

VECTORS = Path(__file__).parent / "vectors"


def pytest_report_header() -> str:
    return f"godropbox {godropbox.__version__}: {godropbox.IMPLEMENTATION}, {_kernels.REASON}"


def _skip_missing(error: BaseException | None) -> None:
    """Skip what raised `error` if that is a library that may be missing."""
    while error is not None and not isinstance(error, ModuleNotFoundError):
        error = error.__cause__
    if error is None or os.environ.get("GODROPBOX_MISSING") != "skip":
        return
    name = (error.name or "").partition(".")[0]
    if name not in {"", "godropbox", "support", *sys.stdlib_module_names}:
        pytest.skip(f"{name} is not installed", allow_module_level=True)


class _Module(pytest.Module):
    """A file of tests, skipped as a whole where it imports what may be missing."""

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        try:
            return list(super().collect())
        except Exception as error:
            _skip_missing(error)
            raise


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    module: pytest.Module = _Module.from_parent(parent, path=module_path)
    return module


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    try:
        yield
    except Exception as error:
        _skip_missing(error)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    try:
        yield
    except Exception as error:
        _skip_missing(error)
        raise


def is_second_run() -> bool:
    """Return whether this is the pure run where the compiled package is there, and has one too."""
    is_compiled = importlib.util.find_spec("godropbox._native") is not None
    return godropbox.IMPLEMENTATION == "pure" and is_compiled


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of the second run what the first ran in the same way, which is marked ``once``."""
    if is_second_run():
        again = [item for item in items if item.get_closest_marker("once")]
        config.hook.pytest_deselected(items=again)
        items[:] = [item for item in items if not item.get_closest_marker("once")]


def twins(stem: str) -> list[ModuleType]:
    """Return the forms of a kernel that this run compares: both, or the pure one alone."""
    suffixes = ("_c", "_py") if godropbox.IMPLEMENTATION == "native" else ("_py",)
    return [importlib.import_module(f"godropbox._kernels.{stem}{end}") for end in suffixes]


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of the golden vectors recorded from the Go library."""
    return VECTORS


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    """Every kind of event loop, by its name for ``support.aio.run``."""
    name: str = request.param
    return name


@pytest.fixture(autouse=True, scope="module")
def _frozen() -> None:
    """Have collections of garbage pass over what other files left: tests make thousands of them."""
    gc.collect()
    if hasattr(gc, "freeze"):  # PyPy has none
        gc.freeze()
