"""The compiled library, declared; everything else about the package is in pyproject.toml,
but for the long description, which is README with its links made absolute.

``GODROPBOX_BUILD`` says what to build: ``native`` fails without a compiler, ``pure`` compiles
nothing, ``auto`` (the default) compiles where it can and otherwise says so in one line. Only for
CPython: PyPy's own compiler gains more than its emulation of CPython's C API leaves.
"""

import os
import re
import runpy
import sys
import tempfile
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, PlatformError
from setuptools.modified import newer_group

# What is compiled, read without importing the package.
COMPILED = runpy.run_path("godropbox/_kernels/_compiled.py")

DIRECTIVES = {
    "language_level": 3,
    "freethreading_compatible": True,
    "annotation_typing": False,
    "boundscheck": False,
    "wraparound": False,
}
# Functions with signatures and annotations for ``inspect`` and ``help``, where users see them; one
# is called in 4 ns more, and takes half a kilobyte. Elsewhere plain ones of C.
SEEN = {"binding": True, "embedsignature": False}
UNSEEN = {"binding": False, "embedsignature": True, "embedsignature.format": "clinic"}
# What the C files of modules are made from besides their sources.
MAKERS = ["setup.py", "godropbox/_kernels/_compiled.py"]


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


def long_description() -> str:
    """Return README with absolute links: of docs/ to the site, others to the repository."""
    urls = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    site, files = urls["Documentation"], urls["Repository"] + "/blob/main/"

    def absolute(match: re.Match[str]) -> str:
        path, part = match[1], match[2] or ""
        if page := re.fullmatch(r"docs/(.+)\.md", path):
            return f"]({site}{page[1]}/{part})"
        return f"]({site}{path[5:]})" if path.startswith("docs/img/") else f"]({files}{path}{part})"

    text = Path("README.md").read_text(encoding="utf-8")
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)  # the marks of figures
    return re.sub(r"\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)", absolute, text)


class Library(Extension):
    """The one extension, and the modules that are linked to make it."""

    def __init__(self, name: str, modules: list[Extension], **options: Any) -> None:
        super().__init__(name, [], **options)
        self.modules = modules


class BuildLibrary(build_ext):
    """Compile the modules on every core that this process may use, and link them to one library.

    Cython's own code, which modules would otherwise each carry, is in there once. So are the
    headers and tables of a library, and an import opens one file.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            allowed = getattr(os, "sched_getaffinity", None)  # macOS and Windows have none
            self.parallel = len(allowed(0)) if allowed else os.cpu_count() or 1
        self.cython = threading.Lock()

    def run(self) -> None:
        self.run_command("build_clib")  # `setup.py build_ext` alone does not
        super().run()

    def build_extensions(self) -> None:
        [library] = self.extensions
        with ThreadPoolExecutor(self.parallel) as pool:
            builds = [pool.submit(self.build_module, module) for module in library.modules]
            for count, build in enumerate(as_completed(builds), 1):
                try:
                    build.result()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
                print(f"build: {count} of {len(builds)} compiled", file=sys.stderr, flush=True)
        library.extra_objects = [build.result() for build in builds]
        library.depends += library.extra_objects
        self.build_extension(library)

    def build_module(self, module: Extension) -> str:
        """Return a module's object file, made anew if anything that it is made from is newer."""
        from Cython.Build import cythonize

        kind = SEEN if module.name in COMPILED["SEEN"] else UNSEEN
        translated = Path("build", *module.sources).with_suffix(".c")
        # One thread translates, as Cython wants it, while the others wait for their C compilers.
        with self.cython:
            [made] = cythonize(
                [module],
                build_dir="build",
                compiler_directives=DIRECTIVES | kind,
                force=newer_group(MAKERS, str(translated), "newer"),
                shared_utility_qualified_name=COMPILED["LIBRARY"],
                quiet=True,
            )
        [found] = self.compiler.object_filenames(made.sources, output_dir=self.build_temp)
        if self.force or newer_group([*made.sources, *made.depends], found, "newer"):
            self.compiler.compile(
                made.sources,
                output_dir=self.build_temp,
                include_dirs=made.include_dirs,
                extra_postargs=made.extra_compile_args,
                depends=made.depends,
            )
        return str(found)


class BuildKernels(build_clib):
    """Compile csrc to one static library."""

    def run(self) -> None:
        for archive in Path(self.build_clib).glob("*godropbox_csrc.*"):
            archive.unlink()  # ar keeps the objects of sources that are gone
        super().run()


def to_build() -> dict[str, Any]:
    """Return what to compile, nothing for a pure package."""
    wanted = os.environ.get("GODROPBOX_BUILD", "auto")
    if wanted not in ("auto", "native", "pure"):
        raise SystemExit(f"GODROPBOX_BUILD must be auto, native or pure, got {wanted!r}")
    if wanted == "pure":
        return {}
    if sys.implementation.name != "cpython":
        if wanted == "native":
            raise SystemExit(
                "GODROPBOX_BUILD must be auto or pure: the compiled package is for CPython, "
                f"and this is {sys.implementation.name}"
            )
        print("godropbox: not on CPython, so the pure package is built", file=sys.stderr)
        return {}
    if wanted == "auto" and not can_compile():
        print("godropbox: no working C compiler, so the pure package is built", file=sys.stderr)
        return {}
    # No debug sections or symbols, which are five sixths of a wheel that has them. -O3 gives loops
    # over bytes what they are for, and a query 3 %; other modules of objects it only makes larger.
    # What newer compilers refuse by themselves, older ones shall, too.
    refused = ["-Werror=incompatible-pointer-types", "-Werror=int-conversion"]
    unix_flags = ["-std=c11", "-g0", "-fvisibility=hidden", *refused]
    # The code of errors away from the rest saves a query a quarter of its misses in the cache of
    # instructions.
    cold = ["-include", "csrc/cython_cold.h"]
    fast, small = [*unix_flags, *cold, "-O3"], [*unix_flags, *cold, "-O2"]
    smallest = [*unix_flags, *cold, "-Os"]
    plain = [*unix_flags, "-O3"]
    if sys.platform == "win32":
        plain = fast = small = smallest = ["/std:c11", "/O2"]
    sources, headers = (sorted(map(str, Path("csrc").glob(end))) for end in ("*.c", "*.h"))
    kernels = [
        Extension(
            f"godropbox._kernels.{stem}_c",
            [f"godropbox/_kernels/{stem}_c.pyx"],
            include_dirs=["csrc"],
            depends=headers,
            extra_compile_args=fast,
        )
        for stem in COMPILED["KERNELS"]
    ]

    def flags(name: str) -> list[str]:
        if name in COMPILED["SMALLEST"]:
            return smallest
        return fast if ".sqlbuilder." in name else small

    modules = [
        Extension(
            name,
            [name.replace(".", "/") + ".py"],
            include_dirs=["csrc"],
            depends=headers,
            extra_compile_args=flags(name),
        )
        for name in COMPILED["MODULES"]
    ]
    name = COMPILED["LIBRARY"]
    shared = Extension(name, [f"build/{name.replace('.', '/')}.c"], extra_compile_args=small)
    library = Library(
        name,
        [shared, *kernels, *modules],
        depends=sources,
        extra_link_args=["-Wl,-s"] if sys.platform == "linux" else [],
    )
    csrc = {
        "sources": sources,
        "obj_deps": {"": headers},
        "include_dirs": ["csrc"],
        "cflags": plain,
    }
    return {
        "libraries": [("godropbox_csrc", csrc)],
        "ext_modules": [library],
        "cmdclass": {"build_clib": BuildKernels, "build_ext": BuildLibrary},
    }


setup(
    long_description=long_description(),
    long_description_content_type="text/markdown",
    **to_build(),
)
