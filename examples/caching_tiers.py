"""SQLite behind a cache: what is read where, and what happens when the cache dies in the middle.

Run it as it is, ``python examples/caching_tiers.py``, with a cache in this process, or with a
memcached of yours: ``python examples/caching_tiers.py --memcached 127.0.0.1:11211``. The database
is a temporary file.

The cache has a plug. When it is pulled every operation on the cache raises, as if its server were
gone; when it is back in, the cache holds what it held before, as after a break in the network.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from godropbox import errors
from godropbox.caching import (
    CacheOnStorage,
    CacheOptions,
    FunctionStorage,
    LocalStorage,
    MemcacheStorage,
    SqlStorage,
    sqlite_pool,
)
from godropbox.database import sqlbuilder as sb

users = sb.Table("users", sb.StrColumn("login"), sb.StrColumn("name"))


class Plug:
    """Stands between a layer and its cache, and can be pulled."""

    def __init__(self, cache: Any) -> None:
        self.is_in = True
        self._cache = cache

    def through(self, operation: str) -> Any:
        """Return the cache's operation, which fails while the plug is out."""

        def call(*arguments: Any) -> Any:
            if not self.is_in:
                raise errors.NetworkError(f"{operation}: the cache does not answer")
            return getattr(self._cache, operation)(*arguments)

        return call

    def storage(self) -> FunctionStorage[str, str]:
        """Return the cache as it is seen through the plug."""
        names = ("get", "get_multi", "set", "set_multi", "delete", "delete_multi", "flush")
        return FunctionStorage("cache", **{name: self.through(name) for name in names})


def a_cache(memcached: str, closing: ExitStack) -> Any:
    """Return a storage in memcached if there is one, else in this process."""
    if not memcached:
        return LocalStorage(1000, ttl=60)
    from godropbox import memcache

    client = closing.enter_context(memcache.Client(memcached, prefix="example:"))
    return MemcacheStorage(client, ttl=60)


def show(what: str, value: object, layer: CacheOnStorage) -> None:
    stats = layer.stats()
    print(
        f"{what}: {value!r} ({stats.hits} hits, {stats.misses} misses, "
        f"{stats.cache_failures} cache failures, {stats.doubts} in doubt)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--memcached", default="", help="the address of a memcached")
    given = parser.parse_args()

    with ExitStack() as closing:
        folder = closing.enter_context(tempfile.TemporaryDirectory())
        pool = sqlite_pool(str(Path(folder, "users.db")), max_active=4)
        closing.callback(pool.enter_lame_duck_mode)
        with pool.get() as loan:
            loan.handle.execute("CREATE TABLE users (login TEXT PRIMARY KEY, name TEXT)")
        plug = Plug(a_cache(given.memcached, closing))
        storage = SqlStorage(pool, users, key="login", value="name")
        # In an application the default, 1 s, is right: how long to leave a dead cache alone.
        layer = CacheOnStorage(plug.storage(), storage, CacheOptions(retry_after=0))

        storage.set_multi({"ann": "Ann", "bob": "Bob"})
        plug.storage().delete_multi(["ann", "bob", "eve"])  # of another run
        show("read from SQLite", layer.get("ann"), layer)
        show("read from the cache", layer.get("ann"), layer)
        show("read from both", layer.get_multi(["ann", "bob", "eve"]), layer)

        plug.is_in = False
        print("the cache dies")
        show("read from SQLite", layer.get("ann"), layer)
        layer.set("ann", "Anna")
        show("written, and read from SQLite", layer.get("ann"), layer)

        plug.is_in = True
        print("the cache is back, with the old entry:", plug.storage().get("ann"))
        show("the old entry is dropped first", layer.get("ann"), layer)
        show("read from the cache again", layer.get("ann"), layer)
        layer.delete_multi(["ann", "bob"])


if __name__ == "__main__":
    main()
