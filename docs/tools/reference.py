"""What the reference shows of the sources, which Griffe reads without running them.

A name that is taken from a compiled kernel, as ``hash32 = _kernel.hash32``, gets the signature and
the docstring of the function it stands for. A public class shows what it inherits from private
classes as its own; what it has from a public class is found there, by the link to its base.
"""

import copy
from typing import Any

import griffe

__all__ = ["Shown"]

DUNDERS = ("__init__", "__call__", "__iter__", "__len__", "__getitem__", "__contains__")


class Shown(griffe.Extension):
    """The extension that mkdocs.yml names."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Change what was read of the package."""
        modules = list(_modules(pkg))
        for module in modules:
            _take_from_kernels(module)
            _leave_out_helpers(module)
        public = {name for module in modules for name in _public_classes(module)}
        for path in public:
            found = pkg.modules_collection.get_member(path)
            if isinstance(found, griffe.Class):
                _own_what_is_private(found, public)


def _modules(module: griffe.Module) -> Any:
    yield module
    for member in module.modules.values():
        if not member.is_alias:
            yield from _modules(member)


def _take_from_kernels(module: griffe.Module) -> None:
    """Put functions where a module names them as ``name = _kernel.name``."""
    for name, member in list(module.attributes.items()):
        if member.is_alias or not isinstance(member.value, griffe.ExprAttribute):
            continue
        kernel, *rest = str(member.value).split(".")
        if len(rest) != 1 or kernel not in module.members:
            continue
        try:
            found = module.members[kernel].members[rest[0]]
            if isinstance(found, griffe.Alias):
                found = found.final_target
        except (AttributeError, KeyError, griffe.AliasResolutionError):
            continue
        if isinstance(found, griffe.Function):
            shown = copy.copy(found)
            shown.name = name
            module.set_member(name, shown)


def _leave_out_helpers(module: griffe.Module) -> None:
    """Drop a public module's types and constants that it does not export."""
    exported = {str(name) for name in module.exports or ()}
    for name, member in list(module.attributes.items()):
        if exported and name not in exported and not member.is_alias and name != "__all__":
            del module.members[name]


def _public_classes(module: griffe.Module) -> Any:
    """Yield the paths of the classes that a module exports, where they are written."""
    if any(part.startswith("_") for part in module.path.split(".")):
        return
    for name in module.exports or ():
        member = module.members.get(str(name))
        try:
            if member is not None and member.is_class:
                yield member.canonical_path
        except griffe.AliasResolutionError:
            continue


def _own_what_is_private(cls: griffe.Class, public: set[str]) -> None:
    for base in cls.mro():
        if base.path in public:
            break  # the page shows that class, and what is above it
        for name, member in base.members.items():
            if name in cls.members or (name.startswith("_") and name not in DUNDERS):
                continue
            shown = copy.copy(member)
            shown.parent = cls
            cls.members[name] = shown
