#!/usr/bin/env bash
# memcached 1.6.18: a `gat` line of 3 KB is answered when it comes in one TCP segment, and closes the
# connection without a word when it comes in two; a `get` line may be of any length.
#
# The server looks for the end of a line in what it has read. If there is none in over 2,048 bytes it
# takes the input for junk and hangs up, unless the line begins with `get ` or `gets `: a large
# multiget is the one long line that it waits for. `gat` and `gats` take many keys as well, but are no
# exceptions. So whether a `gat` of 60 long keys works depends on where the network parts it: over
# loopback it arrives whole, and passes every test; over Ethernet, in segments of 1,448 bytes, the
# client sees a closed connection and no error. Over 16 KiB, the read buffer, it never works. Keep
# `gat` lines under 2 KB (before 1.6.14: 1 KB), or use one `mg key T...` for each key.
#
# Seen with: memcached 1.6.18-1+deb12u1 of Debian 12 (bookworm). By hand: 1.6.12 hangs up from 1,024
# bytes on, 1.6.17 and 1.6.45 do as 1.6.18.
# Needs: Debian 12 with apt-get and python3; downloads packages into a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"

apt-get download -q memcached=1.6.18-1+deb12u1 libevent-2.1-7 libsasl2-2 >/dev/null
for package in ./*.deb; do dpkg -x "$package" root; done
libraries=$(dirname "$(find root -name 'libevent-2.1.so.7' | head -n 1)")
export LD_LIBRARY_PATH=$folder/$libraries

port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
as=()
if ((EUID == 0)); then as=(-u root); fi
root/usr/bin/memcached -U 0 -l 127.0.0.1 -p "$port" "${as[@]}" &
server=$!

python3 - "$port" <<'PYTHON'
import socket
import sys
import time

PORT = int(sys.argv[1])


def connected() -> socket.socket:
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", PORT), 5)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise SystemExit("memcached does not listen")


def answer(verb: bytes, size: int, first: int) -> bytes:
    """Send a line of about `size` bytes, the rest when the `first` were read; b"" is the end."""
    line = verb + b" key" * ((size - len(verb)) // 4) + b"\r\n"
    with connected() as channel:
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            channel.sendall(line[:first])
            time.sleep(0.2)
            channel.sendall(line[first:])
            return channel.recv(65536)
        except ConnectionError:
            return b""


for what, got, expected in [
    ("gat, 3,000 bytes, whole", answer(b"gat 0", 3000, 9999), b"END\r\n"),
    ("gat, 3,000 bytes, 2,000 first", answer(b"gat 0", 3000, 2000), b"END\r\n"),
    ("gat, 3,000 bytes, 2,100 first", answer(b"gat 0", 3000, 2100), b""),
    ("gats, 3,000 bytes, 2,100 first", answer(b"gats 0", 3000, 2100), b""),
    ("get, 3,000 bytes, 2,100 first", answer(b"get", 3000, 2100), b"END\r\n"),
    ("gat, 20,000 bytes, whole", answer(b"gat 0", 20000, 99999), b""),
    ("get, 20,000 bytes, whole", answer(b"get", 20000, 99999), b"END\r\n"),
]:
    print(f"{what}: {got or 'closed'!r}")
    if got != expected:
        raise SystemExit(f"this has changed, expected {expected!r}")
PYTHON
echo "as it was: a gat that comes in two segments closes the connection, a get does not"
