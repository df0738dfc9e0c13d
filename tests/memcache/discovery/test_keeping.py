"""The file of the last good answer: whole or not there, whoever writes it."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from support.discovering import answer, down, fleet

from godropbox.memcache.discovery import Answer, SourceError
from godropbox.memcache.discovery.keeping import Keeper


def test_what_was_written_is_read(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "fleet", "dns://a:1")
    assert keeper.read() is None
    for said in (
        answer(3, 7),
        answer([down(fleet(1)[0])], None, is_ordered=True),
        answer(2, 2**63),
    ):
        keeper.write(said)
        assert keeper.read() == said
    assert [path.name for path in tmp_path.iterdir()] == ["fleet"]


def test_only_its_user_may_change_it(tmp_path: Path) -> None:
    mask = os.umask(0o002)
    try:
        Keeper(tmp_path / "fleet", "x").write(answer(1))
    finally:
        os.umask(mask)
    assert (tmp_path / "fleet").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not what was kept"),
        (b"\xff\xfe", "is not what was kept"),
        (b"[]", "is not what was kept"),
        (b"[" * 100_000, "is not what was kept"),
        (b"{}", "is not what was kept: 'format'"),
        (b'{"format": 9}', "is in format 9, not 1"),
    ],
)
def test_what_is_garbled_is_no_fleet(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "fleet"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=message) as raised:
        Keeper(path, "x").read()
    assert str(path) in str(raised.value)


def test_every_cut_of_it_is_no_fleet(tmp_path: Path) -> None:
    path = tmp_path / "fleet"
    keeper = Keeper(path, "x")
    keeper.write(answer(2, 7))
    data = path.read_bytes()
    for size in range(0, len(data) - 2, 5):
        path.write_bytes(data[:size])
        with pytest.raises(SourceError):
            keeper.read()


def test_what_is_of_another_source_is_not_taken(tmp_path: Path) -> None:
    Keeper(tmp_path / "fleet", "dns://a:1").write(answer(2))
    with pytest.raises(SourceError, match="is of 'dns://a:1', not of 'dns://b:1'"):
        Keeper(tmp_path / "fleet", "dns://b:1").read()


def test_servers_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "fleet"
    keeper = Keeper(path, "x")
    keeper.write(answer(2))
    kept = json.loads(path.read_text())
    changes: list[dict[str, Any]] = [
        {"servers": []},
        {"servers": [*kept["servers"], kept["servers"][0]]},
        {"servers": [{"name": "x", "address": "a:1", "state": "UP"}]},
        {"version": "7"},
    ]
    for change in changes:
        path.write_text(json.dumps(kept | change))
        with pytest.raises(SourceError):
            keeper.read()


def test_what_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot be written: .*No such file"):
        Keeper(tmp_path / "no" / "fleet", "x").write(answer(1))
    (tmp_path / "folder").mkdir()
    with pytest.raises(SourceError, match="cannot be written"):
        Keeper(tmp_path / "folder", "x").write(answer(1))
    with pytest.raises(SourceError, match="cannot be read"):
        Keeper(tmp_path / "folder", "x").read()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_many_may_share_it(tmp_path: Path) -> None:
    path = tmp_path / "fleet"
    Keeper(path, "x").write(answer(1))
    seen: list[Answer | None] = []

    def write(count: int) -> None:
        for _ in range(10):
            Keeper(path, "x").write(answer(count))

    threads = [threading.Thread(target=write, args=(count,)) for count in (2, 3, 4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.append(Keeper(path, "x").read())
    for thread in threads:
        thread.join()
    assert {len(each.servers) for each in seen if each} <= {1, 2, 3, 4}
    assert None not in seen
    assert [each.name for each in tmp_path.iterdir()] == ["fleet"]
