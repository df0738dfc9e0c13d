"""Tells what the names and expressions of the code that was read can stand for.

Lookups are lazy, follow imports between the files, and take every assignment of a name for
possible, whatever the order. What depends on itself stands for nothing.
"""

import ast
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Final

from .scopes import decorated, name_of
from .tables import Tables
from .values import (
    Binding,
    Defined,
    Held,
    How,
    Made,
    MadeHere,
    Member,
    Module,
    Named,
    Scope,
    Source,
    Value,
    Values,
)

__all__ = ["Names"]

NOTHING: Final[Values] = frozenset()
ENOUGH: Final = 2000  # steps of one lookup
DEEP: Final = 20  # calls in a chain

# Functions by their last names: what they give is their first argument, an element of it, what it
# gives when it is called, or an instance of the type that it names.
PASSING: Final = frozenset(
    [
        "closing",
        "nullcontext",
        "enter_context",
        "enter_async_context",
        "copy",
        "deepcopy",
        "partial",
        "iter",
        "list",
        "tuple",
        "set",
        "sorted",
        "reversed",
        "aclosing",
        "proxy",
        "ref",
        "wraps",
        "thread_sensitive",
    ]
)
NEXT: Final = frozenset({"next", "choice", "popleft", "pop", "first"})
CALLING: Final = frozenset(
    {"LocalProxy", "SimpleLazyObject", "Depends", "lazy", "Lazy", "Security"}
)
CASTING: Final = frozenset({"cast", "assert_type"})
IMPORTING: Final = frozenset(
    {"import_module", "__import__", "import_string", "locate", "importorskip"}
)
ELEMENTS: Final = frozenset({"get", "pop", "setdefault", "popleft", "popitem"})
WHOLES: Final = frozenset({"values", "items", "copy"})
# Type expressions around a type that stand for an instance of it.
AROUND: Final = frozenset(
    [
        "Optional",
        "Union",
        "Annotated",
        "ClassVar",
        "Final",
        "Iterator",
        "Generator",
        "AsyncIterator",
        "AsyncGenerator",
        "Awaitable",
        "Coroutine",
        "ContextManager",
        "AbstractContextManager",
        "AsyncContextManager",
        "Callable",
    ]
)


class Names:
    """The names of all files that were read."""

    def __init__(self, tables: Tables, shadowed: Collection[str] = ()) -> None:
        """`shadowed` are the names of top modules of the code, read or not."""
        self.tables = tables
        self._shadowed = shadowed
        self.sources: dict[str, Source] = {}
        self._by_path: dict[object, Source] = {}
        self._memo: dict[object, Values] = {}
        self._active: set[object] = set()
        self._cut = False
        self._steps = 0

    def add(self, source: Source) -> None:
        """Take a file that was read; the first of a name is the one that imports find."""
        for name in source.names:
            self.sources.setdefault(name, source)
        self._by_path[source.path] = source
        self._memo.clear()

    def values(self, node: ast.expr | None, scope: Scope) -> Values:
        """Return what an expression can stand for."""
        if node is None:
            return NOTHING
        chain = _chain(node)
        for inner in reversed(chain[DEEP::DEEP]):  # so that a long chain needs no deep recursion
            self._once(inner, partial(self._values, inner, scope))
        return self._once(node, partial(self._values, node, scope))

    def _once(self, key: object, work: Callable[[], Values]) -> Values:
        known = self._memo.get(key)
        if known is not None:
            return known
        if key in self._active:
            self._cut = True
            return NOTHING
        if not self._active:
            self._steps = 0
        self._steps += 1
        outer, self._cut = self._cut, False
        self._active.add(key)
        try:
            found = work()
        finally:
            self._active.discard(key)
        # What a circle cut short is whole only where the circle began. To keep nothing of it takes
        # a time that grows with its every path, so there is an end to that.
        if not self._cut or not self._active or self._steps > ENOUGH:
            self._memo[key] = found
            self._cut = outer
        return found

    def _values(self, node: ast.expr, scope: Scope) -> Values:
        match node:
            case ast.Name():
                return self.named(node.id, scope)
            case ast.Attribute():
                found = self.attribute(self.values(node.value, scope), node.attr)
                return found or self._others(node, scope)
            case ast.Call():
                return self._called(node, scope)
            case ast.Subscript():
                return elements(self.values(node.value, scope)) or self._others(node, scope)
            case ast.IfExp():
                return self.values(node.body, scope) | self.values(node.orelse, scope)
            case ast.BoolOp():
                return self._union(node.values, scope)
            case ast.NamedExpr() | ast.Await() | ast.Starred():
                return self.values(node.value, scope)
            case ast.Tuple() | ast.List() | ast.Set():
                return held(self._union(node.elts, scope))
            case ast.Dict():
                return held(self._union(node.values, scope))
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                return held(self.values(node.elt, scope))
            case ast.DictComp():
                return held(self.values(node.value, scope))
            case ast.Lambda():
                return frozenset({Defined(scope.source.scopes[node])})
        return NOTHING

    def _union(self, nodes: Iterable[ast.expr | None], scope: Scope) -> Values:
        return union(self.values(node, scope) for node in nodes)

    def _others(self, node: ast.expr, scope: Scope) -> Values:
        """Return what was assigned to an attribute or item in these words, in the same file."""
        others = scope.source.top.others
        if not others or (isinstance(node, ast.Attribute) and not _dotted(node)):
            return NOTHING
        return union(self._bound(each) for each in others.get(ast.unparse(node), []))

    def named(self, name: str, scope: Scope) -> Values:
        """Return what a name can stand for in a scope."""
        for at in scope.outward():
            bindings = at.names.get(name)
            if bindings:
                return union(self._bound(each) for each in bindings)
        return union(self._from_star(module, name) for module in scope.source.stars)

    def is_imported(self, name: str, scope: Scope) -> bool:
        """Tell whether a name is an import's in a scope."""
        for at in scope.outward():
            bindings = at.names.get(name)
            if bindings:
                return any(each.how is How.IMPORT for each in bindings)
        return bool(scope.source.stars)

    def _from_star(self, module: str, name: str) -> Values:
        if self._is_theirs(module):
            known = name in self.tables.names_of(module)
            return self.attribute(frozenset({Named(module)}), name) if known else NOTHING
        return self._exported(module, name)

    def _bound(self, binding: Binding) -> Values:
        return self._once(binding, lambda: self._of_binding(binding))

    def _of_binding(self, binding: Binding) -> Values:
        scope, node = binding.scope, binding.node
        match binding.how:
            case How.IS:
                return self.values(node, scope)
            case How.IN:
                return elements(self.values(node, scope))
            case How.WITH:
                return self._entered(self.values(node, scope))
            case How.OF:
                return self.instances(node, scope)
            case How.CALLS:
                return self._passed(scope, binding.target)
            case How.IMPORT:
                return self.imported(binding.target)
            case How.SELF:
                assert binding.inner is not None
                return frozenset({MadeHere(binding.inner)})
            case How.DEFINED:
                assert binding.inner is not None
                return frozenset({Defined(binding.inner)})

    def _is_theirs(self, module: str) -> bool:
        root = module.partition(".")[0]
        return self.tables.is_theirs(module) and not (
            self.tables.may_be_shadowed(root) and root in self._shadowed
        )

    def imported(self, target: str) -> Values:
        """Return what an import gives: of a module, or after a colon of a name in it."""
        module, _, name = target.partition(":")
        if self._is_theirs(module):
            whole: Values = frozenset({Named(module)})
            return self.attribute(whole, name) if name else whole
        if name:
            return self._exported(module, name)
        known = any(each == module or each.startswith(f"{module}.") for each in self.sources)
        return frozenset({Module(module)}) if known else NOTHING

    def _exported(self, module: str, name: str) -> Values:
        """Return what a name of another module of the code stands for."""
        source = self.sources.get(module)
        if source is not None and (name in source.top.names or source.stars):
            found = self.named(name, source.top)
            if found:
                return found
        return self.imported(f"{module}.{name}")

    def attribute(self, owners: Values, name: str) -> Values:
        """Return what an attribute of these can stand for."""
        return union(self._attribute(owner, name) for owner in self.settled(owners))

    def _attribute(self, owner: Value, name: str) -> Values:
        match owner:
            case Named():
                return self._of_theirs(owner.name, name)
            case Made():
                return frozenset({Member(owner.of, name)})
            case Module():
                return self._exported(owner.name, name)
            case Defined() if owner.scope.is_class:
                return self._of_class(owner.scope, name)
            case MadeHere():
                return self._of_class(owner.scope, name)
        return NOTHING

    def _of_theirs(self, owner: str, name: str) -> Values:
        full = self.tables.resolve(owner, name)
        if full is not None:
            return frozenset({Named(full)})
        thing = self.tables.thing(owner)
        if thing is not None:
            return frozenset({Member(owner, name)}) if thing.is_class else NOTHING
        unknown = self.tables.is_open(owner) and not _is_dunder(name)
        return frozenset({Named(f"{owner}.{name}")}) if unknown else NOTHING

    def _of_class(self, cls: Scope, name: str) -> Values:
        found = union(self._bound(each) for each in cls.names.get(name, []))
        if name not in cls.names:
            for base in self.bases(cls):
                if isinstance(base, Defined):
                    found |= self._of_class(base.scope, name)
                elif isinstance(base, Named) and self.tables.member(base.name, name) is not None:
                    found |= {Member(base.name, name)}
        results: Values = NOTHING
        for each in found:
            is_property = isinstance(each, Defined) and decorated(
                each.scope, "property", "cached_property", "setter"
            )
            if isinstance(each, Defined) and is_property:
                results |= self.results(each.scope)
            else:
                results |= {each}
        return results

    def bases(self, cls: Scope) -> Values:
        """Return what the bases of a class of the code can stand for."""
        node = cls.node
        assert isinstance(node, ast.ClassDef)
        outer = cls.parent or cls
        return self._union(node.bases, outer)

    def library_bases(self, cls: Scope) -> list[str]:
        """Return the libraries' classes that a class of the code derives from."""
        found: list[str] = []
        seen: set[Scope] = set()
        pending = [cls]
        while pending:
            at = pending.pop()
            if at in seen:
                continue
            seen.add(at)
            for base in self.bases(at):
                if isinstance(base, Defined) and base.scope.is_class:
                    pending.append(base.scope)
                elif isinstance(base, Named):
                    found.append(base.name)
        return found

    def settled(self, values: Values) -> Values:
        """Return the values with each property replaced by what it gives."""
        if not any(isinstance(each, Member) for each in values):
            return values
        found: set[Value] = set()
        for each in values:
            thing = self.tables.member(each.of, each.name) if isinstance(each, Member) else None
            if thing is not None and thing.arguments is None and thing.gives:
                found.add(Made(thing.gives))
            else:
                found.add(each)
        return frozenset(found)

    def _called(self, node: ast.Call, scope: Scope) -> Values:
        functions = self.values(node.func, scope)
        found = union(self._result(each) for each in functions)
        if found or any(isinstance(each, (Named, Member, Defined)) for each in functions):
            return found
        return self._of_well_known(node, scope)

    def _result(self, function: Value) -> Values:
        match function:
            case Named():
                thing = self.tables.thing(function.name)
                if thing is not None and thing.is_class:
                    return frozenset({Made(function.name)})
                return (
                    frozenset({Made(thing.gives)}) if thing is not None and thing.gives else NOTHING
                )
            case Member():
                thing = self.tables.member(function.of, function.name)
                return (
                    frozenset({Made(thing.gives)}) if thing is not None and thing.gives else NOTHING
                )
            case Defined() if function.scope.is_class:
                return frozenset({MadeHere(function.scope)})
            case Defined():
                return self.results(function.scope)
        return NOTHING

    def results(self, function: Scope) -> Values:
        """Return what a function of the code returns or yields."""
        found = self._union(function.results, function)
        returns = getattr(function.node, "returns", None)
        return found | self.instances(returns, function.parent or function)

    def _of_well_known(self, node: ast.Call, scope: Scope) -> Values:
        """Return what a call of a function that is known by its name gives."""
        name = name_of(node.func)
        if isinstance(node.func, ast.Attribute) and name in ELEMENTS | WHOLES:
            owner = self.values(node.func.value, scope)
            if any(isinstance(each, Held) for each in owner):
                return elements(owner) if name in ELEMENTS else owner
        if not node.args:
            return NOTHING
        first = node.args[0]
        if name in PASSING:
            return self.values(first, scope)
        if name in NEXT:
            return elements(self.values(first, scope)) | self.values(first, scope)
        if name in CALLING:
            return union(self._result(each) for each in self.values(first, scope))
        if name in CASTING and len(node.args) > 1:
            return self.instances(node.args[0], scope)
        if name == "getattr" and len(node.args) > 1:
            attribute = node.args[1]
            if isinstance(attribute, ast.Constant) and isinstance(attribute.value, str):
                return self.attribute(self.values(first, scope), attribute.value)
        if name in IMPORTING and isinstance(first, ast.Constant) and isinstance(first.value, str):
            return self.in_string(first.value)
        return NOTHING

    def in_string(self, text: str) -> Values:
        """Return what a full name in a string stands for, if it begins with a library's."""
        root, *parts = text.split(".")
        if not parts or not self._is_theirs(text) or not all(part.isidentifier() for part in parts):
            return NOTHING
        found: Values = frozenset({Named(root)})
        for part in parts:
            found = self.attribute(found, part)
        return found

    def _entered(self, values: Values) -> Values:
        found: set[Value] = set()
        for each in self.settled(values):
            thing = self.tables.thing(each.of) if isinstance(each, Made) else None
            found.add(Made(thing.enters) if thing is not None and thing.enters else each)
        return frozenset(found)

    def instances(self, node: ast.expr | None, scope: Scope) -> Values:
        """Return instances of the types that an annotation names."""
        match node:
            case ast.Constant(value=str() as text):
                try:
                    node = ast.parse(text, mode="eval").body
                except (SyntaxError, ValueError):
                    return NOTHING
                return self.instances(node, scope)
            case ast.BinOp(op=ast.BitOr()):
                return self.instances(node.left, scope) | self.instances(node.right, scope)
            case ast.Subscript():
                inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
                found = union(self.instances(each, scope) for each in inner)
                return found if name_of(node.value) in AROUND else held(found)
            case ast.List():
                return union(self.instances(each, scope) for each in node.elts)
            case ast.Name() | ast.Attribute():
                return union(self._instance(each) for each in self.values(node, scope))
        return NOTHING

    def _instance(self, of: Value) -> Values:
        match of:
            case Named():
                thing = self.tables.thing(of.name)
                return (
                    frozenset({Made(of.name)}) if thing is not None and thing.is_class else NOTHING
                )
            case Defined() if of.scope.is_class:
                return frozenset({MadeHere(of.scope)})
            case Made() | Held():  # a type of another name: Cache = Optional[Client]
                return frozenset({of})
        return NOTHING

    def _passed(self, function: Scope, parameter: str) -> Values:
        """Return what the calls of a function pass for a parameter, and what pytest does."""
        node = function.node
        if isinstance(node, ast.Lambda):
            return NOTHING
        assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        found = self._fixture(function, parameter)
        cls = function.method_of
        makes = cls is not None and node.name == "__init__"
        called = cls.node.name if makes and isinstance(cls.node, ast.ClassDef) else node.name  # type: ignore[union-attr]
        wanted = Defined(cls if makes and cls is not None else function)
        bound = cls is not None and not decorated(function, "staticmethod")
        positions = [each.arg for each in (*node.args.posonlyargs, *node.args.args)][bound:]
        for source in self._by_path.values():
            for call, scope in source.calls.get(called, ()):
                passed = _argument(call, parameter, positions)
                if passed is not None and wanted in self.values(call.func, scope):
                    found |= self.values(passed, scope)
        return found

    def _fixture(self, function: Scope, parameter: str) -> Values:
        """Return what the fixture of pytest of that name gives, in the file or a ``conftest``."""
        node = function.node
        is_test = getattr(node, "name", "").startswith("test") or decorated(function, "fixture")
        if not is_test:
            return NOTHING
        own = function.source
        folders = own.path.parents
        places = [own, *(self._by_path.get(folder / "conftest.py") for folder in folders)]
        for source in places:
            for binding in source.top.names.get(parameter, []) if source is not None else []:
                inner = binding.inner
                if inner is not None and inner is not function and decorated(inner, "fixture"):
                    return self.results(inner)
        return NOTHING


def _argument(call: ast.Call, name: str, positions: list[str]) -> ast.expr | None:
    """Return what a call passes for the parameter of that name."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    at = positions.index(name) if name in positions else len(call.args)
    return call.args[at] if at < len(call.args) else None


def _chain(node: ast.expr) -> list[ast.expr]:
    """Return the expressions that each is an attribute, an item or a call of the next."""
    found = [node]
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript, ast.Await)):
        node = node.func if isinstance(node, ast.Call) else node.value
        found.append(node)
    return found


def _dotted(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, (ast.Name, ast.Subscript, ast.Call))


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def union(many: Iterable[Values]) -> Values:
    """Return all values of all sets."""
    found: set[Value] = set()
    for each in many:
        found |= each
    return frozenset(found)


def held(values: Values) -> Values:
    """Return a container of these, if there are any."""
    return frozenset({Held(values)}) if values else NOTHING


def elements(values: Values) -> Values:
    """Return what the containers among these hold."""
    return union(each.values for each in values if isinstance(each, Held))
