"""What a source file imports: Python read with ``ast``, Cython by its import lines.

Nothing is run and nothing is judged here; ``test_layers`` holds the rules.
"""

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Import", "modules", "python_imports", "pyx_imports", "strings", "tree_imports"]


@dataclass(frozen=True)
class Import:
    """One imported module, by its absolute name, and what is taken out of it (None: itself)."""

    module: str
    name: str | None = None


def modules(root: Path) -> dict[str, Path]:
    """Return every module of the package under `root`, by its dotted name."""
    found = {}
    for path in sorted(root.glob("godropbox/**/*.py*")):
        if path.suffix in (".py", ".pyx"):
            parts = list(path.relative_to(root).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _resolve(target: str, level: int, module: str, is_package: bool) -> str:
    """Return the absolute name of what ``from <level dots><target>`` names inside `module`."""
    if not level:
        return target
    parts = module.split(".") + ([""] if is_package else [])
    base = parts[: len(parts) - level]
    return ".".join([*base, target] if target else base)


def _taken(source: str, name: str, known: Collection[str]) -> Import:
    """Tell a submodule from a name: ``from a import b`` imports a.b where that is a module."""
    return Import(f"{source}.{name}") if f"{source}.{name}" in known else Import(source, name)


def python_imports(
    text: str, module: str, is_package: bool = False, known: Collection[str] = ()
) -> list[Import]:
    """Return every import of a Python source, those under TYPE_CHECKING and in functions too."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = _resolve(node.module or "", node.level, module, is_package)
            found += [_taken(source, alias.name, known) for alias in node.names]
    return found


_FROM = re.compile(r"^[ \t]*from[ \t]+(\.*)([\w.]*)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n#]+)", re.M)
_PLAIN = re.compile(r"^[ \t]*c?import[ \t]+([^\n#]+)", re.M)


def _listed(names: str) -> list[str]:
    lines = [line.partition("#")[0] for line in names.strip("()").splitlines()]
    return [name.split()[0] for name in " ".join(lines).split(",") if name.strip()]


def pyx_imports(text: str, module: str, known: Collection[str] = ()) -> list[Import]:
    """Return every ``import`` and ``cimport`` of a Cython source."""
    found = []
    for dots, target, names in _FROM.findall(text):
        source = _resolve(target, len(dots), module, is_package=False)
        found += [_taken(source, name, known) for name in _listed(names)]
    for names in _PLAIN.findall(text):
        found += [Import(name) for name in _listed(names)]
    return found


def tree_imports(root: Path) -> dict[str, list[Import]]:
    """Return the imports of every module of the package under `root`."""
    known = modules(root)
    found = {}
    for module, path in known.items():
        text = path.read_text("utf-8")
        if path.suffix == ".pyx":
            found[module] = pyx_imports(text, module, known)
        else:
            found[module] = python_imports(text, module, path.name == "__init__.py", known)
    return found


def strings(text: str) -> Iterator[str]:
    """Yield the string constants of a Python source, docstrings left out."""
    tree = ast.parse(text)
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value
