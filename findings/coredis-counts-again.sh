#!/usr/bin/env bash
# coredis 6.9.0: by default a command that was sent is sent again after a lost connection or a
# timeout, INCR too: one call of incr() counts two or three times.
#
# A default retry policy is expected to repeat what is safe to repeat: a refused connection, a
# request that was not sent, a read. The one of coredis.Redis (two retries, on ConnectionError and
# TimeoutError) repeats any command, sent or not. If the server counts and the connection ends
# before the reply, incr() of a new counter returns 2, and no error. If the server
# counts but its reply is later than stream_timeout, incr() takes three timeouts, raises
# TimeoutError, and the counter stands at 3. Where commands are not idempotent, pass
# retry_policy=NoRetryPolicy(): the first error is raised, nothing is sent twice.
#
# The server below is scripted: it speaks just enough RESP3, and counts the INCRs that it receives.
#
# Seen with: coredis 6.9.0, CPython 3.11.7, Linux.
# Needs: Linux, python3 (3.11 or newer) with venv and pip; downloads packages into a temporary
# folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check coredis==6.9.0

timeout 60 venv/bin/python - <<'PYTHON'
import asyncio
import importlib.metadata
import sys
import time

import coredis
from coredis.retry import NoRetryPolicy

HELLO = b"%3\r\n+version\r\n+7.0.15\r\n+proto\r\n:3\r\n+id\r\n:1\r\n"
TIMEOUT = 0.5


class Counter:
    """Counts each INCR; then replies, closes or stays silent, as its script says."""

    def __init__(self, *script: str) -> None:
        self.script = list(script)
        self.value = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while header := await reader.readline():
                words = []
                for _ in range(int(header[1:])):
                    length = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(length + 2))[:-2])
                if words[0] == b"HELLO":
                    writer.write(HELLO)
                elif words[0] == b"INCR":
                    self.value += 1
                    act = self.script.pop(0) if self.script else "reply"
                    if act == "close":
                        break
                    if act == "reply":
                        writer.write(b":%d\r\n" % self.value)
                else:
                    writer.write(b"+OK\r\n")
        finally:
            writer.close()


async def raised(counter: Counter, **options: object) -> tuple[str, float]:
    """Call incr once; return its outcome and its duration in timeouts."""
    server = await asyncio.start_server(counter.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = coredis.Redis(host="127.0.0.1", port=port, stream_timeout=TIMEOUT, **options)
    async with client, asyncio.timeout(10):
        begin = time.monotonic()
        try:
            outcome = str(await client.incr("counter"))
        except (coredis.exceptions.ConnectionError, TimeoutError) as error:
            outcome = type(error).__name__
        took = (time.monotonic() - begin) / TIMEOUT
    server.close()
    return outcome, took


print(f"coredis {importlib.metadata.version('coredis')}, CPython {sys.version.split()[0]}")
NEVER = {"retry_policy": NoRetryPolicy()}
for name, script, options, expected in [
    ("a server that replies", ["reply"], {}, ("1", 0, 1)),
    ("EOF in place of the reply", ["close"], {}, ("2", 0, 2)),
    ("EOF, no retries", ["close"], NEVER, ("ConnectionError", 0, 1)),
    ("no reply in time", ["silence"] * 3, {}, ("TimeoutError", 3, 3)),
    ("no reply in time, no retries", ["silence"] * 3, NEVER, ("TimeoutError", 1, 1)),
]:
    counter = Counter(*script)
    outcome, took = asyncio.run(raised(counter, **options))
    got = (outcome, int(took), counter.value)
    print(f"{name}: incr {got[0]} after {got[1]} timeouts, counter at {got[2]}")
    if got != expected:
        raise SystemExit(f"this has changed, expected {expected}")
PYTHON
echo "as it was: by default coredis sends INCR again after it was sent"
