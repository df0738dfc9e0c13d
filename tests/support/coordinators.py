"""ZooKeeper and etcd for real, each in a folder of its own, and an HTTP server that is scripted.

``ZooKeeper`` is Debian's libzookeeper-java on a small Java machine, with ticks so short that a
session may last a second; ``Etcd`` is Debian's etcd-server. Both can be killed, stopped as by
SIGSTOP, continued, and wiped to begin anew.
"""

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

from godropbox.memcache import InvalidArgumentError, ShardState
from godropbox.memcache.discovery.types import Answer, Server, Source, SourceError

from .memcached import _free_port

__all__ = [
    "PATIENCE",
    "Etcd",
    "HttpServer",
    "Reply",
    "Script",
    "ZooKeeper",
    "answered",
    "check_closing",
    "check_operators",
    "exit_status_of_child",
    "first",
    "is_right_in_child",
    "named",
    "opening",
    "problem",
    "unexpected",
]

PATIENCE = 60.0
S = TypeVar("S", bound=Source)
_JAR = "/usr/share/java/zookeeper.jar"


class _Program:
    """A server's process: to start, to kill, to stop and to continue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def start(self) -> Self:
        log = self.folder / "log"
        with log.open("ab") as written:
            self._process = subprocess.Popen(
                self._command(), cwd=self.folder, stdout=written, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + PATIENCE
        while not self._is_ready():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"no server began: {log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)
        return self

    def _send(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)

    def kill(self) -> None:
        """End the server at once, as a crash does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the server for a while: its connections stay, and nothing answers."""
        self._send(signal.SIGSTOP)
        try:
            yield
        finally:
            self._send(signal.SIGCONT)

    def wipe(self) -> None:
        """Kill the server, and start it with nothing in it."""
        self.kill()
        shutil.rmtree(self.folder / "data")
        self.start()


class ZooKeeper(_Program):
    """One ZooKeeper server."""

    def _command(self) -> list[str]:
        java = shutil.which("java")
        assert java, "java is missing: apt-get install default-jre-headless"
        assert Path(_JAR).exists(), "ZooKeeper is missing: apt-get install libzookeeper-java"
        settings = {
            "tickTime": 200,
            "minSessionTimeout": 400,
            "maxSessionTimeout": 60000,
            "dataDir": self.folder / "data",
            "clientPort": self.port,
            "clientPortAddress": "127.0.0.1",
            "admin.enableServer": "false",
            "maxClientCnxns": 0,
        }
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (self.folder / "zoo.cfg").write_text("".join(lines))
        machine = ["-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        machine += ["-Dzookeeper.jmx.log4j.disable=true", "-Dzookeeper.forceSync=no"]
        machine += ["-Dzookeeper.preAllocSize=64", "-Dzookeeper.4lw.commands.whitelist=srvr"]
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return [java, *machine, "-cp", _JAR, main, str(self.folder / "zoo.cfg")]

    def _is_ready(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 5) as probe,
        ):
            # A server that is not ready takes connections, and leaves them without an answer.
            probe.sendall(b"srvr")
            return b"Mode: standalone" in probe.makefile("rb").read()
        return False


class Etcd(_Program):
    """One etcd server, and what a test writes in it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._peers = _free_port()

    def _command(self) -> list[str]:
        program = shutil.which("etcd")
        assert program, "etcd is missing: apt-get install etcd-server"
        own, peers = f"http://{self.address}", f"http://127.0.0.1:{self._peers}"
        options = {
            "name": "one",
            "data-dir": self.folder / "data",
            "listen-client-urls": own,
            "advertise-client-urls": own,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"one={peers}",
            "heartbeat-interval": 20,
            "election-timeout": 200,
        }
        return [program, *(f"--{name}={value}" for name, value in options.items())]

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException, KeyError):
            told = self.ask("kv/range", key=_coded("ready"))
            return "header" in told or "user name is empty" in told["message"]
        return False

    def ask(self, path: str, token: str = "", **asked: Any) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            headers = {"Authorization": token} if token else {}
            connection.request("POST", f"/v3/{path}", json.dumps(asked), headers)
            told: dict[str, Any] = json.loads(connection.getresponse().read())
            return told

    def put(self, key: str, value: str | bytes, **more: Any) -> int:
        """Write a key; return the revision."""
        told = self.ask("kv/put", key=_coded(key), value=_coded(value), **more)
        return int(told["header"]["revision"])

    def delete(self, key: str, end: str = "") -> int:
        """Delete a key, or all from it to `end`; return the revision."""
        more = {"range_end": _coded(end)} if end else {}
        return int(self.ask("kv/deleterange", key=_coded(key), **more)["header"]["revision"])

    def get(self, key: str) -> dict[str, Any]:
        """Return a key as etcd tells it."""
        found: dict[str, Any] = self.ask("kv/range", key=_coded(key))["kvs"][0]
        return found


def _coded(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


# What a request gets: status, headers, and the pieces of the body, between which the script may
# wait. None in place of it closes the connection without a word.
Reply = tuple[int, dict[str, str], Iterator[bytes]]
Script = Callable[[str, dict[str, str], bytes], Reply | None]


class HttpServer:
    """A server whose answers a script makes of a path, headers and a body."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        ours = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # the standard library's name
                ours.asked.append(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = script(self.path, headers, body)
                self.close_connection = True
                if reply is None:
                    return
                status, told, pieces = reply
                self.send_response(status)
                for name, value in told.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    for piece in pieces:
                        self.wfile.write(piece)
                        self.wfile.flush()

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # the client went away

        self._server = Quiet(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextlib.contextmanager
def opening(make: Callable[..., S]) -> Iterator[Callable[..., S]]:
    """Give what opens sources, all of which are closed in the end."""
    opened: list[S] = []

    def make_one(*arguments: Any, **options: Any) -> S:
        opened.append(make(*arguments, **options))
        return opened[-1]

    yield make_one
    for each in opened:
        each.close()


def named(answer: Answer) -> dict[str, Server]:
    """Return an answer's servers by their names, each of which is there once."""
    found = {each.name: each for each in answer.servers}
    assert len(found) == len(answer.servers)
    return found


def first(source: Source) -> Answer:
    """Return the answer that a source has next."""
    answer = source.next(PATIENCE)
    assert answer is not None
    return answer


def answered(source: Source, test: Callable[[Answer], bool], seconds: float = PATIENCE) -> Answer:
    """Return the first answer that passes a test, whatever errors come before it."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = answer = source.next(0.5)
        except SourceError as error:
            last = error
            time.sleep(0.01)
            continue
        if answer is not None and test(answer):
            return answer
    raise AssertionError(f"no such answer came, the last was {last!r}")


def problem(source: Source, seconds: float = PATIENCE) -> str:
    """Return what the next error says; answers come before it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            source.next(0.5)
        except SourceError as error:
            return str(error)
    raise AssertionError("no error came")


def unexpected(source: Source, allowed: list[Answer], stop: Callable[[], bool]) -> list[object]:
    """Ask until told to stop; return what was neither an error nor among these answers."""
    servers = {frozenset(each.servers) for each in allowed}
    found: list[object] = []
    while not stop():
        with contextlib.suppress(SourceError):
            answer = source.next(0.05)
            if answer is not None and frozenset(answer.servers) not in servers:
                found.append(answer)
    return found


def _seconds_until_seen(operator: Any, watching: list[Any], name: str) -> float:
    """Return how soon all sources see a state that an operator sets: the best of some times."""
    seconds = PATIENCE
    for state in (ShardState.DOWN, ShardState.WRITE_ONLY, ShardState.ACTIVE, ShardState.WARM_UP):
        began = time.monotonic()
        operator.set_state(name, state)
        for source in watching:
            answered(source, lambda said, now=state: named(said)[name].state is now)  # type: ignore
        seconds = min(seconds, time.monotonic() - began)
    return seconds


def exit_status_of_child(work: Callable[[], bool]) -> int:
    """Return how a child of a fork ended: 0 where the work returned True there."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def is_right_in_child(source: Source, expected: Answer) -> bool:
    """Return whether a source answers as expected in the child of a fork, and is closed there."""

    def work() -> bool:
        is_right = first(source) == expected
        source.close()
        return is_right

    return exit_status_of_child(work) == 0


def check_closing(source: Source, seconds: float = 0.1) -> None:
    """See that closing, after so long, ends a call that waits, and that the next begins anew."""
    before = first(source)
    while source.next(0.05) is not None:
        pass  # it may say the same again, once it hears that it is connected
    took: list[float] = []

    def wait() -> None:
        with pytest.raises(SourceError, match="was closed"):
            source.next(PATIENCE)
        took.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(seconds)
    closed = time.monotonic()
    source.close()
    thread.join()
    assert took[0] - closed < 1
    assert first(source) == before


def check_operators(
    open_source: Callable[[], Any],
    put: Callable[[str], object],
    delete: Callable[[str], object],
    states: Callable[[], dict[str, str]],
) -> None:
    """See that states which several set at once are all set, and seen everywhere within a second.

    `put` and `delete` are of a server's name, and `states` returns what is held of all.
    """
    names = [f"cache-{i}" for i in range(20)]
    for name in names:
        put(name)
    watching = [open_source() for _ in range(3)]
    operators = [open_source() for _ in range(4)]
    for source in watching:
        assert len(first(source).servers) == 20

    def operate(number: int) -> None:
        for name in names[number::4]:
            operators[number].set_state(name, ShardState.WRITE_ONLY)

    threads = [threading.Thread(target=operate, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for source in watching:
        answered(
            source, lambda said: {each.state for each in said.servers} == {ShardState.WRITE_ONLY}
        )
    assert _seconds_until_seen(operators[0], watching, "cache-3") < 1
    operators[0].set_state("cache-3", ShardState.DOWN)
    operators[1].set_state("cache-4", None)
    held = states()
    assert held["cache-3"] == "DOWN"
    assert "cache-4" not in held
    operators[0].set_state("cache-3", ShardState.DOWN)  # as it is
    with pytest.raises(InvalidArgumentError, match=r"name must be a server of .*, got 'cache-99'"):
        operators[0].set_state("cache-99", ShardState.DOWN)
    delete("cache-3")
    operators[0].set_state("cache-3", None)  # it is gone, and its state can be taken back
