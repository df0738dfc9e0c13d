"""What the servers of a cache say of themselves, for the checks and for ``memcached_stats``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._kernels._guarded import text_of
from ..errors import DropboxError
from ..memcache.client import Client
from .clients import Clients

__all__ = ["Report", "reports"]


@dataclass(frozen=True, slots=True)
class Report:
    """One server: its address, and its statistics, or why it gave none."""

    address: str
    stats: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None

    @property
    def version(self) -> tuple[int, ...]:
        """The server's version as numbers; () if it has none."""
        found = re.match(r"(\d+)\.(\d+)\.(\d+)", self.stats.get("version", ""))
        return tuple(map(int, found.groups())) if found else ()

    def number(self, name: str) -> int:
        """Return a statistic that is a number; 0 if the server does not have it."""
        text = self.stats.get(name, "0")
        return int(text) if text.isdigit() else 0

    def figures(self) -> dict[str, Any]:
        """Return what ``memcached_stats`` shows of the server, by name."""
        if self.error is not None:
            return {"server": self.address, "error": self.error}
        gets, hits = self.number("cmd_get"), self.number("get_hits")
        return {
            "server": self.address,
            "version": self.stats.get("version", ""),
            "uptime_seconds": self.number("uptime"),
            "gets": gets,
            "hits": hits,
            "hit_rate": hits / gets if gets else None,
            "memory_bytes": self.number("bytes"),
            "memory_limit_bytes": self.number("limit_maxbytes"),
            "items": self.number("curr_items"),
            "evictions": self.number("evictions"),
            "connections": self.number("curr_connections"),
        }


def reports(clients: Clients) -> list[Report]:
    """Return a report of every server, in their order; all are asked at once.

    One that does not answer is asked once more alone, for its own error.
    """
    entries = clients.client._operations.stats().entries
    return [
        Report(address, entries[shard]) if shard in entries else _alone(clients, address)
        for shard, address in enumerate(clients.servers)
    ]


def _alone(clients: Clients, address: str) -> Report:
    try:
        with Client(address, clients.settings.client) as client:
            return Report(address, client.stats()[0])
    except DropboxError as error:
        # It was asked as the only server: "shard 0" would be another one of this cache.
        place = f"shard 0 at {error.fields.get('address')}: "
        return Report(address, error=text_of(error).removeprefix(place))
