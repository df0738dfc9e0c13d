"""memcached servers in network namespaces: each behind a cable of its own, which can be cut.

A namespace has one end of a pair of virtual Ethernet devices, and the test's own network has the
other. Addresses are of 198.18.0.0/15, which RFC 2544 keeps for tests. That takes root and Linux's
``ip``; where it is not permitted, `refusal` says why.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from support.memcached import EXTRA, installed

__all__ = ["Place", "SlowProxy", "places", "refusal"]

PORT = 11211
_TAG = f"gdbx{os.getpid() % 100000}"


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def refusal() -> str | None:
    """Return why no namespace can be made here, None if one can."""
    if shutil.which("ip") is None:
        return "there is no ip: apt-get install iproute2"
    name = f"{_TAG}try"
    try:
        _ip("netns", "add", name)
    except RuntimeError as error:
        return f"network namespaces are not permitted here: {error}"
    try:
        _ip("link", "add", f"{_TAG}t", "type", "veth", "peer", "name", "eth0", "netns", name)
    except RuntimeError as error:
        return f"virtual Ethernet devices are not permitted here: {error}"
    finally:
        _ip("netns", "del", name)
    return None


@dataclass
class Place:
    """A namespace with a memcached in it, at `address`; `number` is its own among those of a run.

    ``cut`` and ``mend`` do what a network does; ``move`` gives it another address.
    """

    number: int
    host: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = f"{_TAG}n{self.number}"
        self._device = f"{_TAG}v{self.number}"  # at most 15 characters
        # A network of eight addresses: ours, and those that the server moves among.
        self._net = f"198.18.{os.getpid() % 250}.{8 * self.number}"
        self._hosts = [self._at(offset) for offset in range(2, 7)]
        self.host = self._hosts.pop(0)

    def _at(self, offset: int) -> str:
        start, _, last = self._net.rpartition(".")
        return f"{start}.{int(last) + offset}"

    @property
    def address(self) -> str:
        """The server's address."""
        return f"{self.host}:{PORT}"

    def _inside(self, *arguments: str) -> None:
        _ip("netns", "exec", self.name, "ip", *arguments)

    @contextmanager
    def running(self) -> Iterator["Place"]:
        """Make the namespace, and run the server."""
        _ip("netns", "add", self.name)
        process = None
        try:
            peer = ("peer", "name", "eth0", "netns", self.name)
            _ip("link", "add", self._device, "type", "veth", *peer)
            _ip("addr", "add", f"{self._at(1)}/29", "dev", self._device)
            _ip("link", "set", self._device, "up")
            self._inside("link", "set", "lo", "up")
            self._inside("addr", "add", f"{self.host}/29", "dev", "eth0")
            self._inside("link", "set", "eth0", "up")
            command = ["ip", "netns", "exec", self.name, installed(), "-U", "0", "-m", "16"]
            command += ["-t", "1", "-u", "root", "-p", str(PORT), *EXTRA]
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            until = time.monotonic() + 20
            while not self._answers():
                assert process.poll() is None, "memcached ended"
                assert time.monotonic() < until, "memcached does not listen"
            yield self
        finally:
            if process is not None:
                process.kill()
                process.wait()
            _ip("netns", "del", self.name)  # and both ends of the pair with it

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, PORT), 1).close()
        except OSError:
            return False
        return True

    def cut(self) -> None:
        """Drop what the server sends to us, without a word: a partition."""
        self._inside("route", "add", "blackhole", f"{self._at(1)}/32")

    def mend(self) -> None:
        """Let it through again."""
        self._inside("route", "del", "blackhole", f"{self._at(1)}/32")

    def unplug(self) -> None:
        """Take the server's device down."""
        self._inside("link", "set", "eth0", "down")

    def plug(self) -> None:
        """Bring the server's device up."""
        self._inside("link", "set", "eth0", "up")

    def move(self) -> None:
        """Give the server another address; at the old one is nobody any more."""
        old, self.host = self.host, self._hosts.pop(0)
        # In this order: with the first address of a network go the others.
        self._inside("addr", "del", f"{old}/29", "dev", "eth0")
        self._inside("addr", "add", f"{self.host}/29", "dev", "eth0")

    def delay(self, seconds: float) -> bool:
        """Delay all that the server sends; return whether this kernel can (netem)."""
        tc = shutil.which("tc")
        if tc is None:
            return False
        command = ["ip", "netns", "exec", self.name, tc, "qdisc", "replace", "dev", "eth0", "root"]
        command += ["netem", "delay", f"{round(seconds * 1000)}ms"]
        return subprocess.run(command, capture_output=True).returncode == 0

    def hurry(self) -> None:
        """Delay nothing any more."""
        tc = ("tc", "qdisc", "del", "dev", "eth0", "root")
        _ip("netns", "exec", self.name, *tc)


@contextmanager
def places(count: int) -> Iterator[list[Place]]:
    """Run so many servers, each in a namespace of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(Place(number).running()) for number in range(count)]


class SlowProxy:
    """Hands on what comes both ways, replies after so many seconds; use it as a context.

    For kernels without netem, whose delay it stands for: what is received is handed on `delay`
    seconds later, while more is received.
    """

    def __init__(self, target: tuple[str, int], delay: float) -> None:
        self._target = target
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        host, port = self._listener.getsockname()
        self.address = f"{host}:{port}"

    def __enter__(self) -> "SlowProxy":
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        # To shut down wakes who waits there, which to close does not.
        for each in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in [self._listener, *self._sockets]:
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over.is_set():
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                for source, sink, delay in ((client, server, 0.0), (server, client, self._delay)):
                    pump = threading.Thread(target=self._pump, args=(source, sink, delay))
                    self._threads.append(pump)
                    pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket, delay: float) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if delay and self._over.wait(delay):
                    break
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
