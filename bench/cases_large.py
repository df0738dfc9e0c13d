"""Batches of 100,000 keys: against calls of fewer, and how late another client is meanwhile.

Run as a script, it gets the keys of a server again and again.
"""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:  # last, so that an installed package comes before the one in the tree
    sys.path.append(str(Path(__file__).resolve().parent.parent))
    __package__ = "bench"

from bench.memcached import Plain, a_server
from bench.model import RESULT, AtMost, Case, Group, Names, Row, Within, WrongError
from bench.ours import load

__all__ = ["GROUPS"]

COUNT = 100_000
SOME = 256
VALUE = b"0123456789"
CHUNKS = f"calls of {SOME} keys"
OURS = "Client, one call"
LINE = "one line"
PROBES = 0.2  # seconds


def keys_of(count: int) -> list[str]:
    """Return the keys, which all rows share."""
    return [f"large:{at:08}" for at in range(count)]


def make(address: list[Any]) -> Names:
    """Return a client, and what it is to get and to set."""
    client = load("memcache", "native").Client(f"{address[0]}:{address[1]}", timeout=60.0)
    items = dict.fromkeys(keys_of(COUNT), VALUE)
    keys = list(items)
    if client.set_many(items):
        raise WrongError("some keys were not stored")

    def in_chunks() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for at in range(0, COUNT, SOME):
            found |= client.get_many(keys[at : at + SOME])
        return found

    def set_in_chunks() -> list[Any]:
        failed = []
        for at in range(0, COUNT, SOME):
            failed += client.set_many({key: items[key] for key in keys[at : at + SOME]})
        return failed

    names = {"client": client, "keys": keys, "items": items, "close": client.close}
    return names | {"in_chunks": in_chunks, "set_in_chunks": set_in_chunks}


def right_values(result: Any, names: Names) -> None:
    """Hold a get to all values."""
    if result != names["items"]:
        raise WrongError("the values are not what was stored")


def right_sets(result: Any, names: Names) -> None:
    """Hold a set to no key having failed, and to what is there."""
    if result != [] or names["client"].get_many(names["keys"]) != names["items"]:
        raise WrongError("the server does not hold the values")


def case(name: str, expression: str, chunked: str, check: Callable[[Any, Names], None]) -> Case:
    """Return one call of all keys against many of some."""
    count: dict[str, Any] = {"operations": str(COUNT), "check": check, "kind": "native"}
    return Case(
        name,
        (
            Row(CHUNKS, chunked, make, **(count | {"kind": "floor"})),
            Row(OURS, expression, make, target=AtMost(1.3, CHUNKS), **count),
        ),
        floor=CHUNKS,
        ours=OURS,
        base=True,
    )


def lateness(kind: str) -> Callable[[list[Any]], Names]:
    """Return the maker of a row: another process gets all keys, in a way, while we get one."""

    def made(address: list[Any]) -> Names:
        make(address)["close"]()
        plain = Plain(address)
        request = b"get large:00000000\r\n"
        size = len(plain.talk(request, b"END\r\n"))
        command = [sys.executable, "-P", __file__, *map(str, address), kind]
        other = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert other.stdout is not None
        other.stdout.readline()  # it has all it needs
        other.send_signal(signal.SIGSTOP)

        def probe() -> float:
            took = []
            other.send_signal(signal.SIGCONT)
            until = time.perf_counter() + PROBES
            while (began := time.perf_counter()) < until:
                plain.ask(request, size)
                took.append(time.perf_counter() - began)
                time.sleep(0.001)
            other.send_signal(signal.SIGSTOP)  # or the rows would meet
            return sorted(took)[len(took) // 2]

        def close() -> None:
            other.kill()
            other.communicate()
            plain.close()

        return {"probe": probe, "close": close}

    return made


GET = case("get of 100,000 keys", "client.get_many(keys)", "in_chunks()", right_values)
SET = case("set of 100,000 keys", "client.set_many(items)", "set_in_chunks()", right_sets)
LATE = Case(
    "a get of one key meanwhile",
    (
        Row(LINE, "probe()", lateness(LINE), kind="floor"),
        Row(
            OURS,
            "probe()",
            lateness(OURS),
            kind="native",
            target=Within(0.005, "another client, in the median"),
        ),
    ),
    floor=LINE,
    ours=OURS,
    base=True,
)

GROUPS = (
    Group(
        "large",
        "Batches of 100,000 keys",
        "Values of 10 bytes, keys of 14, one memcached with one thread on loopback, on one core "
        "with the client: the time is the processor time of both.",
        "key",
        (GET, SET),
        resource=a_server,
        share=0.3,
    ),
    Group(
        "large-lateness",
        "Another client, while one gets 100,000 keys",
        "The median of what a get of one key takes, over a plain socket, while another process "
        "gets 100,000 keys from the same memcached, which has one thread, again and again.",
        "get, median",
        (LATE,),
        resource=partial(a_server, apart=True),
        clock=RESULT,
        share=0.3,
    ),
)


def get_again_and_again(address: list[Any], kind: str) -> None:
    """Get all keys, until the process is killed."""
    keys = keys_of(COUNT)
    if kind == LINE:
        line = f"get {' '.join(keys)}\r\n".encode()
        channel = socket.create_connection((address[0], address[1]))
        room = bytearray(1 << 18)

        def get() -> None:
            channel.sendall(line)
            end = b""
            while not end.endswith(b"END\r\n"):
                size = channel.recv_into(room)
                end = (end + bytes(room[:size]))[-5:]

    else:
        client = load("memcache", "native").Client(f"{address[0]}:{address[1]}", timeout=60.0)

        def get() -> None:
            client.get_many(keys)

    get()
    print("ready", flush=True)
    while True:
        get()


if __name__ == "__main__":
    get_again_and_again([sys.argv[1], int(sys.argv[2])], sys.argv[3])
