"""Cost against size: a get of 1 to 100,000 keys, and a get of 100 keys over 1 to 100 servers.

Right is what it is elsewhere: every key gets its own value. All rows of the first group read the
same items, which a plain connection has stored; in the second each row has keys of its own.
"""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from . import cases_sharded
from .cases_client import client_way
from .cases_memcache import FLOOR, libmc_way, pylibmc_way, pymemcache_way, right_mapping, stored
from .cases_sharded import a_floor, names_of
from .memcached import Plains, a_server, servers, set_request
from .model import Case, Group, Names, Row, WrongError
from .ours import PURE, load

__all__ = ["GROUPS", "KEYS", "SERVERS"]

KEYS = (1, 10, 100, 1_000, 10_000, 100_000)
SERVERS = (1, 2, 5, 10, 20, 50, 100)
OURS = "Client"
A_REQUEST = 500  # keys in one request of the floor; memcached may refuse a line of 16 KiB


def items_of(count: int) -> dict[str, bytes]:
    """Return the first so many of the items."""
    return {f"scale-{at:08}": f"scale {at} ".encode().ljust(100, b".") for at in range(count)}


@contextmanager
def a_full_server() -> Iterator[list[Any]]:
    """Run a memcached that holds all items; give its host and port."""
    with a_server() as address:
        items = list(items_of(KEYS[-1]).items())
        with socket.create_connection((address[0], address[1]), 10) as connection:
            for at in range(0, len(items), A_REQUEST):
                part = items[at : at + A_REQUEST]
                connection.sendall(b"".join(set_request(*item) for item in part))
                left = len(b"STORED\r\n") * len(part)
                while left:
                    left -= len(connection.recv(left)) or left
        yield address


class Counting:
    """A plain socket that asks for all keys and counts the bytes that come, without a look."""

    def __init__(self, address: list[Any], keys: list[str]) -> None:
        self._socket = socket.create_connection((address[0], address[1]), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(None)
        self._room = bytearray(1 << 18)
        self.close = self._socket.close
        values = items_of(len(keys))
        self._asked = []
        for at in range(0, len(keys), A_REQUEST):
            part = keys[at : at + A_REQUEST]
            reply = [b"VALUE %b 0 100\r\n%b\r\n" % (key.encode(), values[key]) for key in part]
            size = sum(map(len, reply)) + len(b"END\r\n")
            self._asked.append((b"get %b\r\n" % " ".join(part).encode(), size))
        self.total = sum(size for _, size in self._asked)

    def ask(self) -> int:
        """Return how many bytes came."""
        total = 0
        for request, size in self._asked:
            self._socket.sendall(request)
            got = 0
            while got < size:
                got += self._socket.recv_into(self._room) or self._ended()
            total += got
        return total

    def _ended(self) -> int:
        raise ConnectionError("memcached closed the connection")


def right_count(result: int, names: Names) -> None:
    if result != names["total"]:
        raise WrongError("more or less came than the replies")


def floor_names(keys: int, address: list[Any]) -> Names:
    counting = Counting(address, list(items_of(keys)))
    return {"ask": counting.ask, "total": counting.total, "count": keys, "close": counting.close}


def reading_names(keys: int, way: Any, address: list[Any]) -> Names:
    items = items_of(keys)
    names = {"found": dict, **way(address)}
    return names | {"keys": list(items), "items": items, "count": keys}


# The label of a row, its peer, how its client is made.
READERS = (
    ("pylibmc", "pylibmc", pylibmc_way),
    ("libmc", "libmc", libmc_way),
    ("pymemcache", "pymemcache", pymemcache_way),
)


def keys_case(keys: int) -> Case:
    """Return the case of a call for so many keys."""

    def row(label: str, way: Any, **more: Any) -> Row:
        make = partial(reading_names, keys, way)
        check = right_mapping
        return Row(label, "get_many(keys)", make, operations="count", check=check, **more)

    floor = partial(floor_names, keys)
    rows = (
        Row(FLOOR, "ask()", floor, operations="count", kind="floor", check=right_count),
        row(OURS, client_way("auto", "native"), kind="native"),
        row("Client, pure", client_way("auto", "pure"), kind="pure", env=PURE),
        *(row(label, way, peer=peer) for label, peer, way in READERS),
    )
    return Case(f"{keys:,} key{'s' * (keys > 1)}", rows, floor=FLOOR, ours=OURS)


def pure_values(addresses: list[list[Any]]) -> Mapping[str, Any]:
    client = load("memcache", "pure").Client(names_of(addresses))
    return {"get_many": client.get_many, "set_many": client.set_many, "close": client.close}


def servers_case(count: int) -> Case:
    """Return the case of a call for 100 keys over so many servers."""
    name = f"{count} server{'s' * (count > 1)}"

    def first(make: Any, addresses: list[list[Any]]) -> Names:
        names: Names = make(addresses[:count])
        return names

    def row(label: str, way: Any, **more: Any) -> Row:
        make = partial(first, stored(name, label, way, Plains))
        return Row(label, "get_many(keys)", make, check=right_mapping, **more)

    floor = a_floor(name, True)
    rows = (
        Row(
            floor.label,
            floor.expression,
            partial(first, floor.make),
            kind=floor.kind,
            check=floor.check,
        ),
        row(OURS, cases_sharded.values, kind="native"),
        row("Client, pure", pure_values, kind="pure", env=PURE),
        *(row(label, way, peer=peer) for label, peer, way in cases_sharded.PEERS),
    )
    return Case(name, rows, floor=FLOOR, ours=OURS)


GROUPS = (
    Group(
        "scale-keys",
        "Cost against the number of keys",
        "One call for 1 to 100,000 keys; values of 100 bytes, keys of 14, one memcached with one "
        "thread on loopback, on one core with the clients. The time is the processor's that the "
        "client's own process takes, in its code and in the kernel. The raw socket sends requests "
        "made before, for 500 keys each, and counts the bytes of the replies.",
        "key",
        tuple(map(keys_case, KEYS)),
        resource=a_full_server,
        clock="process_time",
        share=0.4,
    ),
    Group(
        "scale-servers",
        "Cost against the number of servers",
        "One call for 100 keys over 1 to 100 memcached servers with one thread each on loopback, "
        "on one core with the clients. The time is the processor's that the client's own process "
        "takes. The raw sockets send requests made before to all servers, then receive from each.",
        "call",
        tuple(map(servers_case, SERVERS)),
        resource=partial(servers, SERVERS[-1]),
        clock="process_time",
        share=0.4,
    ),
)
