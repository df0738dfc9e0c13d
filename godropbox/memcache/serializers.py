"""Serializers: JSON, msgpack, pickle, and the protocol for custom ones. No I/O.

An item's flags record its format. The low 16 bits belong to this package: 1 pickle, 2 and 4 int,
8 zlib and 16 text, as in pymemcache and pylibmc, and those defined below. Custom serializers use
the bits of ``CUSTOM_SERIALIZERS``.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, Protocol

from .errors import InvalidArgumentError, UsageError
from .hints import closest, required_object

__all__ = [
    "CUSTOM_SERIALIZERS",
    "JsonSerializer",
    "MsgpackSerializer",
    "PickleSerializer",
    "Serializer",
    "as_serializer",
    "package",
]

PICKLE: Final = 1 << 0
JSON: Final = 1 << 8
MSGPACK: Final = 1 << 9
CUSTOM_SERIALIZERS: Final = 0x00FF0000
"""Bits of an item's flags reserved for custom serializers."""


class Serializer(Protocol):
    """Converts values to bytes and back; must be safe to share among threads.

    `flag` marks its values in an item's flags: a number made of bits of ``CUSTOM_SERIALIZERS``,
    the same in every program that reads these values. An exception from ``dumps`` is the caller's
    error; one from ``loads`` means that the cached bytes are unreadable.
    """

    @property
    def flag(self) -> int:
        """Bits that mark its values in an item's flags."""

    def dumps(self, value: Any) -> bytes:
        """Return the value as bytes."""

    def loads(self, data: bytes) -> Any:
        """Return the value encoded in `data`."""


class JsonSerializer:
    """Compact JSON in UTF-8, readable from every language.

    Tuples come back as lists and dict keys as str; NaN and infinities are refused.
    """

    flag: Final = JSON

    def __init__(self) -> None:
        import json

        encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._encode = encoder.encode
        self._decode = json.JSONDecoder().decode

    def dumps(self, value: Any) -> bytes:
        """Return the value as bytes."""
        return self._encode(value).encode()

    def loads(self, data: bytes) -> Any:
        """Return the value encoded in `data`."""
        return self._decode(data.decode())


class MsgpackSerializer:
    """msgpack, from the package ``msgpack``: smaller than JSON, and supports bytes."""

    flag: Final = MSGPACK

    def __init__(self) -> None:
        msgpack: Any = package("msgpack", "serializer='msgpack'", "msgpack")
        self._pack = msgpack.packb
        self._unpack = msgpack.unpackb

    def dumps(self, value: Any) -> bytes:
        """Return the value as bytes."""
        packed: bytes = self._pack(value)
        return packed

    def loads(self, data: bytes) -> Any:
        """Return the value encoded in `data`."""
        return self._unpack(data, strict_map_key=False)


class PickleSerializer:
    """pickle: any Python object, but whoever can write to the cache can run code in its readers.

    It is used only if chosen by name. `protocol` is the pickle protocol to write, by default
    Python's own default.
    """

    flag: Final = PICKLE

    def __init__(self, protocol: int | None = None) -> None:
        import pickle

        if protocol is None:
            protocol = pickle.DEFAULT_PROTOCOL
        if not 0 <= protocol <= pickle.HIGHEST_PROTOCOL:
            raise InvalidArgumentError(
                f"protocol must be in [0, {pickle.HIGHEST_PROTOCOL}] for pickle, got {protocol!r}"
            )
        self._dumps = pickle.dumps
        self._loads = pickle.loads
        self._protocol = protocol
        self._is_default = protocol == pickle.DEFAULT_PROTOCOL

    def functions(self) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
        """Return what ``dumps`` and ``loads`` come to: the module's own, which a codec calls."""
        return self._dumps if self._is_default else self.dumps, self._loads

    def dumps(self, value: Any) -> bytes:
        """Return the value as bytes."""
        return self._dumps(value, self._protocol)

    def loads(self, data: bytes) -> Any:
        """Return the value encoded in `data`."""
        return self._loads(data)


_NAMED: Final[dict[str, Any]] = {
    "json": JsonSerializer,
    "msgpack": MsgpackSerializer,
    "pickle": PickleSerializer,
}


def package(name: str, option: str, extra: str) -> Any:
    """Import an optional package; raise ``UsageError`` naming the extra that installs it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(
            f"{option} needs the package {name}: install godropbox[{extra}]"
        ) from error


def as_serializer(serializer: Any) -> Serializer | None:
    """Return the serializer for an option: None, a name, or a ``Serializer``."""
    if serializer is None:
        return None
    if isinstance(serializer, str):
        if serializer not in _NAMED:
            near = closest(serializer, _NAMED)
            raise InvalidArgumentError(
                f"serializer must be 'json', 'msgpack', 'pickle', a Serializer or None, "
                f"got {serializer!r}" + (f": did you mean {near!r}?" if near else "")
            )
        named: Serializer = _NAMED[serializer]()
        return named
    required_object("serializer", serializer, _NAMED, ("dumps", "loads"))
    checked_flag("serializer", serializer, CUSTOM_SERIALIZERS, tuple(_NAMED.values()))
    checked: Serializer = serializer
    return checked


def checked_flag(name: str, value: Any, allowed: int, builtin: tuple[type, ...]) -> None:
    """Check the flag of a serializer or compressor: a custom one has only `allowed` bits."""
    flag = getattr(value, "flag", None)
    if not isinstance(flag, int):
        raise InvalidArgumentError(f"{name} must have an int flag, got {value!r}")
    if not isinstance(value, builtin) and (flag == 0 or flag & ~allowed):
        raise InvalidArgumentError(
            f"the flag of a custom {name} must have only bits of 0x{allowed:08x}, got 0x{flag:x}"
        )
