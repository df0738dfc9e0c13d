"""What the files of this folder share: another library's source, fetched, and its tests, run.

Each ``of_NAME.py`` is a program: with ``--requirements`` it prints what pip is to install, else it
runs that library's own tests over ours and exits with 1 unless exactly the tests it expects passed.
"""

import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

__all__ = ["Outcome", "asked_for_requirements", "run_pytest", "source"]


def asked_for_requirements(requirements: Sequence[str]) -> bool:
    """Print what to install, and return True, if that is what the program was started for."""
    if sys.argv[1:] != ["--requirements"]:
        return False
    print(*requirements, sep="\n")
    return True


@contextmanager
def source(requirement: str) -> Iterator[Path]:
    """Fetch the source distribution of ``name==version``; give the folder it unpacks to."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-build-isolation", "--no-binary", ":all:", "--dest", folder, requirement]
        subprocess.run(command, check=True)
        [archive] = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        [unpacked] = (path for path in Path(folder).iterdir() if path.is_dir())
        yield unpacked


class Outcome:
    """What came of a run of pytest: names of tests by what happened to them."""

    def __init__(self, report: Path) -> None:
        self.passed: list[str] = []
        self.failed: list[str] = []
        self.skipped: list[str] = []
        for case in ElementTree.parse(report).iter("testcase"):
            name = f"{case.get('classname')}::{case.get('name')}"
            kinds = {child.tag for child in case}
            if kinds & {"failure", "error"}:
                self.failed.append(name)
            elif "skipped" in kinds:
                self.skipped.append(name)
            else:
                self.passed.append(name)


def run_pytest(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> Outcome:
    """Run pytest in a folder, in a process of its own; return what came of it."""
    with tempfile.TemporaryDirectory() as kept:
        report = Path(kept, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += [f"--junitxml={report}", *arguments]
        subprocess.run(command, cwd=folder, env=environment, check=False)
        return Outcome(report)
