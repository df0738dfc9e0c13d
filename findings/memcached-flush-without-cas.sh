#!/usr/bin/env bash
# memcached 1.6.18 with -C: what is stored within a second after flush_all is answered STORED, and is
# not there.
#
# flush_all remembers the second of its call, and takes what was stored up to then. As a second holds
# many stores, the server tells those before the call from those after it by their CAS tokens. With -C
# (--disable-cas, which saves 8 bytes an item) there are none: everything of that second is gone, what
# was stored after flush_all returned as well. A test that flushes and then fills a cache, or a deploy
# script that flushes and warms it, loses what it stored first. 1.6.45 does not do that.
#
# Seen with: memcached 1.6.18-1+deb12u1 of Debian 12 (bookworm). By hand: 1.6.12 the same; 1.6.45
# keeps what is stored after the call, with and without -C.
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
try_with() {
    root/usr/bin/memcached -U 0 -l 127.0.0.1 -p "$port" "${as[@]}" "$@" &
    server=$!
    python3 - "$port" "$@" <<'PYTHON'
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


def found_after_flush() -> bool:
    """Flush, store a value, and tell if it is there."""
    if answer(b"flush_all\r\n") != b"OK\r\n":
        raise SystemExit("flush_all fails")
    if answer(b"set key 0 0 1\r\nx\r\n") != b"STORED\r\n":
        raise SystemExit("set fails")
    return b"VALUE" in answer(b"get key\r\n")


answer(b"version\r\n")
time.sleep(1.5)  # away from the first second of the server
# A few times: a second may end between flush_all and set.
found = [found_after_flush() for _ in range(5)]
has_tokens = "-C" not in sys.argv
print(f"with {'tokens' if has_tokens else '-C'}: found after flush_all and set: {found}")
if sum(found) != 5 if has_tokens else sum(found) > 1:
    raise SystemExit("this has changed")
PYTHON
    kill "$server"
    wait "$server" || true
    server=
}

try_with
try_with -C
echo "as it was: with -C what is stored in the second of flush_all is gone"
