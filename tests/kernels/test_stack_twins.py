"""The two forms of the stack kernel see the same stacks and refuse the same arguments."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from conftest import twins
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.memory import COUNTS_REFERENCES

pytestmark = pytest.mark.once

# A busy machine is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

STACKS = twins("stack")
KERNELS = pytest.mark.parametrize("stack", STACKS)


def deep(n: int, make: Callable[[], Any]) -> Any:
    return deep(n - 1, make) if n else make()


def expected() -> tuple[list[object], list[int]]:
    """Return the caller's stack by frame objects, innermost first."""
    codes: list[object] = []
    positions = []
    frame = sys._getframe(1)
    while frame is not None:
        codes.append(frame.f_code)
        positions.append(frame.f_lasti)
        frame = frame.f_back  # type: ignore[assignment]  # None ends the loop
    return codes, positions


def parts(raw: tuple[Any, ...]) -> tuple[list[object], list[int]]:
    return list(raw[:-1]), memoryview(raw[-1]).cast("i").tolist()


@KERNELS
def test_capture_sees_what_frame_objects_see(stack: ModuleType) -> None:
    def both() -> tuple[Any, Any, Any]:
        return expected(), stack.capture(), stack.StackedError("m")._stack

    frames, captured, kept = deep(20, both)
    codes, positions = parts(captured)
    assert codes == frames[0]
    assert positions[1:] == frames[1][1:]  # the innermost function has gone on in between
    assert parts(kept)[0] == frames[0]
    assert parts(kept)[1][1:] == frames[1][1:]


@KERNELS
@UNHURRIED
@given(skip=st.integers(0, 400), limit=st.integers(0, 400))
def test_skip_and_limit(stack: ModuleType, skip: int, limit: int) -> None:
    whole, cut = deep(150, lambda: (stack.capture(0, 10_000), stack.capture(skip, limit)))
    assert parts(cut)[0] == parts(whole)[0][skip : skip + limit]
    assert parts(cut)[1][1:] == parts(whole)[1][skip : skip + limit][1:]


@KERNELS
@pytest.mark.parametrize(
    ("args", "kind", "words"),
    [
        ((-1,), ValueError, "skip must be an int in [0, 2**32), got -1"),
        ((1 << 32,), ValueError, "skip must be an int in [0, 2**32), got 4294967296"),
        ((0, "9"), TypeError, "limit must be an int in [0, 2**32), got '9' (str)"),
        ((0, 1.0), TypeError, "limit must be an int in [0, 2**32), got 1.0 (float)"),
    ],
)
def test_arguments(stack: ModuleType, args: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as caught:
        stack.capture(*args)
    assert str(caught.value) == words


@KERNELS
def test_what_an_error_holds(stack: ModuleType) -> None:
    cause = KeyError()
    error = stack.StackedError("m", cause=cause, a=1)
    assert error.args == ("m",)
    assert error.__cause__ is cause
    assert set(vars(error)) == {"_stack", "_error_fields"}
    assert error._error_fields == {"a": 1}
    assert set(vars(stack.StackedError("m"))) == {"_stack"}
    for args, cause_ in [((), None), ((5,), None), (("m", "n"), None), (("m",), "x")]:
        with pytest.raises(TypeError):
            stack.StackedError(*args, cause=cause_)


@KERNELS
def test_bases_that_lay_out_the_object(stack: ModuleType) -> None:
    def init(self: Any, path: str) -> None:
        stack.StackedError.__init__(self, f"no {path}")

    cls = type("NotThereError", (stack.StackedError, FileNotFoundError), {"__init__": init})
    error = deep(2, lambda: cls("a"))
    assert error.args == ("no a",)
    names = [code.co_name for code in error._stack[:-1]]
    assert names[:5] == ["<lambda>", "deep", "deep", "deep", "test_bases_that_lay_out_the_object"]
    assert len(parts(error._stack)[1]) == len(names)


@KERNELS
@pytest.mark.skipif(not COUNTS_REFERENCES, reason="PyPy counts no references")
def test_capturing_leaks_no_references(stack: ModuleType) -> None:
    cls = type("NotThereError", (stack.StackedError, FileNotFoundError), {})
    code = deep.__code__
    before = sys.getrefcount(code)
    for _ in range(10):
        deep(5, lambda: (stack.StackedError("m", a=1), stack.capture(), stack.capture(2, 500)))
        deep(5, lambda: cls("m"))
    assert sys.getrefcount(code) == before
