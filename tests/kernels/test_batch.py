"""A batch: what it takes, what it asks each shard, and what it makes of the replies.

Both twins pass every test, over sockets and fed in pieces of any size. Behind each socket a thread
answers as soon as it was asked.
"""

import importlib
import random
import socket
import sys
import threading
from array import array
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import pytest
from conftest import twins
from hypothesis import given, settings
from hypothesis import strategies as st
from support.talks import Asked, Told

from godropbox import memcache
from godropbox._kernels import placement
from godropbox._kernels._wire import LINE_KEYS

pytestmark = pytest.mark.once

Pairs = list[tuple[socket.socket, socket.socket]]
STORED = 15  # STORED, NOT_STORED, EXISTS, NOT_FOUND


@pytest.fixture(params=twins("batch"), ids=lambda twin: twin.__name__)
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    chosen: ModuleType = request.param
    return chosen


@pytest.fixture
def sides() -> Iterator[Pairs]:
    pairs = [socket.socketpair() for _ in range(3)]
    for pair in pairs:
        pair[1].settimeout(10)
    yield pairs
    for pair in pairs:
        for end in pair:
            end.close()


class Shards:
    """A placement that was written down."""

    def __init__(self, shards: Any) -> None:
        self.shards = shards

    def of_many(self, keys: Iterable[Any]) -> Any:
        return self.shards


def transport_of(kernel: ModuleType) -> ModuleType:
    return importlib.import_module(kernel.__name__.replace("batch", "transport"))


def served(
    kernel: ModuleType,
    sides: Pairs,
    batch: Any,
    replies: dict[int, bytes],
    seconds: float = 10.0,
    then_ends: int | None = None,
) -> tuple[dict[int, Any], dict[int, bytes]]:
    """Carry a batch whose shards reply; return the failures by shard, and what each was sent.

    A failure is an exception or a refusal, with the indices of its keys. The shard `then_ends`
    closes behind its reply.
    """
    transport = transport_of(kernel)
    requests: dict[int, bytes] = {}
    parts = batch.parts()
    talks = [Told(Asked(part.request, part)) for part in parts]
    sizes = {
        part.shard: sum(map(len, talk.exchanges[0].request))
        for part, talk in zip(parts, talks, strict=True)
    }

    def serve(shard: int, reply: bytes) -> None:
        far, got = sides[shard][1], b""
        while len(got) < sizes[shard]:
            got += far.recv(1 << 16)
        requests[shard] = got
        far.sendall(reply)
        if shard == then_ends:
            far.shutdown(socket.SHUT_RDWR)

    threads = [threading.Thread(target=serve, args=each) for each in replies.items()]
    for thread in threads:
        thread.start()
    lines = [transport.Line(sides[part.shard][0], None) for part in parts]
    transport.carry(lines, talks, seconds)
    for thread in threads:
        thread.join()
    failures: dict[int, Any] = {}
    for part, talk in zip(parts, talks, strict=True):
        failure = talk.ends[0] or part.refusal
        if failure is not None:
            failures[part.shard] = failure, part.indices
            batch.condemn(part)
    return failures, requests


def keyed(
    kernel: ModuleType, keys: list[Any], shards: list[int], prefix: bytes = b"", bare: bool = False
) -> Any:
    return kernel.batch_of_keys(keys, Shards(shards), 3, prefix, bare)


def valued(kernel: ModuleType, keys: list[Any], values: list[Any], shards: list[int]) -> Any:
    return kernel.batch_of_values(keys, values, None, 0, Shards(shards), 3, b"", b"set ", STORED)


def value(key: bytes, data: bytes, flags: int = 0, cas: int | None = 7) -> bytes:
    token = b"" if cas is None else b" %d" % cas
    return b"VALUE %b %d %d%b\r\n%b\r\n" % (key, flags, len(data), token, data)


END = b"END\r\n"


def test_each_key_gets_what_its_own_shard_has(kernel: ModuleType, sides: Pairs) -> None:
    replies = {
        0: value(b"p:a", b"1", 5, 2**63) + value(b"p:d", b"") + END,
        2: value(b"p:c", b"3" * 9000) + END,
    }
    batch = keyed(kernel, ["a", "b", "c", "d", "e"], [0, 0, 2, 0, 2], b"p:")
    failures, requests = served(kernel, sides, batch, replies)
    assert requests == {0: b"gets p:a p:b p:d\r\n", 2: b"gets p:c p:e\r\n"}
    values, flags, cas = batch.answers()
    assert values == [b"1", None, b"3" * 9000, b"", None]
    assert flags == array("I", [5, 0, 0, 0, 0])
    assert cas == array("Q", [2**63, 0, 7, 7, 0])
    assert failures == {}


def test_plain_values_are_a_dict_in_the_order_of_the_keys(kernel: ModuleType, sides: Pairs) -> None:
    replies = {
        0: value(b"d", b"4", 0, None) + END,
        1: value(b"a", b"1", 0, None) + value(b"b", b"", 0, None) + END,
        2: value(b"c", b"3", 9, None) + END,
    }
    batch = keyed(kernel, [b"a", b"b", b"c", b"d", b"e"], [1, 1, 2, 0, 0], bare=True)
    failures, requests = served(kernel, sides, batch, replies)
    assert requests == {0: b"get d e\r\n", 1: b"get a b\r\n", 2: b"get c\r\n"}
    found, rest = batch.values()
    assert list(found.items()) == [(b"a", b"1"), (b"d", b"4")]
    assert rest == [(b"b", b"", 0), (b"c", b"3", 9)]
    assert failures == {}


def test_parts_tell_their_shards_and_indices(kernel: ModuleType) -> None:
    parts = keyed(kernel, ["a", "b", "c", "d"], [2, 0, 2, 0]).parts()
    assert [(part.shard, part.indices) for part in parts] == [(2, [0, 2]), (0, [1, 3])]
    assert [part.request for part in parts] == [[b"gets a c\r\n"], [b"gets b d\r\n"]]
    assert [(part.done, part.size, part.refusal) for part in parts] == [(False, 0, None)] * 2


def test_a_token_that_was_not_asked_for_is_a_wrong_reply(kernel: ModuleType, sides: Pairs) -> None:
    for cas, bare in ((7, True), (None, False)):
        batch = keyed(kernel, ["a"], [0], bare=bare)
        failures, _ = served(kernel, sides, batch, {0: value(b"a", b"1", 0, cas) + END})
        failure, indices = failures[0]
        assert "a line is not one that answers the request" in str(failure)
        assert indices == [0]


@pytest.mark.parametrize("names", [(b"b", b"a"), (b"b",), (b"a", b"b"), (b"c", b"a")])
def test_answers_may_come_in_any_order(
    kernel: ModuleType, sides: Pairs, names: tuple[bytes, ...]
) -> None:
    reply = b"".join(value(name, name * 3) for name in names) + END
    batch = keyed(kernel, [b"a", b"b", b"c"], [1, 1, 1])
    failures, _ = served(kernel, sides, batch, {1: reply})
    expected = [key * 3 if key in names else None for key in (b"a", b"b", b"c")]
    assert batch.answers()[0] == expected
    assert failures == {}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (value(b"x", b"1") + END, "a key that was not asked for: b'x'"),
        (value(b"b", b"1") + END, "a key that was not asked for: b'b'"),  # another shard's
        (value(b"a", b"1") + value(b"a", b"2") + END, "a key that was not asked for: b'a'"),
        (b"HUH\r\n", "a line is not one that answers the request: b'HUH\\r\\n' at byte 0"),
        (END + b"END\r\n", "after the end of the reply"),
        (b"SERVER_ERROR out of memory\r\n" + END, "after the end of the reply"),
    ],
)
def test_a_wrong_reply_fails_that_shard_alone(
    kernel: ModuleType, sides: Pairs, reply: bytes, words: str
) -> None:
    batch = keyed(kernel, ["a", "b", "c"], [0, 1, 0])
    failures, _ = served(kernel, sides, batch, {0: reply, 1: value(b"b", b"2") + END})
    assert batch.answers()[0] == [None, b"2", None]
    assert list(failures) == [0]
    failure, indices = failures[0]
    assert isinstance(failure, ValueError)
    assert words in str(failure)
    assert indices == [0, 2]


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (b"HUH\r\n", "a line is not one that answers the request: b'HUH"),
        (value(b"x", b"1", 0, None) + END, "a key that was not asked for: b'x'"),
        (value(b"x", b"1", 0, None) + b"HUH\r\n", "a key that was not asked for: b'x'"),
        (value(b"a", b"2", 0, None) + END, "a key that was not asked for: b'a'"),
        (END + b"x", "after the end of the reply: b'x' at byte"),
        (b"SERVER_ERROR backend failure\r\n" * 2 + END, "there are more values than keys"),
    ],
)
def test_no_value_of_a_condemned_reply_is_returned(
    kernel: ModuleType, sides: Pairs, tail: bytes, words: str, bare: bool
) -> None:
    cas = None if bare else 7
    if not bare:
        tail = tail.replace(b" 1\r\n", b" 1 7\r\n")
    replies = {0: value(b"a", b"1", 3, cas) + tail, 1: value(b"b", b"2", 0, cas) + END}
    batch = keyed(kernel, ["a", "b", "c"], [0, 1, 0], bare=bare)
    failures, _ = served(kernel, sides, batch, replies)
    assert batch.values() == ({"b": b"2"}, [])
    tokens = [0, 0 if bare else 7, 0]
    assert batch.answers() == ([None, b"2", None], array("I", [0] * 3), array("Q", tokens))
    failure, indices = failures[0]
    assert isinstance(failure, ValueError)
    assert words in str(failure)
    assert indices == [0, 2]


@pytest.mark.parametrize("bare", [True, False])
def test_values_of_a_reply_that_is_cut_short_are_not_returned(
    kernel: ModuleType, sides: Pairs, bare: bool
) -> None:
    cas = None if bare else 7
    replies = {0: value(b"a", b"1", 0, cas), 1: value(b"b", b"1", 0, cas) + END}
    batch = keyed(kernel, ["a", "c", "b"], [0, 0, 1], bare=bare)
    failures, _ = served(kernel, sides, batch, replies, then_ends=0)
    assert batch.values() == ({"b": b"1"}, [])
    failure, indices = failures[0]
    assert isinstance(failure, ConnectionResetError)
    words = f"the server closed the connection after {len(replies[0])} bytes of the reply"
    assert str(failure) == words
    assert indices == [0, 1]


@pytest.mark.parametrize("count", [31, 32, 33, 34, 200, 5000])
def test_many_answers_in_any_order_are_found(kernel: ModuleType, sides: Pairs, count: int) -> None:
    keys = [f"key{i}" for i in range(count)]
    half = count // 2
    shuffled = random.Random(3).sample(keys, count)
    for order in (keys[::-1], keys[half:] + keys[:half], shuffled, keys[1::2] + keys[::2]):
        values = b"".join(value(key.encode(), key.encode(), 0, None) for key in order)
        reply = values + END * -(-count // LINE_KEYS)
        batch = keyed(kernel, keys, [1] * count, bare=True)
        failures, _ = served(kernel, sides, batch, {1: reply})
        assert failures == {}
        assert batch.values() == ({key: key.encode() for key in keys}, [])


@pytest.mark.parametrize("count", [31, 32, 33, 34, 200, 5000])
def test_many_refusals_are_each_key_s_own(kernel: ModuleType, sides: Pairs, count: int) -> None:
    words = [b"SERVER_ERROR no %d" % i for i in range(count)]
    batch = valued(kernel, [f"key{i}" for i in range(count)], [b"1"] * count, [2] * count)
    failures, _ = served(kernel, sides, batch, {2: b"".join(each + b"\r\n" for each in words)})
    assert failures == {}
    assert batch.outcomes() == (bytes(count), {i: (0x84, words[i]) for i in range(count)})


def test_a_refusal_is_told_by_its_status_and_words(kernel: ModuleType, sides: Pairs) -> None:
    replies = {0: b"SERVER_ERROR out of memory\r\n", 1: END}
    batch = keyed(kernel, ["a", "b"], [0, 1])
    failures, _ = served(kernel, sides, batch, replies)
    assert batch.answers()[0] == [None, None]
    assert failures == {0: ((0x82, b"SERVER_ERROR out of memory"), [0])}


def fed(part: Any, reply: bytes, sizes: Iterable[int]) -> str | None:
    """Feed a reply in pieces of some sizes; return what is wrong with it, None if nothing."""
    at = 0
    for size in sizes:
        if at >= len(reply):
            break
        try:
            part.feed(reply[at : at + size])
        except ValueError as error:
            return f"{type(error).__name__}: {error}"
        at += size
    return None


@pytest.mark.parametrize("size", [1, 2, 7, 64, 9973])
def test_replies_come_in_pieces_of_any_size(kernel: ModuleType, size: int) -> None:
    keys = [f"key{i}" for i in range(60)]
    step = 1 if size < 64 else 40
    expected = {key: key.encode() * (i * step) for i, key in enumerate(keys) if i}
    batch = keyed(kernel, keys, [i % 3 for i in range(60)], bare=True)
    for part in batch.parts():
        names = part.request[0].split()[1:]
        blocks = [value(name, expected.get(name.decode(), b""), 0, None) for name in names]
        reply = b"".join([*blocks, END])
        assert fed(part, reply, [size] * len(reply)) is None
        assert part.done
        assert part.size == len(reply)
    assert batch.values() == (expected, [("key0", b"", 0)])


def test_a_shard_that_is_silent_is_late(kernel: ModuleType, sides: Pairs) -> None:
    batch = keyed(kernel, ["a", "b"], [0, 1], bare=True)
    replies = {1: value(b"b", b"2", 0, None) + END}
    failures, _ = served(kernel, sides, batch, replies, 0.2)
    assert batch.values() == ({"b": b"2"}, [])
    failure, indices = failures[0]
    assert isinstance(failure, TimeoutError)
    assert indices == [0]


# Storing


def test_items_are_stored_each_on_its_own_shard(kernel: ModuleType, sides: Pairs) -> None:
    items = [
        ("a", b"1", 0, 0, 0),
        ("b", b"22", 4294967295, 0, -1),
        ("c", b"", 3, 18, 2147483647),
        (b"d", b"\r\n" * 60, 10, 0, 100),
        ("e", b"5", 0, 0, -(2**31)),
    ]
    shards = Shards([0, 1, 0, 1, 0])
    batch = kernel.batch_of_items(items, shards, 3, b"p:", tuple, b"set ", STORED)
    replies = {
        0: b"STORED\r\nEXISTS\r\nSERVER_ERROR out of memory\r\n",
        1: b"STORED\r\nNOT_STORED\r\n",
    }
    failures, requests = served(kernel, sides, batch, replies)
    assert requests == {
        0: b"set p:a 0 0 1\r\n1\r\ncas p:c 3 2147483647 0 18\r\n\r\nset p:e 0 2592001 1\r\n5\r\n",
        1: b"set p:b 4294967295 2592001 2\r\n22\r\nset p:d 10 100 120\r\n" + b"\r\n" * 60 + b"\r\n",
    }
    assert batch.outcomes() == (bytes([0, 0, 2, 5, 0]), {4: (0x82, b"SERVER_ERROR out of memory")})
    assert failures == {}


def test_values_are_stored_with_one_expiry(kernel: ModuleType, sides: Pairs) -> None:
    for flags, words in ((None, (b"0", b"0")), ([7, 12], (b"7", b"12"))):
        given_values = (["a", "b"], [b"x", b"yy"], flags, 60)
        batch = kernel.batch_of_values(*given_values, Shards([2, 2]), 3, b"", b"set ", STORED)
        failures, requests = served(kernel, sides, batch, {2: b"STORED\r\n" * 2})
        assert requests == {2: b"set a %b 60 1\r\nx\r\nset b %b 60 2\r\nyy\r\n" % words}
        assert batch.outcomes() == (b"\0\0", {})
        assert failures == {}


def test_a_store_that_cannot_be_trusted_fails_its_shard(kernel: ModuleType, sides: Pairs) -> None:
    batch = valued(kernel, ["a", "b", "c"], [b"1"] * 3, [0, 1, 0])
    replies = {0: b"STORED\r\nCLIENT_ERROR bad data chunk\r\n", 1: b"STORED\r\n"}
    failures, _ = served(kernel, sides, batch, replies)
    assert batch.outcomes()[1] == {}
    assert list(failures) == [0]
    assert isinstance(failures[0][0], ValueError)
    assert failures[0][1] == [0, 2]


def test_more_than_all_buffers_hold_goes_out(kernel: ModuleType, sides: Pairs) -> None:
    keys = [f"key{i}" for i in range(3000)]
    values = [b"%d" % i * 2000 for i in range(3000)]
    batch = valued(kernel, keys, values, [i % 3 for i in range(3000)])
    replies = dict.fromkeys(range(3), b"STORED\r\n" * 1000)
    failures, requests = served(kernel, sides, batch, replies, 30.0)
    for shard, request in requests.items():
        stores = [
            b"set %b 0 0 %d\r\n%b\r\n" % (keys[i].encode(), len(values[i]), values[i])
            for i in range(shard, 3000, 3)
        ]
        assert request == b"".join(stores)
    assert batch.outcomes() == (bytes(3000), {})
    assert failures == {}


# What is left to others, and what is wrong


@pytest.mark.parametrize(
    "keys", [["a b"], ["a" * 249], ["a", b"b"], [5], ["\udc80"], ["a", "x\x7f"], []]
)
def test_a_key_that_is_not_plain_is_left_to_others(kernel: ModuleType, keys: list[Any]) -> None:
    assert keyed(kernel, keys, [0] * len(keys), b"p:") is None
    if keys != ["a", b"b"]:  # two items may not be one on the wire, where keys are not answered for
        values = [b"v"] * len(keys)
        shards = Shards([0] * len(keys))
        given_values = (keys, values, None, 0, shards, 1, b"p:", b"set ", STORED)
        assert kernel.batch_of_values(*given_values) is None


@pytest.mark.parametrize("prefix", [b"", b"p:"])
def test_a_key_of_no_bytes_is_left_to_others(kernel: ModuleType, prefix: bytes) -> None:
    assert keyed(kernel, [""], [0], prefix) is None
    item = ("", b"", 0, 0, 0)
    shards = Shards([0])
    assert kernel.batch_of_items([item], shards, 1, prefix, tuple, b"set ", STORED) is None


class Posing:
    """An object that claims to be a tuple."""

    __class__ = tuple  # type: ignore[assignment]

    def __len__(self) -> int:
        return 5


@pytest.mark.parametrize(
    "item",
    [
        ("a", bytearray(b"1"), 0, 0, 0),
        ("a", b"1" * 16384, 0, 0, 0),
        ("a", b"1", 1 << 32, 0, 0),
        ("a", b"1", -1, 0, 0),
        ("a", b"1", True, 0, 0),
        ("a", b"1", 0, 1 << 63, 0),
        ("a", b"1", 0, None, 0),
        ("a", b"1", 0, 0, 1 << 31),
        ("a", b"1", 0, 0, 1.5),
        ("a", b"1", 0, 0, 10**30),
        ("a", b"1", 0, 0),
        ["a", b"1", 0, 0, 0],
        Posing(),
    ],
)
def test_an_item_that_is_not_plain_is_left_to_others(kernel: ModuleType, item: Any) -> None:
    def batch(items: list[Any], kind: Any) -> Any:
        shards = Shards([0] * len(items))
        return kernel.batch_of_items(items, shards, 1, b"", kind, b"set ", STORED)

    good = ("b", b"1", 0, 0, 0)
    assert batch([good], tuple) is not None
    assert batch([good], memcache.Item) is None
    assert batch([good], int) is None
    assert batch([good, item], tuple) is None
    if type(item) is tuple and len(item) == 5 and item[3] == 0:
        given_values = (["b", "a"], [b"1", item[1]], [0, item[2]], item[4])
        rest = (Shards([0, 0]), 1, b"", b"set ", STORED)
        assert kernel.batch_of_values(*given_values, *rest) is None


@pytest.mark.parametrize("shard", [-1, -2, 3, 70000])
def test_a_key_of_no_shard_is_left_to_others(kernel: ModuleType, shard: int) -> None:
    assert keyed(kernel, ["a", "b"], [0, shard]) is None


def test_a_batch_is_for_once(kernel: ModuleType, sides: Pairs) -> None:
    batch = keyed(kernel, ["a"], [0])
    (part,) = batch.parts()
    with pytest.raises(RuntimeError, match="the parts of the batch were made before"):
        batch.parts()
    for kind in (type(batch), type(part)):
        with pytest.raises(TypeError):
            kind()
    with pytest.raises(ValueError, match="verb must be at most 8 bytes, got 9"):
        kernel.batch_of_values(["a"], [b"1"], None, 0, Shards([0]), 3, b"", b"replaces ", STORED)
    with pytest.raises(ValueError, match="values and flags must be 2, one a key"):
        valued(kernel, ["a", "b"], [b"1"], [0, 0])
    with pytest.raises(ValueError, match="shards must be 2, one a key, got 1"):
        keyed(kernel, ["a", "b"], [0])
    with pytest.raises(ValueError, match=r"num_shards must be in \[0, 65535\], got 65536"):
        kernel.batch_of_keys(["a"], Shards([0]), 65536, b"", True)
    assert kernel.batch_of_keys(["a"], Shards([65534]), 65535, b"", True) is not None


def test_a_part_that_was_carried_takes_no_more(kernel: ModuleType, sides: Pairs) -> None:
    for reply in (value(b"a", b"1" * 9) + END, value(b"a", b"1" * 70_000) + END):
        transport = transport_of(kernel)
        (part,) = keyed(kernel, ["a"], [0]).parts()
        sides[0][1].sendall(reply[:30])
        lines = [transport.Line(near, None) for near, _ in sides[:2]]
        other = Told()
        talk = Told(Asked([], part))
        thread = threading.Thread(target=sides[0][1].sendall, args=(reply[30:],))
        thread.start()
        transport.carry(lines, [talk, other], 10.0)
        thread.join()
        assert talk.ends == [None]
        assert part.feed(b"x" * 100_000) == 0


def test_nobody_makes_a_part_of_nothing() -> None:
    for kernel in twins("batch")[:-1]:
        part = kernel.Part.__new__(kernel.Part, 1, 1)
        for use in ("shard", "indices", "request"):
            with pytest.raises(TypeError, match="a Part is made by a Batch"):
                getattr(part, use)
        with pytest.raises(TypeError, match="a Part is made by a Batch"):
            part.feed(END)
        assert kernel.Batch.__new__(kernel.Batch).parts() == []


class Emptying:
    """A placement that does away with what it is given, and with what it has returned."""

    def __init__(self) -> None:
        self.shards: list[int] = []

    def of_many(self, keys: Iterable[Any]) -> list[Any]:
        assert isinstance(keys, list)
        self.shards = [Shard(self.shards) for _ in keys]
        keys.clear()
        bytearray(1 << 16)  # so that what was freed is written over
        return self.shards


class Shard(int):
    """A number that empties a list when it is looked at."""

    def __new__(cls, shards: list[Any]) -> "Shard":
        made = super().__new__(cls, 0)
        made.all = shards
        return made

    all: list[Any]

    def __index__(self) -> int:
        self.all.clear()
        return 0


def test_a_placement_has_nothing_that_the_batch_points_into(kernel: ModuleType) -> None:
    keys = ["-".join(["key", str(i)]) * 3 for i in range(50)]
    given_keys = list(keys)
    (part,) = kernel.batch_of_keys(given_keys, Emptying(), 3, b"", True).parts()
    assert given_keys == keys
    assert part.request == [" ".join(["get", *keys]).encode() + b"\r\n"]
    items = [(key, b"1", 0, 0, 0) for key in keys]
    batch = kernel.batch_of_items(items, Emptying(), 3, b"", tuple, b"set ", STORED)
    (part,) = batch.parts()
    assert part.request == [b"".join(b"set %b 0 0 1\r\n1\r\n" % key.encode() for key in keys)]


def test_batches_at_once_do_not_share_their_room(kernel: ModuleType, sides: Pairs) -> None:
    batches = [keyed(kernel, [key], [at], bare=True) for at, key in enumerate("abc")]
    assert keyed(kernel, ["d"], [-1]) is None
    for at in (2, 0, 1):
        name = b"abc"[at : at + 1]
        replies = {at: value(name, name * 5, 0, None) + END}
        failures, requests = served(kernel, sides, batches[at], replies)
        assert requests == {at: b"get %b\r\n" % name}
        assert batches[at].values() == ({name.decode(): name * 5}, [])
        assert failures == {}


def test_a_compiled_placement_places_as_it_does_for_everyone(kernel: ModuleType) -> None:
    points = [(7919 * i % 2**32, i % 40) for i in range(1, 4000)]
    names = [(b"server%d" % i, i) for i in range(40)]
    rules = [
        placement.hash2(40),
        placement.hash2_among(range(3, 40, 2)),
        placement.crc32(40),
        placement.jump(40),
        placement.ketama(points),
        placement.jenkins(points),
        placement.rendezvous(names),
    ]
    keys = [f"key{i}" for i in range(700)]
    for rule in rules:
        shards = rule.of_many(keys)
        parts = kernel.batch_of_keys(keys, rule, 40, b"", True).parts()
        assert [part.shard for part in parts] == list(dict.fromkeys(shards))
        for part in parts:
            assert part.indices == [i for i in range(700) if shards[i] == part.shard]
    assert kernel.batch_of_keys(["k\u00e9y"], rules[0], 40, b"", True) is not None


# The twins, held to each other

KEY_BYTES = st.sampled_from([b"a", b"b", b"key", b"key1", b"k" * 9, b"k" * 17, b"\xc3\xa9", b"x:a"])
GOOD_KEYS = st.one_of(KEY_BYTES, KEY_BYTES.map(bytes.decode))
BAD_KEYS = st.sampled_from(["", b"", "a b", b"\x00", "\x7f", "k" * 251, "\udc80", 5, None, b"a\r"])
PREFIXES = st.sampled_from([b"", b"p:", b"x:", b"p" * 240])
NUMBERS = st.sampled_from(
    [0, 0, 1, 60, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, -(2**31) - 1, True, None]
)


def both(call: Any) -> list[Any]:
    """Return what a call on each twin returns, or the words of what it raises."""
    results = []
    for kernel in twins("batch"):
        try:
            results.append(call(kernel))
        except (TypeError, ValueError, RuntimeError) as error:
            results.append(f"{type(error).__name__}: {error}")
    return results


def described(batch: Any) -> Any:
    """Return what a batch asks of whom."""
    if batch is None or isinstance(batch, str):
        return batch
    return [(part.shard, part.indices, b"".join(part.request)) for part in batch.parts()]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_twins_take_the_same_keys_and_items(data: st.DataObject) -> None:
    def drawn(values: Any, size: int) -> list[Any]:
        return data.draw(st.lists(values, min_size=size, max_size=size))

    count = data.draw(st.integers(0, 6))
    kind = (
        st.one_of(KEY_BYTES.map(bytes.decode), BAD_KEYS) if data.draw(st.booleans()) else GOOD_KEYS
    )
    keys = drawn(kind, count)
    size = data.draw(st.sampled_from([count, count, count, count + 1]))
    where = Shards(drawn(st.sampled_from([0, 1, 2, 2, 3, -1] if count > 4 else [0, 1, 2]), size))
    prefix = data.draw(PREFIXES)
    bare = data.draw(st.booleans())
    asked = both(lambda kernel: described(kernel.batch_of_keys(keys, where, 3, prefix, bare)))
    assert asked[0] == asked[-1]
    values = drawn(st.sampled_from([b"", b"1", b"\r\n", b"v" * 300, b"v" * 16384, "text"]), count)
    flags = data.draw(st.none()) if data.draw(st.booleans()) else drawn(NUMBERS, count)
    cas, until = drawn(NUMBERS, count), drawn(NUMBERS, count)
    verb = data.draw(st.sampled_from([b"set ", b"add ", b"replace ", b"replaces "]))
    marks = [0] * count if flags is None else flags
    items = list(zip(keys, values, marks, cas, until, strict=True))
    rest = (prefix, tuple, verb, STORED)
    stored = both(lambda kernel: described(kernel.batch_of_items(items, where, 3, *rest)))
    assert stored[0] == stored[-1]
    alike = (keys, values, flags, until[0] if until else 0, where, 3, prefix, verb, STORED)
    stored = both(lambda kernel: described(kernel.batch_of_values(*alike)))
    assert stored[0] == stored[-1]


def frames(names: list[bytes], bare: bool) -> Any:
    """Return what replies to gets are made of."""
    block = st.builds(
        value,
        st.sampled_from([*names, b"x", b"unasked"]),
        st.sampled_from([b"", b"1", b"END\r\n", b"v" * 200]),
        st.sampled_from([0, 0, 0, 1, 2**32 - 1, 2**32]),
        st.just(None) if bare else st.sampled_from([0, 7, 2**64 - 1, 2**64]),
    )
    odd = st.sampled_from(
        [END, b"SERVER_ERROR no\r\n", b"ERROR\r\n", b"HUH\r\n", b"VALUE a 0 1\r\n2\r\n", b"\n"]
    )
    return st.one_of(block, block, block, block, odd)


STORE_FRAMES = st.sampled_from(
    [b"STORED\r\n"] * 4
    + [b"NOT_STORED\r\n", b"EXISTS\r\n", b"NOT_FOUND\r\n", b"SERVER_ERROR out of memory\r\n"]
    + [b"SERVER_ERROR object too large for cache\r\n", b"ERROR\r\n", b"STORED\n", b"DELETED\r\n"]
)


def state(batch: Any, stores: bool) -> Any:
    return batch.outcomes() if stores else (batch.values(), batch.answers())


def held(
    stores: bool, keys: list[str], prefix: bytes, bare: bool, replies: list[bytes], sizes: Any
) -> None:
    """Feed both twins the same replies in the same pieces, and hold one to the other."""

    def outcome(kernel: ModuleType) -> Any:
        where = Shards([at % len(replies) for at in range(len(keys))])
        if stores:
            values = [b"v"] * len(keys)
            made = (keys, values, None, 0, where, 3, prefix, b"set ", STORED)
            batch = kernel.batch_of_values(*made)
        else:
            batch = kernel.batch_of_keys(keys, where, 3, prefix, bare)
        parts = batch.parts()
        ends = [
            (fed(part, reply, sizes), part.done, part.refusal)
            for part, reply in zip(parts, replies, strict=True)
        ]
        before = state(batch, stores)
        for part, end in zip(parts, ends, strict=True):
            if end[0] is not None or not end[1]:
                batch.condemn(part)
        return ends, before, state(batch, stores)

    outcomes = both(outcome)
    assert not isinstance(outcomes[0], str)
    assert outcomes[0] == outcomes[-1]


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_twins_make_the_same_of_any_reply(data: st.DataObject) -> None:
    stores, bare = data.draw(st.booleans()), data.draw(st.booleans())
    prefix = data.draw(st.sampled_from([b"", b"p:"]))
    names = st.sampled_from(["a", "b", "key", "key1", "k" * 17, "x:a"])
    keys = data.draw(st.lists(names, min_size=1, max_size=6))
    count = min(len(keys), data.draw(st.integers(1, 2)))
    replies = []
    for at in range(count):
        mine = [prefix + key.encode() for key in keys[at::count]]
        if stores:
            ends = data.draw(st.lists(STORE_FRAMES, max_size=len(mine) + 1))
        elif data.draw(st.booleans()):  # a good one, in some order
            order = data.draw(st.permutations(mine))
            token = None if bare else 7
            order = order[data.draw(st.integers(0, 1)) :]
            ends = [value(name, b"%d" % i, 0, token) for i, name in enumerate(order)] + [END]
        else:
            ends = data.draw(st.lists(frames(mine, bare), max_size=len(mine) + 2))
        reply = b"".join(ends)
        cut = data.draw(st.integers(0, 10))
        replies.append(reply if cut else reply[: len(reply) // 2])
    size = data.draw(st.sampled_from([1, 3, 17, 1 << 16, 1 << 16]))
    sizes = data.draw(st.lists(st.integers(1, 40), max_size=10)) + [size] * 4000
    held(stores, keys, prefix, bare, replies, sizes)


def test_twins_make_the_same_of_long_replies() -> None:
    chosen = random.Random(11)
    for _ in range(60):
        count = chosen.choice([31, 33, 70, 300])
        keys = [f"key{chosen.randrange(count)}" for _ in range(count)]
        order = chosen.sample(keys, count)
        if chosen.random() < 0.5:  # nearly in order, as from a server whose threads differ
            order = sorted(keys, key=lambda key: keys.index(key) + chosen.randrange(3))
        blocks = [value(key.encode(), b"%d" % i, i % 2, None) for i, key in enumerate(order)]
        del blocks[chosen.randrange(count) :: chosen.randrange(2, 9)]
        replies = [b"".join([*blocks, END])]
        sizes = [chosen.choice([1, 50, 1000, 1 << 16]) for _ in range(1 << 16)]
        held(False, keys, b"", True, replies, sizes)
        lines = chosen.choices([b"STORED\r\n", b"EXISTS\r\n", b"SERVER_ERROR no\r\n"], k=count)
        held(True, keys, b"", True, [b"".join(lines)], sizes)


# Requests of the twins of wire_request


@pytest.mark.parametrize("twin", twins("wire_request"), ids=lambda twin: twin.__name__)
def test_kinds_of_tokens(twin: ModuleType) -> None:
    plain, tokened = ("a", b"", 0, 0, 0), ("a", b"", 0, 2**63, 0)
    for items, kinds in (
        ([], 0),
        ([plain], 1),
        ((tokened,), 2),
        ([plain, tokened], 3),
        (iter([tokened, plain, plain]), 3),
    ):
        assert twin.token_kinds(items) == kinds
    with pytest.raises(IndexError):
        twin.token_kinds([("a", b"")])
    with pytest.raises(TypeError, match="not subscriptable"):
        twin.token_kinds([5])


@pytest.mark.parametrize("twin", twins("wire_request"), ids=lambda twin: twin.__name__)
def test_repeats_and_roomy_dicts(twin: ModuleType) -> None:
    many = [f"key{i}" for i in range(2000)]
    for keys in ([], ["a"], ["a", "b"], many[:500], many, [b"a", "b"]):
        assert twin.has_repeats(keys) is False
        assert twin.has_repeats([*keys, "z", "z"]) is True
        assert twin.has_repeats([*keys, *keys]) is bool(keys)
    with pytest.raises(TypeError, match="unhashable"):
        twin.has_repeats([[]])
    for count in (0, 5, 1000):
        made = twin.roomy_dict(count)
        assert made == {}
        made.update(dict.fromkeys(many))
        assert list(made) == many


class Odd(str):
    """Text that has its own idea of equality, and of its bytes."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def encode(self, *args: Any) -> bytes:
        raise AssertionError("nobody is to ask for it")


@pytest.mark.parametrize("twin", twins("wire"), ids=lambda twin: twin.__name__)
@pytest.mark.parametrize("kind", [str, str.encode, Odd])
def test_a_key_that_is_there_twice_has_its_value_twice(twin: ModuleType, kind: Any) -> None:
    a, b, c = b"VALUE pa 1 1 5\r\n1\r\n", b"VALUE pb 0 1 6\r\n2\r\n", b"VALUE pc 0 1 7\r\n3\r\n"
    keys = [kind(name) for name in ("a", "b", "a", "x", "c", "a", "x")]
    for blocks in ((a, b, c), (a, b, a, c, a), (c, b, a), (a, c, a, b, a), (b, a, a, c)):
        reply = twin.Reply(twin.codes.VALUES, len(keys))
        reply.feed(b"".join(blocks) + END)
        values, flags, cas, failures = reply.hits(keys, b"p")
        assert values == [b"1", b"2", b"1", None, b"3", b"1", None]
        assert list(flags) == [1, 0, 1, 0, 0, 1, 0]
        assert list(cas) == [5, 6, 5, 0, 7, 5, 0]
        assert failures is None
    for blocks in ((a, b, b), (a, a, a, a), (c, b, c)):
        reply = twin.Reply(twin.codes.VALUES, len(keys))
        reply.feed(b"".join(blocks) + END)
        with pytest.raises(ValueError, match=r"a key that was not asked for: b'p[abc]'"):
            reply.hits(keys, b"p")


@pytest.mark.parametrize("twin", twins("wire"), ids=lambda twin: twin.__name__)
def test_each_of_two_requests_for_a_key_has_its_own_answer(twin: ModuleType) -> None:
    reply = twin.Reply(twin.codes.META, 3, 0, 0, twin.codes.QUIET)
    reply.feed(b"VA 1 f0 c5 ka O0\r\n1\r\nVA 1 f0 c6 ka O1\r\n2\r\nMN\r\n")
    assert reply.hits(["a", "a", "b"], b"")[0] == [b"1", b"2", None]
    reply = twin.Reply(twin.codes.META, 3, 0, 0, twin.codes.QUIET)
    reply.feed(b"VA 1 f0 c6 ka O1\r\n2\r\nMN\r\n")
    assert reply.hits(["a", "a", "b"], b"")[0] == [b"2", b"2", None]
    reply = twin.Reply(twin.codes.META, 3, 0, 0, twin.codes.QUIET)
    reply.feed(b"VA 1 f0 c6 kb O1\r\n2\r\nMN\r\n")
    with pytest.raises(ValueError, match="a key that was not asked for: b'b'"):
        reply.hits(["a", "a", "b"], b"")


def test_the_pure_reader_looks_at_each_answer_once() -> None:
    module = twins("wire")[-1]
    steps = []
    for count in (500, 2000):
        keys = [f"key{i}" for i in range(count)]
        reply = module.Reply(module.codes.VALUES, count)
        reply.feed(b"".join(value(key.encode(), b"1") for key in reversed(keys)) + END)
        lines = 0

        def count_lines(*_: object) -> Any:
            nonlocal lines
            lines += 1
            return count_lines

        before = sys.gettrace()
        sys.settrace(count_lines)
        try:
            values = reply.hits(keys, b"")[0]
        finally:
            sys.settrace(before)
        assert values == [b"1"] * count
        steps.append(lines)
    assert steps[1] < 5 * steps[0]


class Spoiling(str):
    """Text that empties a list when it is compared."""

    victim: list[Any]

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        self.victim.clear()
        return False


@pytest.mark.parametrize("twin", twins("wire_request"), ids=lambda twin: twin.__name__)
def test_a_key_may_empty_the_list_that_is_looked_through(twin: ModuleType) -> None:
    keys: list[Any] = [Spoiling(str(i)) for i in range(40)]
    for key in keys:
        key.victim = keys
    assert twin.has_repeats(keys) is False
    assert keys == []


@pytest.mark.parametrize("twin", twins("wire_request"), ids=lambda twin: twin.__name__)
def test_a_key_is_its_own_text_whatever_its_methods_say(twin: ModuleType) -> None:
    class Raw(bytes):
        def __radd__(self, other: Any) -> bytes:
            raise AssertionError("nobody is to ask for it")

    assert twin.wire_key(Odd("key"), b"p:") == twin.wire_key(Raw(b"key"), b"p:") == b"p:key"
    assert twin.ascii_keys(b"get", [Odd("a"), Odd("a")], b"p:") == b"get p:a p:a\r\n"
