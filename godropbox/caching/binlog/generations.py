"""Generations of tables: a part of each key of a table, a new one of which forgets them all.

The generation of a table is a random text in the cache. Readers keep it for a short time, and ask
again then; one that is lost is replaced by a new one, which forgets the table, too.
"""

import time
from collections.abc import Callable, Iterable
from secrets import token_hex
from typing import Any, Final

from ..._kernels._args import shown
from .._calls import Calls, run
from ..storage import StorageError

__all__ = ["Generations"]

_TRIES: Final = 3


class Generations:
    """The generations of tables, in memcached through `client`.

    `of` is what a reader puts into its keys: ``f"user:{generations.of('shop.users')}:{id}"``, for
    which an ``Invalidator`` has the template ``"user:{generation}:{id}"``. It is kept for `refresh`
    seconds, in (0, 60]: for so long a reader may use a generation that was forgotten, and an
    ``Invalidator`` waits for it before it says that a change was applied; give the same to all.

    `prefix` is that of the keys that the generations are stored under.
    """

    def __init__(
        self,
        client: Any,
        *,
        refresh: float = 1.0,
        prefix: str = "generation:",
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[int], str] = token_hex,
    ) -> None:
        if not 0 < refresh <= 60:
            raise ValueError(f"refresh must be in (0, 60] seconds, got {shown(refresh)}")
        self._client = client
        self._refresh = refresh
        self._prefix = prefix
        self._clock = clock
        self._random = random
        self._known: dict[str, tuple[str, float]] = {}

    @property
    def refresh(self) -> float:
        """For how many seconds a reader keeps a generation."""
        return self._refresh

    def of(self, table: str) -> str:
        """Return the generation of a table; raises what the client does."""
        known = self._fresh(table)
        if known is not None:
            return known
        found: str = run(self._asked([table]))[table]
        return found

    def _fresh(self, table: str) -> str | None:
        """Return the generation that is kept, None if it has to be asked for."""
        known = self._known.get(table)
        return known[0] if known is not None and self._clock() < known[1] else None

    def _asked(self, tables: Iterable[str]) -> Calls[dict[str, str]]:
        """Ask the cache for generations, and make those that it lacks."""
        until = self._clock() + self._refresh  # from before they are read
        names = {f"{self._prefix}{table}": table for table in tables}
        found: dict[str, str] = {}
        stored = yield self._client.get_many, (list(names),)
        for name, table in names.items():
            value = stored.get(name)
            for _ in range(_TRIES):
                if isinstance(value, str):
                    break
                made = self._random(8)
                if (yield self._client.add, (name, made)):
                    value = made
                else:  # another made it meanwhile, or no server takes it now
                    value = yield self._client.get, (name,)
            if not isinstance(value, str):
                raise StorageError(f"the generation of {table} cannot be stored under {name!r}")
            found[table] = value
            self._known[table] = value, until
        return found

    def _renewed(self, tables: Iterable[str]) -> Calls[list[str]]:
        """Give tables a new generation; return those of which that is not certain."""
        names = {f"{self._prefix}{table}": table for table in tables}
        failed = yield self._client.set_many, ({name: self._random(8) for name in names},)
        for table in names.values():
            self._known.pop(table, None)
        return [names[name] for name in failed]
