"""One memcached on loopback: a get, a get of 100 keys, a set of 100, and parsing with no server.

Right is that every key gets its own value, byte for byte, and that what was set is what a plain
connection reads back, of keys that were not there before. Each row has keys of its own, all of
one length, so that none can live on what another has stored.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module, metadata
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

from .memcached import Plain, a_server, set_request
from .model import AtMost, Case, Group, MissingError, Names, Row, Target, Within, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

FLOOR = "raw socket"
OURS = "native, ASCII"


def items_of(case: str, label: str) -> dict[str, bytes]:
    """Return 100 keys that no other row has, and a value of 100 bytes for each."""
    tag = f"{zlib.crc32(f'{case}: {label}'.encode()):08x}"
    return {f"{tag}:{at:05}": f"{tag} {at} ".encode().ljust(100, b".") for at in range(100)}


# A way is what a row's client does: get, get_many and set_many; `batch` makes of a dict what
# set_many takes, `found` makes a dict of what get_many gives.

Way = Callable[[list[Any]], Mapping[str, Any]]


def ours(protocol: str, implementation: str) -> Way:
    def way(address: list[Any]) -> Mapping[str, Any]:
        memcache = load("memcache", implementation)
        channel = memcache.connect(f"{address[0]}:{address[1]}")
        client = getattr(memcache, f"Raw{protocol}Client")(channel)
        return {
            "get": client.get,
            "get_many": client.get_multi,
            "found": lambda answers: {key: answers[key].value for key in answers},
            "set_many": client.set_multi,
            "batch": lambda items: [memcache.Item(key, value) for key, value in items.items()],
            "close": client.close,
        }

    return way


def pymemcache_way(address: list[Any]) -> Mapping[str, Any]:
    from pymemcache.client.base import Client

    client = Client((address[0], address[1]), no_delay=True, default_noreply=False)
    return {
        "get": client.get,
        "get_many": client.get_many,
        "set_many": client.set_many,
        "close": client.close,
    }


def pylibmc_way(address: list[Any]) -> Mapping[str, Any]:
    pylibmc = import_module("pylibmc")
    client = pylibmc.Client([f"{address[0]}:{address[1]}"], behaviors={"tcp_nodelay": True})
    return {
        "get": client.get,
        "get_many": client.get_multi,
        "set_many": client.set_multi,
        "close": client.disconnect_all,
    }


def libmc_way(address: list[Any]) -> Mapping[str, Any]:
    client = import_module("libmc").Client([f"{address[0]}:{address[1]}"])
    return {
        "get": client.get,
        "get_many": client.get_multi,
        "set_many": client.set_multi,
        "close": client.quit,
    }


def meta_memcache_way(address: list[Any]) -> Mapping[str, Any]:
    settings = import_module("meta_memcache.configuration")
    client = import_module("meta_memcache").CacheClient.cache_client_from_servers(
        [settings.ServerAddress(address[0], address[1])],
        # With its own 4096, which is the kernel's receive buffer too, a reply for 100 keys closes
        # TCP's window, and takes 200 ms more.
        settings.connection_pool_factory_builder(no_delay=True, read_buffer_size=1 << 16),
    )
    store = client.set

    def set_many(items: Mapping[str, bytes]) -> None:
        for key, value in items.items():
            store(key, value, 0)

    return {
        "get": client.get,
        "get_many": client.multi_get,
        "found": lambda answers: {key.key: answers[key] for key in answers},
        "set_many": set_many,
    }


def python_memcached_module() -> ModuleType:
    # By its place: under pytest the name "memcache" is that of a folder of tests.
    place = str(metadata.distribution("python-memcached").locate_file("memcache.py"))
    spec = spec_from_file_location("python_memcached", place)
    if spec is None or spec.loader is None:
        raise MissingError(f"nothing can be imported from {place}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python_memcached_way(address: list[Any]) -> Mapping[str, Any]:
    client = python_memcached_module().Client([f"{address[0]}:{address[1]}"])
    return {
        "get": client.get,
        "get_many": client.get_multi,
        "set_many": client.set_multi,
        "close": client.disconnect_all,
    }


def bmemcached_way(address: list[Any]) -> Mapping[str, Any]:
    client = import_module("bmemcached").Client((f"{address[0]}:{address[1]}",))
    set_many = client.set_multi
    return {
        "get": client.get,
        "get_many": client.get_multi,
        "set_many": lambda items: set_many(items, 0),
        "close": client.disconnect_all,
    }


# The label of a peer's row, its name on PyPI, its way.
PEERS: tuple[tuple[str, str, Way], ...] = (
    ("pylibmc", "pylibmc", pylibmc_way),
    ("libmc", "libmc", libmc_way),
    ("pymemcache", "pymemcache", pymemcache_way),
    ("meta-memcache", "meta-memcache", meta_memcache_way),
    ("python-memcached", "python-memcached", python_memcached_way),
    ("bmemcached", "python-binary-memcached", bmemcached_way),
)
Maker = Callable[[list[Any]], Names]
Check = Callable[[Any, Names], None]


def stored(case: str, label: str, way: Way, plain: Callable[[list[Any]], Any] = Plain) -> Maker:
    """Return the maker of a row that reads what its own client has stored.

    So each client finds the flags by which it tells bytes from text. `plain` makes the witness of
    what the server, or the servers, hold.
    """

    def make(address: list[Any]) -> Names:
        items = items_of(case, label)
        names = {"found": dict, "batch": dict, **way(address)}
        names["set_many"](names["batch"](items))
        witness = plain(address)
        held = witness.read(items)
        witness.close()
        if held != items:
            raise WrongError("the server does not hold what is to be read")
        return names | {"keys": list(items), "items": items}

    return make


def unstored(case: str, label: str, way: Way, plain: Callable[[list[Any]], Any] = Plain) -> Maker:
    """Return the maker of a row that sets keys which are not there yet."""

    def make(address: list[Any]) -> Names:
        items = items_of(case, label)
        names = {"batch": dict, **way(address)}
        witness = plain(address)
        witness.delete(items)
        if witness.read(items):
            raise WrongError("a key is there before it is set")

        def close() -> None:
            witness.close()
            names.get("close", int)()

        given = names["batch"](items)
        return names | {"items": items, "given": given, "witness": witness, "close": close}

    return make


def right_values(result: Any, names: Names) -> None:
    if result != list(names["items"].values()):
        raise WrongError("a value differs from what was stored")


def right_mapping(result: Any, names: Names) -> None:
    if names["found"](result) != names["items"]:
        raise WrongError("a key or a value differs from what was stored")


def right_sets(result: Any, names: Names) -> None:
    """Hold a set to what another connection reads back, and ours to its answers as well."""
    if names["witness"].read(names["items"]) != names["items"]:
        raise WrongError("the server does not hold what was to be stored")
    if names["batch"] is not dict and not all(answer.ok for answer in result):
        raise WrongError("an item that was stored was not reported so")


Requests = Callable[[Mapping[str, bytes]], list[bytes]]


def a_floor(case: str, requests: Requests, end: bytes, reads: bool = True) -> Row:
    """Return the row of the plain socket: requests made before, replies counted and not parsed."""

    def make(address: list[Any]) -> Names:
        items = items_of(case, FLOOR)
        plain = Plain(address)
        if reads:
            plain.store(items)
        sent = [(request, plain.talk(request, end)) for request in requests(items)]
        asked = [(request, len(reply)) for request, reply in sent]
        names = {"ask": plain.ask, "asked": asked, "sent": sent, "plain": plain}
        return names | {"items": items, "reads": reads, "close": plain.close}

    return Row(
        FLOOR,
        "ask(request, size)",
        make,
        loop="request, size in asked",
        operations="len(asked)",
        kind="floor",
        check=right_bytes,
    )


def right_bytes(result: Any, names: Names) -> None:
    """Hold the floor to each reply, whole, and the replies or the server to all values."""
    if result != [size for _, size in names["asked"]]:
        raise WrongError("more came than the reply")
    plain: Plain = names["plain"]
    received = b""
    for request, reply in names["sent"]:
        if plain.received(plain.ask(request, len(reply))) != reply:
            raise WrongError("a reply differs")
        received += reply
    held = [value in received for value in names["items"].values()] if names["reads"] else []
    if not all(held) or plain.read(names["items"]) != names["items"]:
        raise WrongError("a value is missing")


def rows(
    case: str,
    to_maker: Callable[[str, str, Way], Maker],
    call: str,
    check: Check,
    target: Target,
    one: bool = False,
) -> Iterator[Row]:
    """Yield ours and the peers': `call` is what is timed, on the names that the maker gives.

    The target is on ASCII. A call for `one` key is timed over all keys, and gives the bytes.
    """
    loop, ours_call = "", call
    if one:
        loop, ours_call = "key in keys", call + ".value"
    operations = "len(keys)" if loop else "1"
    common: dict[str, Any] = {"loop": loop, "operations": operations, "check": check}
    for protocol, words in (("Ascii", "ASCII"), ("Binary", "binary"), ("Meta", "meta")):
        label = f"native, {words}"
        maker = to_maker(case, label, ours(protocol, "native"))
        more = common | {"target": target if label == OURS else None}
        yield Row(label, ours_call, maker, kind="native", **more)
    maker = to_maker(case, "pure, ASCII", ours("Ascii", "pure"))
    yield Row("pure, ASCII", ours_call, maker, kind="pure", env=PURE, **common)
    for label, peer, way in PEERS:
        yield Row(label, call, to_maker(case, label, way), peer=peer, **common)


def parsing_names(protocol: str, implementation: str) -> Maker:
    """Return the maker of a row that parses what a server has said to its request before."""

    def make(address: list[Any]) -> Names:
        items = items_of(PARSE, protocol)
        memcache = load("memcache", implementation)
        plain = Plain(address)
        plain.store(items)
        plain.close()
        to_protocol = getattr(memcache, f"{protocol}Protocol")
        channel = memcache.connect(f"{address[0]}:{address[1]}")
        keys = list(items)
        exchange = to_protocol().get_multi(keys)
        channel.sendall(b"".join(exchange.request))
        reply = b""
        while not exchange.done:
            part = channel.recv(1 << 16)
            reply += part
            exchange.feed(part)
        channel.close()

        def parse() -> Any:
            exchange = to_protocol().get_multi(keys)
            exchange.feed(reply)
            return exchange.result()

        def found(answers: Any) -> dict[str, bytes]:
            return {key: answers[key].value for key in answers}

        return {"parse": parse, "found": found, "items": items}

    return make


def slices_names(_: list[Any]) -> Names:
    items = items_of(PARSE, FLOOR)
    reply = b"".join(
        b"VALUE %b 0 100\r\n%b\r\n" % (key.encode(), value) for key, value in items.items()
    )
    places = [(key, reply.index(value)) for key, value in items.items()]

    def cut() -> dict[str, bytes]:
        return {key: reply[at : at + 100] for key, at in places}

    return {"cut": cut, "found": dict, "items": items}


def parsing_row(label: str, protocol: str, implementation: str, **more: Any) -> Row:
    maker = parsing_names(protocol, implementation)
    return Row(label, "parse()", maker, check=right_mapping, kind=implementation, **more)


def server_cases(where: str, labels: tuple[str, ...] | None = None) -> tuple[Case, Case, Case]:
    """Return the cases that ask a server, `where` in their names, of these rows or of all."""
    one, many, stores = (name + where for name in (GET, GETS, SETS))

    def chosen(found: Iterator[Row]) -> Iterator[Row]:
        return (row for row in found if labels is None or row.label in labels)

    return (
        Case(
            one,
            (
                a_floor(one, lambda items: [b"get %b\r\n" % key.encode() for key in items], END),
                *chosen(rows(one, stored, "get(key)", right_values, AtMost(1.10, FLOOR), True)),
            ),
            floor=FLOOR,
            ours=OURS,
        ),
        Case(
            many,
            (
                a_floor(many, lambda items: [b"get %b\r\n" % " ".join(items).encode()], END),
                *chosen(rows(many, stored, "get_many(keys)", right_mapping, AtMost(1.5, FLOOR))),
            ),
            floor=FLOOR,
            ours=OURS,
        ),
        Case(
            stores,
            (
                a_floor(
                    stores,
                    lambda items: [b"".join(set_request(*item) for item in items.items())],
                    b"STORED\r\n" * 100,
                    reads=False,
                ),
                *chosen(of_a_dict(stores)),
                *chosen(rows(stores, unstored, "set_many(given)", right_sets, AtMost(1.3, FLOOR))),
            ),
            floor=FLOOR,
            ours=OURS,
            about="each answered; meta-memcache sets one by one, having nothing for many",
        ),
    )


def of_a_dict(case: str) -> Iterator[Row]:
    label = f"{OURS}, of a dict"
    maker = unstored(case, label, ours("Ascii", "native"))
    yield Row(label, "set_many(batch(items))", maker, kind="native", check=right_sets)


GET, GETS, SETS, PARSE = "get", "get of 100 keys", "set of 100 keys", "parse 100 values"
END = b"END\r\n"

PARSING = Case(
    PARSE,
    (
        Row(
            "slices at known places",
            "cut()",
            slices_names,
            kind="floor",
            check=right_mapping,
        ),
        parsing_row(OURS, "Ascii", "native", target=Within(15e-6, "with the request made too")),
        parsing_row("native, binary", "Binary", "native"),
        parsing_row("native, meta", "Meta", "native"),
        parsing_row("pure, ASCII", "Ascii", "pure", env=PURE),
    ),
    floor="slices at known places",
    ours=OURS,
    about="no server: the reply is in memory, and the request is made anew for it",
)

ABOUT = (
    "Values of 100 bytes, keys of 14, one memcached with one thread on loopback. The raw socket, "
    "the same for all protocols, is a plain Python socket that sends ASCII requests made before "
    "and counts the bytes of the reply without a look at them. What is to be stored is ready "
    "in the form that a client takes, a list of items or a dict; answers are taken as they "
    "come, objects or values. "
)
FASTEST = (OURS, "native, binary", "native, meta", "pylibmc", "libmc", "pymemcache")

GROUPS = (
    Group(
        "memcache",
        "One server, on one core with its clients",
        ABOUT + "On one core with the clients, so that what a client does adds to the time whole.",
        "call",
        (*server_cases(""), PARSING),
        resource=a_server,
    ),
    Group(
        "memcache-apart",
        "One server, on a core of its own",
        ABOUT + "On another core than the clients: most of a call is then one side's waking the "
        "other, as it is with a server on another machine.",
        "call",
        server_cases(", cores apart", FASTEST),
        resource=partial(a_server, apart=True),
    ),
)
