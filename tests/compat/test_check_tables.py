"""The tables of ``godropbox.compat.check``, against the libraries and against our faces of them."""

import inspect
from collections.abc import Iterator
from importlib import import_module, metadata
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

import pytest

from godropbox import memcache
from godropbox.compat.check.tables import LIBRARIES, Fate, Library, Thing

INSTALLED = [library for library in LIBRARIES if library.roots]
# Modules of pymemcache's repository that its release lacks; our face has them.
UNPUBLISHED = ("pymemcache.client.ext", "pymemcache.client.ext.aws_ec_client")


def name_of(library: Library) -> str:
    return library.name


def module_of(name: str) -> ModuleType:
    if name != "memcache":
        return import_module(name)
    # By its place: under pytest that is the name of a folder of tests.
    place = str(metadata.distribution("python-memcached").locate_file("memcache.py"))
    spec = spec_from_file_location("python_memcached", place)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names_in(module: ModuleType, library: Library) -> set[str]:
    """Return the names of a module that are the library's own, and not modules."""
    names = {name for name in vars(module) if not name.startswith("_")}
    own = {"pylibmc", "_pylibmc"} if library.name == "pylibmc" else {*library.roots}
    found = set()
    for name in names:
        value = getattr(module, name)
        home = getattr(value, "__module__", None) or module.__name__
        if not isinstance(value, ModuleType) and (
            home.partition(".")[0] in own
            or (library.name == "python-memcached" and home == module.__name__)
        ):
            found.add(name)
    return found


IGNORED = {
    # Of pymemcache: type variables, loggers, and what it takes from the typing module.
    "T", "P", "Key", "logger", "Self", "lz4",
    # Of pylibmc.consts and client: loop variables, and modules under other names.
    "name", "key", "value", "exc", "modpkg", "modself", "n", "e",
}  # fmt: skip


@pytest.mark.parametrize("library", INSTALLED, ids=name_of)
def test_the_tables_have_every_name_of_the_libraries(library: Library) -> None:
    for name, known in library.modules.items():
        if name in UNPUBLISHED:
            continue
        module = module_of(name)
        theirs = names_in(module, library) - IGNORED
        listed = {each for each in known if not each.startswith("__")}
        assert theirs - listed == set() or name in library.without, (
            f"{name} has names that the table has not"
        )
        missing = {each for each in listed if not hasattr(module, each)}
        assert missing == set(), f"the table of {name} has names that it has not"


def classes(library: Library) -> Iterator[tuple[str, type, Thing]]:
    for module, names in library.modules.items():
        for name, full in names.items() if module not in UNPUBLISHED else ():
            thing = library.things[full]
            if thing.is_class and not thing.is_error:
                yield full, getattr(module_of(module), name), thing


def parameters(function: Any) -> tuple[list[str], bool] | None:
    """Return the names of parameters, and whether there are others; None where C hides them."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return None
    kinds = {each.kind for name, each in signature.parameters.items() if name != "self"}
    if inspect.Parameter.POSITIONAL_ONLY in kinds:
        return None  # CPython 3.14 calls the one argument of a function in C "object"
    names = [
        name
        for name, each in signature.parameters.items()
        if name != "self" and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    return names, bool(kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD})


@pytest.mark.parametrize("library", INSTALLED, ids=name_of)
def test_the_tables_have_every_member_and_argument_of_the_libraries(library: Library) -> None:
    compared = 0
    for full, cls, thing in classes(library):
        if issubclass(cls, dict) and full != "pylibmc.pools.ThreadMappedPool":
            continue
        public = {
            name
            for name in dir(cls)
            if not name.startswith("_") and not isinstance(getattr(cls, name), type)
        }
        listed = set(thing.members)
        of_parents = full.endswith("RetryingClient")
        assert public - listed == set() or of_parents, f"{full} has members that the table has not"
        taken = parameters(cls)
        if taken is not None and thing.arguments is not None:
            names, _ = taken
            assert list(thing.arguments) == names, f"arguments of {full}"
            compared += 1
        for name, member in thing.members.items():
            theirs = getattr(cls, name, None)
            if member.arguments is None or not callable(theirs) or isinstance(theirs, type):
                continue
            taken = parameters(theirs)
            if taken is not None and not taken[1] and not member.open_ended:
                assert list(member.arguments) == taken[0], f"arguments of {full}.{name}"
                compared += 1
    assert compared > 20 or library.name == "pylibmc"


@pytest.mark.parametrize("library", INSTALLED[:2], ids=name_of)
def test_the_faces_have_what_the_tables_say(library: Library) -> None:
    """Every name that the table says is the same is there, and takes the same arguments."""
    for module, names in library.modules.items():
        if module not in library.faces:
            continue
        face = import_module(library.faces[module])
        for name, full in names.items():
            thing = library.things[full]
            where = f"{library.faces[module]}.{name}"
            if thing.fate is Fate.SAME:
                assert hasattr(face, name), f"{where} is not there"
                hold(where, getattr(face, name), thing)


def hold(where: str, ours: Any, thing: Thing) -> None:
    if thing.is_error:
        assert issubclass(ours, Exception)
        return
    if thing.arguments is not None:
        taken = parameters(ours)
        if taken is not None and not taken[1] and not thing.open_ended:
            # The face may take more; what the table says is not there, it has not.
            theirs = [
                name
                for name, each in thing.arguments.items()
                if each.fate is not Fate.NONE or each.refuses
            ]
            assert taken[0][: len(theirs)] == theirs, f"arguments of {where}"
    if isinstance(ours, type):
        for name, member in thing.members.items():
            if member.fate is not Fate.NONE and member.arguments is not None:
                assert hasattr(ours, name), f"{where}.{name} is not there"
                hold(f"{where}.{name}", getattr(ours, name), member)


def test_what_is_written_over_our_client_is_there() -> None:
    options = {field.name for field in memcache.ClientOptions.__dataclass_fields__.values()}
    seen = 0
    for library in LIBRARIES:
        for full, thing in library.things.items():
            for each in (thing.arguments or {}).values():
                name = each.client.partition("=")[0]
                if "=" in each.client:
                    assert name in options, f"{full}: {each.client}"
                    seen += 1
            for member in thing.members.values():
                call, paren, _ = member.client.partition("(")
                if paren and call.isidentifier() and call.islower():
                    assert hasattr(memcache.Client, call), f"{full}: {member.client}"
                    seen += 1
            if thing.is_error:
                for name in filter(None, thing.client.split(", ")):
                    assert hasattr(memcache, name.removeprefix("memcache.")), f"{full}: {name}"
                    seen += 1
    assert seen > 150
