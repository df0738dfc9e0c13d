#!/usr/bin/env bash
# uvloop 0.23.0: a create_connection that is cancelled between connection_made and its own return
# closes its transport, and connection_lost is never called.
#
# Code that counts connections adds one in connection_made and takes one off in connection_lost,
# for asyncio documents one call of each per connection. create_connection returns a turn of the
# loop later than connection_made; if its caller is cancelled in between, by a timeout for
# instance, it raises CancelledError. asyncio's own loop then closes the transport and calls
# connection_lost(None). uvloop closes the socket, so that the peer sees the end of the connection,
# but the protocol hears nothing: connection_lost is not called, not even after abort(), and
# is_closing() of the transport is False, though write() raises RuntimeError. A count taken that
# way never comes back to zero. Keep the protocol that the factory made, and treat it as lost when
# create_connection raises.
#
# Seen with: uvloop 0.23.0, CPython 3.11.7, Linux.
# Needs: Linux, python3 (3.11 or newer) with venv and pip; downloads packages into a temporary
# folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check uvloop==0.23.0

timeout 60 venv/bin/python - <<'PYTHON'
import asyncio
import sys

import uvloop


class Noting(asyncio.Protocol):
    """Notes its callbacks; its connection_made cancels the victim, if there is one."""

    def __init__(self, victim: asyncio.Task[None] | None) -> None:
        self.victim = victim
        self.calls: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("connection_made")
        self.transport = transport
        if self.victim is not None:
            self.victim.cancel()

    def connection_lost(self, error: Exception | None) -> None:
        self.calls.append(f"connection_lost({error})")


async def connected(cancel: bool) -> str:
    """Connect, be cancelled or close, abort; return the callbacks and what the transport says."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    protocols: list[Noting] = []

    async def connect() -> None:
        task = asyncio.current_task()
        protocol = Noting(task if cancel else None)
        protocols.append(protocol)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: protocol, "127.0.0.1", port)
        if not cancel:
            protocol.transport.close()

    task = asyncio.create_task(connect())
    (result,) = await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(5):
        await ended.wait()
    await asyncio.sleep(1)
    (protocol,) = protocols
    if cancel and not isinstance(result, asyncio.CancelledError):
        raise SystemExit(f"expected CancelledError, not {result!r}")
    seen = [*protocol.calls, f"is_closing() {protocol.transport.is_closing()}"]
    protocol.transport.abort()
    await asyncio.sleep(0.2)
    seen += [f"{call} after abort()" for call in protocol.calls[len(seen) - 1 :]]
    try:
        protocol.transport.write(b"x")
    except RuntimeError:
        seen.append("write() raises RuntimeError")
    server.close()
    await server.wait_closed()
    return ", ".join(seen)


LOST = "connection_made, connection_lost(None), is_closing() True"
UNHEARD = "connection_made, is_closing() False"
REFUSED = ", write() raises RuntimeError"
print(f"uvloop {uvloop.__version__}, CPython {sys.version.split()[0]}")
for name, factory, cancel, expected in [
    ("asyncio", asyncio.SelectorEventLoop, True, LOST),
    ("uvloop", uvloop.new_event_loop, True, UNHEARD + REFUSED),
    ("uvloop", uvloop.new_event_loop, False, LOST + REFUSED),
]:
    with asyncio.Runner(loop_factory=factory) as runner:
        got = runner.run(connected(cancel))
    how = "cancelled in connection_made" if cancel else "closed after its return"
    print(f"{name}, create_connection {how}: {got}")
    if got != expected:
        raise SystemExit(f"this has changed, expected: {expected}")
PYTHON
echo "as it was: uvloop does not call connection_lost for a cancelled create_connection"
