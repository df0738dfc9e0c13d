"""Errors that know where they were made: the base of every error in this package.

- ``DropboxError``, ``wrap``: an exception with a stack taken where it is made, raised or not,
  with a cause and with structured fields.
- ``ServerError``, ``NetworkError``, ``UsageError``: the three families under it.
- ``chain``, ``root_error``, ``is_error``, ``find_wrapped_error``, ``get_message``: questions to
  any exception about all that is behind it.
- ``context``: notes and fields on whatever passes through a block.
- ``to_dict``, ``fingerprint``: an exception for a structured log, and for counting.
- ``capture_stack``, ``Stack``, ``StackFrame``: a stack without an error.

A programmer's mistake is no error of these: it raises TypeError or ValueError.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType, MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

from . import _kernels
from ._kernels._args import checked_int, shown
from ._kernels._guarded import (
    FIELDS,
    add_note,
    args_of,
    next_in_chain,
    brief,
    kind_of,
    link,
    linked,
    members,
    name_of,
    notes_of,
    set_cause,
    slots_of,
    text,
    text_of,
    without_init,
)

if TYPE_CHECKING:
    from typing_extensions import TypeIs

__all__ = [
    "DropboxError",
    "NetworkError",
    "ServerError",
    "Stack",
    "StackFrame",
    "UsageError",
    "capture_stack",
    "chain",
    "context",
    "find_wrapped_error",
    "fingerprint",
    "get_message",
    "is_error",
    "root_error",
    "to_dict",
    "wrap",
]

_T = TypeVar("_T")

# Of how many innermost functions a fingerprint is made.
_INNERMOST: Final = 3
# As far as a field's value is taken apart.
_DEEPEST: Final = 8
# The folder in the path of a file, with either separator.
_FOLDER: Final = re.compile(r".*[/\\]")


class StackFrame(NamedTuple):
    """One call: the function's qualified name, its file, and the line that was running."""

    function: str
    file: str
    line: int


def _resolved(code: CodeType, position: int) -> StackFrame:
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= position < end and number is not None:
            line = number
            break
    return StackFrame(code.co_qualname, code.co_filename, line)


class Stack:
    """The functions that were running at a moment, as cheap to take as to throw away.

    It holds code objects and positions in them, no frame and no local variable. Names and lines
    are looked up when asked for, and kept in a pickle.
    """

    __slots__ = ("_frames", "_raw")

    def __init__(self, raw: tuple[Any, ...]) -> None:
        """Take a raw stack, as the kernel gives it; users call ``capture_stack``."""
        self._raw: tuple[Any, ...] = raw
        self._frames: tuple[StackFrame, ...] | None = None

    def __len__(self) -> int:
        return len(self._raw) - 1 if self._frames is None else len(self._frames)

    def __repr__(self) -> str:
        return f"<Stack of {len(self)} frames>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled_stack, (tuple(tuple(frame) for frame in self.frames()),)

    def frames(self) -> tuple[StackFrame, ...]:
        """Return the frames, the outermost first and the innermost last, as in a traceback."""
        if self._frames is None:
            positions = memoryview(self._raw[-1]).cast("i")
            self._frames = tuple(map(_resolved, self._raw[:-1], positions))[::-1]
        return self._frames

    def text(self) -> str:
        """Return the frames as a traceback shows them, with the source lines that can be read."""
        import linecache  # here, so that importing the package does not

        text = ""
        for function, file, line in self.frames():
            source = linecache.getline(file, line).strip()
            text += f'  File "{file}", line {line}, in {function}\n'
            text += f"    {source}\n" if source else ""
        return text


def _unpickled_stack(frames: Iterable[tuple[str, str, int]]) -> Stack:
    stack = Stack((b"",))
    stack._frames = tuple(StackFrame(*frame) for frame in frames)
    return stack


def capture_stack(skip: int = 0, limit: int = 200) -> Stack:
    """Return the caller's stack without its innermost `skip` frames, the innermost `limit` of it.

    Raises ``TypeError`` or ``ValueError`` for what is no int in [0, 2**31).
    """
    skip = checked_int("skip", "[0, 2**31)", skip, 1 << 31)
    limit = checked_int("limit", "[0, 2**31)", limit, 1 << 31)
    return Stack(_kernels.stack.capture(skip + 1, limit))


class DropboxError(_kernels.stack.StackedError):
    """An error with a message, the stack where it was made, a cause and structured fields.

    `message` is a str; `cause` an exception or None, and becomes ``__cause__``; `fields` are the
    values to log with it. A subclass with a signature of its own hands the message on to
    ``super().__init__``. Errors of this class can be pickled and copied, whatever their
    ``__init__`` takes, as long as their fields and attributes can.
    """

    @property
    def message(self) -> str:
        """The error's own message, without its causes and without the stack."""
        return text(self.args[0]) if self.args else ""

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields, to read; those that contexts added among them."""
        return MappingProxyType(_fields(self))

    def __str__(self) -> str:
        return self.message

    def stack_frames(self) -> tuple[StackFrame, ...]:
        """Return the functions that were running when the error was made, the innermost last."""
        return self._held_stack().frames()

    def stack_text(self) -> str:
        """Return the same as text, formatted as a traceback is."""
        return self._held_stack().text()

    def _held_stack(self) -> Stack:
        held: Any = self.__dict__.get("_stack")
        if type(held) is Stack:
            return held
        return Stack(held if type(held) is tuple else (b"",))  # a __new__ that was not called

    def __copy__(self) -> Self:
        copied: Self = without_init(type(self), self.args)
        _restore(copied, _state_of(self, {}), [])
        link(copied, linked(self))
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        return without_init, (type(self), self.args), _packed(self)

    def __setstate__(self, packed: Any) -> None:
        own, parts, links = packed
        everyone = _unpacked(self, parts)
        for error, state in zip(everyone, (own, *(part[-1] for part in parts)), strict=True):
            if state is not None:
                _restore(error, state, everyone)
        for error, (cause, context, suppressed) in zip(everyone, links, strict=True):
            link(error, (_at(everyone, cause), _at(everyone, context), suppressed))


def _is_ours(value: object) -> "TypeIs[DropboxError]":
    """Tell whether that is one of ours, whatever its ``__class__`` says."""
    return issubclass(type(value), DropboxError)


def _fields(exc: BaseException) -> dict[str, Any]:
    """Return the fields of an exception, whatever it has in their place."""
    try:
        held = exc.__dict__.get(FIELDS)
    except Exception:
        held = None
    return held if type(held) is dict else {}


# Copies. A pickle of an error has all that is behind it in one list, each as a part that says how
# to make it, and who is linked to whom by their numbers, so that no chain is too long for it. The
# error itself is number 0, and the parts begin with 1.

_OURS: Final = "ours"
_GROUP: Final = "group"
_OTHER: Final = "other"

# Attributes, slots, and which of the attributes and fields are errors of the chain, by number.
_State = tuple[dict[str, Any], dict[str, Any], dict[str, int], dict[str, int]]


def _state_of(exc: BaseException, numbers: dict[int, int]) -> _State:
    """Return the attributes of an error for a copy, whose notes and fields are to be its own."""
    attributes = dict(exc.__dict__)
    if type(attributes.get("__notes__")) is list:
        attributes["__notes__"] = list(attributes["__notes__"])
    if _is_ours(exc) and numbers:
        attributes["_stack"] = exc._held_stack()
    fields = dict(_fields(exc))
    theirs = _numbered(fields, numbers)
    if FIELDS in attributes and type(attributes[FIELDS]) is dict:
        attributes[FIELDS] = fields
    mine = _numbered(attributes, numbers)
    return attributes, slots_of(exc), mine, theirs


def _numbered(values: dict[str, Any], numbers: dict[int, int]) -> dict[str, int]:
    """Take out of `values` the errors that have numbers, and return these by name."""
    found = {name: numbers[id(value)] for name, value in values.items() if id(value) in numbers}
    for name in found:
        del values[name]
    return found


def _restore(error: BaseException, state: _State, everyone: list[BaseException]) -> None:
    attributes, slots, mine, theirs = state
    held = error.__dict__
    held.update(attributes)
    held.update({name: everyone[number] for name, number in mine.items()})
    if theirs:
        held[FIELDS].update({name: everyone[number] for name, number in theirs.items()})
    for name, value in slots.items():
        BaseException.__setattr__(error, name, value)


def _at(everyone: list[BaseException], number: int | None) -> BaseException | None:
    return None if number is None else everyone[number]


def _packed(exc: DropboxError) -> tuple[_State, list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the state of `exc`, the parts of what is behind it, and the links of all of them."""
    everyone: list[BaseException] = [exc]
    numbers: dict[int, int] = {id(exc): 0}
    links = []
    for error in everyone:  # which grows
        cause, context, suppressed = linked(error)
        for near in (*_inside(error), cause, context):
            if near is not None and id(near) not in numbers:
                numbers[id(near)] = len(everyone)
                everyone.append(near)
        links.append((numbers.get(id(cause)), numbers.get(id(context)), suppressed))
    parts = [_part(error, numbers) for error in everyone[1:]]
    return _state_of(exc, numbers), parts, links


def _inside(exc: BaseException) -> tuple[BaseException, ...]:
    """Return the members that a part says by number; those of ours are in their arguments."""
    return () if _is_ours(exc) else members(exc)


def _part(exc: BaseException, numbers: dict[int, int]) -> tuple[Any, ...]:
    if _is_ours(exc):
        return _OURS, type(exc), exc.args, _state_of(exc, numbers)
    inside = members(exc)
    if not inside:
        return _OTHER, _portable(exc), None
    kind: type = type(exc)
    state: _State = _state_of(exc, numbers)
    if not _is_portable((kind, state)):
        # The class may be another's alone; what all have tells the most of it.
        kind = ExceptionGroup if issubclass(type(exc), Exception) else BaseExceptionGroup
        state = ({"__notes__": notes_of(exc)}, {}, {}, {})
    message: Any = BaseExceptionGroup.message.__get__(exc)
    return _GROUP, kind, message, [numbers[id(member)] for member in inside], state


def _unpacked(first: BaseException, parts: list[tuple[Any, ...]]) -> list[BaseException]:
    """Return `first` and what the parts make, by number; a group is made after its members."""
    everyone: list[Any] = [first, *([None] * len(parts))]
    groups = []
    for number, part in enumerate(parts, 1):
        if part[0] == _OURS:
            everyone[number] = without_init(part[1], part[2])
        elif part[0] == _OTHER:
            everyone[number] = part[1]
        else:
            groups.append(number)
    while groups:
        later = []
        for number in reversed(groups):  # those inside of others come after them
            _, kind, message, inside, _ = parts[number - 1]
            found = [everyone[each] for each in inside]
            if None in found:
                later.append(number)
            else:
                everyone[number] = BaseExceptionGroup.__new__(kind, message, found)
        groups = later[::-1]
    return everyone


def _portable(exc: BaseException) -> BaseException:
    """Return another's exception if a pickle keeps it, or else one of ours that tells of it.

    Many cannot be unpickled, for their ``__init__`` does not take their ``args``; whoever loads
    such a pickle would get that failure in place of our error.
    """
    if _is_portable(exc):
        return exc
    told = DropboxError(f"{kind_of(exc)}: {text_of(exc)}")
    fields = {
        name: value if _is_portable(value) else brief(value) for name, value in _fields(exc).items()
    }
    told.__dict__.update({FIELDS: fields, "_stack": _unpickled_stack(_frames(exc))})
    return told


def _is_portable(value: object) -> bool:
    """Tell whether a pickle keeps `value`."""
    import io  # both here, so that importing the package does not
    import pickle

    class Trial(pickle.Pickler):
        def reducer_override(self, value: object) -> Any:
            # Of ours a blank one will do; a real one could lead back to here.
            ours = _is_ours(value)
            return (without_init, (DropboxError, ())) if ours else NotImplemented

    try:
        Trial(written := io.BytesIO()).dump(value)
        pickle.loads(written.getvalue())
    except Exception:
        return False
    return True


class ServerError(DropboxError):
    """A server did wrong: it refused, failed, or answered what the protocol does not allow."""


class NetworkError(DropboxError):
    """The network failed: no connection, a broken one, or no answer in time."""


class UsageError(DropboxError):
    """The caller did wrong in a way that shows only at run time, such as using a closed pool."""


def wrap(exc: BaseException, message: str, /, **fields: object) -> DropboxError:
    """Return a ``DropboxError`` with `message` and `fields`, whose cause is `exc`.

    Its stack is the caller's. Raise it, or hand it on.
    """
    if not issubclass(type(exc), BaseException):
        raise TypeError(f"exc must be an exception, got {shown(exc)}")
    error = DropboxError(message)
    set_cause(error, exc)
    held = error.__dict__
    raw: Any = held["_stack"]
    held["_stack"] = (*raw[1:-1], raw[-1][4:])  # without this function's own frame
    if fields:
        held[FIELDS] = fields
    return error


def chain(exc: BaseException) -> Iterator[BaseException]:
    """Yield `exc` and every exception behind it, each once, cycles or not.

    Behind an exception are the members of a group, and its cause, or the context if that is not
    suppressed; depth first and in this order.
    """
    if not issubclass(type(exc), BaseException):
        raise TypeError(f"exc must be an exception, got {shown(exc)}")
    return _walk(exc)


def _walk(exc: BaseException) -> Iterator[BaseException]:
    seen = set()
    waiting = [exc]
    while waiting:
        exc = waiting.pop()
        if id(exc) not in seen:
            seen.add(id(exc))
            yield exc
            waiting.extend(reversed(next_in_chain(exc)))


def root_error(exc: BaseException) -> BaseException:
    """Return the exception at the end of the causes: what went wrong first.

    A group without a cause stands for its first member. A cycle ends before it repeats.
    """
    if not issubclass(type(exc), BaseException):
        raise TypeError(f"exc must be an exception, got {shown(exc)}")
    seen = {id(exc)}
    while True:
        near = next_in_chain(exc)
        inside = len(members(exc))
        if inside and len(near) > inside:
            near = near[-1:]
        if not near or id(near[0]) in seen:
            return exc
        exc = near[0]
        seen.add(id(exc))


def _own_message(exc: BaseException) -> str:
    """Return an exception's text, whatever its ``__str__`` does."""
    if _is_ours(exc):
        try:
            return text(exc.message)
        except Exception:
            # A subclass has a message of its own.
            args = args_of(exc)
            return text(args[0]) if args else ""
    return text_of(exc)


def is_error(
    exc: BaseException,
    target: BaseException | type[BaseException] | tuple[type[BaseException], ...],
) -> bool:
    """Tell whether `target` is `exc` or behind it.

    `target` is a class, a tuple of classes, or an exception, which another equals if it has the
    same class and the same text: a sentinel that came back out of a pickle is still itself.
    """
    if isinstance(target, BaseException):
        text = _own_message(target)
        return any(
            error is target or (type(error) is type(target) and _own_message(error) == text)
            for error in chain(exc)
        )
    return any(issubclass(type(error), target) for error in chain(exc))


def find_wrapped_error(
    exc: BaseException, classifier: Callable[[BaseException, BaseException], _T | None]
) -> _T | None:
    """Return what `classifier` says of the first exception of the chain that it knows.

    It is called as ``classifier(error, exc)`` on each of ``chain(exc)``, until it is not None.
    """
    for error in chain(exc):
        found = classifier(error, exc)
        if found is not None:
            return found
    return None


def get_message(exc: BaseException) -> str:
    """Return the messages of the chain, a line or more each, the outermost first; no stacks."""
    return "\n".join(map(_own_message, chain(exc)))


class context:  # noqa: N801  # it reads as a verb: with context("loading", shard=3)
    """Add a note and fields to whatever exception passes through the block.

    The note is `message` with the fields behind it. The fields go to ``DropboxError.fields`` and
    ``to_dict``, of other exceptions too; where a name is taken, the one nearest to the error
    stays. One context can be entered again and by several threads; making it once and entering
    it often costs the least. The exception comes out, whatever it or the fields make of this.
    """

    __slots__ = ("fields", "message")

    def __init__(self, message: str, /, **fields: object) -> None:
        if not isinstance(message, str):
            raise TypeError(f"message must be a str, got {shown(message)}")
        self.message = message
        self.fields = fields

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            return
        # Each by itself: where there is no room left on the stack, any call may raise.
        try:
            details = ", ".join(f"{name}={brief(value)}" for name, value in self.fields.items())
            message = text(self.message)
            add_note(exc, f"{message} ({details})" if details else message)
        except Exception:  # what passes through says more than this would
            pass
        try:
            if self.fields:
                _add_fields(exc, self.fields)
        except Exception:
            pass


def _add_fields(exc: BaseException, fields: dict[str, object]) -> None:
    attributes = exc.__dict__
    held = attributes.get(FIELDS)
    if held is None:
        held = attributes[FIELDS] = {}
    if type(held) is dict:  # anything else is the exception's own
        for name, value in fields.items():
            held.setdefault(name, value)


def _jsonable(value: object, within: tuple[int, ...] = ()) -> Any:
    """Return `value` in what JSON has, and as its repr where JSON has nothing like it.

    `within` are the ids of what it is inside of: what holds itself, or lies deeper, is a repr.
    """
    kind: Any = type(value)
    if value is None or kind is bool:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        number = int.__int__(value)  # type: ignore[arg-type]
        return number if number.bit_length() <= 256 else brief(number)
    if issubclass(kind, float):
        real = float.__float__(value)  # type: ignore[arg-type]
        return real if math.isfinite(real) else brief(real)
    if len(within) < _DEEPEST and id(value) not in within:
        inside = (*within, id(value))
        try:
            if isinstance(value, Mapping):
                return _named(value, inside)
            if issubclass(kind, (list, tuple, set, frozenset)):
                items: Any = value
                return [_jsonable(item, inside) for item in items]
        except Exception:
            return brief(value)
    return brief(value)


def _named(values: Mapping[Any, Any], within: tuple[int, ...] = ()) -> dict[str, Any]:
    """Return a mapping for JSON, with every entry; of two names with one text one is marked."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        key = text(name) if issubclass(type(name), str) else brief(name)
        while key in made:
            key = f"{key} ({name_of(type(name))})"
        made[key] = _jsonable(value, within)
    return made


def _frames(exc: BaseException) -> tuple[StackFrame, ...]:
    """Return where an exception was made, or for another's class where it was raised."""
    frames: list[StackFrame] = []
    try:
        if _is_ours(exc) and "_stack" in exc.__dict__:
            return exc._held_stack().frames()
        at = exc.__traceback__
        while at is not None:
            frames.append(_resolved(at.tb_frame.f_code, at.tb_lasti))
            at = at.tb_next
    except Exception:  # its own things stand where Python's belong
        return tuple(frames)
    return tuple(frames)


def _one_dict(exc: BaseException) -> dict[str, Any]:
    return {
        "type": kind_of(exc),
        "message": _own_message(exc),
        "fields": _named(dict(_fields(exc))),
        "notes": notes_of(exc),
        "stack": [frame._asdict() for frame in _frames(exc)],
    }


def to_dict(exc: BaseException) -> dict[str, Any]:
    """Return `exc` as a dict for a structured log, of nothing but what JSON has.

    The keys are ``type`` (with its module), ``message``, ``fields``, ``notes``, ``stack`` (dicts
    of ``function``, ``file``, ``line``, the innermost last), ``fingerprint``, and ``chain``: the
    exceptions behind it in the order of ``chain``, each a dict with the first five keys. A value
    that JSON lacks stands as its repr; so does a key, with its type if another has the same text.
    """
    first, *rest = chain(exc)
    return _one_dict(first) | {
        "fingerprint": fingerprint(exc),
        "chain": [_one_dict(error) for error in rest],
    }


def fingerprint(exc: BaseException) -> str:
    """Return 16 hexadecimal digits that are the same for errors of the same kind and place.

    It is made of the classes in the chain, each with its three innermost functions and their
    files' names: of no message, line number, folder or thread, and of no count or order, so that
    it survives an edit elsewhere in a file and a retry more or less.
    """
    import hashlib  # both here, so that importing the package does not
    import json

    parts = {
        (
            kind_of(error),
            *(
                f"{_FOLDER.sub('', frame.file)}:{frame.function}"
                for frame in _frames(error)[-_INNERMOST:]
            ),
        )
        for error in chain(exc)
    }
    return hashlib.sha256(json.dumps(sorted(parts)).encode()).hexdigest()[:16]
