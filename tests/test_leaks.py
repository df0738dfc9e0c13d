"""The short form of the leak check: resident memory stays flat, for every path in its table.

It runs in a fresh process, where no memory that other tests left free could hide a leak.
"""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import leaks
import pytest
from leaks import CALLS, CASES, Case, fails

import godropbox
from godropbox import hash2, murmur3

# Where a process of its own finds the package that is tested here, and the tests' own modules.
FOLDERS = os.pathsep.join(
    str(folder) for folder in (Path(godropbox.__file__).parent.parent, Path(leaks.__file__).parent)
)

countable = pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="PyPy frees memory, and compiles, when it likes"
)


@pytest.fixture(scope="module")
def verdicts() -> dict[str, str]:
    """What the command says of each case: its line, by the case's name."""
    done = subprocess.run(
        [sys.executable, leaks.__file__, "--calls", str(CALLS)],
        env=os.environ | {"PYTHONPATH": FOLDERS, "GODROPBOX_IMPL": godropbox.IMPLEMENTATION},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return {line[:64].rstrip(): line for line in done.stdout.splitlines()[1:]}


@countable
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_memory_stays_flat(case: Case, verdicts: dict[str, str]) -> None:
    assert verdicts[case.name].endswith(" flat")


LEAK = """
import leaks
held = []
print(leaks.growth(lambda: held.append(bytes(2000)), 10_000) > leaks.ALLOWED)
"""


@countable
def test_a_leak_is_seen() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAK],
        env=os.environ | {"PYTHONPATH": FOLDERS},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "True\n", done.stderr


def test_a_case_that_should_fail_and_does_not_is_seen() -> None:
    with pytest.raises(AssertionError, match=r"consistent_hash\(1, 2\): ValueError is not raised"):
        fails(ValueError, hash2.consistent_hash, 1, 2).call()


@pytest.mark.parametrize("module", [hash2, murmur3], ids=lambda module: module.__name__)
def test_every_public_function_has_a_case(module: ModuleType) -> None:
    names = [name for name in module.__all__ if inspect.isroutine(getattr(module, name))]
    assert names
    for name in names:
        assert any(case.name.startswith(name) for case in CASES), name


def test_no_two_cases_have_one_name() -> None:
    assert len({case.name[:64] for case in CASES}) == len(CASES)
    assert max(len(case.name) for case in CASES) <= 64
