"""Lists the uses of other libraries in files, and what each becomes."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from .files import files_of
from .names import Names
from .reading import Reading, Unread
from .scopes import name_of
from .tables import Argument, Fate, Library, Tables, Thing
from .values import (
    Defined,
    Made,
    MadeHere,
    Member,
    Module,
    Named,
    Scope,
    Source,
    Value,
)

__all__ = ["Report", "Use", "check"]

TEXT: Final = 72  # characters of source that are shown


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """A use of a library, and what it becomes.

    - `path`, `line`, `column`: where; lines and columns count from 1, columns in characters.
    - `library`: its name on PyPI. `kind`: what sort of use it is.
    - `used`: the code, in short.
    - `face`: what it becomes with this package's face of the library; empty where there is none.
    - `client`: what it becomes over this package's own ``Client``; empty where nothing is needed.
    - `fate` and `why`: whether the counterpart is the same, and if not, why.
    """

    path: str
    line: int
    column: int
    library: str
    kind: str
    used: str
    face: str
    client: str
    fate: Fate
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """All uses, sorted by place; the files that could not be read; how many files there were."""

    uses: list[Use]
    unread: list[Unread]
    files: int


def check(names: Iterable[str], tables: Tables | None = None) -> Report:
    """List the uses in files, folders and modules, of which nothing is imported or run.

    Raises ``NotFoundError`` for a name that is no path and no module.
    """
    paths = files_of(names)
    reading = Reading(tables or Tables(), paths)
    sources, unread = reading.all()
    uses: set[Use] = set()
    for source in sources:
        try:
            uses.update(_Uses(reading.names, source).all())
        except RecursionError:
            unread.append(Unread(str(source.path), "nested too deeply"))
    return Report(sorted(uses), sorted(unread), len(paths))


class _Uses:
    """The uses in one file."""

    def __init__(self, names: Names, source: Source) -> None:
        self._names = names
        self._tables = names.tables
        self._source = source
        self._lines = source.text.splitlines()

    def all(self) -> Iterator[Use]:
        parts: Mapping[str, Callable[[Any, Scope], Iterator[Use]]] = {
            "import": self._imports,
            "call": self._call,
            "name": self._name,
            "error": partial(self._name, kind="exception"),
            "base": partial(self._name, kind="subclass"),
            "class": self._class,
            "assignment": self._assignment,
            "item": self._item,
            "contains": self._contains,
            "string": self._string,
            "patch": partial(self._string, kind="patch"),
            "dict": self._dict,
        }
        for spot in self._source.spots:
            yield from parts[spot.part](spot.node, spot.scope)

    def _use(
        self,
        node: ast.AST,
        library: Library,
        kind: str,
        used: str,
        face: str,
        of: Thing | Argument,
        client: str | None = None,
    ) -> Use:
        line: int = node.lineno  # type: ignore[attr-defined]
        offset: int = node.col_offset  # type: ignore[attr-defined]
        before = self._lines[line - 1][:offset] if line <= len(self._lines) else b""
        column = len(before.decode(errors="replace")) + 1
        return Use(
            str(self._source.path),
            line,
            column,
            library.name,
            kind,
            used,
            "" if of.fate is Fate.NONE else face,
            of.client if client is None else client,
            of.fate,
            of.why,
        )

    def _imports(self, node: ast.AST, scope: Scope) -> Iterator[Use]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if self._tables.is_module(alias.name) or self._tables.is_open(alias.name):
                    yield from self._import(alias, f"import {_as(alias)}", alias.name, "")
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for alias in node.names:
                yield from self._import(
                    alias, f"from {node.module} import {_as(alias)}", node.module, alias.name
                )

    def _import(self, alias: ast.alias, used: str, module: str, name: str) -> Iterator[Use]:
        """Yield the use that an import of a module, or of a name in it, is."""
        values = self._names.imported(f"{module}:{name}" if name and name != "*" else module)
        for value in values:
            if not isinstance(value, Named):
                continue
            library = self._tables.library(value.name)
            if library is None:
                continue
            of = self._named(library, value.name)
            face = _import_of(library, alias, module, name)
            yield self._use(alias, library, "import", used, face, of, _bare(of))

    def _named(self, library: Library, name: str) -> Thing:
        """Return the thing of a full name, or one that says that it is not known."""
        thing = self._tables.thing(name)
        if thing is not None:
            return thing
        if name in library.without:
            return Thing(fate=Fate.NONE, why=library.without[name])
        if self._tables.is_module(name) or name in self._tables.packages:
            return Thing()
        return Thing(fate=Fate.NONE, why=f"{library.name} {library.version} has no {name}")

    def _call(self, node: ast.AST, scope: Scope) -> Iterator[Use]:
        assert isinstance(node, ast.Call)
        any_use = False
        for value in self._names.values(node.func, scope):
            for use in self._call_of(node, value, scope):
                any_use = True
                yield use
        if not any_use and isinstance(node.func, (ast.Name, ast.Attribute)):
            yield from self._name(node.func, scope)

    def _call_of(self, node: ast.Call, value: Value, scope: Scope) -> Iterator[Use]:
        used = _call_text(node)
        match value:
            case Named():
                library = self._tables.library(value.name)
                if library is None or self._tables.is_module(value.name):
                    return  # a module is called by nobody: it is one of several values
                thing = self._named(library, value.name)
                kind = "construction" if thing.is_class else "call"
                kind = "exception" if thing.is_error else kind
                yield from self._called(node, scope, library, kind, used, value.name, thing)
            case Member():
                library = self._tables.library(value.of)
                member = self._member(library, value) if library is not None else None
                if library is not None and member is not None:
                    full = f"{value.of}.{value.name}"
                    yield from self._called(node, scope, library, "call", used, full, member)
            case Defined() if value.scope.is_class and "__init__" not in value.scope.names:
                for base in self._names.library_bases(value.scope):
                    known = self._tables.thing(base)
                    library = self._tables.library(base)
                    if known is not None and library is not None:
                        yield from self._called(
                            node, scope, library, "construction", used, base, known
                        )

    def _member(self, library: Library, value: Member) -> Thing | None:
        """Return a member's thing, or one that says that it is not known; None for no use."""
        thing = self._tables.member(value.of, value.name)
        if thing is not None:
            return thing
        name = f"{value.of.rpartition('.')[2]}.{value.name}"
        if value.name.startswith("__"):
            return None
        if value.name.startswith("_"):
            return Thing(fate=Fate.NONE, why=f"{name} is private to {library.name}")
        return Thing(fate=Fate.NONE, why=f"{library.name} {library.version} has no {name}")

    def _called(
        self,
        node: ast.Call,
        scope: Scope,
        library: Library,
        kind: str,
        used: str,
        full: str,
        thing: Thing,
    ) -> Iterator[Use]:
        """Yield the use that a call is, and one for each argument that is not the same."""
        passed = list(_passed(node, thing))
        clients = (argument.client for _, _, argument in passed if argument is not None)
        client = thing.client.replace("{}", ", ".join(each for each in clients if each))
        yield self._use(node, library, kind, used, self._face(library, full), thing, client)
        if thing.fate is Fate.NONE or thing.arguments is None:
            return
        short = name_of(node.func)
        for name, value, argument in passed:
            if argument is None:
                if not thing.open_ended:
                    why = f"{library.name} {library.version} has no such argument"
                    nothing = Argument("", Fate.NONE, why)
                    yield self._use(value, library, "argument", f"{short}({name}=)", "", nothing)
                continue
            if _tells(argument, value):
                yield self._use(
                    value, library, "argument", f"{short}({name}=)", f"{name}=", argument
                )
            if argument.keys is not None:
                yield from self._keys(value, scope, library, argument.keys, f"{short}({name}=)")
        yield from self._unseen(node, library, short, thing)

    def _unseen(self, node: ast.Call, library: Library, short: str, thing: Thing) -> Iterator[Use]:
        """Yield a use for arguments that only a run would show, where some are not the same."""
        assert thing.arguments is not None
        given = {each.arg for each in node.keywords}
        special = [
            name
            for name, each in thing.arguments.items()
            if each.fate is not Fate.SAME and not each.refuses and name not in given
        ]
        stars = [each for each in node.args if isinstance(each, ast.Starred)]
        doubles = [each.value for each in node.keywords if each.arg is None]
        for star in (*stars, *doubles):
            if special:
                stars_text = "*" if isinstance(star, ast.Starred) else "**"
                why = f"what {stars_text} passes is not seen; look for {', '.join(special)}"
                unseen = Argument("", Fate.DIFFERS, why)
                used = f"{short}({stars_text})"
                yield self._use(star, library, "argument", used, used, unseen)

    def _keys(
        self,
        value: ast.AST,
        scope: Scope,
        library: Library,
        keys: Mapping[str, Argument],
        used: str,
    ) -> Iterator[Use]:
        """Yield a use for each key of a dict that is not the same, if the dict can be seen."""
        for shown in self._dicts(value, scope):
            for key, inner in zip(shown.keys, shown.values, strict=True):
                if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                    continue
                of = keys.get(key.value)
                if of is None:
                    why = f"{library.name} {library.version} has no such key"
                    of = Argument("", Fate.NONE, why)
                text = f"{used}[{key.value!r}]"
                if _tells(of, inner):
                    yield self._use(key, library, "argument", text, repr(key.value), of)
                if of.keys is not None:
                    yield from self._keys(inner, scope, library, of.keys, text)

    def _dicts(self, value: ast.AST, scope: Scope) -> Iterator[ast.Dict]:
        if isinstance(value, ast.Dict):
            yield value
        elif isinstance(value, ast.Name):
            for at in scope.outward():
                for binding in at.names.get(value.id, []):
                    if isinstance(binding.node, ast.Dict):
                        yield binding.node

    def _face(self, library: Library, full: str) -> str:
        """Return what a full name of theirs is called here."""
        module = full
        while module and module not in library.faces:
            module = module.rpartition(".")[0]
        return library.faces[module] + full[len(module) :] if module else ""

    def _name(self, node: ast.AST, scope: Scope, kind: str = "name") -> Iterator[Use]:
        """Yield the use that a name is, or the part of a dotted name that is one."""
        at = node
        while isinstance(at, (ast.Name, ast.Attribute)):
            found = list(self._name_of(at, scope, kind))
            if found:
                yield from found
                return
            if isinstance(at, ast.Name):
                return
            at = at.value

    def _name_of(self, node: ast.expr, scope: Scope, kind: str) -> Iterator[Use]:
        if not self._is_own_name(node, scope):
            return
        for value in self._names.values(node, scope):
            if isinstance(value, Named):
                library = self._tables.library(value.name)
                if library is None or self._tables.is_module(value.name):
                    continue
                if value.name in self._tables.packages:
                    continue
                thing = self._named(library, value.name)
                sort = "exception" if thing.is_error and kind == "name" else kind
                face = self._face(library, value.name)
                yield self._use(node, library, sort, ast.unparse(node), face, thing, _bare(thing))
            elif isinstance(value, Member) and name_of(node) == value.name:
                library = self._tables.library(value.of)
                member = self._member(library, value) if library is not None else None
                if library is not None and member is not None:
                    face = self._face(library, f"{value.of}.{value.name}")
                    text = _text(node)
                    yield self._use(node, library, kind, text, face, member, _bare(member))

    def _class(self, node: ast.AST, scope: Scope) -> Iterator[Use]:
        """Yield a use for each method of a derived class that nothing here would call."""
        cls = self._source.scopes[node]
        for base in self._names.library_bases(cls):
            thing = self._tables.thing(base)
            library = self._tables.library(base)
            hooks = thing.hooks if thing is not None and library is not None else {}
            for name, instead in hooks.items():
                for binding in cls.names.get(name, []):
                    if binding.inner is not None and library is not None:
                        nothing = Thing(fate=Fate.NONE, why=f"it is not called: {instead}")
                        used = f"def {name}"
                        yield self._use(binding.inner.node, library, "subclass", used, "", nothing)

    def _is_own_name(self, node: ast.expr, scope: Scope) -> bool:
        """Tell whether this is a name of the library's, and no variable that holds its thing."""
        if isinstance(node, ast.Name):
            return self._names.is_imported(node.id, scope)
        owners = self._names.values(node.value, scope) if isinstance(node, ast.Attribute) else ()
        return any(isinstance(each, (Named, Made, Module)) for each in owners) or any(
            isinstance(each, (MadeHere, Defined)) and self._names.library_bases(each.scope)
            for each in owners
            if isinstance(each, MadeHere) or (isinstance(each, Defined) and each.scope.is_class)
        )

    def _assignment(self, node: ast.AST, scope: Scope) -> Iterator[Use]:
        """Yield the uses that assignments to members are."""
        assert isinstance(node, ast.Assign)
        for target in node.targets:
            if not isinstance(target, ast.Attribute):
                continue
            for of in self._classes(target.value, target.attr, scope):
                library = self._tables.library(of)
                thing = self._tables.member(of, target.attr)
                if library is None or thing is None:
                    continue
                face = self._face(library, f"{of}.{target.attr}")
                used = f"{ast.unparse(target)} = ..."
                yield self._use(target, library, "assignment", used, face, thing, _bare(thing))
                if thing.keys is not None:
                    text = ast.unparse(target)
                    yield from self._keys(node.value, scope, library, thing.keys, text)

    def _classes(self, node: ast.expr, name: str, scope: Scope) -> Iterator[str]:
        """Yield the libraries' classes of whose instance an expression takes the member `name`."""
        for value in self._names.settled(self._names.values(node, scope)):
            if isinstance(value, Made):
                yield value.of
            elif isinstance(value, MadeHere) and name not in value.scope.names:
                bases = self._names.library_bases(value.scope)
                yield from (each for each in bases if self._tables.member(each, name) is not None)

    def _item(self, node: ast.AST, scope: Scope) -> Iterator[Use]:
        """Yield the use that ``client[key]`` is in each of its forms, and keys of options."""
        assert isinstance(node, ast.Subscript)
        verbs = {ast.Load: "__getitem__", ast.Store: "__setitem__", ast.Del: "__delitem__"}
        yield from self._special(node, node.value, verbs[type(node.ctx)], scope)
        key = node.slice
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            return
        for value in self._names.values(node.value, scope):
            if not isinstance(value, Member):
                continue
            thing = self._tables.member(value.of, value.name)
            library = self._tables.library(value.of)
            if thing is None or thing.keys is None or library is None:
                continue
            of = thing.keys.get(key.value)
            if of is None:
                of = Argument("", Fate.NONE, f"{library.name} {library.version} has no such key")
            assigned = self._source.assigned.get(node, key)
            if _tells(of, assigned):
                yield self._use(key, library, "argument", ast.unparse(node), repr(key.value), of)

    def _contains(self, node: ast.AST, scope: Scope) -> Iterator[Use]:
        """Yield the use that ``key in client`` is."""
        assert isinstance(node, ast.Compare)
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, (ast.In, ast.NotIn)):
                yield from self._special(node, right, "__contains__", scope)

    def _special(self, node: ast.expr, owner: ast.expr, name: str, scope: Scope) -> Iterator[Use]:
        for of in self._classes(owner, name, scope):
            library = self._tables.library(of)
            thing = self._tables.member(of, name)
            if library is None:
                continue
            if thing is None:
                why = f"{of.rpartition('.')[2]} of {library.name} has no {name}"
                thing = Thing(fate=Fate.NONE, why=why)
            face = self._face(library, f"{of}.{name}")
            yield self._use(node, library, "call", _text(node), face, thing)

    def _string(self, node: ast.AST, scope: Scope, kind: str = "string") -> Iterator[Use]:
        """Yield the use that a full name in a string is."""
        assert isinstance(node, ast.Constant)
        text = node.value
        if not isinstance(text, str):
            return
        known = self._tables.string(text)
        if known is not None:
            library, thing = known
            yield self._use(node, library, "setting", repr(text), repr(thing.face), thing)
            return
        for value in self._names.in_string(text):
            name = value.name if isinstance(value, Named) else ""
            of_member = isinstance(value, Member)
            owner = value.of if isinstance(value, Member) else name
            found = self._tables.library(owner)
            if found is None or (not of_member and name in self._tables.packages):
                continue
            thing_of = (
                self._member(found, value)
                if isinstance(value, Member)
                else self._named(found, name)
            )
            if thing_of is not None:
                face = self._face(found, text)
                yield self._use(
                    node, found, kind, repr(text), repr(face), thing_of, _bare(thing_of)
                )

    def _dict(self, node: ast.AST, scope: Scope) -> Iterator[Use]:
        """Yield the uses of settings that stand beside a back end's name."""
        assert isinstance(node, ast.Dict)
        for value in node.values:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                known = self._tables.string(value.value)
                if known is not None and known[1].keys is not None:
                    library, thing = known
                    assert thing.keys is not None
                    yield from self._keys(node, scope, library, thing.keys, "")


def _tells(argument: Argument, value: ast.AST) -> bool:
    """Tell whether an argument is not the same with what is passed for it."""
    if argument.refuses:
        many = value.elts if isinstance(value, (ast.List, ast.Tuple, ast.Set)) else [value]
        texts = (each.value for each in many if isinstance(each, ast.Constant))
        return any(isinstance(text, str) and re.match(argument.refuses, text) for text in texts)
    is_false = isinstance(value, ast.Constant) and not value.value
    return argument.fate is not Fate.SAME and not (argument.if_set and is_false)


def _passed(node: ast.Call, thing: Thing) -> Iterator[tuple[str, ast.expr, Argument | None]]:
    """Yield the arguments of a call: the name, what is passed, and the argument in the table."""
    arguments = thing.arguments
    if arguments is None:
        return
    names = list(arguments)
    for at, value in enumerate(node.args):
        if isinstance(value, ast.Starred):
            break
        if at < len(names):
            yield names[at], value, arguments[names[at]]
    for keyword in node.keywords:
        if keyword.arg is not None:
            yield keyword.arg, keyword.value, arguments.get(keyword.arg)


def _bare(thing: Thing) -> str:
    """Return what a name that is not called becomes over ``Client``."""
    return thing.client.partition("({}")[0]


def _as(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name


def _import_of(library: Library, alias: ast.alias, module: str, name: str) -> str:
    """Return the import of our face that replaces one of theirs."""
    face = library.faces.get(module, "")
    if not face:
        return ""
    if name:
        return f"from {face} import {_as(alias)}"
    if alias.asname:
        return f"import {face} as {alias.asname}"
    package, _, last = face.rpartition(".")
    if "." not in module:
        return f"from {package} import {last}" + ("" if last == module else f" as {module}")
    root = module.partition(".")[0]
    top, _, last = library.faces.get(root, "").rpartition(".")
    return f"import {face}; from {top} import {last}" if top else f"import {face}"


def _call_text(node: ast.Call) -> str:
    """Return a call in short: what is called, and the names of the arguments."""
    shown = ["..."] if node.args else []
    shown += [f"{each.arg}=" if each.arg else "**" for each in node.keywords]
    return f"{_text(node.func)}({', '.join(shown)})"


def _text(node: ast.expr) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= TEXT else f"{text[: TEXT - 3]}..."
