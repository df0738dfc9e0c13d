"""What error paths do to objects of others, each foreign call guarded by itself.

An exception that is on its way must not be replaced by what a user's ``__str__``, ``__repr__``,
``__setattr__`` or notes raise. Only an ``Exception`` is caught: KeyboardInterrupt and its like are
meant for the program. Python's own attributes are read and set past what a class defines over them.
"""

from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CoroutineType,
    GeneratorType,
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
    "behind",
    "brief",
    "kind_of",
    "link",
    "linked",
    "members",
    "name_of",
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
    "without_init",
]

# Where fields are kept, on our errors and on others' that passed through a context.
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
    """Return a class's name, whatever its metaclass says."""
    return str.__str__(_name(cls))


def kind_of(exc: BaseException) -> str:
    """Return the name of an exception's class, with its module."""
    cls = type(exc)
    try:
        module = f"{cls.__module__}"
    except Exception:
        module = "?"
    return f"{module}.{str.__str__(_qualname(cls))}"


def text_of(exc: BaseException) -> str:
    """Return the text of an exception, whatever its ``__str__`` does."""
    try:
        return str.__str__(str(exc))
    except Exception as error:
        cls = str.__str__(_qualname(type(exc)))
        return f"<{cls} whose __str__ raised {name_of(type(error))}>"


def brief(value: object) -> str:
    """Return a short repr, whatever ``__repr__`` does."""
    kind = type(value)
    if issubclass(kind, int) and int.bit_length(value) > 256:  # type: ignore[arg-type]
        return shown_int(value)
    try:
        shown = str.__str__(repr(value))
    except Exception:
        shown = object.__repr__(value)
    return shown if len(shown) <= 200 else shown[:197] + "..."


def shown_int(value: "Any") -> str:
    """Return a short text for an int that is too long to be written."""
    sign = "a negative" if int.__lt__(value, 0) else "an"
    return f"{sign} int of {int.bit_length(value)} bits"


def text(value: object) -> str:
    """Return something that should be a str as one."""
    if issubclass(type(value), str):
        return str.__str__(value)
    try:
        return str.__str__(str(value))
    except Exception:
        return brief(value)


# Notes


def notes_of(exc: BaseException) -> list[str]:
    """Return the notes of an exception, whatever is in their place."""
    try:
        held: Any = getattr(exc, "__notes__", None)
        given = list(held) if issubclass(type(held), (list, tuple)) else [held]
    except Exception:
        return []
    return [text(note) for note in given if note is not None]


def add_note(exc: BaseException, note: str) -> None:
    """Add a note to an exception, if that can be done at all."""
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
    """Return the members of a group; of another exception none."""
    if not issubclass(type(exc), BaseExceptionGroup):
        return ()
    found: tuple[BaseException, ...] = _members.__get__(exc)
    return found


def linked(exc: BaseException) -> "tuple[BaseException | None, BaseException | None, bool]":
    """Return the cause, the context, and whether the context is suppressed."""
    return _cause.__get__(exc), _context.__get__(exc), _suppress.__get__(exc)


def link(exc: BaseException, links: "tuple[Any, Any, bool]") -> None:
    """Set these three; the last at last, as setting a cause sets it."""
    cause, context, suppressed = links
    _cause.__set__(exc, cause)
    _context.__set__(exc, context)
    _suppress.__set__(exc, suppressed)


def behind(exc: BaseException) -> list[BaseException]:
    """Return what is directly behind an exception: a group's members, then its cause."""
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
    """Return a new error, whose ``__init__`` is not called because its arguments are not known."""
    error: Any = _layout(cls).__new__(cls, *args)
    _args.__set__(error, args)
    return error


def _layout(cls: type) -> type:
    """Return the class that lays out the object, whose ``__new__`` is the one to call.

    With several bases ``cls.__new__`` can be another's, which Python then refuses to call.
    """
    base: type = cls
    while not isinstance(vars(base).get("__new__"), BuiltinFunctionType):
        assert base.__base__ is not None  # object has one
        base = base.__base__
    return base


def own_copy(exc: BaseException) -> BaseException:
    """Return a copy of an exception to be raised elsewhere, or itself where it cannot be copied.

    Notes and fields are the copy's own; cause, context and traceback are those of `exc`.
    """
    import copy  # here, so that importing the package does not

    for make in (copy.copy, _copied_without_init):
        try:
            copied = make(exc)
            if _is_like(copied, exc):
                _finish(copied, exc)
                return copied
        except Exception:
            copied = exc  # and the other way may do
    return exc


def _is_like(copied: BaseException, exc: BaseException) -> bool:
    return (
        copied is not exc
        and type(copied) is type(exc)
        and text_of(copied) == text_of(exc)
        and bool(_args.__get__(copied) == _args.__get__(exc))
    )


def _copied_without_init(exc: BaseException) -> BaseException:
    """Return a copy of an exception whose ``__init__`` takes other arguments than its ``args``."""
    cls = type(exc)
    own = [base for base in cls.__mro__ if not issubclass(BaseException, base)]
    made: BaseException = exc
    # What has a way of its own to be copied, or more in it than we can see, knows why it failed.
    if _layout(cls).__basicsize__ == BaseException.__basicsize__ and not any(
        name in vars(base) for base in own for name in ("__copy__", "__reduce__", "__reduce_ex__")
    ):
        made = without_init(cls, _args.__get__(exc))
        made.__dict__.update(exc.__dict__)
    return made


def _finish(copied: BaseException, exc: BaseException) -> None:
    for name, value in slots_of(exc).items():
        BaseException.__setattr__(copied, name, value)
    for base in type(exc).__mro__:
        if base.__flags__ & _IS_HEAP_TYPE == 0 and base is not BaseException:
            _copy_members(copied, exc, base)
    own = copied.__dict__
    for name, kind in (("__notes__", list), (FIELDS, dict)):
        if type(own.get(name)) is kind:
            own[name] = kind(own[name])
    link(copied, linked(exc))
    _traceback.__set__(copied, _traceback.__get__(exc))


# Of a class that a program made, whose instances have their attributes elsewhere.
_IS_HEAP_TYPE = 1 << 9


def _copy_members(copied: BaseException, exc: BaseException, base: type) -> None:
    """Copy what a class of Python's keeps in C, such as the name of an ``AttributeError``.

    ``__reduce__`` leaves some of it out: before Python 3.12 this name and its object.
    """
    for member in vars(base).values():
        if type(member) is MemberDescriptorType:
            try:
                value = member.__get__(exc)
                # An OSError takes None for a file's name.
                if member.__get__(copied) is not value:
                    member.__set__(copied, value)
            except Exception:  # it is not set, or cannot be: a group's members
                continue


def slots_of(exc: BaseException) -> "dict[str, Any]":
    """Return what the ``__slots__`` of an exception's classes hold."""
    state: Any = object.__getstate__(exc)
    return state[1] if type(state) is tuple else {}


# Results


# Those of values that need no closer look.
PLAIN = frozenset([bytes, str, int, float, bool, dict, list, tuple, type(None)])
_UNRUN = (CoroutineType, GeneratorType, AsyncGeneratorType)


def refuse_unrun(what: str, value: object) -> None:
    """Raise a ``TypeError`` if a function that had to return a value returned a promise of one.

    That is a coroutine, which is closed, another awaitable, or a generator of either kind.
    """
    kind = type(value)
    if kind in PLAIN or not _is_unrun(kind):
        return
    try:
        value.close()  # type: ignore[attr-defined]  # so that nobody warns of it
    except Exception:
        kind = type(value)  # it has no such method, or is not to be closed
    raise TypeError(f"{what} must return a value, got {brief(value)}: is it async, or a generator?")


def refuse_unrun_values(what: str, values: "Collection[object]") -> None:
    """Do so if one of `values` is such a promise, having closed all that are."""
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
    """Raise a ``TypeError`` if `function` is plainly an async function, or makes a generator."""
    code = getattr(function, "__code__", None)
    flags = getattr(code, "co_flags", 0)
    if type(flags) is int and flags & 0x2A0:  # generator, coroutine, async generator
        raise TypeError(f"{what} must return a value, got {brief(function)}: is it async?")
