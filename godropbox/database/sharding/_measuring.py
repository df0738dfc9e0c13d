"""How far replicas are, and who may be read from with a token; without I/O, for both routers."""

from math import inf
from time import monotonic
from typing import Any

from ..._kernels._args import shown
from ..._kernels._guarded import brief
from ...errors import DropboxError
from ...resource_pool import LameDuckError
from ...resource_pool._options import Timeout
from ._borrowing import Borrowing, blames_host
from ._errors import HostLostError
from ._fleet import Fleet, Group, Token
from ._layout import Key
from ._steps import Steps

__all__ = ["Measuring", "log_unmeasured"]


class Measuring(Borrowing):
    """Measures replicas, and reads from those that have come as far as a token."""

    __slots__ = ("_has_monitors", "_monitors")

    _has_monitors: bool
    _monitors: dict[Group, Any]

    # Steps of the drivers

    def _ask(self, fleet: Fleet, shard: int, host: str, text: str, timeout: Timeout) -> Any:
        """Return the first value of a query of our own."""
        raise NotImplementedError

    def _measure_replicas(
        self, fleet: Fleet, group: Group, shard: int, patience: float | None
    ) -> Any:
        """Measure a group's replicas side by side, waiting `patience` seconds at most."""
        raise NotImplementedError

    def _begin_monitor(self, group: Group) -> Any:
        """Have a thread or a task measure a group again and again; return what stops it."""
        raise NotImplementedError

    def _end_monitor(self, monitor: Any) -> None:
        raise NotImplementedError

    # Tokens

    def _token_of(self, key: Key, timeout: Timeout) -> Steps[Token]:
        text = self._position_text()
        is_again = False
        while True:
            fleet = self._fleet
            shard = fleet.place(key)
            group = fleet.groups[shard]
            try:
                position = yield self._ask, (fleet, shard, group.hosts.master, text, timeout)
            except LameDuckError:
                if fleet is self._fleet:
                    raise
                continue  # the layout was replaced, and this host with it
            except HostLostError as error:
                if is_again or not error._was_pooled:
                    raise
                is_again = True
                continue
            if position is None:
                raise ValueError("the heartbeat table has no row")
            return Token(group.name, str(position))

    def _catching_up(
        self, fleet: Fleet, shard: int, token: Token, deadline: float | None, trial: float
    ) -> Steps[str]:
        """Return a replica that has what a token stands for, or else the master."""
        group, host = self._candidate(fleet, shard, token)
        if host == group.hosts.master or self._is_known_to_have(group, host, token):
            return host
        wait = self._options.token_wait
        seconds = wait + trial
        if deadline is not None:  # half of what is left is for the read
            seconds = min(seconds, max(0.0, deadline - monotonic()) / 2)
            wait = min(wait, seconds / 2)
        text = self._waiting_text(token, wait)
        try:
            value = yield self._ask, (fleet, shard, host, text or self._applied_text(), seconds)
        except DropboxError as error:
            if blames_host(error):
                group.failed(host)
            return group.hosts.master
        has = self._has_come(value, token, waited=text is not None)
        return host if has else group.hosts.master

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
        # Another group's positions mean nothing here, and those of no log nowhere.
        is_ours = token.group == group.name and bool(token.position)
        since = fleet.since(shard, -inf)
        return group, group.reader(since) if is_ours else group.hosts.master

    def _is_known_to_have(self, group: Group, host: str, token: Token) -> bool:
        known = group.positions.get(host)
        return known is not None and self._covers(known, token.position)

    def _waiting_text(self, token: Token, seconds: float) -> str | None:
        """Return the query by which a replica is waited for, if there is one."""
        if self._options.heartbeat is not None:
            return None
        return self._engine.waiting(token.position, seconds)

    def _has_come(self, value: Any, token: Token, *, waited: bool) -> bool:
        """Return whether a replica has what a token stands for, from its answer."""
        if waited:
            return self._engine.has_waited(value)
        return value is not None and self._covers(value, token.position)

    # Measuring

    def _measuring_group(
        self, fleet: Fleet, group: Group, patience: float | None, trial: float
    ) -> Steps[None]:
        """Measure a group, waiting `patience` seconds for its replicas, None until they end."""
        shard = fleet.shard_on(group)
        if shard is None or not group.hosts.replicas:
            return
        beat = self._options.heartbeat
        master = group.hosts.master
        seconds = max(self._options.measure_every, trial)
        text = self._position_text()  # without one, nothing can be measured
        try:
            if beat is not None:
                yield self._ask, (fleet, shard, master, beat.advance, seconds)
            moment = group.clock()
            position = yield self._ask, (fleet, shard, master, text, seconds)
            if position is None and beat is not None:
                raise ValueError("the heartbeat table has no row")
            if position:
                group.sampled(moment, position)
        except Exception as error:  # of rows that nobody would expect, too
            log_unmeasured(f"the master {master}", error)
        # Each by itself: one that hangs must not make the others look stale.
        yield self._measure_replicas, (fleet, group, shard, patience)

    def _measuring_replica(
        self, fleet: Fleet, group: Group, shard: int, host: str, trial: float
    ) -> Steps[None]:
        seconds = max(self._options.measure_every, trial)
        try:
            applied = yield self._ask, (fleet, shard, host, self._applied_text(), seconds)
            group.applied(host, applied, self._engine, self._options.heartbeat is not None)
        except Exception as error:
            if isinstance(error, DropboxError) and blames_host(error):
                group.failed(host)
            log_unmeasured(f"the replica {host}", error)

    def _start_monitors(self) -> None:
        """Have a thread or a task for each group that has replicas."""
        self._has_monitors = True
        if self._is_closed or not self._options.measure_every or self._options.max_staleness == 0:
            return
        wanted = {group for group in self._fleet.named.values() if group.hosts.replicas}
        for group in set(self._monitors) - wanted:
            self._end_monitor(self._monitors.pop(group))
        for group in wanted - set(self._monitors):
            self._monitors[group] = self._begin_monitor(group)


def log_unmeasured(what: str, error: BaseException) -> None:
    """Log that something could not be measured; never raise."""
    try:
        import logging

        logger = logging.getLogger("godropbox.sharding")
        logger.warning("%s could not be measured: %s", what, brief(error))
    except Exception:
        return
