#!/usr/bin/env bash
# kazoo 2.11.0: a ChildrenWatch whose node is deleted ends without a call and without a log line, and
# stays dead when the node is made again; the last list that it gave is stale for ever.
#
# DataWatch is called with None when its node goes, and again when it comes back, so one expects
# the same of ChildrenWatch. Its function is called for the children that go first, and then never
# again: not for the node, not for those that come after it is made anew. Whether the watch still lives
# cannot be asked (_stopped is private). A deployment that deletes a fleet's node and makes it again
# leaves every process with an empty fleet, or with that of before where the deletion was too quick
# to be seen child by child. Use plain watches: `get_children(path, watch=...)`, and
# `exists(path, watch=...)` where the node is gone.
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
timeout 120 env/bin/python - <<'PYTHON'
import logging
import pathlib
import socket
import subprocess
import time

from kazoo.client import KazooClient

logging.disable()
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
pathlib.Path("zoo.cfg").write_text(
    f"tickTime=2000\ndataDir={pathlib.Path.cwd()}/data\nclientPort={port}\n"
    "clientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
)
command = ["java", "-Xmx64m", "-Dzookeeper.jmx.log4j.disable=true", "-cp"]
command += ["/usr/share/java/zookeeper.jar", "org.apache.zookeeper.server.quorum.QuorumPeerMain"]
server = subprocess.Popen(
    [*command, "zoo.cfg"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
)
try:
    client = KazooClient(f"127.0.0.1:{port}", connection_retry={"max_tries": -1, "max_delay": 0.2})
    client.start(60)
    children: list[object] = []
    data: list[object] = []
    client.ensure_path("/fleet/a")
    client.ChildrenWatch("/fleet", lambda names: children.append(sorted(names)))
    client.DataWatch("/fleet", lambda value, stat: data.append(value))
    client.delete("/fleet", recursive=True)
    time.sleep(1)
    client.ensure_path("/fleet/b")
    time.sleep(1)
    client.create("/fleet/c")
    time.sleep(1)
    print("DataWatch was called with", data)
    print("ChildrenWatch was called with", children, "while there are", client.get_children("/fleet"))
    assert None in data and data[-1] == b""
    assert children[0] == ["a"]
    assert all("b" not in names and "c" not in names for names in children), "this has changed"
    client.stop()
finally:
    server.kill()
    server.wait()
PYTHON
echo "as it was: a ChildrenWatch does not outlive its node, and does not say so"
