"""Shard functions: the rules by which a fleet of memcached servers shares keys out. No I/O.

``Hash2``, ``Crc32``, ``Ketama``, ``Rendezvous`` and ``Jump`` are rules; bound to the addresses of
a fleet, in the order of its shards, each gives a ``Placement``. A callable of a key and the number
of shards is a rule too. The hashing itself is in ``_kernels.placement``.

A key is placed as the caller gave it, before any prefix, so that a prefix moves no key. The same
text as ``str`` or as its UTF-8 in ``bytes`` lands on the same shard.
"""

import hashlib
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ..._kernels import placement as _kernel
from ..._kernels._args import checked_int, shown
from ..address import DEFAULT_PORT, parse_address
from ..errors import InvalidArgumentError, InvalidTypeError
from ..types import Key

__all__ = [
    "NOT_A_KEY",
    "UNMAPPED",
    "Crc32",
    "Custom",
    "Hash2",
    "Jump",
    "Ketama",
    "Placement",
    "Rendezvous",
    "ShardFunction",
    "as_shard_function",
    "key_number",
]

UNMAPPED: Final = -1
"""The shard of a key that no server is to have: a callable's answer, or an empty fleet's."""

NOT_A_KEY: Final = _kernel.NOT_A_KEY
"""In a batch, -2: the shard of what is neither str nor bytes, or is text without UTF-8."""

key_number = _kernel.fnv1a


class Placement(Protocol):
    """The places of keys in one fleet: immutable, and safe to share among threads."""

    def of(self, key: Key) -> int:
        """Return the shard of `key`, or ``UNMAPPED``.

        Raises ``TypeError`` for what is neither str nor bytes, ``ValueError`` for text that UTF-8
        cannot encode.
        """

    def of_many(self, keys: Iterable[Any]) -> list[int]:
        """Return the shards of many keys, in their order, in one call.

        ``NOT_A_KEY`` stands for a key at which ``of`` raises, so that the others have their place.
        """


class ShardFunction(Protocol):
    """A rule that shares keys out."""

    @property
    def has_next(self) -> bool:
        """Whether a key has a next shard when its own is left out; else ``among`` raises."""

    def bind(self, addresses: Sequence[str]) -> Placement:
        """Return the placement in a fleet of these servers, at least one, the first shard 0."""

    def among(self, addresses: Sequence[str], shards: Collection[int]) -> Placement:
        """Return the same placement with all but `shards`, at least one, left out.

        Keys of the shards that stay are where they were.
        """


@dataclass(frozen=True, slots=True)
class Hash2:
    """Dropbox's permutation hash of the key's FNV-1a, 64 bits of it. Left out: the permutation's
    next shard.

    In Go: ``h := fnv.New64a(); h.Write(key); hash2.ConsistentHash(h.Sum64(), numShards)``. Go's
    library leaves to its user how a key becomes a number; FNV-1a is what Go's standard library has.
    """

    has_next = True

    def bind(self, addresses: Sequence[str]) -> Placement:
        return _kernel.hash2(len(addresses))

    def among(self, addresses: Sequence[str], shards: Collection[int]) -> Placement:
        return _kernel.hash2_among(_in_fleet(addresses, shards))


@dataclass(frozen=True, slots=True)
class Jump:
    """John Lamping and Eric Veach's jump hash of the key's FNV-1a. There is no next shard."""

    has_next = False

    def bind(self, addresses: Sequence[str]) -> Placement:
        return _kernel.jump(len(addresses))

    def among(self, addresses: Sequence[str], shards: Collection[int]) -> Placement:
        raise _no_next("Jump")


@dataclass(frozen=True, slots=True)
class Crc32:
    """zlib's CRC-32 of the key modulo the number of servers. There is no next shard.

    That is ``crc32.ChecksumIEEE(key) % numShards`` in Go. python-memcached takes 15 of the bits,
    ``crc32(key) >> 16 & 0x7fff``, before the modulo, and libmemcached's CRC does likewise: use a
    callable for those.
    """

    has_next = False

    def bind(self, addresses: Sequence[str]) -> Placement:
        return _kernel.crc32(len(addresses))

    def among(self, addresses: Sequence[str], shards: Collection[int]) -> Placement:
        raise _no_next("Crc32")


@dataclass(frozen=True, slots=True)
class Ketama:
    """libmemcached's ring, and so pylibmc's and PHP's. Left out: the ring's next server.

    By default that of ``MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED`` (pylibmc's ``"ketama_weighted"``):
    160 points a server of mean weight, by MD5. `weights` are by address, and 1 where there is none.
    With ``weighted=False`` it is that of ``MEMCACHED_BEHAVIOR_KETAMA`` alone (pylibmc's
    ``"ketama"``): 100 points a server, by the one-at-a-time hash.

    Keys are where their server's name says, whatever the order of the servers; a name is the host
    as it is written, and the port unless that is 11211.
    """

    weights: Mapping[str, int] = field(default_factory=dict)
    weighted: bool = True

    has_next = True

    def __post_init__(self) -> None:
        for address, weight in self.weights.items():
            parse_address(address)
            if not checked_int(f"the weight of {address}", "[1, 2**32)", weight, 1 << 32):
                raise InvalidArgumentError(f"the weight of {address} must be at least 1, got 0")
        if self.weights and not self.weighted:
            raise InvalidArgumentError("weights must be empty where weighted is False")

    def bind(self, addresses: Sequence[str]) -> Placement:
        return self._ring(self._points(addresses))

    def among(self, addresses: Sequence[str], shards: Collection[int]) -> Placement:
        left = _in_fleet(addresses, shards)
        points = [point for point in self._points(addresses) if point[1] in shards]
        if not points:  # their weights are too small for any beside those left out
            among_them = self._points([addresses[i] for i in left])
            points = [(value, left[i]) for value, i in among_them]
        return self._ring(points)

    def _ring(self, points: Iterable[tuple[int, int]]) -> Placement:
        return _kernel.ketama(points) if self.weighted else _kernel.jenkins(points)

    def _points(self, addresses: Sequence[str]) -> Iterator[tuple[int, int]]:
        names = [_ketama_name(address) for address in addresses]
        if not self.weighted:
            for shard, name in enumerate(names):
                for i in range(100):
                    yield _kernel.one_at_a_time(b"%s-%d" % (name, i)), shard
            return
        given = {parse_address(address): weight for address, weight in self.weights.items()}
        weights = [given.get(parse_address(address), 1) for address in addresses]
        total = sum(weights)
        for shard, (name, weight) in enumerate(zip(names, weights, strict=True)):
            for i in range(_digests(weight, total, len(names))):
                digest = hashlib.md5(b"%s-%d" % (name, i), usedforsecurity=False).digest()
                for value in struct.unpack("<4I", digest):
                    yield value, shard


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """pymemcache's ``HashClient``: the server whose name and the key give the highest murmur3.
    Left out: the next highest.

    pymemcache hashes the low byte of every character of a str, which is the text itself where it
    is ASCII; for a key in bytes it hashes what ``repr`` shows. Here bytes are placed as the text
    that they are the UTF-8 of.
    """

    has_next = True

    def bind(self, addresses: Sequence[str]) -> Placement:
        return self.among(addresses, range(len(addresses)))

    def among(self, addresses: Sequence[str], shards: Collection[int]) -> Placement:
        names = [(_pymemcache_name(addresses[i]), i) for i in _in_fleet(addresses, shards)]
        names.sort(reverse=True)  # of equal scores it takes the greatest name's
        texts = (bytes(ord(c) & 0xFF for c in f"{name}-") for name, _ in names)
        return _kernel.rendezvous(
            (text, shard) for text, (_, shard) in zip(texts, names, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Custom:
    """A rule of the caller's: `function` takes a key and the number of shards.

    It returns a shard from 0 to one less, or -1 for a key that no server is to have; several
    threads may call it at once. There is no next shard.
    """

    function: Callable[[Any, int], int]

    has_next = False

    def bind(self, addresses: Sequence[str]) -> Placement:
        return _CustomPlacement(self.function, len(addresses))

    def among(self, addresses: Sequence[str], shards: Collection[int]) -> Placement:
        raise _no_next("a callable")


class _CustomPlacement:
    __slots__ = ("_function", "_num_shards")

    def __init__(self, function: Callable[[Any, int], int], num_shards: int) -> None:
        self._function = function
        self._num_shards = num_shards

    def of(self, key: Key) -> int:
        _kernel.fnv1a(key)  # raises for what is no key, in the words of every other rule
        shard = self._function(key, self._num_shards)
        if not isinstance(shard, int) or not -1 <= shard < self._num_shards:
            raise InvalidArgumentError(
                f"the shard function must return an int in [-1, {self._num_shards}),"
                f" got {shown(shard)} for {shown(key)}"
            )
        return int(shard)

    def of_many(self, keys: Iterable[Any]) -> list[int]:
        held = list(keys)
        places = _kernel.crc32(1).of_many(held)
        return [
            self.of(key) if place >= 0 else NOT_A_KEY
            for key, place in zip(held, places, strict=True)
        ]


def as_shard_function(value: Any) -> ShardFunction:
    """Return a shard function as it is, and a callable as a ``Custom``; else ``TypeError``."""
    if all(hasattr(value, name) for name in ("bind", "among", "has_next")) and not isinstance(
        value, type
    ):
        function: ShardFunction = value
        return function
    if isinstance(value, type) or not callable(value):
        raise InvalidTypeError(
            "shard_func must be a shard function, such as Hash2(), or a callable, "
            f"got {shown(value)}"
        )
    return Custom(value)


def _no_next(name: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{name} has no next shard for a key whose own is left out")


def _in_fleet(addresses: Sequence[str], shards: Collection[int]) -> list[int]:
    found = [i for i in range(len(addresses)) if i in shards]
    if not found:
        raise InvalidArgumentError(
            f"shards must have at least one of the fleet's {len(addresses)}, got {shown(shards)}"
        )
    return found


def _ketama_name(address: str) -> bytes:
    parsed = parse_address(address)
    if isinstance(parsed, str):  # libmemcached gives a Unix socket port 0
        parsed = parsed, 0
    host, port = parsed
    return (host if port == DEFAULT_PORT else f"{host}:{port}").encode()


def _digests(weight: int, total: int, servers: int) -> int:
    """Return how many MD5s, of four points each, a server has; in single precision, as there."""
    share = _single(_single(weight) / _single(total))
    return int(_single(_single(_single(share * 160) / 4 * servers) + 1e-10))


def _single(value: float) -> float:
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def _pymemcache_name(address: str) -> str:
    parsed = parse_address(address)
    return parsed if isinstance(parsed, str) else f"{parsed[0]}:{parsed[1]}"
