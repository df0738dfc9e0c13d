"""What a source file imports: Python read with ``ast``, Cython by its import lines.

Nothing is run and nothing is judged here; ``test_layers`` has the rules.
"""

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Import",
    "import_chain",
    "modules",
    "python_imports",
    "pyx_imports",
    "strings",
    "tree_imports",
]


@dataclass(frozen=True)
class Import:
    """One imported module, by its absolute name, and what is taken out of it (None: itself).

    `for_types` marks an import under TYPE_CHECKING, which never runs.
    """

    module: str
    name: str | None = None
    for_types: bool = False


def modules(root: Path, *suffixes: str) -> dict[str, Path]:
    """Return the files of the package under `root` that end so, by their modules' names.

    By default they are the modules that Python can import: ``.py`` and ``.pyx``.
    """
    found = {}
    for path in sorted(root.glob("godropbox/**/*.p*")):
        if path.suffix in (suffixes or (".py", ".pyx")):
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


def _taken(source: str, name: str, known: Collection[str], for_types: bool = False) -> Import:
    """Tell a submodule from a name: ``from a import b`` imports a.b where that is a module."""
    if f"{source}.{name}" in known:
        return Import(f"{source}.{name}", for_types=for_types)
    return Import(source, name, for_types)


def python_imports(
    text: str, module: str, is_package: bool = False, known: Collection[str] = ()
) -> list[Import]:
    """Return every import of a Python source, those under TYPE_CHECKING and in functions too."""
    found = []
    tree = ast.parse(text)
    for_types = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If)
        and ast.unparse(test.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in test.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        never_runs = id(node) in for_types
        if isinstance(node, ast.Import):
            found += [Import(alias.name, for_types=never_runs) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = _resolve(node.module or "", node.level, module, is_package)
            found += [_taken(source, alias.name, known, never_runs) for alias in node.names]
    return found


_FROM = re.compile(r"^[ \t]*from[ \t]+(\.*)([\w.]*)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n#]+)", re.M)
_PLAIN = re.compile(r"^[ \t]*c?import[ \t]+([^\n#]+)", re.M)


def _listed(names: str) -> list[str]:
    lines = [line.partition("#")[0] for line in names.strip("()").splitlines()]
    return [name.split()[0] for name in " ".join(lines).split(",") if name.strip()]


def pyx_imports(text: str, module: str, known: Collection[str] = ()) -> list[Import]:
    """Return every ``import`` and ``cimport`` of a Cython source, ``.pyx`` or ``.pxd``."""
    found = []
    for dots, target, names in _FROM.findall(text):
        source = _resolve(target, len(dots), module, is_package=False)
        found += [_taken(source, name, known) for name in _listed(names)]
    for names in _PLAIN.findall(text):
        found += [Import(name) for name in _listed(names)]
    return found


def tree_imports(root: Path) -> dict[str, list[Import]]:
    """Return the imports of every module of the package under `root`.

    The cimports of a ``.pxd`` count as its module's; one without a module is a module by itself.
    """
    known = modules(root)
    declared = modules(root, ".pxd")
    found = {}
    for module, path in known.items():
        text = path.read_text("utf-8")
        if path.suffix == ".pyx":
            found[module] = pyx_imports(text, module, {*known, *declared})
        else:
            found[module] = python_imports(text, module, path.name == "__init__.py", known)
    for module, path in declared.items():
        taken = pyx_imports(path.read_text("utf-8"), module, {*known, *declared})
        found.setdefault(module, []).extend(taken)
    return found


def import_chain(
    module: str, graph: Mapping[str, list[Import]], target: "re.Pattern[str]"
) -> list[str]:
    """Return the shortest chain of imports that run, from `module` to a module that is a `target`.

    A target is matched by its top-level name, or by module and name. The list is empty where no
    chain leads there. The packages that a module is in do not count.
    """
    chains = [[module]]
    seen = {module}
    for chain in chains:
        for each in graph.get(chain[-1], []):
            if each.for_types:
                continue
            full = f"{each.module}.{each.name}"
            if target.fullmatch(full):
                return [*chain, full]
            if target.fullmatch(each.module.partition(".")[0]):
                return [*chain, each.module]
            if each.module not in seen:
                seen.add(each.module)
                chains.append([*chain, each.module])
    return []


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
