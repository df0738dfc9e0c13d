"""How values that are no bytes become bytes: JSON, msgpack, pickle, or a serialiser of one's own.

What a value was is told by the flags of its item. The low 16 bits are this package's: those that
pymemcache and pylibmc know (1 pickle, 2 and 4 int, 8 zlib, 16 text) mean here what they mean there,
and the others are below. A serialiser of one's own has bits among ``CUSTOM_SERIALIZERS``. No I/O.
"""

import json
import pickle
from importlib import import_module
from typing import Any, Final, Protocol

from .errors import InvalidArgumentError, UsageError

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
"""The bits of an item's flags that are free for serialisers of one's own."""


class Serializer(Protocol):
    """Turns values into bytes and back; threads share it.

    `flag` is what marks its values in the flags of an item: a number with bits of
    ``CUSTOM_SERIALIZERS`` alone, the same wherever these values are read. What ``dumps`` raises is
    the caller's error; what ``loads`` raises says that the bytes in the cache make no value.
    """

    @property
    def flag(self) -> int:
        """The bits that mark its values."""

    def dumps(self, value: Any) -> bytes:
        """Return the bytes for a value."""

    def loads(self, data: bytes) -> Any:
        """Return the value that the bytes are for."""


class JsonSerializer:
    """JSON, as short as it can be, in UTF-8: readable in every language.

    A tuple comes back as a list and a key of a dict as a str; NaN and infinities are refused.
    """

    flag: Final = JSON

    def __init__(self) -> None:
        encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._encode = encoder.encode
        self._decode = json.JSONDecoder().decode

    def dumps(self, value: Any) -> bytes:
        """Return the bytes for a value."""
        return self._encode(value).encode()

    def loads(self, data: bytes) -> Any:
        """Return the value that the bytes are for."""
        return self._decode(data.decode())


class MsgpackSerializer:
    """msgpack, by the package ``msgpack``: smaller than JSON, and it holds bytes too."""

    flag: Final = MSGPACK

    def __init__(self) -> None:
        msgpack: Any = package("msgpack", "serializer='msgpack'", "msgpack")
        self._pack = msgpack.packb
        self._unpack = msgpack.unpackb

    def dumps(self, value: Any) -> bytes:
        """Return the bytes for a value."""
        packed: bytes = self._pack(value)
        return packed

    def loads(self, data: bytes) -> Any:
        """Return the value that the bytes are for."""
        return self._unpack(data, strict_map_key=False)


class PickleSerializer:
    """pickle: any Python object, and whoever can write to the cache can run code in its readers.

    So it is never chosen but by name. `protocol` is the number of the format to write.
    """

    flag: Final = PICKLE

    def __init__(self, protocol: int = pickle.DEFAULT_PROTOCOL) -> None:
        if not 0 <= protocol <= pickle.HIGHEST_PROTOCOL:
            raise InvalidArgumentError(
                f"protocol must be in [0, {pickle.HIGHEST_PROTOCOL}] for pickle, got {protocol!r}"
            )
        self._protocol = protocol

    def dumps(self, value: Any) -> bytes:
        """Return the bytes for a value."""
        return pickle.dumps(value, self._protocol)

    def loads(self, data: bytes) -> Any:
        """Return the value that the bytes are for."""
        return pickle.loads(data)


_NAMED: Final[dict[str, Any]] = {
    "json": JsonSerializer,
    "msgpack": MsgpackSerializer,
    "pickle": PickleSerializer,
}


def package(name: str, option: str, extra: str) -> Any:
    """Return an optional package, or say by which extra it is installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(
            f"{option} needs the package {name}: install godropbox[{extra}]"
        ) from error


def as_serializer(serializer: Any) -> Serializer | None:
    """Return the serialiser that an option means: None, a name, or a ``Serializer``."""
    if serializer is None:
        return None
    if isinstance(serializer, str):
        if serializer not in _NAMED:
            raise InvalidArgumentError(
                f"serializer must be 'json', 'msgpack', 'pickle', a Serializer or None, "
                f"got {serializer!r}"
            )
        named: Serializer = _NAMED[serializer]()
        return named
    checked_flag("serializer", serializer, CUSTOM_SERIALIZERS, tuple(_NAMED.values()))
    checked: Serializer = serializer
    return checked


def checked_flag(name: str, thing: Any, allowed: int, ours: tuple[type, ...]) -> None:
    """See that a serialiser or compressor has a flag, and one that is free for it."""
    flag = getattr(thing, "flag", None)
    if not isinstance(flag, int):
        raise InvalidArgumentError(f"{name} must have an int for its flag, got {thing!r}")
    if not isinstance(thing, ours) and (flag == 0 or flag & ~allowed):
        raise InvalidArgumentError(
            f"the flag of a {name} of one's own must have bits of 0x{allowed:08x} alone, "
            f"got 0x{flag:x}"
        )
