"""Our faces of pymemcache and pylibmc, and our back ends of frameworks, against the originals.

Both sides of a race run the same words: what differs is the module that they come from. Work that
succeeds only once is measured with what undoes it, so that every turn does the same. Right are the
answers, and what a plain connection reads back.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .cases_memcache import items_of
from .cases_writes import WORKS, floor
from .memcached import Plain, a_server
from .model import AtMost, Case, Faster, Group, Names, Row, Target, WrongError
from .ours import load

__all__ = ["GROUPS"]

OURS = "ours"
PYMEMCACHE, PYLIBMC = "pymemcache", "pylibmc"
FLOORS = {work.name: floor(work) for work in WORKS}
COUNT = 5 * 10**15

# A way makes a client; what it gives are the names that a statement uses.
Way = Callable[[list[Any]], Mapping[str, Any]]
Check = Callable[[Any, Names], None]


@dataclass(frozen=True, slots=True)
class Work:
    """What is timed: `call` for each key, or `batch` for all; the rest is as in ``cases_writes``.

    `stores` has the row's client store the values before; `counts` puts numbers under the keys.
    """

    name: str
    call: str
    check: Check
    batch: bool = False
    stores: bool = False
    counts: bool = False


def made(work: Work, label: str, way: Way) -> Callable[[list[Any]], Names]:
    """Return the maker of a row."""

    def make(address: list[Any]) -> Names:
        names = dict(way(address))
        name = names.get("name_of", str)
        items = items_of(f"compat {work.name}", label)
        if names.get("texts"):
            items = {key: value.decode() for key, value in items.items()}  # type: ignore[misc]
        held = {key: name(key) for key in items}
        witness = Plain(address)
        witness.delete(held.values())
        if work.counts:
            witness.store({held[key]: b"%d" % COUNT for key in items})
        if work.stores:
            for key, value in items.items():
                names["set"](key, value)
                if names["get"](key) != value:
                    raise WrongError("a value differs from what was stored")
        close_client = names.get("close", int)

        def close() -> None:
            witness.close()
            close_client()

        return names | {
            "items": items,
            "keys": list(items),
            "pairs": list(items.items()),
            "held": held,
            "witness": witness,
            "close": close,
        }

    return make


def row(work: Work, label: str, way: Way, peer: str, target: Target | None) -> Row:
    """Return a row; ours has no peer."""
    return Row(
        label,
        work.call,
        made(work, label, way),
        loop="" if work.batch else "key, value in pairs",
        operations="1" if work.batch else "len(pairs)",
        check=work.check,
        kind="peer" if peer else "native",
        peer=peer,
        target=target,
    )


def case(
    about: str, work: Work, way: Way, peers: Mapping[str, tuple[str, Way]], target: Target
) -> Case:
    """Return the case of one piece of work: ours, and each peer by label.

    The floor is a raw socket where that does the same work; else the first peer is the base.
    """
    rows = [row(work, label, theirs, peer, None) for label, (peer, theirs) in peers.items()]
    lowest = FLOORS.get(work.name) if about.startswith((PYMEMCACHE, PYLIBMC)) else None
    rows = [lowest, *rows] if lowest is not None else rows
    return Case(
        f"{about}: {work.name}",
        (*rows, row(work, OURS, way, "", target)),
        floor=rows[0].label,
        ours=OURS,
        base=lowest is None,
    )


def wrong_unless(right: bool, what: str) -> None:
    if not right:
        raise WrongError(what)


def values(result: Any, names: Names) -> None:
    wrong_unless(result == list(names["items"].values()), "a value differs")


def tokens(result: Any, names: Names) -> None:
    values([each[0] for each in result], names)
    wrong_unless(all(each[1] for each in result), "a token is missing")


def mapping(result: Any, names: Names) -> None:
    wrong_unless(result == names["items"], "a value differs, or a key")


def done(result: Any, names: Names) -> None:
    """Hold each answer to having succeeded, and the server to having every key."""
    answers = result if isinstance(result, list) else [result]
    wrong_unless(all(each is None or each for each in answers), f"not all succeeded: {answers}")
    there(result, names)


def there(_: Any, names: Names) -> None:
    """Hold the server to the keys, and the client to the values."""
    names.get("settle", int)()
    held = names["witness"].read(names["held"].values())
    wrong_unless(held.keys() == set(names["held"].values()), "not all was stored")
    found = {key: names["get"](key) for key in names["items"]}
    wrong_unless(found == names["items"], "a value differs from what was to be stored")


def refused(result: Any, names: Names) -> None:
    wrong_unless(all(each is False for each in result), "not all were refused")


def gone(result: Any, names: Names) -> None:
    answers = result if isinstance(result, list) else [result]
    wrong_unless(all(answers), "not all were deleted")
    vanished(result, names)


def vanished(_: Any, names: Names) -> None:
    names.get("settle", int)()
    held = names["witness"].read(names["held"].values())
    wrong_unless(held == {}, "a key is still there")


def longer(result: Any, names: Names) -> None:
    wrong_unless(all(result), "not all were appended to")
    found = {key: names["get"](key) for key in names["items"]}
    wrong_unless(found == {k: v + b"+" for k, v in names["items"].items()}, "a value differs")


def counted(result: Any, names: Names) -> None:
    wrong_unless(result == [COUNT + 1] * len(result), f"the counts are {set(result)}")


def touched(result: Any, names: Names) -> None:
    wrong_unless(all(result), "not all were found")
    for key in names["held"].values():
        said = names["witness"].talk(b"mg %b t\r\n" % key.encode(), b"\r\n")
        wrong_unless(900 < int(said.removeprefix(b"HD t")) <= 1000, "a time to live differs")


# What pymemcache and pylibmc both do, in the same words but for the names of the batches.

ONES = (
    Work("get", "get(key)", values, stores=True),
    Work("gets", "gets(key)", tokens, stores=True),
    Work("set", "set(key, value)", done),
    Work("add, refused", "add(key, value)", refused, stores=True),
    Work("replace", "replace(key, value)", done, stores=True),
    Work("set, and append", "set(key, value) and append(key, b'+')", longer),
    Work("add, and delete", "add(key, value) and delete(key)", gone),
    Work("incr", "incr(key, 1)", counted, counts=True),
    Work("touch", "touch(key, 1000)", touched, stores=True),
    Work("gets, and cas", "cas(key, value, gets(key)[1])", done, stores=True),
)
MANY = (
    Work("get of 100 keys", "get_multi(keys)", mapping, batch=True, stores=True),
    Work("set of 100 keys", "set_multi(items)", there, batch=True),
    Work(
        "set, and delete of 100 keys",
        "not set_multi(items) and delete_multi(keys)",
        gone,
        batch=True,
    ),
)
CALLS = "get gets set add replace append delete incr touch cas get_multi set_multi delete_multi"


def calls_of(client: Any) -> dict[str, Any]:
    """Return the calls of a client of either library by name."""
    names = {name: getattr(client, name) for name in CALLS.split()}
    return names | {"close": client.disconnect_all}


def module_of(name: str, ours: bool) -> Any:
    """Return the library's module, or our face of it."""
    return load(f"compat.{name}", "native") if ours else import_module(name)


def pymemcache_way(ours: bool, kind: str = "Client", noreply: bool = False) -> Way:
    def way(address: list[Any]) -> Mapping[str, Any]:
        make = getattr(module_of(PYMEMCACHE, ours), kind)
        server: Any = (address[0], address[1])
        options = {"no_delay": True} if noreply else {"no_delay": True, "default_noreply": False}
        client = make([server] if kind == "HashClient" else server, **options)
        # What was sent without awaiting a reply is done once a reply comes on that connection.
        return calls_of(client) | {"settle": lambda: client.get("settle")}

    return way


def pylibmc_way(ours: bool) -> Way:
    def way(address: list[Any]) -> Mapping[str, Any]:
        behaviors = {"tcp_nodelay": True, "cas": True}
        server = f"{address[0]}:{address[1]}"
        return calls_of(module_of(PYLIBMC, ours).Client([server], behaviors=behaviors))

    return way


def pymemcache_cases() -> Iterator[Case]:
    """Yield every operation of ``Client``, and some of its other ways."""
    for work in (*ONES, *MANY):
        theirs = {PYMEMCACHE: (PYMEMCACHE, pymemcache_way(False))}
        yield case("pymemcache", work, pymemcache_way(True), theirs, Faster(2, PYMEMCACHE))
    quiet = (
        Work("set, no reply awaited", "set(key, value)", there),
        Work("set, and delete, no reply awaited", "set(key, value) and delete(key)", vanished),
        Work("set of 100 keys, no reply awaited", "set_multi(items)", there, batch=True),
    )
    for work in quiet:
        theirs = {PYMEMCACHE: (PYMEMCACHE, pymemcache_way(False, noreply=True))}
        way = pymemcache_way(True, noreply=True)
        yield case("pymemcache", work, way, theirs, Faster(2, PYMEMCACHE))
    for kind in ("PooledClient", "HashClient"):
        for work in ONES[:1] + ONES[2:3]:
            theirs = {PYMEMCACHE: (PYMEMCACHE, pymemcache_way(False, kind))}
            way = pymemcache_way(True, kind)
            yield case(f"pymemcache {kind}", work, way, theirs, Faster(2, PYMEMCACHE))


def pylibmc_cases() -> Iterator[Case]:
    for work in (*ONES, *MANY):
        theirs = {PYLIBMC: (PYLIBMC, pylibmc_way(False))}
        yield case("pylibmc", work, pylibmc_way(True), theirs, AtMost(1.0, PYLIBMC))


# Frameworks: text of 100 characters, which every back end stores by its own defaults.

FRAMEWORK = (
    Work("get", "get(key)", values, stores=True),
    Work("set", "set(key, value)", there),
)
FRAMEWORK_MANY = (
    Work("get of 100 keys", "get_many(keys)", mapping, batch=True, stores=True),
    Work("set of 100 keys", "set_many(items)", there, batch=True),
)


def django_way(backend: str, options: Mapping[str, Any]) -> Way:
    def way(address: list[Any]) -> Mapping[str, Any]:
        settings = import_module("django.conf").settings
        if not settings.configured:
            settings.configure()
        if backend.startswith("godropbox"):
            load("django", "native")
        module, _, name = backend.rpartition(".")
        make = getattr(import_module(module), name)
        cache = make(f"{address[0]}:{address[1]}", {"OPTIONS": dict(options)})
        return {
            "get": cache.get,
            "set": cache.set,
            "get_many": cache.get_many,
            "set_many": cache.set_many,
            "name_of": cache.make_key,
            "texts": True,
            "close": cache.close,
        }

    return way


def django_cases() -> Iterator[Case]:
    stock = "django.core.cache.backends.memcached."
    peers = {
        "PyLibMCCache": (
            "Django",
            django_way(f"{stock}PyLibMCCache", {"behaviors": {"tcp_nodelay": True}}),
        ),
        "PyMemcacheCache": ("Django", django_way(f"{stock}PyMemcacheCache", {"no_delay": True})),
    }
    ours = django_way("godropbox.django.GodropboxCache", {})
    for work, times in zip((*FRAMEWORK, *FRAMEWORK_MANY), (0.9, 0.9, 0.6, 0.25), strict=True):
        yield case("Django", work, ours, peers, AtMost(times, "PyLibMCCache"))


def dogpile_way(backend: str, arguments: Mapping[str, Any]) -> Way:
    def way(address: list[Any]) -> Mapping[str, Any]:
        if backend == "godropbox":
            load("dogpile", "native")
            registry = import_module("dogpile.cache.region")
            registry.register_backend(
                "dogpile.cache.godropbox", "godropbox.dogpile", "GodropboxBackend"
            )
        region = import_module("dogpile.cache").make_region()
        url = f"{address[0]}:{address[1]}" if backend != PYMEMCACHE else [tuple(address)]
        region.configure(f"dogpile.cache.{backend}", arguments={"url": url, **arguments})
        return {"get": region.get, "set": region.set, "texts": True}

    return way


def dogpile_cases() -> Iterator[Case]:
    behaviors = {"behaviors": {"tcp_nodelay": True}}
    peers = {
        "dogpile.cache.pylibmc": ("dogpile.cache", dogpile_way(PYLIBMC, behaviors)),
        "dogpile.cache.pymemcache": (
            "dogpile.cache",
            dogpile_way(PYMEMCACHE, {"default_noreply": False}),
        ),
    }
    for work in FRAMEWORK:
        target = AtMost(1.0, "dogpile.cache.pylibmc")
        yield case("dogpile.cache", work, dogpile_way("godropbox", {}), peers, target)


def flask_way(ours: bool) -> Way:
    def way(address: list[Any]) -> Mapping[str, Any]:
        name = "flask" if ours else "flask_caching.backends.memcache"
        module = load(name, "native") if ours else import_module(name)
        make = module.GodropboxCache if ours else module.MemcachedCache
        cache = make([f"{address[0]}:{address[1]}"])
        return {"get": cache.get, "set": cache.set, "texts": True}

    return way


def flask_cases() -> Iterator[Case]:
    peers = {"MemcachedCache": ("Flask-Caching", flask_way(False))}
    for work in FRAMEWORK:
        yield case("Flask-Caching", work, flask_way(True), peers, AtMost(1.0, "MemcachedCache"))


GROUPS = (
    Group(
        "compat",
        "Faces and back ends against the originals, the client's processor time",
        "Values of 100 bytes, keys of 14, one memcached with one thread on loopback. The time is "
        "the processor's that the client's own process takes, in its code and in the kernel, which "
        "takes the same for both: the raw socket shows how much that is. Every write is answered "
        "unless the case says otherwise. The back ends of frameworks store text of 100 characters, "
        "each as it does by default; Flask-Caching's runs over pylibmc.",
        "call",
        (
            *pymemcache_cases(),
            *pylibmc_cases(),
            *django_cases(),
            *dogpile_cases(),
            *flask_cases(),
        ),
        resource=a_server,
        clock="process_time",
        share=0.3,
    ),
)
