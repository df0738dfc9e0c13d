"""Keys of calls: text that tells apart any two calls with different arguments.

Nothing is called or stored here, except that an attribute named by a template is read.

Each value becomes a token. No token is the beginning of another, but for that of an int, which is
followed by something other than a digit; so no two lists of values have the same text. In a token
"%" and all that memcached does not take in a key are percent-encoded, like the token's own ends.
"""

import hashlib
import inspect
import re
import string
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from .._kernels._args import shown
from .._kernels._guarded import add_note, require_plain

__all__ = ["KeyMaker"]

# The most bytes of a key: memcached takes 250, and a client may put a prefix before it. A longer
# key is cut, and ends with a hash of the whole. It has exactly that length and others have less,
# so that neither can be taken for the other.
_MOST: Final = 200
_DIGITS: Final = 40

# What stays as it is: in literal text, between single quotes, and between parentheses.
_NOT_LITERAL: Final = re.compile(r"[^!-~]|%")
_NOT_QUOTED: Final = re.compile(r"[^!-~]|[%']")
_NOT_ENCLOSED: Final = re.compile(r"[^!-~]|[%()]")

# Larger ints are written in hexadecimal digits: Python refuses to print thousands of decimal ones.
_DECIMAL_BITS: Final = 256

_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


# Tokens


def _encoded(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02x}" for byte in found[0].encode("utf-8", "surrogatepass"))


def _quoted(text: str) -> str:
    return f"'{_NOT_QUOTED.sub(_encoded, text)}'"


def _enclosed(name: str, text: str) -> str:
    return f"{name}({_NOT_ENCLOSED.sub(_encoded, text)})"


def _int_token(value: int) -> str:
    if int.bit_length(value) > _DECIMAL_BITS:
        return f"int({int.__format__(value, '#x')})"
    return int.__repr__(value)


def _bytes_token(value: bytes) -> str:
    return f"b{_quoted(bytes.decode(value, 'latin-1'))}"


def _token(value: Any) -> str:
    """Return the token of `value`; raise ``TypeError`` for a type that has none."""
    kind = type(value)
    if kind is int:
        return _int_token(value)
    if kind is str:
        return _quoted(value)
    if value is None or kind is bool:
        return repr(value)
    return _rare_token(value)


def _rare_token(value: Any) -> str:
    """Return the token of a value of a type that is rare in keys, or of a subclass."""
    from enum import Enum  # these are imported late, as most programs have no such arguments

    kind = type(value)
    if issubclass(kind, Enum):
        name = value.value if value.name is None else value.name
        return _enclosed("enum", f"{kind.__module__}:{kind.__qualname__}:{name}")
    if issubclass(kind, type):
        return _enclosed("type", f"{value.__module__}:{value.__qualname__}")
    if issubclass(kind, int):
        return _int_token(value)
    if issubclass(kind, str):
        return _quoted(str.__str__(value))
    if issubclass(kind, bytes):
        return _bytes_token(value)
    if issubclass(kind, float):
        return _enclosed("float", float.__repr__(value))
    if issubclass(kind, tuple):
        return f"({''.join(f'{_token(each)},' for each in tuple.__iter__(value))})"
    if issubclass(kind, frozenset):
        return f"{{{''.join(sorted(f'{_token(each)},' for each in value))}}}"
    return _imported_token(value)


def _imported_token(value: Any) -> str:
    """Return the token of a value whose type comes from a module."""
    from datetime import date, datetime, time, timedelta, timezone
    from decimal import Decimal
    from uuid import UUID

    if isinstance(value, (datetime, time)):
        zone = value.tzinfo
        # Two zones may have one offset now, and other rules.
        rules = "" if zone is None or type(zone) is timezone else getattr(zone, "key", None)
        if rules is None:
            raise TypeError(f"its time zone has no name in attribute key: {shown(zone)}")
        name = "datetime" if isinstance(value, datetime) else "time"
        fold = "fold" if value.fold else ""
        return _enclosed(name, " ".join(filter(None, (value.isoformat(), rules, fold))))
    if isinstance(value, date):
        return _enclosed("date", value.isoformat())
    if isinstance(value, timedelta):
        return _enclosed("timedelta", f"{value.days} {value.seconds} {value.microseconds}")
    if isinstance(value, Decimal):
        return _enclosed("Decimal", str(value))
    if isinstance(value, UUID):
        return _enclosed("UUID", str(value))
    raise TypeError(f"got {shown(value)}")


def _fitted(text: str) -> str:
    """Return ASCII `text` as a key: itself, or its beginning and a hash if it is too long."""
    if len(text) < _MOST:
        return text
    digits = hashlib.sha256(text.encode("ascii"), usedforsecurity=False).hexdigest()[:_DIGITS]
    return f"{text[: _MOST - _DIGITS - 1]}#{digits}"


# Signatures


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of `function`, without evaluating its annotations."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


class _Field:
    """An argument in a key: the literal text before it, its index and name, and its attributes."""

    __slots__ = ("attributes", "before", "index", "is_marked", "name", "path")

    def __init__(self, before: str, path: str, names: list[str]) -> None:
        self.path = path
        self.name, *self.attributes = path.split(".")
        self.index = names.index(self.name)
        self.before = before
        self.is_marked = False  # whether a digit may follow, so that an int must be marked

    def text(self, who: str, values: tuple[Any, ...]) -> str:
        """Return the token of this argument, after the text before it."""
        value = values[self.index]
        try:
            for attribute in self.attributes:
                value = getattr(value, attribute)
        except AttributeError as error:
            add_note(error, f"in the key of {who}: {{{self.path}}}")
            raise
        try:
            token = _token(value)
        except TypeError as error:
            raise TypeError(
                f"argument {self.path} of {who} cannot be part of a key, {error}: name an "
                f"attribute that identifies it in the template, such as {{{self.path}.id}}, or "
                "give a function as key"
            ) from None
        if self.is_marked and token[-1].isdigit():
            token = f"int({token})"
        return self.before + token


class KeyMaker:
    """Makes the keys of calls of `function`, as `key` says: a template, a function, or None.

    None stands for the function's qualified name and all its arguments, without the first one of a
    method.
    """

    __slots__ = (
        "_after",
        "_count",
        "_defaults",
        "_fields",
        "_function",
        "_least",
        "_signature",
        "first",
        "who",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        key: str | Callable[..., str] | None,
        is_method: bool,
    ) -> None:
        self.who: str = getattr(function, "__qualname__", type(function).__qualname__)
        self._signature = _signature(function)
        parameters = list(self._signature.parameters.values())
        # Calls by position alone need not be bound by the signature, which is slow.
        self._count = len(parameters)
        self._defaults = tuple(each.default for each in parameters)
        self._least = sum(each.default is inspect.Parameter.empty for each in parameters)
        if any(each.kind not in _POSITIONAL for each in parameters):
            self._count = -1
        names = [each.name for each in parameters]
        self.first = names[0] if names else None
        self._function: Callable[..., str] | None = None
        self._fields: list[_Field] = []
        self._after = ""
        if key is None:
            self._all(function, names[1:] if is_method else names, names)
        elif isinstance(key, str):
            self._parse(key, names)
        elif callable(key):
            require_plain("key", key)
            self._function = key
        else:
            raise TypeError(f"key must be a template, a function or None, got {shown(key)}")

    def _all(self, function: Any, included: Iterable[str], names: list[str]) -> None:
        name = getattr(function, "__name__", "<lambda>")
        if name == "<lambda>":
            raise ValueError(f"key must be given, as the function has no name: {shown(function)}")
        # Two functions with one name can see different values there.
        around = getattr(getattr(function, "__code__", None), "co_freevars", ())
        unseen = [each for each in around if each not in (name, "__class__")]
        if unseen:
            raise ValueError(
                f"key must be given, as {self.who} depends on variables around it: "
                f"{', '.join(unseen)}"
            )
        before = _NOT_LITERAL.sub(_encoded, f"{function.__module__}.{self.who}(")
        for name in included:
            self._fields.append(_Field(f"{before}{_NOT_LITERAL.sub(_encoded, name)}=", name, names))
            before = ","
        self._after = ")" if self._fields else f"{before})"

    def _parse(self, template: str, names: list[str]) -> None:
        try:
            parts = list(string.Formatter().parse(template))
        except ValueError as error:
            raise ValueError(f"key must be a template: {error}, in {template!r}") from None
        if not parts:
            raise ValueError("key must not be empty")
        before = ""
        for literal, path, form, conversion in parts:
            before += literal
            if path is None:
                continue
            if form or conversion:
                raise ValueError(f"key takes no format and no conversion, got {template!r}")
            if not all(each.isidentifier() for each in path.split(".")):
                raise ValueError(
                    "key must have names of arguments and attributes in its braces, such as {id} "
                    f"or {{user.id}}, got {template!r}"
                )
            name = path.split(".")[0]
            if name not in names:
                had = ", ".join(names) or "no arguments"
                raise ValueError(f"key names {name}, but {self.who} has {had}: {template!r}")
            if self._fields:
                self._fields[-1].is_marked = not before or before[0].isdigit()
            self._fields.append(_Field(_NOT_LITERAL.sub(_encoded, before), path, names))
            before = ""
        if self._fields and before:
            self._fields[-1].is_marked = before[0].isdigit()
        self._after = _NOT_LITERAL.sub(_encoded, before)

    def needs(self, name: str | None) -> bool:
        """Return whether the keys depend on argument `name`."""
        return self._function is not None or any(field.name == name for field in self._fields)

    def of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """Return the key of a call; raise ``TypeError`` for arguments that do not fit."""
        if self._function is not None:
            text = self._function(*args, **kwargs)
            if not isinstance(text, str):
                raise TypeError(f"the key of {self.who} must be a str, got {shown(text)}")
            if not text:
                raise ValueError(f"the key of {self.who} must not be empty")
            return _fitted(_NOT_LITERAL.sub(_encoded, text))
        given = len(args)
        if not kwargs and given <= self._count and given >= self._least:
            values = args + self._defaults[given:]
        else:
            values = self._bound(args, kwargs)
        fields = self._fields
        if len(fields) == 1:
            text = fields[0].text(self.who, values) + self._after
        else:
            text = "".join([field.text(self.who, values) for field in fields]) + self._after
        return _fitted(text)

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values of all parameters in their order."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.who}(): {error}") from None
        bound.apply_defaults()
        values = bound.arguments
        return tuple(
            tuple(sorted(values[each.name].items()))  # by name, as their order means nothing
            if each.kind is inspect.Parameter.VAR_KEYWORD
            else values[each.name]
            for each in self._signature.parameters.values()
        )
