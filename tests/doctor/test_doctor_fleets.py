"""Files of fleets: what they may say, and whether two of them place keys alike, and why not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from godropbox.doctor import FleetFile, FleetFileError, Level, compare, read_fleet
from godropbox.doctor.__main__ import main
from godropbox.doctor.report import findings_of_comparison
from godropbox.memcache import Hash2, Ketama, ShardState, StaticShardManager

KEYS = [f"user:{number}" for number in range(2000)]
ABC = ("a:1", "b:1", "c:1")


def test_placement_is_that_of_a_client() -> None:
    for name, function in (("hash2", Hash2()), ("ketama", Ketama())):
        with StaticShardManager(ABC, function) as manager:
            expected = [ABC[at] for at in manager.fleet().of_many(KEYS)]
        assert FleetFile("f", ABC, name).owners(KEYS) == expected


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "fleet"
    path.write_text("# ours\nshard_func = ketama\na:1 2\nb:1  DOWN # for now\n\nc:1 3 write_only\n")
    fleet = read_fleet(str(path))
    assert (fleet.servers, fleet.shard_func, fleet.weights) == (ABC, "ketama", {"a:1": 2, "c:1": 3})
    assert fleet.states == {"b:1": ShardState.DOWN, "c:1": ShardState.WRITE_ONLY}


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps(list(ABC)))
    assert read_fleet(str(path)) == FleetFile(str(path), ABC)
    entry = {"address": "b:1", "weight": 2, "state": "DOWN"}
    given = {"servers": ["a:1", entry], "shard_func": "ketama", "prefix": "p:"}
    path.write_text(json.dumps(given))
    fleet = read_fleet(str(path))
    assert (fleet.servers, fleet.weights, fleet.prefix) == (("a:1", "b:1"), {"b:1": 2}, "p:")
    assert fleet.states == {"b:1": ShardState.DOWN}


def test_servers_with_names_are_placed_by_them(tmp_path: Path) -> None:
    text, listed = tmp_path / "fleet", tmp_path / "fleet.json"
    text.write_text("shard_func = ketama\nx a:1 2\nb:1 DOWN\ny 10.0.0.3 3 DOWN\n")
    entries = [
        {"name": "x", "address": "a:1", "weight": 2},
        {"name": "b:1", "address": "b:1", "state": "DOWN"},
        {"name": "y", "address": "10.0.0.3", "weight": 3, "state": "DOWN"},
    ]
    listed.write_text(json.dumps({"servers": entries, "shard_func": "ketama"}))
    fleet = read_fleet(str(text))
    assert replace(fleet, name="") == replace(read_fleet(str(listed)), name="")
    assert (fleet.servers, fleet.weights) == (("x", "b:1", "y"), {"x": 2, "y": 3})
    assert fleet.located() == ["a:1", "b:1", "10.0.0.3"]
    text.write_text("shard_func = ketama\nx z:1 2\nb:1 DOWN\ny 10.0.0.3 3 DOWN\n")
    assert compare(fleet, read_fleet(str(text)), KEYS).elsewhere == 0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x a:1\ny a:1\n", "it has two servers of one address"),
        ("x a:1\nx b:1\n", "it names one server twice: x and x"),
        ('[{"address": "a:1", "name": 5}]', "the name of a server must be a str, got 5"),
        ("", "it must name at least one server"),
        ("a:1\nA:1\n", "it names one server twice: a:1 and A:1"),
        ("a:1\nshard_func = ring\n", "shard_func must be one of hash2, jump, crc32, ketama, rend"),
        ("a:1\nshards = 3\n", "fleet:2: there is no 'shards'"),
        ("a:1 SLEEPING\n", "fleet:1: a state must be one of ACTIVE"),
        ("a:1 2\n", "weights are for shard_func ketama alone"),
        ("a:1 0\nshard_func = ketama\n", "the weight of a:1 must be at least 1, got 0"),
        ("a:1\nweighted = maybe\n", "weighted must be true or false, got 'maybe'"),
        ("a:x\n", "a:x"),
        ('{"servers": "a:1"}', "servers must be a list, got 'a:1'"),
        ('{"server": []}', "there is no 'server'"),
        ('["a:1", 7]', "a server must be an address, or an object"),
        ('{"servers": ["a:1"], "weighted": 1}', "weighted must be true or false, got 1"),
        ('{"servers": ["a:1"], "prefix": 1}', "prefix must be a str, got 1"),
        ('\n["a:1"', "fleet:2:"),  # the column is of the parser: PyPy has its own
        ('["a:1"', ": not JSON: "),
    ],
)
def test_what_a_file_may_not_say(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "fleet"
    path.write_text(text)
    with pytest.raises(FleetFileError) as caught:
        read_fleet(str(path))
    assert error in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FleetFileError, match="cannot be read"):
        read_fleet(str(tmp_path / "none"))


def test_equal_fleets_place_alike() -> None:
    found = compare(FleetFile("1", ABC), FleetFile("2", ABC), KEYS)
    assert (found.elsewhere, found.reasons) == (0, ())
    [finding] = findings_of_comparison(found)
    assert (finding.level, finding.text) == (Level.NOTE, "they place all of 2,000 keys alike")


def test_another_order_moves_keys_of_hash2_and_none_of_ketama() -> None:
    turned = ("b:1", "a:1", "c:1")
    found = compare(FleetFile("1", ABC), FleetFile("2", turned), KEYS)
    [reason] = found.reasons
    assert reason.text == "the order of the servers differs"
    assert found.elsewhere == reason.moved > 1000
    found = compare(FleetFile("1", ABC, "ketama"), FleetFile("2", turned, "ketama"), KEYS)
    assert (found.elsewhere, found.reasons[0].moved) == (0, 0)
    [finding] = findings_of_comparison(found)
    assert finding.level is Level.NOTE
    assert "which ketama does not mind" in finding.text


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (FleetFile("1", ABC), FleetFile("2", (*ABC, "d:1")), "only the second has d:1"),
        (FleetFile("1", ABC), FleetFile("2", ABC[1:]), "only the first has a:1"),
        (
            FleetFile("1", ABC),
            FleetFile("2", ABC, "crc32"),
            "the shard function is hash2 in one and crc32 in the other",
        ),
        (
            FleetFile("1", ABC, "ketama"),
            FleetFile("2", ABC, "ketama", weighted=False),
            "the shard function is ketama in one and ketama (unweighted) in the other",
        ),
        (
            FleetFile("1", ABC, "ketama"),
            FleetFile("2", ABC, "ketama", {"b:1": 3}),
            "weights differ: b:1 has 1 and 3",
        ),
        (
            FleetFile("1", ABC),
            FleetFile("2", ABC, states={"b:1": ShardState.DOWN}),
            "states differ: b:1 is ACTIVE and DOWN",
        ),
        (
            FleetFile("1", ("A:1", *ABC[1:]), "rendezvous"),
            FleetFile("2", ABC, "rendezvous"),
            "servers are spelled differently: A:1 and a:1",
        ),
    ],
)
def test_one_difference_explains_all_that_moves(
    first: FleetFile, second: FleetFile, text: str
) -> None:
    found = compare(first, second, KEYS)
    [reason] = found.reasons
    assert reason.text == text
    assert found.elsewhere == reason.moved > 0
    [finding] = findings_of_comparison(found)
    assert finding.level is Level.ERROR
    assert f"{found.elsewhere:,} of 2,000 keys" in finding.text


def test_several_differences_are_counted_each_by_itself() -> None:
    second = FleetFile("2", ("b:1", "a:1", "c:1", "d:1"), "jump")
    found = compare(FleetFile("1", ABC), second, KEYS)
    assert len(found.reasons) == 3
    assert all(0 < each.moved <= 2000 for each in found.reasons)


def test_another_prefix_moves_nothing_and_is_an_error() -> None:
    found = compare(FleetFile("1", ABC, prefix="x:"), FleetFile("2", ABC), KEYS)
    assert found.elsewhere == 0
    [finding] = findings_of_comparison(found)
    assert finding.level is Level.ERROR
    assert "neither finds what the other stored" in finding.text


def test_the_command_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other, keys = (tmp_path / name for name in ("one", "other", "keys"))
    one.write_text("a:1\nb:1\n")
    other.write_text("b:1\na:1\n")
    given = ["--fleet", str(one), "--fleet"]
    assert main([*given, str(one)]) == 0
    assert "they place all of 10,000 keys alike" in capsys.readouterr().out
    assert main([*given, str(other), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["fleets"]["elsewhere"] == 10_000
    keys.write_text("one\ntwo\nthree\n")
    assert main([*given, str(other), "--keys", str(keys)]) == 2
    assert "3 of 3 keys" in capsys.readouterr().out
    keys.write_text("")
    assert main([*given, str(other), "--keys", str(keys)]) == 2
    assert "it must have at least one key" in capsys.readouterr().err
    assert main([*given, str(tmp_path / "none")]) == 2
