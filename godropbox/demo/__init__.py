"""``python -m godropbox demo``: a fleet that is stopped, killed and grown, and two caches over it.

The same load runs over a plain cache-aside and over ``ConsistentCacheOnStorage``, side by side, and
a page shows what they do. ``engine`` runs the load; it has no page and no sockets of its own, and
its clock is injected. ``database`` tells what is stale, ``sides`` are the two caches, ``fleets``
the servers (``processes`` starts real ones), ``story`` what happens by itself, ``web`` the page.
"""

from .database import Database
from .engine import Engine, Load
from .fleets import MemoryFleet, ServerFleet

__all__ = ["Database", "Engine", "Load", "MemoryFleet", "ServerFleet"]
