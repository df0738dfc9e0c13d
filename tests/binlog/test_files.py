"""Logs in folders: which file comes behind which."""

from pathlib import Path

from support.binlogs import FOLDER

from godropbox.database import binlog


def test_a_folder_goes_on_behind_a_log_that_a_server_left_without_a_rotate(tmp_path: Path) -> None:
    data = (FOLDER / "md-simple.binlog").read_bytes()
    names = ["b.000001", "b.000002", "b.000003"]
    for name in names:
        (tmp_path / name).write_bytes(data[:8890])  # without the ROTATE, as before a restart
    (tmp_path / "b.index").write_text("".join(f"./{name}\n" for name in names))
    with binlog.open(tmp_path) as events:
        formats = [event for event in events if isinstance(event, binlog.FormatDescription)]
    assert [event.position.file for event in formats if event.position] == names
    with binlog.open(tmp_path, position=binlog.Position(names[1], 4)) as events:
        assert {event.position.file for event in events if event.position} == {*names[1:]}
    with binlog.open(tmp_path, follow=False) as events:
        assert {event.position.file for event in events if event.position} == {names[0]}
