"""A fleet in etcd, over a real one: layouts, states, and all that may happen to it."""

import base64
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.coordinators import (
    PATIENCE,
    Etcd,
    HttpServer,
    Reply,
    answered,
    check_closing,
    check_operators,
    first,
    is_right_in_child,
    named,
    opening,
    problem,
    unexpected,
)

from godropbox.memcache import InvalidArgumentError, InvalidTypeError, ShardState
from godropbox.memcache.discovery.etcd import EtcdSource
from godropbox.memcache.discovery.types import Answer, Server, SourceError

ACTIVE, WRITE_ONLY, DOWN = ShardState.ACTIVE, ShardState.WRITE_ONLY, ShardState.DOWN
REFUSING = "127.0.0.1:1"

Open = Callable[..., EtcdSource]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    server = Etcd(tmp_path_factory.mktemp("etcd")).start()
    yield server
    server.kill()


@pytest.fixture
def server(running: Etcd) -> Etcd:
    """The server, with nothing in it."""
    running.delete("\0", "\0")
    return running


@pytest.fixture
def open_source(running: Etcd) -> Iterator[Open]:
    def made(key: str = "fleet/", endpoints: Any = None, **options: Any) -> EtcdSource:
        return EtcdSource(endpoints or running.address, key, **{"timeout": PATIENCE, **options})

    with opening(made) as open_source:
        yield open_source


def test_keys_under_a_prefix_are_servers(server: Etcd, open_source: Open) -> None:
    server.put("fleet/10.0.0.1:11211", "")
    server.put("fleet/b", "10.0.0.2\n")
    server.put("fleet/rack/c", '{"address": "[::1]:5", "state": "warm_up"}')
    server.put("fleet/", "a folder's mark, as some tools make it")
    server.put("fleet/.lock", "not a server")
    server.put("fleet0", "not in it")
    server.put("fleets/d", "not in it")
    source = open_source()
    answer = first(source)
    assert not answer.is_ordered
    assert answer.servers == (
        Server("10.0.0.1:11211", "10.0.0.1:11211"),
        Server("b", "10.0.0.2"),
        Server("rack/c", "[::1]:5", ShardState.WARM_UP),
    )
    assert source.next(0.05) is None
    assert source.name == f"etcd://{server.address}/fleet/"
    assert source.name in repr(source)


def test_every_change_is_seen_with_its_revision(server: Etcd, open_source: Open) -> None:
    source = open_source()
    latest = first(source)
    assert latest.servers == ()
    changes: list[tuple[Callable[[], object], tuple[Server, ...]]] = [
        (lambda: server.put("fleet/a", "a:1"), (Server("a", "a:1"),)),
        (lambda: server.put("fleet/a", "a:2"), (Server("a", "a:2"),)),
        (lambda: source.set_state("a", DOWN), (Server("a", "a:2", DOWN),)),
        (lambda: source.set_state("a", WRITE_ONLY), (Server("a", "a:2", WRITE_ONLY),)),
        (lambda: server.delete("fleet/.states"), (Server("a", "a:2"),)),
        (lambda: server.put("fleet/.states", '{"a": "DOWN"}'), (Server("a", "a:2", DOWN),)),
        (lambda: server.put("fleet/.states", ""), (Server("a", "a:2"),)),
        (lambda: server.delete("fleet/a"), ()),
    ]
    for change, servers in changes:
        change()
        answer = source.next(PATIENCE)
        assert answer is not None
        assert answer.servers == servers
        assert answer.version is not None
        assert latest.version is not None
        assert answer.version > latest.version
        latest = answer
    assert source.next(0.0) is None
    # What is in another place changes the revision of the store alone.
    server.put("other", "x")
    assert source.next(0.05) is None


def test_one_key_of_json(server: Etcd, open_source: Open) -> None:
    source = open_source("fleet")
    assert "there is no such key" in problem(source)
    with pytest.raises(SourceError, match="there is no such key"):
        source.next(0.05)
    lease = server.ask("lease/grant", TTL=600)["ID"]
    servers = [{"name": "b", "address": "b:1", "rack": 7}, {"address": "a:1"}, "c:1"]
    server.put("fleet", json.dumps({"servers": servers, "by": "ops"}), lease=lease)
    answer = source.next(PATIENCE)
    assert answer is not None
    assert answer.is_ordered
    assert answer.servers == (Server("b", "b:1"), Server("a:1", "a:1"), Server("c:1", "c:1"))
    source.set_state("b", DOWN)
    source.set_state("c:1", WRITE_ONLY)
    later = answered(source, lambda said: named(said)["c:1"].state is WRITE_ONLY)
    assert named(later)["b"].state is DOWN
    held = server.get("fleet")
    assert held["lease"] == lease, "a put without its lease would take the key from it"
    parsed = json.loads(base64.b64decode(held["value"]))
    assert parsed["by"] == "ops"
    assert parsed["servers"][0] == {"name": "b", "address": "b:1", "rack": 7, "state": "DOWN"}
    with pytest.raises(InvalidArgumentError, match=r"name must be a server of .*\(a:1, b, c:1\)"):
        source.set_state("d", DOWN)
    server.delete("fleet")
    assert "there is no such key" in problem(source)
    with pytest.raises(SourceError, match="there is no such key"):
        source.set_state("b", DOWN)
    server.put("fleet", '{"servers": []}')
    again = answered(source, lambda said: True)
    assert again.servers == ()


def test_lines_longer_than_a_megabyte(server: Etcd, open_source: Open) -> None:
    source = open_source("fleet")
    server.put("fleet", '{"servers": ["a:1"]}')
    assert len(first(source).servers) == 1
    assert source.next(0.05) is None  # the watch is open
    listed = [{"name": f"cache-{i}", "address": "10.0.0.1:11211"} for i in range(10_000)]
    text = json.dumps({"servers": listed, "padding": "x" * 500_000})
    assert len(text) > 1_000_000
    server.put("fleet", text)
    answer = source.next(PATIENCE)
    assert answer is not None
    assert len(answer.servers) == 10_000


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("fleet/b", "10.0.0.1 10.0.0.2", "fleet/b: address must be host"),
        ("fleet/b", b"\xff\xfe", "fleet/b: expected UTF-8"),
        ("fleet/b", "{", "fleet/b: expected JSON, got '{'"),
        ("fleet/b", '{"address": 5}', "fleet/b: address must be"),
        ("fleet/b", '{"address": "b:1", "state": "UP"}', "a state is one of ACTIVE, WRITE_ONLY"),
        ("fleet/.states", "[]", "fleet/.states: expected an object"),
        ("list", "[]", 'list: expected {"servers": [...]}'),
        ("list", '{"servers": [5]}', "list, server 0: a server has a name and an address, got 5"),
        ("list", '{"servers": [{"name": "a"}]}', "list, server 0: address must be"),
        ("list", "[" * 100_000, "list: expected JSON"),
    ],
)
def test_what_is_garbled_is_an_error_until_it_is_mended(
    server: Etcd, open_source: Open, key: str, value: str | bytes, words: str
) -> None:
    server.put("fleet/a", "a:1")
    server.put("list", '{"servers": ["a:1"]}')
    source = open_source("list" if key == "list" else "fleet/")
    before = first(source)
    server.put(key, value)
    assert words in problem(source)
    with pytest.raises(SourceError) as raised:
        source.next(0.01)
    assert words in str(raised.value)
    began_garbled = open_source("list" if key == "list" else "fleet/")
    assert words in problem(began_garbled)
    if key == "list":
        server.put(key, '{"servers": ["a:1"]}')
    else:
        server.delete(key)
    for each in (source, began_garbled):
        answer = each.next(PATIENCE)
        assert answer is not None
        assert answer.servers == before.servers


def test_revisions_that_are_compacted_are_not_missed(server: Etcd, open_source: Open) -> None:
    """The watch begins after the revision that was read, which etcd has forgotten meanwhile."""
    source = open_source()
    server.put("fleet/a", "a:1")
    assert len(first(source).servers) == 1
    server.put("fleet/a", "a:2")
    server.put("fleet/b", "b:1")
    server.delete("fleet/b")
    revision = server.put("fleet/c", "c:1")
    assert "header" in server.ask("kv/compaction", revision=str(revision))
    answer = source.next(PATIENCE)
    assert answer is not None
    assert answer.servers == (Server("a", "a:2"), Server("c", "c:1"))
    assert answer.version == revision
    # A watch that is open outlives it.
    assert source.next(0.05) is None
    revision = server.put("fleet/a", "a:3")
    server.ask("kv/compaction", revision=str(revision))
    answer = source.next(PATIENCE)
    assert answer is not None
    assert named(answer)["a"].address == "a:3"


def test_operators_lose_nothing_of_each_others(server: Etcd, open_source: Open) -> None:
    check_operators(
        open_source,
        lambda name: server.put(f"fleet/{name}", "10.0.0.1"),
        lambda name: server.delete(f"fleet/{name}"),
        lambda: json.loads(base64.b64decode(server.get("fleet/.states")["value"])),
    )


def test_a_server_that_hangs_is_an_error_and_then_the_right_answer(
    server: Etcd, open_source: Open
) -> None:
    server.put("fleet/a", "a:1")
    source = open_source(timeout=0.5, refresh=0.5)
    answered(source, lambda said: len(said.servers) == 1)
    with server.stopped():
        assert "did not answer within 0.5 s" in problem(source)
        with pytest.raises(SourceError, match="did not answer within"):
            source.set_state("a", DOWN)
    server.put("fleet/a", "a:2")
    answered(source, lambda said: said.servers == (Server("a", "a:2"),))


def test_a_server_that_is_killed_wiped_and_begun_anew(server: Etcd, open_source: Open) -> None:
    """Nothing but errors and right answers come, whatever happens to the server."""
    server.put("fleet/a", "a:1")
    server.put("fleet/b", "b:1")
    source = open_source(timeout=5.0)
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
    server.put("fleet/a", "a:2")
    later = answered(source, lambda said: named(said)["a"].address == "a:2")
    server.wipe()
    server.put("fleet/a", "a:3")
    answer = answered(source, lambda said: said.servers == (Server("a", "a:3"),))
    assert answer.version is not None
    assert later.version is not None
    assert answer.version < later.version, "whoever follows sees that it is another history"


def test_endpoints_are_asked_in_turn(server: Etcd, open_source: Open) -> None:
    server.put("fleet/a", "a:1")
    source = open_source(endpoints=[REFUSING, server.address])
    assert first(source).servers == (Server("a", "a:1"),)
    source.set_state("a", DOWN)
    answered(source, lambda said: named(said)["a"].state is DOWN)
    dead = open_source(endpoints=f"{REFUSING},127.0.0.1:2")
    with pytest.raises(SourceError, match=r"no endpoint serves: .*127.0.0.1:1: .*; .*127.0.0.1:2:"):
        dead.next(PATIENCE)
    with pytest.raises(SourceError, match="no endpoint serves"):
        dead.set_state("a", DOWN)


def test_logins(server: Etcd, open_source: Open) -> None:
    """A token is renewed when the server has forgotten it, as it does when it is started anew."""
    early = open_source(user="reader", password="secret")
    server.put("fleet/a", "a:1")
    assert len(first(early).servers) == 1, "logins are not enabled yet"
    for name, password in [("root", "root"), ("reader", "secret"), ("other", "other")]:
        server.ask("auth/user/add", name=name, password=password)
    for role in ("root", "reading"):
        server.ask("auth/role/add", name=role)
    ends = {
        "key": base64.b64encode(b"fleet/").decode(),
        "range_end": base64.b64encode(b"fleet0").decode(),
    }
    server.ask("auth/role/grant", name="reading", perm={"permType": "READWRITE", **ends})
    server.ask("auth/user/grant", user="root", role="root")
    server.ask("auth/user/grant", user="reader", role="reading")
    server.ask("auth/enable")
    try:
        source = open_source(user="reader", password="secret", refresh=0.3)
        assert "secret" not in source.name + repr(source)
        assert len(first(source).servers) == 1
        source.set_state("a", DOWN)
        answered(source, lambda said: named(said)["a"].state is DOWN)
        answered(early, lambda said: named(said)["a"].state is DOWN)
        assert "user name is empty" in problem(open_source())
        wrong = problem(open_source(user="reader", password="guess"))
        assert "invalid user ID or password" in wrong
        assert "guess" not in wrong
        assert "permission denied" in problem(open_source(user="other", password="other"))
        assert "permission denied" in problem(open_source("list", user="reader", password="secret"))
        assert "invalid auth token" in problem(open_source(token="made up"))
        token = server.ask("auth/authenticate", name="reader", password="secret")["token"]
        assert len(first(open_source(token=token)).servers) == 1
        server.kill()
        server.start()
        answered(source, lambda said: named(said)["a"].state is DOWN)
        source.set_state("a", WRITE_ONLY)
        answered(source, lambda said: named(said)["a"].state is WRITE_ONLY)
    finally:
        root = server.ask("auth/authenticate", name="root", password="root")["token"]
        server.ask("auth/disable", root)


def test_closing_ends_what_waits_and_the_next_call_begins_anew(
    server: Etcd, open_source: Open
) -> None:
    server.put("fleet/a", "a:1")
    for endpoints in (server.address, [server.address, REFUSING]):
        source = open_source(endpoints=endpoints)
        check_closing(source)
        source.close()
        assert first(source).servers == (Server("a", "a:1"),)


def test_connections_are_let_go(server: Etcd, open_source: Open) -> None:
    server.put("fleet/a", "a:1")
    source = open_source(refresh=0.05)
    for _ in range(5):
        assert first(source).servers == (Server("a", "a:1"),)
    source.close()
    deadline = time.monotonic() + PATIENCE
    while any(each.name == "godropbox-discovery-http" for each in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert source._asked == set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_child_of_a_fork_asks_by_itself(server: Etcd, open_source: Open) -> None:
    server.put("fleet/a", "a:1")
    source = open_source()
    before = first(source)
    assert source.next(0.05) is None  # the watch is open
    assert is_right_in_child(source, before)
    server.put("fleet/a", "a:2")
    answer = source.next(PATIENCE)
    assert answer is not None
    assert answer.servers == (Server("a", "a:2"),)


HEADER = {"cluster_id": "1", "member_id": "2", "revision": "7", "raft_term": "2"}
RANGE = json.dumps(
    {"header": HEADER, "kvs": [{"key": "ZmxlZXQvYQ==", "value": "YTox", "mod_revision": "5"}]}
)


def scripted(watch: str, ranged: str = RANGE, status: int = 200, cut: int = 0) -> Any:
    """Return a script: one answer to a range, and text to a watch, byte by byte."""

    def script(path: str, headers: dict[str, str], body: bytes) -> Reply:
        if path == "/v3/watch":
            assert json.loads(body)["create_request"]["start_revision"] == "8"
            chunks = (bytes([each]) for each in watch.encode())
            encoded = (b"1\r\n" + each + b"\r\n" for each in chunks)
            return 200, {"Transfer-Encoding": "chunked"}, encoded
        data = ranged.encode()
        length = {"Content-Length": str(len(data) + cut)}
        return status, length, (bytes([each]) for each in data)

    return script


CREATED = '{"result":{"created":true}}\n'
REFUSED = '{"result":{"created":true,"canceled":true,"cancel_reason":"permission"}}\n'
NO_REVISION = '{"result":{"events":[{"kv":{"key":"ZmxlZXQvYQ=="}}]}}\n'


@pytest.mark.parametrize(
    ("script", "words"),
    [
        # As 3.5 tells errors, as 3.4 does, and as a proxy does.
        (scripted("", '{"code":14, "message":"no leader"}', 503), "answered: no leader"),
        (scripted("", '{"error":"no leader","message":"no leader","code":14}', 503), "no leader"),
        (scripted("", "<html>Bad gateway", 502), "answered with status 502: <html>Bad gateway"),
        (scripted("", RANGE[:-2]), "expected JSON"),
        (scripted("", RANGE, cut=5), "ended its reply too early"),
        (scripted("", "[]"), "answered: []"),
        (scripted("", '{"header": {}}'), "expected a revision, got None"),
        (scripted("", '{"header": {"revision": "1e9"}}'), "expected a revision, got '1e9'"),
        (scripted("", RANGE.replace("ZmxlZXQvYQ==", "?")), "expected base64"),
        (scripted("", RANGE.replace('"kvs": [', '"kvs": [5,')), "expected a key and a value"),
        # The watch: an error as a line of it, lines that are none, its end.
        (scripted('{"error":{"grpc_code":14,"message":"shut down"}}\n'), "answered: shut down"),
        (scripted(REFUSED), "the watch was refused: permission"),
        (scripted(CREATED), "ended its reply too early"),
        (scripted(CREATED + CREATED[:-5]), "ended its reply too early"),
        (scripted(CREATED + '{"resu\n'), "expected JSON"),
        (scripted("[]\n"), "answered: []"),
        (scripted(NO_REVISION), "expected a revision, got None"),
        (scripted('{"result":{"events":[5]}}\n'), "expected a key and a value, got None"),
        (scripted('{"result":{"events":5}}\n'), "expected a list, got 5"),
    ],
)
def test_answers_that_no_server_should_give(script: Any, words: str, open_source: Open) -> None:
    with HttpServer(script) as server:
        source = open_source(endpoints=server.address)
        assert words in problem(source)
        assert words in problem(source)
        right = Answer(None, (Server("a", "a:1"),))
        deadline = time.monotonic() + 0.2
        assert unexpected(source, [right], lambda: time.monotonic() > deadline) == []


def test_a_watch_one_byte_at_a_time(open_source: Open) -> None:
    event = {"kv": {"key": "ZmxlZXQvYQ==", "value": "YToy", "mod_revision": "9"}}
    deleted = {"type": "DELETE", "kv": {"key": "ZmxlZXQvYQ==", "mod_revision": "10"}}
    lines = [{"header": HEADER, "created": True}, {"events": [event]}, {}, {"events": [deleted]}]
    text = "".join(json.dumps({"result": each}) + "\n" for each in lines)
    with HttpServer(scripted(text)) as server:
        source = open_source(endpoints=server.address)
        assert first(source) == Answer(7, (Server("a", "a:1"),))
        answer = first(source)
        if answer.version == 9:  # else the two are one change
            assert answer == Answer(9, (Server("a", "a:2"),))
            answer = first(source)
        assert answer == Answer(10, ())


BOTH = {"user": "a", "password": "b", "token": "c"}


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((5, "a"), {}, InvalidTypeError, "endpoints must be an address or a list"),
        (([], "a"), {}, InvalidArgumentError, "endpoints must name at least one"),
        (("http://h:1", "a"), {}, InvalidArgumentError, r"endpoints: .*no scheme, write 'h:1'"),
        (("h", 5), {}, InvalidTypeError, "key must be a str, not int"),
        (("h", ""), {}, InvalidArgumentError, "key must not be empty"),
        (("h", "a"), {"user": "a"}, InvalidArgumentError, "user and password must"),
        (("h", "a"), BOTH, InvalidArgumentError, "token must be None where a user is given"),
        (("h", "a"), {"token": b"c"}, InvalidTypeError, "token must be a str, not bytes"),
        (("h", "a"), {"tls": True}, InvalidTypeError, "tls must be an ssl.SSLContext or None"),
        (("h", "a"), {"timeout": -1}, InvalidArgumentError, r"timeout must be in \(0, 1e6\] sec"),
        (("h", "a"), {"refresh": None}, InvalidTypeError, "refresh must be a number of seconds"),
    ],
)
def test_arguments(arguments: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        EtcdSource(*arguments, **options)
