"""``Client`` over one memcached: a get, a get of 100 keys and a set of 100, against the floor.

The floor, the keys, the peers and what is right are those of ``cases_memcache``. A ``Client`` takes
and gives values as the peers do, and keeps a pool and a fleet of servers, here of one; the raw
client, which does neither, shows what that costs. Each row has keys of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .cases_memcache import (
    END,
    FLOOR,
    PEERS,
    Check,
    Maker,
    Way,
    a_floor,
    ours,
    right_mapping,
    right_sets,
    right_values,
    stored,
    unstored,
)
from .memcached import a_server, set_request
from .model import AtMost, Case, Group, Names, Row, Target, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

OURS = "Client, ASCII"
RAW = "raw client, ASCII"
RACED = ("pylibmc", "libmc", "pymemcache")
ONE, MANY, STORES = "Client: get", "Client: get of 100 keys", "Client: set of 100 keys"


def client_way(protocol: str, implementation: str, hooked: bool = False) -> Way:
    """Return how a ``Client`` is made for a row, with a hook that does nothing or without."""

    def way(address: list[Any]) -> Mapping[str, Any]:
        memcache = load("memcache", implementation)
        hooks = (lambda event: None,) if hooked else ()
        client = memcache.Client(
            f"{address[0]}:{address[1]}", protocol=protocol, timeout=10.0, hooks=hooks
        )
        return {
            "get": client.get,
            "get_many": client.get_many,
            "set_many": client.set_many,
            "close": client.close,
        }

    return way


def right_batch(result: Any, names: Names) -> None:
    """Hold a set of a ``Client`` or a peer to what is stored, and to no key having failed."""
    right_sets(result, names)
    if result not in ([], True, None):
        raise WrongError(f"keys were reported as failed: {result!r}")


def rows(
    case: str,
    to_maker: Callable[[str, str, Way], Maker],
    call: str,
    check: Check,
    target: Target | None,
    loop: str = "",
) -> Iterator[Row]:
    """Yield the rows of a case but for its floor; the target is on the client in ASCII."""
    operations = "len(keys)" if loop else "1"
    common: dict[str, Any] = {"loop": loop, "operations": operations, "check": check}
    for protocol, words in (("ascii", "ASCII"), ("binary", "binary"), ("meta", "meta")):
        label = f"Client, {words}"
        more = common | {"target": target if label == OURS else None}
        way = client_way(protocol, "native")
        yield Row(label, call, to_maker(case, label, way), kind="native", **more)
    label = f"{OURS}, a hook"
    way = client_way("ascii", "native", hooked=True)
    yield Row(label, call, to_maker(case, label, way), kind="native", **common)
    label = f"{OURS}, pure"
    way = client_way("ascii", "pure")
    yield Row(label, call, to_maker(case, label, way), kind="pure", env=PURE, **common)
    for label, peer, way in PEERS:
        if label in RACED:
            yield Row(label, call, to_maker(case, label, way), peer=peer, **common)


def raw(case: str, to_maker: Callable[[str, str, Way], Maker], call: str, **more: Any) -> Row:
    """Return the row of the raw client, whose answers are objects."""
    maker = to_maker(case, RAW, ours("Ascii", "native"))
    return Row(RAW, call, maker, kind="native", **more)


KEYS = {"loop": "key in keys", "operations": "len(keys)"}

GET = Case(
    ONE,
    (
        a_floor(ONE, lambda items: [b"get %b\r\n" % key.encode() for key in items], END),
        raw(ONE, stored, "get(key).value", check=right_values, **KEYS),
        *rows(ONE, stored, "get(key)", right_values, AtMost(1.15, FLOOR), KEYS["loop"]),
    ),
    floor=FLOOR,
    ours=OURS,
)

GET_MANY = Case(
    MANY,
    (
        a_floor(MANY, lambda items: [b"get %b\r\n" % " ".join(items).encode()], END),
        raw(MANY, stored, "get_many(keys)", check=right_mapping),
        *rows(MANY, stored, "get_many(keys)", right_mapping, AtMost(1.6, FLOOR)),
    ),
    floor=FLOOR,
    ours=OURS,
)

SET_MANY = Case(
    STORES,
    (
        a_floor(
            STORES,
            lambda items: [b"".join(set_request(*item) for item in items.items())],
            b"STORED\r\n" * 100,
            reads=False,
        ),
        raw(STORES, unstored, "set_many(batch(items))", check=right_sets),
        *rows(STORES, unstored, "set_many(given)", right_batch, None),
    ),
    floor=FLOOR,
    ours=OURS,
    about="of a dict",
)

GROUPS = (
    Group(
        "client",
        "The client, one server",
        "Values of 100 bytes, keys of 14, one memcached with one thread on loopback, on one core "
        "with the clients. The raw socket is a plain Python socket that sends ASCII requests made "
        "before and counts the bytes of the reply. A Client goes over a fleet of one server and "
        "its pool of connections, and gives values; the raw client is one connection alone.",
        "call",
        (GET, GET_MANY, SET_MANY),
        resource=a_server,
    ),
)
