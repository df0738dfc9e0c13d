"""Fixtures and the header that every test run shows."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

import godropbox
from godropbox import _kernels

VECTORS = Path(__file__).parent / "vectors"


def pytest_report_header() -> str:
    return f"godropbox {godropbox.__version__}: {godropbox.IMPLEMENTATION}, {_kernels.REASON}"


def twins(stem: str) -> list[ModuleType]:
    """Return the forms of a kernel that this run compares: both, or the pure one alone."""
    suffixes = ("_c", "_py") if godropbox.IMPLEMENTATION == "native" else ("_py",)
    return [importlib.import_module(f"godropbox._kernels.{stem}{end}") for end in suffixes]


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of the golden vectors recorded from the Go library."""
    return VECTORS
