"""Prints what the package costs before it does anything: its size, and an import's time and memory.

Run as ``python -P bench/footprint.py``. An import is measured in new processes, in turn with those
of its peers, and the least of each counts: milliseconds of processor time, and the growth of
resident memory over the bare interpreter, which Linux alone tells. With ``--build`` the package of
this tree is built from source in a copy, without a compiler cache, for the wheel's size and the
processor time of the build.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

# Last, so that an installed package comes before the one in the tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import godropbox

ROOT = Path(__file__).resolve().parent.parent
PEERS = (
    "godropbox.memcache",
    "pymemcache",
    "pylibmc",
    "godropbox.database.sqlbuilder",
    "sqlalchemy",
    "pypika",
)
ROUNDS = 15
CODE = """
import sys, time
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])
pages, start = resident(), time.process_time()
import {module}
print(time.process_time() - start, resident() - pages)
"""


def imported(module: str) -> tuple[float, int]:
    """Return the seconds of processor time and the pages of memory that an import takes."""
    # The first run writes bytecode for the others.
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    paths = [str(Path(godropbox.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE.format(module=module)],
        env=kept | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, pages = done.stdout.split()
    return float(seconds), int(pages)


def print_imports() -> None:
    """Print a line for this package and for each peer that is installed."""
    found = [name for name in PEERS if find_spec(name.partition(".")[0])]
    runs = [[imported(name) for name in found] for _ in range(ROUNDS)]
    page = os.sysconf("SC_PAGE_SIZE")
    for name, measured in zip(found, zip(*runs, strict=True), strict=True):
        milliseconds = min(seconds for seconds, _ in measured) * 1e3
        megabytes = min(pages for _, pages in measured) * page / 1e6
        print(f"import {name}: {milliseconds:.1f} ms, {megabytes:.1f} MB")


def print_installed() -> None:
    """Print the size of the package as a wheel installs it."""
    package = Path(godropbox.__file__).parent
    kinds = {".py", ".pyi", ".typed", ".so", ".pyd"}
    files = [path for path in package.rglob("*") if path.suffix in kinds]
    compiled = [path for path in files if path.suffix in (".so", ".pyd")]
    size, part = (sum(path.stat().st_size for path in some) for some in (files, compiled))
    print(f"installed: {size / 1e6:.2f} MB, {part / 1e6:.2f} MB of it in {len(compiled)} libraries")


def print_build() -> None:
    """Build the package as ``pip install .`` does; print the wheel's size and the time it took."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        out = ("__pycache__", ".*", "build", "dist", "out", "*.egg-info", "*.so", "*.pyd")
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*out))
        before, start = os.times(), time.monotonic()
        subprocess.run(
            [sys.executable, "-c", "import setuptools.build_meta as b; b.build_wheel('dist')"],
            cwd=tree,
            env=os.environ | {"GODROPBOX_BUILD": "native"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        after, seconds = os.times(), time.monotonic() - start
        used = after.children_user + after.children_system
        used -= before.children_user + before.children_system
        [wheel] = tree.glob("dist/*.whl")
        print(f"wheel: {wheel.stat().st_size / 1e6:.2f} MB")
        print(f"build: {used:.0f} s of processor time, {seconds:.0f} s in all")


def main() -> None:
    """Print everything, a line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--build", action="store_true", help="build the package, too")
    given = parser.parse_args()
    print_installed()
    print_imports()
    if given.build:
        print_build()


if __name__ == "__main__":
    main()
