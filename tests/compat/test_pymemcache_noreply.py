"""Writes with noreply, of pymemcache's face: they do not wait, and no reply goes astray."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from compat.pymemcache_support import Canned, place
from support.memcached import Server, running

from godropbox.compat import pymemcache as ours

VALUE = b"x" * 100


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("tcp", tmp_path_factory.mktemp("tcp")) as started:
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[ours.Client]:
    client = ours.Client(place(server.address), timeout=10)
    client.flush_all(noreply=False)
    yield client
    client.close()


def test_the_word_is_not_sent_and_the_reply_is_read_before_the_next(server: Server) -> None:
    client = ours.Client(place(server.address))
    client.sock = canned = Canned(b"STORED\r\nDELE", b"TED\r\n", b"END\r\n")
    assert client.set("k", b"v") is True
    assert client.delete("k") is True
    assert len(canned.replies) == 3  # nothing was waited for
    assert client.get("k") is None
    assert canned.replies == []
    assert canned.sent == [b"set k 0 0 1\r\nv\r\n", b"delete k\r\n", b"get k\r\n"]
    client.close()


REFUSED = [b"ERROR\r\n", b"CLIENT_ERROR bad data chunk\r\n", b"SERVER_ERROR out of memory\r\n"]


@pytest.mark.parametrize("refusal", REFUSED)
def test_a_refusal_is_not_taken_for_the_next_answer(
    server: Server, refusal: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    client = ours.Client(place(server.address))
    client.set("k", b"there", noreply=False)
    client.close()
    client.sock = canned = Canned(refusal, b"VALUE k 0 6\r\ncanned\r\nEND\r\n")
    with caplog.at_level(logging.WARNING, "godropbox.compat.pymemcache"):
        assert client.set("k", b"v") is True
        found = client.get("k")
    # What may have been taken for commands ends the connection; the next one is to the server.
    assert found == (b"canned" if refusal.startswith(b"SERVER") else b"there")
    assert canned.is_closed is (found == b"there")
    assert refusal.strip().decode() in caplog.text
    client.close()


def test_replies_that_nobody_sent_for_end_the_connection(server: Server) -> None:
    client = ours.Client(place(server.address))
    client.set("k", b"there", noreply=False)
    client.close()
    for reply in (b"STORED\r\nSTORED\r\n", b"nonsense\r\n", b""):
        client.sock = canned = Canned(reply, b"VALUE k 0 6\r\ncanned\r\nEND\r\n")
        client.set("k", b"v")
        assert client.get("k") == b"there"
        assert canned.is_closed
        client.close()


def test_every_call_sees_what_was_sent_before_it(client: ours.Client) -> None:
    client.set("k", b"0", noreply=False)
    for at in range(300):
        client.set("k", b"%d" % at)
        assert client.get("k") == b"%d" % at
        client.incr("k", 1, noreply=True)
        assert client.incr("k", 1) == at + 2
    client.append("k", b"!")
    client.prepend("k", b"?")
    assert client.gets("k")[0] == b"?301!"
    client.touch("k", 100)
    client.cas("k", b"no", b"1", noreply=True)
    client.delete("k")
    assert client.get_many(["k"]) == {}


def test_many_in_a_row(client: ours.Client) -> None:
    client.set("n", b"0", noreply=False)
    for _ in range(3000):
        client.incr("n", 1, noreply=True)
    assert client.get("n") == b"3000"


def test_a_failed_write_with_noreply_is_told_of_in_the_log(
    client: ours.Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.set("text", b"text", noreply=False)
    client.set("text", b"text")
    assert client.incr("text", 1, noreply=True) is None
    with caplog.at_level(logging.WARNING, "godropbox.compat.pymemcache"):
        assert client.get("text") == b"text"
    assert "cannot increment or decrement non-numeric value" in caplog.text


def test_what_is_large_waits(client: ours.Client) -> None:
    assert client.set("k", b"x" * 500_000) is True
    assert client.get("k") == b"x" * 500_000
    assert client.set("k", b"x" * (1 << 21)) is True  # which the server refuses
    assert client.get("k") is None
    assert client.set_many({f"k{at}": VALUE for at in range(500)}) == []
    assert len(client.get_many([f"k{at}" for at in range(500)])) == 500
    assert client.delete_many([f"k{at}" for at in range(500)]) is True


def test_threads_see_what_they_sent(client: ours.Client) -> None:
    client.set("n", b"0", noreply=False)
    wrong: list[Any] = []

    def work(number: int) -> None:
        for at in range(200):
            client.set(f"t{number}", b"%d" % at)
            client.incr("n", 1, noreply=True)
            if at % 3 == 0 and client.get(f"t{number}") != b"%d" % at:
                wrong.append((number, at))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert client.get("n") == b"1200"


def test_it_fits_a_pool_of_one(server: Server) -> None:
    client = ours.PooledClient(place(server.address), max_pool_size=1)
    for at in range(5):
        client.set("k", b"%d" % at)
        client.set("k", b"%d" % at)
        assert client.get("k") == b"%d" % at
    client.close()


def test_a_server_that_was_restarted(
    tmp_path: Any, unused: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What was sent is lost with the server, and the log says so; the client goes on."""
    with running("tcp", tmp_path, unused) as server:
        client = ours.Client(place(server.address), timeout=10)
        client.set("k", b"v", noreply=False)
        client.set("k", b"v")
    with running("tcp", tmp_path, unused):
        with caplog.at_level(logging.WARNING, "godropbox.compat.pymemcache"):
            assert client.get("k") in (None, b"v")
        client.set("k", b"again", noreply=False)
        client.set("k", b"more")
        assert client.get("k") == b"more"
        client.close()


@pytest.fixture
def unused() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_an_idle_connection_that_was_closed_is_not_sent_to(tmp_path: Any, unused: int) -> None:
    with running("tcp", tmp_path, unused) as server:
        client = ours.Client(place(server.address), timeout=10)
        client.set("k", b"v", noreply=False)
    with running("tcp", tmp_path, unused):
        assert client.set("k", b"after") is True
        assert client.get("k") == b"after"
        client.close()


def test_a_server_that_reads_nothing_is_too_late(server: Server) -> None:
    import socket

    left, right = socket.socketpair()
    client = ours.Client(place(server.address), timeout=0.05)

    class Stuffed(Canned):
        def sendall(self, data: Any) -> None:
            left.sendall(data)

        def settimeout(self, seconds: float | None) -> None:
            left.settimeout(seconds)

    client.sock = stuffed = Stuffed()

    def fill() -> None:
        for _ in range(1000):
            client.set("k", b"x" * 16000)

    with pytest.raises(TimeoutError):
        fill()
    assert stuffed.is_closed
    left.close()
    right.close()
    client.close()


def test_a_signal_handler_in_the_middle_of_a_write(server: Server) -> None:
    client = ours.Client(place(server.address), timeout=10)
    client.set("k", b"there", noreply=False)
    client.close()
    seen: list[Any] = []

    class Interrupted(Canned):
        def sendall(self, data: Any) -> None:
            super().sendall(data)
            seen.append(client.set("inner", b"v"))
            seen.append(client.get("k"))  # over another connection, of the server

    client.sock = Interrupted(b"STORED\r\n")
    assert client.set("outer", b"v") is True
    assert seen == [True, b"there"]
    client.close()
    assert client.get("inner") == b"v"
    client.close()


def test_what_is_owed_is_read_before_the_connection_is_closed(server: Server) -> None:
    client = ours.Client(place(server.address))
    client.sock = canned = Canned(b"STORED\r\nDELE", b"TED\r\n")
    client.set("k", b"v")
    client.delete("k")
    client.close()
    assert canned.replies == []
    assert canned.is_closed


def test_a_close_with_replies_that_are_lost_is_told_of(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    client = ours.Client(place(server.address))
    client.sock = canned = Canned()
    client.set("k", b"v")
    with caplog.at_level(logging.WARNING, "godropbox.compat.pymemcache"):
        client.close()
    assert canned.is_closed
    assert "replies to 1 writes sent with noreply were lost: timed out" in caplog.text


WORKER = """
import multiprocessing, sys
from compat.pymemcache_support import Canned
from godropbox.compat import pymemcache as ours

class Said(Canned):
    def recv(self, size):
        print("read", flush=True)
        return b"STORED\\r\\n"
    def close(self):
        print("closed", flush=True)

client = ours.Client(("127.0.0.1", 1))
client.sock = Said()

def work():
    client.set("k", b"v")

if sys.argv[1] == "self":
    work()
else:
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()
"""


@pytest.mark.parametrize("who", ["self", "worker"])
def test_what_is_owed_is_read_before_the_process_ends(who: str) -> None:
    if who == "worker" and sys.platform == "win32":
        pytest.skip("no fork on Windows")
    command = [sys.executable, "-c", WORKER, who]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == ["read", "closed"]
    assert done.stderr == ""
