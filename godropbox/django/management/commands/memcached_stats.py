"""``manage.py memcached_stats``: a table of every server of the caches that are ours."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any, Final

from django.core.cache import caches
from django.core.management.base import BaseCommand, CommandError

from ...checks import aliases
from ...servers import reports

__all__ = ["Command"]

_TITLES: Final = (
    "server",
    "version",
    "uptime",
    "hit rate",
    "memory",
    "items",
    "evictions",
    "connections",
)


class Command(BaseCommand):
    """Show what each memcached server of ``CACHES`` says of itself."""

    help = "Show version, uptime, hit rate, memory, items, evictions and connections of the servers"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command line."""
        parser.add_argument("alias", nargs="*", help="caches to show, by default all of ours")
        parser.add_argument("--json", action="store_true", help="print JSON, with numbers in full")

    def handle(self, *_: Any, **options: Any) -> None:
        """Print a table for each cache, or all as JSON."""
        ours = aliases()
        chosen = options["alias"] or ours
        for alias in chosen:
            if alias not in ours:
                known = ", ".join(ours) or "none"
                raise CommandError(f"{alias!r} is no cache of godropbox.django; those are: {known}")
        found: dict[str, list[dict[str, Any]]] = {}
        for alias in chosen:
            cache: Any = caches[alias]
            found[alias] = [report.figures() for report in reports(cache.clients)]
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2))
            return
        for alias, servers in found.items():
            self.stdout.write(f"{alias}")
            for line in _table([_TITLES, *map(_row, servers)]):
                self.stdout.write(f"  {line}")


def _row(figures: dict[str, Any]) -> tuple[str, ...]:
    if "error" in figures:
        return figures["server"], f"does not answer: {figures['error']}"
    rate = figures["hit_rate"]
    memory = f"{_size(figures['memory_bytes'])} of {_size(figures['memory_limit_bytes'])}"
    return (
        figures["server"],
        figures["version"],
        _period(figures["uptime_seconds"]),
        "-" if rate is None else f"{rate:.1%}",
        memory,
        f"{figures['items']:,}",
        f"{figures['evictions']:,}",
        f"{figures['connections']:,}",
    )


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the rows as lines, each column as wide as its widest cell."""
    held = list(rows)
    whole = [row for row in held if len(row) == len(_TITLES)]
    widths = [max(len(row[i]) for row in whole) for i in range(len(_TITLES))]
    widths[0] = max(len(row[0]) for row in held)
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in held]


def _size(number: float) -> str:
    for unit in ("KiB", "MiB"):
        number /= 1024
        if number < 1024:
            return f"{number:.1f} {unit}"
    return f"{number / 1024:,.1f} GiB"


def _period(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {left}s"
