"""Which of several interchangeable hosts a request goes to, for any protocol.

``Balancer`` keeps the hosts, and which of them are marked down; a strategy says in which order they
are tried. Nothing here connects: ``run`` calls a function with a host, and ``pick`` only names one.

    balancer = Balancer(["10.0.0.1:80", "10.0.0.2:80"], RoundRobin(), mark_down=10)
    page = balancer.run(fetch)  # fetch("10.0.0.2:80"), and another host if that raises OSError

The strategies are those of Dropbox's ``net2/http2``.
"""

import hashlib
import random
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol, TypeVar

from ._kernels._args import shown
from ._kernels._identity import refuse_copies
from .errors import NetworkError
from .murmur3 import hash32

__all__ = [
    "Balancer",
    "ConsistentHashing",
    "NoHostError",
    "Order",
    "Pick",
    "RoundRobin",
    "ShuffledFixed",
    "SortedFixed",
    "Strategy",
]

_T = TypeVar("_T")

_ID_LIMIT: Final = 1 << 63


class NoHostError(NetworkError):
    """The balancer has no hosts."""


class Pick(NamedTuple):
    """A host that was picked; `is_down` if it is marked down, as then all that were tried are."""

    address: str
    is_down: bool


class Order(NamedTuple):
    """Hosts as a strategy arranged them.

    `hosts`: their addresses. `tries`: a function from the number of the pick and the key to the
    places in `hosts` to try one after the other, at least one.
    """

    hosts: tuple[str, ...]
    tries: Callable[[int, bytes | None], Iterable[int]]


class Strategy(Protocol):
    """Says which hosts are tried, and in which order."""

    def order(self, hosts: Mapping[str, int]) -> Order:
        """Arrange addresses and their ids, at least one; called when they change."""
        ...


def _seed(name: str, value: object, limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, got {shown(value)}")
    if not 0 <= value < limit:
        raise ValueError(f"{name} must be in [0, {limit}), got {shown(value)}")
    return value


def _at_least_1(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, got {shown(value)}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {shown(value)}")
    return value


def _shuffled(hosts: Mapping[str, int], seed: int) -> tuple[str, ...]:
    """Order hosts by the MD5 of seed and id, 8 bytes each, low byte first, as Go's pool does."""
    head = seed.to_bytes(8, "little")

    def place(address: str) -> tuple[bytes, str]:
        data = head + hosts[address].to_bytes(8, "little", signed=True)
        return hashlib.md5(data, usedforsecurity=False).digest()[7::-1], address

    return tuple(sorted(hosts, key=place))


class RoundRobin:
    """Each request goes to the next of `active` hosts, 6 unless told.

    Which hosts are active, and in which order, depends on `seed`, an int in [0, 2**63) that is
    drawn unless told, so that the processes of a service spread over a larger fleet.
    """

    def __init__(self, active: int = 6, seed: int | None = None) -> None:
        self._active = _at_least_1("active", active)
        self._seed = random.getrandbits(63) if seed is None else _seed("seed", seed, _ID_LIMIT)

    def order(self, hosts: Mapping[str, int]) -> Order:
        """Shuffle the hosts, and try the active ones, from another one at each turn."""
        count = min(self._active, len(hosts))
        return Order(
            _shuffled(hosts, self._seed),
            lambda turn, key: ((turn + i) % count for i in range(count)),
        )


class SortedFixed:
    """Every request goes to the host with the highest id, to the next ones while it is down."""

    def order(self, hosts: Mapping[str, int]) -> Order:
        """Sort the hosts by id, the highest first, and equal ids by address."""
        found = sorted(hosts, key=lambda address: (-hosts[address], address))
        return Order(tuple(found), lambda turn, key: range(len(found)))


class ShuffledFixed:
    """Every request goes to the first of the hosts as `seed` shuffles them, drawn unless told.

    So each process has a first host of its own, and the others while that is down. `seed` is an
    int in [0, 2**63).
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = random.getrandbits(63) if seed is None else _seed("seed", seed, _ID_LIMIT)

    def order(self, hosts: Mapping[str, int]) -> Order:
        """Shuffle the hosts, and try them in that order."""
        return Order(_shuffled(hosts, self._seed), lambda turn, key: range(len(hosts)))


class ConsistentHashing:
    """A request goes to one of the `nearest` hosts behind its key on a ring, 1 unless told.

    More than 1 spreads hot keys, each request to one of them at random. While one is down, the
    next host of the ring takes its share. `seed` is an int in [0, 2**32), and `hash_function`
    takes bytes and a seed and returns 32 bits, murmur3 unless told.
    """

    def __init__(
        self, nearest: int = 1, seed: int = 0, hash_function: Callable[[bytes, int], int] = hash32
    ) -> None:
        self._nearest = _at_least_1("nearest", nearest)
        self._seed = _seed("seed", seed, 1 << 32)
        self._hash = hash_function

    def order(self, hosts: Mapping[str, int]) -> Order:
        """Arrange the hosts as a ring, and try them from a key's place on."""
        ring = sorted((self._hash(host.encode(), self._seed), host) for host in hosts)
        hashes = [place for place, _ in ring]
        count, nearest = len(ring), min(self._nearest, len(ring))

        def tries(turn: int, key: bytes | None) -> Iterator[int]:
            if key is None:
                raise TypeError("key must be given to a balancer by consistent hashing")
            start = bisect_left(hashes, self._hash(key, self._seed))
            near = [(start + i) % count for i in range(nearest)]
            for i in range(nearest, count + nearest):
                yield near.pop(random.randrange(len(near)))
                if i < count:
                    near.append((start + i) % count)

        return Order(tuple(host for _, host in ring), tries)


def _checked(hosts: object) -> dict[str, int]:
    """Return addresses and ids; those without ids get a hash of the address."""
    if isinstance(hosts, (str, bytes)) or not isinstance(hosts, Iterable):
        raise TypeError(
            "hosts must be an iterable of addresses, or a mapping of them to ids, "
            f"got {shown(hosts)}"
        )
    found: dict[str, int] = {}
    for host in hosts:
        if not isinstance(host, str):
            raise TypeError(f"hosts must have addresses that are str, got {shown(host)}")
        number = hosts[host] if isinstance(hosts, Mapping) else _id_of(host)
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"hosts[{host!r}] must be an int, its id, got {shown(number)}")
        if not -_ID_LIMIT <= number < _ID_LIMIT:
            raise ValueError(f"hosts[{host!r}] must be in [-2**63, 2**63), got {shown(number)}")
        found[host] = number
    return found


def _id_of(address: str) -> int:
    digest = hashlib.md5(address.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def _seconds(name: str, value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, got {shown(value)}")
    if not value >= 0:
        raise ValueError(f"{name} must be at least 0 s, got {shown(value)}")
    return value


def _strategy(strategy: Strategy) -> Strategy:
    if isinstance(strategy, type) or not callable(getattr(strategy, "order", None)):
        raise TypeError(f"strategy must be one, such as RoundRobin(), got {shown(strategy)}")
    return strategy


class Balancer:
    """Hosts that requests are spread over by a strategy.

    - `hosts`: addresses, which are any str; or a mapping of addresses to ids, ints in
      [-2**63, 2**63), which order them in ``SortedFixed`` and ``ShuffledFixed`` and may move to
      another address. The id of an address without one is a hash of it.
    - `strategy`: ``RoundRobin()`` unless told.
    - `mark_down`: seconds for which a host that failed is not picked, at least 0.
    - `clock`: seconds that never go back.

    Threads may share it. Raise ``TypeError`` and ``ValueError`` for arguments out of range.
    """

    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        hosts: Iterable[str] | Mapping[str, int] = (),
        strategy: Strategy | None = None,
        *,
        mark_down: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mark_down = _seconds("mark_down", mark_down)
        self._strategy = RoundRobin() if strategy is None else _strategy(strategy)
        self._clock = clock
        self._lock = threading.Lock()
        self._down: dict[str, float] = {}  # addresses, and until when
        self._turn = 0
        self._order = self._arranged(hosts)

    def _arranged(self, hosts: object) -> Order:
        found = _checked(hosts)
        return self._strategy.order(found) if found else Order((), lambda turn, key: ())

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses, in the strategy's order."""
        return self._order.hosts

    @property
    def down(self) -> tuple[str, ...]:
        """The addresses that are marked down now, in the strategy's order."""
        now = self._clock()
        with self._lock:
            return tuple(host for host in self._order.hosts if self._down.get(host, now) > now)

    def update(self, hosts: Iterable[str] | Mapping[str, int]) -> None:
        """Replace the hosts; those that stay and are marked down stay so."""
        found = self._arranged(hosts)
        with self._lock:
            self._order = found
            self._down = {host: self._down[host] for host in found.hosts if host in self._down}

    def pick(self, key: bytes | None = None) -> Pick:
        """Return the host to try now: the first that is not marked down, or else the first.

        `key` is bytes, for ``ConsistentHashing`` alone. Raise ``NoHostError`` without hosts.
        """
        return self._pick(key, frozenset())

    def _pick(self, key: bytes | None, tried: frozenset[str]) -> Pick:
        if key is not None and not isinstance(key, bytes):
            raise TypeError(f"key must be bytes, got {shown(key)}")
        now = self._clock()
        with self._lock:
            order, turn = self._order, self._turn
            self._turn += 1
            down = {host for host, until in self._down.items() if until > now} | tried
        first: str | None = None
        for place in order.tries(turn, key):
            address = order.hosts[place]
            if address not in down:
                return Pick(address, False)
            if first is None:
                first = address
        if first is None:
            raise NoHostError("the balancer has no hosts")
        return Pick(first, True)

    def mark_down(self, address: str, seconds: float | None = None) -> None:
        """Pick a host no more, for `seconds` or else the balancer's own; an unknown one is left."""
        lasts = self._mark_down if seconds is None else _seconds("seconds", seconds)
        with self._lock:
            if address in self._order.hosts:
                self._down[address] = self._clock() + lasts

    def mark_up(self, address: str) -> None:
        """Pick a host again."""
        with self._lock:
            self._down.pop(address, None)

    def run(
        self,
        function: Callable[[str], _T],
        key: bytes | None = None,
        *,
        attempts: int = 3,
        failures: tuple[type[BaseException], ...] = (OSError,),
    ) -> _T:
        """Return ``function(address)`` for a host, trying up to `attempts` hosts.

        A host for which the function raises one of `failures` is marked down, and another is tried
        if one is up; the last error is raised. A host that was down and answers is marked up.
        `failures` are to be errors after which a second attempt does no harm.
        """
        most = _at_least_1("attempts", attempts)
        tried: set[str] = set()
        pick = self.pick(key)
        while True:
            try:
                result = function(pick.address)
            except failures:
                self.mark_down(pick.address)
                tried.add(pick.address)
                following = self._following(key, tried) if len(tried) < most else None
                if following is None:
                    raise
                pick = following
                continue
            if pick.is_down:
                self.mark_up(pick.address)
            return result

    def _following(self, key: bytes | None, tried: set[str]) -> Pick | None:
        """Return another host that is up, or None."""
        try:
            pick = self._pick(key, frozenset(tried))
        except NoHostError:
            return None
        return None if pick.is_down else pick
