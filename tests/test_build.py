"""Building: what GODROPBOX_BUILD asks for, what it says, and what the wheels and the sdist hold.

Every build runs on a clean copy of the tree, by the back end that pip itself would call.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import godropbox
from godropbox import _kernels

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
KEPT_OUT = ("__pycache__", ".*", "build", "dist", "out", "*.egg-info", "*.so", "*.pyd")

needs_cc = pytest.mark.skipif(
    sys.platform == "win32", reason="MSVC is found in the registry: CC cannot take it away"
)
on_cpython = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="the compiled package is for CPython"
)


def _copy(where: Path) -> Path:
    shutil.copytree(ROOT, where, ignore=shutil.ignore_patterns(*KEPT_OUT))
    return where


def _build(
    tree: Path, what: str, before: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GODROPBOX_")}
    code = f"{before}from setuptools.build_meta import {what}; print({what}('dist'))"
    (tree / "dist").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | settings,
        cwd=tree,
        capture_output=True,
        text=True,
    )


def _built(tree: Path, what: str, **settings: str) -> tuple[Path, str]:
    """Return the file that was built and what the build said on standard error."""
    done = _build(tree, what, **settings)
    assert done.returncode == 0, done.stderr
    return tree / "dist" / done.stdout.splitlines()[-1], done.stderr


def _inside(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def _sources() -> set[str]:
    found = [
        path for path in (ROOT / "godropbox").rglob("*") if path.suffix in (".html", ".py", ".pyi")
    ]
    return {path.relative_to(ROOT).as_posix() for path in found} | {"godropbox/py.typed"}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = _copy(tmp_path_factory.mktemp("sdist") / "tree")
    return _built(tree, "build_sdist", GODROPBOX_BUILD="pure")[0]


@pytest.fixture
def unpacked(sdist: Path, tmp_path: Path) -> Path:
    with tarfile.open(sdist) as archive:
        # Python 3.11.2, which Debian 12 has, knows no filters yet.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path)
    return tmp_path / sdist.name.removesuffix(".tar.gz")


def test_the_sdist_holds_the_sources_and_nothing_generated(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    tracked = [
        path
        for pattern in (
            "csrc/*.[ch]",
            "godropbox/**/*.p[xy]*",
            "tests/**/*.[ch]",
            "tests/**/*.py",
            "docs/*.md",
        )
        for path in ROOT.glob(pattern)
        if path.suffix not in (".pyc", ".pyd")
    ]
    expected = {path.relative_to(ROOT).as_posix() for path in tracked}
    assert {"csrc/hash2.c", "godropbox/_kernels/hash2_c.pyx", "tests/csrc/test_hash2.c"} <= expected
    expected |= {"LICENSE", "README.md", "pyproject.toml", "setup.py", "tests/vectors/hash2.csv"}
    assert expected - names == set()
    generated = re.compile(r"(build|dist)/.*|godropbox/.*\.c|.*\.(so|pyd|pyc|o)")
    assert [name for name in names if generated.fullmatch(name)] == []


@on_cpython
def test_an_sdist_made_with_a_compiler_holds_the_same(sdist: Path, tmp_path: Path) -> None:
    other, _ = _built(_copy(tmp_path / "tree"), "build_sdist", GODROPBOX_BUILD="native")
    listed = []
    for path in (sdist, other):
        with tarfile.open(path) as archive:
            listed.append(sorted(archive.getnames()))
    assert listed[0] == listed[1]


def test_pure_builds_a_wheel_for_every_python(unpacked: Path) -> None:
    wheel, _ = _built(unpacked, "build_wheel", GODROPBOX_BUILD="pure")
    assert wheel.name == f"godropbox-{godropbox.__version__}-py3-none-any.whl"
    assert _inside(wheel) == _sources()


@on_cpython
def test_native_builds_one_library_out_of_the_sdist(unpacked: Path) -> None:
    wheel, said = _built(unpacked, "build_wheel", GODROPBOX_BUILD="native")
    assert f"-cp{sys.version_info[0]}{sys.version_info[1]}-" in wheel.name
    end = sysconfig.get_config_var("EXT_SUFFIX")
    assert _inside(wheel) == _sources() | {f"godropbox/_native{end}"}
    counted = [line for line in said.splitlines() if line.startswith("build: ")]
    total = len(_kernels.KERNELS) + len(_kernels.MODULES) + 1
    assert counted == [f"build: {count} of {total} compiled" for count in range(1, total + 1)]


@on_cpython
def test_a_build_stops_at_the_first_module_that_fails(unpacked: Path) -> None:
    with (unpacked / "godropbox" / "_kernels" / "batch_c.pyx").open("a", encoding="utf-8") as file:
        file.write("cdef int (\n")
    done = _build(unpacked, "build_wheel", GODROPBOX_BUILD="native")
    assert done.returncode != 0
    assert "batch_c.pyx" in done.stderr
    total = len(_kernels.KERNELS) + len(_kernels.MODULES) + 1
    # What was begun on other cores is brought to its end.
    assert done.stderr.count("build: ") < min(total, 1 + 2 * (os.cpu_count() or 1))


@needs_cc
@on_cpython
def test_auto_without_a_compiler_builds_the_pure_package_and_says_so(unpacked: Path) -> None:
    wheel, said = _built(unpacked, "build_wheel", CC="/bin/false")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert _inside(wheel) == _sources()
    lines = [line for line in said.splitlines() if "compiler" in line]
    assert lines == ["godropbox: no working C compiler, so the pure package is built"]


# Run before the build, which then takes the interpreter for another one.
AS_PYPY = "import sys; sys.implementation.name = 'pypy'; "


def test_auto_builds_the_pure_package_for_pypy_and_says_so(unpacked: Path) -> None:
    done = _build(unpacked, "build_wheel", AS_PYPY)
    assert done.stdout.splitlines()[-1].endswith("-py3-none-any.whl")
    lines = [line for line in done.stderr.splitlines() if line.startswith("godropbox: ")]
    assert lines == ["godropbox: not on CPython, so the pure package is built"]


def test_native_for_pypy_fails_and_says_why(unpacked: Path) -> None:
    done = _build(unpacked, "build_wheel", AS_PYPY, GODROPBOX_BUILD="native")
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == (
        "GODROPBOX_BUILD must be auto or pure: "
        "the compiled package is for CPython, and this is pypy"
    )


@needs_cc
@on_cpython
def test_native_without_a_compiler_fails(unpacked: Path) -> None:
    done = _build(unpacked, "build_wheel", CC="/bin/false", GODROPBOX_BUILD="native")
    assert done.returncode != 0
    assert "/bin/false" in done.stderr
    assert list((unpacked / "dist").glob("*.whl")) == []


@pytest.mark.parametrize("value", ["fast", ""])
def test_an_unknown_build_fails_with_the_value(unpacked: Path, value: str) -> None:
    done = _build(unpacked, "build_wheel", GODROPBOX_BUILD=value)
    assert done.returncode != 0
    expected = f"GODROPBOX_BUILD must be auto, native or pure, got {value!r}"
    assert done.stderr.splitlines()[-1] == expected


def test_the_version_is_said_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == godropbox.__version__
    assert f"## {godropbox.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert project["dependencies"] == []


def _programs(path: Path) -> set[str]:
    """Return the programs a file looks for or starts by a name that it writes down.

    The package stands for a program where the file says which one brings it.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="which") | ast.Name(id="which"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                found.add(name)
            case ast.Call(
                func=ast.Name(id="_program"), args=[_, ast.Constant(value=str(package)), *_]
            ):
                found.add(package)
            case (
                ast.Assign(
                    targets=[ast.Name(id="command")],
                    value=ast.List(elts=[ast.Constant(value=str(name)), *_]),
                )
                | ast.Call(
                    func=ast.Attribute(value=ast.Name(id="subprocess")),
                    args=[ast.List(elts=[ast.Constant(value=str(name)), *_]), *_],
                )
            ):
                found.add(name)
    return found


@pytest.mark.parametrize(
    ("folder", "some"),
    [("tests", {"openssl", "saslpasswd2", "mariadb-server"}), ("bench", {"memcached"})],
)
def test_every_program_that_is_started_is_installed_by_the_command(
    folder: str, some: set[str]
) -> None:
    started = set().union(*map(_programs, (ROOT / folder).rglob("*.py")))
    assert some <= started
    command = (ROOT / folder / "run").read_text("utf-8")
    installed = {
        name
        for line in re.findall(r"^ *need_(?:command|server) +(.+)$", command, re.MULTILINE)
        for name in line.split()
    }
    # bash runs the command itself, with cp; Linux reads /proc where other systems are asked.
    assert started - installed - {"bash", "cp", "ps", "tasklist"} == set()


@pytest.mark.skipif(sys.platform == "win32", reason="the two commands are for bash")
def test_the_commands_say_how_far_a_build_is() -> None:
    lines = "".join(f"  build: {count} of 47 compiled\n" for count in range(1, 48))
    code = '. .ci/setup.sh; counting printf %s "$1"'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code, "bash", f"warning: old\n{lines}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "==> build: 47 of 47 compiled\n")


@pytest.mark.skipif(sys.platform == "win32", reason="the two commands are for bash")
def test_a_build_that_fails_shows_the_end_of_its_log() -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", ". .ci/setup.sh; counting sh -c 'seq 50; exit 3'"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3
    assert done.stderr.splitlines() == [str(line) for line in range(11, 51)]
