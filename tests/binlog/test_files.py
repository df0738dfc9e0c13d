"""Logs in folders: which file comes behind which, and files that a server writes to."""

import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.binlogs import FOLDER

from godropbox.database import binlog

WHOLE = (FOLDER / "md-simple.binlog").read_bytes()
LAST = 8890  # where its ROTATE begins


def test_a_folder_goes_on_behind_a_log_that_a_server_left_without_a_rotate(tmp_path: Path) -> None:
    names = ["b.000001", "b.000002", "b.000003"]
    for name in names:
        (tmp_path / name).write_bytes(WHOLE[:LAST])  # without the ROTATE, as before a restart
    (tmp_path / "b.index").write_text("".join(f"./{name}\n" for name in names))
    with binlog.open(tmp_path) as events:
        formats = [event for event in events if isinstance(event, binlog.FormatDescription)]
    assert [event.position.file for event in formats if event.position] == names
    with binlog.open(tmp_path, position=binlog.Position(names[1], 4)) as events:
        assert {event.position.file for event in events if event.position} == {*names[1:]}
    with binlog.open(tmp_path, follow=False) as events:
        assert {event.position.file for event in events if event.position} == {names[0]}


# Files that grow


class EnoughError(Exception):
    """Nothing more comes."""


def rotate(name: str) -> bytes:
    """Return the event at the end of a log that has the name of the next one."""
    body = (4).to_bytes(8, "little") + name.encode()
    size, end = 19 + len(body) + 4, LAST + 19 + len(body) + 4
    head = bytes(4) + b"\4\1\0\0\0" + size.to_bytes(4, "little") + end.to_bytes(4, "little")
    event = head + b"\0\0" + body
    return event + zlib.crc32(event).to_bytes(4, "little")


def told(events: Any) -> list[Any]:
    """Return what events say, up to ``EnoughError``."""
    found: list[Any] = []
    try:
        for event in events:
            found.append((event.position, repr(event)))
    except EnoughError:
        pass
    return found


def steps(acts: Iterator[object]) -> Callable[[float], None]:
    """Return a pause in which the next of some acts happens."""

    def pause(seconds: float) -> None:
        assert seconds == 0.5
        if next(acts, EnoughError) is EnoughError:
            raise EnoughError

    return pause


def follow(path: Path, acts: Iterator[object], **given: Any) -> binlog.BinlogFiles:
    return binlog.open(path, blocks=True, poll=0.5, pause=steps(acts), **given)


def grow(path: Path, data: bytes, size: int) -> Iterator[None]:
    """Append to a file, so many bytes at a time."""
    for at in range(0, len(data), size):
        with path.open("ab") as file:
            file.write(data[at : at + size])
        yield


@pytest.mark.parametrize("has_index", [False, True])
@pytest.mark.parametrize("ends", [rotate("b.000002"), b""], ids=["rotated", "killed"])
def test_a_log_that_grows_is_read_as_one_that_has_grown(
    has_index: bool, ends: bytes, tmp_path: Path
) -> None:
    names = ["b.000001", "b.000002"]
    paths = [tmp_path / name for name in names]
    index = tmp_path / "b.index"
    if has_index:
        index.write_text(f"./{names[0]}\n")

    def acts() -> Iterator[None]:
        yield from grow(paths[0], WHOLE[:LAST] + ends, 61)
        yield  # nothing comes for a while
        if has_index:
            index.unlink()
            yield  # it is written anew
            index.write_text(f"./{names[0]}\n")
            yield  # the next one gets into it when the file is there, or a moment after
        # The last of the first log comes together with the second one.
        paths[1].touch()
        yield
        yield from grow(paths[1], WHOLE[:5000], 997)
        if has_index:
            index.write_text("".join(f"./{name}\n" for name in names))
        yield from grow(paths[1], WHOLE[5000:LAST], 997)

    paths[0].touch()
    path = tmp_path if has_index else paths[0]
    with follow(path, acts()) as events:
        found = told(events)
        assert events.resume == binlog.Position(names[1], LAST)
    index.write_text("".join(f"./{name}\n" for name in names))
    with binlog.open(tmp_path) as events:
        assert found == told(events)


def test_what_comes_last_is_read_before_the_next_log(tmp_path: Path) -> None:
    path = tmp_path / "b.000001"

    def acts() -> Iterator[None]:
        with path.open("ab") as file:
            file.write(WHOLE[5000:LAST])
        (tmp_path / "b.000002").write_bytes(WHOLE[:LAST])
        yield

    path.write_bytes(WHOLE[:5000])
    with follow(path, acts()) as events:
        found = told(events)
    half = len(found) // 2
    assert [what for _, what in found[:half]] != []
    assert [at.offset for at, _ in found[:half]] == [at.offset for at, _ in found[half:]]


@pytest.mark.parametrize("has_index", [False, True])
def test_a_log_that_was_only_begun_may_be_made_anew(has_index: bool, tmp_path: Path) -> None:
    """By a server that was killed while it began it; the index lists it when it is whole."""
    names = ["b.000001", "b.000002", "b.000003"]
    paths = [tmp_path / name for name in names]
    index = tmp_path / "b.index"

    def acts() -> Iterator[None]:
        paths[1].write_bytes(WHOLE[:373])  # its head, without a transaction
        yield
        yield
        paths[1].unlink()
        yield
        paths[1].write_bytes(WHOLE[:LAST])
        if has_index:
            index.write_text(f"./{names[0]}\n./{names[1]}\n")
        yield
        paths[2].write_bytes(WHOLE[:LAST])
        if has_index:
            index.write_text("".join(f"./{name}\n" for name in names))
        yield

    paths[0].write_bytes(WHOLE[:LAST] + rotate(names[1]))
    if has_index:
        index.write_text(f"./{names[0]}\n")
    path = tmp_path if has_index else paths[0]
    with follow(path, acts()) as events:
        found = told(events)
    places = [[at.offset for at, _ in found if at.file == name] for name in names]
    assert places[1][-len(places[2]) :] == places[2]
    assert places[0][:-1] == places[2] != []


def test_a_log_is_not_read_twice_if_another_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "b.000001"

    def acts() -> Iterator[None]:
        path.unlink()
        path.write_bytes(WHOLE[:LAST])
        yield

    path.write_bytes(WHOLE[:5000])
    with (
        pytest.raises(binlog.DataError, match=r"b\.000001: another file took its place after"),
        follow(path, acts()) as events,
    ):
        told(events)


def test_it_goes_on_from_a_position(tmp_path: Path) -> None:
    path = tmp_path / "b.000001"
    path.write_bytes(WHOLE[:5000])
    with follow(path, iter([])) as events:
        found = told(events)
        place = events.resume
    with follow(path, grow(path, WHOLE[5000:LAST], 100), position=place) as events:
        found = [*(each for each in found if place and each[0] < place), *told(events)[1:]]
    with binlog.open(path, follow=False) as events:
        assert found == told(events)


def test_a_part_of_an_event_that_a_server_cuts_off_was_never_there(tmp_path: Path) -> None:
    path = tmp_path / "b.000001"
    with binlog.open(FOLDER / "md-simple.binlog", follow=False) as events:
        ends = [event.position.offset for event in events if event.position]
    whole = ends[len(ends) // 2]

    def acts() -> Iterator[None]:
        with path.open("r+b") as file:
            file.truncate(whole)
        (tmp_path / "b.000002").write_bytes(WHOLE[:LAST])
        yield

    path.write_bytes(WHOLE[: whole + 7])
    with follow(path, acts()) as events:
        found = told(events)
    assert [at.offset for at, _ in found if at.file == path.name] == [
        at for at in ends if at < whole
    ]
    assert events.resume == binlog.Position("b.000002", LAST)

    path.write_bytes(WHOLE[: whole + 7])  # and if it stays
    with (
        pytest.raises(binlog.DataError, match=f"b.000001 at {whole}: .* inside of an event, .* 7"),
        follow(path, iter([])) as events,
    ):
        told(events)

    def too_much() -> Iterator[None]:
        with path.open("r+b") as file:
            file.truncate(ends[3])
        yield

    (tmp_path / "b.000002").unlink()
    with (
        pytest.raises(
            binlog.DataError, match=f"had {whole} bytes that were read, .* has {ends[3]}"
        ),
        follow(path, too_much()) as events,
    ):
        told(events)


@pytest.mark.parametrize("behind", [0, 1, 2])
def test_a_part_of_a_transaction_that_a_server_cuts_off_is_rolled_back(
    behind: int, tmp_path: Path
) -> None:
    """Where the file ends then: behind so many events of that transaction, of three."""
    path = tmp_path / "b.000001"
    with binlog.open(FOLDER / "md-simple.binlog", follow=False) as events:
        places = [(type(event), event.position.offset) for event in events if event.position]
    begin = next(n for n, (kind, _) in enumerate(places) if kind is binlog.RowsQuery) - 1
    ends = [offset for _, offset in places[begin : begin + 4]]

    def acts() -> Iterator[None]:
        with path.open("r+b") as file:
            file.truncate(ends[behind])
        (tmp_path / "b.000002").write_bytes(WHOLE[:LAST])
        yield

    path.write_bytes(WHOLE[: ends[3] + 7])
    with follow(path, acts()) as events:
        found = told(events)
    old = [at.offset for at, _ in found if at.file == path.name]
    assert old == [at for _, at in places if at < ends[3]]
    new = [(at.offset, what) for at, what in found if at.file == "b.000002"]
    assert [at for at, _ in new] == [4, *(at for _, at in places if at < LAST)]
    assert "statement='ROLLBACK'" in new[0][1]


@pytest.mark.parametrize("blocks", [False, True])
def test_the_part_of_an_event_of_a_server_that_was_killed_is_left_out(
    tmp_path: Path, blocks: bool
) -> None:
    """MariaDB leaves it there, and marks no log as closed; of one that is marked it is missing."""
    with binlog.open(FOLDER / "md-simple.binlog", follow=False) as events:
        ends = [event.position.offset for event in events if event.position]
    whole = ends[len(ends) // 2]
    torn = bytearray(WHOLE[: whole + 7])
    torn[4 + 17] |= 1  # in use
    (tmp_path / "b.index").write_text("./b.000001\n./b.000002\n")
    (tmp_path / "b.000001").write_bytes(torn)
    (tmp_path / "b.000002").write_bytes(WHOLE[:LAST])
    if blocks:
        with follow(tmp_path, iter([])) as events:
            found = told(events)
    else:
        with binlog.open(tmp_path) as events:
            found = told(events)
    offsets = [at.offset for at, _ in found if at.file == "b.000001"]
    assert offsets == [at for at in ends if at < whole]
    offsets = [at.offset for at, _ in found if at.file == "b.000002"]
    assert offsets == [4, *(at for at in ends if at < LAST)]
    assert "statement='ROLLBACK'" in next(what for at, what in found if at.file == "b.000002")

    (tmp_path / "b.index").write_text("./b.000001\n")  # and with none behind it
    (tmp_path / "b.000002").unlink()
    with (
        pytest.raises(binlog.DataError, match=f"b.000001 at {whole}: .* inside of an event"),
        binlog.open(tmp_path) as events,
    ):
        told(events)


def test_logs_that_were_purged_before_they_were_read_are_lost(tmp_path: Path) -> None:
    index = tmp_path / "b.index"
    (tmp_path / "b.000001").write_bytes(WHOLE[:LAST])
    (tmp_path / "b.000002").write_bytes(WHOLE[:LAST])

    def acts() -> Iterator[None]:
        index.write_text("./b.000002\n")  # the one that was read
        yield
        index.write_text("./b.000004\n./b.000005\n")
        yield

    index.write_text("./b.000001\n")
    with (
        pytest.raises(binlog.PositionLost, match=r"000002: .* b\.000003 .* b\.000004 to b\.000005"),
        follow(tmp_path, acts()) as events,
    ):
        told(events)
    assert events.resume == binlog.Position("b.000002", LAST)


def test_a_log_with_a_rotate_ends_where_no_other_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "b.000001"
    path.write_bytes(WHOLE[:LAST] + rotate("b.000002"))
    with follow(path, iter([]), follow=False) as events:
        assert [*events]


def test_another_thread_may_close_what_waits(tmp_path: Path) -> None:
    path = tmp_path / "b.000001"
    path.write_bytes(WHOLE[:LAST])
    with binlog.open(path) as events:
        count = len([*events])
    found: list[binlog.Event] = []
    is_at_the_end = threading.Event()
    with binlog.open(path, blocks=True, poll=600) as events:

        def read() -> None:
            for event in events:
                found.append(event)
                if len(found) == count:
                    is_at_the_end.set()

        thread = threading.Thread(target=read)
        thread.start()
        assert is_at_the_end.wait(20)
        events.close()
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.parametrize("poll", [0, -1, 3601, float("nan"), True, "1"])
def test_bad_polls_are_refused(poll: Any) -> None:
    with pytest.raises(ValueError, match=r"poll must be in \(0, 3600\] seconds, got"):
        binlog.open("b.000001", poll=poll)
    with pytest.raises(TypeError, match="pause must be a function, got 5"):
        binlog.open("b.000001", pause=5)  # type: ignore[arg-type]
