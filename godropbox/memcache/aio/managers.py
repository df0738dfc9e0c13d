"""Shard managers whose connections many tasks share, for asyncio."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol, Self

from ..fleet.manager import Fleet, PooledShardManager, Shard, ShardStatus, all_active
from ..fleet.placement import Hash2, ShardFunction
from ..hints import check_kind
from ..hub import Hub
from ..multiplex import Links
from .connect import Home
from .options import AsyncClientOptions, AsyncShardOptions

__all__ = ["AsyncBaseShardManager", "AsyncShardManager", "AsyncStaticShardManager"]

_HASH2: Final = Hash2()
_DEFAULT: Final = AsyncShardOptions()


class AsyncShardManager(Protocol):
    """A fleet's manager, as ``ShardManager``, whose ``close`` waits for what is in flight."""

    def fleet(self) -> Fleet:
        """Return the current fleet."""

    def failed(self, shard: Shard, error: BaseException) -> None:
        """Count a failed operation on `shard`."""

    def succeeded(self, shard: Shard) -> None:
        """Count an answered operation; called where ``shard.failures`` is not 0."""

    async def disconnect_all(self) -> None:
        """Close the connections, and make new ones for what comes."""

    async def close(self) -> None:
        """Close the connections."""


class _Servers:
    """The connections to all servers, as ``PooledShardManager`` has its pools."""

    def __init__(self, hub: Hub, interleaves: bool) -> None:
        self._hub = hub
        self._interleaves = interleaves
        self._links: dict[str, Links] = {}
        self._left: list[Links] = []  # of servers that left, whose last replies are to come
        self._is_lame = False

    def set_locations(self, addresses: Iterable[str]) -> None:
        wanted = dict.fromkeys(addresses)
        self._left = [links for links in self._left if links.in_flight]
        for address in [each for each in self._links if each not in wanted]:
            links = self._links.pop(address)
            links.retire()
            self._left.append(links)
        for address in wanted:
            if address not in self._links:
                self._links[address] = Links(self._hub, address, self._interleaves)

    def pool(self, address: str) -> Links:
        return self._links[address]

    def evict_all(self) -> None:
        for links in self._links.values():
            links.disconnect()

    def enter_lame_duck_mode(self) -> None:
        for links in self._links.values():
            links.retire()

    def all(self) -> list[Links]:
        return [*self._links.values(), *self._left]


class AsyncBaseShardManager(PooledShardManager):
    """Manager of a fleet that ``update_shard_states`` replaces; at first it is empty.

    It may be made anywhere, and belongs to the event loop that first uses it, and so do all calls
    of its methods from then on. `shard_func` is a shard function or a callable of a key and the
    number of shards.
    """

    def __init__(
        self,
        shard_func: ShardFunction | Callable[[Any, int], int] = _HASH2,
        options: AsyncShardOptions | AsyncClientOptions = _DEFAULT,
    ) -> None:
        check_kind(options, AsyncShardOptions, AsyncClientOptions)
        self._home = Home(options)
        self._hub = Hub(
            asyncio.get_running_loop,
            self._home.bind,
            options.timeout,
            options.connections,
            options.max_in_flight,
            options.max_in_flight_bytes,
            options.when_full == "wait",
        )
        self._servers = _Servers(self._hub, options.tls is None)
        super().__init__(shard_func, options, self._servers)

    def update_shard_states(self, states: Iterable[tuple[str, int] | ShardStatus]) -> None:
        """Replace the fleet, as ``BaseShardManager`` does; in its loop, once it has one."""
        self._hub.check()
        super().update_shard_states(states)

    async def disconnect_all(self) -> None:  # type: ignore[override]  # it is the loop's business
        """Close the connections: idle ones now, the others when what is in flight is over.

        The next operations make new ones, for which names are looked up again.
        """
        self._hub.check()
        super().disconnect_all()
        await asyncio.sleep(0)  # in which the loop closes the idle ones

    async def close(self) -> None:  # type: ignore[override]  # it has to wait
        """Close the connections, when what is in flight is over.

        That takes at most the options' `timeout` (`connect_timeout` if it is None); what is in
        flight then gets ``ClientClosedError``. New operations raise that from the start.
        """
        if self._hub.loop is not None:
            self._hub.enter()
        super().close()
        if self._hub.loop is None:
            return
        seconds = self._options.connect_timeout
        if self._options.timeout is not None:
            seconds = self._options.timeout
        try:
            await self._home.idle(seconds)
        finally:
            for links in self._servers.all():
                links.close()
            await self._home.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncStaticShardManager(AsyncBaseShardManager):
    """Manager of the servers at `addresses`, at least one, shard 0 first, all of them active."""

    def __init__(
        self,
        addresses: Sequence[str],
        shard_func: ShardFunction | Callable[[Any, int], int] = _HASH2,
        options: AsyncShardOptions | AsyncClientOptions = _DEFAULT,
    ) -> None:
        states = all_active(addresses)
        super().__init__(shard_func, options)
        self.update_shard_states(states)
