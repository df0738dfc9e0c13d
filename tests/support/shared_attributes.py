"""Finds, in the sources, who reads and replaces attributes of compiled classes.

Without an interpreter lock a read of a reference is two steps, to load the pointer and to count;
whoever replaces the attribute in between frees what is being read. So a reference that threads
share is read and replaced in one section, or never replaced.

Classes and their attributes' C types are read from the ``.pxd`` and ``.pyx`` files, accesses from
the ``.py`` files by Python's own parser, stores from the ``.pyx`` files line by line.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Access", "Compiled", "accesses", "compiled_classes"]

PACKAGE = Path(__file__).parents[2] / "godropbox"

_CLASS = re.compile(r"cdef class (\w+)(?:\(([^)]*)\))?:")
_ATTRIBUTE = re.compile(r"    cdef (?:public |readonly )*([^(=]+)$")
_IMPORT = re.compile(r"^from \S*?(\w+) c?import (.+?)$", re.MULTILINE)
_LOCALS = re.compile(r"@cython\.locals\((.*?)\)", re.DOTALL)
_FUNCTION = re.compile(r" *(?:cdef|cpdef|def)\b[^(=]*?(\w+)\(([^)]*)")
# Types of which a read is one step, of an old value at worst.
_PLAIN = re.compile(
    r"bint|double|float|size_t|Py_ssize_t|u?int\w*|(unsigned |long )*(int|long|char)|gdbx_\w+"
)
# Methods that a constructor or a maker calls once, on an object that nobody else has yet.
_BEGINNINGS = ("__init__", "__cinit__", "_begin", "_set_up", "_start", "_prepare")
_SECTIONS = ("critical_section", "_lock", "_LOCK")


@dataclass
class Compiled:
    """A compiled class, named by its module's last name and its own, and its attributes' types."""

    name: str
    base: str = ""
    attributes: dict[str, str] = field(default_factory=dict)

    def references(self) -> set[str]:
        """Return the attributes that refer to objects, or to memory of their own."""
        return {name for name, kind in self.attributes.items() if not _PLAIN.fullmatch(kind)}


@dataclass(frozen=True)
class Access:
    """A load or a store of `attribute`, which the class `owner` declares."""

    owner: str
    attribute: str
    where: str  # the class and the function, or the module and the function
    line: int
    is_store: bool
    is_guarded: bool  # in a section, as far as the function itself shows

    def __str__(self) -> str:
        verb = "replaces" if self.is_store else "reads"
        return f"{self.where}() {verb} {self.owner}.{self.attribute} in line {self.line}"


def compiled_classes() -> dict[str, Compiled]:
    """Return the compiled classes by name."""
    found: dict[str, Compiled] = {}
    for path in [*_sources("pxd"), *_sources("pyx")]:
        current: Compiled | None = None
        for line in path.read_text().splitlines():
            head = _CLASS.match(line)
            if head:
                name = f"{path.stem}.{head[1]}"
                current = found.setdefault(name, Compiled(name))
                current.base = current.base or (head[2] or "").split(".")[-1].strip()
            elif line and line[0] not in " #@)":
                current = None
            elif current is not None:
                declared = _ATTRIBUTE.match(line.split("#")[0].rstrip())
                if declared and declared[1][-1] != ":":
                    _declare(current, declared[1])
    for name, each in found.items():
        each.base = _Names(PACKAGE, name.split(".")[0], found).full(each.base)
    return found


def _declare(owner: Compiled, text: str) -> None:
    first, *others = text.split(",")
    *kind, name = first.split()
    for each in (name, *others):
        bare = each.strip().lstrip("*").split("[")[0]
        owner.attributes[bare] = " ".join(kind) + "*" * each.count("*")


def _sources(kind: str) -> list[Path]:
    return sorted(PACKAGE.glob(f"**/*.{kind}"))


class _Names:
    """What the classes' bare names mean in one module."""

    def __init__(self, package: Path, stem: str, classes: dict[str, Compiled]) -> None:
        self.stem, self.classes = stem, classes
        self.imported: dict[str, str] = {}
        for path in package.glob(f"**/{stem}.p*"):
            if path.suffix in (".pxd", ".pyx", ".py"):
                for module, names in _IMPORT.findall(
                    re.sub(r"\(\s+|,\s+(?=[)])|\s*\n {4}", " ", path.read_text())
                ):
                    self.imported.update((name, module) for name in re.findall(r"\w+", names))

    def full(self, name: str) -> str:
        """Return the full name of the class of this bare name, "" if there is none."""
        for stem in (self.stem, self.imported.get(name, "")):
            if f"{stem}.{name}" in self.classes:
                return f"{stem}.{name}"
        same = [full for full in self.classes if full.endswith(f".{name}")]
        return same[0] if len(same) == 1 else ""


def accesses() -> list[Access]:
    """Return each access to an attribute of a compiled class, but for its object's beginning."""
    classes = compiled_classes()
    found: list[Access] = []
    for path in _sources("py"):
        if path.with_suffix(".pxd").exists():
            reader = _Reader(path, classes)
            reader.visit(ast.parse(path.read_text()))
            found += reader.found
    for path in _sources("pyx"):
        found += _stores(path, classes)
    return found


def _owner(classes: dict[str, Compiled], kind: str, attribute: str) -> str:
    """Return which of a class and its bases declares an attribute."""
    while kind in classes and attribute not in classes[kind].attributes:
        kind = classes[kind].base
    return kind if kind in classes else ""


def _variables(path: Path) -> dict[str, dict[str, str]]:
    """Return the types that a ``.pxd`` file gives to the variables of functions."""
    found: dict[str, dict[str, str]] = {}
    owner = path.stem
    waiting: dict[str, str] = {}
    for statement in re.split(r"\n(?! {8,}| *\))", path.read_text()):
        text = " ".join(statement.split())
        head, given, function = _CLASS.match(text), _LOCALS.match(text), _FUNCTION.match(text)
        if head:
            owner = f"{path.stem}.{head[1]}"
        elif statement and statement[0] not in " @#\n":
            owner = path.stem
        if given:
            waiting = dict(re.findall(r"(\w+)=(\w+)", given[1]))
        elif function:
            typed = {name: kind for kind, name in re.findall(r"(\w+) (\w+)", function[2])}
            found[f"{owner}.{function[1]}"] = typed | waiting
            waiting = {}
    return found


class _Reader(ast.NodeVisitor):
    """Reads a module in the pure-Python mode."""

    def __init__(self, path: Path, classes: dict[str, Compiled]) -> None:
        self.classes, self.names = classes, _Names(PACKAGE, path.stem, classes)
        self.variables = _variables(path.with_suffix(".pxd"))
        self.found: list[Access] = []
        self.scope = [path.stem]
        self.kinds: dict[str, str] = {}
        self.new: set[str] = set()
        self.sections = 0

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scope.append(f"{self.scope[0]}.{node.name}")
        self.generic_visit(node)
        self.scope.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        before = self.kinds, self.new, self.sections
        given = self.variables.get(f"{self.scope[-1]}.{node.name}", {})
        self.kinds = {name: self.names.full(kind) for name, kind in given.items()}
        self.kinds["self"] = self.scope[-1]
        self.new, self.sections = set(), 0
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            self._note(argument.arg, argument.annotation)
        self.scope.append(f"{self.scope[-1]}.{node.name}")
        for statement in node.body:
            self.visit(statement)
        self.scope.pop()
        self.kinds, self.new, self.sections = before

    def visit_With(self, node: ast.With) -> None:
        is_section = any(name in ast.unparse(i) for i in node.items for name in _SECTIONS)
        self.sections += is_section
        for statement in node.body:
            self.visit(statement)
        self.sections -= is_section

    def visit_If(self, node: ast.If) -> None:
        """Leave out what only runs uncompiled."""
        test = ast.unparse(node.test)
        self.visit(node.test)
        for statement in [] if test == "not cython.compiled" else node.body:
            self.visit(statement)
        for statement in [] if test == "cython.compiled" else node.orelse:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        made = self._made(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name) and made:
                self.kinds[target.id] = made
                self.new.add(target.id)
            self.visit(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._note(node.target.id, node.annotation)
        if node.value is not None:
            self.visit(node.value)
            if isinstance(node.target, ast.Name) and self._made(node.value):
                self.new.add(node.target.id)
        self.visit(node.target)

    def _note(self, variable: str, annotation: ast.expr | None) -> None:
        if annotation is not None:
            text = ast.unparse(annotation).strip("'\"").removesuffix(" | None")
            kind = self.names.full(text)
            if kind:
                self.kinds[variable] = kind

    def _made(self, value: ast.expr) -> str:
        """Return the class of which an expression is a new object, if it is one."""
        if not isinstance(value, ast.Call):
            return ""
        return self.names.full(ast.unparse(value.func).removesuffix(".__new__"))

    def _kind(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return self.kinds.get(node.id, "")
        if isinstance(node, ast.Attribute):
            owner = _owner(self.classes, self._kind(node.value), node.attr)
            return self.names.full(self.classes[owner].attributes[node.attr]) if owner else ""
        return ""

    def visit_Call(self, node: ast.Call) -> None:
        """Note ``get`` of a dict as well, which Cython compiles to a borrowed reference."""
        self.generic_visit(node)
        method = node.func
        if isinstance(method, ast.Name):  # of a lock that is no critical section
            self.sections += {"hold": 1, "let_go": -1}.get(method.id, 0)
        if isinstance(method, ast.Attribute) and isinstance(method.value, ast.Attribute):
            name = method.value.attr
            owner = _owner(self.classes, self._kind(method.value.value), name)
            if owner and method.attr == "get" and self.classes[owner].attributes[name] == "dict":
                where, is_guarded = self.scope[-1], self.sections > 0
                self.found.append(
                    Access(owner, f"{name}.get", where, node.lineno, False, is_guarded)
                )

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.visit(node.value)
        owner = _owner(self.classes, self._kind(node.value), node.attr)
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        where = self.scope[-1]
        begins = name == "self" and where.split(".")[-1] in _BEGINNINGS
        if owner and not begins and name not in self.new:
            is_store = not isinstance(node.ctx, ast.Load)
            self.found.append(
                Access(owner, node.attr, where, node.lineno, is_store, self.sections > 0)
            )


def _stores(path: Path, classes: dict[str, Compiled]) -> Iterator[Access]:
    """Yield the stores that the lines of a ``.pyx`` file begin with."""
    names = _Names(PACKAGE, path.stem, classes)
    scope, function, kinds = path.stem, "", {}
    decorated = is_guarded = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        head = _CLASS.match(line)
        if head:
            scope = f"{path.stem}.{head[1]}"
        elif line and line[0] not in " #@)":
            scope = path.stem
        decorated = decorated or line.strip() == "@cython.critical_section"
        begun = re.match(r" *(?:cdef|cpdef|def) [^=]*?(\w+)\(.*(?:[,(:]|noexcept:|-1:)$", line)
        if begun and not head:
            function, kinds, is_guarded, decorated = begun[1], {"self": scope}, decorated, False
        for kind, name in re.findall(r"\b(\w+) (\w+)(?=[,)=]| =|$)", line):
            if names.full(kind):
                kinds[name] = names.full(kind)
        made = re.match(r" *(\w+) = (?:<\w+> )?\w+\.__new__\(", line)
        if made:
            kinds[made[1]] = ""
        targets = re.match(r" +((?:\w+\.\w+(?:\[[^=]*\])?(?:, | = )?)+) ?[-+|*]?= ", line)
        for variable, attribute in re.findall(
            r"\b(\w+)\.(\w+)(?=,| |$)", targets[1] if targets else ""
        ):
            owner = _owner(classes, kinds.get(variable, ""), attribute)
            if owner and not (variable == "self" and function in _BEGINNINGS):
                yield Access(owner, attribute, f"{scope}.{function}", number, True, is_guarded)
