"""The chooser: native or pure, all of it or none, and why. Every case is a fresh process.

Processes run on a copy of the installed package, from which the compiled library can be taken away.
What is expected follows from what is installed, so that a pure installation is tested too.
"""

import importlib.machinery
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import godropbox
from godropbox import _kernels

ROOT = Path(__file__).parent.parent
INSTALLED = Path(godropbox.__file__).parent
SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]
TOLD = "print(g.IMPLEMENTATION, k.hash2.SIMD, k.hash2.__name__, k.REASON, sep='\\n')"


def _library(package: Path) -> list[Path]:
    """Return the compiled library, none where only the pure package is installed."""
    ends = importlib.machinery.EXTENSION_SUFFIXES
    return [path for end in ends if (path := package / f"_native{end}").exists()]


HAS_NATIVE = bool(_library(INSTALLED))
BEST = "native" if HAS_NATIVE else "pure"
MISSING = "No module named 'godropbox._native'"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the installed package, in a folder of its own."""
    copy = tmp_path / "godropbox"
    shutil.copytree(INSTALLED, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def _run(package: Path, code: str = TOLD, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GODROPBOX_")}
    return subprocess.run(
        [sys.executable, "-c", f"import godropbox as g, godropbox._kernels as k\n{code}"],
        env=kept | settings | {"PYTHONPATH": str(package.parent)},
        cwd=package.parent,
        capture_output=True,
        text=True,
    )


def _told(package: Path, code: str = TOLD, **settings: str) -> list[str]:
    done = _run(package, code, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _raised(package: Path, **settings: str) -> str:
    done = _run(package, **settings)
    assert done.returncode == 1, done.stdout
    return done.stderr.splitlines()[-1]


def _remove(package: Path) -> None:
    for path in _library(package):
        path.unlink()


@pytest.mark.parametrize("settings", [{}, {"GODROPBOX_IMPL": "auto"}])
def test_auto_is_native_where_the_compiled_library_is_there(
    package: Path, settings: dict[str, str]
) -> None:
    implementation, _, module, reason = _told(package, **settings)
    assert implementation == BEST
    assert module == f"godropbox._kernels.hash2_{'c' if HAS_NATIVE else 'py'}"
    if HAS_NATIVE:
        assert reason == "the compiled library loads"
    else:
        assert reason == f"the compiled library is missing: {MISSING}"


def test_pure_is_pure_though_the_compiled_library_is_there(package: Path) -> None:
    assert _told(package, GODROPBOX_IMPL="pure") == [
        "pure",
        "none",
        "godropbox._kernels.hash2_py",
        "GODROPBOX_IMPL=pure asks for it",
    ]


FILES = """
import importlib, sys
from pathlib import Path
names = [*k.MODULES, *(getattr(k, stem).__name__ for stem in k.KERNELS)]
for name in names:
    importlib.import_module(name)
print(*sorted({Path(sys.modules[name].__file__).name for name in names}))
print("godropbox._native" in sys.modules)
"""


def test_pure_loads_sources_and_leaves_the_library_alone(package: Path) -> None:
    *_, files, native = _told(package, FILES, GODROPBOX_IMPL="pure")
    assert {Path(name).suffix for name in files.split()} == {".py"}
    assert native == "False"


def test_native_loads_every_compiled_module_from_the_library(package: Path) -> None:
    *_, files, native = _told(package, FILES)
    if HAS_NATIVE:
        assert files.split() == [path.name for path in _library(package)]
    assert native == str(HAS_NATIVE)


@pytest.mark.parametrize("wanted", [BEST, "pure"])
def test_sql_loads_neither_the_kernels_of_memcached_nor_typing(package: Path, wanted: str) -> None:
    code = (
        "import sys; before = set(sys.modules); import godropbox.database.sqlbuilder\n"
        "kernels = [n for n in sys.modules if n.startswith(k.__name__ + '.')]\n"
        "print(*[n for n in kernels if n.endswith(('_c', '_py'))])\n"
        "print('typing' in set(sys.modules) - before, k.wire.__name__)"
    )
    end = "c" if wanted == "native" else "py"
    loaded, typing = _told(package, code, GODROPBOX_IMPL=wanted)
    assert set(loaded.split()) == {
        f"godropbox._kernels.{stem}_{end}" for stem in ("lasting", "sqltext")
    }
    assert typing == f"False godropbox._kernels.wire_{end}"


def test_without_the_library_all_of_it_is_pure(package: Path) -> None:
    _remove(package)
    implementation, simd, module, reason = _told(package)
    assert (implementation, simd, module) == ("pure", "none", "godropbox._kernels.hash2_py")
    assert reason == f"the compiled library is missing: {MISSING}"


def test_native_asked_for_and_missing_raises_and_says_what(package: Path) -> None:
    _remove(package)
    assert _raised(package, GODROPBOX_IMPL="native") == (
        f"ImportError: GODROPBOX_IMPL=native, but the compiled library is missing: {MISSING}"
    )


def test_native_asked_for_and_there(package: Path) -> None:
    if HAS_NATIVE:
        assert _told(package, GODROPBOX_IMPL="native")[3] == "GODROPBOX_IMPL=native asks for it"
    else:
        assert MISSING in _raised(package, GODROPBOX_IMPL="native")


@pytest.mark.parametrize("value", ["fast", "", "Native"])
def test_an_unknown_implementation_raises(package: Path, value: str) -> None:
    expected = f"ValueError: GODROPBOX_IMPL must be auto, native or pure, got {value!r}"
    assert _raised(package, GODROPBOX_IMPL=value) == expected


def test_a_library_that_does_not_load_counts_as_missing(package: Path) -> None:
    _remove(package)
    (package / f"_native{SUFFIX}").write_bytes(b"no library")
    implementation, _, _, reason = _told(package)
    assert implementation == "pure"
    assert reason.startswith("the compiled library is missing: ")
    assert "_native" in _raised(package, GODROPBOX_IMPL="native")


IS_ARM = platform.machine().lower() in ("aarch64", "arm64")


def test_the_portable_path_can_be_forced(package: Path) -> None:
    expected = "portable" if HAS_NATIVE else "none"
    assert _told(package, GODROPBOX_SIMD="portable")[1] == expected


def test_auto_takes_a_path_that_can_be_forced(package: Path) -> None:
    simd = _told(package, GODROPBOX_SIMD="auto")[1]
    if HAS_NATIVE:
        assert simd in ("neon",) if IS_ARM else ("portable", "avx2", "avx512")
        assert _told(package, GODROPBOX_SIMD=simd)[1] == simd
    else:
        assert simd == "none"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("sse9", "GODROPBOX_SIMD must be auto, portable, neon, avx2, avx512, got 'sse9'"),
        ("", "GODROPBOX_SIMD must be auto, portable, neon, avx2, avx512, got ''"),
        *(
            (other, f"GODROPBOX_SIMD={other}, but this machine does not run it")
            for other in (("avx2", "avx512") if IS_ARM else ("neon",))
        ),
    ],
)
def test_a_path_that_is_none_or_not_here_raises(package: Path, value: str, message: str) -> None:
    if HAS_NATIVE:
        assert _raised(package, GODROPBOX_SIMD=value) == f"ValueError: {message}"
    else:  # no vector instructions are used, so the variable has no reader
        assert _told(package, GODROPBOX_SIMD=value)[1] == "none"


def test_what_is_compiled_is_what_there_is_to_compile() -> None:
    """The build and the chooser read one list: no source that Cython takes is missing from it."""
    package = ROOT / "godropbox"
    kernels = {path.name.removesuffix("_c.pyx") for path in package.glob("_kernels/*_c.pyx")}
    assert set(_kernels.KERNELS) == kernels
    assert kernels <= set(_kernels.__all__)
    typed = {path for path in package.rglob("*.pxd") if path.with_suffix(".py").exists()}
    listed = {ROOT / (name.replace(".", "/") + ".pxd") for name in _kernels.MODULES}
    assert typed <= listed
    assert [path for path in listed if not path.with_suffix(".py").exists()] == []
    for names in (_kernels.KERNELS, _kernels.MODULES):
        assert list(names) == sorted(set(names))
    # One library finds a module's start by the last part of its name.
    last = [name.rpartition(".")[2] for name in _kernels.MODULES]
    last += [f"{stem}_c" for stem in _kernels.KERNELS]
    assert len(last) == len(set(last))


EVERYTHING = """
import importlib, pkgutil, sys
sys.modules["cython"] = sys.modules["Cython"] = None  # so that importing either fails
import godropbox
for each in pkgutil.walk_packages(godropbox.__path__, "godropbox."):
    if each.name.endswith(("_c", "__main__")):
        continue
    try:
        importlib.import_module(each.name)
    except ModuleNotFoundError as error:  # of a framework that is not installed
        if error.name.split(".")[0].lower() in ("cython", "godropbox"):
            raise
print(godropbox.IMPLEMENTATION)
"""


def test_nothing_needs_cython_when_it_runs() -> None:
    done = subprocess.run([sys.executable, "-c", EVERYTHING], capture_output=True, text=True)
    assert done.stdout.strip() == godropbox.IMPLEMENTATION, done.stderr
