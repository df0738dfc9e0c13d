#!/usr/bin/env bash
# memcached 1.6.18: ten pipelined `get` lines are answered in ten TCP segments; ten pipelined `mg`,
# `set` or `delete` lines in one.
#
# A client that shares a connection among its callers joins their requests into one send, and
# expects the replies to be joined as well. memcached does that: it queues replies, and sends them
# when the input is used up or the connection yields, after 20 requests by default (option -R). So
# a hundred `mg` lines take five segments, or one with -R 200. But up to 1.6.34 it flushes after
# each `get` or `gat` line: ten of them in one segment cost ten sends in the server, and ten
# segments and up to ten wake-ups in the client, whatever -R says. One `get` of ten keys is one
# request and one segment. 1.6.35 joins the replies of `get`, too; with an older server use `mg`,
# or join callers in one `get`.
#
# Segments with data are counted by the client's kernel: tcpi_data_segs_in of TCP_INFO. For more
# than ten `get` lines the number varies (19 to 55 for a hundred): the sending kernel joins replies
# that it has to hold back.
#
# Seen with: memcached 1.6.18-1+deb12u1 of Debian 12 (bookworm), counted below. By hand: 1.6.34
# counts the same; 1.6.35 and 1.6.45 answer ten `get` or `gat` lines in one segment.
# Needs: Linux, Debian 12 with apt-get and python3; downloads packages into a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

apt-get download -q memcached=1.6.18-1+deb12u1 libevent-2.1-7 libsasl2-2 >/dev/null
for package in ./*.deb; do dpkg -x "$package" root; done
libraries=$(dirname "$(find root -name 'libevent-2.1.so.7' | head -n 1)")
export LD_LIBRARY_PATH=$folder/$libraries

timeout 60 python3 - root/usr/bin/memcached <<'PYTHON'
import os
import socket
import struct
import subprocess
import sys
import time

PROGRAM = sys.argv[1]
DATA_SEGS_IN = 152  # offset in struct tcp_info, Linux 4.6 and later
KEYS = [b"key%d" % n for n in range(100)]
VALUE = b"x" * 10
CLASSIC = [b"VALUE %s 0 10\r\n%s\r\n" % (key, VALUE) for key in KEYS]
META = b"VA 10\r\n%s\r\n" % VALUE


def segments(channel: socket.socket) -> int:
    info = channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return struct.unpack_from("I", info, DATA_SEGS_IN)[0]


def asked(channel: socket.socket, request: bytes, reply: bytes) -> int:
    """Send request in one segment, read the whole reply, return the number of its segments."""
    before = segments(channel)
    channel.sendall(request)
    received = b""
    while len(received) < len(reply):
        data = channel.recv(1 << 16)
        if not data:
            raise SystemExit("memcached closed the connection")
        received += data
    if received != reply:
        raise SystemExit(f"unexpected reply: {received!r}")
    return segments(channel) - before


def lines(line: bytes, count: int) -> bytes:
    return b"".join(line % key for key in KEYS[:count])


def counted(*options: str) -> dict[str, int]:
    """Start a server with options; return the number of segments for ten lines of each kind."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = ["-u", "root"] if os.geteuid() == 0 else []
    listen = ["-U", "0", "-l", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen([PROGRAM, *listen, *options, *user])
    try:
        for _ in range(100):
            try:
                channel = socket.create_connection(("127.0.0.1", port), 5)
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        else:
            raise SystemExit("memcached does not listen")
        with channel:
            for key in KEYS:
                asked(channel, b"set %s 0 0 10\r\n%s\r\n" % (key, VALUE), b"STORED\r\n")
            values = b"".join(CLASSIC[:10])
            each = [value + b"END\r\n" for value in CLASSIC]
            sets = [b"set %s 0 0 10\r\n%s\r\n" % (key, VALUE) for key in KEYS]
            return {
                "get": asked(channel, lines(b"get %s\r\n", 10), b"".join(each[:10])),
                "gat": asked(channel, lines(b"gat 0 %s\r\n", 10), b"".join(each[:10])),
                "one get of ten keys": asked(
                    channel, b"get %s\r\n" % b" ".join(KEYS[:10]), values + b"END\r\n"
                ),
                "mg": asked(channel, lines(b"mg %s v\r\n", 10), META * 10),
                "set": asked(channel, b"".join(sets[:10]), b"STORED\r\n" * 10),
                "a hundred mg": asked(channel, lines(b"mg %s v\r\n", 100), META * 100),
                "delete": asked(channel, lines(b"delete %s\r\n", 10), b"DELETED\r\n" * 10),
            }
    finally:
        server.kill()
        server.wait()


print(subprocess.run([PROGRAM, "-V"], capture_output=True, text=True, timeout=5).stdout.strip())
EXPECTED = {
    "get": 10,
    "gat": 10,
    "one get of ten keys": 1,
    "mg": 1,
    "set": 1,
    "a hundred mg": 5,
    "delete": 1,
}
for options, expected in [([], EXPECTED), (["-R", "200"], {**EXPECTED, "a hundred mg": 1})]:
    numbers = counted(*options)
    shown = ", ".join(f"{name}: {number}" for name, number in numbers.items())
    print(f"segments for the replies to ten lines ({' '.join(options) or '-R 20'}): {shown}")
    if numbers != expected:
        raise SystemExit(f"this has changed, expected {expected}")
PYTHON
echo "as it was: each reply of get has its own segment, replies of mg share one"
