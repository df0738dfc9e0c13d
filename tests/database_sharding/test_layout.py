"""Layouts: which shard a key has, where it lives, what a layout refuses, JSON."""

import json
import pickle
from typing import Any

import pytest

from godropbox import hash2
from godropbox._kernels import placement
from godropbox.database.sharding import HostGroup, Layout, ShardState

A = HostGroup("a:3306", ("a2:3306", "a3:3306"))
B = HostGroup("b:3306")
GROUPS = {"a": A, "b": B}
ONE = '"shards": 1, "groups": {"a": {"master": "h", "shards": 0}}'


def layout(**options: Any) -> Layout:
    return Layout(16, GROUPS, {"a": "0-7", "b": "8-15"}, **options)


def by_modulo(key: int, shards: int) -> int:
    return key % shards


def test_a_key_has_the_shard_of_a_go_fleet() -> None:
    made = layout()
    for key in (0, 7, 2**63, 2**64 - 1):
        assert made.shard_of(key) == hash2.consistent_hash(key, 16)
    number = hash2.consistent_hash(placement.fnv1a(b"user:1"), 16)
    assert made.shard_of("user:1") == made.shard_of(b"user:1") == number


@pytest.mark.parametrize("key", [True, 1.0, None, -1, 2**64, "\ud800", (1,), [1], {}])
def test_what_is_no_key(key: Any) -> None:
    made = layout()
    made.shard_of(1)  # which equals some of them
    with pytest.raises((TypeError, ValueError), match="key must be"):
        made.shard_of(key)
    with pytest.raises((TypeError, ValueError), match="key must be"):
        made.by_shard([1, key])


def test_a_function_of_ones_own() -> None:
    made = layout(function=by_modulo)
    assert [made.shard_of(key) for key in (0, 17, 35)] == [0, 1, 3]
    with pytest.raises(ValueError, match=r"the shard that function returned must be an int in \[0"):
        layout(function=lambda key, shards: shards).shard_of(1)


def test_where_a_shard_lives() -> None:
    made = layout(database="s{}", names={3: "odd"})
    assert (made.home(7), made.home(8)) == ("a", "b")
    assert made.group_of(7) is A
    assert (made.database(2), made.database(3)) == ("s2", "odd")
    assert made.shards_on("b") == list(range(8, 16))
    assert made.hosts == ("a2:3306", "a3:3306", "a:3306", "b:3306")
    assert made.by_shard([1, 2, 1]) == {made.shard_of(1): [1], made.shard_of(2): [2]}
    with pytest.raises(ValueError, match=r"shard must be an int in \[0, 16\), got 16"):
        made.home(16)


def test_shards_are_text_numbers_or_lists() -> None:
    homes: list[Any] = [
        {"a": "0-3, 5", "b": [4]},
        {"a": range(4), "b": "4,5"},
        {"a": [0, 1, 2, 3, 5], "b": 4},
    ]
    assert [Layout(6, GROUPS, each).home(4) for each in homes] == ["b", "b", "b"]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, GROUPS, {}), {}, "shards must be an int in"),
        ((65536, GROUPS, {}), {}, "shards must be an int in"),
        ((True, GROUPS, {"a": 0}), {}, "shards must be an int in"),
        ((2, {}, {}), {}, "groups must be a mapping"),
        ((2, {"a b": A}, {}), {}, "a group's name must be"),
        ((2, {"a": "host"}, {}), {}, "must be a HostGroup"),
        ((2, {"a": A, "c": A}, {"a": "0-1"}), {}, "a host must be in one group"),
        ((2, GROUPS, {"a": "0"}), {}, "every shard must have a home, got none for 1"),
        ((2, GROUPS, {"a": "0-1", "b": "1"}), {}, "a shard must have one home, got 1 on both a"),
        ((2, GROUPS, {"a": "0-1", "c": ""}), {}, "homes must name groups, got 'c'"),
        ((2, GROUPS, {"a": "0-2"}), {}, r"must be an int in \[0, 2\), got 2"),
        ((2, GROUPS, {"a": "1-0"}), {}, "must have ranges that ascend"),
        ((2, GROUPS, {"a": "x"}), {}, "must be like '0-511,600'"),
        ((2, GROUPS, {"a": [True, 0]}), {}, "must be shards in"),
        ((2, GROUPS, {"a": "0-1"}), {"database": "one"}, "must have databases of their own"),
        ((2, GROUPS, {"a": "0-1"}), {"database": "a`{}"}, "a database's name must be letters"),
        ((2, GROUPS, {"a": "0-1"}), {"database": "{x}"}, "database must be a str such as"),
        ((2, GROUPS, {"a": "0-1"}), {"database": 5}, "database must be a str such as"),
        ((2, GROUPS, {"a": "0-1"}), {"database": "{0[1]}"}, "database must be a str such as"),
        ((2, GROUPS, {"a": "0-1"}), {"version": True}, "version must be an int in"),
        ((2, GROUPS, {"a": "0-1"}), {"names": {2: "x"}}, r"names must be an int in \[0, 2\)"),
        ((2, GROUPS, {"a": "0-1"}), {"names": {0: "x y"}}, "a database's name must be letters"),
        ((2, GROUPS, {"a": "0-1"}), {"read_only": 2}, "read_only must be an int in"),
        ((2, GROUPS, {"a": "0-1"}), {"version": -1}, "version must be an int in"),
        ((2, GROUPS, {"a": "0-1"}), {"function": 5}, "function must be callable"),
    ],
)
def test_what_is_no_layout(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Layout(*arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "a host must not be empty"),
        ((5,), "a host must be a str"),
        (("a", "b"), "replicas must be an iterable"),
        (("a", ["b", "b"]), "a group must name each host once"),
        (("a", ["a"]), "a group must name each host once"),
    ],
)
def test_what_is_no_group(arguments: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        HostGroup(*arguments)


def test_a_move_is_a_new_layout() -> None:
    first = layout()
    closed = first.read_only(3)
    assert (first.state(3), closed.state(3)) == (ShardState.NORMAL, ShardState.READ_ONLY)
    assert closed.version == 1
    moved = closed.move(3, "b")
    assert (moved.home(3), moved.state(3), moved.version) == ("b", ShardState.NORMAL, 2)
    assert first.moved(moved) == [3]
    assert closed.writable("3").state(3) is ShardState.NORMAL
    with pytest.raises(ValueError, match="to must be one of a, b, got 'c'"):
        first.move(3, "c")
    with pytest.raises(ValueError, match=r"to must be one of a, b, got \['a'\]"):
        first.move(3, ["a"])  # type: ignore[arg-type]


def test_groups_come_and_go() -> None:
    grown = layout().with_group("c", HostGroup("c:3306"))
    moved = grown.move("8-15", "c")
    assert "b" not in moved.without_group("b").groups
    with pytest.raises(ValueError, match="group a must have no shards, got 0-7"):
        moved.without_group("a")
    other = layout().with_group("a", HostGroup("a2:3306", ("a3:3306",)))
    assert layout().moved(other) == list(range(8))


def test_a_move_onto_a_database_of_the_same_name() -> None:
    made = Layout(2, GROUPS, {"a": "0", "b": "1"}, names={0: "x", 1: "x"})
    with pytest.raises(ValueError, match="got x in a for both 0 and 1"):
        made.move(1, "a")


def test_json() -> None:
    made = layout(names={3: "odd"}, read_only="1-2", version=7)
    text = made.dumps()
    assert json.loads(text)["groups"]["a"]["shards"] == "0-7"
    read = Layout.loads(text)
    assert read == made
    assert hash(read) == hash(made)
    own = layout(function=by_modulo)
    assert Layout.loads(own.dumps(), function=by_modulo) == own
    assert own != layout()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a layout must be JSON"),
        ("[]", "a layout must be a JSON object with groups"),
        ('{"groups": {}, "homes": {}}', "a layout has no field 'homes'"),
        ('{"groups": {"a": []}}', "group a must have master"),
        ('{"groups": {"a": {"master": 5}}}', "a host must be a str"),
        ('{"groups": {"a": {"master": "h"}}}', "shards must be an int"),
        ('{"shards": 1, "groups": {"a": {"master": "h"}}}', "every shard must have a home"),
        ('{"groups": {}, "function": "custom"}', "function must be that of the layout"),
        ('{"groups": {}, "names": {"x": "y"}}', "names must be an object"),
        ('{"groups": {}, "names": {"00": "y"}}', "names must be an object"),
        ('{"groups": {}, "names": {"0": "x", "0": "y"}}', "must have each key once, got '0'"),
        ('{"groups": {}, "names": {"\u0663": "y"}}', "names must be an object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"groups": {"a": {"master": "h", "replicas": null}}}', "replicas must be an iterable"),
        (f'{{"version": true, {ONE}}}', "version must be an int"),
        (f'{{"database": "{{0[1]}}", {ONE}}}', "database must be a str such as"),
        (f'{{"database": 5, {ONE}}}', "database must be a str such as"),
        (f'{{"read_only": null, {ONE}}}', "read_only must be"),
        (f'{{"function": [], {ONE}}}', "function must be that of the layout"),
    ],
)
def test_what_is_no_layouts_json(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layout.loads(text)


def test_a_function_that_is_none() -> None:
    with pytest.raises(TypeError, match="function must be callable"):
        Layout.loads(layout().dumps(), function=5)  # type: ignore[arg-type]


def test_copies_are_equal() -> None:
    made = layout(function=by_modulo, read_only=5, version=3)
    assert pickle.loads(pickle.dumps(made)) == made
    assert repr(made) == "<Layout 3: 16 shards on 2 groups, 1 read-only>"


def test_many_shards_cost_little() -> None:
    made = Layout(1024, GROUPS, {"a": "0-511", "b": "512-1023"})
    assert len(made.dumps()) < 600
    assert made.move(5, "b").shards_on("b")[0] == 5
