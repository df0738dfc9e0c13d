"""Eight memcached servers on loopback: a get of 100 keys and a set of 100, over all of them.

Right is what it is for one server, whichever server a client puts a key on: every key gets its own
value, and what was set is what plain connections read back.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from .cases_memcache import (
    FLOOR,
    OURS,
    Check,
    Maker,
    Way,
    items_of,
    right_mapping,
    right_sets,
    stored,
    unstored,
)
from .memcached import Plain, Plains, servers, set_request
from .model import Case, Faster, Group, Names, Row, Target, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]


def names_of(addresses: list[list[Any]]) -> list[str]:
    return [f"{host}:{port}" for host, port in addresses]


def values(addresses: list[list[Any]]) -> Mapping[str, Any]:
    """Return what ``Client`` does: values in and out, as the peers have it."""
    client = load("memcache", "native").Client(names_of(addresses))
    return {"get_many": client.get_many, "set_many": client.set_many, "close": client.close}


def ours(protocol: str, implementation: str) -> Way:
    def way(addresses: list[list[Any]]) -> Mapping[str, Any]:
        memcache = load("memcache", implementation)
        manager = memcache.StaticShardManager(names_of(addresses))
        client = memcache.ShardedClient(manager, getattr(memcache, f"{protocol}Protocol")())
        return {
            "get_many": client.get_multi,
            "found": lambda answers: {key: answers[key].value for key in answers},
            "set_many": client.set_multi,
            "batch": lambda items: [memcache.Item(key, value) for key, value in items.items()],
            "close": client.close,
        }

    return way


def pymemcache_way(addresses: list[list[Any]]) -> Mapping[str, Any]:
    from pymemcache.client.hash import HashClient

    servers = [(host, port) for host, port in addresses]
    client = HashClient(servers, no_delay=True, default_noreply=False)
    return {"get_many": client.get_many, "set_many": client.set_many, "close": client.close}


def pylibmc_way(addresses: list[list[Any]]) -> Mapping[str, Any]:
    client = import_module("pylibmc").Client(
        names_of(addresses), behaviors={"tcp_nodelay": True, "no_block": True}
    )
    return {
        "get_many": client.get_multi,
        "set_many": client.set_multi,
        "close": client.disconnect_all,
    }


def libmc_way(addresses: list[list[Any]]) -> Mapping[str, Any]:
    client = import_module("libmc").Client(names_of(addresses))
    return {"get_many": client.get_multi, "set_many": client.set_multi, "close": client.quit}


PEERS: tuple[tuple[str, str, Way], ...] = (
    ("pylibmc", "pylibmc", pylibmc_way),
    ("libmc", "libmc", libmc_way),
    ("pymemcache HashClient", "pymemcache", pymemcache_way),
)


def a_floor(case: str, reads: bool) -> Row:
    """Return the row of the plain sockets: send to each of eight, then read from each."""

    def make(addresses: list[list[Any]]) -> Names:
        items = items_of(case, FLOOR)
        plains = Plains(addresses)
        shares: list[dict[str, bytes]] = [{} for _ in addresses]
        for at, (key, value) in enumerate(items.items()):
            shares[at % len(shares)][key] = value
        asked: list[tuple[Plain, bytes, int]] = []
        for plain, share in zip(plains.each, shares, strict=True):
            plain.store(share)
            request = b"".join(set_request(*item) for item in share.items())
            end = b"STORED\r\n" * len(share)
            if reads:
                request, end = b"get %b\r\n" % " ".join(share).encode(), b"END\r\n"
            asked.append((plain, request, len(plain.talk(request, end))))
        names = {"ask_all": plains.ask_all, "asked": asked, "plains": plains, "reads": reads}
        return names | {"items": items, "close": plains.close}

    return Row(FLOOR, "ask_all(asked)", make, kind="floor", check=right_bytes)


def right_bytes(result: Any, names: Names) -> None:
    """Hold the floor to the sizes of the replies, and the replies or the servers to all values."""
    asked: list[tuple[Plain, bytes, int]] = names["asked"]
    if result != [size for _, _, size in asked]:
        raise WrongError("more or less came than the replies")
    received = b"".join(plain.received(size) for plain, _, size in asked)
    if names["reads"] and not all(value in received for value in names["items"].values()):
        raise WrongError("a value is missing")
    if names["plains"].read(names["items"]) != names["items"]:
        raise WrongError("the servers do not hold the values")


def rows(
    case: str, to_maker: Callable[..., Maker], call: str, check: Check, target: Target
) -> Iterator[Row]:
    """Yield ours and the peers'; the target is on values, and on answers in ASCII."""
    label = "Client"
    maker = to_maker(case, label, values, Plains)
    yield Row(label, call, maker, kind="native", check=check, target=target)
    for protocol, words in (("Ascii", "ASCII"), ("Binary", "binary"), ("Meta", "meta")):
        label = f"native, {words}"
        maker = to_maker(case, label, ours(protocol, "native"), Plains)
        aim = target if label == OURS else None
        yield Row(label, call, maker, kind="native", check=check, target=aim)
    maker = to_maker(case, "pure, ASCII", ours("Ascii", "pure"), Plains)
    yield Row("pure, ASCII", call, maker, kind="pure", check=check, env=PURE)
    for label, peer, way in PEERS:
        yield Row(label, call, to_maker(case, label, way, Plains), check=check, peer=peer)


def cases(where: str) -> tuple[Case, ...]:
    """Return the get and the set, named for `where` the servers are."""
    gets, sets = f"get of 100 keys, 8 servers{where}", f"set of 100 keys, 8 servers{where}"
    read = rows(gets, stored, "get_many(keys)", right_mapping, Faster(1.5, "pylibmc"))
    written = rows(sets, unstored, "set_many(given)", right_sets, Faster(1.5, "libmc"))
    return (
        Case(gets, (a_floor(gets, True), *read), floor=FLOOR, ours=OURS),
        Case(sets, (a_floor(sets, False), *written), floor=FLOOR, ours=OURS, about="each answered"),
    )


ABOUT = (
    "Values of 100 bytes, keys of 14, eight memcached servers of one thread on loopback. Each "
    "client shares keys out as it does by default. The raw sockets, eight plain Python sockets, "
    "send ASCII requests made before to all, then receive from each and count the bytes, without "
    "a look at them. Client takes and gives values, as the peers do; the others take items, and "
    "give an answer a key. Each target is on the faster of pylibmc and libmc. "
)

GROUPS = (
    Group(
        "sharded",
        "Eight servers, on one core with their clients",
        ABOUT + "On one core with the clients, so that what a client does adds to the time whole.",
        "call",
        cases(""),
        resource=partial(servers, 8),
    ),
    Group(
        "sharded-processor",
        "Eight servers, the client's processor time",
        ABOUT + "The time is the processor's that the client's own process takes, in its code and "
        "in the kernel: what a caller pays where the servers are other machines.",
        "call",
        cases(", processor time"),
        resource=partial(servers, 8),
        clock="process_time",
    ),
    Group(
        "sharded-apart",
        "Eight servers, on a core of their own",
        ABOUT + "On another core than the clients: to send to eight sleeping servers is to wake "
        "that core, which in a virtual machine takes longer than all that a client does.",
        "call",
        cases(", cores apart"),
        resource=partial(servers, 8, apart=True),
    ),
)
