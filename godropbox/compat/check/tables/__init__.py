"""What other libraries have, and what each name of theirs becomes: a table a library.

A test compares the tables with the libraries themselves, and with the faces of them here.
"""

from collections.abc import Collection
from functools import cached_property
from typing import Final

from .django import DJANGO
from .entries import Argument, Fate, Library, Thing
from .frameworks import AIOCACHE, CACHELIB, DOGPILE, FLASK_CACHING
from .pylibmc import PYLIBMC
from .pymemcache import PYMEMCACHE
from .python_memcached import PYTHON_MEMCACHED

__all__ = ["LIBRARIES", "Argument", "Fate", "Library", "Tables", "Thing"]

LIBRARIES: Final = (
    PYMEMCACHE,
    PYLIBMC,
    PYTHON_MEMCACHED,
    DJANGO,
    DOGPILE,
    FLASK_CACHING,
    CACHELIB,
    AIOCACHE,
)


class Tables:
    """The tables of several libraries, to look names up in."""

    def __init__(self, libraries: Collection[Library] = LIBRARIES) -> None:
        self._of_module = {module: each for each in libraries for module in each.modules}
        self._of_root = {root: each for each in libraries for root in each.roots}
        self._things = {
            name: (each, thing) for each in libraries for name, thing in each.things.items()
        }
        self._strings = {
            text: (each, thing) for each in libraries for text, thing in each.strings.items()
        }

    @cached_property
    def packages(self) -> frozenset[str]:
        """The names of all packages that a module of a library is in."""
        found: set[str] = set()
        for module in self._of_module:
            parts = module.split(".")
            found.update(".".join(parts[:end]) for end in range(1, len(parts)))
        return frozenset(found)

    def is_theirs(self, module: str) -> bool:
        """Tell whether a module is a library's, or a package that one is in."""
        root = module.partition(".")[0]
        return root in self._of_root or module in self._of_module or module in self.packages

    def may_be_shadowed(self, module: str) -> bool:
        """Tell whether a module of the code may have the name of a library's."""
        library = self._of_root.get(module.partition(".")[0])
        return library is not None and library.common_name

    def library(self, name: str) -> Library | None:
        """Return the library that a full name is of."""
        known = self._things.get(name)
        if known is not None:
            return known[0]
        parts = name.split(".")
        for end in range(len(parts), 0, -1):
            found = self._of_module.get(".".join(parts[:end]))
            if found is not None:
                return found
        return self._of_root.get(parts[0])

    def is_module(self, name: str) -> bool:
        """Tell whether a full name is a library's module."""
        return name in self._of_module

    def names_of(self, module: str) -> Collection[str]:
        """Return the names in a module of a library."""
        library = self._of_module.get(module)
        return library.modules[module] if library is not None else ()

    def resolve(self, owner: str, name: str) -> str | None:
        """Return the full name of what a module has under a name."""
        library = self._of_module.get(owner)
        found = library.modules[owner].get(name) if library is not None else None
        if found is not None:
            return found
        full = f"{owner}.{name}"
        return full if full in self._of_module or full in self.packages else None

    def is_open(self, owner: str) -> bool:
        """Tell whether other names of a module are a library's as well, unknown ones."""
        return owner.partition(".")[0] in self._of_root

    def thing(self, name: str) -> Thing | None:
        """Return the thing of a full name."""
        known = self._things.get(name)
        return known[1] if known is not None else None

    def member(self, of: str, name: str) -> Thing | None:
        """Return a member of a class, or of the classes whose members it has, too."""
        thing = self.thing(of)
        if thing is None:
            return None
        if name in thing.members:
            return thing.members[name]
        found = (self.member(parent, name) for parent in thing.parents)
        return next((each for each in found if each is not None), None)

    def string(self, text: str) -> tuple[Library, Thing] | None:
        """Return what a setting of this text names."""
        return self._strings.get(text)
