#!/usr/bin/env bash
# etcd 3.4.23, its JSON gateway: a watch that is refused is HTTP 200 and "created":true, and its stream
# stays open for ever, silent.
#
# A range that may not be read is 403. A watch of the same keys is status 200 with one line, which says
# "created":true beside "canceled":true, and then nothing: the connection stays open and no event ever
# comes. So it is without a login, with a token that has expired, and with a start revision that was
# compacted (there "canceled" comes in a second line, without a reason). A client that waits for
# "created" and then for events, or takes an open stream for a living watch, believes for ever that
# nothing changes. Look at "canceled" in every line, and read the keys again from time to time.
#
# Seen with: etcd 3.4.23 (Debian 12, etcd-server), CPython 3.11, Linux.
# Needs: etcd and python3.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
timeout 60 python3 - <<'PYTHON'
import base64
import http.client
import json
import pathlib
import socket
import subprocess
import time

SILENT = 3.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


port, peers = free_port(), free_port()
own, other = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
command = ["etcd", "--name=one", "--data-dir=data", f"--listen-client-urls={own}"]
command += [f"--advertise-client-urls={own}", f"--listen-peer-urls={other}"]
command += [f"--initial-advertise-peer-urls={other}", f"--initial-cluster=one={other}"]
log = pathlib.Path("log").open("wb")
server = subprocess.Popen(command, stdout=log, stderr=log)
coded = {"key": base64.b64encode(b"key").decode()}


def asked(path: str, token: str = "", **body: object) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SILENT)
    headers = {"Authorization": token} if token else {}
    connection.request("POST", f"/v3/{path}", json.dumps(body), headers)
    return connection.getresponse()


def told(path: str, token: str = "", **body: object) -> "dict[str, object]":
    return json.load(asked(path, token, **body))


def watched(token: str = "", **more: object) -> None:
    """Print the lines of a watch until it is silent, which it has to be while open."""
    response = asked("watch", token, create_request={**coded, **more})
    lines = []
    try:
        while line := response.readline():
            lines.append(json.loads(line))
    except TimeoutError:
        results = [each["result"] for each in lines]
        for each in results:
            each.pop("header")
        print(f"  HTTP {response.status}, {results}, then open and silent for {SILENT:g} s")
        assert response.status == 200
        assert results[0]["created"] and results[-1]["canceled"]
        return
    raise SystemExit(f"the stream ended after {lines}: this has changed")


try:
    for _ in range(300):
        try:
            told("kv/range", **coded)
            break
        except OSError:
            time.sleep(0.05)
    for _ in range(5):
        revision = told("kv/put", value="", **coded)["header"]["revision"]
    told("kv/compaction", revision=revision)
    print("from a revision that was compacted:")
    watched(start_revision="2")
    for name in ("root", "other"):
        told("auth/user/add", name=name, password=name)
    told("auth/role/add", name="root")
    told("auth/user/grant", user="root", role="root")
    told("auth/enable")
    token = str(told("auth/authenticate", name="other", password="other")["token"])
    response = asked("kv/range", token, **coded)
    print(f"a range that may not be read: HTTP {response.status}, {json.load(response)}")
    assert response.status == 403
    print("a watch that may not be:")
    watched(token)
    print("a watch with a token that nobody gave:")
    watched("made up")
finally:
    server.kill()
    server.wait()
PYTHON
echo "as it was: a watch that is refused stays open, and says nothing more"
