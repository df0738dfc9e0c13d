"""Places in files: what comes back, what a crash leaves, what is no such file."""

import os
from pathlib import Path
from typing import Any

import pytest

from godropbox.database import binlog

PLACES: list[Any] = [
    binlog.GtidSet.parse("11111111-2222-3333-4444-555555555555:1-5:7:tag:1-3"),
    binlog.GtidSet(),
    binlog.MariaDBGtidSet.parse("0-1-5,7-2-9"),
    binlog.Position("binlog.000007", 1 << 33),
    binlog.Position("caf\udce9.000001", 4),  # a name that is no UTF-8
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_place_comes_back(place: Any, tmp_path: Path) -> None:
    store = binlog.FilePositions(tmp_path / "place")
    assert store.load() is None
    store.save(place)
    assert binlog.FilePositions(str(tmp_path / "place")).load() == place
    assert os.listdir(tmp_path) == ["place"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_save_that_fails_leaves_what_was(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = binlog.FilePositions(tmp_path / "place")
    store.save(PLACES[0])

    def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(os, step, fail)
        with pytest.raises(OSError, match="the disk is full"):
            store.save(PLACES[2])
    assert store.load() == PLACES[0]
    assert os.listdir(tmp_path) == ["place"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", "{}", '{"mysql": 5}', '{"mysql": "x:1"}', '{"file": "a"}', "\ud800",
     '{"mariadb": "0-1"}', '{"file": 5, "offset": 4}', '{"file": "a", "offset": "4"}'],
)  # fmt: skip
def test_a_file_of_something_else_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "place"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(binlog.DataError, match="place"):
        binlog.FilePositions(path).load()


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        binlog.FilePositions(tmp_path / "nowhere" / "place").save(PLACES[0])
