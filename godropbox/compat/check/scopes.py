"""Reads one file into scopes: what each binds, and the spots where a library may be used.

One pass over the tree with a stack of its own, so that a long chain of calls or of ``elif`` needs
no deep recursion. Nothing is looked up here.
"""

import ast
import warnings
from collections.abc import Callable
from typing import Any, Final

from .values import Binding, How, Scope, Source, Spot

__all__ = ["read"]

FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
PATCHING: Final = frozenset({"patch", "setattr", "delattr", "dict", "multiple", "object"})


def read(source: Source) -> None:
    """Parse the source's text and fill its scopes; raise ``SyntaxError`` or ``ValueError``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an escape that is no escape is not ours to report
        tree = ast.parse(source.text, str(source.path))
    _Reader(source).read(tree)
    source.spots.sort(key=lambda spot: (spot.node.lineno, spot.node.col_offset))  # type: ignore[attr-defined]


def name_of(node: ast.AST) -> str:
    """Return the last part of a dotted expression, or nothing."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def decorated(scope: Scope, *names: str) -> bool:
    """Tell whether the function has a decorator with one of these last names."""
    decorators = getattr(scope.node, "decorator_list", [])
    return any(
        name_of(each.func if isinstance(each, ast.Call) else each) in names for each in decorators
    )


class _Reader:
    """The pass over one file."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._stack: list[tuple[ast.AST, Scope]] = []
        self._taken: set[ast.AST] = set()  # nodes that another spot speaks for
        self._by_type: dict[type, Callable[[Any, Scope], None]] = {
            ast.Import: self._import,
            ast.ImportFrom: self._import_from,
            ast.FunctionDef: self._function,
            ast.AsyncFunctionDef: self._function,
            ast.Lambda: self._function,
            ast.ClassDef: self._class,
            ast.Assign: self._assign,
            ast.AnnAssign: self._annotated,
            ast.NamedExpr: self._walrus,
            ast.For: self._for,
            ast.AsyncFor: self._for,
            ast.comprehension: self._for,
            ast.With: self._with,
            ast.AsyncWith: self._with,
            ast.ExceptHandler: self._handler,
            ast.Return: self._result,
            ast.Yield: self._result,
            ast.Global: self._global,
            ast.Call: self._call,
            ast.Attribute: self._attribute,
            ast.Name: self._name,
            ast.Subscript: self._subscript,
            ast.Compare: self._compare,
            ast.Constant: self._constant,
            ast.Dict: self._dict,
            ast.Expr: self._expression,
            ast.JoinedStr: self._format,
        }

    def read(self, tree: ast.Module) -> None:
        self._source.top = Scope(self._source, tree)
        self._stack.append((tree, self._source.top))
        while self._stack:
            node, scope = self._stack.pop()
            visit = self._by_type.get(type(node))
            if visit is None:
                self._push(scope, *ast.iter_child_nodes(node))
            else:
                visit(node, scope)

    def _push(self, scope: Scope, *nodes: ast.AST | None) -> None:
        self._stack.extend((node, scope) for node in reversed(nodes) if node is not None)

    def _spot(self, node: ast.AST, scope: Scope, part: str) -> None:
        self._source.spots.append(Spot(node, scope, part))

    def _bind(self, target: ast.AST, how: How, node: ast.expr, scope: Scope) -> None:
        """Bind a target of an assignment, a loop or a with-block."""
        if isinstance(target, ast.Name):
            self._add(target.id, scope, Binding(how, scope, node))
        elif isinstance(target, (ast.Tuple, ast.List)):
            values = node.elts if isinstance(node, (ast.Tuple, ast.List)) else []
            if how is How.IS and len(values) == len(target.elts):
                for each, value in zip(target.elts, values, strict=True):
                    self._bind(each, how, value, scope)
            else:
                for each in target.elts:
                    self._bind(each, How.IN, node, scope)
        elif isinstance(target, ast.Starred):
            self._bind(target.value, How.IN, node, scope)
        elif isinstance(target, (ast.Attribute, ast.Subscript)):
            binding = Binding(how, scope, node)
            owner = self._owner(target, scope)
            if owner is not None and isinstance(target, ast.Attribute):
                owner.names.setdefault(target.attr, []).append(binding)
            else:
                others = self._source.top.others
                others.setdefault(ast.unparse(target), []).append(binding)

    def _add(self, name: str, scope: Scope, binding: Binding) -> None:
        at = self._source.top if name in scope.globals else scope
        at.names.setdefault(name, []).append(binding)

    def _owner(self, target: ast.Attribute | ast.Subscript, scope: Scope) -> Scope | None:
        """Return the class whose ``self`` or ``cls`` the target is an attribute of."""
        if not isinstance(target.value, ast.Name):
            return None
        for at in scope.outward():
            for binding in at.names.get(target.value.id, []):
                if binding.how in (How.SELF, How.DEFINED) and binding.inner is not None:
                    return binding.inner if binding.inner.is_class else None
        return None

    def _import(self, node: ast.Import, scope: Scope) -> None:
        self._spot(node, scope, "import")
        for alias in node.names:
            target = alias.name if alias.asname else alias.name.partition(".")[0]
            bound = alias.asname or target
            self._add(bound, scope, Binding(How.IMPORT, scope, target=target))

    def _import_from(self, node: ast.ImportFrom, scope: Scope) -> None:
        module = self._absolute(node)
        if module is None:
            return
        self._spot(node, scope, "import")
        for alias in node.names:
            if alias.name == "*":
                self._source.stars.append(module)
            else:
                binding = Binding(How.IMPORT, scope, target=f"{module}:{alias.name}")
                self._add(alias.asname or alias.name, scope, binding)

    def _absolute(self, node: ast.ImportFrom) -> str | None:
        """Return the full name of the module that things are imported from."""
        if not node.level:
            return node.module
        parts = self._source.name.split(".")
        up = node.level - self._source.is_package
        if up >= len(parts) and not (up == len(parts) and node.module):
            return None
        base = parts[: len(parts) - up]
        return ".".join([*base, node.module] if node.module else base)

    def _function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope
    ) -> None:
        inner = Scope(self._source, node, scope)
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        defaults = [None] * (len(every) - len(arguments.kwonlyargs) - len(arguments.defaults))
        values = [*defaults, *arguments.defaults, *arguments.kw_defaults]
        for at, (argument, default) in enumerate(zip(every, values, strict=True)):
            name = argument.arg
            if at == 0 and scope.is_class and not decorated(inner, "staticmethod"):
                of_class = decorated(inner, "classmethod")
                how = How.DEFINED if of_class else How.SELF
                inner.names[name] = [Binding(how, scope, inner=scope)]
                continue
            bindings = inner.names.setdefault(name, [])
            if argument.annotation is not None:
                bindings.append(Binding(How.OF, scope, argument.annotation))
            if default is not None:
                bindings.append(Binding(How.IS, scope, default))
            bindings.append(Binding(How.CALLS, inner, target=name))
        self._push(inner, *ast.iter_child_nodes(arguments))
        self._scopes(node, inner)
        if isinstance(node, ast.Lambda):
            inner.results.append(node.body)
            self._push(inner, node.body)
            return
        self._add(node.name, scope, Binding(How.DEFINED, scope, inner=inner))
        self._push(scope, *node.decorator_list, node.returns)
        self._push(inner, *node.body)
        # Bindings of globals come first, so that what follows lands in the right scope.
        for each in ast.walk(node):
            if isinstance(each, ast.Global):
                inner.globals.update(each.names)

    def _scopes(self, node: ast.AST, inner: Scope) -> None:
        self._source.scopes[node] = inner

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        inner = Scope(self._source, node, scope)
        self._scopes(node, inner)
        self._add(node.name, scope, Binding(How.DEFINED, scope, inner=inner))
        for base in node.bases:
            self._taken.add(base)
            self._spot(base, scope, "base")
        self._spot(node, scope, "class")
        self._push(scope, *node.decorator_list, *node.bases, *node.keywords)
        self._push(inner, *node.body)

    def _assign(self, node: ast.Assign, scope: Scope) -> None:
        for target in node.targets:
            self._bind(target, How.IS, node.value, scope)
            if isinstance(target, ast.Attribute):
                self._taken.add(target)
                self._spot(node, scope, "assignment")
            elif isinstance(target, ast.Subscript):
                self._source.assigned[target] = node.value
        self._push(scope, *node.targets, node.value)

    def _annotated(self, node: ast.AnnAssign, scope: Scope) -> None:
        self._bind(node.target, How.OF, node.annotation, scope)
        if node.value is not None:
            self._bind(node.target, How.IS, node.value, scope)
        self._push(scope, node.target, node.annotation, node.value)

    def _walrus(self, node: ast.NamedExpr, scope: Scope) -> None:
        self._bind(node.target, How.IS, node.value, scope)
        self._push(scope, node.value)

    def _for(self, node: ast.For | ast.AsyncFor | ast.comprehension, scope: Scope) -> None:
        self._bind(node.target, How.IN, node.iter, scope)
        self._push(scope, *ast.iter_child_nodes(node))

    def _with(self, node: ast.With | ast.AsyncWith, scope: Scope) -> None:
        for item in node.items:
            if item.optional_vars is not None:
                self._bind(item.optional_vars, How.WITH, item.context_expr, scope)
        self._push(scope, *ast.iter_child_nodes(node))

    def _handler(self, node: ast.ExceptHandler, scope: Scope) -> None:
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        for kind in kinds:
            if isinstance(kind, (ast.Name, ast.Attribute)):
                self._taken.add(kind)
                self._spot(kind, scope, "error")
        self._push(scope, *ast.iter_child_nodes(node))

    def _result(self, node: ast.Return | ast.Yield, scope: Scope) -> None:
        if node.value is not None:
            if scope.is_function:
                scope.results.append(node.value)
            self._push(scope, node.value)

    def _global(self, node: ast.Global, scope: Scope) -> None:
        """Leave it: the function has seen it."""

    def _call(self, node: ast.Call, scope: Scope) -> None:
        name = name_of(node.func)
        self._source.calls.setdefault(name, []).append((node, scope))
        self._taken.add(node.func)
        self._spot(node, scope, "call")
        if name in PATCHING and node.args and isinstance(node.args[0], ast.Constant):
            self._taken.add(node.args[0])
            self._spot(node.args[0], scope, "patch")
        self._push(scope, node.func, *node.args, *node.keywords)

    def _attribute(self, node: ast.Attribute, scope: Scope) -> None:
        if node not in self._taken:
            self._spot(node, scope, "name")
        self._taken.add(node.value)
        self._push(scope, node.value)

    def _name(self, node: ast.Name, scope: Scope) -> None:
        if node not in self._taken and isinstance(node.ctx, ast.Load):
            self._spot(node, scope, "name")

    def _subscript(self, node: ast.Subscript, scope: Scope) -> None:
        self._spot(node, scope, "item")
        self._push(scope, node.value, node.slice)

    def _compare(self, node: ast.Compare, scope: Scope) -> None:
        if any(isinstance(each, (ast.In, ast.NotIn)) for each in node.ops):
            self._spot(node, scope, "contains")
        self._push(scope, node.left, *node.comparators)

    def _constant(self, node: ast.Constant, scope: Scope) -> None:
        if isinstance(node.value, str) and node not in self._taken:
            self._spot(node, scope, "string")

    def _dict(self, node: ast.Dict, scope: Scope) -> None:
        self._spot(node, scope, "dict")
        self._push(scope, *node.keys, *node.values)

    def _expression(self, node: ast.Expr, scope: Scope) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring names much that is not used
            self._push(scope, node.value)

    def _format(self, node: ast.JoinedStr, scope: Scope) -> None:
        self._push(scope, *(each for each in node.values if not isinstance(each, ast.Constant)))
