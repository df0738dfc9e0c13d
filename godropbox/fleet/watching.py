"""Asks all servers of a fleet at once how they are, again and again, each over its own connection.

A server is asked in a thread of its own, and all share one deadline: one that is dead is a status
that says so, and delays no other.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Final

from ..errors import DropboxError
from ..memcache import (
    AutoProtocol,
    BinaryProtocol,
    Dialect,
    ShardedClient,
    ShardOptions,
    StaticShardManager,
)
from ..memcache.discovery.types import Server
from ..memcache.errors import InvalidArgumentError, InvalidTypeError
from .ends import words_of

__all__ = ["Rates", "Status", "Watcher"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What happened at a server since it was asked before: numbers a second, over `seconds`.

    `hit_rate` is of the gets in between, None if there were none.
    """

    seconds: float
    gets: float
    sets: float
    evictions: float
    hit_rate: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a server says. `error` is why it says nothing, None if it does.

    `stats` are its own, empty for a proxy; `pings` are the times of round trips in seconds; `rates`
    is None for the first answer, and after a restart.
    """

    server: Server
    error: str | None = None
    dialect: Dialect | None = None
    stats: Mapping[str, str] = field(default_factory=dict)
    pings: tuple[float, ...] = ()
    rates: Rates | None = None

    def number(self, name: str) -> int | None:
        """Return a statistic as a number, None if there is none of that name."""
        text = self.stats.get(name, "")
        return int(text) if text.isdigit() else None

    @property
    def version(self) -> str | None:
        """The server's version."""
        said = self.dialect.version if self.dialect is not None else None
        return self.stats.get("version", said)

    @property
    def hit_rate(self) -> float | None:
        """The share of gets that hit since the server started, None if there were none."""
        return _share(self.number("get_hits"), self.number("get_misses"))

    @property
    def latency(self) -> float | None:
        """The median of the round trips, in seconds."""
        return median(self.pings) if self.pings else None

    @property
    def worst(self) -> float | None:
        """The longest of the round trips, in seconds."""
        return max(self.pings, default=None)


class Watcher:
    """Keeps a connection to each of the servers, and asks them all whenever ``look`` is called.

    `options` says how servers are reached; its `timeout` is also for a whole look. `pings` is how
    many round trips are timed, in [0, 1000]. `clock` counts seconds; tests replace it. Close it.
    """

    def __init__(
        self,
        servers: Iterable[Server],
        options: ShardOptions,
        pings: int = 5,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if isinstance(pings, bool) or not isinstance(pings, int):
            raise InvalidTypeError(f"pings must be an int, got {pings!r}")
        if not 0 <= pings <= 1000:
            raise InvalidArgumentError(f"pings must be in [0, 1000], got {pings}")
        if options.timeout is None:
            raise InvalidArgumentError("options must have a timeout, got None")
        self._timeout: Final[float] = options.timeout
        self._options = options
        self._pings = pings
        self._clock = clock
        self._turn = threading.Lock()
        self._peers: dict[Server, _Peer] = {}
        self._servers: tuple[Server, ...] = ()
        self.replace(servers)

    @property
    def servers(self) -> tuple[Server, ...]:
        """The servers that are asked."""
        return self._servers

    def replace(self, servers: Iterable[Server]) -> None:
        """Ask these servers from now on; those that stay keep their connections."""
        self._servers = tuple(servers)
        wanted = dict.fromkeys(self._servers)
        for server in [each for each in self._peers if each not in wanted]:
            self._peers.pop(server).close()
        for server in wanted:
            if server not in self._peers:
                self._peers[server] = _Peer(server, self._options)

    def look(self) -> list[Status]:
        """Ask all servers; return what each says, in their order, by the deadline."""
        until = self._clock() + self._timeout
        for peer in self._peers.values():
            if peer.thread is None or not peer.thread.is_alive():
                peer.begin(self._pings, self._turn, self._clock, until)
        found = []
        for server in self._servers:
            peer = self._peers[server]
            assert peer.thread is not None
            peer.thread.join(max(0.0, until - self._clock()))
            found.append(peer.status(self._timeout))
        return found

    def close(self) -> None:
        """Close the connections."""
        for peer in self._peers.values():
            peer.close()

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Peer:
    """A server that is asked: what it has said in this look, and its numbers in the one before."""

    def __init__(self, server: Server, options: ShardOptions) -> None:
        self._server = server
        is_sasl = options.auth is not None and options.auth.mechanism == "sasl"
        protocol = BinaryProtocol() if is_sasl else AutoProtocol()
        manager = StaticShardManager([server.address], options=options)
        self._client = ShardedClient(manager, protocol, options.timeout)
        self._dialect: Dialect | None = None
        self._said = Status(server=server)
        self._before: tuple[float, Mapping[str, str]] | None = None
        self._at = 0.0
        self.thread: threading.Thread | None = None

    def begin(
        self, pings: int, turn: threading.Lock, clock: Callable[[], float], until: float
    ) -> None:
        """Start to ask."""
        if self._said.stats:
            self._before = self._at, self._said.stats
        self._said = Status(server=self._server)
        self.thread = threading.Thread(
            target=self._ask,
            args=(pings, turn, clock, until),
            name=f"status of {self._server.name}",
            daemon=True,  # one that looks up a name may hang for long
        )
        self.thread.start()

    def _ask(
        self, pings: int, turn: threading.Lock, clock: Callable[[], float], until: float
    ) -> None:
        times: list[float] = []
        try:
            if self._dialect is None:
                [dialect] = self._client.dialects().values()
                if dialect.error is not None and dialect.version is None:
                    raise dialect.error
                self._dialect = dialect
            said = Status(server=self._server, dialect=self._dialect)
            response = self._client.stats()
            if response.entries:
                [stats] = response.entries.values()
                self._at = clock()
                said = replace(said, stats=dict(stats), rates=self._rates(stats))
            elif response.error is not None and not _is_proxy(response.error):
                raise response.error
            self._said = said
            self._ping(clock)  # the first after other work is none to time
            for _ in range(pings):
                # One at a time, so that the threads do not time each other.
                if not turn.acquire(timeout=max(0.0, until - clock())):
                    break
                try:
                    times.append(self._ping(clock))
                finally:
                    turn.release()
                self._said = replace(said, pings=tuple(times))
        except (DropboxError, OSError, ValueError) as error:
            self._dialect = None  # what comes back may be another
            self._said = replace(self._said, error=words_of(error, self._server.address))

    def _ping(self, clock: Callable[[], float]) -> float:
        begun = clock()
        response = self._client.version()
        took = clock() - begun
        if response.error is not None:
            raise response.error
        return took

    def _rates(self, stats: Mapping[str, str]) -> Rates | None:
        if self._before is None:
            return None
        then, before = self._before
        seconds = self._at - then
        more = {name: _more(stats, before, name) for name in _COUNTED}
        if seconds <= 0 or any(each < 0 for each in more.values()):  # it started anew
            return None
        return Rates(
            seconds=seconds,
            gets=(more["get_hits"] + more["get_misses"]) / seconds,
            sets=more["cmd_set"] / seconds,
            evictions=more["evictions"] / seconds,
            hit_rate=_share(more["get_hits"], more["get_misses"]),
        )

    def status(self, timeout: float) -> Status:
        """Return what was said so far."""
        said = self._said
        if said.error is None and said.dialect is None:
            return replace(said, error=f"no answer within {timeout:g} s")
        return said

    def close(self) -> None:
        self._client.close()


_COUNTED: Final = ("get_hits", "get_misses", "cmd_set", "evictions")


def _more(after: Mapping[str, str], before: Mapping[str, str], name: str) -> int:
    return int(after.get(name, 0)) - int(before.get(name, 0))


def _share(hits: int | None, misses: int | None) -> float | None:
    if hits is None or misses is None or not hits + misses:
        return None
    return hits / (hits + misses)


def _is_proxy(error: Any) -> bool:
    """Return whether a server refuses to give statistics, as proxies do."""
    return not isinstance(error, OSError)
