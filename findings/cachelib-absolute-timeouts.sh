#!/usr/bin/env bash
# cachelib 0.17.0 (and so Flask-Caching) sends every timeout to memcached as a moment by its own
# clock: a host that is five minutes behind caches nothing with the default timeout of 300 s.
#
# memcached counts a timeout of up to 30 days from when it gets it, whatever the client's clock says.
# cachelib's MemcachedCache adds time.time() to every timeout, short ones too, which memcached then
# compares with its own clock. So a value lives as long as it should plus the difference of the two
# clocks, or not at all; set() returns True in any case. A machine that resumes, or whose clock is
# not kept, is enough. The host's clock is moved here for cachelib alone.
#
# Seen with: cachelib 0.17.0 with pylibmc 1.6.3, memcached 1.6.18.
# Needs: python3 with venv, memcached; downloads packages into a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check cachelib==0.17.0 pylibmc==1.6.3

timeout 60 "$folder/env/bin/python" - <<'PYTHON'
import os
import socket
import subprocess
import time

import cachelib.memcached
import pylibmc

with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
user = ["-u", "root"] if os.geteuid() == 0 else []
command = ["memcached", "-U", "0", "-l", "127.0.0.1", "-p", str(port), *user]
server = subprocess.Popen(command)
address = f"127.0.0.1:{port}"


def ttl(key: str) -> int:
    """Return the seconds that memcached gives a key, -1 where it has none."""
    with socket.create_connection(("127.0.0.1", port), 5) as channel:
        channel.sendall(b"mg %b t\r\n" % key.encode())
        reply = channel.recv(100)
    return int(reply[4:]) if reply.startswith(b"HD t") else -1


def kept(behind: int) -> tuple[bool, int]:
    """Store a value for 300 s on a host whose clock is behind; return what set says, and the TTL."""
    cachelib.memcached.time = lambda: time.time() - behind
    cache = cachelib.MemcachedCache([address], default_timeout=300)
    return cache.set("key", "value"), ttl("key")


try:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    found = {behind: kept(behind) for behind in (0, 120, 301, -3600)}
    for behind, (stored, left) in found.items():
        print(f"a clock {behind:5} s behind: set returns {stored}, and the value has {left} s left")
    pylibmc.Client([address]).set("relative", "value", 300)
    print(f"pylibmc, which sends 300: {ttl('relative')} s left, by no clock of the client's")
    assert 290 <= found[0][1] <= 301
    assert 170 <= found[120][1] <= 181, "cachelib no longer sends moments"
    assert found[301] == (True, -1), "cachelib no longer sends moments"
    assert found[-3600][1] > 3800, "cachelib no longer sends moments"
    assert 290 <= ttl("relative") <= 300
finally:
    server.kill()
    server.wait()
PYTHON
