"""The protocol's steps and their runner, without servers: what the explorer does not look at."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from godropbox.caching._calls import Calls
from godropbox.caching._calls import run as blocking
from godropbox.caching.consistency import protocol
from godropbox.caching.consistency.codec import decoded, encoded
from godropbox.caching.consistency.driver import Driver, Patience, run, run_one
from godropbox.caching.consistency.protocol import (
    DONE,
    FAILED,
    FOREIGN,
    Add,
    Commit,
    Drop,
    Lease,
    Look,
    Place,
    Places,
    Retry,
    Seen,
    Sentinel,
    Settled,
    Stored,
    Swap,
    Value,
    Via,
    Writer,
)

NUMBERS = st.integers(0, 2**64 - 1)
ENTRIES = st.one_of(
    st.builds(Value, st.binary()),
    st.builds(Lease, st.binary()),
    st.builds(Sentinel, st.lists(st.builds(Writer, NUMBERS, NUMBERS)).map(tuple)),
)
ME, OTHER = Writer(1, 100), Writer(2, 100)


# Bytes


@given(ENTRIES)
def test_entries_survive_the_wire(entry: protocol.Entry) -> None:
    assert decoded(*encoded(entry)) == entry


@given(st.integers(0, 2**32 - 1), st.binary())
def test_what_others_wrote_is_foreign_or_an_entry(flags: int, data: bytes) -> None:
    entry = decoded(flags, data)
    assert entry is FOREIGN or encoded(entry) == (flags, data)  # type: ignore[arg-type]


def test_half_a_sentinel_is_foreign() -> None:
    flags, data = encoded(Sentinel((ME,)))
    assert decoded(flags, data[:-1]) is FOREIGN


def test_only_bytes_go_out() -> None:
    with pytest.raises(TypeError, match="encode must return bytes, got 'text'"):
        encoded(Value("text"))


# Sentinels


def test_who_joins_takes_out_those_who_have_given_up() -> None:
    late = Writer(3, 49)
    sentinel = Sentinel((late, OTHER))
    assert sentinel.joined_by(ME, 50) == Sentinel((OTHER, ME))
    assert sentinel.joined_by(ME, 49) == Sentinel((late, OTHER, ME))
    assert Sentinel((OTHER, ME)).left_by(ME) == (OTHER,)


# Steps, with more places than the explorer's one


def scripted(steps: protocol.Steps, script: Sequence[tuple[Any, Any]]) -> Any:
    """Run steps that must want what the script says, and get what it says; return their result."""
    outcome: Any = None
    for wanted, answer in script:
        assert steps.send(outcome) == wanted
        outcome = answer
    with pytest.raises(StopIteration) as stop:
        steps.send(outcome)
    return stop.value.value


NEAR, FAR, WARM = Place(0), Place(1), Place(2, required=False)
ALONE = Sentinel((ME,))


def test_every_place_is_told_before_the_commit_and_settled_after() -> None:
    script = [
        (Places(), (NEAR, FAR, WARM)),
        (Look(NEAR), Seen(None)),
        (Add(NEAR, ALONE), Stored("near")),
        (Look(FAR), Seen(Value(b"old"), "value")),
        (Swap(FAR, "value", ALONE), Stored("far")),
        (Look(WARM), FAILED),
        (Commit(), DONE),
        (Places(), (NEAR, FAR, WARM)),
        (Swap(NEAR, "near", Value(b"new")), Stored("left")),
        (Swap(FAR, "far", Value(b"new")), Stored("left")),
        (Look(WARM), FAILED),
    ]
    done = scripted(protocol.write(ME, 0, Value(b"new")), script)
    assert done == protocol.Writing(Settled.ACKNOWLEDGED, 0)


def test_a_place_that_cannot_be_told_stops_the_write_and_the_others_are_left() -> None:
    both = Sentinel((OTHER, ME))
    script = [
        (Places(), (NEAR, FAR)),
        (Look(NEAR), Seen(Sentinel((OTHER,)), "other")),
        (Swap(NEAR, "other", both), Stored("both")),
        (Look(FAR), Seen(None)),
        (Add(FAR, ALONE), FAILED),
        (Look(NEAR), Seen(both, "both")),
        (Swap(NEAR, "both", Sentinel((OTHER,))), Stored("other again")),
    ]
    done = scripted(protocol.write(ME, 0, None), script)
    assert done.settled is Settled.REFUSED


def test_a_place_that_is_new_after_the_commit_is_settled_too() -> None:
    script = [
        (Places(), ()),
        (Commit(), DONE),
        (Places(), (NEAR,)),
        (Look(NEAR), Seen(Value(b"old"), "value")),
        (Drop(NEAR, "value"), FAILED),
        (Retry(), True),
        (Look(NEAR), Seen(None)),
    ]
    done = scripted(protocol.write(ME, 0, Value(b"new")), script)
    assert done == protocol.Writing(Settled.ACKNOWLEDGED, 1)


def test_one_place_that_cannot_be_settled_is_enough() -> None:
    script = [
        (Places(), (NEAR, FAR)),
        (Look(NEAR), FAILED),
        (Retry(), False),
        (Look(FAR), Seen(None)),
    ]
    assert scripted(protocol.erase(), script).settled is Settled.UNSETTLED


# The runner


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def test_patience_grows_and_ends() -> None:
    clock = Clock()
    patience = Patience(0.5, clock, clock.pause)
    tries = 0
    while blocking(patience.again()):
        tries += 1
    assert tries == len(clock.pauses) + 2
    assert clock.pauses[:4] == [0.001, 0.002, 0.004, 0.008]
    assert max(clock.pauses) == 0.128
    assert sum(clock.pauses) == pytest.approx(0.5)
    assert not blocking(Patience(0.0, clock, clock.pause).again())


def test_the_storage_is_asked_once_for_all() -> None:
    asked: list[Any] = []

    def cache(steps: Sequence[tuple[Any, protocol.CacheStep]]) -> Calls[list[Any]]:
        yield from ()
        asked.append([(key, type(step).__name__) for key, step in steps])
        looks = {"hit": Seen(Value(1), "token"), "miss": Seen(None), "lost": FAILED}
        return [looks[key] if isinstance(step, Look) else Stored("token") for key, step in steps]

    def storage(keys: list[Any]) -> Calls[dict[Any, Any]]:
        yield asked.append, (keys,)
        return dict.fromkeys(keys, 2)

    driver = Driver(lambda key: (), cache, storage, lambda: Patience(0.0, Clock(), print))
    steps = {key: protocol.read(lambda: Lease(b"mine")) for key in ("hit", "miss", "lost")}
    assert blocking(run(steps, driver)) == {
        "hit": (1, Via.HIT),
        "miss": (2, Via.FILLED),
        "lost": (2, Via.FAILED),
    }
    assert asked == [
        [("hit", "Look"), ("miss", "Look"), ("lost", "Look")],
        [("miss", "Add")],
        ["miss", "lost"],
        [("miss", "Swap")],
    ]
    one = run_one("miss", protocol.read(lambda: Lease(b"mine")), driver)
    assert blocking(one) == (2, Via.FILLED)
    assert blocking(run({}, driver)) == {}
