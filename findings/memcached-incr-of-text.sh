#!/usr/bin/env bash
# memcached 1.6.18: `incr` of "5 apples" answers 6, and leaves "6" and seven blanks in the place of
# the text.
#
# `incr` and `decr` refuse a value with CLIENT_ERROR "cannot increment or decrement non-numeric
# value" only if the first word of it is no number: they parse with strtoull, which stops at the
# first blank, and skips those in front. Then they write the digits over the value and fill it up
# with blanks. So a counter that is kept in a text by mistake (a key that two features share, a date
# as "2026-11-28 10:00" is refused, but "28 Nov 2026" is not) is not answered by an error: the text is
# gone. "+5", " 5" and "005" are numbers as well. The meta command `ma` is the same.
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

timeout 60 python3 - root/usr/bin/memcached <<'PYTHON'
import os
import socket
import subprocess
import sys
import time

COUNTED = {
    b"5 apples": (b"6", b"6       "),
    b"28 Nov 2026": (b"29", b"29         "),
    b" 5": (b"6", b"6 "),
    b"+5": (b"6", b"6 "),
    b"005": (b"6", b"6  "),
}
REFUSED = [b"5x", b"0x10", b"-1", b"apples 5", b"2026-11-28 10:00", b""]

with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
user = ["-u", "root"] if os.geteuid() == 0 else []
server = subprocess.Popen([sys.argv[1], "-U", "0", "-l", "127.0.0.1", "-p", str(port), *user])
try:
    for _ in range(100):
        try:
            channel = socket.create_connection(("127.0.0.1", port), 5)
            break
        except OSError:
            time.sleep(0.05)
    stream = channel.makefile("rwb")

    def asked(request: bytes) -> bytes:
        stream.write(request)
        stream.flush()
        return stream.readline().rstrip(b"\r\n")

    def stored(value: bytes) -> None:
        line = asked(b"set key 0 0 %d\r\n%b\r\n" % (len(value), value))
        if line != b"STORED":
            raise SystemExit(f"set of {value!r}: {line!r}")

    def held() -> bytes:
        size = int(asked(b"get key\r\n").split()[3])
        value = stream.read(size)
        stream.readline(), stream.readline()
        return value

    for value, (count, left) in COUNTED.items():
        stored(value)
        answer, now = asked(b"incr key 1\r\n"), held()
        print(f"incr of {value!r}: {answer.decode()}, and the value is {now!r}")
        if (answer, now) != (count, left):
            raise SystemExit("memcached has changed")
        stored(value)
        asked(b"ma key v\r\n")
        if asked(b"").strip() != count or held() != left:
            raise SystemExit("ma does otherwise")
    for value in REFUSED:
        stored(value)
        answer = asked(b"incr key 1\r\n")
        print(f"incr of {value!r}: {answer.decode()}")
        if not answer.startswith(b"CLIENT_ERROR") or held() != value:
            raise SystemExit("memcached has changed")
finally:
    server.kill()
    server.wait()
PYTHON
