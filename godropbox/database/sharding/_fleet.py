"""Which host a statement goes to, and what its failures mean; without I/O, for both routers."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from math import nextafter
from typing import Any, Final, TypedDict

from ..._kernels._args import checked_int, shown
from ..._kernels._guarded import name_of
from ...balancing import Balancer, RoundRobin
from ...errors import DropboxError
from ...resource_pool import OpenError, PoolExhaustedError, PoolOptions
from ...resource_pool._options import checked_timeout
from ._dial import HeldError
from ._engines import Engine, Heartbeat, engine_of
from ._errors import (
    ConstraintError,
    HostLostError,
    ReadOnlyHostError,
    ShardReadOnlyError,
    StaleLayoutError,
    StatementError,
    StatementTimeoutError,
)
from ._layout import HostGroup, Layout
from ._statements import Rendered, kind_of

__all__ = [
    "Fleet",
    "Group",
    "Router",
    "RouterOptions",
    "RouterOverrides",
    "Token",
    "UnsentError",
    "changed_shards",
    "first_of",
    "is_drivers",
    "last_of",
    "said_of",
    "seconds_of",
]

# Positions of a master that are remembered while its replicas come to them.
_SAMPLES: Final = 256
_FOREVER: Final = float("inf")
# Seconds from which on there is no limit: locks, loops and servers cannot wait for much longer.
MOST_SECONDS: Final = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Token:
    """How far a group's master was after a write: reads given it see that write.

    It may be sent elsewhere, such as in a cookie: `group` and `position` are text.
    """

    group: str
    position: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterOptions:
    """How a router uses its hosts. Times are seconds; more than 30 days are as good as for ever.

    - `timeout`: for a whole call, waiting included; None is no limit. A call may name another.
    - `max_staleness`: how far behind a replica that is read from may be; None lets any replica be
      read that is up, 0 reads from masters alone.
    - `measure_every`: how often replicas are measured, by a thread or task for each group that has
      replicas; 0 leaves it to ``router.measure()``.
    - `heartbeat`: a ``Heartbeat``, where the engine's own positions (GTIDs, WAL) cannot be used.
    - `token_wait`: how long a read with a token waits for a replica, before it goes to the master.
    - `mark_down`: for how long a replica that failed is not read from; it doubles with every
      further failure up to `mark_down_most`.
    - `read_only_wait`: how long a write waits for a shard that is read-only; 0 raises at once.
    - `connect_timeout`: the most for a connection to be made, whatever the driver's own is.
    - `connections`: the most of one host. `pool_wait`: how long to wait for one of them.
    - `check_after`: a connection idle for so long is tried before it is lent. `max_idle_time` and
      `max_lifetime` are those of ``PoolOptions``.
    - `threads`: the most that scattered statements use at a time. `host_threads`: the most that
      they hold for one master and its replicas, and that connecting holds for one host, those that
      a frozen host keeps included; further calls wait for one inside their deadlines. asyncio has
      no such threads.
    - `clock`: for staleness, marks and pools, replaced in tests.
    """

    timeout: float | None = 10.0
    max_staleness: float | None = 5.0
    measure_every: float = 1.0
    heartbeat: Heartbeat | None = None
    token_wait: float = 0.5
    mark_down: float = 1.0
    mark_down_most: float = 60.0
    read_only_wait: float = 0.0
    connect_timeout: float = 10.0
    connections: int = 16
    pool_wait: float = 5.0
    check_after: float = 10.0
    max_idle_time: float | None = 300.0
    max_lifetime: float | None = 3600.0
    threads: int = 32
    host_threads: int = 8
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        for name in ("timeout", "max_staleness", "max_idle_time", "max_lifetime"):
            value = getattr(self, name)
            if value is not None and checked_seconds(name, value, "or None") >= MOST_SECONDS:
                object.__setattr__(self, name, None)
        for name in (
            "measure_every",
            "token_wait",
            "mark_down",
            "mark_down_most",
            "read_only_wait",
            "connect_timeout",
            "pool_wait",
            "check_after",
        ):
            if checked_seconds(name, getattr(self, name)) > MOST_SECONDS:
                object.__setattr__(self, name, MOST_SECONDS)
        for name in ("connections", "threads", "host_threads"):
            value = getattr(self, name)
            if isinstance(value, bool) or checked_int(name, "[1, 65536)", value, 1 << 16) < 1:
                raise ValueError(f"{name} must be an int in [1, 65536), got {shown(value)}")
        if self.heartbeat is not None and not isinstance(self.heartbeat, Heartbeat):
            raise TypeError(f"heartbeat must be a Heartbeat or None, got {shown(self.heartbeat)}")


class RouterOverrides(TypedDict, total=False):
    """The fields of ``RouterOptions``, by name."""

    timeout: float | None
    max_staleness: float | None
    measure_every: float
    heartbeat: Heartbeat | None
    token_wait: float
    mark_down: float
    mark_down_most: float
    read_only_wait: float
    connect_timeout: float
    connections: int
    pool_wait: float
    check_after: float
    max_idle_time: float | None
    max_lifetime: float | None
    threads: int
    host_threads: int
    clock: Callable[[], float]


def seconds_of(timeout: float | None) -> float | None:
    """Return a call's timeout, None for no limit."""
    seconds = checked_timeout("timeout", timeout)
    return None if seconds >= MOST_SECONDS else seconds


def checked_seconds(name: str, value: object, also: str = "") -> float:
    """Return `value` as seconds, at least 0."""
    words = f"a number of seconds {also}".strip()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be {words}, got {shown(value)}")
    if not value >= 0:
        raise ValueError(f"{name} must be at least 0 s, got {shown(value)}")
    return float(value)


class Group:
    """A master and its replicas: how far each has come, and which are down.

    What is measured is the master's position at some moment, by our own clock, and then whether a
    replica has it: one that has is as fresh as that moment. No clock of a server counts, and a
    replica whose replication stands still grows old by itself.
    """

    __slots__ = (
        "_failures",
        "balancer",
        "clock",
        "fresh",
        "hosts",
        "name",
        "options",
        "positions",
        "samples",
    )

    def __init__(self, name: str, hosts: HostGroup, options: RouterOptions) -> None:
        self.name = name
        self.hosts = hosts
        self.options = options
        self.clock = options.clock
        count = len(hosts.replicas)
        self.balancer = Balancer(
            hosts.replicas,
            RoundRobin(active=max(count, 1)),
            mark_down=options.mark_down,
            clock=options.clock,
        )
        self.samples: deque[tuple[float, Any]] = deque(maxlen=_SAMPLES)
        self.fresh: dict[str, float] = {}  # a moment from which the replica has everything
        self.positions: dict[str, Any] = {}
        self._failures: dict[str, int] = {}

    def reader(self, since: float, tried: Iterable[str] = ()) -> str:
        """Return the host to read from: a replica that is fresh enough, else the master.

        `since` is a moment that it has to have come to, in the router's clock.
        """
        replicas = self.hosts.replicas
        if not replicas or self.options.max_staleness == 0:
            return self.hosts.master
        bound = self.options.max_staleness
        if bound is not None:
            since = max(since, self.clock() - bound)
        for _ in replicas:
            pick = self.balancer.pick()
            if pick.is_down:
                break
            if pick.address not in tried and self.fresh.get(pick.address, -_FOREVER) >= since:
                return pick.address
        return self.hosts.master

    def sampled(self, moment: float, position: Any) -> None:
        """Note what the master had committed at `moment`, which is before it was asked."""
        self.samples.append((moment, position))

    def applied(self, host: str, position: Any, engine: Engine, beats: bool) -> None:
        """Note how far a replica has come; raise ``ValueError`` for None."""
        if position is None:
            raise ValueError("it names no position: NULL, or a heartbeat table without a row")
        self.positions[host] = position
        for moment, wanted in reversed(tuple(self.samples)):  # which another thread adds to
            done = position >= wanted if beats else engine.covers(position, wanted)
            if done:
                self.fresh[host] = max(moment, self.fresh.get(host, -_FOREVER))
                break
        self.answered(host)

    def failed(self, host: str) -> None:
        """Read from a replica no more for a while, longer each time."""
        if host == self.hosts.master:
            return
        count = self._failures.get(host, 0)
        self._failures[host] = count + 1
        seconds = min(self.options.mark_down * 2.0 ** min(count, 30), self.options.mark_down_most)
        self.balancer.mark_down(host, seconds)

    def answered(self, host: str) -> None:
        """Read from a replica again that had failed."""
        if self._failures and self._failures.pop(host, None) is not None:
            self.balancer.mark_up(host)

    def staleness(self, host: str) -> float | None:
        """Return how many seconds a replica is behind at most, or None if that is not known."""
        moment = self.fresh.get(host)
        return None if moment is None else max(0.0, self.clock() - moment)


class Fleet:
    """A layout in force, with the pools of its hosts; nothing in it is changed but the groups."""

    __slots__ = ("arrived", "databases", "groups", "layout", "named", "place", "pools", "read_only")

    def __init__(
        self, layout: Layout, named: Mapping[str, Group], pools: Mapping[str, Any]
    ) -> None:
        self.layout = layout
        self.place = layout._place
        self.named = named
        self.groups = [named[name] for name in layout._homes]
        self.databases = layout._databases
        self.read_only = layout.read_only_shards
        self.pools = pools
        # When a shard came to its group, by the router's clock: what is older has no row of it.
        self.arrived: dict[int, float] = {}

    def comes_from(self, old: "Fleet", now: float) -> None:
        """Note when its shards came, at the moment at which it replaces `old`."""
        moved = dict.fromkeys(old.layout.moved(self.layout), nextafter(now, _FOREVER))
        self.arrived = {**old.arrived, **moved}

    def since(self, shard: int, since: float) -> float:
        """Return the moment that a replica has to have come to: `since`, or the shard's arrival."""
        return max(since, self.arrived[shard]) if shard in self.arrived else since

    def shard_on(self, group: Group) -> int | None:
        """Return a shard that lives on a group, for errors to name; None if there is none."""
        return next((shard for shard, each in enumerate(self.groups) if each is group), None)


def changed_shards(old: Layout, new: Layout) -> list[int]:
    """Return the shards whose writes have to end before `new` is in force; check that it may be."""
    if new.shards != old.shards:
        raise ValueError(f"layout must have {old.shards} shards, got {new.shards}")
    if new._function is not old._function and new._function != old._function:
        raise ValueError("layout must have the function of the one in force")
    if new.version < old.version or (new.version == old.version and new != old):
        raise StaleLayoutError(
            f"layout must be later than version {old.version}, got {new.version}",
            version=new.version,
        )
    return sorted({*old.moved(new), *(new.read_only_shards - old.read_only_shards)})


class Router:
    """What both routers are, without their I/O: options, the layout in force, errors."""

    __slots__ = ("_engine", "_fleet", "_is_closed", "_options")

    _engine: Engine
    _fleet: Fleet
    _is_closed: bool
    _options: RouterOptions

    def _set_up(self, layout: object, engine: object, options: Mapping[str, Any]) -> None:
        if not isinstance(layout, Layout):
            raise TypeError(f"layout must be a Layout, got {shown(layout)}")
        known = {field.name for field in fields(RouterOptions)}
        for name in options:
            if name not in known:
                raise TypeError(f"a router has no option {name}")
        self._engine = engine_of(engine)
        self._options = RouterOptions(**options)
        self._is_closed = False

    def _pool_of(self, host: str) -> Any:
        """Return a new pool of connections to a host."""
        raise NotImplementedError

    def _arranged(self, layout: Layout, old: Fleet | None) -> Fleet:
        """Return the layout with pools and groups, those of `old` where hosts are the same."""
        named: dict[str, Group] = {}
        for name, hosts in layout.groups.items():
            kept = None if old is None else old.named.get(name)
            same = kept is not None and kept.hosts == hosts
            named[name] = kept if kept is not None and same else Group(name, hosts, self._options)
        pools = {} if old is None else dict(old.pools)
        return Fleet(
            layout,
            named,
            {host: pools.get(host) or self._pool_of(host) for host in layout.hosts},
        )

    @property
    def layout(self) -> Layout:
        """The layout in force."""
        return self._fleet.layout

    @property
    def options(self) -> RouterOptions:
        """The options."""
        return self._options

    def staleness(self) -> dict[str, float | None]:
        """Return how many seconds each replica is behind at most; None where that is not known."""
        return {
            host: group.staleness(host)
            for group in self._fleet.named.values()
            for host in group.hosts.replicas
        }

    def down(self) -> list[str]:
        """Return the replicas that are marked down now."""
        return [host for group in self._fleet.named.values() for host in group.balancer.down]

    def _pool_options(self, **more: Any) -> PoolOptions:
        options = self._options
        return PoolOptions(
            max_active=options.connections,
            max_idle=options.connections,
            timeout=options.pool_wait,
            check_after=options.check_after,
            max_idle_time=options.max_idle_time,
            max_lifetime=options.max_lifetime,
            clock=options.clock,
            **more,
        )

    # Errors

    def _located(
        self, fleet: Fleet, shard: int, host: str, rendered: Rendered | None, kind: str = ""
    ) -> tuple[str, dict[str, Any]]:
        """Return the words and the fields that say where something failed."""
        word = kind or ("statement" if rendered is None else kind_of(rendered.text))
        database = fleet.databases[shard]
        words = f"{word} on shard {shard} ({database} at {host})"
        return words, {"shard": shard, "database": database, "host": host, "statement": word}

    def _error_of(
        self,
        error: BaseException,
        fleet: Fleet,
        shard: int,
        host: str,
        rendered: Rendered | None,
        *,
        is_late: bool = False,
        kind: str = "",
    ) -> DropboxError:
        """Return the error for what a driver raised while a statement ran."""
        engine = self._engine
        words, found = self._located(fleet, shard, host, rendered, kind)
        is_write = kind == "COMMIT" or (rendered is not None and not rendered.is_read)
        code = engine.code(error)
        if isinstance(error, UnsentError):
            unsent = StatementTimeoutError(f"{words} was not sent: its time was over", **found)
            unsent._was_sent = False
            return unsent
        if is_late or code in engine.late:
            # What a server stopped by itself it has undone.
            unknown = is_write and is_late
            late = StatementTimeoutError(f"{words} did not end in time", cause=error, **found)
            late.maybe_done = unknown
            return late
        if engine.is_lost(error):
            lost = HostLostError(f"the connection was lost during {words}", cause=error, **found)
            lost.maybe_done = is_write
            return lost
        if engine.is_read_only(error):
            refused: StatementError = ReadOnlyHostError(
                f"{words} was refused: {host} takes no writes, so it is no master: "
                f"update the layout ({name_of(type(error))} {code})",
                cause=error,
                code=code,
                **found,
            )
        else:
            known = ConstraintError if engine.is_conflict(error) else StatementError
            said = said_of(error, code)
            refused = known(f"{words} was refused: {said}", cause=error, code=code, **found)
        refused.code = code
        return refused

    def _ended_before(
        self, fleet: Fleet, shard: int, host: str, rendered: Rendered | None, by: str
    ) -> StatementError:
        """Return the error for what comes after the database has ended the transaction."""
        kind = "COMMIT" if rendered is None else ""
        words, found = self._located(fleet, shard, host, rendered, kind)
        said = (
            f"{words} was not done: the transaction was ended by {by}; nothing of it is committed"
        )
        return StatementError(said, **found)

    def _unreached(
        self,
        error: BaseException,
        fleet: Fleet,
        shard: int,
        host: str,
        rendered: Rendered | None,
        kind: str = "",
    ) -> BaseException:
        """Return the error for a connection that was not lent; nothing was sent."""
        words, found = self._located(fleet, shard, host, rendered, kind)
        if isinstance(error, PoolExhaustedError):
            return type(error)(f"{words} got no connection: {error}", cause=error, **found)
        if isinstance(error, (OpenError, OSError)):
            cause = error.__cause__ if isinstance(error, OpenError) else error
            if cause is not None and not is_drivers(cause):
                raise cause from None  # a mistake in connect
            said = name_of(type(cause if cause is not None else error))
            if isinstance(cause, HeldError):
                said = str(cause)
            return HostLostError(
                f"{words} was not sent: no connection to {host} ({said})", cause=error, **found
            )
        return error

    def _is_closed_to_writes(self, fleet: Fleet, shard: int) -> ShardReadOnlyError:
        database = fleet.databases[shard]
        host = fleet.groups[shard].hosts.master
        return ShardReadOnlyError(
            f"shard {shard} ({database} at {host}) is read-only while it moves; nothing was sent",
            shard=shard,
            database=database,
            host=host,
        )


class UnsentError(TimeoutError):
    """The deadline came before anything was sent."""


def said_of(error: BaseException, code: object) -> str:
    """Return a driver's error in words that hold no value."""
    return name_of(type(error)) + ("" if code is None else f" {code}")


def is_drivers(error: BaseException) -> bool:
    """Return whether a driver or the system raised it, rather than the caller's own code."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return "Error" in kinds or bool(
        kinds
        & {
            "OSError",
            "EOFError",
            "InterfaceError",
            "InternalClientError",
            "PostgresError",
            "DatabaseError",
        }
    )


def first_of(rows: Any) -> Any:
    """Return the first value of a query of our own; a driver may make mappings of rows."""
    return _values_of(rows)[0]


def last_of(rows: Any) -> Any:
    """Return the last value of a query of our own."""
    return _values_of(rows)[-1]


def _values_of(rows: Any) -> list[Any]:
    row = rows[0] if rows else (None,)
    return list(row.values() if isinstance(row, Mapping) else row)
