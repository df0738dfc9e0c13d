"""The consistent cache among servers and processes that die, and the checker that judges it.

``GODROPBOX_CHAOS`` says for how many seconds, 30 if it is not set; ``pytest -s`` shows the report.
For longer runs by hand: ``PYTHONPATH=tests python -m support.chaos FOLDER SECONDS``.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.chaos import run
from support.chaos_history import Kind, Record, judge, packed, recorded
from support.chaos_plan import Plan
from support.chaos_storage import ChaosStorage, LostReplyError, NotWrittenError, log_of

SECONDS = float(os.environ.get("GODROPBOX_CHAOS", "20"))
READ, ACKNOWLEDGED, REFUSED, UNKNOWN = Kind.READ, Kind.ACKNOWLEDGED, Kind.REFUSED, Kind.UNKNOWN


def test_no_read_is_stale_after_an_acknowledged_write(tmp_path: Path) -> None:
    report = run(tmp_path, Plan(SECONDS))
    print(f"\n{report}")
    assert report.judgment.is_clean, str(report)
    # And there was something to judge.
    counts, mishaps, told = report.judgment.counts, report.mishaps, report.statistics
    assert counts["read"] > 100 * SECONDS
    assert counts["acknowledged"] > 10 * SECONDS
    assert min(told[name] for name in ("hits", "fills", "shielded", "failed_looks")) > SECONDS
    for mishap in (
        "servers killed",
        "servers stopped",
        "servers flushed",
        "servers filled",
        "most evictions of one server",
        "processes killed",
        "processes stopped",
        "shards moved through all states",
    ):
        assert mishaps[mishap] > 0, mishap


def test_the_same_run_with_a_plain_cache_is_stale(tmp_path: Path) -> None:
    for turn in range(6):  # on a busy machine ten seconds may not be enough to see one
        folder = tmp_path / str(turn)
        folder.mkdir()
        report = run(folder, Plan(10.0, plain=True))
        print(f"\n{report}")
        if report.judgment.counts["stale"]:
            return
    pytest.fail("no plain cache was stale")


# The checker, on histories that are made up: key 1, values 7, 8 and 9 committed in this order

LOG = [(1, 7), (2, 70), (1, 8), (1, 9)]
WRITES = [
    Record(ACKNOWLEDGED, 1, 10, 20, 7),
    Record(ACKNOWLEDGED, 1, 30, 60, 8),
    Record(UNKNOWN, 1, 70, 80, 9),
]


def wrongs(reads: Sequence[Record], writes: Sequence[Record] = WRITES) -> dict[str, int]:
    judgment = judge([*reads, *writes], LOG)
    names = ("stale", "invented", "missing", "there")
    assert judgment.is_clean == (not any(judgment.counts[name] for name in names))
    return {name: judgment.counts[name] for name in names if judgment.counts[name]}


@pytest.mark.parametrize(
    ("began", "value"),
    [
        (5, 0),  # before any write
        (15, 7),  # it may be there before it is acknowledged
        (20, 0),  # it began when the acknowledgement came, and not after it
        (21, 7),
        (35, 8),
        (60, 7),
        (61, 8),
        (61, 9),  # written by then, though nobody says so
        (99, 8),  # which is not acknowledged, and need not be there
        (99, 9),
    ],
)
def test_a_read_that_is_not_stale(began: int, value: int) -> None:
    assert wrongs([Record(READ, 1, began, began + 1000, value)]) == {}


@pytest.mark.parametrize(("began", "value"), [(21, 0), (61, 7), (61, 0), (99, 7)])
def test_a_read_that_is_stale(began: int, value: int) -> None:
    assert wrongs([Record(READ, 1, began, began + 1, value)]) == {"stale": 1}


def test_one_doctored_read_among_many_is_found() -> None:
    reads = [Record(READ, 1, 100 + n, 101 + n, 8 + n % 2) for n in range(1000)]
    assert wrongs(reads) == {}
    reads[567] = reads[567]._replace(value=7)
    assert wrongs(reads) == {"stale": 1}
    judgment = judge([*reads, *WRITES], LOG)
    assert "began=667" in judgment.examples[0]
    assert judgment.examples[0].endswith("number 1 in the log, 3 was acknowledged")


def test_acknowledgements_that_overtake_each_other() -> None:
    """The first to be acknowledged was the last to be committed."""
    writes = [Record(ACKNOWLEDGED, 1, 10, 20, 9), Record(ACKNOWLEDGED, 1, 10, 90, 8)]
    assert wrongs([Record(READ, 1, 21, 22, 9)], writes) == {}
    assert wrongs([Record(READ, 1, 21, 22, 8)], writes) == {"stale": 1}
    assert wrongs([Record(READ, 1, 91, 92, 8)], writes) == {"stale": 1}


def test_a_deletion_is_a_version() -> None:
    log = [(1, 7), (1, 0), (1, 8)]
    writes = [Record(ACKNOWLEDGED, 1, 1, 2, 7), Record(ACKNOWLEDGED, 1, 3, 4, 0)]
    assert judge([*writes, Record(READ, 1, 5, 6, 0)], log).is_clean
    later = [*writes, Record(ACKNOWLEDGED, 1, 7, 8, 8)]
    assert not judge([*later, Record(READ, 1, 9, 10, 0)], log).is_clean


def test_what_nobody_wrote_and_what_got_lost() -> None:
    assert wrongs([Record(READ, 1, 5, 6, 70)]) == {"invented": 1}
    assert wrongs([], [Record(ACKNOWLEDGED, 1, 1, 2, 5)]) == {"missing": 1}
    assert wrongs([], [Record(REFUSED, 1, 1, 2, 8), Record(REFUSED, 1, 1, 2, 5)]) == {"there": 1}


def test_a_history_whose_last_record_is_torn(tmp_path: Path) -> None:
    records = [Record(READ, 65535, 1, 2**63, 2**63), Record(Kind.UNSETTLED, 0, 0, 0, 0)]
    path = tmp_path / "history"
    path.write_bytes(b"".join(map(packed, records)) + packed(records[0])[:-1])
    assert list(recorded(path)) == records


# The storage


def test_the_storage_tells_the_order_of_commits(tmp_path: Path) -> None:
    path = tmp_path / "data"
    ChaosStorage.make(path)
    one, other = ChaosStorage(path, 0.05), ChaosStorage(path, 0.05)
    one.set(1, 10)
    other.set_multi({1: 11, 2: 20})
    one.delete(2)
    assert (one.get(1), other.get(2), other.get(2, 0), one.get_multi([1, 2, 3])) == (
        11,
        None,
        0,
        {1: 11},
    )
    assert log_of(path) == [(1, 10), (1, 11), (2, 20), (2, 0)]
    one.connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(NotWrittenError, match="locked"):
        other.set(1, 12)
    one.connection.execute("ROLLBACK")
    for storage in (one, other):
        storage.connection.close()


def test_a_lost_reply_means_either(tmp_path: Path) -> None:
    path = tmp_path / "data"
    ChaosStorage.make(path)
    storage = ChaosStorage(path, 1.0, doubt=1.0)
    for value in range(1, 41):
        with pytest.raises(LostReplyError):
            storage.set(1, value)
    storage.connection.close()
    assert 5 < len(log_of(path)) < 35
