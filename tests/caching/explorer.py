"""An exhaustive explorer of cache protocols: every interleaving of clients, losses and crashes.

A client is a generator of the protocol's steps (``caching.consistency.protocol``), the very one
that the driver runs. A world is one key in one cache server and one storage. In each state every
client may take its next step, and, as far as a scenario's budgets go, an entry is evicted, the
server restarts, a client crashes, an operation's outcome stays unknown (it is done, not done, or
done later), or the shard's state moves on. States are visited once, breadth first.

What must hold: a read that starts after a write was acknowledged returns nothing older than that
write; and while the server has lost nothing, a read returns nothing older than an earlier read
returned, and what is left in the cache in the end is what is in the storage.
"""

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

from caching.explorer_clients import DEAD, LIVE, ClientGraph, Numbers, dead
from caching.explorer_scenarios import BEGINNING, MINE, Erase, Found, Put, Scenario, Shard

from godropbox.caching.consistency import protocol
from godropbox.caching.consistency.protocol import FAILED, Lease, Look, Place, Seen, Stored, Value

__all__ = ["Explorer", "explore"]

_DONE = 0xFFFF  # in place of a node: the client has finished
_EVICTIONS, _RESTARTS, _UNKNOWN, _COMMITS = range(4)

# Where things are in a state: a tuple of ints, and packed for the table of those visited.
(
    _ENTRY,  # number of (entry, token)
    _COUNT,  # the server's count of stores, where tokens are counted
    _ORDER,  # number of the tuple of writers whose values were committed, in order
    _ACKED,  # the newest version that is acknowledged
    _SEEN,  # the newest version that a finished read returned
    _LOST,  # whether the server has lost anything, and whether it has restarted
    _SHARD,
    _DELAYED,  # number of the tuple of operations of the cache that may yet be done
    _LATE,  # number of the tuple of writers whose commit may yet be done
    _BUDGET,
) = range(10)
_CLIENTS = _BUDGET + 4  # from here two for each client: its node, and what bounds its read

State = tuple[int, ...]


class _Label(NamedTuple):
    """What a client did, as text only where somebody reads it."""

    name: str
    wanted: Any
    outcome: Any
    remark: str

    def __str__(self) -> str:
        return f"{self.name}: {self.wanted!r} -> {self.outcome!r}{self.remark}"


# What was done, the state after it, and what that violates.
Move = tuple[str | _Label, State, str]
# What a step came to, the state after it, and a remark.
Outcome = tuple[Any, State, str]


class Explorer:
    """Explores one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._writers = len(scenario.writers)
        made = {}
        self._clients = []
        for n, make in enumerate([*scenario.writers, *scenario.readers]):
            number = min(n, self._writers)  # one number for all the readers
            if (make, number) not in made:
                made[make, number] = ClientGraph(make, number, self._answers, scenario.merged)
            self._clients.append(made[make, number])
        self._alike = scenario.readers[1:] == scenario.readers[:-1]
        self._entries, self._orders = Numbers(), Numbers()
        self._delayed, self._late, self._bounds = Numbers(), Numbers(), Numbers()
        self._none = self._entries.of((None, DEAD))
        for numbers in (self._orders, self._delayed, self._late):
            numbers.of(())
        self._bounds.of(None)
        self._pack = struct.Struct(f"<{_CLIENTS + 2 * len(self._clients)}H")

    def _answers(self, wanted: Any, tries: int) -> tuple[Any, ...] | None:
        """Answer a step that is the client's own affair."""
        shards = self.scenario.shards
        if isinstance(wanted, protocol.Places) and len(shards) == 1:
            return ((Place(0),),)
        if isinstance(wanted, protocol.Retry):
            return (False, True) if tries < self.scenario.retries else (False,)
        return None

    def beginnings(self) -> Iterator[State]:
        """Give the states that it may begin with."""
        budget = self.scenario
        budgets = [budget.evictions, budget.restarts, budget.unknown, budget.unknown_commits]
        for entry in self.scenario.beginnings:
            held = self._entries.of((entry, LIVE if entry is not None else DEAD))
            state = [held, int(entry is not None), 0, 0, 0, 0, 0, 0, 0, *budgets]
            for client in self._clients:
                state += [*client.starts, 0]
            yield tuple(state)

    def run(self, limit: int = 10_000_000) -> Found:
        """Visit all states; end at the first that violates what must hold."""
        pack, unpack = self._pack.pack, self._pack.unpack
        parents: dict[bytes, bytes | None] = {pack(*s): None for s in self.beginnings()}
        queue = deque(parents)
        transitions = 0
        while queue:
            packed = queue.popleft()
            for _, state, wrong in self.moves(unpack(packed)):
                transitions += 1
                key = pack(*self._normal(state))
                if wrong or key not in parents:
                    parents.setdefault(key, packed)
                    queue.append(key)
                    if wrong:
                        trace = self._trace(parents, packed, state)
                        return Found(len(parents), transitions, wrong, trace)
            if len(parents) > limit:
                raise MemoryError(f"more than {limit} states")
        return Found(len(parents), transitions)

    def views(self) -> Iterator[tuple[Any, ...]]:
        """Visit all states; give what of each can be told without the clients' histories."""
        seen = set(map(self._normal, self.beginnings()))
        queue = deque(seen)
        while queue:
            state = queue.popleft()
            yield self._view(state)
            for _, after, _ in self.moves(state):
                after = self._normal(after)
                if after not in seen:
                    seen.add(after)
                    queue.append(after)

    def _view(self, state: State) -> tuple[Any, ...]:
        clients = [
            (None if node == _DONE else client.wants[node], self._bounds.things[bounds])
            for client, node, bounds in zip(
                self._clients, state[_CLIENTS::2], state[_CLIENTS + 1 :: 2], strict=True
            )
        ]
        readers = sorted(clients[self._writers :], key=repr)
        held = self._entries.things[state[_ENTRY]]
        order = self._orders.things[state[_ORDER]]
        known = (*state[_ACKED : _SHARD + 1], *state[_BUDGET:_CLIENTS])
        # A lease's owner goes by a number that depends on the order of histories.
        held = (Lease(b"")) if isinstance(held[0], Lease) else held
        return (held, order, known, *clients[: self._writers], *readers)

    def _trace(self, parents: dict[bytes, bytes | None], last: bytes, end: State) -> list[str]:
        path: list[State] = [self._normal(end)]
        key: bytes | None = last
        while key is not None:
            path.append(self._pack.unpack(key))
            key = parents[key]
        path.reverse()
        first = self._entries.things[path[0][_ENTRY]][0]
        lines = [f"in the beginning the cache has {first!r}"]
        for before, after in pairwise(path):
            labels = [
                label for label, state, _ in self.moves(before) if self._normal(state) == after
            ]
            lines.append(str(labels[0]))
        return lines

    def _normal(self, state: State) -> State:
        """Return the state that stands for all those that differ only in names of readers."""
        if state[_LOST]:
            state = _put(state, _SEEN, 0)  # which nothing depends on any more
        readers = _CLIENTS + 2 * self._writers
        pairs = [state[at : at + 2] for at in range(readers, len(state), 2)]
        if not self._alike or all(a <= b for a, b in pairwise(pairs)):
            return state
        ranks = sorted(range(len(pairs)), key=pairs.__getitem__)
        names = {
            b"%d" % (self._writers + n): b"%d" % (self._writers + at) for at, n in enumerate(ranks)
        }
        entry, token = self._entries.things[state[_ENTRY]]
        if isinstance(entry, Lease):
            state = _put(state, _ENTRY, self._entries.of((Lease(names[entry.token]), token)))
        steps = self._delayed.things[state[_DELAYED]]
        state = _put(
            state, _DELAYED, self._delayed.of(tuple(_renamed(step, names) for step in steps))
        )
        return (*state[:readers], *(number for n in ranks for number in pairs[n]))

    # Moves: what is done, the state after it, and what that violates

    def moves(self, state: State) -> Iterator[Move]:
        """Give every move from a state."""
        running = 0
        for n in range(len(self._clients)):
            if state[_CLIENTS + 2 * n] != _DONE:
                running += 1
                yield from self._steps(state, n)
        yield from self._mishaps(state)
        # A client that crashed is one that takes no step any more, so that any may be it.
        if running <= self.scenario.crashes and not state[_DELAYED] and not state[_LATE]:
            wrong = self._left_behind(state)
            if wrong:
                yield "all is quiet", state, wrong

    def _steps(self, state: State, n: int) -> Iterator[Move]:
        """Give the moves of one client."""
        at = _CLIENTS + 2 * n
        name = f"writer {n}" if n < self._writers else f"reader {n - self._writers}"
        if n >= self._writers and state[at + 1] == 0:
            state = self._started(state, n)
            if len(self.scenario.shards) > 1:  # where a read goes is decided when it starts
                yield f"{name} starts", state, ""
                return
        wanted = self._clients[n].wants[state[at]]
        for outcome, after, what in self._outcomes(state, n, wanted):
            for node in self._clients[n].next(after[at], outcome):
                moved, wrong = self._moved(after, n, node)
                yield _Label(name, wanted, outcome, what), moved, wrong

    def _started(self, state: State, n: int) -> State:
        seen = 0 if state[_LOST] else state[_SEEN]
        bounds = (state[_ACKED], seen, self._shard(state).reads)
        return _put(state, _CLIENTS + 2 * n + 1, self._bounds.of(bounds))

    def _moved(self, state: State, n: int, node: int) -> tuple[State, str]:
        """Put a client where it now stands; check what it returned."""
        at = _CLIENTS + 2 * n
        if self._clients[n].wants[node] is not None:
            return _put(state, at, node), self._hit_now(state)
        result = self._clients[n].results[node]
        state = _put(state, at, _DONE)
        if n >= self._writers:
            return self._read(state, n, result)
        if result.settled is protocol.Settled.ACKNOWLEDGED:
            state = _put(state, _ACKED, max(state[_ACKED], self._version(state, n)))
        return state, self._hit_now(state)

    # What must hold

    def _version(self, state: State, data: Any) -> int:
        order: tuple[int, ...] = self._orders.things[state[_ORDER]]
        return 0 if data == BEGINNING else order.index(data) + 1

    def _shard(self, state: State) -> Shard:
        return self.scenario.shards[state[_SHARD]]

    def _read(self, state: State, n: int, result: protocol.Reading) -> tuple[State, str]:
        """Check what a read returned against what was so when it started."""
        acked, seen, _ = self._bounds.things[state[_CLIENTS + 2 * n + 1]]
        state = _put(state, _CLIENTS + 2 * n + 1, 0)
        version = self._version(state, result.data)
        wrong = ""
        if version < acked:
            wrong = f"STALE: it returned version {version}, and {acked} was acknowledged before"
        elif version < seen and not state[_LOST] and self.scenario.unacknowledged:
            wrong = f"BACKWARDS: it returned version {version}, and {seen} was read before"
        state = _put(state, _SEEN, max(state[_SEEN], version))
        return state, wrong or self._hit_now(state)

    def _hit_now(self, state: State) -> str:
        """Check a read that hits the cache here and now, as any number of further readers may."""
        entry, _ = self._entries.things[state[_ENTRY]]
        if not isinstance(entry, Value) or not self._shard(state).reads:
            return ""
        version = self._version(state, entry.data)
        if version < state[_ACKED]:
            return f"STALE: a read that hits {entry!r} now misses version {state[_ACKED]}"
        if version < state[_SEEN] and not state[_LOST] and self.scenario.unacknowledged:
            return f"BACKWARDS: a read that hits {entry!r} now goes back from {state[_SEEN]}"
        return ""

    def _left_behind(self, state: State) -> str:
        entry, _ = self._entries.things[state[_ENTRY]]
        order = self._orders.things[state[_ORDER]]
        if state[_LOST] or not isinstance(entry, Value) or not self.scenario.unacknowledged:
            return ""
        if not self._shard(state).reads:
            return ""
        if self._version(state, entry.data) == len(order):
            return ""
        return (
            f"LEFT BEHIND: the cache has {entry!r}, the storage has what writer {order[-1]} wrote"
        )

    # What a step may come to

    def _outcomes(self, state: State, n: int, wanted: Any) -> Iterator[Outcome]:
        """Give every outcome of a client's step: the outcome, the state after it, a remark."""
        match wanted:
            case protocol.Load():
                order = self._orders.things[state[_ORDER]]
                yield (order[-1] if order else BEGINNING), state, ""
            case protocol.Commit():
                yield from self._commits(state, n)
            case protocol.Places():
                shard = self._shard(state)
                yield ((Place(0, shard.required),) if shard.told else ()), state, ""
            case _:
                yield from self._cache_step(state, n, wanted)

    def _commits(self, state: State, n: int) -> Iterator[Outcome]:
        order = self._orders.things[state[_ORDER]]
        done = _put(state, _ORDER, self._orders.of((*order, n)))
        yield protocol.DONE, done, ""
        if state[_BUDGET + _COMMITS]:
            yield FAILED, _spent(done, _COMMITS), " (done)"
            spent = _spent(state, _COMMITS)
            yield FAILED, spent, " (not done)"
            late = (*self._late.things[state[_LATE]], n)
            yield FAILED, _put(spent, _LATE, self._late.of(late)), " (to be done)"

    def _cache_step(self, state: State, n: int, step: Any) -> Iterator[Outcome]:
        shard = self._shard(state)
        reader = n >= self._writers
        if isinstance(step, protocol.Add) and isinstance(step.entry, Lease):
            step = replace(step, entry=Lease(b"%d" % n))
        if reader and isinstance(step, Look):
            _, _, reads = self._bounds.things[state[_CLIENTS + 2 * n + 1]]
            if not reads:
                yield FAILED, state, " (skipped)"
                return
        if reader and not shard.reads and not isinstance(step, Look):
            # It may have looked at the shard's state before that changed, or after.
            yield FAILED, state, " (skipped)"
        outcome, after = self._done(state, step)
        yield _relative(outcome, n), after, ""
        if shard.told and not shard.required and not reader:
            yield FAILED, state, " (not done)"
        token = getattr(step, "token", None)
        if token is not None and state[_LOST] & _RESTARTED and not self.scenario.counted:
            yield protocol.RECONNECTED, state, ""
        if state[_BUDGET + _UNKNOWN]:
            spent = _spent(state, _UNKNOWN)
            yield FAILED, spent, " (not done)"
            if token is not None:
                yield protocol.RECONNECTED, spent, ""
            if not isinstance(step, Look):
                yield FAILED, self._done(spent, step)[1], " (done)"
                delayed = (*self._delayed.things[state[_DELAYED]], step)
                yield FAILED, _put(spent, _DELAYED, self._delayed.of(delayed)), " (to be done)"

    def _done(self, state: State, step: Any) -> tuple[Any, State]:
        """Do a step of the cache: return its outcome and the state after it."""
        entry, token = self._entries.things[state[_ENTRY]]
        match step:
            case Look():
                return Seen(entry, token), state
            case protocol.Add(entry=new):
                if entry is not None:
                    return protocol.REFUSED, state
                return self._stored(state, new)
            case Erase():
                return protocol.DONE, self._emptied(state)
            case Put(entry=new):
                return self._stored(state, new)
            case _ if entry is None or step.token != token:
                return protocol.REFUSED, state
            case protocol.Drop():
                return protocol.DONE, self._emptied(state)
        return self._stored(state, step.entry)

    def _stored(self, state: State, entry: Any) -> tuple[Stored, State]:
        if self.scenario.counted:
            token = state[_COUNT] + 1
            state = _put(state, _COUNT, token)
            return Stored(token), _put(state, _ENTRY, self._entries.of((entry, token)))
        state = self._aged(state)
        return Stored(LIVE), _put(state, _ENTRY, self._entries.of((entry, LIVE)))

    def _emptied(self, state: State) -> State:
        return _put(self._aged(state), _ENTRY, self._none)

    def _aged(self, state: State) -> State:
        """Return the state with all tokens dead, as the entry is another one from now on."""
        if self.scenario.counted or state[_ENTRY] == self._none:
            return state
        after = list(state)
        for n, client in enumerate(self._clients):
            at = _CLIENTS + 2 * n
            if state[at] != _DONE:
                after[at] = client.aged(state[at])
        delayed = tuple(dead(step) for step in self._delayed.things[state[_DELAYED]])
        after[_DELAYED] = self._delayed.of(delayed)
        return tuple(after)

    # Mishaps

    def _mishaps(self, state: State) -> Iterator[Move]:
        if state[_BUDGET + _EVICTIONS] and state[_ENTRY] != self._none:
            lost = _put(_spent(state, _EVICTIONS), _LOST, state[_LOST] | _LOSSY)
            yield "the entry is evicted", self._emptied(lost), ""
        if state[_BUDGET + _RESTARTS]:
            gone = _put(_put(_spent(state, _RESTARTS), _COUNT, 0), _DELAYED, 0)
            lost = _put(gone, _LOST, state[_LOST] | _LOSSY | _RESTARTED)
            yield "the server restarts", self._emptied(lost), ""
        for at, step in enumerate(delayed := self._delayed.things[state[_DELAYED]]):
            rest = self._delayed.of((*delayed[:at], *delayed[at + 1 :]))
            after = self._done(_put(state, _DELAYED, rest), step)[1]
            yield f"late: {step!r}", after, self._hit_now(after)
        for at, writer in enumerate(late := self._late.things[state[_LATE]]):
            rest = self._late.of((*late[:at], *late[at + 1 :]))
            order = self._orders.of((*self._orders.things[state[_ORDER]], writer))
            yield (
                f"late: writer {writer} commits",
                _put(_put(state, _LATE, rest), _ORDER, order),
                "",
            )
        if state[_SHARD] + 1 < len(self.scenario.shards):
            after = _put(state, _SHARD, state[_SHARD] + 1)
            shard = self._shard(after)
            if shard.flushed:
                after = self._emptied(_put(after, _LOST, after[_LOST] | _LOSSY))
            yield f"the shard is {shard.name}", after, self._hit_now(after)


_LOSSY, _RESTARTED = 1, 2


def _renamed(step: Any, names: dict[bytes, bytes]) -> Any:
    if isinstance(step, protocol.Add) and isinstance(step.entry, Lease):
        return replace(step, entry=Lease(names[step.entry.token]))
    return step


def _relative(outcome: Any, n: int) -> Any:
    """Return what a client sees, to whom a lease is its own (``MINE``) or another's."""
    if isinstance(outcome, Seen) and isinstance(outcome.entry, Lease):
        return replace(outcome, entry=MINE if outcome.entry.token == b"%d" % n else Lease(b""))
    return outcome


def _put(state: State, at: int, number: int) -> State:
    return (*state[:at], number, *state[at + 1 :])


def _spent(state: State, mishap: int) -> State:
    return _put(state, _BUDGET + mishap, state[_BUDGET + mishap] - 1)


def explore(scenario: Scenario) -> Found:
    """Explore a scenario."""
    return Explorer(scenario).run()
