"""The command ``tests/wheels``: builds what a release holds, checks each file, and tries it.

The sdist is built first, and everything else out of it. Each wheel is checked by the tools that the
release workflow runs, installed into an environment that has nothing else, and tried there by
``wheel_trial.py``. Pythons of a Debian root (``tests/pythons --keep FOLDER``) are used inside it.
A wheel that an earlier run built of the same sources is not built again, so that a run may be ended
and taken up.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent.parent
TRIAL = Path(__file__).with_name("wheel_trial.py")
OUT = ROOT / "build" / "wheels"
DOCUMENT = ROOT / "docs" / "releases.md"
BEGIN, END = "<!-- tests/wheels writes: -->", "<!-- until here -->"
IN_ROOT = "/tmp/godropbox-wheels"
TOOLS = Path(sys.executable).parent


def say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)


def run(command: Sequence[str | Path], folder: Path = ROOT, **settings: str) -> str:
    """Run a command; return what it printed, or end with that if it fails."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GODROPBOX_")}
    kept.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=kept | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = "\n".join(done.stdout.splitlines()[-40:])
        raise SystemExit(f"{lines}\nerror: this failed: {' '.join(map(str, command))}")
    return done.stdout


@dataclass(frozen=True)
class Interpreter:
    """A Python of this machine, or of the Debian root at `root`."""

    program: str
    root: Path | None = None

    @property
    def folder(self) -> Path:
        """Where its files are, as this machine sees them."""
        return OUT if self.root is None else Path(f"{self.root}{IN_ROOT}")

    def seen(self, path: Path) -> str:
        """Return a path in `folder` as the interpreter sees it."""
        return str(path) if self.root is None else f"{IN_ROOT}/{path.relative_to(self.folder)}"

    def run(self, command: Sequence[str], **settings: str) -> str:
        """Run a command where the interpreter is."""
        if self.root is None:
            return run(command, OUT, **settings)
        self.folder.mkdir(exist_ok=True)
        reach = re.compile("(https?_proxy|no_proxy|(PIP|SSL|REQUESTS)_[A-Z_]+)", re.IGNORECASE)
        kept = {name: text for name, text in os.environ.items() if reach.fullmatch(name)}
        kept |= {"HOME": "/root", "LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        words = [f"{name}={text}" for name, text in (kept | settings).items()]
        line = 'cd "$0" && exec "$@"'
        chroot = ["chroot", str(self.root), "env", "-i", *words, "sh", "-c", line, IN_ROOT]
        return run([*chroot, *command])

    def environment(self, name: str) -> str:
        """Make an empty environment; return its Python."""
        where = self.folder / name
        shutil.rmtree(where, ignore_errors=True)
        self.run([self.program, "-m", "venv", self.seen(where)])
        return f"{self.seen(where)}/bin/python"

    def tag(self) -> str:
        """Return what wheels call it, such as cp314t."""
        code = (
            "import sys, sysconfig; print({'cpython': 'cp', 'pypy': 'pp'}[sys.implementation.name]"
            " + '%d%d' % sys.version_info[:2]"
            " + ('t' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''))"
        )
        return self.run([self.program, "-c", code]).split()[-1]


@dataclass(frozen=True)
class Row:
    """What the table says of one file."""

    name: str
    size: int
    installed: int | None
    library: int | None
    platform: str
    tried: str


def build_sdist() -> Path:
    """Build the sdist, and again out of itself; return the first."""
    say("sdist")
    for old in [*OUT.glob("*.tar.gz"), OUT / "unpacked", OUT / "again"]:
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    run([sys.executable, "-m", "build", "--sdist", "--outdir", OUT])
    [sdist] = OUT.glob("*.tar.gz")
    say("the sdist out of itself")
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(OUT / "unpacked")
    [tree] = (OUT / "unpacked").iterdir()
    run([sys.executable, "-m", "build", "--sdist", "--outdir", OUT / "again"], tree)
    [again] = (OUT / "again").iterdir()
    first, second = _held(sdist), _held(again)
    if first != second:
        differ = sorted(
            name for name in first.keys() | second.keys() if first.get(name) != second.get(name)
        )
        raise SystemExit(f"error: the sdist that is built out of the sdist differs: {differ}")
    _forget_others(first)
    return sdist


def _forget_others(held: dict[str, bytes]) -> None:
    """Remove the wheels of an earlier run, unless they were made of what this sdist holds."""
    made_of = hashlib.sha256()
    for name in sorted(held):
        if re.match(r"[^/]+/(godropbox|csrc|setup\.py|pyproject\.toml|README\.md|LICENSE)\b", name):
            made_of.update(f"{name} {hashlib.sha256(held[name]).hexdigest()}\n".encode())
    stamp = OUT / "made-of"
    if not stamp.exists() or stamp.read_text() != made_of.hexdigest():
        for wheel in OUT.glob("*.whl"):
            wheel.unlink()
        stamp.write_text(made_of.hexdigest())


def _held(sdist: Path) -> dict[str, bytes]:
    """Return the files of an sdist, and what is in them.

    Not the list of sources, to which a second build adds the setup.cfg that the first one wrote.
    """
    with tarfile.open(sdist) as archive:
        files = [each for each in archive.getmembers() if each.isfile()]
        files = [each for each in files if not each.name.endswith("/SOURCES.txt")]
        return {each.name: getattr(archive.extractfile(each), "read", bytes)() for each in files}


def build_wheel(of: Interpreter, sdist: Path, kind: str) -> Path:
    """Build a wheel out of the sdist; return it with the platform tag that PyPI takes."""
    tag = "none" if kind == "pure" else of.tag()
    for old in OUT.glob("*.whl"):
        if old.name.split("-")[3] == tag:
            say(f"{old.name} is of an earlier run")
            return old
    made = of.folder / "made"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    source = Path(shutil.copy(sdist, made))
    python = of.environment("builder")
    command = [python, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-cache-dir", "--wheel-dir", of.seen(made), of.seen(source)]
    compiler = {"CC": os.environ["CC"]} if "CC" in os.environ and of.root is None else {}
    of.run(command, GODROPBOX_BUILD=kind, **compiler)
    [wheel] = made.glob("*.whl")
    if kind == "pure":
        return Path(shutil.copy(wheel, OUT))
    repaired = OUT / "repaired"
    shutil.rmtree(repaired, ignore_errors=True)
    program: list[str | Path] = [TOOLS / "auditwheel", "repair", "--wheel-dir", repaired, wheel]
    run(program, PATH=f"{TOOLS}:{os.environ['PATH']}")
    [found] = repaired.glob("*.whl")
    return Path(shutil.copy(found, OUT))


def check(wheel: Path) -> str:
    """Run the release's checks of a wheel; return the platform that auditwheel says it is for."""
    run([TOOLS / "twine", "check", "--strict", wheel])
    run([TOOLS / "check-wheel-contents", "--config", ROOT / "pyproject.toml", wheel])
    if "abi3" in wheel.name:
        run([TOOLS / "abi3audit", "--strict", "--report", wheel])
    libraries = list(_libraries(wheel))
    if wheel.name.endswith("-none-any.whl"):
        if libraries:
            raise SystemExit(f"error: the pure wheel has {libraries}")
        return "any"
    if len(libraries) != 1:
        raise SystemExit(f"error: {wheel.name} must have one library, and has {libraries}")
    for name, data in libraries:
        check_stripped(name, data)
    shown = run([TOOLS / "auditwheel", "show", wheel])
    found = re.search(r'platform\s+tag:\s+"(\w+)"', " ".join(shown.split()))
    if found is None:
        raise SystemExit(f"error: auditwheel tells no platform of {wheel.name}: {shown}")
    return found[1]


def check_elsewhere(wheel: Path) -> str:
    """Check what can be checked of another system's wheel; return the platform in its name."""
    run([TOOLS / "twine", "check", "--strict", wheel])
    run([TOOLS / "check-wheel-contents", "--config", ROOT / "pyproject.toml", wheel])
    return wheel.stem.rpartition("-")[2]


def check_stripped(name: str, data: bytes) -> None:
    """Raise ``SystemExit`` if a library has debug sections or a table of symbols left."""
    library = OUT / "library.so"
    library.write_bytes(data)
    sections = re.findall(r"\]\s+(\.[\w.]+)", run(["readelf", "-SW", library]))
    library.unlink()
    left = [each for each in sections if each == ".symtab" or each.startswith(".debug")]
    if not sections or left:
        raise SystemExit(f"error: {name} is not stripped: it has {left or 'no sections'}")


def _libraries(wheel: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith((".so", ".pyd")):
                yield name, archive.read(name)


def try_out(of: Interpreter, wheel: Path, kind: str) -> str:
    """Install a wheel into an empty environment and try it there; return what it said."""
    here = of.folder / "trial"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(parents=True)
    python = of.environment("trial/env")
    local = Path(shutil.copy(wheel, here))
    script = Path(shutil.copy(TRIAL, here))
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    of.run([*install, "--no-index", of.seen(local)])
    return of.run([python, "-I", of.seen(script), kind], GODROPBOX_IMPL=kind).strip()


def _interpreters(options: argparse.Namespace) -> Iterator[Interpreter]:
    for name in options.pythons:
        program = shutil.which(name)
        if program is None:
            raise SystemExit(f"error: PYTHON must be an interpreter, got {name!r}")
        yield Interpreter(program)
    for name in options.root_python:
        yield Interpreter(name, options.root)


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """Build, check and try everything; yield a row for each file."""
    OUT.mkdir(parents=True, exist_ok=True)
    sdist = build_sdist()
    run([TOOLS / "twine", "check", "--strict", sdist])
    yield Row(sdist.name, sdist.stat().st_size, None, None, "any", "builds itself, and the rest")
    every = list(_interpreters(options))
    say("the pure wheel")
    pure = build_wheel(Interpreter(sys.executable), sdist, "pure")
    yield _row(pure, [(each.tag(), each, "pure") for each in every])
    for each in every:
        tag = each.tag()
        if not tag.startswith("cp"):
            continue
        say(f"the wheel for {tag}")
        wheel = build_wheel(each, sdist, "native")
        yield _row(wheel, [(tag, each, "native")])


def _row(wheel: Path, trials: list[tuple[str, Interpreter, str]]) -> Row:
    is_ours = wheel.name.endswith("-none-any.whl") or "linux" in wheel.name
    platform = check(wheel) if is_ours else check_elsewhere(wheel)
    tried = []
    for tag, interpreter, kind in trials:
        say(f"try {wheel.name} on {tag}")
        said = try_out(interpreter, wheel, kind)
        say(said)
        tried.append(tag if len(trials) > 1 else said)
    with zipfile.ZipFile(wheel) as archive:
        installed = sum(each.file_size for each in archive.infolist())
    library = sum(len(data) for _, data in _libraries(wheel)) or None
    return Row(wheel.name, wheel.stat().st_size, installed, library, platform, ", ".join(tried))


def checked(folder: Path) -> Iterator[Row]:
    """Check files that were built elsewhere, all that a release has; yield a row for each."""
    OUT.mkdir(parents=True, exist_ok=True)
    files = sorted(folder.iterdir())
    kinds = [each.name.endswith(end) for end in (".tar.gz", "-none-any.whl") for each in files]
    if sum(kinds) != 2 or any(each.suffix not in (".whl", ".gz") for each in files):
        names = ", ".join(each.name for each in files)
        raise SystemExit(f"error: {folder} must have an sdist, a pure wheel, and wheels: {names}")
    for each in files:
        if each.suffix == ".gz":
            run([TOOLS / "twine", "check", "--strict", each])
            yield Row(each.name, each.stat().st_size, None, None, "any", "")
        else:
            yield _row(each, [])


def write_sbom(wheel: Path, path: Path) -> None:
    """Write, as CycloneDX, what an environment has that has a wheel alone."""
    here = Interpreter(sys.executable)
    OUT.mkdir(parents=True, exist_ok=True)
    python = here.environment("sbom")
    install: list[str | Path] = [python, "-m", "pip", "install", "-q", "--no-index"]
    run([*install, "--disable-pip-version-check", wheel.resolve()])
    run([python, "-m", "pip", "uninstall", "-q", "-y", "setuptools", "pip"])
    path.parent.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [TOOLS / "cyclonedx-py", "environment"]
    command += ["--pyproject", ROOT / "pyproject.toml"]
    command += [
        "--mc-type",
        "library",
        "--output-reproducible",
        "--of",
        "JSON",
        "-o",
        path.resolve(),
    ]
    run([*command, python])


def table(found: Sequence[Row]) -> str:
    """Return the rows as a table of Markdown."""

    def kib(size: int | None) -> str:
        return "" if size is None else f"{size / 1024:,.0f}"

    lines = ["| file | KiB | installed, KiB | its library, KiB | platform | tried |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for row in found:
        sizes = " | ".join(map(kib, (row.size, row.installed, row.library)))
        lines.append(f"| `{row.name}` | {sizes} | {row.platform} | {row.tried} |")
    return "\n".join(lines)


def write(text: str) -> None:
    """Put the table into its place in the documents."""
    before, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"error: {DOCUMENT} has no place for the table")
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tests/wheels",
        description="Build the sdist, a compiled wheel for each Python, and the pure wheel; check "
        "each as a release is checked, install it into an empty environment, and try it there.",
        epilog="The files are left in build/wheels. CC names another compiler.",
    )
    parser.add_argument(
        "pythons",
        nargs="*",
        metavar="PYTHON",
        default=["python3"],
        help="interpreters of this machine, by name or path; python3 unless named",
    )
    parser.add_argument(
        "--root",
        type=Path,
        help="a mounted Debian root, as tests/pythons --keep leaves one; chroot needs root",
    )
    parser.add_argument(
        "--root-python",
        action="append",
        default=[],
        metavar="NAME",
        help="an interpreter of it, such as python3.14; may be repeated",
    )
    parser.add_argument("--write", action="store_true", help="write the table of docs/releases.md")
    parser.add_argument(
        "--check", type=Path, metavar="FOLDER", help="only check the files there, and build nothing"
    )
    parser.add_argument(
        "--sbom",
        type=Path,
        metavar="FILE",
        help="write what the pure wheel is made of, as CycloneDX",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Build, check and try what the arguments say; print the table."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.check:
        print(table(list(checked(options.check))))
        if options.sbom:
            write_sbom(next(options.check.glob("*-none-any.whl")), options.sbom)
        return 0
    if bool(options.root) != bool(options.root_python):
        parser.error("--root and --root-python go together")
    found = []
    for row in rows(options):
        found.append(row)
        text = table(found)
        if options.write:
            write(text)
    print(text)
    if options.sbom:
        write_sbom(next(OUT.glob("*-none-any.whl")), options.sbom)
    return 0


if __name__ == "__main__":
    sys.exit(main())
