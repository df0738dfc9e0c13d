#!/usr/bin/env bash
# pylibmc 1.6.3: two clients whose behaviors read back the same, hash "md5" and distribution
# "consistent", place two keys of three on different servers, because one was given its hash later.
#
# libmemcached hashes the points of its ring when the distribution is set, by the hash that it has
# at that moment; a hash that is set afterwards is only that of the keys. In one dict pylibmc sets the
# hash first, in whatever order the dict has them. But `client.behaviors["hash"] = "md5"` on a client
# that has its distribution already leaves it on a ring of the old hash, and nothing tells: such a
# service and one that passes both at once share a fleet and miss each other's keys as if they placed
# them at random. "ketama", which sets both, is safe.
#
# Seen with: pylibmc 1.6.3 (the wheel of PyPI, with libmemcached 1.0.18 in it), memcached 1.6.18.
# Needs: python3 with venv, memcached; downloads packages into a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check pylibmc==1.6.3

timeout 60 "$folder/env/bin/python" - <<'PYTHON'
import os
import socket
import subprocess
import time

import pylibmc

KEYS = [f"key:{number}" for number in range(300)]


def started() -> tuple[str, "subprocess.Popen[bytes]"]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = ["-u", "root"] if os.geteuid() == 0 else []
    command = ["memcached", "-U", "0", "-l", "127.0.0.1", "-p", str(port), *user]
    server = subprocess.Popen(command)
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    return f"127.0.0.1:{port}", server


servers = [started() for _ in range(3)]
addresses = [address for address, _ in servers]


def placed(client: "pylibmc.Client") -> dict[str, str]:
    """Return the server of each key."""
    client.flush_all()
    client.set_multi(dict.fromkeys(KEYS, b"value"))
    return {
        key: address
        for address in addresses
        for key in pylibmc.Client([address]).get_multi(KEYS)
    }


def agree(first: "pylibmc.Client", second: "pylibmc.Client") -> int:
    one, other = placed(first), placed(second)
    assert len(one) == len(other) == len(KEYS)
    return sum(one[key] == other[key] for key in KEYS)


def shown(client: "pylibmc.Client") -> dict[str, object]:
    return {name: client.behaviors[name] for name in ("hash", "distribution")}


try:
    at_once = pylibmc.Client(addresses, behaviors={"hash": "md5", "distribution": "consistent"})
    turned = pylibmc.Client(addresses, behaviors={"distribution": "consistent", "hash": "md5"})
    later = pylibmc.Client(addresses, behaviors={"distribution": "consistent"})
    later.behaviors["hash"] = "md5"
    sorted_out, same = agree(at_once, turned), agree(at_once, later)
    print(f"both at once, in either order: {sorted_out} of 300 keys agree")
    print(f"both at once, and the hash set later: {same} of 300 keys agree")
    print("both read back as", shown(later))
    assert shown(at_once) == shown(later)
    assert sorted_out == 300, "the order in a dict matters"
    assert same < 200, "a hash that is set later moves the ring"
finally:
    for _, server in servers:
        server.kill()
        server.wait()
PYTHON
