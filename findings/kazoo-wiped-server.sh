#!/usr/bin/env bash
# kazoo 2.11.0 with ZooKeeper 3.8.0: a client never connects again to a server whose data was lost,
# and is never told that its session is over: it stays SUSPENDED, not LOST, for ever.
#
# A client sends the last transaction (zxid) that it has seen when it connects, and a server that has
# not got so far closes the connection without a word: "client must try another server". That keeps
# answers from going back while a server catches up. A server (or a whole ensemble) that was wiped and
# begun anew has not got so far either, so it refuses every client from before until it has made as
# many transactions. Its sessions do not exist any more, but kazoo hears of no expiry, because no
# connection gets that far; so its listeners hear SUSPENDED and nothing after it, ephemeral nodes are not
# made again, watches stay silent, and what "LOST" was to trigger is not triggered. A new client, whose
# zxid is 0, connects at once. So count the time since SUSPENDED yourself, and make another client when
# it is longer than the session.
#
# Seen with: kazoo 2.11.0, ZooKeeper 3.8.0 (Debian 12), CPython 3.11, Linux.
# Needs: java and /usr/share/java/zookeeper.jar (Debian: default-jre-headless, libzookeeper-java), python3
# with venv; downloads packages into a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check kazoo==2.11.0

cd "$folder"
timeout 180 env/bin/python - <<'PYTHON'
import logging
import pathlib
import shutil
import socket
import subprocess
import time

from kazoo.client import KazooClient

SESSION = 2.0
logging.disable()
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
address = f"127.0.0.1:{port}"
pathlib.Path("zoo.cfg").write_text(
    f"tickTime=200\ndataDir={pathlib.Path.cwd()}/data\nclientPort={port}\n"
    "clientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
)


def started() -> "subprocess.Popen[bytes]":
    command = ["java", "-Xmx64m", "-Dzookeeper.jmx.log4j.disable=true"]
    command += ["-Dzookeeper.4lw.commands.whitelist=srvr", "-cp", "/usr/share/java/zookeeper.jar"]
    command += ["org.apache.zookeeper.server.quorum.QuorumPeerMain", "zoo.cfg"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    for _ in range(600):
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as probe:
                probe.sendall(b"srvr")
                if b"Mode: standalone" in probe.makefile("rb").read():
                    return server
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit("ZooKeeper did not start")


server = started()
try:
    states: list[str] = []
    old = KazooClient(address, timeout=SESSION, connection_retry={"max_tries": -1, "max_delay": 0.2})
    old.add_listener(states.append)
    old.start()
    for i in range(5):
        old.create(f"/node-{i}")
    states.clear()
    server.kill()
    server.wait()
    shutil.rmtree("data")
    server = started()
    new = KazooClient(address, timeout=SESSION)
    began = time.monotonic()
    new.start(30)
    print(f"a new client connects in {time.monotonic() - began:.1f} s")
    time.sleep(5 * SESSION)
    print(f"after {5 * SESSION:g} s, five sessions: connected {old.connected}, listeners heard {states}")
    assert not old.connected, "it connects again: this has changed"
    assert states == ["SUSPENDED"], "it is told that its session is over: this has changed"
    # Once the server has made as many transactions, the client comes back at once.
    for i in range(20):
        new.create(f"/other-{i}")
    for _ in range(200):
        if old.connected:
            break
        time.sleep(0.05)
    print(f"after 20 transactions more: connected {old.connected}, listeners heard {states}")
    assert old.connected
    new.stop()
    old.stop()
finally:
    server.kill()
    server.wait()
PYTHON
echo "as it was: a client from before is refused without a word by a server that was wiped"
