#!/usr/bin/env bash
# memcached 1.6.18: a meta `add`, `append` or `replace` of a value that is too large deletes the value
# that is there; the classic add, append, replace and cas keep it, and classic set deletes.
#
# `set` deletes on purpose: if the new value cannot be stored, the old one would be wrong. `add` is
# told to leave a value alone and `append` to extend it, so that a refusal, SERVER_ERROR object too
# large for cache, should change nothing: classic commands do that. The meta command `ms` deletes in
# every mode, before it looks at the mode, at the token of C, or whether there would be room. A client
# that moves from `add` to `ms ... ME`, or locks with it, loses what an oversized add never touched.
# An append whose result would be too large, but whose own part is not, is refused as NS, and keeps.
#
# Seen with: memcached 1.6.18-1+deb12u1 of Debian 12 (bookworm). By hand: 1.6.12 and 1.6.45 the same.
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


def answer(request: bytes) -> bytes:
    """Return all that is answered to a request, over a connection of its own."""
    received = b""
    with connected() as channel:
        channel.sendall(request + b"quit\r\n")
        while data := channel.recv(65536):
            received += data
    return received


LARGE = bytes(1 << 20)
SIZE = b"%d" % len(LARGE)


def left_by(command: bytes) -> str:
    """Store a value, send a command with one that is too large, and say what is left."""
    answer(b"set key 0 0 3\r\nold\r\n")
    got = answer(command + b"\r\n" + LARGE + b"\r\n")
    if got != b"SERVER_ERROR object too large for cache\r\n":
        raise SystemExit(f"{command!r} is answered {got!r}")
    return "kept" if b"old" in answer(b"get key\r\n") else "deleted"


for command, expected in [
    (b"set key 0 0 " + SIZE, "deleted"),
    (b"add key 0 0 " + SIZE, "kept"),
    (b"replace key 0 0 " + SIZE, "kept"),
    (b"append key 0 0 " + SIZE, "kept"),
    (b"cas key 0 0 " + SIZE + b" 1", "kept"),
    (b"ms key " + SIZE, "deleted"),
    (b"ms key " + SIZE + b" ME", "deleted"),
    (b"ms key " + SIZE + b" MR", "deleted"),
    (b"ms key " + SIZE + b" MA", "deleted"),
    (b"ms key " + SIZE + b" C1", "deleted"),
]:
    got = left_by(command)
    print(f"{command.decode()}: the old value is {got}")
    if got != expected:
        raise SystemExit(f"this has changed, expected {expected}")
PYTHON
echo "as it was: ms deletes in every mode what the classic add, append, replace and cas keep"
