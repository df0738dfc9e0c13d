#!/usr/bin/env bash
# memcached 1.6.18: a client that sends 200 `set` lines and closes without reading the replies loses
# most of them, though every byte has reached the server's machine; with `noreply` it loses none.
#
# The first reply that memcached sends to a closed socket is answered by a reset. The next one fails,
# and memcached drops the connection with all requests that it has read, or could still read, and has
# not run. A request with noreply sends nothing, so nothing fails, and memcached reads to the end. So
# a client that pipelines writes and does not care for the answers must read them before it closes,
# and before its process ends, or must send the word: an orderly close of the socket is not enough.
# Nothing is lost when the server is the quicker one, so a test with one write never shows it.
#
# Seen with: memcached 1.6.18-1+deb12u1 of Debian 12 (bookworm).
# Needs: Linux, Debian 12 with apt-get and python3; downloads packages into a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get download -q memcached=1.6.18-1+deb12u1 libevent-2.1-7 libsasl2-2 >/dev/null
for package in ./*.deb; do dpkg -x "$package" root; done
libraries=$(dirname "$(find root -name 'libevent-2.1.so.7' | head -n 1)")
export LD_LIBRARY_PATH=$folder/$libraries

timeout 120 python3 - root/usr/bin/memcached <<'PYTHON'
import os
import socket
import subprocess
import sys
import time

KEYS = [b"key%d" % number for number in range(200)]
ROUNDS = 30

with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
user = ["-u", "root"] if os.geteuid() == 0 else []
server = subprocess.Popen([sys.argv[1], "-U", "0", "-l", "127.0.0.1", "-p", str(port), *user])


def dial() -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 5)


def connections() -> int:
    with dial() as channel, channel.makefile("rb") as lines:
        channel.sendall(b"stats\r\n")
        for line in lines:
            if line.startswith(b"STAT curr_connections "):
                return int(line.split()[2])
    raise SystemExit("no curr_connections")


def lost(word: bytes) -> int:
    """Store 200 keys and close; return how many are not there once the server is done with that."""
    with dial() as channel:
        channel.sendall(b"flush_all\r\n")
        channel.recv(100)
    quiet = connections()
    with dial() as channel:
        for key in KEYS:
            channel.sendall(b"set %b 0 0 3%b\r\nabc\r\n" % (key, word))
    for _ in range(100):
        time.sleep(0.02)
        if connections() <= quiet:
            break
    with dial() as channel, channel.makefile("rb") as lines:
        channel.sendall(b"get %b\r\n" % b" ".join(KEYS))
        found = 0
        for line in lines:
            if line == b"END\r\n":
                return len(KEYS) - found
            found += line.startswith(b"VALUE ")
    raise SystemExit("memcached closed the connection")


try:
    for _ in range(100):
        try:
            dial().close()
            break
        except OSError:
            time.sleep(0.05)
    awaited = sum(lost(b"") for _ in range(ROUNDS))
    silent = sum(lost(b" noreply") for _ in range(ROUNDS))
    print(f"lost of {ROUNDS * len(KEYS)} sets whose replies were not read: {awaited}")
    print(f"lost of {ROUNDS * len(KEYS)} sets with noreply: {silent}")
    if awaited < 100 or silent:
        raise SystemExit("memcached has changed")
finally:
    server.kill()
    server.wait()
PYTHON
