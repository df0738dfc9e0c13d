"""What breaks in mid-call: an invalid client, never a wrong value, a hang or a leak.

``GODROPBOX_SOAK_OPS`` sets the length of the soak, 20,000 operations by default.
"""

import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from support.faultproxy import Fault, FaultProxy
from support.memcached import Server
from support.pools import fork

import godropbox
from godropbox import memcache
from godropbox.memcache import Item

from .conftest import PROTOCOLS

OPERATIONS = int(os.environ.get("GODROPBOX_SOAK_OPS", "20000"))
TIMEOUT = 0.1
# How much later than its deadline an operation may end: strictly where the soak is asked for, and
# so that a hang is told from a busy machine where it is not.
GRACE = 0.05 if "GODROPBOX_SOAK_OPS" in os.environ else 10.0

# On PyPy 8.0.1, when a signal's handler raises just as an except block ends, the exception that was
# handled there stays the current one: it is the context of all that is raised later.
IS_PYPY = sys.implementation.name == "pypy"


class Interrupted(BaseException):
    """What a signal's handler raises: no subclass of Exception, as KeyboardInterrupt is none."""


@pytest.fixture
def proxy(servers: Callable[[str], Server]) -> Iterator[FaultProxy]:
    host, port = servers("tcp").address.split(":")
    with FaultProxy((host, int(port))) as proxy:
        yield proxy


def dial(
    proxy: FaultProxy, protocol: str, fault: Fault, timeout: float = TIMEOUT
) -> memcache.RawClient:
    proxy.fault = fault
    channel = memcache.connect(proxy.address, timeout=timeout, connect_timeout=5.0)
    return PROTOCOLS[protocol](channel)


def value_of(key: str, turn: int) -> bytes:
    """Return a value that tells which key and which turn it is of, and is whole if it says so."""
    return f"<{key}|{turn}|".encode() + b"x" * (turn * 37 % 500) + b">"


class Soak:
    """Operations on a few keys, of which it is known what they may answer.

    A key holds what was last read of it or stored in it; or else what was sent to be stored over a
    connection that broke, for that may reach the server as late as the network likes, after what
    a later connection stored. Here it likes at most a hundred operations.
    """

    LATEST = 100

    def __init__(self, protocol: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.protocol = protocol
        self.keys = [f"{protocol}-{seed}-{i}" for i in range(20)]
        self.turn = 0
        self.known: dict[str, bytes | None] = dict.fromkeys(self.keys)
        self.doubtful: dict[str, dict[bytes, int]] = {key: {} for key in self.keys}
        self.late = 0.0

    def fault(self) -> Fault:
        kinds = ("none", "none", "split", "split", "hang", "truncate", "reset", "duplicate")
        weights = (8, 8, 8, 8, 3, 4, 4, 4)
        kind = self.random.choices(kinds, weights)[0]
        return Fault(kind, self.random.randrange(4000))  # type: ignore[arg-type]

    def write(self, client: memcache.RawClient, keys: list[str]) -> None:
        items = [Item(key, value_of(key, self.turn)) for key in keys]
        for item in items:
            self.doubtful[str(item.key)][bytes(item.value)] = self.turn
        for item, response in zip(items, client.set_multi(items), strict=True):
            assert response.key == item.key
            assert response.ok, response
            # In this order, since a signal may come in between.
            self.known[str(item.key)] = bytes(item.value)
            del self.doubtful[str(item.key)][bytes(item.value)]

    def read(self, client: memcache.RawClient, keys: list[str]) -> None:
        found = client.get_multi(keys) if len(keys) > 1 else {keys[0]: client.get(keys[0])}
        for key in keys:
            value, doubtful = found[key].value, self.doubtful[key]
            assert value == self.known[key] or value in doubtful, (key, value, self.known[key])
            self.known[key] = value
            for other in [other for other in doubtful if doubtful[other] < self.turn - self.LATEST]:
                del doubtful[other]

    def step(self, client: memcache.RawClient) -> None:
        self.turn += 1
        keys = self.random.sample(self.keys, self.random.choice((1, 1, 5, 20)))
        started = time.monotonic()
        try:
            (self.write if self.random.random() < 0.4 else self.read)(client, keys)
        finally:
            self.late = max(self.late, time.monotonic() - started - TIMEOUT)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Alarm:
    """A signal whose handler raises, but only while it is armed."""

    def __init__(self) -> None:
        self._armed = False
        self._before = signal.signal(signal.SIGALRM, self._ring)

    def _ring(self, number: int, frame: object) -> None:
        if self._armed:
            self._armed = False
            raise Interrupted

    def arm(self, seconds: float) -> None:
        self._armed = True
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def disarm(self) -> None:
        self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def close(self) -> None:
        self.disarm()
        signal.signal(signal.SIGALRM, self._before)


def refused_in_a_child(client: memcache.RawClient) -> bool:
    child = fork()
    if child == 0:
        try:
            client.get("a")
        except memcache.ConnectionUnusableError:
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def soak(proxy: FaultProxy, work: Soak, operations: int) -> dict[str, int]:
    """Run operations, each broken client replaced; return how many broke in which way."""
    done = 0
    ends: dict[str, int] = {}
    alarm = Alarm()
    try:
        while done < operations:
            with dial(proxy, work.protocol, work.fault()) as client:
                if work.random.random() < 0.01:
                    assert refused_in_a_child(client)
                for _ in range(60):
                    done += 1
                    try:
                        try:
                            if work.random.random() < 0.02 and not IS_PYPY:
                                alarm.arm(work.random.random() * 0.001 + 0.00001)
                            work.step(client)
                        finally:  # here, for it must not ring in what follows
                            alarm.disarm()
                    except memcache.NotSupportedError as error:
                        # Cut between the version and the first byte of the next answer, as a
                        # proxy that knows no meta commands does.
                        if work.protocol != "meta" or "it closed the connection" not in str(error):
                            raise
                        break
                    except (memcache.NetworkError, memcache.ReplyError, Interrupted) as error:
                        name = type(error).__name__
                        ends[name] = ends.get(name, 0) + 1
                        if not isinstance(error, Interrupted):  # which may come a little late
                            assert not client.is_valid
                        break
    finally:
        alarm.close()
    return ends


def test_soak(proxy: FaultProxy, protocol: str) -> None:
    share = max(OPERATIONS // len(PROTOCOLS), 600)
    soak(proxy, Soak(protocol, 1), share // 10)
    gc.collect()
    files, memory = open_files(), resident()
    work = Soak(protocol, 2)
    ends = soak(proxy, work, share)
    gc.collect()
    wanted = {"ConnectionLostError", "DeadlineExceededError", "Interrupted", "ReplyError"}
    assert wanted - ({"Interrupted"} if IS_PYPY else set()) <= set(ends)
    assert work.late < GRACE
    until = time.monotonic() + 10  # for the proxy, which has its ends of the connections in here
    while open_files() > files and time.monotonic() < until:
        pass
    assert open_files() <= files
    if not IS_PYPY:  # which frees memory, and compiles, when it likes
        assert resident() - memory < 8 << 20


@pytest.mark.parametrize("kind", ["hang", "truncate", "reset", "garble", "duplicate"])
def test_every_fault_at_every_byte(proxy: FaultProxy, protocol: str, kind: str) -> None:
    with dial(proxy, protocol, Fault(), timeout=30.0) as client:
        assert client.set(Item("key", b"value")).ok
        length = 80  # more than the replies to the probe and the get in any protocol
    ends = []
    # Nobody waits for the rest of a connection that has ended; otherwise, long enough that a whole
    # reply comes in time on a busy machine.
    timeout = {"truncate": 30.0, "reset": 30.0, "garble": TIMEOUT}.get(kind, 5 * TIMEOUT)
    for after in range(0, length, 13 if kind == "hang" else 1):
        fault = Fault(kind, after)  # type: ignore[arg-type]
        with dial(proxy, protocol, fault, timeout) as client:
            try:
                response = client.get("key")
            except (memcache.NetworkError, memcache.ReplyError):
                assert not client.is_valid
                ends.append("broken")
                continue
            except memcache.NotSupportedError:
                # Cut between the version and the first byte of the next answer, as a proxy does.
                assert not client.is_valid
                assert protocol == "meta"
                ends.append("broken")
                continue
            if kind == "garble":  # of what a value holds, only its place can be known
                assert response.key == "key"
            else:
                assert response.value == b"value"
            ends.append("whole")
    assert "broken" in ends
    if kind != "garble":
        assert ends[-1] == "whole"
        # What comes after the fault's place is whole, all of it, or else the place was wrong.
        assert ends == sorted(ends)


def test_threads_sharing_a_client_take_turns(proxy: FaultProxy, protocol: str) -> None:
    client = dial(proxy, protocol, Fault("split"), timeout=30.0)
    wrong: list[object] = []

    def work(name: str) -> None:
        try:
            for turn in range(100):
                item = Item(f"{name}-{turn % 7}", value_of(name, turn))
                if not client.set(item).ok or client.get(item.key).value != item.value:
                    wrong.append(item)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(f"{protocol}-t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    assert wrong == []


def test_waiting_for_a_turn_counts_towards_the_deadline(proxy: FaultProxy, protocol: str) -> None:
    client = dial(proxy, protocol, Fault("hang"))
    spent: list[float] = []

    def work() -> None:
        started = time.monotonic()
        with pytest.raises((memcache.DeadlineExceededError, memcache.ConnectionUnusableError)):
            client.get("a")
        spent.append(time.monotonic() - started)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    assert len(spent) == 4
    assert max(spent) < TIMEOUT + GRACE


def test_a_signal_that_raises_in_mid_call(proxy: FaultProxy, protocol: str) -> None:
    def handler(number: int, frame: object) -> None:
        raise Interrupted

    client = dial(proxy, protocol, Fault("hang"), timeout=60.0)
    before = signal.signal(signal.SIGALRM, handler)
    try:
        started = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, TIMEOUT / 4)
        with pytest.raises(Interrupted):
            client.get("a")
        assert time.monotonic() - started < 30.0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not client.is_valid
    client.close()


def test_a_signal_that_does_not_raise_is_not_noticed(proxy: FaultProxy, protocol: str) -> None:
    counted: list[int] = []
    client = dial(proxy, protocol, Fault("split"), timeout=30.0)
    before = signal.signal(signal.SIGALRM, lambda number, frame: counted.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        for turn in range(200):
            item = Item(f"{protocol}-s", value_of("s", turn))
            assert client.set(item).ok
            assert client.get(item.key).value == item.value
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    client.close()
    assert counted


def test_after_a_fork_the_child_refuses(proxy: FaultProxy, protocol: str) -> None:
    client = dial(proxy, protocol, Fault(), timeout=30.0)
    key = f"{protocol}-fork"
    assert client.set(Item(key, b"1")).ok
    child = fork()
    if child == 0:
        status = 1
        try:
            client.get(key)
        except memcache.ConnectionUnusableError as error:
            status = 0 if "forked" in str(error) and not client.is_valid else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.get(key).value == b"1"
    client.close()


class Exploding:
    """A channel of which one call in a count raises what no handler of ours catches."""

    def __init__(self, fuse: int) -> None:
        self.fuse = fuse
        self.reply = b""

    def _burn(self) -> None:
        self.fuse -= 1
        if self.fuse == 0:
            raise Interrupted

    def sendall(self, data: object, /) -> None:
        self._burn()

    def recv_into(self, buffer: Any, /) -> int:
        self._burn()
        buffer[:1] = self.reply[:1]
        self.reply = self.reply[1:]
        return 1

    def settimeout(self, seconds: float | None, /) -> None:
        self._burn()

    def close(self) -> None:
        pass


def test_any_exception_of_any_kind_makes_the_client_invalid() -> None:
    reply = b"VALUE a 0 3 1\r\nabc\r\nEND\r\n"
    for fuse in range(1, 200):
        channel = Exploding(fuse)
        channel.reply = reply
        client = memcache.RawAsciiClient(channel, timeout=5.0)
        try:
            assert client.get("a").value == b"abc"
        except Interrupted:
            assert not client.is_valid
            continue
        assert client.is_valid
        break
    assert fuse > 2 * len(reply)


GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from godropbox import memcache

ticks = []

def tick():
    while True:
        gevent.sleep(0.001)
        ticks.append(1)

gevent.spawn(tick)
client = memcache.RawMetaClient(memcache.connect(sys.argv[1], timeout=5.0))
assert client.set(memcache.Item("gevent", b"1")).ok
assert client.get("gevent").value == b"1"
client.close()
# A server that accepts and never answers.
import socket
listener = socket.create_server(("127.0.0.1", 0))
client = memcache.RawMetaClient(
    memcache.connect("127.0.0.1:%d" % listener.getsockname()[1], timeout=5.0)
)
ticks.clear()
try:
    with gevent.Timeout(0.05):
        client.get("gevent")
except gevent.Timeout:
    assert not client.is_valid
    assert ticks, "the other greenlet did not run"
    print("as it should be")
"""


def test_gevent(servers: Callable[[str], Server]) -> None:
    import_module("gevent")  # where it is missing, this skips the test
    command = [sys.executable, "-c", GEVENT, servers("tcp").address]
    path = str(Path(godropbox.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": path}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout == "as it should be\n", ran.stderr


def test_bytes_that_nobody_asked_for(servers: Callable[[str], Server]) -> None:
    channel = memcache.connect(servers("tcp").address)
    channel.sendall(b"get nothing\r\n")
    assert channel.recv(100, 2) == b"END\r\n"  # 2: MSG_PEEK, so that it is there to be found
    client = memcache.RawAsciiClient(channel)
    with pytest.raises(memcache.ReplyError, match="bytes were waiting"):
        client.get("a")
    assert not client.is_valid
    client.close()


def test_a_server_that_went_away(servers: Callable[[str], Server]) -> None:
    channel = memcache.connect(servers("tcp").address)
    channel.shutdown(0)
    client = memcache.RawAsciiClient(channel)
    with pytest.raises(memcache.ConnectionLostError, match="closed"):
        client.get("a")
    assert not client.is_valid
    client.close()
