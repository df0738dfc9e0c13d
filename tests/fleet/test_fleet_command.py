"""``python -m godropbox.fleet`` as it is typed: over real servers, in pipes and on a terminal."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.memcached import PASSWORD, USER, _free_port, running

import godropbox
from godropbox.fleet import Layout, moving
from godropbox.fleet.__main__ import main
from godropbox.fleet.copying import Copier
from godropbox.fleet.task import Step
from godropbox.memcache import Client, Hash2, ShardState, discovery
from godropbox.memcache.discovery.types import Answer, Server, SourceError

KEYS = [f"user:{number}" for number in range(300)]
ROOT = Path(godropbox.__file__).parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "140"}


class Source:
    """A source of servers as ``discovery.source`` makes them, with states that can be set."""

    servers: tuple[Server, ...] = ()
    is_ordered = False
    error: Exception | None = None
    closed = 0
    secrets: ClassVar[dict[str, str]] = {}

    def __init__(self, url: str, **secrets: str) -> None:
        self.name = url
        Source.secrets = secrets

    def next(self, timeout: float) -> Answer | None:
        assert timeout > 0
        if Source.error is not None:
            raise Source.error
        return Answer(1, Source.servers, Source.is_ordered) if Source.servers else None

    def set_state(self, name: str, state: ShardState) -> None:
        Source.servers = tuple(
            each._replace(state=state) if each.name == name else each for each in Source.servers
        )

    def close(self) -> None:
        Source.closed += 1


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Source]]:
    """The source that every URL names."""
    monkeypatch.setattr(discovery, "source", Source)
    Source.servers, Source.is_ordered, Source.error, Source.closed = (), False, None, 0
    yield Source
    assert Source.closed > 0


def printed(capsys: pytest.CaptureFixture[str], *typed: str) -> Any:
    """Run a command that is done; return the JSON that it prints."""
    assert main([*typed, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *typed: str) -> str:
    """Run a command that is wrong; return the one line that it says."""
    assert main(typed) == 2
    found = capsys.readouterr()
    assert found.out == ""
    [line] = found.err.splitlines()
    head = "python -m godropbox.fleet: error: "
    assert line.startswith(head)
    return line.removeprefix(head)


def fill(addresses: Sequence[str], keys: Sequence[str] = KEYS) -> None:
    with Client(list(addresses), timeout=10.0) as client:
        assert client.set_many(dict.fromkeys(keys, b"x" * 50)) == []


def held(addresses: Sequence[str]) -> list[set[str]]:
    """Return the keys that each server has."""
    found = []
    for address in addresses:
        with Client([address], timeout=10.0) as client:
            found.append({str(key) for key in client.get_many(KEYS)})
    return found


# plan


def test_the_keys_that_a_plan_names_are_those_that_move(
    addresses: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The command over a fleet that grows by one: its list, its sums, and what really moves."""
    fill(addresses[:3])
    listed, picture = tmp_path / "moved", tmp_path / "plan.svg"
    fleet = ["plan", ",".join(addresses[:3]), "--add", addresses[3], "--timeout", "10"]
    files = ["--moved", str(listed), "--svg", str(picture)]
    found = printed(capsys, *fleet, "--metadump", *files)
    named = {tuple(line.split("\t")) for line in listed.read_text().splitlines()}
    # The fleet grows, and its programs write their keys again: where is each then?
    fill(addresses)
    where: dict[str, set[str]] = {key: set() for key in KEYS}
    for address in addresses:
        with Client([address], timeout=10.0) as client:
            for key in client.get_many(KEYS):
                where[key].add(address)
    old = Layout.of(addresses[:3])
    first = {key: addresses[old.placement().of(key)] for key in KEYS}
    seen = {(key, first[key], *(held - {first[key]})) for key, held in where.items()}
    assert {each for each in seen if len(each) == 3} == named
    assert (found["keys"], found["moved"]["keys"]) == (300, len(named))
    assert found["bytes"] > 300 * 50
    assert found["moved"]["share"] == len(named) / 300
    assert sum(each["keys"] for each in found["moves"]) == len(named)
    assert found["loads"][3]["before"] is None
    assert [each["name"] for each in found["functions"] if each["is_chosen"]] == ["hash2"]
    assert (found["strays"], found["errors"], found["hit_rate"]) == (0, {}, None)
    assert picture.read_text("utf-8").startswith("<svg")
    # From now on the old servers have leftovers, which are told.
    again = printed(capsys, "plan", *addresses, "--remove", addresses[3], "--metadump")
    assert again["strays"] == len(named)
    assert (again["keys"], again["moved"]["keys"]) == (300, len(named))
    assert again["hit_rate"]["then"] < again["hit_rate"]["now"] <= 1


def test_a_plan_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["plan", "10.0.0.1,10.0.0.2", "10.0.0.3", "--remove", "10.0.0.2", "--sample", "3000"]
    assert main(typed) == 0
    text = capsys.readouterr().out
    assert re.match(
        r"[45]\d\.\d% of 3,000 keys move\nof the reads that hit now, [45]\d\.\d% m", text
    )
    assert "10.0.0.2 (gone)" in text
    assert re.search(r"with (ketama|rendezvous) 3\d\.\d% would move instead of 4", text)
    assert main([*typed, "--hash", "rendezvous"]) == 0
    text = capsys.readouterr().out
    assert "rendezvous (this)" in text
    assert "instead" not in text
    assert main([*typed[:3], "--add", "10.0.0.4:1", "--to-hash", "ketama", "--sample", "100"]) == 0


def test_keys_of_a_file_and_of_standard_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"site:a\r\nsite:b\n\nother\nsite:\xff\n")
    typed = ["plan", "a", "b", "--add", "c", "--prefix", "site:"]
    found = printed(capsys, *typed, "--keys", str(file))
    assert found["keys"] + found["unplaced"] == 3
    assert printed(capsys, *typed, "--keys", str(file), "--sample", "2")["keys"] == 2
    with file.open() as given:
        monkeypatch.setattr(sys, "stdin", given)
        assert printed(capsys, *typed, "--keys", "-")["keys"] == found["keys"]
    file.write_text("")
    assert main([*typed, "--keys", str(file)]) == 1
    assert "no keys to plan by" in capsys.readouterr().err


def test_replaced_weighted_and_named_servers(capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["plan", "a,b,c", "--sample", "3000"]
    replaced = printed(capsys, *typed, "--replace", "b=z")
    assert {(each["from"], each["to"]) for each in replaced["moves"]} == {("b", "z")}
    heavy = printed(
        capsys, *typed, "--add", "d", "--hash", "ketama", "--weight", "a=4", "--weight", "d=1"
    )
    loads = {each["server"]: each["before"]["keys"] for each in heavy["loads"][:3]}
    assert loads["a"] > 2.5 * loads["b"]
    named = ["plan", "one=10.0.0.1,two=10.0.0.2", "--hash", "jump"]
    moved = printed(capsys, *named, "--replace", "two=10.0.0.9", "--sample", "100")
    assert moved["moved"]["keys"] == 0


def test_a_plan_whose_servers_are_not_all_there(
    addresses: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    gone = f"127.0.0.1:{_free_port()}"
    fill([addresses[0], gone][:1], [key for key in KEYS if Hash2().bind(["a", "b"]).of(key) == 0])
    assert main(["plan", addresses[0], gone, "--add", addresses[1], "--metadump"]) == 1
    found = capsys.readouterr()
    assert f"warning: {gone}: its keys are not in this: Connection refused" in found.err
    assert "keys move" in found.out
    said = refused(capsys, "plan", gone, "--add", addresses[1], "--metadump")
    assert said == f"no server lists its keys; {gone}: Connection refused"


def test_a_wrong_shard_function_is_noticed(
    addresses: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(addresses)
    typed = ["plan", *addresses, "--remove", addresses[3], "--metadump", "--hash", "ketama"]
    assert main(typed) == 0
    assert "is it another shard function (--hash)" in capsys.readouterr().err


# warm, drain and set-state


def test_warming_in_words_and_json(
    addresses: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(addresses[:3])
    planned = len(list(moving(Layout.of(addresses[:3]), Layout.of(addresses), KEYS)))
    typed = ["warm", ",".join(addresses[:3]), "--server", addresses[3], "--timeout", "10"]
    found = printed(capsys, *typed, "--max", "10", "--hot", "--rate", "1MB")
    assert (found["copied"], found["is_complete"], found["errors"]) == (10, True, {})
    assert main(typed) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{planned - 10} keys copied, ")
    assert re.search(r"^ *10  there already$", text, re.MULTILINE)
    with Client(addresses, timeout=10.0) as client:
        assert len(client.get_many(KEYS)) == 300


def test_warming_a_server_of_a_source(
    addresses: list[str], capsys: pytest.CaptureFixture[str], source: type[Source]
) -> None:
    fill(addresses[:3])
    # Not in the order of the names, which is that of the shards.
    source.servers = (
        Server("cache-10", addresses[3], ShardState.WARM_UP),
        Server("cache-2", addresses[1]),
        Server("cache-1", addresses[0]),
        Server("cache-3", addresses[2]),
    )
    found = printed(capsys, "warm", "zookeeper://zk/c", "--server", "cache-10", "--timeout", "10")
    assert found["copied"] == len(
        list(moving(Layout.of(addresses[:3]), Layout.of(addresses), KEYS))
    )
    said = refused(capsys, "warm", "zookeeper://zk/c", "--server", "cache-2")
    assert said == "cache-2 is ACTIVE: clients use it already; give FLEET without it"
    source.servers = (*source.servers, Server("cache-20", "10.0.0.9"))
    said = refused(capsys, "warm", "zookeeper://zk/c", "--server", "cache-10")
    assert "cache-10 is not the last of the fleet, and hash2 places keys by number" in said


def test_draining_sets_a_state_if_all_went_well(
    addresses: list[str], capsys: pytest.CaptureFixture[str], source: type[Source]
) -> None:
    fill(addresses)
    source.servers = tuple(Server(f"cache-{n}", each) for n, each in enumerate(addresses))
    source.is_ordered = True
    typed = ["drain", "etcd://e/c", "--server", "cache-3", "--timeout", "10", "--set-state", "down"]
    assert main(typed) == 0
    assert capsys.readouterr().out.endswith("cache-3 is DOWN\n")
    assert source.servers[3].state is ShardState.DOWN
    with Client(addresses[:3], timeout=10.0) as client:
        assert len(client.get_many(KEYS)) == 300
    assert refused(capsys, *typed).startswith("cache-3 is DOWN: what it has may be old")
    source.servers = (
        *source.servers[:3],
        Server("cache-3", addresses[3]),
        Server("cache-4", f"127.0.0.1:{_free_port()}"),
    )
    typed[3] = "cache-4"
    assert main(typed) == 1
    assert "cache-4 stays ACTIVE, as not all is copied" in capsys.readouterr().err
    assert source.servers[4].state is ShardState.ACTIVE


def test_a_drain_that_is_not_whole_gives_no_state(
    addresses: list[str],
    capsys: pytest.CaptureFixture[str],
    source: type[Source],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(addresses)
    source.servers = tuple(Server(f"cache-{n}", each) for n, each in enumerate(addresses))
    source.is_ordered = True
    typed = ["drain", "etcd://e/c", "--server", "cache-3", "--timeout", "10"]
    typed += ["--set-state", "down", "--json"]
    said = refused(capsys, *typed, "--max", "5")
    assert said == "--set-state is for a server that is copied whole: no --max"
    # Ctrl-C in the middle of the first pass, and after it.
    phase, plain = "copy", Copier.run

    def run(self: Copier) -> Iterator[Step]:
        for step in plain(self):
            if step.phase == phase:
                self.stop()
            yield step

    monkeypatch.setattr(Copier, "run", run)
    assert main([*typed, "--follow", "--batch", "5"]) == 130
    found = capsys.readouterr()
    told = json.loads(found.out)
    assert (told["state"], told["passes"], told["is_complete"]) == (None, 0, False)
    assert "cache-3 stays ACTIVE" in found.err
    assert source.servers[3].state is ShardState.ACTIVE
    phase = "follow"
    told = printed(capsys, *typed[:-1], "--follow", "--batch", "5")
    assert (told["state"], told["passes"], told["is_complete"]) == ("DOWN", 1, True)
    assert source.servers[-1].state is ShardState.DOWN


def test_a_drain_of_a_source_without_states_fails_before_it_copies(
    addresses: list[str],
    capsys: pytest.CaptureFixture[str],
    source: type[Source],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(addresses)
    before = held(addresses)
    source.servers = tuple(Server(f"cache-{n}", each) for n, each in enumerate(addresses))
    monkeypatch.delattr(Source, "set_state")
    said = refused(capsys, "drain", "dns://c", "--server", "cache-3", "--set-state", "DOWN")
    assert said == "dns://c has no states to set: ZooKeeper and etcd have"
    assert held(addresses) == before


def test_following_tells_what_differs(
    addresses: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(addresses[:3])
    typed = ["warm", ",".join(addresses[:3]), "--server", addresses[3], "--timeout", "10"]
    assert main(typed) == 0
    with Client(addresses[:3], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"y"))
    plain = Copier.run

    def run(self: Copier) -> Iterator[Step]:
        for step in plain(self):
            if step.phase == "follow":
                self.stop()
            yield step

    monkeypatch.setattr(Copier, "run", run)
    capsys.readouterr()
    assert main([*typed, "--follow"]) == 1
    assert "there with another value, which stays" in capsys.readouterr().out
    assert printed(capsys, *typed, "--follow", "--refresh")["differing"] == 0
    with Client(addresses, timeout=10.0) as client:
        assert client.get_many(KEYS) == dict.fromkeys(KEYS, b"y")


@pytest.mark.parametrize(
    ("servers", "words"),
    [
        ([Server("x", "a"), Server("y", "a:11211")], "two servers of one address"),
        ([Server("x", "a"), Server("x:11211", "b")], "two servers of one name"),
        ([Server("x\ny", "a")], "must be printable text"),
    ],
)
def test_fleets_of_a_source_that_no_client_follows(
    servers: list[Server], words: str, capsys: pytest.CaptureFixture[str], source: type[Source]
) -> None:
    source.servers = tuple(servers)
    assert words in refused(capsys, "status", "zookeeper://zk/c")


def test_a_server_by_another_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, "plan", "a,b", "--remove", "b:11211", "--sample", "100")
    assert found["after"] == ["a"]


def test_errors_of_values_are_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (ValueError("an odd value"), OverflowError("too large a value")):

        def source(url: str, error: Exception = error) -> Any:
            raise error

        monkeypatch.setattr(discovery, "source", source)
        assert refused(capsys, "status", "zookeeper://zk/c") == str(error)


def test_set_state(
    capsys: pytest.CaptureFixture[str], source: type[Source], tmp_path: Path
) -> None:
    source.servers = (Server("a", "10.0.0.1"), Server("b", "10.0.0.2"))
    assert main(["set-state", "zookeeper://zk/c", "b", "warm-up"]) == 0
    assert capsys.readouterr().out == "b is WARM_UP, was ACTIVE\n"
    assert source.servers[1].state is ShardState.WARM_UP
    secret = tmp_path / "secret"
    secret.write_text("s3\n")
    login = ["--source-user", "ann", "--source-password-file", str(secret)]
    found = printed(capsys, "set-state", "zookeeper://zk/c", "b", "ACTIVE", *login)
    assert source.secrets == {"user": "ann", "password": "s3"}
    assert found == {
        "source": "zookeeper://zk/c",
        "server": "b",
        "state": "ACTIVE",
        "was": "WARM_UP",
    }
    said = refused(capsys, "set-state", "zookeeper://zk/c", "c", "DOWN")
    assert said == "zookeeper://zk/c has no server 'c'"
    said = refused(capsys, "set-state", "zookeeper://zk/c", "b", "GONE")
    assert said == "a state must be one of ACTIVE, WRITE_ONLY, DOWN, WARM_UP, got 'GONE'"


def test_a_source_whose_library_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def source(url: str) -> Any:
        raise ImportError("pip install godropbox[zookeeper]")

    monkeypatch.setattr(discovery, "source", source)
    said = refused(capsys, "status", "zookeeper://zk/c")
    assert said == "zookeeper://zk/c cannot be asked: pip install godropbox[zookeeper]"


def test_a_source_that_fails_or_has_no_states(
    capsys: pytest.CaptureFixture[str], source: type[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    source.error = SourceError("zookeeper://zk/c: the session is lost")
    said = refused(capsys, "status", "zookeeper://zk/c")
    assert said == "zookeeper://zk/c: the session is lost"
    source.error = None
    assert (
        refused(capsys, "status", "dns://c", "--timeout", "20")
        == "dns://c says nothing within 20 s"
    )
    source.servers = (Server("a", "10.0.0.1"),)
    monkeypatch.delattr(Source, "set_state")
    said = refused(capsys, "set-state", "file:/x", "a", "DOWN")
    assert said == "file:/x has no states to set: ZooKeeper and etcd have"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("plan a", "nothing changes: give --add, --remove, --replace or --to"),
        ("plan a --to b --add c", "--to says the whole fleet"),
        ("plan a a:11211x --add b", "address must be host"),
        ("plan a,a --add b", "each server once, got a twice"),
        ("plan a --add a:11211", "one server twice: a, a:11211"),
        ("plan a --remove b", "the fleet has no server 'b', it has a"),
        ("plan a --remove a", "at least one server, got none"),
        ("plan a b --replace a", "--replace must be as NAME=ADDR, got 'a'"),
        ("status a --cafile /not/there", "--cafile /not/there: No such file or directory"),
        ("plan a --add b --weight a=2", "--weight is for --hash ketama, got hash2"),
        ("plan a --add b --hash ketama --weight a", "--weight must be as NAME=2, got 'a'"),
        ("plan a --add b --keys /none/there", "No such file or directory"),
        ("plan a file:/x --add b", "addresses or one source"),
        ("warm a --server a", "a is ACTIVE"),
        ("drain a --server a", "at least one server, got none"),
        ("drain a b --server c", "no server 'c'"),
        ("drain a b --server a --set-state DOWN", "needs a source of states"),
        ("drain a b --server a --set-state ACTIVE", "must be WRITE_ONLY or DOWN"),
        ("status =a", "the name of a server must be printable text"),
        ("status x=a,x:11211=b", "two servers of one name: 'x' at 'a' and 'x:11211' at 'b'"),
        ("status x=a,y=a:11211", "two servers of one address"),
        ("plan x=a --add x:11211=b", "two servers of one name"),
        ("plan a --add b --hash ketama --weight a=99999999999999", "must be an int in [1, 2**32)"),
        ("set-state a b DOWN", "SOURCE must be a source of states"),
        ("status a --user ann", "--user and --password-file go together"),
        ("status unix:/x --tls", "tls must be None for a Unix socket"),
        ("warm a --server b --user u --password-file /dev/null --mechanism sasl", "SASL"),
    ],
)
def test_wrong_words(typed: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refused(capsys, *typed.split())


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "plan",
        "plan a --add b --hash md5",
        "warm a --server b --rate fast",
        f"warm a --server b --rate {'9' * 400}",
        "status a --watch 0",
    ],
)
def test_usage(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(typed.split())
    assert end.value.code == 2
    assert "usage: python -m godropbox.fleet" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["", "plan", "warm", "drain", "status", "set-state"])
def test_help(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*part.split(), "--help"])
    assert end.value.code == 0
    assert "FLEET" in capsys.readouterr().out or part == "set-state"


# status


def test_status_in_json_again_and_again(
    addresses: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["status", "--timeout", "20", "--pings", "2", *addresses]
    assert len(printed(capsys, *typed)["servers"]) == 4
    assert main([*typed, "--json", "--watch", "0.01", "--count", "3"]) == 0
    looks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(looks) == 3
    assert looks[0]["servers"][0]["rates"] is None
    assert looks[2]["servers"][0]["rates"]["gets"] == 0
    gone = f"127.0.0.1:{_free_port()}"
    assert main([*typed, gone]) == 1
    assert f"{gone}: Connection refused" in capsys.readouterr().out


def test_tls_and_a_login(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    with running("tls", tmp_path, extra=()) as server:
        typed = ["status", server.address, "--cafile", str(tmp_path / "cert.pem")]
        assert printed(capsys, *typed, "--timeout", "20")["servers"][0]["error"] is None
    folder = tmp_path / "login"
    folder.mkdir()
    with running("ascii-auth", folder, extra=()) as one:
        login = ["--user", USER, "--password-file", str(password), "--timeout", "20"]
        assert main(["status", one.address, "--timeout", "20"]) == 1
        capsys.readouterr()
        assert printed(capsys, "status", one.address, *login)["servers"][0]["error"] is None


# On a terminal


def on_terminal(
    typed: Sequence[str], interrupt: Callable[[str], bool] = lambda text: False
) -> tuple[str, int]:
    """Run the command on a terminal of 140 columns; return what it shows, and its status.

    `interrupt` says, of what has come so far, whether Ctrl-C is pressed now, once.
    """
    command = [sys.executable, "-m", "godropbox.fleet", *typed]
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 140, 0, 0))
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=ENVIRONMENT | {"TERM": "xterm"}
    )
    os.close(theirs)
    shown, until, is_pressed = b"", time.monotonic() + 60, False
    try:
        while time.monotonic() < until:
            if not select.select([mine], [], [], 0.1)[0]:
                continue
            try:
                more = os.read(mine, 65536)
            except OSError:  # the other end is closed
                break
            shown += more
            if not is_pressed and interrupt(shown.decode(errors="replace")):
                is_pressed = True
                process.send_signal(signal.SIGINT)
        return shown.decode(), process.wait(30)
    finally:
        process.kill()
        process.wait()
        os.close(mine)


def test_a_plan_on_a_terminal(addresses: list[str]) -> None:
    pytest.importorskip("rich")
    fill(addresses[:3])
    text, status = on_terminal(
        ["plan", ",".join(addresses[:3]), "--add", addresses[3], "--metadump", "--timeout", "10"]
    )
    assert status == 0
    assert "\x1b[1m" in text  # heads are bold
    assert "█" in text
    assert "% of 300 keys move" in text
    plain, status = on_terminal(["plan", "a", "b", "--add", "c", "--sample", "100", "--plain"])
    assert status == 0
    assert "\x1b" not in plain


def test_a_copy_that_is_interrupted_sums_up(addresses: list[str]) -> None:
    keys = [f"user:{number}" for number in range(4000)]
    fill(addresses[:3], keys)
    typed = ["warm", ",".join(addresses[:3]), "--server", addresses[3], "--timeout", "10"]
    text, status = on_terminal([*typed, "--rate", "100"], lambda text: "copy" in text)
    assert status == 130
    assert "Traceback" not in text
    copied = int(re.search(r"stopped: (\d+) keys copied", text)[1])  # type: ignore[index]
    with Client(addresses[3:], timeout=10.0) as client:
        assert len(client.get_many(keys)) == copied
    text, status = on_terminal(typed)
    assert status == 0
    assert re.search(rf"{copied}.* there already", text) or not copied


def test_following_ends_well_with_an_interrupt(addresses: list[str]) -> None:
    fill(addresses[:3])
    typed = ["warm", ",".join(addresses[:3]), "--server", addresses[3], "--timeout", "10"]
    text, status = on_terminal([*typed, "--follow", "--plain"], lambda text: "follow:" in text)
    assert status == 0
    assert "keys copied" in text


def test_a_watch_is_refreshed_until_an_interrupt(addresses: list[str]) -> None:
    typed = ["status", *addresses, "--watch", "0.1", "--timeout", "20"]
    text, status = on_terminal(typed, lambda text: "gets/s" in text)
    assert status == 0
    assert "Traceback" not in text
    assert text.count(addresses[0]) >= 2
    text, status = on_terminal([*typed, "--plain"], lambda text: "gets/s" in text)
    assert status == 0
    assert "\x1b[H\x1b[J" in text


def test_without_rich_and_with_an_ascii_terminal(addresses: list[str], tmp_path: Path) -> None:
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("raise ImportError('there is no rich')\n")
    environment = ENVIRONMENT | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "PYTHONIOENCODING": "ascii",
    }
    command = [sys.executable, "-m", "godropbox.fleet", "plan", "a", "b", "--add", "c"]
    command += ["--sample", "500"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "####" in done.stdout
    mine, theirs = pty.openpty()
    try:
        done = subprocess.run(
            command, env=environment, stdout=theirs, stderr=subprocess.PIPE, text=True, check=True
        )
        assert done.stderr == ""
        assert b"keys move" in os.read(mine, 65536)
    finally:
        os.close(mine)
        os.close(theirs)


def test_names_that_a_stream_cannot_encode() -> None:
    command = [sys.executable, "-m", "godropbox.fleet", "plan", "caf\u00e9=a", "b", "--add", "c"]
    environment = ENVIRONMENT | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [*command, "--sample", "100"], env=environment, capture_output=True, text=True, check=True
    )
    assert "caf\\xe9" in done.stdout
    assert "rendezvous" in done.stdout


def test_whose_reader_has_enough() -> None:
    command = f"{sys.executable} -m godropbox.fleet plan a b --add c --sample 100 | head -n 1"
    done = subprocess.run(
        command, shell=True, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "keys move" in done.stdout
