#!/usr/bin/env bash
# memcached 1.6.18 with --auth-file: of several lines in one packet before the login is through, only
# the last is answered.
#
# A client that pipelines counts answers. Before the login (the `set` of the ASCII protocol whose
# value is "user password") memcached 1.6.18 answers three `version` lines that come in one packet
# with a single CLIENT_ERROR unauthenticated, and a `version` line with the login behind it in the
# same packet with the login's STORED alone. Sent in packets of their own the same lines are answered
# one by one. So whoever sends a probe and the login, or a batch, in one go waits for answers that
# never come. Send one request at a time until the login is answered; behind it, pipelining is fine.
#
# Seen with: memcached 1.6.18-1+deb12u1 of Debian 12 (bookworm).
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

echo 'ann:secret' >auth
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
as=()
if ((EUID == 0)); then as=(-u root); fi
root/usr/bin/memcached -U 0 -l 127.0.0.1 -p "$port" -Y auth "${as[@]}" &
server=$!

python3 - "$port" <<'PYTHON'
import socket
import sys
import time

PORT = int(sys.argv[1])
LOGIN = b"set login 0 0 10\r\nann secret\r\n"
NO = b"CLIENT_ERROR unauthenticated\r\n"
IS = b"VERSION 1.6.18\r\n"


def connected() -> socket.socket:
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", PORT), 5)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise SystemExit("memcached does not listen")


def answers(*packets: bytes) -> bytes:
    """Send packets, each when the one before was answered; return all that came within a second."""
    received = b""
    with connected() as channel:
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for packet in packets:
            channel.sendall(packet)
            channel.settimeout(1.0)
            try:
                received += channel.recv(65536)
            except TimeoutError:
                pass
        channel.settimeout(1.0)
        try:
            while data := channel.recv(65536):
                received += data
        except TimeoutError:
            pass
    return received


version = b"version\r\n"
for what, got, expected in [
    ("three lines in three packets", answers(version, version, version), NO * 3),
    ("three lines in one packet", answers(version * 3), NO),
    ("a line and the login, two packets", answers(version, LOGIN), NO + b"STORED\r\n"),
    ("a line and the login, one packet", answers(version + LOGIN), b"STORED\r\n"),
    ("the login and three lines, one packet", answers(LOGIN + version * 3), b"STORED\r\n" + IS * 3),
]:
    print(f"{what}: {got!r}")
    if got != expected:
        raise SystemExit(f"this has changed, expected {expected!r}")
PYTHON
echo "as it was: only the last of several lines before the login is answered"
