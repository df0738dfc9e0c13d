#!/usr/bin/env bash
# libmemcached 1.0 and 1.1, weighted ketama: at 25, 47, 50, 55, 61, 71, 94, 100 or 200 servers each has 156
# points on the ring, else 160; the step to such a size, and the next one, also move keys among old servers.
#
# Consistent hashing promises that a new server takes keys from the old ones, and that nothing else moves.
# With ketama_weighted a server has 4 * floor(share * 40 * servers) points, and the share is a float: of
# 25 servers with equal weights each has 39.999996, so 39 * 4. From 24 servers to 25, and from 25 to 26, every
# server loses or gains four points, and 2.4 % of all keys go from one old server to another, beside the 4 %
# that go to the new one: misses, and stale values when a size that was left is taken again. Of the sizes up
# to 300, 32 are so; plain ketama, which counts no weights, has none.
# uhashring 2.5, which counts in integers, is "compatible with ketama": it agrees with ketama_weighted on
# all keys at 24 and 26 servers, on 97.4 % at 25, and with plain ketama on as few as by chance.
#
# The functions of libmemcached are called by ctypes, in the library that pylibmc's wheel brings: no
# server is needed to learn where a key would go.
#
# Seen with: pylibmc 1.6.3 (the wheel of PyPI for Linux, with libmemcached 1.0.16 by its own word), uhashring 2.5.
# By hand: libmemcached 1.1.4 of Debian 12 moves the same keys.
# Needs: Linux, python3 with venv; downloads packages into a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check pylibmc==1.6.3 uhashring==2.5

timeout 120 "$folder/env/bin/python" - <<'PYTHON'
import ctypes
import pathlib

import pylibmc
from uhashring import HashRing

# From libmemcached-1.0/types/behavior.h.
KETAMA, KETAMA_WEIGHTED = 3, 16
PORT = 11211
KEYS = [f"key:{number}" for number in range(20_000)]

(path,) = (pathlib.Path(pylibmc.__file__).parent.parent / "pylibmc.libs").glob("libmemcached-*.so*")
library = ctypes.CDLL(str(path))
library.memcached_lib_version.restype = ctypes.c_char_p
library.memcached_create.restype = ctypes.c_void_p
library.memcached_create.argtypes = [ctypes.c_void_p]
library.memcached_free.argtypes = [ctypes.c_void_p]
library.memcached_behavior_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64]
library.memcached_server_add.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint16]
library.memcached_generate_hash.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
library.memcached_generate_hash.restype = ctypes.c_uint32


def host(number: int) -> str:
    return f"10.0.0.{number + 1}"


def placed(count: int, behavior: int) -> list[int]:
    """Return the number of the server of each key, in a fleet of count servers."""
    client = library.memcached_create(None)
    assert library.memcached_behavior_set(client, behavior, 1) == 0
    for number in range(count):
        assert library.memcached_server_add(client, host(number).encode(), PORT) == 0
    places = [library.memcached_generate_hash(client, key.encode(), len(key)) for key in KEYS]
    library.memcached_free(client)
    return places


def moves(count: int, behavior: int) -> tuple[int, int]:
    """Add a server to count servers; return the keys that go to it, and those that go elsewhere."""
    pairs = list(zip(placed(count, behavior), placed(count + 1, behavior), strict=True))
    to_new = sum(new == count for _, new in pairs)
    return to_new, sum(old != new for old, new in pairs) - to_new


print("libmemcached", library.memcached_lib_version().decode())
for count, aside in [(23, False), (24, True), (25, True), (26, False), (46, True), (99, True), (100, True)]:
    for name, behavior in ("ketama_weighted", KETAMA_WEIGHTED), ("ketama", KETAMA):
        to_new, elsewhere = moves(count, behavior)
        print(
            f"{name}, {count} to {count + 1} servers: of {len(KEYS):,} keys {to_new} go to the new one, "
            f"{elsewhere} from one old server to another"
        )
        if (elsewhere > 0.02 * len(KEYS)) != (aside and behavior == KETAMA_WEIGHTED) or (
            elsewhere and not aside
        ):
            raise SystemExit("this has changed")
for count, same in (24, True), (25, False), (26, True):
    # libmemcached hashes a server of the port 11211 by its host alone.
    ring = HashRing([host(number) for number in range(count)], hash_fn="ketama")
    theirs = [ring.get_node(key) for key in KEYS]
    weighted, plain = (
        sum(host(number) == node for number, node in zip(placed(count, behavior), theirs, strict=True))
        for behavior in (KETAMA_WEIGHTED, KETAMA)
    )
    print(
        f"uhashring of {count} servers: {weighted / len(KEYS):.2%} of the keys where ketama_weighted puts "
        f"them, {plain / len(KEYS):.2%} where ketama does"
    )
    if (weighted == len(KEYS)) != same or not same and weighted < 0.9 * len(KEYS) or plain > 0.1 * len(KEYS):
        raise SystemExit("this has changed")
PYTHON
echo "as it was: weighted ketama moves keys among old servers at some sizes of a fleet"
