"""What happens to answers: which are followed, which are not, and which only later."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.discovering import answer, down, fleet

from godropbox.memcache import ShardState
from godropbox.memcache.discovery import Answer, Server, SourceError
from godropbox.memcache.discovery.rules import Limits, Rules, Verdict, checked_answer, natural

SIX = fleet(6)


class Followed:
    """Rules, and a clock; what is due is followed."""

    def __init__(self, limits: Limits = Limits(), first: Answer | None = None) -> None:  # noqa: B008
        self.rules = Rules(limits, "script://main")
        self.now = 100.0
        if first is not None:
            assert self.says(first) is Verdict.ACCEPTED
            self.now += 1000

    def says(self, said: Any, after: float = 0.0) -> Verdict:
        self.now += after
        verdict = self.rules.judge(said, self.now)
        self.follow()
        return verdict

    def follow(self, after: float = 0.0) -> bool:
        self.now += after
        if self.rules.due(self.now) is None:
            return False
        self.rules.followed(self.now)
        return True

    @property
    def names(self) -> list[str]:
        return [server.name for server in self.rules.servers]


def test_an_answer_is_followed_and_then_unchanged() -> None:
    it = Followed()
    assert it.rules.servers == ()
    assert it.says(answer(3, 1)) is Verdict.ACCEPTED
    assert (it.rules.servers, it.rules.version) == (fleet(3), 1)
    assert it.says(answer(3, 1)) is Verdict.UNCHANGED
    assert it.says(answer(3, 9)) is Verdict.UNCHANGED
    assert it.rules.version == 9
    assert it.rules.counts["accepted"] == 1
    assert it.rules.counts["unchanged"] == 2


def test_an_empty_answer_empties_nothing() -> None:
    it = Followed(first=answer(3, 5))
    for version in (None, 4, 5, 6):
        assert it.says(answer(0, version), 1000) is Verdict.EMPTY
    assert (it.rules.servers, it.rules.counts["empty"]) == (fleet(3), 4)


def test_a_first_empty_answer_is_no_fleet() -> None:
    it = Followed()
    assert it.says(answer(0)) is Verdict.EMPTY
    assert it.rules.servers == ()
    assert it.says(answer(1)) is Verdict.ACCEPTED


def test_an_older_answer_is_not_followed() -> None:
    it = Followed(first=answer(6, 7))
    assert it.says(answer(5, 6)) is Verdict.OLDER
    assert it.says(answer(5, 8), 9.0) is Verdict.ACCEPTED
    assert it.says(answer(6, 7), 5.0) is Verdict.OLDER
    assert it.says(answer(6, 7), 9.9) is Verdict.OLDER
    assert it.rules.version == 8


def test_a_source_that_began_anew_is_followed_once_that_is_confirmed() -> None:
    it = Followed(first=answer(6, 1000))
    assert it.says(answer(6, 1)) is Verdict.OLDER
    assert it.says(answer(5, 2), 5.0) is Verdict.OLDER
    assert it.says(answer(5, 2), 4.9) is Verdict.OLDER
    assert it.says(answer(5, 3), 0.2) is Verdict.ACCEPTED
    assert (len(it.names), it.rules.version) == (5, 3)
    assert it.says(answer(6, 4), 1.0) is Verdict.ACCEPTED


def test_the_same_fleet_under_a_smaller_version_takes_that_version_later() -> None:
    it = Followed(first=answer(6, 1000))
    assert it.says(answer(6, 1)) is Verdict.OLDER
    assert it.says(answer(6, 1), 10.0) is Verdict.UNCHANGED
    assert it.rules.version == 1


def test_older_answers_that_go_back_again_are_not_confirmed() -> None:
    it = Followed(first=answer(6, 1000))
    assert it.says(answer(5, 900)) is Verdict.OLDER
    assert it.says(answer(5, 800), 9.0) is Verdict.OLDER
    assert it.says(answer(5, 900), 9.0) is Verdict.OLDER
    assert it.says(answer(5, 900), 1.0) is Verdict.ACCEPTED


def test_a_late_answer_does_not_undo_one_that_is_damped() -> None:
    it = Followed()
    it.says(answer(6, 5))
    assert it.says(answer(7, 7), 0.1) is Verdict.DAMPED
    assert it.says(answer(6, 6), 0.1) is Verdict.OLDER
    assert it.follow(0.9)
    assert it.rules.version == 7


@pytest.mark.parametrize(
    ("servers", "verdict"),
    [
        (SIX[:4], Verdict.ACCEPTED),
        (SIX[:3], Verdict.HELD),
        ((*SIX[:3], *fleet(3, 10)), Verdict.HELD),
        ((*SIX, *fleet(30, 10)), Verdict.ACCEPTED),
        ([each._replace(address=f"10.1.0.{i}:1") for i, each in enumerate(SIX)], Verdict.HELD),
        ([SIX[0]._replace(address="10.1.0.1:1"), *SIX[1:]], Verdict.ACCEPTED),
        ([down(each) for each in SIX], Verdict.HELD),
        ([down(each) for each in SIX[:5]] + [SIX[5]], Verdict.ACCEPTED),
    ],
)
def test_half_of_a_fleet_that_vanishes_or_moves_is_held_back(
    servers: list[Server], verdict: Verdict
) -> None:
    it = Followed(first=answer(SIX))
    assert it.says(answer(servers)) is verdict
    assert (it.rules.servers == SIX) is (verdict is Verdict.HELD)
    assert it.rules.held == (tuple(servers) if verdict is Verdict.HELD else ())
    assert it.says(answer(servers), 9.9) in (Verdict.HELD, Verdict.UNCHANGED)
    assert it.says(answer(servers), 0.1) in (Verdict.ACCEPTED, Verdict.UNCHANGED)
    assert it.rules.servers == tuple(servers)
    assert it.rules.held == ()


def test_one_server_of_two_that_moves_is_not_held_back() -> None:
    it = Followed(first=answer(2))
    moved = fleet(1)[0]._replace(address="10.9.9.9:11211")
    assert it.says(answer([moved, fleet(2)[1]])) is Verdict.ACCEPTED
    assert it.says(answer([moved]), 100) is Verdict.HELD


def test_what_is_held_back_begins_again_when_the_source_says_another_thing() -> None:
    it = Followed(first=answer(SIX))
    assert it.says(answer(SIX[:2])) is Verdict.HELD
    assert it.says(answer(SIX[:3]), 9.0) is Verdict.HELD
    assert it.says(answer(SIX[:2]), 9.0) is Verdict.HELD
    assert it.says(answer(0), 9.0) is Verdict.EMPTY
    assert it.says(answer(SIX[:2]), 9.0) is Verdict.HELD
    assert it.says(answer(SIX), 0.5) is Verdict.UNCHANGED
    assert it.says(answer(SIX[:2]), 0.5) is Verdict.HELD
    assert it.says(answer(SIX[:2]), 10.0) is Verdict.ACCEPTED


def test_states_change_in_what_is_held_back() -> None:
    it = Followed(first=answer(SIX))
    assert it.says(answer(SIX[:2])) is Verdict.HELD
    assert it.says(answer([SIX[0], down(SIX[1])]), 10.0) is Verdict.ACCEPTED
    assert it.rules.servers == (SIX[0], down(SIX[1]))


def test_after_a_silence_it_lacks_one_word() -> None:
    it = Followed(first=answer(SIX))
    assert not it.rules.lacks_word(it.now)
    it.says(answer(SIX[:1]))
    assert not it.rules.lacks_word(it.now + 9.9)
    assert it.rules.lacks_word(it.now + 10.0)
    assert it.says(answer(SIX[:1]), 10.0) is Verdict.ACCEPTED
    assert not it.rules.lacks_word(it.now)


def test_what_is_held_back_begins_again_after_a_failure() -> None:
    it = Followed(first=answer(SIX, 5))
    for said, verdict in ((answer(SIX[:2], 6), Verdict.HELD), (answer(SIX, 1), Verdict.OLDER)):
        assert it.says(said) is verdict
        it.now += 9.0
        it.rules.interrupted()
        assert it.rules.held == ()
        assert it.says(said, 9.0) is verdict
        it.says(answer(SIX, 5), 1.0)


def test_what_is_empty_takes_the_place_of_what_is_held_back() -> None:
    it = Followed(first=answer(SIX))
    assert it.says(answer(SIX[:1])) is Verdict.HELD
    assert it.says(answer(0), 1.0) is Verdict.EMPTY
    assert not it.rules.lacks_word(it.now + 100)
    assert it.rules.held == ()


def test_all_is_trusted_where_max_change_is_none() -> None:
    it = Followed(Limits(max_change=None), answer(SIX))
    assert it.says(answer(fleet(1, 50))) is Verdict.ACCEPTED


def test_changes_are_damped_and_the_last_is_followed() -> None:
    it = Followed(Limits(min_interval=2.0))
    it.says(answer(6, 1))
    assert it.says(answer(7, 2), 0.5) is Verdict.DAMPED
    assert it.says(answer(8, 3), 0.5) is Verdict.DAMPED
    assert it.says(answer(8, 3), 0.5) is Verdict.UNCHANGED
    assert it.rules.wait(it.now, 60.0) == pytest.approx(0.5)
    assert not it.follow(0.4)
    assert it.follow(0.1)
    assert len(it.names) == 8
    assert it.rules.counts["accepted"] == 2


def test_a_damped_change_that_is_taken_back_is_not_followed() -> None:
    it = Followed()
    it.says(answer(6))
    assert it.says(answer(7), 0.1) is Verdict.DAMPED
    assert it.says(answer(6), 0.1) is Verdict.UNCHANGED
    assert not it.follow(10.0)


def test_states_are_never_damped() -> None:
    it = Followed()
    it.says(answer(SIX))
    for i in range(1, 6):
        assert it.says(answer([down(each) for each in SIX[:i]] + list(SIX[i:]))) is Verdict.ACCEPTED
    assert it.says(answer(7), 0.0) is Verdict.DAMPED


def test_servers_without_an_order_are_sorted_by_name() -> None:
    names = ["cache-10", "cache-2", "b", "cache-1"]
    said = [Server(name, f"10.0.0.{i}:1") for i, name in enumerate(names)]
    it = Followed()
    it.says(answer(said))
    assert it.names == ["b", "cache-1", "cache-2", "cache-10"]
    assert it.says(answer(reversed(said))) is Verdict.UNCHANGED
    it = Followed()
    it.says(answer(said, is_ordered=True))
    assert it.names == names


@settings(max_examples=30)
@given(st.lists(st.text("a019.-²٣", max_size=6), max_size=20))
def test_the_order_of_names_is_total(names: list[str]) -> None:
    ordered = sorted(names, key=natural)
    names.reverse()
    assert sorted(names, key=natural) == ordered
    assert len(set(map(natural, names))) == len(set(names))


def test_numbers_in_names_are_sorted_by_value() -> None:
    for number in range(0, 1000, 7):
        assert natural(f"a{number}") < natural(f"a{number + 1}")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "script://main gave what is no list of servers"),
        (Answer(None, 5), "gave what is no list of servers"),  # type: ignore[arg-type]
        (Answer("7", fleet(1)), "gave a version that is no int: '7'"),  # type: ignore[arg-type]
        (Answer(True, fleet(1)), "gave a version that is no int: True"),
        (answer([("x", "a:1")]), "no list of servers"),  # type: ignore[list-item]
        (answer([Server("", "a:1")]), "the name of a server must be printable text, got ''"),
        (answer([Server("x\n", "a:1")]), "must be printable text"),
        (answer([Server("x", "a:0")]), r"port in \[1, 65535\], got 'a:0'"),
        (answer([Server("x", "http://a")]), "an address has no scheme"),
        (answer([Server("x", "a:1", 3)]), "3 is not a valid ShardState"),  # type: ignore[arg-type]
        (
            answer([Server("x", "a:1"), Server("x", "b:1")]),
            "gave two servers of one name: 'x' at 'a:1' and 'x' at 'b:1'",
        ),
        (
            answer([Server("x", "a:1"), Server("y", "A:1")]),
            "gave two servers of one address: 'x' at 'a:1' and 'y' at 'A:1'",
        ),
        (answer(Server(f"{i}", f"a{i}:1") for i in range(65536)), "gave 65536 servers"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(said: Any, message: str) -> None:
    it = Followed(first=answer(3))
    with pytest.raises(SourceError, match=message):
        it.says(said)
    assert (it.rules.servers, it.rules.counts["malformed"]) == (fleet(3), 1)


def test_numbers_of_states_are_states() -> None:
    (server,) = checked_answer(answer([Server("x", "a:1", 2)])).servers  # type: ignore[arg-type]
    assert server.state is ShardState.DOWN


def test_plain_tuples_are_servers() -> None:
    it = Followed()
    it.says(answer(3))
    for count, verdict in ((3, Verdict.UNCHANGED), (4, Verdict.ACCEPTED)):
        said: Any = tuple((name, address, 0) for name, address, _ in fleet(count))
        assert it.says((None, said, False), 5.0) is verdict
    assert all(type(server) is Server for server in it.rules.servers)


def test_what_a_manager_refuses_is_counted() -> None:
    it = Followed(first=answer(3))
    it.rules.judge(answer(4), it.now)
    it.rules.refused(it.now + 2)
    assert (it.rules.servers, it.rules.counts["malformed"]) == (fleet(3), 1)
    assert it.rules.wait(it.now, 5) == 2
    assert it.rules.due(it.now + 1.9) is None
    assert it.rules.due(it.now + 2) == answer(4)
    assert it.says(answer(4)) is Verdict.ACCEPTED


def test_a_restored_fleet_is_held_against_the_first_answer() -> None:
    it = Followed()
    it.rules.restore(answer(SIX, 50))
    assert it.says(answer(0)) is Verdict.EMPTY
    assert it.says(answer(SIX[:1], 51)) is Verdict.HELD
    assert it.says(answer(5, 49)) is Verdict.OLDER
    assert it.says(answer(5, 52)) is Verdict.ACCEPTED


# Any answers in any order

_SERVERS = st.builds(
    Server,
    st.sampled_from([f"s{i}" for i in range(7)]),
    st.sampled_from([f"10.0.0.{i}:1" for i in range(9)]),
    st.sampled_from(list(ShardState)),
)
_LISTS = st.lists(
    _SERVERS, max_size=7, unique_by=(lambda each: each.name, lambda each: each.address)
)
_ANSWERS = st.builds(
    Answer, st.none() | st.integers(0, 9), _LISTS.map(tuple), st.booleans()
) | st.sampled_from([None, Answer(1, (Server("x", "?"),)), Answer(2, "text")])  # type: ignore[arg-type]
_EVENTS = st.tuples(_ANSWERS | st.just("failed"), st.sampled_from([0.0, 0.3, 1.0, 4.0, 11.0]))


@settings(max_examples=60)
@given(
    st.lists(_EVENTS, max_size=20),
    _LISTS.filter(bool),
    st.none() | st.integers(0, 9),
    st.builds(
        Limits,
        st.sampled_from([0.0, 1.0, 5.0]),
        st.sampled_from([None, 0.1, 0.5, 1.0]),
        st.sampled_from([0.0, 2.0, 10.0]),
    ),
)
def test_any_answers_leave_a_fleet_and_the_last_one_wins(
    events: list[tuple[Any, float]], last: list[Server], version: int | None, limits: Limits
) -> None:
    it = Followed(limits)
    had_fleet = False
    said_so: list[tuple[float, int | None]] = []
    for said, after in events:
        before, it.now = it.rules.version, it.now + after
        if said == "failed":
            it.rules.interrupted()
        else:
            try:
                it.rules.judge(said, it.now)
            except SourceError:
                continue
        if isinstance(said, Answer) and said.servers:
            said_so.append((it.now, said.version))
        assert 0 <= it.rules.wait(it.now, 60.0) <= 60
        it.follow()
        had_fleet = had_fleet or bool(it.rules.servers)
        assert bool(it.rules.servers) is had_fleet
        now = it.rules.version
        if before is not None and now is not None and now < before:
            # A version goes back only after nothing else was said for as long as it takes.
            lately = [said for at, said in said_so if at > it.now - limits.confirm_after]
            assert all(each is not None and each < before for each in lately)
    final = Answer(version, tuple(last), True)
    for _ in range(4):
        it.says(final, limits.confirm_after + 0.1)
        it.follow(limits.min_interval + 0.1)
    assert it.rules.servers == final.servers
