"""The compiled extensions, declared; everything else about the package is in pyproject.toml.

``GODROPBOX_BUILD`` says what to build: ``native`` fails without a compiler, ``pure`` compiles
nothing, ``auto`` (the default) compiles where it can and otherwise says so in one line.
"""

import os
import runpy
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, PlatformError

# What is compiled, read without importing the package.
COMPILED = runpy.run_path("godropbox/_kernels/_compiled.py")

# What the compiled modules have in common of Cython's own code, once instead of in each.
SHARED = "godropbox._cython_shared"

DIRECTIVES = {
    "language_level": 3,
    "freethreading_compatible": True,
    "annotation_typing": False,
    "binding": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",
    "boundscheck": False,
    "wraparound": False,
}


def can_compile() -> bool:
    """Tell whether a C file that includes Python.h compiles here."""
    from setuptools._distutils import ccompiler, sysconfig  # what build_ext itself compiles with

    try:
        compiler = ccompiler.new_compiler()
        sysconfig.customize_compiler(compiler)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text("#include <Python.h>\n")
            includes = [sysconfig.get_python_inc(), sysconfig.get_python_inc(plat_specific=True)]
            compiler.compile([str(source)], output_dir=folder, include_dirs=includes)
    except (CCompilerError, PlatformError, OSError):
        return False
    return True


class BuildInParallel(build_ext):
    """Translate and compile extensions on every core that this process may use; count them."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            allowed = getattr(os, "sched_getaffinity", None)  # macOS and Windows have none
            self.parallel = len(allowed(0)) if allowed else os.cpu_count() or 1
        self.cython = threading.Lock()

    def run(self) -> None:
        for archive in Path(self.build_temp).glob("*godropbox_csrc.*"):
            archive.unlink()  # ar keeps the objects of sources that are gone
        self.run_command("build_clib")  # `setup.py build_ext` alone does not
        super().run()

    def build_extensions(self) -> None:
        with ThreadPoolExecutor(self.parallel) as pool:
            builds = [pool.submit(self.build_extension, ext) for ext in self.extensions]
            for count, build in enumerate(as_completed(builds), 1):
                try:
                    build.result()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
                print(f"build: {count} of {len(builds)} compiled", file=sys.stderr, flush=True)

    def build_extension(self, ext: Extension) -> None:
        from Cython.Build import cythonize

        # One thread translates, as Cython wants it, while the others wait for their C compilers.
        with self.cython:
            [made] = cythonize(
                [ext],
                build_dir="build",
                compiler_directives=DIRECTIVES,
                shared_utility_qualified_name=SHARED,
                quiet=True,
            )
        ext.sources, ext.depends = made.sources, made.depends
        super().build_extension(ext)


def to_build() -> dict[str, Any]:
    """Return what to compile, nothing for a pure package."""
    wanted = os.environ.get("GODROPBOX_BUILD", "auto")
    if wanted not in ("auto", "native", "pure"):
        raise SystemExit(f"GODROPBOX_BUILD must be auto, native or pure, got {wanted!r}")
    if wanted == "pure":
        return {}
    if wanted == "auto" and not can_compile():
        print("godropbox: no working C compiler, so the pure package is built", file=sys.stderr)
        return {}
    # No debug sections, which are four fifths of a wheel that has them.
    unix_flags = ["-std=c11", "-O3", "-g0", "-fvisibility=hidden"]
    flags = ["/std:c11", "/O2"] if sys.platform == "win32" else unix_flags
    sources, headers = (sorted(map(str, Path("csrc").glob(end))) for end in ("*.c", "*.h"))
    kernels = [
        Extension(
            f"godropbox._kernels.{stem}_c",
            [f"godropbox/_kernels/{stem}_c.pyx"],
            include_dirs=["csrc"],
            depends=sources + headers,
            extra_compile_args=flags,
        )
        for stem in COMPILED["KERNELS"]
    ]
    modules = [
        Extension(name, [name.replace(".", "/") + ".py"], extra_compile_args=flags)
        for name in COMPILED["MODULES"]
    ]
    shared = Extension(SHARED, [f"build/{SHARED.replace('.', '/')}.c"], extra_compile_args=flags)
    csrc = {
        "sources": sources,
        "obj_deps": {"": headers},
        "include_dirs": ["csrc"],
        "cflags": flags,
    }
    return {
        "libraries": [("godropbox_csrc", csrc)],
        "ext_modules": [shared, *kernels, *modules],
        "cmdclass": {"build_ext": BuildInParallel},
    }


setup(**to_build())
