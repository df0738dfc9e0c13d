"""Generated sequences of operations: the mock and a real memcached give the same answers.

Each sequence runs step by step on both, over each protocol. Tokens differ from server to server,
so that a step names one by the read that saw it. Where protocols tell the same thing by different
statuses, only whether it was done is compared.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.memcached import Server, need_tokens

from godropbox import memcache
from godropbox.memcache import Item
from godropbox.memcache.testing import MockClient

from .conftest import PROTOCOLS

Step = tuple[str, tuple[Any, ...]]

GOOD_KEYS = ["a", b"a", "é", "é".encode(), "k" * 250]
KEYS = st.sampled_from([*GOOD_KEYS, *GOOD_KEYS, "", "a b", b"\x7f", 5])
# No counter comes up to 2**63, from where memcached looks for a minus sign in what happens to
# follow the item in its memory, and may find one.
COUNTERS = [b"", b"0", b"9", b"10", b"99", b"100 ", b" +7 x", b"-1", b"18446744073709551616"]
VALUES = st.sampled_from(COUNTERS) | st.binary(max_size=40).map(
    lambda value: value * 900 if len(value) > 35 else value
)
EXPIRES = st.sampled_from([0, 0, 0, 1000, 2**31 - 1, -1, -(2**31), 2**31, 2**32])
FLAGS = st.sampled_from([0, 0, 7, 2**32 - 1, -1, 2**32])
DELTAS = st.sampled_from([0, 1, 1, 9, 90, 10**9, 2**64, -1])
# Which of the tokens seen so far; None for none, and one that nothing has.
TOKENS = st.none() | st.integers(0, 9) | st.just("unknown")

ITEMS = st.tuples(KEYS, VALUES, FLAGS, st.none(), EXPIRES)
CAS_ITEMS = st.tuples(KEYS, VALUES, FLAGS, TOKENS, EXPIRES)


def step(name: str, *arguments: "st.SearchStrategy[Any]") -> "st.SearchStrategy[Step]":
    return st.tuples(st.just(name), st.tuples(*arguments))


STEPS = st.lists(
    step("get", KEYS)
    | step("get_multi", st.lists(KEYS, max_size=6))
    | step("gat", KEYS, EXPIRES)
    | step("set", CAS_ITEMS)
    | step("add", ITEMS)
    | step("replace", ITEMS)
    | step("cas", CAS_ITEMS)
    | step("set_multi", st.lists(CAS_ITEMS, max_size=4))
    | step("add_multi", st.lists(ITEMS, max_size=4))
    | step("cas_multi", st.lists(CAS_ITEMS, max_size=4))
    | step("append", KEYS, VALUES)
    | step("prepend", KEYS, VALUES)
    | step("delete", KEYS)
    | step("delete_multi", st.lists(KEYS, max_size=4))
    | step("touch", KEYS, EXPIRES)
    | step("increment", KEYS, DELTAS)
    | step("decrement", KEYS, DELTAS)
    | step("increment", KEYS, DELTAS, DELTAS, EXPIRES)
    | step("flush"),
    min_size=1,
    max_size=30,
)

# Whether it was done is all that every protocol tells of these in the same way.
PLAIN = {"add", "replace", "add_multi", "cas_multi", "append", "prepend"}


class Player:
    """A client, and the tokens that its reads saw."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.tokens: list[int] = []

    def item(self, given: tuple[Any, ...]) -> Item:
        key, value, flags, which, expire = given
        if which == "unknown":
            return Item(key, value, flags, 2**63 + 1, expire)
        return Item(key, value, flags, self.token(which), expire)

    def token(self, which: int | None) -> int:
        return 0 if which is None or not self.tokens else self.tokens[which % len(self.tokens)]

    def play(self, name: str, given: tuple[Any, ...]) -> Any:
        """Return what a step answers or raises, in a form that can be compared."""
        if name in ("set", "add", "replace", "cas"):
            given = (self.item(given[0]),)
        elif name in ("set_multi", "add_multi", "cas_multi"):
            given = ([self.item(each) for each in given[0]],)
        try:
            answer = getattr(self.client, name)(*given)
        except memcache.UsageError as error:
            return type(error), str(error)
        if name == "get_multi":
            return [(key, self.told(name, each)) for key, each in answer.items()]
        if isinstance(answer, list):
            return [self.told(name, each) for each in answer]
        return self.told(name, answer)

    def told(self, name: str, answer: Any) -> tuple[Any, ...]:
        error = type(answer.error), str(answer.error) if name.endswith("multi") else ""
        if isinstance(answer, memcache.GetResponse):
            if answer.found:
                assert answer.cas > 0
                self.tokens.append(answer.cas)
            return answer.key, answer.status, answer.value, answer.flags, error
        status = answer.ok if name in PLAIN else answer.status
        told = getattr(answer, "key", None), status, error
        return (*told, answer.count) if isinstance(answer, memcache.CountResponse) else told


@pytest.fixture
def real(servers: Callable[[str], Server], protocol: str) -> Iterator[memcache.RawClient]:
    channel = memcache.connect(servers("tcp").address, timeout=10.0, connect_timeout=10.0)
    client = PROTOCOLS[protocol](channel)
    yield client
    client.close()


def creates(each: Step) -> bool:
    return each[0] == "increment" and len(each[1]) > 2


def test_the_mock_answers_as_the_server_does(real: memcache.RawClient) -> None:
    need_tokens()

    @settings(deadline=None, max_examples=100)
    @given(steps=STEPS)
    def check(steps: list[Step]) -> None:
        assert real.flush().ok
        players = Player(real), Player(MockClient())
        for name, given_ in steps:
            if creates((name, given_)) and not real.capabilities.increment_creates:
                continue
            server, mock = (player.play(name, given_) for player in players)
            assert server == mock, (name, given_)
        assert real.is_valid

    check()
