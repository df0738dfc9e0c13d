"""What the commands print, without a server."""

import pytest

from godropbox.fleet.reports import copy_as_json
from godropbox.fleet.task import Counts, Settings


@pytest.mark.parametrize(
    ("counts", "is_whole", "is_complete"),
    [
        (Counts(copied=5), True, True),
        (Counts(copied=5), False, False),
        (Counts(copied=5, failed=1), True, False),
        (Counts(copied=5, errors={"a": "the list of keys broke off"}), True, False),
    ],
)
def test_a_copy_is_complete_if_nothing_failed(
    counts: Counts, is_whole: bool, is_complete: bool
) -> None:
    assert copy_as_json(counts, Settings(), 1.0, is_whole)["is_complete"] is is_complete
