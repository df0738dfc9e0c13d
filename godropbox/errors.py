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
from types import BuiltinFunctionType, CodeType, MappingProxyType, TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from . import _kernels
from ._kernels._args import checked_int, shown

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

# Where fields are kept, on our errors and on others' that passed through a context.
_FIELDS: Final = "_error_fields"
# Of how many innermost functions a fingerprint is made.
_INNERMOST: Final = 3
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
        return str(self.args[0]) if self.args else ""

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
        held: Any = self._stack
        return held if isinstance(held, Stack) else Stack(held)

    def _attributes(self) -> dict[str, Any]:
        """Return the attributes for a copy, whose notes and fields are to be its own."""
        return {
            name: value.copy() if name in ("__notes__", _FIELDS) else value
            for name, value in self.__dict__.items()
        }

    def __copy__(self) -> Self:
        copied: Self = _without_init(type(self), self.args)
        copied.__dict__.update(self._attributes())
        _link(copied, (self.__cause__, self.__context__, self.__suppress_context__))
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        attributes = self._attributes() | {"_stack": self._held_stack()}
        return _without_init, (type(self), self.args), (attributes, _links(self))

    def __setstate__(self, state: Any) -> None:
        attributes, links = state
        self.__dict__.update(attributes)
        for error, link in links:
            _link(self if error is None else error, link)


def _fields(exc: BaseException) -> dict[str, Any]:
    return exc.__dict__.get(_FIELDS) or {}


def _without_init(cls: type, args: tuple[Any, ...]) -> Any:
    """Return a new error, whose ``__init__`` is not called because its arguments are not known."""
    # The __new__ of the class that lays out the object: with several bases ``cls.__new__`` can be
    # another's, which Python then refuses to call.
    base: type = cls
    while not isinstance(vars(base).get("__new__"), BuiltinFunctionType):
        assert base.__base__ is not None  # object has one
        base = base.__base__
    error: Any = base.__new__(cls, *args)
    error.args = args
    return error


def _link(error: BaseException, link: tuple[Any, Any, bool]) -> None:
    """Set cause and context, and last whether the context is suppressed, as the cause sets it."""
    error.__cause__, error.__context__, error.__suppress_context__ = link


def _links(exc: DropboxError) -> list[tuple[Any, ...]]:
    """Return what ties together `exc` (for which None stands) and the errors behind it.

    Others' exceptions lose their causes in a pickle, so theirs are here; those of ours bring them.
    """
    stand_ins: dict[int, BaseException | None] = {id(None): None}
    links = []
    waiting: list[BaseException] = [exc]
    while waiting:
        error = waiting.pop()
        behind = (error.__cause__, error.__context__)
        for near in behind:
            if near is not None and id(near) not in stand_ins:
                ours = isinstance(near, DropboxError)
                stand_ins[id(near)] = near if ours else _portable(near)
                waiting += [] if ours else [near]
        cause, context = (stand_ins[id(near)] for near in behind)
        this = None if error is exc else stand_ins[id(error)]
        links.append((this, (cause, context, error.__suppress_context__)))
    return links


def _portable(exc: BaseException) -> BaseException:
    """Return another's exception if a pickle keeps it, or else one of ours that tells of it.

    Many cannot be unpickled, for their ``__init__`` does not take their ``args``; whoever loads
    such a pickle would get that failure in place of our error.
    """
    import io  # both here, so that importing the package does not
    import pickle

    class Trial(pickle.Pickler):
        def reducer_override(self, value: object) -> Any:
            # Of ours a blank one will do; a real one could lead back to here.
            ours = isinstance(value, DropboxError)
            return (_without_init, (DropboxError, ())) if ours else NotImplemented

    try:
        Trial(written := io.BytesIO()).dump(exc)
        pickle.loads(written.getvalue())
    except Exception:
        told = DropboxError(f"{_type_name(exc)}: {_own_message(exc)}")
        told.__dict__.update({_FIELDS: _fields(exc), "_stack": _unpickled_stack(_frames(exc))})
        return told
    return exc


class ServerError(DropboxError):
    """A server did wrong: it refused, failed, or answered what the protocol does not allow."""


class NetworkError(DropboxError):
    """The network failed: no connection, a broken one, or no answer in time."""


class UsageError(DropboxError):
    """The caller did wrong in a way that shows only at run time, such as using a closed pool."""


def wrap(exc: BaseException, message: str, **fields: object) -> DropboxError:
    """Return a ``DropboxError`` with `message` and `fields`, whose cause is `exc`.

    Its stack is the caller's. Raise it, or hand it on.
    """
    if not isinstance(exc, BaseException):
        raise TypeError(f"exc must be an exception, got {shown(exc)}")
    error = DropboxError(message, cause=exc, **fields)
    raw: Any = error._stack
    error._stack = (*raw[1:-1], raw[-1][4:])  # without this function's own frame
    return error


def _behind(exc: BaseException) -> list[BaseException]:
    """Return what is directly behind an exception: a group's members, then its cause."""
    behind = list(exc.exceptions) if isinstance(exc, BaseExceptionGroup) else []
    if exc.__cause__ is not None:
        behind.append(exc.__cause__)
    elif exc.__context__ is not None and not exc.__suppress_context__:
        behind.append(exc.__context__)
    return behind


def chain(exc: BaseException) -> Iterator[BaseException]:
    """Yield `exc` and every exception behind it, each once, cycles or not.

    Behind an exception are the members of a group, and its cause, or the context if that is not
    suppressed; depth first and in this order.
    """
    if not isinstance(exc, BaseException):
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
            waiting.extend(reversed(_behind(exc)))


def root_error(exc: BaseException) -> BaseException:
    """Return the exception at the end of the causes: what went wrong first.

    A group without a cause stands for its first member. A cycle ends before it repeats.
    """
    if not isinstance(exc, BaseException):
        raise TypeError(f"exc must be an exception, got {shown(exc)}")
    seen = {id(exc)}
    while True:
        behind = _behind(exc)
        if isinstance(exc, BaseExceptionGroup) and len(behind) > len(exc.exceptions):
            behind = behind[-1:]
        if not behind or id(behind[0]) in seen:
            return exc
        exc = behind[0]
        seen.add(id(exc))


def _own_message(exc: BaseException) -> str:
    """Return an exception's text, whatever its ``__str__`` does."""
    try:
        return exc.message if isinstance(exc, DropboxError) else str(exc)
    except Exception as error:
        return f"<{type(exc).__qualname__} whose __str__ raised {type(error).__qualname__}>"


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
    return any(isinstance(error, target) for error in chain(exc))


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
    it often costs the least.
    """

    __slots__ = ("fields", "message")

    def __init__(self, message: str, **fields: object) -> None:
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
        details = ", ".join(f"{name}={_brief(value)}" for name, value in self.fields.items())
        exc.add_note(f"{self.message} ({details})" if details else self.message)
        if self.fields:
            held = exc.__dict__.setdefault(_FIELDS, {})
            for name, value in self.fields.items():
                held.setdefault(name, value)


def _brief(value: object) -> str:
    """Return a short repr that never fails."""
    if isinstance(value, int) and value.bit_length() > 256:
        return shown(value)
    try:
        text = repr(value)
    except Exception:
        text = object.__repr__(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _jsonable(value: object, depth: int = 0) -> Any:
    """Return `value` in what JSON has, and as its repr where JSON has nothing like it."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= 256 else _brief(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if depth < 8 and isinstance(value, Mapping):
        return {
            name if isinstance(name, str) else _brief(name): _jsonable(item, depth + 1)
            for name, item in value.items()
        }
    if depth < 8 and isinstance(value, (list, tuple, set, frozenset)):
        return [_jsonable(item, depth + 1) for item in value]
    return _brief(value)


def _type_name(exc: BaseException) -> str:
    return f"{type(exc).__module__}.{type(exc).__qualname__}"


def _frames(exc: BaseException) -> tuple[StackFrame, ...]:
    """Return where an exception was made, or for another's class where it was raised."""
    if isinstance(exc, DropboxError):
        return exc.stack_frames()
    frames = []
    at = exc.__traceback__
    while at is not None:
        frames.append(_resolved(at.tb_frame.f_code, at.tb_lasti))
        at = at.tb_next
    return tuple(frames)


def _one_dict(exc: BaseException) -> dict[str, Any]:
    return {
        "type": _type_name(exc),
        "message": _own_message(exc),
        "fields": _jsonable(_fields(exc)),
        "notes": [str(note) for note in getattr(exc, "__notes__", ())],
        "stack": [frame._asdict() for frame in _frames(exc)],
    }


def to_dict(exc: BaseException) -> dict[str, Any]:
    """Return `exc` as a dict for a structured log, of nothing but what JSON has.

    The keys are ``type`` (with its module), ``message``, ``fields``, ``notes``, ``stack`` (dicts
    of ``function``, ``file``, ``line``, the innermost last), ``fingerprint``, and ``chain``: the
    exceptions behind it in the order of ``chain``, each a dict with the first five keys. A value
    that JSON lacks stands as its repr.
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
            _type_name(error),
            *(
                f"{_FOLDER.sub('', frame.file)}:{frame.function}"
                for frame in _frames(error)[-_INNERMOST:]
            ),
        )
        for error in chain(exc)
    }
    return hashlib.sha256(json.dumps(sorted(parts)).encode()).hexdigest()[:16]
