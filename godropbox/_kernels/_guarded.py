"""Safe access to foreign objects on error paths: each call of foreign code is guarded by itself.

A user's ``__str__``, ``__repr__``, ``__setattr__`` or notes must not replace the exception that is
being raised. Only ``Exception`` is caught: KeyboardInterrupt and its like are for the program.
Python's own attributes are read and set through its descriptors, which no class can override.
"""

from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CoroutineType,
    GeneratorType,
    GetSetDescriptorType,
    MemberDescriptorType,
)

TYPE_CHECKING = False  # not typing's: that module takes longer to import than this one

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

__all__ = [
    "FIELDS",
    "PLAIN",
    "add_note",
    "args_of",
    "brief",
    "kind_of",
    "link",
    "linked",
    "members",
    "name_of",
    "next_in_chain",
    "notes_of",
    "own_copy",
    "refuse_unrun",
    "refuse_unrun_values",
    "require_plain",
    "set_args",
    "set_cause",
    "slots_of",
    "text",
    "text_of",
    "without_frames",
    "without_init",
]

# The attribute that holds the fields, on our errors and on others that passed through a context.
FIELDS = "_error_fields"

_name: "Any" = vars(type)["__name__"].__get__
_qualname: "Any" = vars(type)["__qualname__"].__get__
_args: "Any" = vars(BaseException)["args"]
_cause: "Any" = vars(BaseException)["__cause__"]
_context: "Any" = vars(BaseException)["__context__"]
_suppress: "Any" = vars(BaseException)["__suppress_context__"]
_traceback: "Any" = vars(BaseException)["__traceback__"]
_members: "Any" = vars(BaseExceptionGroup)["exceptions"]


def name_of(cls: type) -> str:
    """Return a class's name, without asking its metaclass."""
    return str.__str__(_name(cls))


def kind_of(exc: BaseException) -> str:
    """Return the qualified name of an exception's class."""
    cls = type(exc)
    try:
        module = f"{cls.__module__}"
    except Exception:
        module = "?"
    return f"{module}.{str.__str__(_qualname(cls))}"


def text_of(exc: BaseException) -> str:
    """Return the text of an exception; never raise."""
    try:
        return str.__str__(str(exc))
    except Exception as error:
        cls = str.__str__(_qualname(type(exc)))
        return f"<{cls} whose __str__ raised {name_of(type(error))}>"


def brief(value: object) -> str:
    """Return the repr of `value` in at most 200 characters; never raise."""
    kind = type(value)
    if issubclass(kind, int) and int.bit_length(value) > 256:  # type: ignore[arg-type]
        return shown_int(value)
    try:
        shown = str.__str__(repr(value))
    except Exception:
        shown = object.__repr__(value)
    return shown if len(shown) <= 200 else shown[:197] + "..."


def shown_int(value: "Any") -> str:
    """Return a short text for an int that has too many digits to print."""
    sign = "a negative" if int.__lt__(value, 0) else "an"
    return f"{sign} int of {int.bit_length(value)} bits"


def text(value: object) -> str:
    """Return `value`, which should be a str, as a str; never raise."""
    if issubclass(type(value), str):
        return str.__str__(value)
    try:
        return str.__str__(str(value))
    except Exception:
        return brief(value)


# Notes


def notes_of(exc: BaseException) -> list[str]:
    """Return the notes of an exception, whatever type ``__notes__`` has."""
    try:
        held: Any = getattr(exc, "__notes__", None)
        given = list(held) if issubclass(type(held), (list, tuple)) else [held]
    except Exception:
        return []
    return [text(note) for note in given if note is not None]


def add_note(exc: BaseException, note: str) -> None:
    """Add a note to an exception, or do nothing if it takes none."""
    try:
        exc.add_note(note)
    except Exception:
        try:
            notes = notes_of(exc)
            if note not in notes:
                BaseException.__setattr__(exc, "__notes__", [*notes, note])
        except Exception:
            return


# Chains


def members(exc: BaseException) -> tuple[BaseException, ...]:
    """Return the members of an exception group, or () for any other exception."""
    if not issubclass(type(exc), BaseExceptionGroup):
        return ()
    found: tuple[BaseException, ...] = _members.__get__(exc)
    return found


def linked(exc: BaseException) -> "tuple[BaseException | None, BaseException | None, bool]":
    """Return the cause, the context and whether the context is suppressed."""
    return _cause.__get__(exc), _context.__get__(exc), _suppress.__get__(exc)


def link(exc: BaseException, links: "tuple[Any, Any, bool]") -> None:
    """Set what ``linked`` returns; the flag last, because setting a cause sets it."""
    cause, context, suppressed = links
    _cause.__set__(exc, cause)
    _context.__set__(exc, context)
    _suppress.__set__(exc, suppressed)


def next_in_chain(exc: BaseException) -> list[BaseException]:
    """Return a group's members, then the cause, or the context unless it is suppressed."""
    found = list(members(exc))
    cause, context, suppressed = linked(exc)
    if cause is not None:
        found.append(cause)
    elif context is not None and not suppressed:
        found.append(context)
    return found


# Copies

args_of: "Any" = _args.__get__
set_args: "Any" = _args.__set__
set_cause: "Any" = _cause.__set__


def without_init(cls: type, args: "tuple[Any, ...]") -> "Any":
    """Return a new error without calling ``__init__``, whose arguments are unknown."""
    base: Any = _layout(cls)
    # An OSError would read two arguments as a number and its text.
    error: Any = base.__new__(cls) if issubclass(base, OSError) else base.__new__(cls, *args)
    _args.__set__(error, args)
    return error


def _layout(cls: type) -> type:
    """Return the base that defines the object's memory layout and ``__new__``.

    With several bases, ``cls.__new__`` can come from another one, and then Python raises.
    """
    base: type = cls
    while not _has_built_in_new(base):
        assert base.__base__ is not None  # object has one
        base = base.__base__
    return base


def _has_built_in_new(cls: type) -> bool:
    new = vars(cls).get("__new__")
    # PyPy has a staticmethod there, as Python's classes have.
    return isinstance(new, BuiltinFunctionType) or (new is not None and not _is_made(cls))


def _has_hidden_fields(cls: type) -> bool:
    """Return whether instances keep more than ``BaseException`` does, outside dict and slots."""
    layout: Any = _layout(cls)
    if hasattr(layout, "__basicsize__"):
        return bool(layout.__basicsize__ != BaseException.__basicsize__)
    return layout is not BaseException  # PyPy: what has fields has its own __new__


# Py_TPFLAGS_HEAPTYPE: a class made at run time, whose instances keep attributes in a dict or slots.
_IS_HEAP_TYPE = 1 << 9


def _is_made(cls: type) -> bool:
    """Return whether a class was made at run time."""
    return cls.__flags__ & _IS_HEAP_TYPE != 0


def own_copy(exc: BaseException) -> BaseException:
    """Return a copy of `exc` to raise elsewhere, or `exc` itself if it cannot be copied.

    The copy has its own notes and fields, and shares cause, context and traceback with `exc`.
    """
    import copy  # here, so that importing the package does not

    for make in (copy.copy, _copied_without_init):
        try:
            copied = make(exc)
            if _is_like(copied, exc):
                _finish(copied, exc)
                return copied
        except Exception:
            copied = exc  # try the other way
    return exc


def _is_like(copied: BaseException, exc: BaseException) -> bool:
    return (
        copied is not exc
        and type(copied) is type(exc)
        and text_of(copied) == text_of(exc)
        and bool(_args.__get__(copied) == _args.__get__(exc))
    )


def _copied_without_init(exc: BaseException) -> BaseException:
    """Return a copy of an exception whose ``__init__`` does not accept its ``args``."""
    cls = type(exc)
    own = [base for base in cls.__mro__ if not issubclass(BaseException, base)]
    made: BaseException = exc
    # A class with its own copy methods or hidden fields failed for a reason we cannot see.
    if not _has_hidden_fields(cls) and not any(
        name in vars(base) for base in own for name in ("__copy__", "__reduce__", "__reduce_ex__")
    ):
        made = without_init(cls, _args.__get__(exc))
        made.__dict__.update(exc.__dict__)
    return made


def _finish(copied: BaseException, exc: BaseException) -> None:
    for name, value in slots_of(exc).items():
        BaseException.__setattr__(copied, name, value)
    for base in type(exc).__mro__:
        if not _is_made(base) and base is not BaseException:
            _copy_members(copied, exc, base)
    own = copied.__dict__
    for name, kind in (("__notes__", list), (FIELDS, dict)):
        if type(own.get(name)) is kind:
            own[name] = kind(own[name])
    link(copied, linked(exc))
    _traceback.__set__(copied, _traceback.__get__(exc))


# What the fields of built-in exceptions are: descriptors of another kind on PyPy.
_FIELDS = MemberDescriptorType if hasattr(BaseException, "__basicsize__") else GetSetDescriptorType


def _copy_members(copied: BaseException, exc: BaseException, base: type) -> None:
    """Copy the fields that a built-in class keeps in C, such as ``AttributeError.name``.

    ``__reduce__`` omits some of them: before Python 3.12, ``name`` and ``obj``.
    """
    for member in vars(base).values():
        if isinstance(member, _FIELDS):
            try:
                value = member.__get__(exc)
                # Setting OSError.filename to None would differ from leaving it unset.
                if member.__get__(copied) is not value:
                    member.__set__(copied, value)
            except Exception:  # unset, or read-only, as a group's members are
                continue


def slots_of(exc: BaseException) -> "dict[str, Any]":
    """Return the values of an exception's ``__slots__`` by name."""
    state: Any = object.__getstate__(exc)
    return state[1] if type(state) is tuple else {}


# Results


# Types of values that ``refuse_unrun`` need not inspect.
PLAIN = frozenset([bytes, str, int, float, bool, dict, list, tuple, type(None)])
_UNRUN = (CoroutineType, GeneratorType, AsyncGeneratorType)


def refuse_unrun(what: str, value: object) -> None:
    """Raise ``TypeError`` if a function returned an awaitable or a generator instead of a value.

    A coroutine is closed first, so that Python does not warn that it was never awaited.
    """
    kind = type(value)
    if kind in PLAIN or not _is_unrun(kind):
        return
    try:
        value.close()  # type: ignore[attr-defined]  # only some of them have it
    except Exception:
        kind = type(value)  # it has no close(), or close() failed
    raise TypeError(f"{what} must return a value, got {brief(value)}: is it async, or a generator?")


def refuse_unrun_values(what: str, values: "Collection[object]") -> None:
    """Raise as ``refuse_unrun`` does for the first such value, after closing all of them."""
    kinds = set(map(type, values))
    if PLAIN.issuperset(kinds) or not any(map(_is_unrun, kinds - PLAIN)):
        return
    refusal: TypeError | None = None
    for value in values:
        try:
            refuse_unrun(what, value)
        except TypeError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal


def _is_unrun(kind: type) -> bool:
    return issubclass(kind, _UNRUN) or any("__await__" in vars(base) for base in kind.__mro__)


def require_plain(what: str, function: object) -> None:
    """Raise ``TypeError`` if `function` is an async or a generator function."""
    code = getattr(function, "__code__", None)
    flags = getattr(code, "co_flags", 0)
    if type(flags) is int and flags & 0x2A0:  # generator, coroutine, async generator
        raise TypeError(f"{what} must return a value, got {brief(function)}: is it async?")


def without_frames(error: Exception) -> "Any":
    """Return an error that may be kept: its frames would hold what keeps it, and so itself."""
    vars(BaseException)["__context__"].__set__(error, None)
    return BaseException.with_traceback(error, None)
