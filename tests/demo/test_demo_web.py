"""The demo's page over HTTP: what it serves, whom it refuses, and that it ends what it started."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import godropbox
from godropbox.demo import Engine, Load, MemoryFleet, ServerFleet
from godropbox.demo.processes import Processes, program
from godropbox.demo.story import Story
from godropbox.demo.web import Web

Reply = tuple[int, dict[str, str], bytes]


def ask(web: Web, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
    """Make one request as a page would; a header that is empty is left out."""
    host = web.url.split("/")[2]
    usual = {"Host": host}
    if method == "POST":
        usual |= {"Origin": f"http://{host}", "Content-Type": "application/json"}
    sent = {name: text for name, text in (usual | headers).items() if text}
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if body is not None:
            sent.setdefault("Content-Length", str(len(body)))
        for name, text in sent.items():
            connection.putheader(name, text)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def click(web: Web, action: str, server: int | None = None) -> tuple[int, dict[str, Any]]:
    wanted = {"action": action} if server is None else {"action": action, "server": server}
    status, _, body = ask(web, "POST", "/act", json.dumps(wanted).encode())
    return status, json.loads(body)


def state(web: Web) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(web, "GET", "/state")[2])
    return found


def until(web: Web, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return the first state of which something holds."""
    end = time.monotonic() + 60
    while True:
        found = state(web)
        if found and holds(found):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    engine = Engine(MemoryFleet(3), Load(keys=8))
    served = Web(engine, period=0.05)
    served.start()
    yield served
    served.close()
    engine.close()


def test_the_page_is_one_file_and_may_load_nothing_else(web: Web) -> None:
    status, headers, page = ask(web, "GET", "/")
    assert status == 200
    assert b"Two caches, one load" in page
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert policy.count("sha256-") == 2
    assert "unsafe" not in policy
    assert not re.search(rb"(src|href)=\"(?!data:)", page)
    assert not re.search(rb"\bstyle=", page)
    assert headers["Cache-Control"] == "no-store"


def test_it_is_reached_from_this_machine_alone(web: Web) -> None:
    assert web.url.startswith("http://127.0.0.1:")
    port = web.url.split(":")[2].strip("/")
    assert ask(web, "GET", "/", Host=f"localhost:{port}")[0] == 200
    for host in (f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""):
        for method, path in (("GET", "/"), ("GET", "/state"), ("GET", "/events"), ("POST", "/act")):
            assert ask(web, method, path, b"{}", Host=host)[0] == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Length": "1025"}, 400),
        ({"Content-Length": "-1"}, 400),
        ({"Content-Length": "many"}, 400),
    ],
)
def test_a_click_from_elsewhere_is_refused(web: Web, headers: dict[str, str], status: int) -> None:
    before = state(web)["servers"]
    assert ask(web, "POST", "/act", b'{"action": "add"}', **headers)[0] == status
    assert len(state(web)["servers"]) == len(before)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'"add"', b"[]", b"{}", b'{"action": 1}'])
def test_a_click_that_is_none(web: Web, body: bytes) -> None:
    status, _, said = ask(web, "POST", "/act", body)
    assert status in (400, 409)
    assert json.loads(said)["error"]


def test_what_is_not_there(web: Web) -> None:
    assert ask(web, "GET", "/etc/passwd")[0] == 404
    assert ask(web, "POST", "/")[0] == 404
    assert ask(web, "PUT", "/act")[0] == 501


def test_what_cannot_be_done_is_said(web: Web) -> None:
    status, said = click(web, "start", 0)
    assert (status, said["error"]) == (409, "server 0 is up, and must be killed")


def test_snapshots_are_streamed(web: Web) -> None:
    host = web.url.split("/")[2]
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == "text/event-stream"
    seen: list[float] = []
    while len(seen) < 3:
        line = answer.readline()
        if line.startswith(b"data: "):
            seen.append(json.loads(line[6:])["at"])
    connection.close()
    assert seen == sorted(seen)


def test_a_server_is_killed_and_comes_back_by_clicks() -> None:
    """What the browser's test shows in a page, without one."""
    path = program()
    assert path, "memcached is missing: apt-get install memcached"
    engine = Engine(ServerFleet(Processes(path), 3), Load(keys=16))
    web = Web(engine, Story(engine, time.monotonic), period=0.05)
    try:
        engine.start()
        web.start()
        assert click(web, "kill", 1) == (200, {})
        down = until(web, lambda s: s["servers"][1]["state"] == "killed")
        gone = {at for at, owner in enumerate(down["owners"]) if owner == 1}
        assert gone
        for side in down["sides"].values():
            assert {at for at, kind in enumerate(side["cells"]) if kind == "down"} == gone
        assert click(web, "start", 1) == (200, {})
        until(
            web,
            lambda s: all(s["sides"]["ours"]["cells"][at] in ("value", "sentinel") for at in gone),
        )
        end = until(
            web,
            lambda s: s["sides"]["plain"]["stale"] > 0 and s["sides"]["ours"]["reads"] > 100,
        )
        assert end["sides"]["ours"]["stale"] == 0
        assert click(web, "add") == (200, {})
        until(web, lambda s: len(s["servers"]) == 4 and 3 in s["owners"])
    finally:
        web.close()
        engine.close()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_what_it_started(number: int) -> None:
    where = os.path.dirname(os.path.dirname(godropbox.__file__))
    command = [sys.executable, "-m", "godropbox", "demo", "--servers", "2"]
    settings = os.environ | {"PYTHONPATH": where}
    with subprocess.Popen(
        command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            words = r"{0}/ shows two caches over {0}, {0}; .*\n".format(r"127.0.0.1:(\d+)")
            found = re.fullmatch("http://" + words, line)
            assert found, line
            assert [refuses(int(port)) for port in found.groups()] == [False] * 3
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()  # where it has not ended
    assert (process.returncode, err) == (0, "")
    assert [refuses(int(port)) for port in found.groups()] == [True] * 3


def refuses(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.connect()
    except ConnectionRefusedError:
        return True
    finally:
        connection.close()
    return False


def test_arguments_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    from godropbox.demo.__main__ import main

    for arguments, error in (
        (["--servers", "9"], "--servers must be in [1, 8], got 9"),
        (["--port", "70000"], "--port must be in [0, 65536), got 70000"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert error in capsys.readouterr().err
