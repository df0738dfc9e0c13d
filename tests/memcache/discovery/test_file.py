"""A fleet in a file: what it may look like, and every way in which files are replaced."""

import os
import threading
import time
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from support.discovering import soon

from godropbox.memcache import InvalidArgumentError, ShardState
from godropbox.memcache.discovery import FileSource, Server, SourceError
from godropbox.memcache.discovery.file import parse_servers
from godropbox.memcache.discovery.keeping import Keeper

TWO = [Server("a:1", "a:1"), Server("x", "b:2", ShardState.DOWN)]
MCROUTER = """{
  // the pools of one region
  "pools": {
    "A": {"servers": ["10.0.0.1:11211", "[::1]:11211"]}, /* behind "B" // */
    "B": {"servers": [{"address": "b:2", "name": "http://not/*a*/comment"}]}
  },
  "route": "PoolRoute|A"
}"""


@pytest.mark.parametrize(
    ("text", "pool", "names"),
    [
        ("", None, []),
        ("# none\n\n", None, []),
        ("a:1\n", None, ["a:1 a:1 ACTIVE"]),
        (
            "a:1 DOWN\nx b:2 warm_up # soon\n/run/m.sock\n",
            None,
            ["a:1 a:1 DOWN", "x b:2 WARM_UP", "/run/m.sock /run/m.sock ACTIVE"],
        ),
        ("[::1]:1\n", None, ["[::1]:1 [::1]:1 ACTIVE"]),
        ("x [::1]:1", None, ["x [::1]:1 ACTIVE"]),
        ("[]", None, []),
        ('["a:1", "b"]', None, ["a:1 a:1 ACTIVE", "b b ACTIVE"]),
        ('{"servers": [{"address": "a:1", "state": "down", "name": "x"}]}', None, ["x a:1 DOWN"]),
        (MCROUTER, "A", ["10.0.0.1:11211 10.0.0.1:11211 ACTIVE", "[::1]:11211 [::1]:11211 ACTIVE"]),
        (MCROUTER, "B", ["http://not/*a*/comment b:2 ACTIVE"]),
        ('{"pools": {"A": ["a:1"]}}', None, ["a:1 a:1 ACTIVE"]),
    ],
)
def test_what_a_file_may_be(text: str, pool: str | None, names: list[str]) -> None:
    assert [f"{n} {a} {s.name}" for n, a, s in parse_servers(text, pool)] == names


@pytest.mark.parametrize(
    ("text", "pool", "message"),
    [
        ("a b c d\n", None, r"line 1 must be \[name\] address \[state\], got 'a b c d'"),
        ("\nx a:1 UP\n", None, "the state of line 2 must be one of ACTIVE, WRITE_ONLY"),
        ("a:1 DWON\n", None, "the state of line 1 must be one of .*, got 'DWON'"),
        ("a:1\n", "A", "there is no pool 'A' in lines of servers"),
        ("{", None, "Expecting property name|Key name must be string"),
        ("{}", None, "it must have a list of servers, got an object of none"),
        ('{"servers": "a:1"}', None, "servers must be a list, got 'a:1'"),
        ("[1]", None, "a server must be an address, or an object with one, got 1"),
        ('[{"name": "x"}]', None, "a server must be an address"),
        ('[{"name": 1, "address": "a:1"}]', None, "the name of 'a:1' must be a str, got 1"),
        ('[{"address": "a:1", "state": 0}]', None, "the state of 'a:1' must be one of"),
        (MCROUTER, None, "it has 2 pools, so that pool= must name one of 'A', 'B'"),
        (MCROUTER, "C", "it has no pool 'C', but 'A', 'B'"),
        ("[]", "A", "it has no pools, and so no pool 'A'"),
    ],
)
def test_what_it_may_not_be(tmp_path: Path, text: str, pool: str | None, message: str) -> None:
    path = tmp_path / "fleet"
    path.write_text(text)
    with pytest.raises(SourceError, match=message) as raised:
        FileSource(path, pool=pool).next(0)
    assert str(path) in str(raised.value)


def test_bad_servers_and_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "fleet"
    for data, message in (
        (b"a:99999\n", "no list of servers"),
        (b"a:1\na:1\n", "two servers of one name"),
        (b"\xff\n", "can't decode"),
        (b"[" * 100_000 + b"]", "no list of servers"),
    ):
        path.write_bytes(data)
        with pytest.raises(SourceError, match=message):
            FileSource(path).next(0)


def write(path: Path, text: str, age: float = 60.0) -> None:
    """Write a file as if that had been some time ago."""
    path.write_text(text)
    stamp = path.stat().st_mtime - age
    os.utime(path, (stamp, stamp))


def names(said: Any) -> list[str]:
    return [server.name for server in said.servers]


def test_it_is_read_at_once_and_then_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "fleet"
    write(path, "a:1\nx b:2 DOWN\n")
    source = FileSource(path, interval=0.01)
    said = source.next(0)
    assert said is not None
    assert (said.version, list(said.servers), said.is_ordered) == (None, TWO, True)
    assert source.next(0.05) is None
    assert source.name == f"file:{path}"
    assert FileSource(path, pool="A").name == f"file:{path}?pool=A"


def replaced(path: Path, text: str) -> None:
    part = path.with_name("part")
    write(part, text)
    part.replace(path)


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def removed_first(path: Path, text: str) -> None:
    path.unlink()
    write(path, text, age=61.0)


def hard_linked(path: Path, text: str) -> None:
    part = path.with_name("part")
    write(part, text)
    path.unlink()
    path.hardlink_to(part)


@pytest.mark.parametrize("replace", [replaced, in_place, removed_first, hard_linked])
def test_every_way_to_replace_it_is_seen(tmp_path: Path, replace: Any) -> None:
    path = tmp_path / "fleet"
    write(path, "a:1\n")
    source = FileSource(path, interval=0.01)
    assert names(source.next(5)) == ["a:1"]
    replace(path, "b:1\n")  # of the same size
    assert names(source.next(5)) == ["b:1"]


def test_a_config_map_is_seen(tmp_path: Path) -> None:
    """Kubernetes replaces a symbolic link to a folder, ``..data``, behind another one."""
    for number in (1, 2):
        (tmp_path / f"..{number}").mkdir()
        write(tmp_path / f"..{number}" / "fleet", f"cache-{number}:11211\n")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "fleet").symlink_to("..data/fleet")
    source = FileSource(tmp_path / "fleet", interval=0.01)
    assert names(source.next(5)) == ["cache-1:11211"]
    (tmp_path / "..tmp").symlink_to("..2")
    (tmp_path / "..tmp").replace(tmp_path / "..data")
    assert names(source.next(5)) == ["cache-2:11211"]


def test_a_write_so_soon_that_it_has_the_same_time_is_seen(tmp_path: Path) -> None:
    for attempt in range(100):
        path = tmp_path / f"fleet{attempt}"
        path.write_text("a:1\n")
        source = FileSource(path, interval=0.01)
        assert names(source.next(5)) == ["a:1"]
        before = path.stat()
        if time.time_ns() - before.st_mtime_ns < 45_000_000:  # it was read within the 50 ms
            break
    with path.open("r+") as file:
        file.write("b")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    said = source.next(5)
    assert said is not None
    assert names(said) == ["b:1"]


def test_a_last_line_without_an_end_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "fleet"
    path.write_text("a:1\nb:112")
    source = FileSource(path, interval=0.01)
    assert source.next(0) is None
    with path.open("a") as file:
        file.write("11\n")
    assert names(source.next(5)) == ["a:1", "b:11211"]
    write(path, "c:1")  # as kubectl writes literals
    assert names(source.next(5)) == ["c:1"]
    assert source.next(0.05) is None


def test_half_written_json_is_an_error_and_then_read(tmp_path: Path) -> None:
    path = tmp_path / "fleet"
    text = '{"servers": ["a:1", "b:1"]}'
    source = FileSource(path, interval=0.01)
    for end in range(1, len(text)):
        path.write_text(text[:end])
        with pytest.raises(SourceError, match="no list of servers"):
            source.next(0)
    path.write_text(text)
    assert names(source.next(0)) == ["a:1", "b:1"]


def test_a_missing_file_is_an_error_and_read_when_it_is_there(tmp_path: Path) -> None:
    source = FileSource(tmp_path / "fleet", interval=0.01)
    for _ in range(2):
        with pytest.raises(SourceError, match=r"cannot be read: .*No such file"):
            source.next(0)
    write(tmp_path / "fleet", "a:1\n")
    assert names(source.next(0)) == ["a:1"]
    (tmp_path / "fleet").unlink()
    with pytest.raises(SourceError, match="No such file"):
        source.next(5)
    write(tmp_path / "fleet", "a:1\n")
    assert names(source.next(0)) == ["a:1"]
    with pytest.raises(SourceError, match="cannot be read"):
        FileSource(tmp_path).next(0)


def test_close_ends_a_question_under_way(tmp_path: Path) -> None:
    write(tmp_path / "fleet", "a:1\n")
    ticks: list[float] = []

    def clock() -> float:
        ticks.append(monotonic())
        return ticks[-1]

    source = FileSource(tmp_path / "fleet", interval=60.0, clock=clock)
    source.next(0)
    asked = len(ticks)
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            source.next(60)
        except SourceError as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    soon(lambda: len(ticks) == asked + 2)  # it is about to wait
    begun = monotonic()
    source.close()
    thread.join()
    assert monotonic() - begun < 10
    assert "was closed" in str(failures[0])
    assert names(source.next(0)) == ["a:1"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((5,), TypeError, "path must be the path of a file, got 5"),
        (("",), TypeError, "path must be the path of a file, got ''"),
        (("x", 1), TypeError, "pool must be a str or None, got 1"),
        (("x", None, 0), ValueError, r"interval must be in \[0.01, 3600\] seconds, got 0"),
        (("x", None, "1"), TypeError, "interval must be a number of seconds, got '1'"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    named = dict(zip(("path", "pool", "interval"), arguments, strict=False))
    with pytest.raises(error, match=message):
        FileSource(**named)


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="path must have no NUL, got"):
        FileSource("/tmp/a\0b")


def test_text_that_no_path_can_have_is_an_error_of_the_source() -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        FileSource("/tmp/\ud800").next(0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
def test_nothing_waits_for_who_writes_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SourceError, match="cannot be read: it is no regular file"):
        FileSource(tmp_path / "fifo").next(0)
    with pytest.raises(SourceError, match="cannot be read: it is no regular file"):
        Keeper(tmp_path / "fifo", "x").read()
