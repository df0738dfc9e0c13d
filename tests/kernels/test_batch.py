"""A batch over many plain sockets in two calls: what it takes, what it sends, what it makes of it.

Behind each socket a thread answers as soon as it was asked.
"""

import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import pytest
from conftest import twins

from godropbox import memcache
from godropbox._kernels import placement

Pairs = list[tuple[socket.socket, socket.socket]]
STORED = 15  # STORED, NOT_STORED, EXISTS, NOT_FOUND


@pytest.fixture(params=twins("batch"), ids=lambda twin: twin.__name__)
def twin(request: pytest.FixtureRequest) -> ModuleType:
    chosen: ModuleType = request.param
    return chosen


@pytest.fixture
def kernel(twin: ModuleType) -> ModuleType:
    """Give a twin that does batches."""
    if not twin.__name__.endswith("_c"):
        pytest.skip("the pure twin leaves every batch to others")
    return twin


@pytest.fixture
def sides() -> Iterator[Pairs]:
    pairs = [socket.socketpair() for _ in range(3)]
    for pair in pairs:
        pair[1].settimeout(10)
    yield pairs
    for pair in pairs:
        for end in pair:
            end.close()


class Places:
    """A placement that was written down."""

    def __init__(self, places: list[int]) -> None:
        self.places = places

    def of_many(self, keys: Iterable[Any]) -> list[int]:
        return self.places


def served(
    sides: Pairs, replies: dict[int, bytes], call: Callable[[], Any]
) -> tuple[Any, dict[int, bytes]]:
    """Return what a call returns while the servers reply, and what each of them was sent."""
    requests: dict[int, bytes] = {}

    def serve(place: int, reply: bytes) -> None:
        requests[place] = sides[place][1].recv(1 << 16)
        sides[place][1].sendall(reply)

    threads = [threading.Thread(target=serve, args=each) for each in replies.items()]
    for thread in threads:
        thread.start()
    result = call()
    for thread in threads:
        thread.join()
    return result, requests


def sockets(sides: Pairs, plan: Any) -> list[int]:
    return [sides[place][0].fileno() for place in plan.places]


def asked(
    kernel: ModuleType,
    sides: Pairs,
    keys: list[Any],
    places: list[int],
    replies: dict[int, bytes],
    prefix: bytes = b"",
    plain: bool = False,
) -> tuple[Any, dict[int, bytes]]:
    plan = kernel.plan(keys, Places(places), len(sides), prefix)
    return served(sides, replies, lambda: plan.get(sockets(sides, plan), 10.0, plain))


def value(key: bytes, data: bytes, flags: int = 0, cas: int | None = 7) -> bytes:
    token = b"" if cas is None else b" %d" % cas
    return b"VALUE %b %d %d%b\r\n%b\r\n" % (key, flags, len(data), token, data)


END = b"END\r\n"


def test_the_pure_twin_leaves_all_to_others(twin: ModuleType) -> None:
    is_native = twin.__name__.endswith("_c")
    assert (twin.plan(["a"], Places([0]), 1, b"") is not None) is is_native
    plan = twin.plan_values(["a"], [b"1"], None, 0, Places([0]), 1, b"")
    assert (plan is not None) is is_native


def test_each_key_gets_what_its_own_server_has(kernel: ModuleType, sides: Pairs) -> None:
    replies = {
        0: value(b"p:a", b"1", 5, 2**63) + value(b"p:d", b"") + END,
        2: value(b"p:c", b"3" * 9000) + END,
    }
    keys = ["a", "b", "c", "d", "e"]
    gathered, requests = asked(kernel, sides, keys, [0, 0, 2, 0, 2], replies, b"p:")
    values, flags, cas, failures = gathered
    assert requests == {0: b"gets p:a p:b p:d\r\n", 2: b"gets p:c p:e\r\n"}
    assert values == [b"1", None, b"3" * 9000, b"", None]
    assert list(flags) == [5, 0, 0, 0, 0]
    assert list(cas) == [2**63, 0, 7, 7, 0]
    assert failures == {}


def test_plain_values_are_a_dict_in_the_order_of_the_keys(kernel: ModuleType, sides: Pairs) -> None:
    replies = {
        0: value(b"d", b"4", 0, None) + END,
        1: value(b"a", b"1", 0, None) + value(b"b", b"", 0, None) + END,
        2: value(b"c", b"3", 9, None) + END,
    }
    keys = [b"a", b"b", b"c", b"d", b"e"]
    gathered, requests = asked(kernel, sides, keys, [1, 1, 2, 0, 0], replies, plain=True)
    assert requests == {0: b"get d e\r\n", 1: b"get a b\r\n", 2: b"get c\r\n"}
    found, rest, failures = gathered
    assert list(found.items()) == [(b"a", b"1"), (b"d", b"4")]
    assert rest == [(b"b", b"", 0), (b"c", b"3", 9)]
    assert failures == {}


def test_a_token_that_was_not_asked_for_is_a_wrong_reply(kernel: ModuleType, sides: Pairs) -> None:
    for cas, plain in ((7, True), (None, False)):
        replies = {0: value(b"a", b"1", 0, cas) + END}
        gathered, _ = asked(kernel, sides, ["a"], [0], replies, plain=plain)
        (failure, indices) = gathered[-1][0]
        assert "a line is not one that answers the request" in str(failure)
        assert indices == [0]


@pytest.mark.parametrize("names", [(b"b", b"a"), (b"b",), (b"a", b"b"), (b"c", b"a")])
def test_answers_may_come_in_any_order(
    kernel: ModuleType, sides: Pairs, names: tuple[bytes, ...]
) -> None:
    reply = b"".join(value(name, name * 3) for name in names) + END
    gathered, _ = asked(kernel, sides, [b"a", b"b", b"c"], [1, 1, 1], {1: reply})
    expected = [key * 3 if key in names else None for key in (b"a", b"b", b"c")]
    assert gathered[0] == expected
    assert gathered[3] == {}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (value(b"x", b"1") + END, "a key that was not asked for: b'x'"),
        (value(b"b", b"1") + END, "a key that was not asked for: b'b'"),  # another server's
        (value(b"a", b"1") + value(b"a", b"2") + END, "a key that was not asked for: b'a'"),
        (b"HUH\r\n", "a line is not one that answers the request: b'HUH\\r\\n' at byte 0"),
        (END + b"END\r\n", "after the end of the reply"),
    ],
)
def test_a_wrong_reply_fails_that_server_alone(
    kernel: ModuleType, sides: Pairs, reply: bytes, words: str
) -> None:
    replies = {0: reply, 1: value(b"b", b"2") + END}
    gathered, _ = asked(kernel, sides, ["a", "b", "c"], [0, 1, 0], replies)
    assert gathered[0][1] == b"2"
    assert list(gathered[3]) == [0]
    failure, indices = gathered[3][0]
    assert isinstance(failure, ValueError)
    assert words in str(failure)
    assert indices == [0, 2]


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (b"HUH\r\n", "a line is not one that answers the request: b'HUH"),
        (value(b"x", b"1", 0, None) + END, "a key that was not asked for: b'x'"),
        (value(b"x", b"1", 0, None) + b"HUH\r\n", "a line is not one that answers the request"),
        (value(b"a", b"2", 0, None) + END, "a key that was not asked for: b'a'"),
        (END + b"x", "after the end of the reply: b'x' at byte"),
        (b"SERVER_ERROR backend failure\r\n" + END, "b'SERVER_ERROR backend failure"),
    ],
)
def test_no_value_of_a_condemned_reply_is_returned(
    kernel: ModuleType, sides: Pairs, tail: bytes, words: str
) -> None:
    for plain in (True, False):
        head = value(b"a", b"1", 0, None if plain else 7)
        if not plain:
            tail = tail.replace(b" 1\r\n", b" 1 7\r\n")
        replies = {0: head + tail, 1: value(b"b", b"2", 0, None if plain else 7) + END}
        gathered, _ = asked(kernel, sides, ["a", "b", "c"], [0, 1, 0], replies, plain=plain)
        assert gathered[0] == ({"b": b"2"} if plain else [None, b"2", None])
        failure, indices = gathered[-1][0]
        assert isinstance(failure, ValueError)
        assert words in str(failure)
        assert indices == [0, 2]


def test_a_refusal_with_more_behind_it_is_a_wrong_reply(kernel: ModuleType, sides: Pairs) -> None:
    replies = {0: b"SERVER_ERROR out of memory\r\n" + END, 1: END}
    gathered, _ = asked(kernel, sides, ["a", "b"], [0, 1], replies)
    assert "after the end of the reply" in str(gathered[3][0][0])


@pytest.mark.parametrize("plain", [True, False])
def test_values_of_a_reply_that_is_cut_short_are_not_returned(
    kernel: ModuleType, sides: Pairs, plain: bool
) -> None:
    plan = kernel.plan(["a", "c", "b"], Places([0, 0, 1]), 3, b"")

    def serve(place: int) -> None:
        sides[place][1].recv(1 << 16)
        token = None if plain else 7
        sides[place][1].sendall(value(b"ab"[place : place + 1], b"1", 0, token))
        if place == 0:
            sides[place][1].shutdown(socket.SHUT_RDWR)
        else:
            sides[place][1].sendall(END)

    threads = [threading.Thread(target=serve, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    gathered = plan.get(sockets(sides, plan), 10.0, plain)
    for thread in threads:
        thread.join()
    assert gathered[0] == ({"b": b"1"} if plain else [None, None, b"1"])
    failure, indices = gathered[-1][0]
    assert isinstance(failure, ConnectionResetError)
    assert indices == [0, 1]


def test_many_answers_in_any_order_are_found(kernel: ModuleType, sides: Pairs) -> None:
    keys = [f"key{i}" for i in range(5000)]
    shuffled = random.Random(3).sample(keys, len(keys))
    for order in (keys[::-1], keys[2500:] + keys[:2500], shuffled, keys[1::2] + keys[::2]):
        reply = b"".join(value(key.encode(), key.encode(), 0, None) for key in order) + END
        plan = kernel.plan(keys, Places([1] * len(keys)), 3, b"")

        def serve(reply: bytes = reply) -> None:
            size = 0
            while size < len(" ".join(["get", *keys])) + 2:
                size += len(sides[1][1].recv(1 << 20))
            sides[1][1].sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        found, rest, failures = plan.get(sockets(sides, plan), 10.0, True)
        thread.join()
        assert found == {key: key.encode() for key in keys}
        assert (rest, failures) == ([], {})


def test_a_refusal_is_told_by_its_status_and_words(kernel: ModuleType, sides: Pairs) -> None:
    replies = {0: b"SERVER_ERROR out of memory\r\n", 1: END}
    gathered, _ = asked(kernel, sides, ["a", "b"], [0, 1], replies)
    assert gathered[0] == [None, None]
    assert gathered[3] == {0: ((0x82, b"SERVER_ERROR out of memory"), [0])}


def test_replies_come_in_pieces_of_any_size(kernel: ModuleType, sides: Pairs) -> None:
    keys = [f"key{i}" for i in range(120)]
    expected = {key: key.encode() * (i * i) for i, key in enumerate(keys) if i}
    plan = kernel.plan(keys, Places([i % 3 for i in range(120)]), 3, b"")

    def serve(place: int) -> None:
        near = sides[place][1]
        names = near.recv(1 << 16).split()[1:]
        reply = b"".join(value(name, expected.get(name.decode(), b""), 0, None) for name in names)
        reply += END
        for start in range(0, len(reply), 9973):
            near.sendall(reply[start : start + 9973])
            if start < 50_000:
                time.sleep(0.001)  # or the pieces come as one

    threads = [threading.Thread(target=serve, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    found, rest, failures = plan.get(sockets(sides, plan), 10.0, True)
    for thread in threads:
        thread.join()
    assert found == expected
    assert rest == [("key0", b"", 0)]
    assert failures == {}


def test_a_server_that_is_silent_is_late(kernel: ModuleType, sides: Pairs) -> None:
    plan = kernel.plan(["a", "b"], Places([0, 1]), 3, b"")
    (found, _, failures), _ = served(
        sides,
        {1: value(b"b", b"2", 0, None) + END},
        partial(plan.get, sockets(sides, plan), 0.2, True),
    )
    assert found == {"b": b"2"}
    failure, indices = failures[0]
    assert isinstance(failure, TimeoutError)
    assert indices == [0]


def test_a_server_that_goes_away_is_told_of(kernel: ModuleType, sides: Pairs) -> None:
    plan = kernel.plan(["a", "b"], Places([0, 1]), 3, b"")

    def call() -> Any:
        threading.Timer(0.01, sides[0][1].shutdown, (socket.SHUT_RDWR,)).start()
        return plan.get(sockets(sides, plan), 10.0, True)

    (found, _, failures), _ = served(sides, {1: value(b"b", b"2", 0, None) + END}, call)
    assert found == {"b": b"2"}
    assert isinstance(failures[0][0], ConnectionResetError)


# Storing


def test_items_are_stored_each_on_its_own_server(kernel: ModuleType, sides: Pairs) -> None:
    items = [
        ("a", b"1", 0, 0, 0),
        ("b", b"22", 4294967295, 0, -1),
        ("c", b"", 3, 18, 4294967295),
        (b"d", b"\r\n" * 60, 10, 0, 100),
        ("e", b"5", 0, 0, -(2**31)),
    ]
    plan = kernel.plan(items, Places([0, 1, 0, 1, 0]), 3, b"p:", tuple)
    replies = {
        0: b"STORED\r\nEXISTS\r\nSERVER_ERROR out of memory\r\n",
        1: b"STORED\r\nNOT_STORED\r\n",
    }
    stored, requests = served(
        sides, replies, lambda: plan.store(sockets(sides, plan), b"set ", STORED, 10.0)
    )
    assert requests == {
        0: b"set p:a 0 0 1\r\n1\r\ncas p:c 3 4294967295 0 18\r\n\r\n"
        b"set p:e 0 -2147483648 1\r\n5\r\n",
        1: b"set p:b 4294967295 -1 2\r\n22\r\nset p:d 10 100 120\r\n" + b"\r\n" * 60 + b"\r\n",
    }
    statuses, refusals, failures = stored
    assert list(statuses) == [0, 0, 2, 5, 0]
    assert refusals == {4: (0x82, b"SERVER_ERROR out of memory")}
    assert failures == {}


def test_values_are_stored_with_one_expiry(kernel: ModuleType, sides: Pairs) -> None:
    for flags, words in ((None, (b"0", b"0")), ([7, 12], (b"7", b"12"))):
        plan = kernel.plan_values(["a", "b"], [b"x", b"yy"], flags, 60, Places([2, 2]), 3, b"")
        stored, requests = served(
            sides,
            {2: b"STORED\r\n" * 2},
            partial(plan.store, sockets(sides, plan), b"set ", STORED, None),
        )
        assert requests == {2: b"set a %b 60 1\r\nx\r\nset b %b 60 2\r\nyy\r\n" % words}
        assert stored == (b"\0\0", {}, {})


def test_a_store_that_cannot_be_trusted_fails_its_server(kernel: ModuleType, sides: Pairs) -> None:
    plan = kernel.plan_values(["a", "b", "c"], [b"1"] * 3, None, 0, Places([0, 1, 0]), 3, b"")
    replies = {0: b"STORED\r\nCLIENT_ERROR bad data chunk\r\n", 1: b"STORED\r\n"}
    stored, _ = served(
        sides, replies, lambda: plan.store(sockets(sides, plan), b"set ", STORED, 10.0)
    )
    assert stored[1] == {}
    assert list(stored[2]) == [0]
    assert stored[2][0][1] == [0, 2]


def test_more_than_all_buffers_hold_goes_both_ways(kernel: ModuleType, sides: Pairs) -> None:
    keys = [f"key{i}" for i in range(3000)]
    values = [b"%d" % i * 2000 for i in range(3000)]
    plan = kernel.plan_values(keys, values, None, 0, Places([i % 3 for i in range(3000)]), 3, b"")

    def serve(place: int) -> None:
        near, size = sides[place][1], 0
        expected = sum(
            len(b"set %b 0 0 %d\r\n" % (keys[i].encode(), len(values[i]))) + len(values[i]) + 2
            for i in range(place, 3000, 3)
        )
        while size < expected:
            size += len(near.recv(1 << 16))
        near.sendall(b"STORED\r\n" * 1000)

    threads = [threading.Thread(target=serve, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    stored = plan.store(sockets(sides, plan), b"set ", STORED, 30.0)
    for thread in threads:
        thread.join()
    assert stored == (bytes(3000), {}, {})


# What is left to others, and what is wrong


@pytest.mark.parametrize(
    "keys", [["a b"], [""], ["a" * 249], ["a", b"b"], [5], ["\udc80"], ["a", "x\x7f"], []]
)
def test_a_key_that_is_not_plain_is_left_to_others(twin: ModuleType, keys: list[Any]) -> None:
    assert twin.plan(keys, Places([0] * len(keys)), 1, b"p:") is None
    if keys != ["a", b"b"]:  # two items may not be one on the wire, where keys are not answered for
        values = [b"v"] * len(keys)
        places = Places([0] * len(keys))
        assert twin.plan_values(keys, values, None, 0, places, 1, b"p:") is None


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
        ("a", b"1", 0, 0, 1 << 32),
        ("a", b"1", 0, 0, 1.5),
        ("a", b"1", 0, 0, 10**30),
        ("a", b"1", 0, 0),
        ["a", b"1", 0, 0, 0],
    ],
)
def test_an_item_that_is_not_plain_is_left_to_others(twin: ModuleType, item: Any) -> None:
    good = ("b", b"1", 0, 0, 0)
    assert twin.plan([good], Places([0]), 1, b"", memcache.Item) is None
    assert twin.plan([good], Places([0]), 1, b"", int) is None
    assert twin.plan([good, item], Places([0, 0]), 1, b"", tuple) is None
    if len(item) == 5 and type(item) is tuple and item[3] == 0:
        flags = [0, item[2]]
        values, until = [b"1", item[1]], item[4]
        places = Places([0, 0])
        assert twin.plan_values(["b", "a"], values, flags, until, places, 1, b"") is None


@pytest.mark.parametrize("place", [-1, -2, 3, 70000])
def test_a_key_of_no_server_is_left_to_others(twin: ModuleType, place: int) -> None:
    assert twin.plan(["a", "b"], Places([0, place]), 3, b"") is None


@pytest.mark.parametrize("how", ["closed", "unasked"])
def test_nothing_is_sent_where_a_socket_is_unfit(
    kernel: ModuleType, sides: Pairs, how: str
) -> None:
    sides[1][1].close() if how == "closed" else sides[1][1].sendall(b"END\r\n")
    plan = kernel.plan(["a", "b"], Places([0, 1]), 3, b"")
    assert plan.get(sockets(sides, plan), 10.0, True) is None
    sides[0][1].setblocking(False)
    with pytest.raises(BlockingIOError):
        sides[0][1].recv(1)


def test_a_plan_is_for_once(kernel: ModuleType, sides: Pairs) -> None:
    plan = kernel.plan(["a"], Places([0]), 3, b"")
    with pytest.raises(ValueError, match="fds must be 1, one a place, got 2"):
        plan.get([1, 2], 1.0, True)
    with pytest.raises(ValueError, match="verb must be at most 8 bytes, got 9"):
        plan.store(sockets(sides, plan), b"replaces ", STORED, 1.0)
    served(sides, {0: END}, lambda: plan.get(sockets(sides, plan), 10.0, True))
    with pytest.raises(RuntimeError, match="carried out before"):
        plan.get([sides[0][0].fileno()], 1.0, True)
    with pytest.raises(TypeError, match="made by plan"):
        type(plan)()
    with pytest.raises(ValueError, match="values and flags must be 2, one a key"):
        kernel.plan_values(["a", "b"], [b"1"], None, 0, Places([0, 0]), 1, b"")
    with pytest.raises(ValueError, match="places must be 2, one a key, got 1"):
        kernel.plan(["a", "b"], Places([0]), 1, b"")


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


def test_a_placement_has_nothing_that_the_batch_points_into(
    kernel: ModuleType, sides: Pairs
) -> None:
    keys = ["-".join(["key", str(i)]) * 3 for i in range(50)]
    given = list(keys)
    plan = kernel.plan(given, Emptying(), 3, b"")
    assert given == keys
    _, requests = served(sides, {0: END}, partial(plan.get, sockets(sides, plan), 10.0, True))
    assert requests == {0: " ".join(["get", *keys]).encode() + b"\r\n"}
    items = [(key, b"1", 0, 0, 0) for key in keys]
    plan = kernel.plan(items, Emptying(), 3, b"", tuple)
    _, requests = served(
        sides, {0: b"STORED\r\n" * 50}, partial(plan.store, sockets(sides, plan), b"set ", 15, 10.0)
    )
    assert requests == {0: b"".join(b"set %b 0 0 1\r\n1\r\n" % key.encode() for key in keys)}


def test_a_plan_that_was_carried_out_is_no_other_batch_s(kernel: ModuleType, sides: Pairs) -> None:
    first = kernel.plan(["a"], Places([0]), 3, b"")
    served(sides, {0: END}, lambda: first.get(sockets(sides, first), 10.0, True))
    unplaced = kernel.plan(["a"], Places([-1]), 3, b"")
    assert unplaced is None
    second = kernel.plan(["b"], Places([1]), 3, b"")
    assert second is not first
    assert (first.places, second.places) == ([], [1])
    with pytest.raises(RuntimeError, match="carried out before"):
        first.get([sides[1][0].fileno()], 10.0, True)
    with pytest.raises(RuntimeError, match="carried out before"):
        first.store([sides[1][0].fileno()], b"set ", STORED, 10.0)
    replies = {1: value(b"b", b"2", 0, None) + END}
    (found, _, _), requests = served(
        sides, replies, partial(second.get, sockets(sides, second), 10.0, True)
    )
    assert requests == {1: b"get b\r\n"}
    assert found == {"b": b"2"}


def test_two_plans_at_once_do_not_share_their_room(kernel: ModuleType, sides: Pairs) -> None:
    plans = [kernel.plan([key], Places([place]), 3, b"") for place, key in enumerate("abc")]
    for place in (2, 0, 1):
        name = b"abc"[place : place + 1]
        (found, _, _), requests = served(
            sides,
            {place: value(name, name * 5, 0, None) + END},
            partial(plans[place].get, sockets(sides, plans[place]), 10.0, True),
        )
        assert requests == {place: b"get %b\r\n" % name}
        assert found == {name.decode(): name * 5}


def test_a_signal_is_handled_and_may_end_the_batch(kernel: ModuleType, sides: Pairs) -> None:
    if not hasattr(signal, "setitimer"):
        pytest.skip("there are no interval timers here")
    plan = kernel.plan(["a"], Places([0]), 3, b"")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            plan.get(sockets(sides, plan), 10.0, True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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
        places = rule.of_many(keys)
        assert kernel.plan(keys, rule, 40, b"").places == list(dict.fromkeys(places))
    # Rendezvous hashes characters, and not bytes, where that is not the same.
    assert kernel.plan(["k\u00e9y"], rules[-1], 40, b"") is None
    assert kernel.plan(["k\u00e9y"], rules[0], 40, b"") is not None


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
