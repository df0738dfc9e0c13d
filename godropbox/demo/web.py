"""The page of the demo, on 127.0.0.1: one file, a stream of snapshots, and a click for each action.

Only this machine reaches it. A request has to name it as its host, so that no name that was made to
point here does; a click has to come from the page itself, as its origin says, and be JSON, which a
form of another page cannot send. The page may load nothing but itself.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, Final

from ..errors import DropboxError, UsageError
from .engine import Engine
from .story import Story

__all__ = ["Web"]

HOST: Final = "127.0.0.1"
_MOST_STREAMS: Final = 16
_MOST_BYTES: Final = 1024  # of a click


class Web:
    """Serves an engine's page at ``url`` from a thread, until it is closed.

    `port` is 0 for a free one; `period` is the seconds between two snapshots of a stream. Raises
    ``OSError`` if the port is taken. The engine is the caller's to close.
    """

    def __init__(
        self, engine: Engine, story: Story | None = None, port: int = 0, period: float = 0.5
    ) -> None:
        page = files(__package__).joinpath("page.html").read_bytes()
        self.engine = engine
        self.story = story
        self.period = period
        self.ending = threading.Event()
        self._latest: bytes = b"{}"
        self._streams = threading.BoundedSemaphore(_MOST_STREAMS)
        self._server = _Server((HOST, port), self, page)
        self.url = f"http://{HOST}:{self._server.server_port}/"
        self._threads = [
            threading.Thread(target=target, name=f"demo-{name}", daemon=True)
            for name, target in (("web", self._serve), ("snapshots", self._take))
        ]
        self.latest = threading.Condition()

    def start(self) -> None:
        """Serve from now on."""
        for thread in self._threads:
            thread.start()

    def _serve(self) -> None:
        self._server.serve_forever(0.1)

    def _take(self) -> None:
        """Take snapshots, one for all streams, and have the story go on."""
        while not self.ending.is_set():
            if self.story is not None:
                self.story.due()
            try:
                taken = json.dumps(self.engine.snapshot()).encode()
            except DropboxError as error:
                self.engine.note(f"no snapshot: {error}")
            else:
                with self.latest:
                    self._latest = taken
                    self.latest.notify_all()
            self.ending.wait(self.period)

    def snapshot(self) -> bytes:
        """Return the latest snapshot."""
        return self._latest

    def stream(self, send: Callable[[bytes], object]) -> bool:
        """Send each new snapshot until the end; return False at once if too many are streamed."""
        if not self._streams.acquire(blocking=False):
            return False
        try:
            sent = b"{}"
            while not self.ending.is_set():
                with self.latest:
                    self.latest.wait_for(lambda s=sent: self._latest is not s, 1.0)  # type: ignore[misc]
                    sent = self._latest
                send(b"data: " + sent + b"\n\n")
        finally:
            self._streams.release()
        return True

    def act(self, wanted: Any) -> str:
        """Do what a click asks for; return what was wrong with it, or nothing."""
        if not isinstance(wanted, dict) or not isinstance(wanted.get("action"), str):
            return 'a click must be an object such as {"action": "kill", "server": 0}'
        if self.story is not None:
            self.story.end()
        try:
            self.engine.act(wanted["action"], wanted.get("server"))
        except (UsageError, DropboxError) as error:
            self.engine.note(f"not done: {error}")
            return str(error)
        return ""

    def close(self) -> None:
        """End the streams and the server; a second call does nothing."""
        self.ending.set()
        with self.latest:
            self.latest.notify_all()
        if self._threads[0].is_alive():
            self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, where: tuple[str, int], web: Web, page: bytes) -> None:
        self.web = web
        self.page = page
        self.policy = _policy(page.decode())
        super().__init__(where, _Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}


def _policy(page: str) -> str:
    """Return the policy by which the page runs its own script and style, and nothing else."""

    def hashed(tag: str) -> str:
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (hashlib.sha256(part.encode()).digest() for part in parts)
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashed('script')}; style-src {hashed('style')}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "godropbox-demo"
    sys_version = ""
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as it is called
        """Say nothing: a person's terminal has the address, and the page has the log."""

    def do_GET(self) -> None:
        if not self._is_ours():
            return
        if self.path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
        elif self.path == "/state":
            self._answer(HTTPStatus.OK, "application/json", self.server.web.snapshot())
        elif self.path == "/events":
            self._stream()
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there are /, /state, /events")

    def do_POST(self) -> None:
        if not self._is_ours():
            return
        if self.path != "/act":
            self._refuse(HTTPStatus.NOT_FOUND, "a click goes to /act")
        elif self.headers.get("Origin") not in {f"http://{host}" for host in self.server.hosts}:
            self._refuse(HTTPStatus.FORBIDDEN, "a click has to come from the page")
        elif self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a click is JSON")
        else:
            self._act()

    def _act(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _MOST_BYTES:
            self._refuse(HTTPStatus.BAD_REQUEST, f"a click has at most {_MOST_BYTES} bytes")
            return
        try:
            wanted = json.loads(self.rfile.read(int(length)))
        except ValueError:
            self._refuse(HTTPStatus.BAD_REQUEST, "a click is JSON")
            return
        wrong = self.server.web.act(wanted)
        if wrong:
            self._refuse(HTTPStatus.CONFLICT, wrong)
        else:
            self._answer(HTTPStatus.OK, "application/json", b"{}")

    def _is_ours(self) -> bool:
        """Tell whether a request names this server as its host; refuse it if not."""
        if self.headers.get("Host") in self.server.hosts:
            return True
        self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this is 127.0.0.1 and nothing else")
        return False

    def _stream(self) -> None:
        self.close_connection = True
        self._head(HTTPStatus.OK, "text/event-stream", None)
        try:
            if not self.server.web.stream(self._send):
                self._send(b"event: full\ndata: {}\n\n")
        except OSError:  # the page was closed
            pass

    def _send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def _head(self, status: HTTPStatus, kind: str, length: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", self.server.policy)
        self.end_headers()

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self._head(status, kind, len(body))
        self.wfile.write(body)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True
        self._answer(status, "application/json", json.dumps({"error": why}).encode())
