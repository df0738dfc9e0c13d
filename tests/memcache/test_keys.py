"""Keys, values, flags and expiries at their limits, against a real memcached.

Whatever is given, the answer is right or the error is clear, and the connection stays in step:
after each attempt the client still reads what it stored before.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.memcached import Server

from godropbox import memcache
from godropbox.memcache import Item, ResponseStatus

from .conftest import PROTOCOLS

FORBIDDEN = [*range(0x21), 0x7F]
ALLOWED = [byte for byte in range(256) if byte not in FORBIDDEN]
PREFIX = "prefix/é:"
ROOM = 250 - len(PREFIX.encode())
MIB = 1 << 20

SINGLE: dict[str, Callable[[Any, Any], Any]] = {
    "get": lambda client, key: client.get(key),
    "gat": lambda client, key: client.gat(key, 5),
    "set": lambda client, key: client.set(Item(key, b"v")),
    "add": lambda client, key: client.add(Item(key, b"v")),
    "replace": lambda client, key: client.replace(Item(key, b"v")),
    "cas": lambda client, key: client.cas(Item(key, b"v", cas=1)),
    "append": lambda client, key: client.append(key, b"v"),
    "prepend": lambda client, key: client.prepend(key, b"v"),
    "delete": lambda client, key: client.delete(key),
    "touch": lambda client, key: client.touch(key, 5),
    "increment": lambda client, key: client.increment(key),
    "decrement": lambda client, key: client.decrement(key),
}
BATCHES: dict[str, Callable[[Any, list[Any]], list[Any]]] = {
    "get_multi": lambda client, keys: list(client.get_multi(keys).values()),
    "set_multi": lambda client, keys: client.set_multi([Item(key, b"v") for key in keys]),
    "add_multi": lambda client, keys: client.add_multi([Item(key, b"v") for key in keys]),
    "cas_multi": lambda client, keys: client.cas_multi([Item(key, b"v", cas=1) for key in keys]),
    "delete_multi": lambda client, keys: client.delete_multi(keys),
}


class Wrapped:
    """A channel that is no socket, so that the client drives it in Python."""

    def __init__(self, channel: Any) -> None:
        self.sendall = channel.sendall
        self.recv_into = channel.recv_into
        self.settimeout = channel.settimeout
        self.close = channel.close


Open = Callable[..., Any]


@pytest.fixture(params=["socket", "channel"])
def connected(
    request: pytest.FixtureRequest, servers: Callable[[str], Server], protocol: str
) -> Iterator[Open]:
    """Open clients, over a plain socket or over something that is none, to an empty server."""
    channels = []

    def open_client(**options: Any) -> Any:
        channel: Any = memcache.connect(servers("tcp").address, timeout=10.0)
        channels.append(channel)
        if request.param == "channel":
            channel = Wrapped(channel)
        return PROTOCOLS[protocol](channel, timeout=10.0, **options)

    assert open_client().flush().ok
    yield open_client
    for channel in channels:
        channel.close()


def in_step(client: Any) -> bool:
    """Tell whether a client still reads what it stores, and nothing else."""
    assert client.set(Item("step", b"in step", flags=9)).ok
    answer = client.get_multi(["step", "absent"])
    told = [(each.key, each.value, each.flags) for each in answer.values()]
    return client.is_valid and told == [("step", b"in step", 9), ("absent", None, 0)]


def bad_keys(room: int) -> Iterator[Any]:
    """Yield keys that may not go on the wire, where a key may have `room` bytes."""
    for byte in FORBIDDEN:
        for raw in (b"%c", b"a%c", b"a%c\nflush_all"):
            yield raw % byte
            yield (raw % byte).decode()
    for size in (room + 1, 10_000):
        yield "k" * size
        yield b"k" * size
    yield "é" * (room // 2 + 1)
    yield "\ud800"


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_no_bad_key_is_sent(connected: Open, prefix: str) -> None:
    client = connected(prefix=prefix)
    bad = list(bad_keys(ROOM if prefix else 250)) + ([] if prefix else ["", b""])
    for key in bad:
        for call in SINGLE.values():
            with pytest.raises(memcache.InvalidArgumentError, match=r"^key must"):
                call(client, key)
    assert in_step(client)
    for name, batch in BATCHES.items():
        answers = batch(client, ["good", *bad, "good-too"])
        assert [answer.key for answer in answers] == ["good", *bad, "good-too"], name
        assert {answer.status for answer in answers[1:-1]} == {ResponseStatus.INVALID_ARGUMENTS}
        for answer in answers[1:-1]:
            assert isinstance(answer.error, memcache.InvalidArgumentError)
        assert [answers[0].error, answers[-1].error] == [None, None]
        assert in_step(client)


def test_keys_of_a_wrong_type(connected: Open) -> None:
    client = connected()
    for key in (None, 5, 1.5, ("a",), bytearray(b"a"), memoryview(b"a")):
        for call in SINGLE.values():
            with pytest.raises(memcache.InvalidTypeError, match=r"^key must be str or bytes, got"):
                call(client, key)
    assert in_step(client)


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_every_good_key_is_its_own(connected: Open, prefix: str) -> None:
    client, bare = connected(prefix=prefix), connected()
    room = ROOM if prefix else 250
    keys: list[Any] = [b"%c" % byte for byte in ALLOWED]
    keys += [b"%c" % byte * room for byte in ALLOWED[::16]]
    keys += ["kk", "k" * (room - 1), "k" * room, "é" * (room // 2), "字", "🙂", "ok"]
    items = [Item(key, repr(key).encode()) for key in keys]
    assert all(answer.ok for answer in client.set_multi(items[::2]))
    assert all(client.set(item).ok for item in items[1::2])
    found = client.get_multi(keys)
    assert list(found) == keys
    for item in items:
        assert found[item.key].value == item.value
        assert client.get(item.key).value == item.value
        wire = item.key.encode() if isinstance(item.key, str) else item.key
        assert bare.get(prefix.encode() + wire).value == item.value
    assert in_step(client)


def test_a_prefix_is_checked_like_a_key(connected: Open) -> None:
    for prefix in ("a b", "\n", b"\x7f", "p" * 251, "\ud800"):
        with pytest.raises(memcache.InvalidArgumentError, match=r"^prefix must"):
            connected(prefix=prefix)
    full = connected(prefix="p" * 250)
    with pytest.raises(memcache.InvalidArgumentError, match="with its prefix, got 251 bytes"):
        full.get("k")
    assert connected(prefix="p").set(Item("", b"v")).ok == connected().get("p").found


@pytest.mark.parametrize(
    "size", [0, 1, MIB - 1024, MIB - 200, MIB - 100, MIB - 60, MIB - 1, MIB, MIB + 1, 2 * MIB]
)
def test_values_around_the_limit(connected: Open, size: int) -> None:
    client = connected()
    value = b"\r\nEND\r\n" * (size // 7) + b"x" * (size % 7)
    stored = client.set(Item("v", value))
    if stored.ok:
        assert size < MIB
        assert client.get("v").value == value
    else:
        assert size > MIB - 1024
        assert stored.status is ResponseStatus.VALUE_TOO_LARGE
        assert isinstance(stored.error, memcache.ServerError)
        assert not client.get("v").found
    assert in_step(client)
    answers = client.set_multi([Item("a", b"1"), Item("v", value), Item("b", b"2")])
    assert [answer.ok for answer in answers] == [True, stored.ok, True]
    assert client.get("b").value == b"2"
    assert in_step(client)


def test_an_item_that_grows_over_the_limit(connected: Open) -> None:
    client = connected()
    half = bytes(MIB // 2)
    assert client.set(Item("v", half)).ok
    for extend in (client.append, client.prepend):
        assert not extend("v", half).ok
        assert client.get("v").value in (half, None)
        assert in_step(client)


def test_flags_and_expiries_at_their_limits(connected: Open) -> None:
    client = connected()
    for flags in (0, 1, 2**31 - 1, 2**31, 2**32 - 1):
        assert client.set(Item("f", b"v", flags=flags)).ok
        assert client.get("f").flags == flags
    month = 60 * 60 * 24 * 30
    for expire, lives in ((0, True), (1000, True), (month, True), (2**31 - 1, True), (-1, False)):
        for name, given in (
            ("set", (Item("e", b"v", expire=expire),)),
            ("touch", ("e", expire)),
            ("gat", ("e", expire)),
        ):
            client.set(Item("e", b"v"))
            assert getattr(client, name)(*given).ok
            assert client.get("e").found is lives
    for expire in (month + 1, -(2**31)):  # long ago, or more than a server holds
        assert client.set(Item("e", b"v", expire=expire)).error is None
        assert in_step(client)
    for words in ({"flags": -1}, {"flags": 2**32}, {"expire": 2**31}, {"expire": -(2**31) - 1}):
        with pytest.raises(memcache.InvalidArgumentError, match=f"^{next(iter(words))} must be"):
            client.set(Item("f", b"v", **words))
        (answer,) = client.set_multi([Item("f", b"v", **words)])
        assert isinstance(answer.error, memcache.InvalidArgumentError)
    assert in_step(client)
