"""A batch of keys asked of many plain sockets in one call: what it takes, and what it makes of it.

Behind each socket a thread answers as soon as it was asked.
"""

import socket
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from conftest import twins

Pairs = list[tuple[socket.socket, socket.socket]]


@pytest.fixture(params=twins("scatter"), ids=lambda twin: twin.__name__)
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    twin: ModuleType = request.param
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


def has_lines(kernel: ModuleType) -> bool:
    """Tell whether a twin has a way of its own over sockets: the pure one has none."""
    return kernel.open_scatter(1, None) is not None


def asked(
    kernel: ModuleType,
    sides: Pairs,
    keys: list[Any],
    places: list[int],
    replies: dict[int, bytes],
    prefix: bytes = b"",
) -> tuple[Any, dict[int, bytes]]:
    """Return what is made of the replies, and what each server was sent."""
    requests: dict[int, bytes] = {}

    def serve(place: int, reply: bytes) -> None:
        requests[place] = sides[place][1].recv(4096)
        sides[place][1].sendall(reply)

    threads = [threading.Thread(target=serve, args=each) for each in replies.items()]
    for thread in threads:
        thread.start()
    fds = [near.fileno() for near, _ in sides]
    gathered = kernel.gather(fds, keys, places, b"gets", prefix, 10.0)
    if not has_lines(kernel):
        assert gathered is None
        for place in replies:
            sides[place][0].sendall(b"nothing")
    for thread in threads:
        thread.join()
    return gathered, requests


def value(key: bytes, data: bytes, flags: int = 0, cas: int = 7) -> bytes:
    return b"VALUE %b %d %d %d\r\n%b\r\n" % (key, flags, len(data), cas, data)


END = b"END\r\n"


def test_each_key_gets_what_its_own_server_has(kernel: ModuleType, sides: Pairs) -> None:
    replies = {
        0: value(b"p:a", b"1", 5, 2**63) + value(b"p:d", b"") + END,
        2: value(b"p:c", b"3" * 9000) + END,
    }
    keys = ["a", "b", "c", "d", "e"]
    gathered, requests = asked(kernel, sides, keys, [0, 0, 2, 0, 2], replies, b"p:")
    if not has_lines(kernel):
        return
    values, flags, cas, failures = gathered
    assert requests == {0: b"gets p:a p:b p:d\r\n", 2: b"gets p:c p:e\r\n"}
    assert values == [b"1", None, b"3" * 9000, b"", None]
    assert list(flags) == [5, 0, 0, 0, 0]
    assert list(cas) == [2**63, 0, 7, 7, 0]
    assert failures == {}


@pytest.mark.parametrize("names", [(b"b", b"a"), (b"b",), (b"a", b"b")])
def test_answers_may_come_in_any_order(
    kernel: ModuleType, sides: Pairs, names: tuple[bytes, ...]
) -> None:
    reply = b"".join(value(name, name * 3) for name in names) + END
    gathered, _ = asked(kernel, sides, [b"a", b"b"], [1, 1], {1: reply})
    if not has_lines(kernel):
        return
    expected = [key * 3 if key in names else None for key in (b"a", b"b")]
    assert gathered[0] == expected
    assert gathered[3] == {}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (value(b"x", b"1") + END, "a key that was not asked for: b'x'"),
        (value(b"b", b"1") + END, "a key that was not asked for: b'b'"),  # another server's
        (value(b"a", b"1") + value(b"a", b"2") + END, "a key that was not asked for: b'a'"),
        (b"HUH\r\n", "a line is not one that answers the request"),
    ],
)
def test_a_wrong_reply_fails_that_server_alone(
    kernel: ModuleType, sides: Pairs, reply: bytes, words: str
) -> None:
    replies = {0: reply, 1: value(b"b", b"2") + END}
    gathered, _ = asked(kernel, sides, ["a", "c", "b"], [0, 0, 1], replies)
    if not has_lines(kernel):
        return
    assert gathered[0][2] == b"2"
    assert list(gathered[3]) == [0]
    assert isinstance(gathered[3][0], ValueError)
    assert words in str(gathered[3][0])


def test_a_refusal_is_told_by_its_status_and_words(kernel: ModuleType, sides: Pairs) -> None:
    replies = {0: b"SERVER_ERROR out of memory\r\n", 1: END}
    gathered, _ = asked(kernel, sides, ["a", "b"], [0, 1], replies)
    if has_lines(kernel):
        assert gathered[0] == [None, None]
        assert gathered[3] == {0: (0x82, b"SERVER_ERROR out of memory")}


def test_a_server_that_is_silent_is_late(kernel: ModuleType, sides: Pairs) -> None:
    fds = [near.fileno() for near, _ in sides]
    gathered = kernel.gather(fds, ["a"], [0], b"gets", b"", 0.02)
    if has_lines(kernel):
        assert [type(error) for error in gathered[3].values()] == [TimeoutError]


@pytest.mark.parametrize(
    "keys", [["a b"], [""], ["a" * 249], ["a", b"b"], [5], ["\udc80"], ["a", "x\x7f"]]
)
def test_what_is_not_plain_is_left_to_others(
    kernel: ModuleType, sides: Pairs, keys: list[Any]
) -> None:
    fds = [near.fileno() for near, _ in sides]
    assert kernel.gather(fds, keys, [0] * len(keys), b"gets", b"p:", 10.0) is None
    sides[0][1].setblocking(False)
    with pytest.raises(BlockingIOError):
        sides[0][1].recv(1)


@pytest.mark.parametrize("how", ["closed", "unasked"])
def test_nothing_is_sent_where_a_socket_is_unfit(
    kernel: ModuleType, sides: Pairs, how: str
) -> None:
    sides[1][1].close() if how == "closed" else sides[1][1].sendall(b"END\r\n")
    fds = [near.fileno() for near, _ in sides]
    assert kernel.gather(fds, ["a", "b"], [0, 1], b"gets", b"", 10.0) is None
    sides[0][1].setblocking(False)
    with pytest.raises(BlockingIOError):
        sides[0][1].recv(1)


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
