"""A fleet in ZooKeeper, over a real one: layouts, states, and all that may happen to it."""

import contextlib
import copy
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl
from support.coordinators import (
    PATIENCE,
    ZooKeeper,
    answered,
    check_closing,
    check_operators,
    exit_status_of_child,
    first,
    named,
    opening,
    problem,
    unexpected,
)
from support.discovering import soon
from support.fleet_watcher import check_states

from godropbox.errors import UsageError
from godropbox.memcache import InvalidArgumentError, InvalidTypeError, ShardState
from godropbox.memcache.discovery.types import Server, SourceError
from godropbox.memcache.discovery.zookeeper import Registration, ZooKeeperSource

ACTIVE, WRITE_ONLY, DOWN = ShardState.ACTIVE, ShardState.WRITE_ONLY, ShardState.DOWN
# A session that a busy machine does not end.
LASTING = 8.0

Open = Callable[..., ZooKeeperSource]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    running = ZooKeeper(tmp_path_factory.mktemp("zookeeper")).start()
    yield running
    running.kill()


@pytest.fixture
def client(server: ZooKeeper) -> Iterator[Any]:
    """A client of the test's own, with `/fleets` empty."""
    found = KazooClient(
        server.address, timeout=LASTING, connection_retry={"max_tries": -1, "max_delay": 0.2}
    )
    found.start(PATIENCE)
    found.delete("/fleets", recursive=True)
    yield found
    found.stop()
    found.close()


@pytest.fixture
def open_source(server: ZooKeeper) -> Iterator[Open]:
    def made(path: str = "/fleets/cache", **options: Any) -> ZooKeeperSource:
        options = {"session": LASTING, "timeout": PATIENCE, **options}
        return ZooKeeperSource(server.address, path, **options)

    with opening(made) as open_source:
        yield open_source


def test_children_are_servers(client: Any, open_source: Open) -> None:
    client.create("/fleets/cache/10.0.0.1:11211", ephemeral=True, makepath=True)
    client.create("/fleets/cache/b", b"10.0.0.2", ephemeral=True)
    client.create("/fleets/cache/c", b'{"address": "[::1]:5", "state": "warm_up"}', ephemeral=True)
    client.create("/fleets/cache/.lock", b"not a server")
    source = open_source()
    answer = first(source)
    assert not answer.is_ordered
    assert answer.servers == (
        Server("10.0.0.1:11211", "10.0.0.1:11211"),
        Server("b", "10.0.0.2"),
        Server("c", "[::1]:5", ShardState.WARM_UP),
    )
    # kazoo tells that it is connected at once or a moment later, and then all is looked at again.
    assert source.next(0.05) in (None, answer)
    assert source.next(0.05) is None
    assert source.name == f"zookeeper://127.0.0.1:{source.name.rpartition(':')[2]}"
    assert source.name in repr(source)


def test_every_change_has_a_greater_version(client: Any, open_source: Open) -> None:
    source = open_source()
    client.ensure_path("/fleets/cache")
    latest = first(source)
    assert latest.servers == ()
    changes: list[tuple[Callable[[], object], tuple[Server, ...] | None]] = [
        (lambda: client.create("/fleets/cache/a", b"a:1", ephemeral=True), (Server("a", "a:1"),)),
        (lambda: client.set("/fleets/cache/a", b"a:2"), (Server("a", "a:2"),)),
        (lambda: source.set_state("a", DOWN), (Server("a", "a:2", DOWN),)),
        (lambda: source.set_state("a", WRITE_ONLY), (Server("a", "a:2", WRITE_ONLY),)),
        (lambda: client.delete("/fleets/cache-states"), (Server("a", "a:2"),)),
        (
            lambda: client.create("/fleets/cache-states", b'{"a": "DOWN"}'),
            (Server("a", "a:2", DOWN),),
        ),
        (lambda: client.delete("/fleets/cache/a"), ()),
        (lambda: client.delete("/fleets/cache"), None),
        (
            lambda: client.create("/fleets/cache/a", b"a:1", makepath=True),
            (Server("a", "a:1", DOWN),),
        ),
    ]
    for change, servers in changes:
        change()
        if servers is None:
            assert "there is no such node" in problem(source)
            continue
        answer = answered(source, lambda said, now=servers: said.servers == now)  # type: ignore
        assert answer.version is not None
        assert latest.version is not None
        assert answer.version > latest.version
        latest = answer


def test_one_node_of_json(client: Any, open_source: Open) -> None:
    source = open_source(layout="node")
    assert "there is no such node" in problem(source)
    servers = [{"name": "b", "address": "b:1", "rack": 7}, {"address": "a:1"}, "c:1"]
    client.create(
        "/fleets/cache", json.dumps({"servers": servers, "by": "ops"}).encode(), makepath=True
    )
    answer = answered(source, lambda said: True)
    assert answer.is_ordered
    assert answer.servers == (Server("b", "b:1"), Server("a:1", "a:1"), Server("c:1", "c:1"))
    source.set_state("b", DOWN)
    source.set_state("c:1", WRITE_ONLY)
    later = answered(source, lambda said: named(said)["c:1"].state is WRITE_ONLY)
    assert named(later)["b"].state is DOWN
    held = json.loads(client.get("/fleets/cache")[0])
    assert held["by"] == "ops"
    assert held["servers"][0] == {"name": "b", "address": "b:1", "rack": 7, "state": "DOWN"}
    source.set_state("b", None)
    later = answered(source, lambda said: named(said)["b"].state is ACTIVE)
    assert "state" not in json.loads(client.get("/fleets/cache")[0])["servers"][0]
    with pytest.raises(InvalidArgumentError, match=r"name must be a server of .*\(a:1, b, c:1\)"):
        source.set_state("d", DOWN)
    client.delete("/fleets/cache")
    assert "there is no such node" in problem(source)
    client.create("/fleets/cache", b'{"servers": ["a:1"]}')
    again = answered(source, lambda said: len(said.servers) == 1)
    assert again.version is not None
    assert later.version is not None
    assert again.version > later.version, "a node's own version begins anew, this one does not"
    with pytest.raises(UsageError, match="servers register as children"):
        source.register("a", "a:1")


def test_a_parent_that_is_deleted_and_made_again_is_seen(client: Any, open_source: Open) -> None:
    source = open_source()
    client.create("/fleets/cache/a", b"a:1", makepath=True)
    assert first(source).servers == (Server("a", "a:1"),)
    client.delete("/fleets/cache", recursive=True)
    assert "there is no such node" in problem(source)
    waited = []
    for _ in range(3):  # one of them may be woken by the event of the second delete
        began = time.monotonic()
        with pytest.raises(SourceError, match="there is no such node"):
            source.next(0.2)
        waited.append(time.monotonic() - began)
    assert sorted(waited)[1] >= 0.2, "what was told is watched, not told without a pause"
    timer = threading.Timer(0.1, lambda: client.create("/fleets/cache/b", b"b:1", makepath=True))
    timer.start()
    answered(source, lambda said: said.servers == (Server("b", "b:1"),))
    timer.join()


@pytest.mark.parametrize(
    ("node", "data", "words"),
    [
        ("cache/b", b"10.0.0.1 10.0.0.2", "cache/b: address must be host"),
        ("cache/b", b"\xff\xfe", "cache/b: expected UTF-8"),
        ("cache/b", b"{", "cache/b: expected JSON, got '{'"),
        ("cache/b", b"{" * 100_000, "cache/b: expected JSON"),
        ("cache/b", b'{"address": 5}', "cache/b: address must be"),
        ("cache/b", b'{"address": "b:1", "state": "UP"}', "a state is one of ACTIVE, WRITE_ONLY"),
        ("cache/b c", b"", "cache/b c: address must be"),
        ("cache-states", b"[]", "cache-states: expected an object"),
        ("cache-states", b'{"a": 2}', "cache-states, 'a': a state is one of"),
    ],
)
def test_what_is_garbled_is_an_error_until_it_is_mended(
    client: Any, open_source: Open, node: str, data: bytes, words: str
) -> None:
    client.create("/fleets/cache/a", b"a:1", makepath=True)
    source = open_source()
    before = first(source)
    client.create(f"/fleets/{node}", data)
    assert words in problem(source)
    with pytest.raises(SourceError, match=re.escape(words)):
        source.next(0.01)
    client.delete(f"/fleets/{node}")
    answered(source, lambda said: said.servers == before.servers)


def test_operators_lose_nothing_of_each_others(client: Any, open_source: Open) -> None:
    check_operators(
        open_source,
        lambda name: client.create(f"/fleets/cache/{name}", b"10.0.0.1", makepath=True),
        lambda name: client.delete(f"/fleets/cache/{name}"),
        lambda: json.loads(client.get("/fleets/cache-states")[0]),
    )


def test_a_state_is_in_force_in_every_process_within_a_second(
    server: ZooKeeper, client: Any, open_source: Open
) -> None:
    for n in (1, 2, 3):
        client.create(f"/fleets/cache/cache-{n}", b"10.0.0.1:%d" % n, makepath=True)
    operator = open_source()
    check_states(
        f"zookeeper://{server.address}/fleets/cache",
        "cache-1",
        lambda state: operator.set_state("cache-1", ShardState[state]),
    )


def test_a_state_set_wins_over_what_the_server_says(client: Any, open_source: Open) -> None:
    client.create("/fleets/cache/a", b'{"address": "a:1", "state": "WARM_UP"}', makepath=True)
    source = open_source()
    assert named(first(source))["a"].state is ShardState.WARM_UP
    source.set_state("a", ACTIVE)
    answered(source, lambda said: named(said)["a"].state is ACTIVE)
    source.set_state("a", None)
    answered(source, lambda said: named(said)["a"].state is ShardState.WARM_UP)


def test_one_change_of_many_servers_reads_one_node(
    client: Any, open_source: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [
        client.create_async(f"/fleets/cache/cache-{i}", b"10.0.0.1:%d" % (i + 1), makepath=True)
        for i in range(300)
    ]
    for each in made:
        each.get()
    source = open_source()
    assert len(first(source).servers) == 300
    asked: list[str] = []
    own = KazooClient.get_async

    def counted(self: Any, path: str, watch: Any = None) -> Any:
        asked.append(path)
        return own(self, path, watch=watch)

    monkeypatch.setattr(KazooClient, "get_async", counted)
    client.set("/fleets/cache/cache-200", b"10.0.0.2")
    answered(source, lambda said: named(said)["cache-200"].address == "10.0.0.2")
    assert asked == ["/fleets/cache/cache-200"]
    client.delete("/fleets/cache/cache-200")
    assert len(answered(source, lambda said: len(said.servers) == 299).servers) == 299
    assert asked == ["/fleets/cache/cache-200"]


def test_a_server_that_hangs_is_an_error_and_then_the_right_answer(
    server: ZooKeeper, client: Any, open_source: Open
) -> None:
    client.create("/fleets/cache/a", b"a:1", makepath=True)
    source = open_source(session=1.5, timeout=2.0)
    before = first(source)
    with server.stopped():
        assert source.name in problem(source)
        with pytest.raises(SourceError, match="no server answers"):
            source.next(0.1)
        began = time.monotonic()
        source.close()
        assert time.monotonic() - began < 2
    client.set("/fleets/cache/a", b"a:2")
    after = answered(source, lambda said: True)
    assert after.servers == (Server("a", "a:2"),)
    assert after.version is not None
    assert before.version is not None
    assert after.version > before.version


def write(server: ZooKeeper, nodes: dict[str, bytes]) -> None:
    """Write nodes by a client that has seen nothing before."""
    client = KazooClient(server.address, timeout=2)
    client.start(PATIENCE)
    for path, data in nodes.items():
        client.ensure_path(path)
        client.set(path, data)
    client.stop()
    client.close()


def test_a_server_that_is_killed_wiped_and_begun_anew(server: ZooKeeper, open_source: Open) -> None:
    """Nothing but errors and right answers come, whatever happens to the server.

    One that was wiped refuses a client that has seen later transactions, so a new one is made.
    """
    write(server, {"/fleets/killed/a": b"a:1", "/fleets/killed/b": b"b:1"})
    source = open_source("/fleets/killed", timeout=5.0, session=1.5)
    before = first(source)
    ended = threading.Event()
    wrong: list[object] = []
    asking = threading.Thread(
        target=lambda: wrong.extend(unexpected(source, [before], ended.is_set))
    )
    asking.start()
    server.kill()
    time.sleep(0.1)
    server.start()
    time.sleep(0.1)
    ended.set()
    asking.join()
    assert wrong == []
    source.close()  # it may have answered in the thread already, and begins anew
    assert answered(source, lambda said: True) == before
    write(server, {"/fleets/killed/a": b"a:2"})
    later = answered(source, lambda said: named(said)["a"].address == "a:2")
    server.wipe()
    assert source.name in problem(source)
    write(server, {"/fleets/killed/a": b"a:3"})
    answer = answered(source, lambda said: said.servers == (Server("a", "a:3"),))
    assert answer.version is not None
    assert later.version is not None
    assert answer.version < later.version, "whoever follows sees that it is another history"


def expire(server: ZooKeeper, client: Any) -> None:
    """End a session on the server, as if its client had been silent for too long."""
    session = client.client_id
    deadline = time.monotonic() + PATIENCE
    while client.client_id in (None, session):
        assert time.monotonic() < deadline, "the session did not end"
        twin = KazooClient(server.address, client_id=session, timeout=LASTING)
        with contextlib.suppress(Exception):
            # The two take the session from each other, until this one ends it.
            twin.start(2)
            twin.stop()
        twin.close()
        until = time.monotonic() + 2
        while client.client_id in (None, session) and time.monotonic() < until:
            time.sleep(0.01)


def test_a_session_that_expires(server: ZooKeeper, client: Any, open_source: Open) -> None:
    client.create("/fleets/cache/a", b"a:1", makepath=True)
    source = open_source()
    before = first(source)
    own = source._session._client
    expire(server, own)
    client.set("/fleets/cache/a", b"a:2")
    after = answered(source, lambda said: said != before)
    assert after.servers == (Server("a", "a:2"),)
    client.set("/fleets/cache/a", b"a:3")
    answered(source, lambda said: said.servers == (Server("a", "a:3"),))


def test_a_server_is_registered_and_again_after_its_session(
    server: ZooKeeper, client: Any, open_source: Open
) -> None:
    source = open_source()
    with source.register("cache-1", "10.0.0.1:11211", WRITE_ONLY) as registration:
        registration.wait(PATIENCE)
        assert registration.is_held
        assert registration.problem is None
        with pytest.raises(TypeError, match="Registration"):
            copy.copy(registration)
        assert first(source).servers == (Server("cache-1", "10.0.0.1:11211", WRITE_ONLY),)
        owner = client.exists("/fleets/cache/cache-1").ephemeralOwner
        expire(server, registration._session._client)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            stat = client.exists("/fleets/cache/cache-1")
            if stat is not None and stat.ephemeralOwner != owner:
                break
            time.sleep(0.02)
        else:
            raise AssertionError("it was not made again")
        client.delete("/fleets/cache/cache-1")  # by somebody who should not
        answered(source, lambda said: len(said.servers) == 1)
    assert not registration.is_held
    assert client.exists("/fleets/cache/cache-1") is None
    assert answered(source, lambda said: said.servers == ()).servers == ()
    registration.close()
    with pytest.raises(SourceError, match="the registration was closed"):
        registration.wait(0.1)


def test_the_name_of_a_dead_predecessor_is_waited_for(
    server: ZooKeeper, client: Any, open_source: Open
) -> None:
    dead = KazooClient(server.address, timeout=1)
    dead.start(PATIENCE)
    dead.create("/fleets/cache/cache-1", b"10.0.0.1", ephemeral=True, makepath=True)
    source = open_source()
    with source.register("cache-1", "10.0.0.2") as registration:
        with pytest.raises(
            SourceError, match=r"was not announced within 0.3 s: .* session 0x\w+ has"
        ):
            registration.wait(0.3)
        assert not registration.is_held
        assert named(first(source))["cache-1"].address == "10.0.0.1"
        expire(server, dead)
        registration.wait(PATIENCE)
        answered(source, lambda said: named(said)["cache-1"].address == "10.0.0.2")
    dead.stop()
    dead.close()
    client.create("/fleets/cache/cache-2", b"10.0.0.3")
    with (
        source.register("cache-2", "10.0.0.4") as registration,
        pytest.raises(SourceError, match="cache-2 is there, and it stays"),
    ):
        registration.wait(0.3)


def test_a_client_given_is_used_and_left_alone(
    server: ZooKeeper, client: Any, open_source: Open
) -> None:
    source = open_source(client=client)
    with source.register("cache-1", "10.0.0.1") as registration:
        registration.wait(PATIENCE)
        assert client.exists("/fleets/cache/cache-1").ephemeralOwner == client.client_id[0]
        assert len(first(source).servers) == 1
    assert client.exists("/fleets/cache/cache-1") is None
    source.close()
    assert client.connected
    assert client.state_listeners == set()
    assert first(source).servers == ()
    unstarted = KazooClient(server.address)
    with pytest.raises(SourceError, match="no server answers: the client given is CLOSED"):
        open_source(client=unstarted).next(0.1)


def test_closing_ends_what_waits_and_the_next_call_begins_anew(
    client: Any, open_source: Open
) -> None:
    client.create("/fleets/cache/a", b"a:1", makepath=True)
    check_closing(open_source())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_child_of_a_fork_asks_by_itself(client: Any, open_source: Open) -> None:
    client.create("/fleets/cache/a", b"a:1", makepath=True)
    source = open_source()
    before = first(source)
    registration = source.register("b", "b:1")
    registration.wait(PATIENCE)

    def work() -> bool:
        registration.close()
        found = answered(source, lambda said: len(said.servers) == 2)
        source.close()
        return found.servers[0] == before.servers[0]

    assert exit_status_of_child(work) == 0
    assert registration.is_held
    assert client.exists("/fleets/cache/b") is not None
    assert len(answered(source, lambda said: len(said.servers) == 2).servers) == 2
    registration.close()


def test_a_node_that_takes_a_login(client: Any, open_source: Open) -> None:
    client.add_auth("digest", "ops:secret")
    acl = [make_digest_acl("ops", "secret", all=True)]
    client.create("/fleets/cache", b"", makepath=True, acl=acl)
    source = open_source()
    assert "NoAuthError" in problem(source)
    known = open_source(auth=("digest", "ops:secret"))
    assert first(known).servers == ()
    assert "secret" not in repr(known) + known.name
    client.delete("/fleets", recursive=True)


def test_a_states_node_has_a_size(client: Any, open_source: Open) -> None:
    """ZooKeeper answers a request that is too large by closing the connection."""
    source = open_source(layout="node")
    padding = {"servers": ["a:1"], "padding": "x" * 999_960}
    client.create("/fleets/cache", json.dumps(padding).encode(), makepath=True)
    with pytest.raises(SourceError, match="are more than a node of ZooKeeper takes"):
        source.set_state("a:1", DOWN)


def test_a_state_is_not_set_where_nobody_answers(tmp_path: Any) -> None:
    source = ZooKeeperSource("127.0.0.1:1", "/fleets/cache", timeout=0.3)
    with pytest.raises(SourceError, match="no server answers"):
        source.set_state("a", DOWN)
    with pytest.raises(SourceError, match="no server answers"):
        source.next(0.1)
    source.close()


def test_kazoo_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kazoo.client", None)
    with pytest.raises(UsageError, match=r"pip install godropbox\[zookeeper\]"):
        ZooKeeperSource("127.0.0.1", "/fleets/cache")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((5, "/a"), {}, InvalidTypeError, "hosts must be a str or a list"),
        (([5], "/a"), {}, InvalidTypeError, "hosts must hold str, got 5"),
        (("", "/a"), {}, InvalidArgumentError, "hosts must be such as"),
        (("zookeeper://h", "/a"), {}, InvalidArgumentError, "hosts must be such as"),
        (("h:x", "/a"), {}, InvalidArgumentError, "hosts must be such as .* got 'h:x': address"),
        ((",", "/a"), {}, InvalidArgumentError, "hosts must be such as"),
        ((["h:1", "h:99999/chroot"], "/a"), {}, InvalidArgumentError, "hosts must be such as"),
        (("h", 5), {}, InvalidTypeError, "path must be a str"),
        (("h", "a"), {}, InvalidArgumentError, "path must be a node below the root"),
        (("h", "/"), {}, InvalidArgumentError, "path must be a node below the root"),
        (("h", "/a/"), {}, InvalidArgumentError, "path must be a node below the root"),
        (("h", "/a/../b"), {}, InvalidArgumentError, "path must be a node below the root"),
        (("h", "/a"), {"layout": "list"}, InvalidArgumentError, "layout must be 'children' or"),
        (("h", "/a"), {"timeout": 0}, InvalidArgumentError, r"timeout must be in \(0, 1e6\] sec"),
        (("h", "/a"), {"refresh": "1"}, InvalidTypeError, "refresh must be a number of seconds"),
        (("h", "/a"), {"session": True}, InvalidTypeError, "session must be a number of seconds"),
        (("h", "/a"), {"auth": "user:word"}, InvalidTypeError, "auth must be a tuple of a scheme"),
    ],
)
def test_arguments(arguments: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        ZooKeeperSource(*arguments, **options)


def test_no_error_ends_the_thread_of_a_registration() -> None:
    class Session:
        """One over a client that fails as no client should, then as one without a server."""

        name, turn, timeout, is_given = "zookeeper://h:1/a", 0, 1.0, False

        def __init__(self) -> None:
            self.errors: list[Exception] = [RuntimeError("cannot"), SourceError("no server")]

        def connected(self, turn: int, deadline: float) -> Any:
            raise self.errors.pop(0) if len(self.errors) > 1 else self.errors[0]

        def pause(self, turn: int, seconds: float) -> None:
            problems.append(str(registration.problem))
            time.sleep(0.001)

        def interrupt(self) -> None:
            """Nobody waits, and a fork leaves nothing behind."""

        close = leave_to_parent = interrupt

    problems: list[str] = []
    session: Any = Session()
    # Its thread begins at once.
    registration = Registration.__new__(Registration)
    registration.__init__(session, "/a/b", b"h:1")  # type: ignore[misc]
    soon(lambda: "no server" in problems)
    assert "zookeeper://h:1/a: RuntimeError('cannot')" in problems
    registration.close()


def test_names_and_states(open_source: Open) -> None:
    source = open_source()
    with contextlib.closing(source):
        for name, state, error, words in [
            (5, DOWN, InvalidTypeError, "name must be a str, got 5"),
            (".states", DOWN, InvalidArgumentError, "name must be a server's"),
            ("a", "DOWN", InvalidTypeError, "state must be a ShardState or None"),
        ]:
            with pytest.raises(error, match=words):
                source.set_state(name, state)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="name must have no slash in it"):
            source.register("a/b", "h:1")
        with pytest.raises(InvalidArgumentError, match="address must be host"):
            source.register("a", "h 1")
