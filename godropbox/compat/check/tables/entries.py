"""The terms of the tables: an entry for each name and argument of another library.

An entry says what becomes of the name: in the face of that library that this package has, under the
same name, and over this package's own ``Client``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Argument", "Fate", "Library", "Thing", "arguments", "instead", "method"]


class Fate(StrEnum):
    """What becomes of a name: its counterpart is the same, differs, or is not there."""

    SAME = "same"
    DIFFERS = "differs"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of theirs: what it becomes over ``Client`` (nothing if it is to be left out).

    `keys` are those of a dict that is passed for it. With `if_set` it is the same where a false
    constant is passed; with `refuses`, a regular expression, unless a string that is passed, or one
    in a list, matches it.
    """

    client: str = ""
    fate: Fate = Fate.SAME
    why: str = ""
    keys: Mapping[str, "Argument"] | None = None
    if_set: bool = False
    refuses: str = ""


@dataclass(frozen=True, slots=True)
class Thing:
    """A function, class, constant or member of theirs.

    - `client`: what to write over ``Client``; ``{}`` stands for what the arguments become.
    - `face`: what to write in its place in a string; elsewhere names and modules tell.
    - `why`: why it differs or is not there, in a few words.
    - `arguments`: in their order, so that positions tell names; None for what is not called.
    - `open_ended`: it takes other arguments as well.
    - `members`: of a class. `parents` are classes whose members it has, too.
    - `keys`: of a dict that it is, or that is assigned to it.
    - `hooks`: methods that a subclass may define there and that are not called here; and why.
    - `gives`: the class of what a call, or for a property the name itself, gives.
    - `enters`: the class of what a with-block is given, if that is not the thing itself.
    """

    client: str = ""
    fate: Fate = Fate.SAME
    why: str = ""
    face: str = ""
    arguments: Mapping[str, Argument] | None = None
    open_ended: bool = False
    members: Mapping[str, "Thing"] = field(default_factory=dict)
    keys: Mapping[str, Argument] | None = None
    parents: tuple[str, ...] = ()
    hooks: Mapping[str, str] = field(default_factory=dict)
    is_class: bool = False
    is_error: bool = False
    gives: str = ""
    enters: str = ""


@dataclass(frozen=True, slots=True)
class Library:
    """All that one library has.

    - `name` and `version`: as on PyPI; the version that the table describes.
    - `roots`: the top modules that are its own, whole.
    - `modules`: the names of each module, each with the full name of the thing.
    - `things`: by full name.
    - `faces`: by module of theirs, the module of ours that has the same names.
    - `without`: why, of each module that has no face.
    - `strings`: what becomes of names that stand in strings, such as settings.
    - `common_name`: other projects have modules of the names of its roots.
    """

    name: str
    version: str
    roots: tuple[str, ...]
    modules: Mapping[str, Mapping[str, str]]
    things: Mapping[str, Thing]
    faces: Mapping[str, str]
    without: Mapping[str, str] = field(default_factory=dict)
    strings: Mapping[str, Thing] = field(default_factory=dict)
    common_name: bool = False


def arguments(names: str, **special: Argument) -> dict[str, Argument]:
    """Return the arguments of these names, of which some are special."""
    return {name: special.get(name, Argument()) for name in names.split()}


def method(
    client: str, names: str = "", why: str = "", gives: str = "", **special: Argument
) -> Thing:
    """Return a method that takes arguments of these names; with a `why` it differs."""
    fate = Fate.DIFFERS if why else Fate.SAME
    return Thing(client, fate, why, arguments=arguments(names, **special), gives=gives)


def instead(client: str) -> Argument:
    """Return an argument that is the same, and is written so over ``Client``."""
    return Argument(client)
