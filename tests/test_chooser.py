"""The chooser: native or pure, all of it or none, and why. Every case is a fresh process.

Processes run on a copy of the installed package, from which compiled modules can be taken away.
What is expected follows from what is installed, so that a pure installation is tested too.
"""

import importlib.machinery
import os
import platform
import re
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


def _compiled(package: Path, stem: str) -> list[Path]:
    ends = importlib.machinery.EXTENSION_SUFFIXES
    return [p for end in ends if (p := package / "_kernels" / f"{stem}_c{end}").exists()]


HAS_NATIVE = all(_compiled(INSTALLED, stem) for stem in _kernels.KERNELS)
BEST = "native" if HAS_NATIVE else "pure"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the installed package, in a folder of its own."""
    copy = tmp_path / "godropbox"
    shutil.copytree(INSTALLED, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def _run(package: Path, code: str = TOLD, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GODROPBOX_")}
    return subprocess.run(
        [sys.executable, "-c", f"import godropbox as g, godropbox._kernels as k; {code}"],
        env=kept | settings | {"PYTHONPATH": str(package.parent)},
        cwd=package.parent,
        capture_output=True,
        text=True,
    )


def _told(package: Path, **settings: str) -> list[str]:
    done = _run(package, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _raised(package: Path, **settings: str) -> str:
    done = _run(package, **settings)
    assert done.returncode == 1, done.stdout
    return done.stderr.splitlines()[-1]


def _missing(package: Path) -> str:
    """Return the reason that names the first compiled module that is not there."""
    stem = next(stem for stem in _kernels.KERNELS if not _compiled(package, stem))
    return f"No module named 'godropbox._kernels.{stem}_c'"


def _remove(package: Path, stem: str) -> None:
    for path in _compiled(package, stem):
        path.unlink()


@pytest.mark.parametrize("settings", [{}, {"GODROPBOX_IMPL": "auto"}])
def test_auto_is_native_where_every_compiled_module_is_there(
    package: Path, settings: dict[str, str]
) -> None:
    implementation, _, module, reason = _told(package, **settings)
    assert implementation == BEST
    assert module == f"godropbox._kernels.hash2_{'c' if HAS_NATIVE else 'py'}"
    if HAS_NATIVE:
        assert reason == "every compiled module loads"
    else:
        assert reason == f"a compiled module is missing: {_missing(package)}"


def test_pure_is_pure_though_compiled_modules_are_there(package: Path) -> None:
    assert _told(package, GODROPBOX_IMPL="pure") == [
        "pure",
        "none",
        "godropbox._kernels.hash2_py",
        "GODROPBOX_IMPL=pure asks for it",
    ]


def test_pure_loads_no_compiled_module(package: Path) -> None:
    code = "import sys; print([name for name in sys.modules if name.endswith('_c')])"
    done = _run(package, code, GODROPBOX_IMPL="pure")
    assert "godropbox" not in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("stem", _kernels.KERNELS)
def test_one_compiled_module_missing_makes_all_of_it_pure(package: Path, stem: str) -> None:
    _remove(package, stem)
    implementation, simd, module, reason = _told(package)
    assert (implementation, simd, module) == ("pure", "none", "godropbox._kernels.hash2_py")
    assert reason == f"a compiled module is missing: {_missing(package)}"


@pytest.mark.parametrize("stem", _kernels.KERNELS)
def test_native_asked_for_and_missing_raises_and_says_what(package: Path, stem: str) -> None:
    _remove(package, stem)
    assert _raised(package, GODROPBOX_IMPL="native") == (
        f"ImportError: GODROPBOX_IMPL=native, but a compiled module is missing: {_missing(package)}"
    )


def test_native_asked_for_and_there(package: Path) -> None:
    if HAS_NATIVE:
        assert _told(package, GODROPBOX_IMPL="native")[3] == "GODROPBOX_IMPL=native asks for it"
    else:
        assert _missing(package) in _raised(package, GODROPBOX_IMPL="native")


@pytest.mark.parametrize("value", ["fast", "", "Native"])
def test_an_unknown_implementation_raises(package: Path, value: str) -> None:
    expected = f"ValueError: GODROPBOX_IMPL must be auto, native or pure, got {value!r}"
    assert _raised(package, GODROPBOX_IMPL=value) == expected


def test_a_compiled_module_that_does_not_load_counts_as_missing(package: Path) -> None:
    _remove(package, "hash2")
    (package / "_kernels" / f"hash2_c{SUFFIX}").write_bytes(b"no library")
    implementation, _, _, reason = _told(package)
    assert implementation == "pure"
    assert reason.startswith("a compiled module is missing: ")


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


@pytest.fixture
def package_with_module(package: Path) -> Path:
    """The copy with one pure-Python-mode module, whose compiled form is no library at all."""
    compiled = package / "_kernels" / "_compiled.py"
    text, count = re.subn(
        r"(?m)^(MODULES\b[^=]*= )\([^)]*\)",
        r'\1("godropbox.made_up",)',
        compiled.read_text("utf-8"),
    )
    assert count == 1
    compiled.write_text(text, "utf-8")
    (package / "made_up.py").write_text("FORM = 'source'\n", "utf-8")
    (package / f"made_up{SUFFIX}").write_bytes(b"no library")
    return package


FORM = "import godropbox.made_up as m; print(m.FORM, m.__file__.endswith('made_up.py'))"


def test_pure_loads_the_source_of_a_module_past_its_compiled_form(
    package_with_module: Path,
) -> None:
    done = _run(package_with_module, FORM, GODROPBOX_IMPL="pure")
    assert done.stdout == "source True\n", done.stderr


def test_native_loads_the_compiled_form_of_a_module(package_with_module: Path) -> None:
    done = _run(package_with_module, FORM, GODROPBOX_IMPL=BEST)
    if HAS_NATIVE:  # the compiled form is tried, and found to be no library
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("ImportError: ")
        assert "made_up" in done.stderr.splitlines()[-1]
    else:
        assert done.stdout == "source True\n", done.stderr


def test_a_module_without_a_compiled_form_makes_all_of_it_pure(package_with_module: Path) -> None:
    (package_with_module / f"made_up{SUFFIX}").unlink()
    missing = (
        "No compiled form of godropbox.made_up" if HAS_NATIVE else _missing(package_with_module)
    )
    implementation, _, _, reason = _told(package_with_module)
    assert (implementation, reason) == ("pure", f"a compiled module is missing: {missing}")
    assert _raised(package_with_module, GODROPBOX_IMPL="native") == (
        f"ImportError: GODROPBOX_IMPL=native, but a compiled module is missing: {missing}"
    )


EVERYTHING = """
import importlib, pkgutil, sys
sys.modules["cython"] = sys.modules["Cython"] = None  # so that importing either fails
import godropbox
for each in pkgutil.walk_packages(godropbox.__path__, "godropbox."):
    if not each.name.endswith(("_c", "__main__")):
        importlib.import_module(each.name)
print(godropbox.IMPLEMENTATION)
"""


def test_nothing_needs_cython_when_it_runs() -> None:
    done = subprocess.run([sys.executable, "-c", EVERYTHING], capture_output=True, text=True)
    assert done.stdout.strip() == godropbox.IMPLEMENTATION, done.stderr
