"""Type checkers find nothing wrong in the examples of asyncio, and in the documents' programs."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from support.documents import ROOT, programs

pytestmark = pytest.mark.once

COMMAND = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]


def test_mypy_finds_nothing(tmp_path: Path) -> None:
    if importlib.util.find_spec("mypy") is None:
        pytest.fail("mypy is not installed: pip install mypy")
    files = [ROOT / "examples" / name for name in ("asyncio_cache.py", "fastapi_app.py")]
    for name, (program, _) in programs().items():
        files.append(tmp_path / f"{name.replace('-', '_')}.py")
        files[-1].write_text(program, encoding="utf-8")
    done = subprocess.run(
        [*COMMAND, "--follow-imports=silent", *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
