"""Shard functions: which shard of a fleet a key belongs to. No I/O.

``Hash2``, ``Crc32``, ``Ketama``, ``Rendezvous`` and ``Jump`` are shard functions; bound to the
names of a fleet's servers, in shard order, each returns a ``Placement``. A server's name is its
address unless it was given one. A callable of a key and the number of shards works too. The hashing
is in ``_kernels.placement``.

Keys are hashed as the caller passes them, without the prefix, so changing the prefix moves no key.
A ``str`` and its UTF-8 ``bytes`` have the same shard.
"""

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ..._kernels import placement as _kernel
from ..._kernels._args import checked_int, shown
from ..address import DEFAULT_PORT, parse_name, same_name
from ..errors import InvalidArgumentError, InvalidTypeError
from ..hints import closest
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
    "ketama_digests",
    "ketama_name",
    "key_number",
]

UNMAPPED: Final = -1
"""Shard of a key without a server: returned by a callable, or for an empty fleet."""

NOT_A_KEY: Final = _kernel.NOT_A_KEY
"""In a batch, -2: shard of a key that is not str or bytes, or that UTF-8 cannot encode."""

key_number = _kernel.fnv1a


class Placement(Protocol):
    """Map of keys to the shards of one fleet; immutable and safe to share among threads."""

    def of(self, key: Key) -> int:
        """Return the shard of `key`, or ``UNMAPPED``.

        Raises ``TypeError`` if `key` is neither str nor bytes, ``ValueError`` if UTF-8 cannot
        encode it.
        """

    def of_many(self, keys: Iterable[Any]) -> list[int]:
        """Return the shards of many keys, in the order of the keys.

        The shard is ``NOT_A_KEY`` for a key at which ``of`` raises.
        """


class ShardFunction(Protocol):
    """Rule that distributes keys over the shards of a fleet."""

    @property
    def has_next(self) -> bool:
        """Whether keys have a next shard when their own is excluded; if not, ``among`` raises."""

    def bind(self, servers: Sequence[str]) -> Placement:
        """Return the placement over the servers of these names (at least one), shard 0 first."""

    def among(self, servers: Sequence[str], shards: Collection[int]) -> Placement:
        """Return the placement restricted to `shards` (at least one of the fleet).

        Keys of these shards stay where they are.
        """


@dataclass(frozen=True, slots=True)
class Hash2:
    """Dropbox's permutation hash of the key's 64-bit FNV-1a.

    The next shard is the next one in the key's permutation. In Go: ``h := fnv.New64a();
    h.Write(key); hash2.ConsistentHash(h.Sum64(), numShards)``. Dropbox's library leaves the hash of
    a key to its user; FNV-1a is in Go's standard library.
    """

    has_next = True

    def bind(self, servers: Sequence[str]) -> Placement:
        return _kernel.hash2(len(servers))

    def among(self, servers: Sequence[str], shards: Collection[int]) -> Placement:
        return _kernel.hash2_among(_in_fleet(servers, shards))


@dataclass(frozen=True, slots=True)
class Jump:
    """Jump hash (John Lamping, Eric Veach) of the key's 64-bit FNV-1a; no next shard."""

    has_next = False

    def bind(self, servers: Sequence[str]) -> Placement:
        return _kernel.jump(len(servers))

    def among(self, servers: Sequence[str], shards: Collection[int]) -> Placement:
        raise _no_next("Jump")


@dataclass(frozen=True, slots=True)
class Crc32:
    """CRC-32 (zlib's) of the key modulo the number of servers; no next shard.

    In Go: ``crc32.ChecksumIEEE(key) % numShards``. python-memcached and libmemcached's CRC use only
    15 bits, ``crc32(key) >> 16 & 0x7fff``; write a callable to match them.
    """

    has_next = False

    def bind(self, servers: Sequence[str]) -> Placement:
        return _kernel.crc32(len(servers))

    def among(self, servers: Sequence[str], shards: Collection[int]) -> Placement:
        raise _no_next("Crc32")


@dataclass(frozen=True, slots=True)
class Ketama:
    """The ring of libmemcached, pylibmc and PHP; the next shard is the next server on the ring.

    The default ring is ``MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED`` (pylibmc's ``"ketama_weighted"``):
    160 points for a server of mean weight, from MD5. `weights` maps the servers' names to weights;
    the default weight is 1. With ``weighted=False`` the ring is ``MEMCACHED_BEHAVIOR_KETAMA``
    (pylibmc's ``"ketama"``): 100 points per server, from the one-at-a-time hash.

    The order of the servers does not matter, only their names: of an address, the host as written,
    and the port unless it is 11211; a name that is no address is taken as it is.
    """

    weights: Mapping[str, int] = field(default_factory=dict)
    weighted: bool = True

    has_next = True

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            same_name(name)
            if not checked_int(f"the weight of {name}", "[1, 2**32)", weight, 1 << 32):
                raise InvalidArgumentError(f"the weight of {name} must be at least 1, got 0")
        if self.weights and not self.weighted:
            raise InvalidArgumentError("weights must be empty where weighted is False")

    def bind(self, servers: Sequence[str]) -> Placement:
        return self._ring(self._points(servers))

    def among(self, servers: Sequence[str], shards: Collection[int]) -> Placement:
        left = _in_fleet(servers, shards)
        points = [point for point in self._points(servers) if point[1] in shards]
        if not points:  # too light for a point beside the excluded servers
            among_them = self._points([servers[i] for i in left])
            points = [(value, left[i]) for value, i in among_them]
        return self._ring(points)

    def _ring(self, points: Iterable[tuple[int, int]]) -> Placement:
        return _kernel.ketama(points) if self.weighted else _kernel.jenkins(points)

    def _points(self, servers: Sequence[str]) -> Iterator[tuple[int, int]]:
        names = [ketama_name(name) for name in servers]
        if not self.weighted:
            for shard, name in enumerate(names):
                for i in range(100):
                    yield _kernel.one_at_a_time(b"%s-%d" % (name, i)), shard
            return
        import hashlib  # it loads OpenSSL, megabytes that nothing else here needs

        given = {same_name(name): weight for name, weight in self.weights.items()}
        weights = [given.get(same_name(name), 1) if given else 1 for name in servers]
        total = sum(weights)
        for shard, (name, weight) in enumerate(zip(names, weights, strict=True)):
            for i in range(ketama_digests(weight, total, len(names))):
                digest = hashlib.md5(b"%s-%d" % (name, i), usedforsecurity=False).digest()
                for value in struct.unpack("<4I", digest):
                    yield value, shard


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """pymemcache's ``HashClient``: the server with the highest murmur3 of its name and the key.

    The next shard has the next highest score. pymemcache hashes the low byte of each character of a
    str (the text itself if it is ASCII) and the ``repr`` of a key in bytes; here bytes are decoded
    from UTF-8 first.
    """

    has_next = True

    def bind(self, servers: Sequence[str]) -> Placement:
        return self.among(servers, range(len(servers)))

    def among(self, servers: Sequence[str], shards: Collection[int]) -> Placement:
        names = [(_pymemcache_name(servers[i]), i) for i in _in_fleet(servers, shards)]
        names.sort(reverse=True)  # at equal scores the greatest name wins, as in pymemcache
        texts = (bytes(ord(c) & 0xFF for c in f"{name}-") for name, _ in names)
        return _kernel.rendezvous(
            (text, shard) for text, (_, shard) in zip(texts, names, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Custom:
    """A caller's `function` of a key and the number of shards; no next shard.

    It returns a shard in [0, number of shards), or -1 for a key without a server. It may be called
    from several threads at once.
    """

    function: Callable[[Any, int], int]

    has_next = False

    def bind(self, servers: Sequence[str]) -> Placement:
        return _CustomPlacement(self.function, len(servers))

    def among(self, servers: Sequence[str], shards: Collection[int]) -> Placement:
        raise _no_next("a callable")


class _CustomPlacement:
    __slots__ = ("_function", "_num_shards")

    def __init__(self, function: Callable[[Any, int], int], num_shards: int) -> None:
        self._function = function
        self._num_shards = num_shards

    def of(self, key: Key) -> int:
        _kernel.fnv1a(key)  # raises for a bad key, with the same message as other rules
        shard = self._function(key, self._num_shards)
        if not isinstance(shard, int) or not -1 <= shard < self._num_shards:
            raise InvalidArgumentError(
                f"the shard function must return an int in [-1, {self._num_shards}),"
                f" got {shown(shard)} for {shown(key)}"
            )
        return int(shard)

    def of_many(self, keys: Iterable[Any]) -> list[int]:
        held = list(keys)
        checked = _kernel.crc32(1).of_many(held)  # NOT_A_KEY for bad keys
        return [
            self.of(key) if shard >= 0 else NOT_A_KEY
            for key, shard in zip(held, checked, strict=True)
        ]


def as_shard_function(value: Any) -> ShardFunction:
    """Return a shard function unchanged, a callable as ``Custom``; else raise ``TypeError``."""
    if all(hasattr(value, name) for name in ("bind", "among", "has_next")) and not isinstance(
        value, type
    ):
        function: ShardFunction = value
        return function
    if isinstance(value, type) or not callable(value):
        known = [each.__name__ for each in (Hash2, Jump, Crc32, Ketama, Rendezvous)]
        near = closest(value.__name__ if isinstance(value, type) else value, known)
        raise InvalidTypeError(
            "shard_func must be a shard function, such as Hash2(), or a callable, "
            f"got {shown(value)}" + (f": write shard_func={near}()" if near else "")
        )
    return Custom(value)


def _no_next(name: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{name} has no next shard for a key whose own is excluded")


def _in_fleet(servers: Sequence[str], shards: Collection[int]) -> list[int]:
    found = [i for i in range(len(servers)) if i in shards]
    if not found:
        raise InvalidArgumentError(
            f"shards must have at least one of the fleet's {len(servers)}, got {shown(shards)}"
        )
    return found


def ketama_name(name: str) -> bytes:
    """Return a server's name on libmemcached's ring: of an address without the port 11211."""
    parsed = parse_name(name)
    if parsed is None:
        return name.encode()
    if isinstance(parsed, str):  # libmemcached gives a Unix socket port 0
        parsed = parsed, 0
    host, port = parsed
    return (host if port == DEFAULT_PORT else f"{host}:{port}").encode()


def ketama_digests(weight: int, total: int, servers: int) -> int:
    """Return a server's number of MD5s (four points each), in libmemcached's float arithmetic."""
    share = _single(_single(weight) / _single(total))
    return int(_single(_single(_single(share * 160) / 4 * servers) + 1e-10))


def _single(value: float) -> float:
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def _pymemcache_name(name: str) -> str:
    parsed = parse_name(name)
    if parsed is None:
        return name
    return parsed if isinstance(parsed, str) else f"{parsed[0]}:{parsed[1]}"
