#!/usr/bin/env bash
# pymemcache 4.0.0, HashClient: with a server down, set_many returns [], "nothing failed", under
# ignore_exc=True; and without ignore_exc only the first call raises, then calls answer as for a miss.
#
# set_many returns the keys that it could not store. With ignore_exc=True the error of a server's batch is
# dropped before HashClient looks which keys are stored, so it counts all of them; nor does it mark the
# server as failed. get does, and from then on the same set_many names the keys. With ignore_exc=False, the
# default, one expects errors: the first call raises ConnectionRefusedError and marks the server, and for
# retry_timeout (1 s) after it get returns None, get_many leaves keys out, set, add, incr and delete
# return False. delete_many returns True in any case. So however many calls fail, one a second says so;
# `add` says that somebody else holds a lock which nobody holds, and None is no proof of a miss.
#
# Seen with: pymemcache 4.0.0, memcached 1.6.18.
# Needs: python3 with venv, memcached; downloads packages into a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check pymemcache==4.0.0

timeout 60 "$folder/env/bin/python" - <<'PYTHON'
import os
import socket
import subprocess
import time
from collections.abc import Callable

from pymemcache.client.hash import HashClient

KEYS = [f"key:{number}" for number in range(100)]
VALUES = dict.fromkeys(KEYS, b"1")


def started() -> tuple[tuple[str, int], "subprocess.Popen[bytes]"]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = ["-u", "root"] if os.geteuid() == 0 else []
    server = subprocess.Popen(["memcached", "-U", "0", "-l", "127.0.0.1", "-p", str(port), *user])
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    return ("127.0.0.1", port), server


def client(ignore_exc: bool) -> HashClient:
    # A retry_timeout of a minute in place of a second: a busy machine changes nothing.
    return HashClient(addresses, ignore_exc=ignore_exc, default_noreply=False, retry_timeout=60)


def outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except OSError as error:
        return type(error).__name__


addresses, servers = zip(*(started() for _ in range(2)), strict=True)
try:
    with_all = client(ignore_exc=True)
    assert with_all.set_many(VALUES) == []
    assert len(with_all.get_many(KEYS)) == len(KEYS)
    with_all.close()
    servers[1].kill()
    servers[1].wait()
    down = "%s:%d" % addresses[1]

    quiet = client(ignore_exc=True)
    there = [key for key in KEYS if quiet.hasher.get_node(key) == down]
    key = there[0]
    unstored = quiet.set_many(VALUES), quiet.set_many(VALUES)
    got = len(quiet.get_many(KEYS))
    after = quiet.set_many(VALUES)
    print(f"one of two servers is down, {len(there)} of {len(KEYS)} keys are on it")
    print(f"ignore_exc=True: set_many returns {unstored[0]}, and {unstored[1]} again")
    print(f"  get_many finds {got}; set_many behind it names {len(after)} keys that it did not store")
    if unstored != ([], []) or got != len(KEYS) - len(there) or sorted(after) != sorted(there):
        raise SystemExit("this has changed")

    loud = client(ignore_exc=False)
    calls = {
        "get, the first call": lambda: loud.get(key),
        "get": lambda: loud.get(key),
        "get_many, keys found": lambda: len(loud.get_many(KEYS)),
        "set": lambda: loud.set(key, b"2"),
        "add": lambda: loud.add(key, b"2"),
        "incr": lambda: loud.incr(key, 1),
        "delete": lambda: loud.delete(key),
        "delete_many": lambda: loud.delete_many(KEYS),
    }
    found = {name: outcome(call) for name, call in calls.items()}
    for name, result in found.items():
        print(f"ignore_exc=False: {name}: {result}")
    if list(found.values()) != ["ConnectionRefusedError", None, got, False, False, False, False, True]:
        raise SystemExit("this has changed")
finally:
    for server in servers:
        server.kill()
        server.wait()
PYTHON
echo "as it was: a HashClient answers for a server that is down as if it had asked it"
