"""The servers of the demo: real ones, over ``memcache``, or some in memory where there are none.

``DemoFleet`` is what the sides and the engine need of them: plain operations, the servers of the
consistent cache, loads under a lease; what is where; and servers that are killed, stopped, started
and added.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Final, Protocol

from ..caching import FleetServers, SingleFlight
from ..caching.consistency.codec import decoded, encoded
from ..caching.consistency.protocol import (
    DONE,
    FAILED,
    REFUSED,
    Add,
    Drop,
    Look,
    Place,
    Seen,
    Stored,
    Swap,
    Value,
)
from ..caching.consistency.servers import ConsistentServers, Request
from ..memcache import BaseShardManager, Client, Hash2, Item, Key, ShardOptions, ShardState
from ..memcache.errors import InvalidArgumentError, NetworkError
from ..memcache.responses import GetResponse
from ..memcache.testing import MockClient

__all__ = ["MOST", "DemoFleet", "MemoryFleet", "Programs", "ServerFleet"]

MOST: Final = 8
PLAIN: Final = "plain-"  # before the keys of the plain cache, and of loads; it moves no key
LOADS: Final = "loads-"


class Programs(Protocol):
    """What starts and ends servers; each is known by its number."""

    def start(self, number: int) -> str:
        """Start a server, anew at its old address if it has had one; return its address."""
        ...

    def kill(self, number: int) -> None:
        """End it at once."""
        ...

    def stop(self, number: int) -> None:
        """Have it do nothing until ``go_on``."""
        ...

    def go_on(self, number: int) -> None:
        """Have a stopped one continue."""
        ...

    def close(self) -> None:
        """End all."""
        ...


class DemoFleet(Protocol):
    """The servers, numbered from 0; states are ``"up"``, ``"stopped"`` and ``"killed"``."""

    kind: str

    def plain_get(self, key: str) -> bytes | None: ...
    def plain_set(self, key: str, value: bytes, ttl: int) -> None: ...
    def plain_delete(self, key: str) -> None: ...
    def load_once(self, key: str, load: Callable[[], bytes], ttl: int) -> bytes: ...
    def consistent(self) -> ConsistentServers: ...
    def owners(self, keys: Sequence[str]) -> list[int]: ...
    def plain_entries(self, keys: Sequence[str]) -> dict[str, bytes]: ...
    def states(self) -> list[str]: ...
    def names(self) -> list[str]: ...
    def kill(self, number: int) -> None: ...
    def stop(self, number: int) -> None: ...
    def start(self, number: int) -> None: ...
    def add(self) -> int: ...
    def close(self) -> None: ...


class _States:
    """What state each server is in; the words of what may not be done."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._states: list[str] = []

    def states(self) -> list[str]:
        """Return the state of each server."""
        with self._lock:
            return list(self._states)

    def _require(self, number: int, *wanted: str) -> None:
        if isinstance(number, bool) or not isinstance(number, int):
            raise InvalidArgumentError(f"server must be an int, got {number!r}")
        if not 0 <= number < len(self._states):
            raise InvalidArgumentError(f"server must be in [0, {len(self._states)}), got {number}")
        if self._states[number] not in wanted:
            raise InvalidArgumentError(
                f"server {number} is {self._states[number]}, and must be {' or '.join(wanted)}"
            )

    def _require_room(self) -> None:
        if len(self._states) >= MOST:
            raise InvalidArgumentError(f"there are {MOST} servers already, and no more are shown")


class ServerFleet(_States):
    """Real servers, which `programs` start; both caches are over the same ones.

    `timeout` is in seconds, for each operation; `clock` counts those for which a server that fails
    is left alone.
    """

    kind = "memcached"

    def __init__(
        self,
        programs: Programs,
        count: int = 3,
        timeout: float = 0.25,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__()
        self._programs = programs
        self._addresses: list[str] = []
        options = ShardOptions(
            timeout=timeout,
            connect_timeout=timeout,
            eject_after=3,
            retry_after=0.5,
            max_retry_after=1.0,
            clock=clock,
        )
        # A fleet each, so that one's record of failures is not the other's.
        self._managers = [BaseShardManager(Hash2(), options) for _ in range(3)]
        plain, loads, self._consistent = self._managers
        self._plain = Client(plain, prefix=PLAIN, protocol="ascii")
        self._loads = Client(loads, prefix=LOADS)
        try:
            for _ in range(count):
                self.add()
        except BaseException:
            self.close()
            raise

    def plain_get(self, key: str) -> bytes | None:
        found: bytes | None = self._plain.get(key)
        return found

    def plain_set(self, key: str, value: bytes, ttl: int) -> None:
        self._plain.set(key, value, ttl)

    def plain_delete(self, key: str) -> None:
        self._plain.delete(key)

    def load_once(self, key: str, load: Callable[[], bytes], ttl: int) -> bytes:
        made: bytes = self._loads.get_or_set(key, load, ttl)
        return made

    def consistent(self) -> ConsistentServers:
        return FleetServers(self._consistent)

    def owners(self, keys: Sequence[str]) -> list[int]:
        return self._consistent.fleet().of_many(keys)

    def plain_entries(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what the plain cache holds; of servers that fail, nothing."""
        try:
            return self._plain.get_many(keys)
        except NetworkError as error:
            found: dict[str, bytes] = getattr(error, "found", {})
            return found

    def names(self) -> list[str]:
        """Return the address of each server."""
        with self._lock:
            return list(self._addresses)

    def kill(self, number: int) -> None:
        """Kill a server: it forgets what it holds."""
        with self._lock:
            self._require(number, "up", "stopped")
            self._programs.kill(number)
            self._states[number] = "killed"

    def stop(self, number: int) -> None:
        """Stop a server: it holds what it has, and answers nothing."""
        with self._lock:
            self._require(number, "up")
            self._programs.stop(number)
            self._states[number] = "stopped"

    def start(self, number: int) -> None:
        """Have a killed server start again, empty, or a stopped one go on."""
        with self._lock:
            self._require(number, "killed", "stopped")
            if self._states[number] == "killed":
                self._programs.start(number)
            else:
                self._programs.go_on(number)
            self._states[number] = "up"

    def add(self) -> int:
        """Start one more server, and have all clients use it; return its number."""
        with self._lock:
            self._require_room()
            number = len(self._states)
            self._addresses.append(self._programs.start(number))
            self._states.append("up")
            fleet = [(address, ShardState.ACTIVE) for address in self._addresses]
            for manager in self._managers:
                manager.update_shard_states(fleet)
            return number

    def close(self) -> None:
        """Close the connections and end the servers."""
        for manager in self._managers:
            manager.close()
        self._programs.close()


class MemoryFleet(_States):
    """Servers in memory, ``MockClient``s: where there is no memcached. They cannot be stopped."""

    kind = "memory"

    def __init__(self, count: int = 3, clock: Callable[[], float] | None = None) -> None:
        super().__init__()
        self._options: dict[str, Any] = {} if clock is None else {"clock": clock}
        self._servers: list[MockClient] = []
        self._flight: SingleFlight = SingleFlight()
        for _ in range(count):
            self.add()

    def _of(self, key: Key) -> MockClient:
        with self._lock:
            return self._servers[Hash2().bind(self.names()).of(key)]

    def plain_get(self, key: str) -> bytes | None:
        found: bytes | None = _checked(self._of(key).get(PLAIN + key)).value
        return found

    def plain_set(self, key: str, value: bytes, ttl: int) -> None:
        _checked(self._of(key).set(Item(PLAIN + key, value, expire=ttl)))

    def plain_delete(self, key: str) -> None:
        _checked(self._of(key).delete(PLAIN + key))

    def load_once(self, key: str, load: Callable[[], bytes], ttl: int) -> bytes:
        def made() -> bytes:
            server = self._of(key)
            found: GetResponse = _checked(server.get(LOADS + key))
            if found.value is not None:
                return bytes(found.value)
            value = load()
            _checked(server.set(Item(LOADS + key, value, expire=ttl)))
            return value

        made_once: bytes = self._flight.run(key, made)
        return made_once

    def consistent(self) -> ConsistentServers:
        return _MemoryServers(self)

    def owners(self, keys: Sequence[str]) -> list[int]:
        return Hash2().bind(self.names()).of_many(keys)

    def plain_entries(self, keys: Sequence[str]) -> dict[str, bytes]:
        found = {key: self._of(key).get(PLAIN + key) for key in keys}
        return {key: bytes(each.value) for key, each in found.items() if each.value is not None}

    def names(self) -> list[str]:
        with self._lock:
            return [f"memory-{number}" for number in range(len(self._servers))]

    def kill(self, number: int) -> None:
        with self._lock:
            self._require(number, "up")
            self._servers[number].fail_everything = True
            self._states[number] = "killed"

    def stop(self, number: int) -> None:
        raise InvalidArgumentError("a server in memory cannot be stopped: kill it")

    def start(self, number: int) -> None:
        with self._lock:
            self._require(number, "killed")
            self._servers[number] = MockClient(**self._options)
            self._states[number] = "up"

    def add(self) -> int:
        with self._lock:
            self._require_room()
            self._servers.append(MockClient(**self._options))
            self._states.append("up")
            return len(self._servers) - 1

    def close(self) -> None:
        """Do nothing: there are no processes."""


class _MemoryServers:
    """The consistent cache's servers over those of a ``MemoryFleet``.

    A token is the server itself and its count of stores: another one in its place has other tokens,
    as a restarted memcached has over its new connections.
    """

    def __init__(self, fleet: MemoryFleet) -> None:
        self._fleet = fleet
        self._lock = threading.Lock()  # a look and what follows are one step of a server

    def places(self, key: Key) -> tuple[Place, ...]:
        """Return the server of a key."""
        [number] = self._fleet.owners([str(key)])
        return (Place(number),)

    def run(self, requests: Sequence[Request]) -> list[Any]:
        """Run steps of different keys; return what each came to."""
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Any:
        key, step, expire = request
        server = self._server(key, step)
        with self._lock:
            found = server.get(key)
            if found.error is not None:
                return FAILED
            token = (server, found.cas)
            if isinstance(step, Look):
                if found.value is None:
                    return Seen(None)
                return Seen(decoded(found.flags, bytes(found.value)), token)
            if isinstance(step, Swap | Drop) and (found.value is None or step.token != token):
                return REFUSED
            if isinstance(step, Drop):
                server.delete(key)
                return DONE
            assert isinstance(step, Add | Swap)
            if isinstance(step, Add) and found.value is not None:
                return REFUSED
            flags, data = encoded(step.entry)
            stored = server.set(Item(key, data, flags, expire=expire))
            return Stored((server, stored.cas)) if stored.ok else FAILED

    def _server(self, key: Key, step: Any) -> MockClient:
        """Return the server that a step is for: its token's, its place's, or the key's."""
        if isinstance(step, Swap | Drop):
            server: MockClient = step.token[0]
            return server
        if step.place is not None:
            number: int = step.place.server
            return self._fleet._servers[number]
        return self._fleet._of(key)

    def flush(self) -> bool:
        """Flush every server; return whether all have said so."""
        return all(server.flush().ok for server in self._fleet._servers)


def _checked(response: Any) -> Any:
    if response.error is not None:
        raise response.error
    return response


def kinds_of_entries(servers: ConsistentServers, keys: Iterable[str]) -> Mapping[str, str]:
    """Return what each has: ``"value"``, ``"lease"``, ``"sentinel"``, ``"none"``, ``"failed"``."""
    asked = list(keys)
    found = servers.run([Request(key, Look(None)) for key in asked])
    return {key: _kind(each) for key, each in zip(asked, found, strict=True)}


def _kind(found: Any) -> str:
    if type(found) is not Seen:
        return "failed"
    if found.entry is None:
        return "none"
    return "value" if isinstance(found.entry, Value) else type(found.entry).__name__.lower()
