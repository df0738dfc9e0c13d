"""What an expression of the code that is read can stand for, as far as the libraries go.

These are values, compared by what they are. A scope is what one module, class or function binds.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

__all__ = [
    "Binding",
    "Defined",
    "Held",
    "How",
    "Made",
    "MadeHere",
    "Member",
    "Module",
    "Named",
    "Scope",
    "Source",
    "Spot",
    "Value",
    "Values",
]


@dataclass(frozen=True, slots=True)
class Named:
    """A module, class, function or constant of a library, by its full name."""

    name: str


@dataclass(frozen=True, slots=True)
class Made:
    """An instance of a library's class."""

    of: str


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an instance of a library's class, or of the class itself."""

    of: str
    name: str


@dataclass(frozen=True, slots=True)
class Held:
    """A container, which holds these."""

    values: "Values"


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the code that is read, by its full name."""

    name: str


@dataclass(frozen=True, slots=True)
class Defined:
    """A function or class that the code defines."""

    scope: "Scope"


@dataclass(frozen=True, slots=True)
class MadeHere:
    """An instance of a class that the code defines."""

    scope: "Scope"


Value = Named | Made | Member | Held | Module | Defined | MadeHere
Values = frozenset[Value]


class How(Enum):
    """How a binding gives a name its value."""

    IS = auto()  # the value of the expression
    IN = auto()  # what iterating over it gives
    WITH = auto()  # what a with-block is given for it
    OF = auto()  # an instance of the type that it names
    CALLS = auto()  # what calls of the scope's function pass for the parameter of this name
    IMPORT = auto()  # what an import statement names
    DEFINED = auto()  # the function or class of the inner scope
    SELF = auto()  # an instance of the class of the inner scope


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Binding:
    """One way in which a name gets a value; `target` is what an import or a call names."""

    how: How
    scope: "Scope"
    node: ast.expr | None = None
    target: str = ""
    inner: "Scope | None" = None


@dataclass(slots=True, eq=False, repr=False)
class Scope:
    """What a module, a class or a function binds, and for a function what it returns or yields.

    `others` are bindings of targets that are no names, by their text: ``self.cache``, ``g["mc"]``.
    """

    source: "Source"
    node: ast.AST
    parent: "Scope | None" = None
    names: dict[str, list[Binding]] = field(default_factory=dict)
    others: dict[str, list[Binding]] = field(default_factory=dict)
    globals: set[str] = field(default_factory=set)
    results: list[ast.expr] = field(default_factory=list)

    @property
    def is_class(self) -> bool:
        """Whether this is the scope of a class."""
        return isinstance(self.node, ast.ClassDef)

    @property
    def is_function(self) -> bool:
        """Whether this is the scope of a function or a lambda."""
        return isinstance(self.node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))

    @property
    def method_of(self) -> "Scope | None":
        """The class that this function is a method of."""
        parent = self.parent
        return parent if self.is_function and parent is not None and parent.is_class else None

    def outward(self) -> Iterator["Scope"]:
        """Yield the scopes in which a name is looked up, this one first, the module's last."""
        yield self
        at = self.parent
        while at is not None:
            if not at.is_class:
                yield at
            at = at.parent


@dataclass(frozen=True, slots=True)
class Spot:
    """A place to look at: a node, its scope, and the part it plays there."""

    node: ast.AST
    scope: Scope
    part: str


@dataclass(slots=True, eq=False, repr=False)
class Source:
    """A file that was read: its path, the names it can be imported by, its scopes and spots."""

    path: Path
    names: list[str]
    is_package: bool
    text: bytes
    top: Scope = field(init=False)
    stars: list[str] = field(default_factory=list)
    scopes: dict[ast.AST, Scope] = field(default_factory=dict)
    spots: list[Spot] = field(default_factory=list)
    calls: dict[str, list[tuple[ast.Call, Scope]]] = field(default_factory=dict)
    assigned: dict[ast.AST, ast.expr] = field(default_factory=dict)  # to items

    @property
    def name(self) -> str:
        """The longest of its names."""
        return self.names[0]
