"""Type checkers report every wrong use, and no right one.

The uses are in files that end in `_uses.txt`: no `.py`, so that nobody's own check of the
tests stumbles over what is wrong on purpose.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
COMMANDS = {
    "mypy": ["mypy", "--strict", "--no-error-summary", "--follow-imports=silent"],
    "pyright": ["pyright", "--pythonpath", sys.executable],
}


@pytest.mark.parametrize(
    ("uses", "count"),
    [("sqlbuilder", 72), ("cached", 23), ("client", 38), ("queries", 21), ("results", 23)],
)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_wrong_uses_are_reported(checker: str, uses: str, count: int, tmp_path: Path) -> None:
    if importlib.util.find_spec(checker) is None:
        pytest.fail(f"{checker} is not installed: pip install mypy 'pyright[nodejs]'")
    text = (FOLDER / f"{uses}_uses.txt").read_text(encoding="utf-8")
    file = tmp_path / "uses.py"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", *COMMANDS[checker], str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "" or done.returncode in (0, 1), done.stderr
    reported = {int(line) for line in re.findall(r"uses\.py:(\d+)[:\d]*.* error", done.stdout)}
    lines = list(enumerate(text.splitlines(), 1))
    wrong = {number for number, line in lines if line.endswith("# wrong")}
    assert len(wrong) == count
    if checker == "pyright":
        wrong |= {number for number, line in lines if line.endswith("# wrong for pyright")}
    assert reported == wrong, done.stdout
