#!/usr/bin/env bash
# emcache 1.3.3: the end of a connection does not fail the calls whose replies are due; they wait
# for the whole timeout.
#
# When a server restarts or a proxy drops a connection, asyncio calls eof_received or
# connection_lost at once. emcache marks the connection closed, but does not fail the call whose
# reply is due: that waits until its timeout is over, and raises TimeoutError, as if the server
# were silent. The connection leaves the pool only then: with max_connections=1 the callers that
# wait for it time out as well, unsent, though the server accepts connections all the while. So
# keep the timeout short, and do not take TimeoutError for a slow server. A connection that ends
# between calls is replaced without loss.
#
# The server below is scripted: it speaks just enough of the ASCII protocol, and counts
# connections.
#
# Seen with: emcache 1.3.3, CPython 3.11.7, Linux.
# Needs: Linux, python3 (3.11 or newer) with venv and pip; downloads packages into a temporary
# folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check emcache==1.3.3

timeout 60 venv/bin/python - <<'PYTHON'
import asyncio
import importlib.metadata
import logging
import socket
import struct
import sys
import time

import emcache

TIMEOUT = 1.0
HIT = b"VALUE key 0 1\r\nx\r\nEND\r\n"


class Server:
    """Answers each get with a hit, the first one as act says."""

    def __init__(self, act: str) -> None:
        self.act = act
        self.accepted = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            while await reader.readline():
                act, self.act = self.act, "reply"
                if act == "reset":
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, linger
                    )
                if act in ("close", "reset"):
                    break
                writer.write(HIT)
                if act == "reply, then close":
                    break
        finally:
            writer.close()


async def got(client: emcache.Client) -> tuple[str, bool]:
    """Get the key; return the outcome, and whether it took the whole timeout."""
    begin = time.monotonic()
    try:
        item = await client.get(b"key")
        outcome = "None" if item is None else item.value.decode()
    except (TimeoutError, OSError) as error:
        outcome = type(error).__name__
    return outcome, time.monotonic() - begin >= 0.9 * TIMEOUT


async def outcomes(act: str, callers: int) -> tuple[list[tuple[str, bool]], int]:
    """Let callers share one connection, whose first get meets act; then get once more."""
    server = Server(act)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    address = emcache.MemcachedHostAddress("127.0.0.1", listener.sockets[0].getsockname()[1])
    async with asyncio.timeout(10):
        client = await emcache.create_client(
            [address], timeout=TIMEOUT, max_connections=1, min_connections=1
        )
        results = await asyncio.gather(*(got(client) for _ in range(callers)))
        await asyncio.sleep(0.1)
        results.append(await got(client))
        await client.close()
    listener.close()
    return results, server.accepted


logging.disable()
print(f"emcache {importlib.metadata.version('emcache')}, CPython {sys.version.split()[0]}")
PROMPT, LATE = ("x", False), ("TimeoutError", True)
for act, callers, expected in [
    ("reply", 1, ([PROMPT, PROMPT], 1)),
    ("reply, then close", 1, ([PROMPT, PROMPT], 2)),
    ("close", 1, ([LATE, PROMPT], 2)),
    ("reset", 1, ([LATE, PROMPT], 2)),
    ("close", 3, ([LATE, LATE, LATE, PROMPT], 2)),
]:
    results, accepted = asyncio.run(outcomes(act, callers))
    shown = ", ".join(f"{out} {'at the timeout' if late else 'at once'}" for out, late in results)
    print(f"{act}, callers {callers} and then 1: {shown}; connections {accepted}")
    if (results, accepted) != expected:
        raise SystemExit(f"this has changed, expected {expected}")
PYTHON
echo "as it was: emcache waits for the whole timeout for a connection that has ended"
