"""Which host a statement goes to, and what its failures mean; without I/O, for both routers."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from math import nextafter
from typing import Any, Final, TypedDict

from ..._kernels._args import checked_int, shown
from ..._kernels._guarded import brief, name_of
from ...balancing import Balancer, RoundRobin
from ...errors import DropboxError
from ...resource_pool import OpenError, PoolExhaustedError, PoolOptions
from ...resource_pool._options import checked_timeout
from .. import sqlbuilder as sb
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
from ._layout import HostGroup, Layout, shards_text
from ._merge import gathering
from ._statements import Filled, Rendered, Sharded, check_reads, checked_query, kind_of

__all__ = [
    "Fleet",
    "Group",
    "Router",
    "RouterOptions",
    "RouterOverrides",
    "Token",
    "UnsentError",
    "broken_off",
    "changed_shards",
    "drained_in_vain",
    "first_of",
    "is_drivers",
    "log_left",
    "log_unmeasured",
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
    - `threads`: the most that a scattered read uses at a time.
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
        for name in ("connections", "threads"):
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
        for moment, wanted in reversed(self.samples):
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

    # Replicas

    def _position_text(self) -> str:
        beat = self._options.heartbeat
        text = self._engine.position if beat is None else beat.read
        if not text:
            raise ValueError(f"{self._engine.name} has no positions: pass a heartbeat")
        return text

    def _applied_text(self) -> str:
        beat = self._options.heartbeat
        return self._engine.applied if beat is None else beat.read

    def _covers(self, applied: Any, position: Any) -> bool:
        if self._options.heartbeat is not None:
            return int(applied) >= int(position)
        return self._engine.covers(applied, position)

    def _candidate(self, fleet: Fleet, shard: int, token: object) -> tuple[Group, str]:
        """Return a shard's group, and a host that may have what a token stands for."""
        if not isinstance(token, Token):
            raise TypeError(f"token must be a Token or None, got {shown(token)}")
        group = fleet.groups[shard]
        # Another group's positions mean nothing here.
        is_ours = token.group == group.name
        since = fleet.since(shard, -_FOREVER)
        return group, group.reader(since) if is_ours else group.hosts.master

    def _is_known_to_have(self, group: Group, host: str, token: Token) -> bool:
        known = group.positions.get(host)
        return known is not None and self._covers(known, token.position)

    def _waiting_text(self, token: Token) -> str | None:
        """Return the query by which a replica is waited for, if there is one."""
        if self._options.heartbeat is not None:
            return None
        return self._engine.waiting(token.position, self._options.token_wait)

    def _has_come(self, value: Any, token: Token, *, waited: bool) -> bool:
        """Return whether a replica has what a token stands for, from its answer."""
        if waited:
            return self._engine.has_waited(value)
        return value is not None and self._covers(value, token.position)

    # Many shards

    def _numbers(self, shards: Iterable[int] | None) -> list[int]:
        layout = self._fleet.layout
        if shards is None:
            return list(range(layout.shards))
        return list(dict.fromkeys(layout._checked(shard) for shard in shards))

    def _works(
        self,
        statement: Any,
        keys: Iterable[Any] | None,
        shards: Iterable[int] | None,
        into: str | None,
        values: Mapping[str, object] | None,
        merge: bool,
        text_key: Callable[[str], Any] | None,
    ) -> tuple[Any, dict[int, Any]]:
        """Return how rows are merged, and the statement of each shard."""
        if keys is not None and shards is not None:
            raise ValueError("scatter takes keys or shards, not both")
        jobs: dict[int, Any]
        if keys is None:
            if into is not None or values is not None:
                raise ValueError("into and values are for keys")
            jobs = dict.fromkeys(self._numbers(shards), statement)
        else:
            fill = filler(statement, into, values)
            jobs = {s: fill(found) for s, found in self._fleet.layout.by_shard(keys).items()}
        databases, how = self._fleet.databases, "a scattered query"
        made: dict[int, Any] = {}
        done: dict[int, Any] = {}  # one statement of all shards is looked at once
        for shard, given in jobs.items():
            job = done.get(id(given))
            if job is None:
                job = check_reads(given, databases[shard], how)
                query = job._of.statement if isinstance(job, Filled) else job
                if not merge and isinstance(query, sb.Statement):
                    checked_query(query, self._engine, how)
                if job is given:
                    done[id(given)] = job
            made[shard] = job
        if not merge or not made:
            return None, made
        whole: Any = None
        gathered: dict[int, Any] = {}
        jobs = dict(made)  # which keeps them, and so their ids
        for shard, job in jobs.items():
            found = gathered.get(id(job))
            if found is None:
                found = gathered[id(job)] = gathering(job, self._engine, text_key, how)
            whole = whole or found
            if not found.merges_as(whole):
                raise ValueError(
                    f"{how} must have one ORDER BY, LIMIT and OFFSET for all shards to be merged"
                )
            made[shard] = found.statement
        return whole, made

    def _add_late(
        self,
        fleet: Fleet,
        jobs: Iterable[int],
        results: Mapping[int, Any],
        errors: dict[int, DropboxError],
        is_write: bool,
    ) -> None:
        """Add the errors of the shards that did not answer in time."""
        for shard in jobs:
            if shard not in results and shard not in errors:
                words, found = self._located(fleet, shard, fleet.groups[shard].hosts.master, None)
                late = StatementTimeoutError(f"{words} did not end in time", **found)
                late.maybe_done = is_write
                errors[shard] = late

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
            return StatementTimeoutError(f"{words} was not sent: its time was over", **found)
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


def drained_in_vain(shards: list[int], seconds: float) -> str:
    """Return the words for writers that did not end in time."""
    return (
        f"writes to shards {shards_text(shards)} did not end within {seconds:g} s; "
        "the old layout holds"
    )


def filler(
    statement: Any, into: str | None, values: Mapping[str, object] | None
) -> Callable[[list[Any]], Any]:
    """Return what makes a shard's statement of its keys."""
    if isinstance(statement, Sharded):
        more = dict(values or {})
        slots = [name for name in statement.slots if name not in more]
        if into is None:
            if len(slots) != 1:
                raise ValueError(
                    f"into must name the slot of the keys, one of {', '.join(slots) or 'none'}"
                )
            into = slots[0]
        name = into
        return lambda keys: statement(**{**more, name: keys})
    if isinstance(statement, (sb.Statement, Filled)) or not callable(statement):
        raise TypeError(
            "statement must be a function of a list of keys, or prepared with a slot for them, got "
            f"{shown(statement)}"
        )
    if into is not None or values is not None:
        raise ValueError("into and values are for a prepared statement")
    made: Callable[[list[Any]], Any] = statement
    return made


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


def broken_off(engine: Engine, connection: Any) -> int | None:
    """Return the server's number of a connection that is broken off; never raise."""
    try:
        return engine.number_of(connection)
    except Exception:  # the driver has forgotten it
        return None


def first_of(rows: Any) -> Any:
    """Return the first value of a query of our own; a driver may make mappings of rows."""
    row = rows[0] if rows else (None,)
    return next(iter(row.values() if isinstance(row, Mapping) else row))


def log_left(host: str, error: BaseException) -> None:
    """Log that a write that was broken off may still be under way; never raise."""
    try:
        import logging

        logger = logging.getLogger("godropbox.sharding")
        logger.warning(
            "a write that was broken off may still be under way at %s: %s", host, brief(error)
        )
    except Exception:
        return


def log_unmeasured(what: str, error: BaseException) -> None:
    """Log that something could not be measured; never raise."""
    try:
        import logging

        logger = logging.getLogger("godropbox.sharding")
        logger.warning("%s could not be measured: %s", what, brief(error))
    except Exception:
        return
