"""One result on every road: compiled or not, hooks or none, the fast way and the general one.

Two servers are asked, of which one repeats, merges, reorders, cuts short or condemns its own reply;
the results, the exceptions and their words, and the connections' states afterwards have to be the
same on all roads. What they have to be is told by the tests below, for each kind.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.parity import KEYS, ROADS, Case, a_case, cases, neutral, play

import godropbox

TESTS = Path(__file__).parent.parent
COUNT = int(os.environ.get("GODROPBOX_PARITY_CASES", "150"))
EVERY = [(road, hooks) for road in ROADS for hooks in (False, True)]
ITS = [key for key in KEYS if key.endswith(("0", "2", "4", "6"))]


def test_all_roads_agree_and_so_do_both_implementations() -> None:
    given = cases(COUNT, 20140)
    here = [[play(case, *each) for each in EVERY] for case in given]
    for case, outcomes in zip(given, here, strict=True):
        for each, outcome in zip(EVERY, outcomes, strict=True):
            assert neutral(outcome) == neutral(outcomes[0]), (case, each)
            assert all(active == 0 for states in (outcome[1], outcome[3]) for _, active in states)
    if godropbox.IMPLEMENTATION == "pure":
        return  # the other one may not be there
    done = subprocess.run(
        [sys.executable, "-m", "support.parity"],
        input="".join(json.dumps(case) + "\n" for case in given),
        env={
            **os.environ,
            "GODROPBOX_IMPL": "pure",
            "PYTHONPATH": os.pathsep.join(
                [str(TESTS), str(Path(godropbox.__file__).parent.parent)]
            ),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    there = [json.loads(line) for line in done.stdout.splitlines()]
    for case, native, pure in zip(given, here, there, strict=True):
        for each, ours, theirs in zip(EVERY, native, pure, strict=True):
            if each[0] == "warm" and case["call"] in ("get_many", "get_values"):
                assert neutral(ours) == neutral(theirs), (case, each)
            else:
                assert ours == theirs, (case, each)


def everywhere(case: Case) -> list[Any]:
    return [play(case, *each) for each in EVERY]


def values(keys: list[str]) -> list[list[str]]:
    text = {key: f"text of {key}" if key.startswith("text") else f"<{key}>" for key in keys}
    return [[key, text[key]] for key in keys if not key.startswith(("absent", "empty"))]


@pytest.mark.parametrize(
    "mishaps",
    [
        [["rubbish", 3]],
        [["unasked", 2]],
        [["another server's", 5]],
        [["repeated", 1]],
        [["leftover", 0]],
        [["error", 2]],
        [["refused", 0], ["leftover", 0]],
    ],
)
def test_no_value_comes_out_of_a_condemned_reply(mishaps: list[Any]) -> None:
    case = a_case("get_many", list(KEYS), mishaps)
    for outcome, states, after, _ in everywhere(case):
        what, _, found, errors = outcome
        assert what == "raised"
        assert found == values([key for key in KEYS if key not in ITS])
        assert list(errors) == ITS
        assert states == [[0, 0], [1, 0]]
        assert after == values(["key0", "key1", "text0"])


def test_an_error_in_the_place_of_a_key_is_its_own() -> None:
    case = a_case("get_many", list(KEYS), [["error in place", 1]])
    for outcome, states, after, _ in everywhere(case):
        what, _, found, errors = outcome
        assert what == "raised"
        assert found == values([key for key in KEYS if key != "key2"])
        assert list(errors) == ["key2"]
        assert states == [[1, 0], [1, 0]]  # no connection is lost
        assert after == values(["key0", "key1", "text0"])


def test_a_reply_that_is_cut_off_is_asked_for_once_more() -> None:
    for outcome, states, after, _ in everywhere(a_case("get_many", list(KEYS), [["cut", 2]])):
        assert sorted(outcome) == sorted(values(list(KEYS)))
        assert states[1:] == [[1, 0]]
        assert after == values(["key0", "key1", "text0"])


@pytest.mark.parametrize("call", ["get_many", "get_multi", "get_values"])
@pytest.mark.parametrize("mishaps", [[], [["reversed", 0]], [["shuffled", 7]]])
@pytest.mark.parametrize("merges", [False, True])
def test_a_key_that_is_given_twice_is_found(call: str, mishaps: list[Any], merges: bool) -> None:
    keys = ["key0", "key2", "key0", "absent0", "absent0", "key4", "key0"]
    case = {**a_case(call, keys, mishaps), "merges": merges}
    for outcome, states, _, _ in everywhere(case):
        if call == "get_multi":
            outcome = [[key, each[4]] for key, each in outcome.items() if each[4] is not None]
        assert sorted(outcome) == values(["key0", "key2", "key4"])
        assert states == [[1, 0]]


@pytest.mark.parametrize(("its", "kept"), [(ITS, 0), (["key4"], 1)])
@pytest.mark.parametrize("call", ["get_many", "get_values"])
def test_a_refusal_of_several_keys_costs_the_connection(
    call: str, its: list[str], kept: int
) -> None:
    """memcached's proxy answers the other keys behind it, and that may be still to come."""
    others = [key for key in KEYS if key not in ITS]
    for outcome, states, after, _ in everywhere(a_case(call, its + others, [["refused", 0]])):
        if call == "get_many":
            what, _, found, errors = outcome
            assert what == "raised"
            assert found == values(others)
            words = "shard 0 at 10.0.0.0:11211: SERVER_ERROR out of memory (key "
            assert errors == {key: ["ServerError", f"{words}{key!r})"] for key in its}
        assert states == [[kept, 0], [1, 0]]
        assert after == values(["key0", "key1", "text0"])


class Emptying:
    """A shard function whose placement empties what it is given; every key is on shard 0."""

    has_next = False

    def bind(self, addresses: Any) -> "Emptying":
        return self

    def among(self, addresses: Any, shards: Any) -> "Emptying":
        return self

    def of(self, key: Any) -> int:
        return 0

    def of_many(self, keys: Any) -> Any:
        shards = [0] * len(keys)
        keys.clear()
        return shards


@pytest.mark.parametrize("call", ["get_many", "get_multi", "set_many", "set_multi"])
def test_a_placement_that_empties_what_it_is_given_changes_nothing(call: str) -> None:
    case = a_case(call, ITS, [])
    for each in EVERY:
        assert play(case, *each, Emptying())[:2] == play(case, *each)[:2]
