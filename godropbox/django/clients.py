"""The clients of this process: one for each configuration, for the back ends of all threads.

Django makes a back end for every thread and every task; what they share is here. After a fork the
child has the same clients, which connect anew.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from .._forks import begin_again_in_child
from ..errors import UsageError
from ..memcache.client import Client
from .options import CacheOptionsError, Settings, addresses

__all__ = ["Clients", "clients_of"]


class Clients:
    """The servers and settings of a configuration, and the clients made for it.

    `servers` are the addresses, shard 0 first.
    """

    def __init__(self, servers: Sequence[str], settings: Settings) -> None:
        self.servers = tuple(servers)
        self.settings = settings
        self.client = Client(self.servers, settings.client)
        self.codec = settings.client.codec()
        self._lock = threading.Lock()
        self._of_loops: Any = None
        begin_again_in_child(self)

    def _forked(self) -> None:
        self._lock = threading.Lock()

    def of_loops(self, make: Callable[["Clients"], Any]) -> Any:
        """Return what `make` returned first: the keeper of the event loops' clients."""
        if self._of_loops is None:
            with self._lock:
                if self._of_loops is None:
                    self._of_loops = make(self)
        return self._of_loops


class _Registry:
    """The clients by what ``CACHES`` says of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[tuple[Any, Clients]] = []
        begin_again_in_child(self)

    def _forked(self) -> None:
        self._lock = threading.Lock()

    def find(self, location: Any, options: Any, ignores: Any) -> Clients:
        wanted = (location, options, ignores)
        for known, clients in self._held:
            if known == wanted:
                return clients
        with self._lock:
            for known, clients in self._held:
                if known == wanted:
                    return clients
            settings = Settings.of(options, ignores)
            try:
                made = Clients(addresses(location), settings)
            except CacheOptionsError:
                raise
            except UsageError as error:
                raise CacheOptionsError(f"LOCATION: {error}") from None
            kept = list(location) if isinstance(location, list) else location
            self._held.append(((kept, dict(options), ignores), made))
            return made


_CLIENTS: Final = _Registry()


def clients_of(location: Any, options: Any, ignores: Any) -> Clients:
    """Return the clients for a ``LOCATION``, ``OPTIONS`` and ``IGNORE_EXCEPTIONS``.

    Raises ``CacheOptionsError`` for what is wrong with them.
    """
    return _CLIENTS.find(location, options, ignores)
