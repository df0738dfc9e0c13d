"""What a plan says, against what the shard functions do; and, over real servers, what moves."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from godropbox.fleet import Layout, Move, Planner, moving, plan
from godropbox.fleet.planning import COMPARED, FUNCTIONS
from godropbox.fleet.reports import plan_as_json, plan_as_tables
from godropbox.fleet.svg import drawn
from godropbox.memcache import Client, Hash2, Jump, Ketama, ShardState
from godropbox.memcache.discovery.types import Server
from godropbox.memcache.errors import InvalidArgumentError, InvalidTypeError

OLD = ["10.0.0.1:11211", "10.0.0.2:11211", "10.0.0.3:11211"]
NEW = [*OLD, "10.0.0.4:11211"]
KEYS = [f"user:{number}" for number in range(2000)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_plan_counts_what_the_function_moves(name: str) -> None:
    function = FUNCTIONS[name]
    found = plan(OLD, NEW, KEYS, function=function, sizes=[10] * len(KEYS))
    pairs = Counter(
        (OLD[at], NEW[to])
        for at, to in zip(
            function.bind(OLD).of_many(KEYS), function.bind(NEW).of_many(KEYS), strict=True
        )
    )
    wanted = {pair: keys for pair, keys in pairs.items() if pair[0] != pair[1]}
    assert {(move.source, move.target): move.keys for move in found.moves} == wanted
    assert all(one.keys >= other.keys for one, other in pairwise(found.moves))
    assert found.moved == sum(wanted.values())
    assert found.share == found.moved / len(KEYS)
    assert (found.size, found.moved_size) == (20_000, found.moved * 10)
    assert sum(each.before or 0 for each in found.loads) == len(KEYS)
    assert sum(each.after or 0 for each in found.loads) == len(KEYS)
    assert [each.before is None for each in found.loads] == [False, False, False, True]
    [chosen] = [each for each in found.alternatives if each.is_chosen]
    assert (chosen.function, chosen.moved) == (name, found.share)


def test_growing_moves_keys_to_the_new_server_alone_and_removing_the_middle_does_not() -> None:
    grown = plan(OLD, NEW, KEYS)
    assert {move.target for move in grown.moves} == {NEW[3]}
    shrunk = plan(NEW, [NEW[0], *NEW[2:]], KEYS)
    assert len({move.source for move in shrunk.moves}) > 1
    by = {each.function: each.moved for each in shrunk.alternatives}
    assert by["rendezvous"] < 0.5 * by["hash2"]


def test_another_shard_function() -> None:
    found = plan(OLD, OLD, KEYS, function=Hash2(), after_function=Ketama())
    assert found.share > 0.4
    assert not any(each.is_chosen for each in found.alternatives)
    assert plan(OLD, OLD, KEYS).moved == 0


def test_names_are_what_counts_and_states_what_serves() -> None:
    before = [Server(f"cache-{n}", f"10.0.0.{n}:11211") for n in range(3)]
    moved = [Server(f"cache-{n}", f"10.9.9.{n}:11211") for n in range(3)]
    assert plan(before, moved, KEYS, function=Ketama()).moved == 0
    down = [*before[:2], before[2]._replace(state=ShardState.DOWN)]
    found = plan(before, down, KEYS)
    assert found.moves == (Move("cache-2", None, found.moved),)
    assert found.lost == found.share > 0.2
    back = plan(down, before, KEYS)
    assert back.moves == (Move(None, "cache-2", found.moved),)
    assert back.lost == 0
    # Those reads miss already: nobody loses a hit.
    assert (found.missed, found.regained) == (found.share, 0)
    assert (back.missed, back.regained) == (0, back.share)
    # A dead server goes: its keys get one again, and those of others stay where they are.
    gone = plan(down, before[:2], KEYS, function=Ketama())
    assert gone.share == gone.regained > 0.2
    assert gone.missed == 0
    assert plan(down, [down[2]], KEYS).missed == 1
    assert plan([down[2]], before, KEYS).missed == 0
    words = list(plan_as_tables(gone, 0.8, "#"))
    assert f"{gone.share:.1%} of the keys get a server again" in words
    assert "the hit rate falls from 80.0% to 80.0% at first" in words
    told = plan_as_json(gone, "ketama", 0.8, {})
    assert told["hit_rate"] == {"now": 0.8, "then": 0.8}
    assert (told["missed"], told["regained"]) == (0, gone.share)
    assert "0.0% of the reads that hit now miss at first" in drawn(gone)


def test_keys_that_are_none_and_no_keys() -> None:
    bad: Any = [*KEYS, None, 5]
    found = plan(OLD, NEW, bad)
    assert (found.keys, found.unplaced) == (len(KEYS), 2)
    empty = plan(OLD, NEW, [])
    assert (empty.keys, empty.share, empty.size, empty.alternatives) == (0, 0.0, None, ())


def test_strays_do_not_count() -> None:
    planner = Planner(Layout.of(OLD), Layout.of(NEW))
    planner.add(KEYS, [1] * len(KEYS), at=0)
    found = planner.result()
    mine = sum(shard == 0 for shard in Hash2().bind(OLD).of_many(KEYS))
    assert (found.keys, found.size, found.strays) == (mine, mine, len(KEYS) - mine)
    assert {move.source for move in found.moves} == {OLD[0]}
    none = Planner(Layout.of(OLD[:1]), Layout.of(OLD))
    none.add([], [], at=0)
    assert none.result().keys == 0


def test_the_sample_is_spread_over_all_keys() -> None:
    planner = Planner(Layout.of(OLD), Layout.of(NEW))
    total = 3 * COMPARED
    for begin in range(0, total, 7000):
        planner.add([str(number) for number in range(begin, min(total, begin + 7000))])
    kept = [int(key) for key in planner._sample]
    assert len(kept) <= COMPARED
    assert kept == list(range(0, total, kept[1] - kept[0]))


@settings(max_examples=20)
@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True),
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True),
    st.sampled_from([Hash2(), Jump(), Ketama()]),
)
def test_the_keys_that_move_are_those_that_are_counted(
    before: list[str], after: list[str], function: Any
) -> None:
    keys = KEYS[:200]
    found = plan(before, after, keys, function=function)
    old, new = Layout.of(before, function), Layout.of(after, function)
    listed = list(moving(old, new, keys))
    assert len(listed) == found.moved
    for key, at, to in listed:
        assert before[old.placement().of(key)] == before[at] != after[to]


def test_bad_arguments() -> None:
    wrong: Any = None
    with pytest.raises(InvalidArgumentError, match="at least one server, got none"):
        plan([], NEW, KEYS)
    with pytest.raises(InvalidArgumentError, match=r"each server once, got a twice"):
        plan(["a", "a"], NEW, KEYS)
    for bad in ("10.0.0.1:11211", 5):
        wrong = bad
        with pytest.raises(InvalidTypeError, match="servers must be a list"):
            plan(wrong, NEW, KEYS)
    wrong = [5]
    with pytest.raises(InvalidTypeError, match="a name or a Server, got 5"):
        plan(wrong, NEW, KEYS)
    with pytest.raises(InvalidArgumentError, match="one a key, got 1 for 2000 keys"):
        plan(OLD, NEW, KEYS, sizes=[1])
    planner = Planner(Layout.of(OLD), Layout.of(NEW))
    planner.add(["a"])
    with pytest.raises(InvalidArgumentError, match="with all keys or with none"):
        planner.add(["a"], [1])
    with pytest.raises(InvalidArgumentError, match=r"no server 'x', it has 10\.0\.0\.1"):
        Layout.of(OLD).server("x")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_over_real_servers_those_keys_move_that_the_plan_names(
    name: str, addresses: list[str]
) -> None:
    """Written before the fleet grows, and again after: each server is asked what it has."""
    function = FUNCTIONS[name]
    keys = [f"user:{number}" for number in range(500)]
    before, after = Layout.of(addresses[:3], function), Layout.of(addresses, function)
    planned = {
        str(key): (before.names[at], after.names[to]) for key, at, to in moving(before, after, keys)
    }
    places = []
    for servers in (addresses[:3], addresses):
        with Client(addresses, timeout=10.0) as all_of_them:
            all_of_them.flush_all()
        with Client(servers, shard_func=function, timeout=10.0) as client:
            assert client.set_many(dict.fromkeys(keys, b"x")) == []
            assert len(client.get_many(keys)) == len(keys)
        held = {}
        for address in addresses:
            with Client([address], timeout=10.0) as one:
                held.update(dict.fromkeys(one.get_many(keys), address))
        places.append(held)
    was, now = places
    seen = {key: (was[key], now[key]) for key in keys if was[key] != now[key]}
    assert seen == planned
    counted = plan(addresses[:3], addresses, keys, function=function)
    assert counted.moved == len(seen) > 0
