"""Every row of every case, as pytest-benchmark sees it: ``pytest bench/``."""

from typing import Any

import pytest

from .conftest import Entry, Meeting, Replay
from .groups import GROUPS

ENTRIES = [
    pytest.param(
        Entry(group, case, row),
        clock := Replay(),
        id=f"{group.name}: {case.name}: {row.label}",
        marks=pytest.mark.benchmark(group=f"{group.name}: {case.name}", timer=clock),
    )
    for group in GROUPS
    for case in group.cases
    for row in case.rows
]


@pytest.mark.filterwarnings("ignore")  # what a peer warns of is not ours to mend
@pytest.mark.parametrize(("entry", "clock"), ENTRIES)
def test_row(entry: Entry, clock: Replay, meeting: Meeting, benchmark: Any) -> None:
    outcome = meeting.outcome(entry)
    if outcome.status == "missing":
        pytest.skip(outcome.why)
    if outcome.status != "ok":
        pytest.fail(f"{outcome.status}: {outcome.why}", pytrace=False)
    clock.show(benchmark, outcome)
