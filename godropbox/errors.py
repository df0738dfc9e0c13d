"""Errors that record where they were made: the base of every error in this package.

- ``DropboxError``, ``wrap``: an exception with the stack where it was made, raised or not, a cause
  and structured fields.
- ``ServerError``, ``NetworkError``, ``UsageError``: its three families.
- ``chain``, ``root_error``, ``is_error``, ``find_wrapped_error``, ``get_message``: search any
  exception and those linked to it.
- ``context``: add notes and fields to exceptions that pass through a block.
- ``to_dict``, ``fingerprint``: an exception for a structured log, and for counting.
- ``capture_stack``, ``Stack``, ``StackFrame``: a stack without an error.

A programming mistake raises TypeError or ValueError instead.
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
    brief,
    kind_of,
    link,
    linked,
    members,
    name_of,
    next_in_chain,
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
    "ConnectionLostError",
    "DeadlineExceededError",
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

# The number of innermost functions in a fingerprint.
_INNERMOST: Final = 3
# The depth to which a field's value is converted.
_DEEPEST: Final = 8
# The folders of a file's path, with either separator.
_FOLDER: Final = re.compile(r".*[/\\]")


class StackFrame(NamedTuple):
    """A function call: the qualified name, the file and the line that was running."""

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
    """Snapshot of the running functions that is cheap to capture and to drop.

    It holds code objects and positions in them, no frames and no local variables. Names and lines
    are looked up on demand; a pickle stores them.
    """

    __slots__ = ("_frames", "_raw")

    def __init__(self, raw: tuple[Any, ...]) -> None:
        """Wrap a raw stack of the kernel; users call ``capture_stack``."""
        self._raw: tuple[Any, ...] = raw
        self._frames: tuple[StackFrame, ...] | None = None

    def __len__(self) -> int:
        return len(self._raw) - 1 if self._frames is None else len(self._frames)

    def __repr__(self) -> str:
        return f"<Stack of {len(self)} frames>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled_stack, (tuple(tuple(frame) for frame in self.frames()),)

    def frames(self) -> tuple[StackFrame, ...]:
        """Return the frames, innermost last as in a traceback."""
        if self._frames is None:
            positions = memoryview(self._raw[-1]).cast("i")
            self._frames = tuple(map(_resolved, self._raw[:-1], positions))[::-1]
        return self._frames

    def text(self) -> str:
        """Return the frames formatted like a traceback, with source lines where available."""
        import linecache  # only here, to keep the package import cheap

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
    """Return the innermost `limit` frames of the caller's stack, after dropping `skip` frames.

    Raise ``TypeError`` or ``ValueError`` unless both are ints in [0, 2**31).
    """
    skip = checked_int("skip", "[0, 2**31)", skip, 1 << 31)
    limit = checked_int("limit", "[0, 2**31)", limit, 1 << 31)
    return Stack(_kernels.stack.capture(skip + 1, limit))


class DropboxError(_kernels.stack.StackedError):
    """Error with a message, the stack where it was made, a cause and structured fields.

    `message` is a str. `cause` is an exception or None and becomes ``__cause__``. `fields` are
    values to log. A subclass with its own signature passes the message to ``super().__init__``.
    Errors can be pickled and copied, whatever arguments their ``__init__`` takes, if their fields
    and attributes can.
    """

    @property
    def message(self) -> str:
        """The error's own message, without causes and stack."""
        return text(self.args[0]) if self.args else ""

    @property
    def fields(self) -> Mapping[str, Any]:
        """A read-only view of the fields, including those that contexts added."""
        return MappingProxyType(_fields(self))

    def __str__(self) -> str:
        return self.message

    def stack_frames(self) -> tuple[StackFrame, ...]:
        """Return the stack where the error was made, innermost frame last."""
        return self._held_stack().frames()

    def stack_text(self) -> str:
        """Return the stack where the error was made, formatted like a traceback."""
        return self._held_stack().text()

    def _held_stack(self) -> Stack:
        held: Any = self.__dict__.get("_stack")
        if type(held) is Stack:
            return held
        return Stack(held if type(held) is tuple else (b"",))  # another base's __new__ ran

    def __copy__(self) -> Self:
        copied: Self = without_init(type(self), self.args)
        _restore(copied, _state_of(self, {}), [])
        link(copied, linked(self))
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        return without_init, (type(self), self.args), _packed(self)

    def __setstate__(self, packed: Any) -> None:
        own, parts, links = packed
        exceptions = _unpacked(self, parts)
        for error, state in zip(exceptions, (own, *(part[-1] for part in parts)), strict=True):
            if state is not None:
                _restore(error, state, exceptions)
        for error, (cause, context, suppressed) in zip(exceptions, links, strict=True):
            link(error, (_at(exceptions, cause), _at(exceptions, context), suppressed))


def _is_ours(value: object) -> "TypeIs[DropboxError]":
    """Return whether `value` is a ``DropboxError``, without trusting its ``__class__``."""
    return issubclass(type(value), DropboxError)


def _fields(exc: BaseException) -> dict[str, Any]:
    """Return the fields of an exception, or {} if it has none."""
    try:
        held = exc.__dict__.get(FIELDS)
    except Exception:
        held = None
    return held if type(held) is dict else {}


# Copies. A pickle holds the chain of an error as a flat list, so that no chain is too long for it.
# Each exception is a part that says how to make it, and links refer to exceptions by number. The
# error itself is number 0; the parts have the numbers from 1.

_OURS: Final = "ours"
_GROUP: Final = "group"
_OTHER: Final = "other"

# Attributes, slots, and the numbers of the attributes and of the fields that are in the chain.
_State = tuple[dict[str, Any], dict[str, Any], dict[str, int], dict[str, int]]


def _state_of(exc: BaseException, numbers: dict[int, int]) -> _State:
    """Return the state of an error for a copy, with copies of its notes and fields."""
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
    """Remove the errors that have numbers from `values`; return their numbers by name."""
    found = {name: numbers[id(value)] for name, value in values.items() if id(value) in numbers}
    for name in found:
        del values[name]
    return found


def _restore(error: BaseException, state: _State, exceptions: list[BaseException]) -> None:
    attributes, slots, mine, theirs = state
    held = error.__dict__
    held.update(attributes)
    held.update({name: exceptions[number] for name, number in mine.items()})
    if theirs:
        held[FIELDS].update({name: exceptions[number] for name, number in theirs.items()})
    for name, value in slots.items():
        BaseException.__setattr__(error, name, value)


def _at(exceptions: list[BaseException], number: int | None) -> BaseException | None:
    return None if number is None else exceptions[number]


def _packed(exc: DropboxError) -> tuple[_State, list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the state of `exc`, the parts of its chain, and the links of all of them."""
    exceptions: list[BaseException] = [exc]
    numbers: dict[int, int] = {id(exc): 0}
    links = []
    for error in exceptions:  # grows in the loop
        cause, context, suppressed = linked(error)
        for near in (*_inside(error), cause, context):
            if near is not None and id(near) not in numbers:
                numbers[id(near)] = len(exceptions)
                exceptions.append(near)
        links.append((numbers.get(id(cause)), numbers.get(id(context)), suppressed))
    parts = [_part(error, numbers) for error in exceptions[1:]]
    return _state_of(exc, numbers), parts, links


def _inside(exc: BaseException) -> tuple[BaseException, ...]:
    """Return the members to number; those of our own groups are in their ``args``."""
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
        # The class cannot be pickled: keep the notes and use a built-in group.
        kind = ExceptionGroup if issubclass(type(exc), Exception) else BaseExceptionGroup
        state = ({"__notes__": notes_of(exc)}, {}, {}, {})
    message: Any = BaseExceptionGroup.message.__get__(exc)
    return _GROUP, kind, message, [numbers[id(member)] for member in inside], state


def _unpacked(first: BaseException, parts: list[tuple[Any, ...]]) -> list[BaseException]:
    """Return `first` and the exceptions made from the parts; make groups after their members."""
    exceptions: list[Any] = [first, *([None] * len(parts))]
    groups = []
    for number, part in enumerate(parts, 1):
        if part[0] == _OURS:
            exceptions[number] = without_init(part[1], part[2])
        elif part[0] == _OTHER:
            exceptions[number] = part[1]
        else:
            groups.append(number)
    while groups:
        later = []
        for number in reversed(groups):  # nested groups have higher numbers
            _, kind, message, inside, _ = parts[number - 1]
            found = [exceptions[each] for each in inside]
            if None in found:
                later.append(number)
            else:
                exceptions[number] = BaseExceptionGroup.__new__(kind, message, found)
        groups = later[::-1]
    return exceptions


def _portable(exc: BaseException) -> BaseException:
    """Return a foreign exception if it can be pickled, else a ``DropboxError`` that describes it.

    Many exceptions fail to unpickle because their ``__init__`` does not accept their ``args``;
    loading such a pickle would raise that failure instead of returning our error.
    """
    if _is_portable(exc):
        return exc
    stand_in = DropboxError(f"{kind_of(exc)}: {text_of(exc)}")
    fields = {
        name: value if _is_portable(value) else brief(value) for name, value in _fields(exc).items()
    }
    stand_in.__dict__.update({FIELDS: fields, "_stack": _unpickled_stack(_frames(exc))})
    return stand_in


def _is_portable(value: object) -> bool:
    """Return whether `value` survives pickling and unpickling."""
    import io  # both only here, to keep the package import cheap
    import pickle

    class Trial(pickle.Pickler):
        def reducer_override(self, value: object) -> Any:
            # A blank error stands for one of ours, whose own pickling could recurse to here.
            ours = _is_ours(value)
            return (without_init, (DropboxError, ())) if ours else NotImplemented

    try:
        Trial(written := io.BytesIO()).dump(value)
        pickle.loads(written.getvalue())
    except Exception:
        return False
    return True


class ServerError(DropboxError):
    """A server refused, failed or broke the protocol."""


class NetworkError(DropboxError, _kernels.stack.StackedOSError):
    """The network failed: no connection, a broken one, or no reply in time. An ``OSError``, too."""

    @property
    def errno(self) -> int | None:  # type: ignore[override]  # read-only: a copy has its cause's
        """The number of the system's error that caused this one, None if there was none."""
        number: int | None = _systems(self, "errno")
        return number

    @property
    def strerror(self) -> str | None:  # type: ignore[override]
        """The text of that error."""
        said: str | None = _systems(self, "strerror")
        return said


class ConnectionLostError(NetworkError, ConnectionError):
    """The connection could not be made, broke, or was closed by the other side."""


class DeadlineExceededError(NetworkError, TimeoutError):
    """The operation did not end in time, or the connection was not made in time."""


def _systems(exc: BaseException, name: str) -> Any:
    """Return an attribute of the first ``OSError`` with a number that `exc` has as its cause."""
    seen = set()
    waiting: list[BaseException | None] = [exc]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        if issubclass(type(error), OSError) and vars(OSError)["errno"].__get__(error) is not None:
            return vars(OSError)[name].__get__(error)
        waiting += [linked(error)[0], *reversed(members(error))]
    return None


class UsageError(DropboxError):
    """A caller's mistake that shows only at run time, such as using a closed pool."""


def wrap(exc: BaseException, message: str, /, **fields: object) -> DropboxError:
    """Return a ``DropboxError`` with `message` and `fields`, whose cause is `exc`.

    Its stack is the caller's.
    """
    if not issubclass(type(exc), BaseException):
        raise TypeError(f"exc must be an exception, got {shown(exc)}")
    error = DropboxError(message)
    set_cause(error, exc)
    held = error.__dict__
    raw: Any = held["_stack"]
    held["_stack"] = (*raw[1:-1], raw[-1][4:])  # drop this function's own frame
    if fields:
        held[FIELDS] = fields
    return error


def chain(exc: BaseException) -> Iterator[BaseException]:
    """Yield `exc` and every exception linked to it, each once, depth first.

    An exception links to its members if it is a group, then to its cause, or to its context unless
    that is suppressed. Cycles are allowed.
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
    """Return the last exception in the chain of causes: the one that happened first.

    A group without a cause continues with its first member. A cycle ends before it repeats.
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
    """Return an exception's own message; never raise."""
    if _is_ours(exc):
        try:
            return text(exc.message)
        except Exception:
            # A subclass's `message` raised.
            args = args_of(exc)
            return text(args[0]) if args else ""
    return text_of(exc)


def is_error(
    exc: BaseException,
    target: BaseException | type[BaseException] | tuple[type[BaseException], ...],
) -> bool:
    """Return whether the chain of `exc` contains `target`.

    `target` is a class, a tuple of classes, or an exception. An exception matches one of the same
    class and text, so that a sentinel still matches after pickling.
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
    """Return the first result of `classifier` that is not None, or None.

    Call ``classifier(error, exc)`` for each error of ``chain(exc)`` in turn.
    """
    for error in chain(exc):
        found = classifier(error, exc)
        if found is not None:
            return found
    return None


def get_message(exc: BaseException) -> str:
    """Return the messages of the chain, outermost first, separated by newlines."""
    return "\n".join(map(_own_message, chain(exc)))


class context:  # noqa: N801  # it reads as a verb: with context("loading", shard=3)
    """Add a note and fields to every exception that passes through the block.

    The note is `message` followed by the fields. The fields appear in ``DropboxError.fields`` and
    in ``to_dict``, for foreign exceptions too; a field that is already set keeps its value. A
    context can be entered repeatedly and by several threads; making it once costs the least. The
    exception always comes out again, even if adding to it fails.
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
        # Guard each part by itself: near the recursion limit any call may raise.
        try:
            details = ", ".join(f"{name}={brief(value)}" for name, value in self.fields.items())
            message = text(self.message)
            add_note(exc, f"{message} ({details})" if details else message)
        except Exception:  # the exception in flight matters more
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
    if type(held) is dict:  # anything else belongs to the exception
        for name, value in fields.items():
            held.setdefault(name, value)


def _jsonable(value: object, within: tuple[int, ...] = ()) -> Any:
    """Return `value` as JSON types, or as its repr if JSON has no such type.

    `within` holds the ids of the containers around it. A value that contains itself, or is nested
    too deeply, becomes its repr.
    """
    kind: Any = type(value)
    if value is None or kind is bool:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        number = int.__add__(value, 0)  # type: ignore[operator]
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
    """Return a mapping as a JSON object; add the type to a key whose text is taken."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        key = text(name) if issubclass(type(name), str) else brief(name)
        while key in made:
            key = f"{key} ({name_of(type(name))})"
        made[key] = _jsonable(value, within)
    return made


def _frames(exc: BaseException) -> tuple[StackFrame, ...]:
    """Return the stack of one of our errors, or the traceback's frames of a foreign exception."""
    frames: list[StackFrame] = []
    try:
        if _is_ours(exc) and "_stack" in exc.__dict__:
            return exc._held_stack().frames()
        at = exc.__traceback__
        while at is not None:
            frames.append(_resolved(at.tb_frame.f_code, at.tb_lasti))
            at = at.tb_next
    except Exception:  # its class replaces Python's own attributes
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
    """Return `exc` as a dict of JSON types for a structured log.

    The keys are ``type`` (with its module), ``message``, ``fields``, ``notes``, ``stack`` (dicts
    of ``function``, ``file``, ``line``, innermost last), ``fingerprint``, and ``chain``: the other
    exceptions of ``chain(exc)``, in order, as dicts with the first five keys. A value that JSON has
    no type for becomes its repr; so does a key, followed by its type if that text is taken.
    """
    first, *rest = chain(exc)
    return _one_dict(first) | {
        "fingerprint": fingerprint(exc),
        "chain": [_one_dict(error) for error in rest],
    }


def fingerprint(exc: BaseException) -> str:
    """Return 16 hexadecimal digits that are equal for errors of the same kind and place.

    They hash the classes in the chain, each with its three innermost functions and their file
    names. Messages, line numbers, folders, threads, order and repetition do not count, so that a
    fingerprint survives an edit elsewhere in the file and one more retry.
    """
    import hashlib  # both only here, to keep the package import cheap
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
