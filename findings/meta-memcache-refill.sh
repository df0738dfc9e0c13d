#!/usr/bin/env bash
# meta-memcache 4.3.0: refill(), made "when you got a cache miss", fills plain misses only; after a lease, an
# invalidation with a stale policy or an early recache it stores nothing, and the old value stays.
#
# Herd control gives one client a miss, None, so that it reads the database and fills the cache, while
# others get the old value or wait. refill() stores by `add`, so as not to overwrite what is newer. But in
# these three the item is there: the empty stub of the lease, the stale value, the value about to expire. So `add`
# is refused and refill() returns False, which is also what it returns when somebody else was quicker. The
# winner goes on with the right value; the others get the stale one until its TTL is over, or wait for
# the lease through all their retries and then read the database after all; and memcached names no second
# winner. Fill by set(), and with the token of get_cas() or get_or_lease_cas() if a later change is to win.
#
# Seen with: meta-memcache 4.3.0, memcached 1.6.18.
# Needs: Linux, python3 with venv, memcached; downloads packages into a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check meta-memcache==4.3.0

timeout 60 "$folder/env/bin/python" - <<'PYTHON'
import importlib.metadata
import os
import socket
import subprocess
import time

from meta_memcache import CacheClient, ServerAddress, connection_pool_factory_builder
from meta_memcache.configuration import LeasePolicy, RecachePolicy, StalePolicy

LEASE = LeasePolicy(ttl=60, miss_retries=2, miss_retry_wait=0.05)
STALE = StalePolicy(mark_stale_on_deletion_ttl=60)
RECACHE = RecachePolicy(ttl=60)

with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
user = ["-u", "root"] if os.geteuid() == 0 else []
server = subprocess.Popen(["memcached", "-U", "0", "-l", "127.0.0.1", "-p", str(port), *user])


def client() -> CacheClient:
    return CacheClient.cache_client_from_servers(
        servers=[ServerAddress("127.0.0.1", port)],
        connection_pool_factory_fn=connection_pool_factory_builder(),
    )


try:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    winner, other = client(), client()
    print("meta-memcache", importlib.metadata.version("meta-memcache"))

    def leased(cache: CacheClient, key: str) -> object:
        return cache.get_or_lease(key, LEASE)

    def recached(cache: CacheClient, key: str) -> object:
        return cache.get(key, recache_policy=RECACHE)

    winner.set("stale", "old", 600)
    winner.invalidate("stale", stale_policy=STALE)
    winner.set("recached", "old", 30)
    for key, get, expected in [
        ("missing", CacheClient.get, (None, True, "new")),
        ("leased", leased, (None, False, None)),
        ("stale", CacheClient.get, (None, False, "old")),
        ("recached", recached, (None, False, "old")),
    ]:
        got = get(winner, key), winner.refill(key, "new", 600), get(other, key)
        filled = winner.set(key, "new", 600), get(other, key)
        print(
            f"{key}: the winner gets {got[0]}, refill() returns {got[1]}, the others get {got[2]}; "
            f"set() returns {filled[0]}, the others get {filled[1]}"
        )
        if got != expected or filled != (True, "new"):
            raise SystemExit(f"this has changed, expected {expected}")
finally:
    server.kill()
    server.wait()
PYTHON
echo "as it was: refill() does not fill what a lease, an invalidation or a recache asks to fill"
