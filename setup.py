"""The compiled extensions, declared; everything else about the package is in pyproject.toml.

``GODROPBOX_BUILD`` says what to build: ``native`` fails without a compiler, ``pure`` compiles
nothing, ``auto`` (the default) compiles where it can and otherwise says so in one line.
"""

import os
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.errors import CCompilerError, PlatformError

# One row a kernel: its stem in godropbox/_kernels, and the C files of csrc that it wraps.
KERNELS = {
    "batch": [
        "wire.c",
        "wire_batch.c",
        "wire_binary.c",
        "wire_io.c",
        "wire_many.c",
        "wire_meta.c",
    ],
    "hash2": ["hash2.c", "hash2_avx2.c", "hash2_avx512.c", "hash2_neon.c", "simd.c"],
    "line": ["wire.c", "wire_binary.c", "wire_io.c", "wire_key.c", "wire_meta.c"],
    "murmur3": ["murmur3.c"],
    "placement": [
        "placement.c",
        "placement_digests.c",
        "hash2.c",
        "hash2_avx2.c",
        "hash2_avx512.c",
        "hash2_neon.c",
        "simd.c",
    ],
    "scatter": ["wire.c", "wire_binary.c", "wire_io.c", "wire_key.c", "wire_many.c", "wire_meta.c"],
    "sqltext": ["sqltext.c"],
    "stack": [],
    "wire": ["wire.c", "wire_binary.c", "wire_meta.c"],
    "wire_request": ["wire_key.c"],
}

# Pure-Python-mode modules, compiled as they stand.
MODULES = [
    "godropbox.caching.flight",
    "godropbox.caching.fresh",
    "godropbox.caching.layers",
    "godropbox.caching.local",
    "godropbox.database.sqlbuilder._base",
    "godropbox.database.sqlbuilder._clauses",
    "godropbox.database.sqlbuilder._columns",
    "godropbox.database.sqlbuilder._groups",
    "godropbox.database.sqlbuilder._nodes",
    "godropbox.database.sqlbuilder._prepared",
    "godropbox.database.sqlbuilder._render",
    "godropbox.database.sqlbuilder._selects",
    "godropbox.database.sqlbuilder._session",
    "godropbox.database.sqlbuilder._statement",
    "godropbox.database.sqlbuilder._tables",
    "godropbox.database.sqlbuilder._terms",
    "godropbox.database.sqlbuilder._unions",
    "godropbox.database.sqlbuilder._writes",
    "godropbox.memcache._errands",
    "godropbox.memcache._fleet",
    "godropbox.memcache._multi",
    "godropbox.memcache._quick",
    "godropbox.memcache.ascii",
    "godropbox.memcache.binary",
    "godropbox.memcache.client",
    "godropbox.memcache.clients",
    "godropbox.memcache.codec",
    "godropbox.memcache.connection",
    "godropbox.memcache.exchange",
    "godropbox.memcache.meta",
    "godropbox.memcache.protocol",
    "godropbox.memcache.raw",
    "godropbox.memcache.responses",
    "godropbox.memcache.scatter",
    "godropbox.memcache.sharded_client",
    "godropbox.resource_pool._ledger",
    "godropbox.resource_pool._simple",
]

DIRECTIVES = {
    "language_level": 3,
    "freethreading_compatible": True,
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


def extensions() -> list[Extension]:
    """Return the extensions to build, none for a pure package."""
    wanted = os.environ.get("GODROPBOX_BUILD", "auto")
    if wanted not in ("auto", "native", "pure"):
        raise SystemExit(f"GODROPBOX_BUILD must be auto, native or pure, got {wanted!r}")
    if wanted == "pure":
        return []
    if wanted == "auto" and not can_compile():
        print("godropbox: no working C compiler, so the pure package is built", file=sys.stderr)
        return []
    from Cython.Build import cythonize

    unix_flags = ["-std=c11", "-O3", "-fvisibility=hidden"]
    flags = ["/std:c11", "/O2"] if sys.platform == "win32" else unix_flags
    declared = [
        Extension(
            f"godropbox._kernels.{stem}_c",
            [f"godropbox/_kernels/{stem}_c.pyx", *(f"csrc/{name}" for name in sources)],
            include_dirs=["csrc"],
            depends=[str(path) for path in sorted(Path("csrc").glob("*.h"))],
            extra_compile_args=flags,
        )
        for stem, sources in KERNELS.items()
    ]
    declared += [
        Extension(name, [name.replace(".", "/") + ".py"], extra_compile_args=flags)
        for name in MODULES
    ]
    return list(cythonize(declared, build_dir="build", compiler_directives=DIRECTIVES))


setup(ext_modules=extensions())
