"""One memcached, one key a call: the processor time that each operation costs the client.

Every turn of a row does the same work. What succeeds only once, an add or a delete of a key, is
measured as a pair that leaves the server as it was, and the refusal of each as a case of its own.
Right are the answer of every call and what a plain connection reads back.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from .cases_memcache import items_of, python_memcached_module
from .memcached import Plain, a_server, set_request
from .model import AtMost, Case, Group, Names, Row, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

FLOOR = "raw socket"
OURS = "Client"
START = 5 * 10**15  # of counters: as many digits after every turn
LIFE = 1000  # seconds, for touch

Way = Callable[[list[Any]], Mapping[str, Any]]
Check = Callable[[list[Any], Names], None]


@dataclass(frozen=True, slots=True)
class Work:
    """A case: `call` is what is timed for each key, and `requests` what the floor sends for it.

    `before` is what the server holds under a key before, or None; with `own` the row's client sets
    the value as well. `replies` are patterns of what the requests are answered. `calls` are the
    expressions of the rows that say it otherwise, by label; None where a client has no such call.
    """

    name: str
    call: str
    requests: Callable[[bytes, bytes], tuple[bytes, ...]]
    replies: tuple[bytes, ...]
    check: Check
    before: Callable[[bytes], bytes | None] = bytes
    own: bool = False
    calls: Mapping[str, str | None] = field(default_factory=dict)


def ours(protocol: str, implementation: str) -> Way:
    def way(address: list[Any]) -> Mapping[str, Any]:
        memcache = load("memcache", implementation)
        server = f"{address[0]}:{address[1]}"
        return calls_of(memcache.Client(server, protocol=protocol, timeout=10.0))

    return way


def pymemcache_way(address: list[Any]) -> Mapping[str, Any]:
    from pymemcache.client.base import Client

    return calls_of(Client((address[0], address[1]), no_delay=True, default_noreply=False))


def pylibmc_way(address: list[Any]) -> Mapping[str, Any]:
    pylibmc = import_module("pylibmc")
    behaviors = {"tcp_nodelay": True, "cas": True}
    client = pylibmc.Client([f"{address[0]}:{address[1]}"], behaviors=behaviors)
    return calls_of(client, close="disconnect_all")


def libmc_way(address: list[Any]) -> Mapping[str, Any]:
    return calls_of(import_module("libmc").Client([f"{address[0]}:{address[1]}"]), close="quit")


def python_memcached_way(address: list[Any]) -> Mapping[str, Any]:
    client = python_memcached_module().Client([f"{address[0]}:{address[1]}"], cache_cas=True)
    return calls_of(client, close="disconnect_all")


CALLS = ("get", "set", "add", "replace", "delete", "incr", "decr", "touch", "gets", "cas")


def calls_of(client: Any, close: str = "close") -> Mapping[str, Any]:
    """Return the calls of a client by name."""
    return {name: getattr(client, name) for name in CALLS} | {"close": getattr(client, close)}


ROWS: tuple[tuple[str, str, str, Way], ...] = (
    (OURS, "native", "", ours("meta", "native")),
    ("Client, ASCII", "native", "", ours("ascii", "native")),
    ("Client, pure", "pure", "", ours("meta", "pure")),
    ("pylibmc", "peer", "pylibmc", pylibmc_way),
    ("libmc", "peer", "libmc", libmc_way),
    ("pymemcache", "peer", "pymemcache", pymemcache_way),
    ("python-memcached", "peer", "python-memcached", python_memcached_way),
)


def prepared(work: Work, label: str, plain: Plain) -> dict[str, bytes]:
    """Put what is to be there on the server, and return the keys and values of the row."""
    items = items_of(work.name, label)
    before = {key: work.before(value) for key, value in items.items()}
    plain.delete(items)
    plain.store({key: value for key, value in before.items() if value is not None})
    return items


def maker(work: Work, label: str, way: Way) -> Callable[[list[Any]], Names]:
    """Return the maker of a client's row."""

    def make(address: list[Any]) -> Names:
        names = dict(way(address))
        witness = Plain(address)
        items = prepared(work, label, witness)
        if work.own:
            for key, value in items.items():
                names["set"](key, value)
        close_client = names["close"]

        def close() -> None:
            witness.close()
            close_client()

        given = {"items": items, "pairs": list(items.items()), "witness": witness, "close": close}
        return names | given

    return make


def floor(work: Work) -> Row:
    """Return the row of a plain socket: requests made before, replies counted and not parsed."""
    count = len(work.replies)

    def make(address: list[Any]) -> Names:
        plain = Plain(address)
        items = prepared(work, FLOOR, plain)
        asked = []
        for key, value in items.items():
            for request, reply in zip(
                work.requests(key.encode(), value), work.replies, strict=True
            ):
                said = plain.talk(request, b"\r\n")
                if not re.fullmatch(reply, said, re.DOTALL):
                    raise WrongError(f"{request!r} was answered {said!r}")
                asked.append((request, len(said), reply))
        sizes = [(request, size) for request, size, _ in asked]
        return {
            "ask": plain.ask,
            "asked": sizes,
            "full": asked,
            "plain": plain,
            "close": plain.close,
        }

    def check(result: list[Any], names: Names) -> None:
        plain: Plain = names["plain"]
        for request, size, reply in names["full"]:
            plain.ask(request, size)
            if not re.fullmatch(reply, plain.received(size), re.DOTALL):
                raise WrongError(f"{request!r} was answered {plain.received(size)!r}")
        if result != [size for _, size in names["asked"]]:
            raise WrongError("more or less came than the replies")

    return Row(
        FLOOR,
        "ask(request, size)",
        make,
        loop="request, size in asked",
        operations=f"len(asked) // {count}",
        kind="floor",
        check=check,
    )


def rows(work: Work) -> Iterator[Row]:
    """Yield the floor, ours and the peers'."""
    yield floor(work)
    for label, kind, peer, way in ROWS:
        call = work.calls.get(label, work.call)
        if call is not None:
            yield Row(
                label,
                call,
                maker(work, label, way),
                loop="key, value in pairs",
                operations="len(pairs)",
                check=work.check,
                kind=kind,
                peer=peer,
                target=(AtMost(1.0, "pylibmc"), AtMost(1.1, FLOOR)) if label == OURS else None,
                env=PURE if kind == "pure" else {},
            )


def answered(result: list[Any], answer: bool) -> None:
    if not all(bool(each) is answer for each in result):
        raise WrongError(f"the answers are {set(result)!r}, not all {answer}")


def held(names: Names, expected: Mapping[str, bytes]) -> None:
    """Hold the server to what it is to have under the row's keys."""
    if names["witness"].read(names["items"]) != expected:
        raise WrongError("the server does not hold what it should")


def found(result: list[Any], names: Names) -> None:
    if result != list(names["items"].values()):
        raise WrongError("a value differs from what was stored")


def stored(result: list[Any], names: Names) -> None:
    answered(result, True)
    held(names, names["items"])


def refused(result: list[Any], names: Names) -> None:
    answered(result, False)
    held(names, {key: older(value) for key, value in names["items"].items()})


def gone(result: list[Any], names: Names) -> None:
    answered(result, True)
    held(names, {})


def missing(result: list[Any], names: Names) -> None:
    answered(result, False)
    held(names, {})


def counted(by: int) -> Check:
    def check(result: list[Any], names: Names) -> None:
        if result != [START + by] * len(result):
            raise WrongError(f"the counts are {set(result)!r}")
        held(names, dict.fromkeys(names["items"], b"%d" % (START + by)))

    return check


def touched(result: list[Any], names: Names) -> None:
    answered(result, True)
    for key in names["items"]:
        said = names["witness"].talk(b"mg %b t\r\n" % key.encode(), b"\r\n")
        if not LIFE - 60 < int(said.removeprefix(b"HD t")) <= LIFE:
            raise WrongError(f"a key's time to live is {said!r}")


def older(value: bytes) -> bytes:
    """Return what a key holds before the row's value is stored."""
    return value.swapcase().replace(b".", b"-")


def nothing(_: bytes) -> None:
    """Have no value there."""


def counter(_: bytes) -> bytes:
    return b"%d" % START


def store_request(verb: bytes, key: bytes, value: bytes, token: bytes = b"") -> bytes:
    return b"%b %b 0 0 %d%b\r\n%b\r\n" % (verb, key, len(value), token, value)


GETS = b"gets %b\r\n"
WORKS = (
    Work(
        "get",
        "get(key)",
        lambda key, value: (b"get %b\r\n" % key,),
        (rb"VALUE .*\r\nEND\r\n",),
        found,
        own=True,
    ),
    Work(
        "set",
        "set(key, value)",
        lambda key, value: (set_request(key.decode(), value),),
        (rb"STORED\r\n",),
        stored,
        before=older,
    ),
    Work(
        "add, and delete",
        "add(key, value) and delete(key)",
        lambda key, value: (store_request(b"add", key, value), b"delete %b\r\n" % key),
        (rb"STORED\r\n", rb"DELETED\r\n"),
        gone,
        before=nothing,
    ),
    Work(
        "add, refused",
        "add(key, value)",
        lambda key, value: (store_request(b"add", key, value),),
        (rb"NOT_STORED\r\n",),
        refused,
        before=older,
    ),
    Work(
        "replace",
        "replace(key, value)",
        lambda key, value: (store_request(b"replace", key, value),),
        (rb"STORED\r\n",),
        stored,
        before=older,
    ),
    Work(
        "delete of a missing key",
        "delete(key)",
        lambda key, value: (b"delete %b\r\n" % key,),
        (rb"NOT_FOUND\r\n",),
        missing,
        before=nothing,
        calls={"libmc": None, "python-memcached": None},  # say True and 1, there or not
    ),
    Work(
        "incr",
        "incr(key, 1)",
        lambda key, value: (b"incr %b 1\r\n" % key,),
        (rb"\d{16}\r\n",),
        counted(1),
        before=counter,
    ),
    Work(
        "decr",
        "decr(key, 1)",
        lambda key, value: (b"decr %b 1\r\n" % key,),
        (rb"\d{16}\r\n",),
        counted(-1),
        before=counter,
    ),
    Work(
        "touch",
        f"touch(key, {LIFE})",
        lambda key, value: (b"touch %b %d\r\n" % (key, LIFE),),
        (rb"TOUCHED\r\n",),
        touched,
    ),
    Work(
        "gets, and cas",
        "cas(key, value, gets(key)[1])",
        # The token of a request made before is no item's: what is said instead is as long.
        lambda key, value: (b"gets %b\r\n" % key, store_request(b"cas", key, value, b" 0")),
        (rb"VALUE .*\r\nEND\r\n", rb"EXISTS\r\n"),
        stored,
        before=older,
        calls={
            "libmc": "cas(key, value, 0, gets(key)[1])",
            "python-memcached": "gets(key) and cas(key, value)",
        },
    ),
)

GROUPS = (
    Group(
        "writes",
        "One key a call, the client's processor time",
        "Values of 100 bytes, keys of 14, one memcached with one thread on loopback. The time is "
        "the processor's that the client's own process takes, in its code and in the kernel. The "
        "raw socket is a plain Python socket that sends ASCII requests made before and counts the "
        "bytes of the reply. Client speaks the meta protocol unless the row says otherwise. "
        "Every write is answered.",
        "call",
        tuple(Case(work.name, tuple(rows(work)), floor=FLOOR, ours=OURS) for work in WORKS),
        resource=a_server,
        clock="process_time",
        share=0.4,
    ),
)
