"""Short ways of one key: what the general way gives, whatever the server does.

A write goes over an idle plain socket (the short way), a new one, and a channel of another kind
(both general), with hooks and without, over servers that misbehave.
"""

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.knowing import answer_to_probe
from support.parity import Channel, neutral, told

from godropbox import memcache
from godropbox.memcache import (
    BaseShardManager,
    Client,
    ConnectionLostError,
    InvalidArgumentError,
    InvalidTypeError,
    ShardOptions,
    ShardState,
    ShardStatus,
    StaticShardManager,
)

ADDRESS = "10.0.0.1:11211"
PLACED = memcache.ClientOptions().shard_func
Call = Callable[[Client], Any]
# A write, the words that it starts with, the replies that answer it, and what they come to.
WRITES: dict[str, tuple[Call, bytes, dict[bytes, Any]]] = {
    "set": (
        lambda c: c.set("key", b"value", 60),
        b"set key 0 60 5\r\nvalue\r\n",
        {b"STORED": True, b"NOT_STORED": False},
    ),
    "set of text": (
        lambda c: c.set("key", "text"),
        b"set key 16 0 4\r\ntext\r\n",
        {b"STORED": True},
    ),
    "add": (
        lambda c: c.add("key", b"value"),
        b"add key 0 0 5\r\nvalue\r\n",
        {b"STORED": True, b"NOT_STORED": False},
    ),
    "replace": (
        lambda c: c.replace("key", b"v" * 5000),
        b"replace key 0 0 5000\r\n" + b"v" * 5000 + b"\r\n",
        {b"STORED": True, b"NOT_STORED": False},
    ),
    "cas": (
        lambda c: c.cas("key", b"value", 2**64 - 1),
        b"cas key 0 0 5 18446744073709551615\r\nvalue\r\n",
        {b"STORED": True, b"EXISTS": False, b"NOT_FOUND": False},
    ),
    "delete": (
        lambda c: c.delete("key"),
        b"delete key\r\n",
        {b"DELETED": True, b"NOT_FOUND": False},
    ),
    "touch": (
        lambda c: c.touch("key", -1),
        b"touch key -1\r\n",
        {b"TOUCHED": True, b"NOT_FOUND": False},
    ),
    "incr": (
        lambda c: c.incr("key", 3),
        b"incr key 3\r\n",
        {b"18446744073709551615": 2**64 - 1, b"0": 0, b"NOT_FOUND": None},
    ),
    "decr": (
        lambda c: c.decr("key", 2**64 - 1),
        b"decr key 18446744073709551615\r\n",
        {b"5   ": 5, b"NOT_FOUND": None},
    ),
}
STORES = ("set", "set of text", "add", "replace", "cas")
EVERY = [(road, hooks) for road in ("warm", "cold", "channel") for hooks in (False, True)]
CLOSE = b""  # a piece of a reply: the end of the connection
WRITE = pytest.mark.parametrize("name", WRITES)
PROTOCOL = pytest.mark.parametrize("protocol", ["meta", "ascii"])
# What the client makes of the words of a refusal.
REFUSAL = f"shard 0 at {ADDRESS}: {{}} (key 'key')"


class Server:
    """A server that answers each request with the pieces it is given, and notes the requests."""

    def __init__(self, name: str, plain: bool, timeout: float) -> None:
        _, self.request, replies = WRITES[name]
        self.right = next(iter(replies)) + b"\r\n"
        self.pieces: list[bytes] | None = None  # of the next reply, None for the right one
        self.plain = plain
        self.timeout = timeout
        self.sent: list[bytes] = []
        self.probes: list[bytes] = []
        self.fars: list[socket.socket] = []
        self.threads: list[threading.Thread] = []

    def open(self, address: str) -> memcache.Connection:
        near, far = socket.socketpair()
        thread = threading.Thread(target=self.serve, args=(far,), daemon=True)
        thread.start()
        self.fars.append(far)
        self.threads.append(thread)
        if not self.plain:
            near = Channel(near.family, near.type, near.proto, near.detach())
        return memcache.Connection(near, self.timeout)

    def serve(self, far: socket.socket) -> None:
        data = b""
        while True:
            try:
                more = far.recv(1 << 16)
            except OSError:
                return
            if not more:
                return
            data += more
            known = answer_to_probe(data)
            if known is not None:
                self.probes.append(data)
                data = b""
                try:
                    far.sendall(known)
                except OSError:
                    return
            elif len(data) >= len(self.request):
                self.sent.append(data)
                data = b""
                pieces, self.pieces = self.pieces, None
                for piece in [self.right] if pieces is None else pieces:
                    if piece == CLOSE:
                        far.shutdown(socket.SHUT_RDWR)
                        return
                    far.sendall(piece)

    def close(self) -> None:
        for far in self.fars:
            far.close()


class Road:
    """A client on one road; ``warm`` has an idle connection that has written before."""

    def __init__(
        self, name: str, road: str, hooks: bool, protocol: str, timeout: float = 10.0
    ) -> None:
        self.server = Server(name, road != "channel", timeout)
        self.call = WRITES[name][0]
        self.events: list[memcache.Event] = []
        options = ShardOptions(open=self.server.open, eject_after=5)
        self.manager = StaticShardManager([ADDRESS], PLACED, options)
        if name == "touch":  # of meta it is another command
            protocol = "ascii"
        chosen: dict[str, Any] = {"protocol": protocol, "timeout": timeout}
        if hooks:
            chosen["hooks"] = (self.events.append,)
        self.client = Client(self.manager, **chosen)
        if road == "warm":
            assert self.write() == WRITES[name][2][self.server.right[:-2]]
        self.server.sent.clear()

    def write(self, call: Call | None = None) -> Any:
        return (call or self.call)(self.client)

    def outcome(self, pieces: list[bytes] | None = None, call: Call | None = None) -> Any:
        """Return what comes of a write, and the state that it leaves."""
        self.server.pieces = pieces
        self.events.clear()
        try:
            answer = self.write(call)
        except Exception as error:
            answer = told(error)
        [shard] = self.manager.fleet().shards
        seen = [(each.operation, each.shard, each.outcome) for each in self.events]
        pool = shard.pool
        return [answer, pool.num_idle, pool.num_active, shard.failures], seen

    def close(self) -> None:
        self.client.close()
        self.manager.close()
        self.server.close()


def outcomes(
    name: str, protocol: str, pieces: list[bytes] | None = None, **more: Any
) -> tuple[Any, Any]:
    """Return the one outcome of a write on every road, and what hooks were told of it."""
    found, events = [], []
    call = more.pop("call", None)
    for road, hooks in EVERY:
        way = Road(name, road, hooks, protocol, **more)
        try:
            outcome, seen = way.outcome(pieces, call)
        finally:
            way.close()
        found.append(neutral(outcome))
        if hooks:
            events.append(seen)
    assert found == [found[0]] * len(found)
    assert events == [events[0]] * len(events)
    return found[0], events[0]


@PROTOCOL
@WRITE
def test_what_a_server_answers(name: str, protocol: str) -> None:
    operation = {"set of text": "set", "incr": "increment", "decr": "decrement"}.get(name, name)
    for reply, expected in WRITES[name][2].items():
        found, events = outcomes(name, protocol, [reply + b"\r\n"])
        assert found == [expected, 1, 0, 0]
        told_of = {b"NOT_STORED": "not stored", b"EXISTS": "exists", b"NOT_FOUND": "miss"}
        assert events == [(operation, 0, told_of.get(reply, "ok"))]


@PROTOCOL
@WRITE
def test_a_connection_that_is_known_needs_no_visit(
    name: str, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is what the short way leaves out, hooks or not."""

    def no_visit(*_: Any) -> None:
        raise AssertionError("the general way was taken")

    for hooks in (False, True):
        road = Road(name, "warm", hooks, protocol)
        with monkeypatch.context() as patched:
            patched.setattr("godropbox.memcache.sharded_client.run", no_visit)
            for reply, expected in WRITES[name][2].items():
                assert road.outcome([reply + b"\r\n"])[0] == [expected, 1, 0, 0]
        road.close()


@WRITE
def test_a_reply_in_pieces(name: str) -> None:
    for reply, expected in WRITES[name][2].items():
        line = reply + b"\r\n"
        for at in range(1, len(line)):
            road = Road(name, "warm", False, "meta")
            assert road.outcome([line[:at], line[at:]])[0] == [expected, 1, 0, 0]
            assert road.server.sent == [WRITES[name][1]]
            road.close()
        single = [bytes([byte]) for byte in line]
        assert outcomes(name, "ascii", single)[0] == [expected, 1, 0, 0]


@PROTOCOL
@WRITE
def test_a_refusal_by_the_server(name: str, protocol: str) -> None:
    for words in ("SERVER_ERROR out of memory storing object", "SERVER_ERROR"):
        found, events = outcomes(name, protocol, [words.encode() + b"\r\n"])
        assert found == [["ServerError", REFUSAL.format(words)], 1, 0, 0]
        assert [event[2] for event in events] == ["error"]


@WRITE
@pytest.mark.parametrize("words", ["ERROR", "CLIENT_ERROR bad data chunk"])
def test_a_command_that_was_not_understood(name: str, words: str) -> None:
    found, _ = outcomes(name, "ascii", [words.encode() + b"\r\n"])
    if name in STORES:  # its data may have been run as a command
        assert found[0][0] == "ReplyError"
        assert "a command that carries data was refused" in found[0][1]
        assert found[1:] == [0, 0, 0]
    else:
        assert found == [["ServerError", REFUSAL.format(words)], 1, 0, 0]


@WRITE
@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ([b"HUH\r\n"], "ReplyError"),
        ([b"\0\r\n"], "ReplyError"),
        ([b"OK\r\n"], "ReplyError"),
        ([b"END\r\n"], "ReplyError"),
        ([b"\n"], "ReplyError"),
        ([b"VALUE key 0 1\r\n1\r\nEND\r\n"], "ReplyError"),
        ([b"x" * 9000], "ReplyError"),
        ([b"-1\r\n"], "ReplyError"),
        ([b"18446744073709551616\r\n"], "ReplyError"),
        ([b"HD c5\r\n"], "ReplyError"),
        ([CLOSE], "ConnectionLostError"),
        ([b"STOR", CLOSE], "ConnectionLostError"),
        ([b"5", CLOSE], "ConnectionLostError"),
    ],
)
def test_a_reply_that_answers_nothing(name: str, pieces: list[bytes], kind: str) -> None:
    found, _ = outcomes(name, "ascii", pieces)
    assert found[0][0] == kind
    assert found[1:] == [0, 0, int(kind != "ReplyError")]


@WRITE
def test_bytes_after_the_reply(name: str) -> None:
    reply = next(iter(WRITES[name][2])) + b"\r\n"
    found, _ = outcomes(name, "ascii", [reply + b"END\r\n"])
    assert found[0][0] == "ReplyError"
    assert "there are bytes after the end of the reply" in found[0][1]
    assert found[1:] == [0, 0, 0]


@WRITE
def test_no_reply_in_time(name: str) -> None:
    found, _ = outcomes(name, "ascii", [], timeout=0.05)
    assert found[0][0] == "DeadlineExceededError"
    assert found[1:] == [0, 0, 1]


@WRITE
@pytest.mark.parametrize("spoil", ["closed", "unasked"])
def test_a_connection_that_went_stale_is_renewed(name: str, spoil: str) -> None:
    for hooks in (False, True):
        road = Road(name, "warm", hooks, "meta")
        [far] = road.server.fars
        if spoil == "closed":
            far.shutdown(socket.SHUT_RDWR)
        else:
            far.sendall(b"STORED\r\n")
        right = WRITES[name][2][road.server.right[:-2]]
        assert road.outcome()[0] == [right, 1, 0, 0]
        assert len(road.server.fars) == 2
        assert road.server.sent == [WRITES[name][1]]
        road.close()


@WRITE
def test_failures_are_counted_until_the_server_answers(name: str) -> None:
    """Five in a row eject it; then it is skipped, and nothing is sent."""
    for road, hooks in EVERY:
        way = Road(name, road, hooks, "ascii")
        for count in range(1, 5):
            assert way.outcome([CLOSE])[0][1:] == [0, 0, count]
        assert way.outcome()[0][1:] == [1, 0, 0]
        for count in range(1, 6):
            assert way.outcome([CLOSE])[0][3] == count
        sent = len(way.server.sent)
        skipped, seen = way.outcome()
        assert skipped == [None if name in ("incr", "decr") else False, 0, 0, 5]
        assert [event[2] for event in seen] == ["skipped"] * hooks
        assert len(way.server.sent) == sent
        way.close()


@WRITE
@pytest.mark.parametrize("state", [ShardState.WRITE_ONLY, ShardState.DOWN, ShardState.WARM_UP])
def test_a_shard_that_does_not_serve_is_skipped(name: str, state: ShardState) -> None:
    for hooks in (False, True):
        server = Server(name, True, 10.0)
        with BaseShardManager(PLACED, ShardOptions(open=server.open)) as manager:
            manager.update_shard_states([ShardStatus(ADDRESS)])
            own: dict[str, Any] = {"hooks": (lambda event: None,) if hooks else ()}
            if name == "touch":
                own["protocol"] = "ascii"
            client = Client(manager, timeout=10.0, **own)
            call, _, replies = WRITES[name]
            assert call(client) == next(iter(replies.values()))
            manager.update_shard_states([ShardStatus(ADDRESS, state)])
            server.sent.clear()
            assert call(client) is (None if name in ("incr", "decr") else False)
            assert not server.sent
        server.close()


WRONG: list[tuple[str, Call, type[Exception], str]] = [
    ("set", lambda c: c.set("a b", b""), InvalidArgumentError, "no byte up to 0x20"),
    ("set", lambda c: c.set("k" * 251, b""), InvalidArgumentError, "1 to 250 bytes"),
    ("set", lambda c: c.set(None, b""), InvalidTypeError, "key must be str or bytes"),  # type: ignore[arg-type]
    ("set", lambda c: c.set("key", b"", 10**12), InvalidArgumentError, "expire must be under"),
    ("set", lambda c: c.set("key", []), InvalidTypeError, "value must be bytes, str or int"),
    ("add", lambda c: c.add("", b""), InvalidArgumentError, "1 to 250 bytes"),
    ("add", lambda c: c.add("\udc80", b""), InvalidArgumentError, "text that UTF-8 can encode"),
    ("cas", lambda c: c.cas("key", b"", 0), InvalidArgumentError, r"cas must be in \[1, 2\*\*64\)"),
    ("cas", lambda c: c.cas("key", b"", -1), InvalidArgumentError, r"cas must be an int in \[0,"),
    ("cas", lambda c: c.cas("key", b"", 2**64), InvalidArgumentError, r"cas must be an int in"),
    ("cas", lambda c: c.cas("key", b"", "1"), InvalidTypeError, r"cas must be an int in"),  # type: ignore[arg-type]
    ("delete", lambda c: c.delete("\x7f"), InvalidArgumentError, "no 0x7f"),
    ("delete", lambda c: c.delete(5), InvalidTypeError, "key must be str or bytes"),  # type: ignore[arg-type]
    ("touch", lambda c: c.touch(b"", 5), InvalidArgumentError, "1 to 250 bytes"),
    ("touch", lambda c: c.touch("key", "5"), InvalidTypeError, "expire must be"),  # type: ignore[arg-type]
    ("incr", lambda c: c.incr("key", -1), InvalidArgumentError, r"delta must be an int in \[0,"),
    ("incr", lambda c: c.incr("key", 2**64), InvalidArgumentError, r"delta must be an int in"),
    ("incr", lambda c: c.incr("key", 1.5), InvalidTypeError, r"delta must be an int in"),  # type: ignore[arg-type]
    ("decr", lambda c: c.decr("a\nb"), InvalidArgumentError, "no byte up to 0x20"),
    ("decr", lambda c: c.decr("key", 1, None, 10**12), InvalidArgumentError, "expire must be"),
]


@PROTOCOL
@pytest.mark.parametrize(("name", "call", "kind", "words"), WRONG)
def test_a_mistake_of_the_caller(
    protocol: str, name: str, call: Call, kind: type[Exception], words: str
) -> None:
    found = []
    for road, hooks in EVERY:
        way = Road(name, road, hooks, protocol)
        with pytest.raises(kind, match=words) as caught:
            way.write(call)
        found.append(str(caught.value))
        assert not way.server.sent
        # The connection is as good as before.
        assert way.outcome()[0][0] == WRITES[name][2][way.server.right[:-2]]
        assert len(way.server.fars) == 1
        way.close()
    assert found == [found[0]] * len(found)


@PROTOCOL
@pytest.mark.parametrize("name", STORES)
def test_no_value_leaves_before_the_server_is_known(name: str, protocol: str) -> None:
    """Each connection is asked once for each kind of command, however it is written to."""
    word = b"cas " if name == "cas" else b"replace "
    for road, hooks in EVERY:
        way = Road(name, road, hooks, protocol)
        for _ in range(3):
            way.outcome()
        assert [probe.startswith(word + b"godropbox-") for probe in way.server.probes] == [True]
        way.close()


def test_a_server_that_is_known_to_swallow_a_set_is_asked_about_cas() -> None:
    server = Server("set", True, 10.0)
    with StaticShardManager([ADDRESS], PLACED, ShardOptions(open=server.open)) as manager:
        client = Client(manager, timeout=10.0)
        for _ in range(3):
            assert client.set("key", b"value", 60)
        server.request = WRITES["cas"][1]
        for _ in range(3):
            assert client.cas("key", b"value", 2**64 - 1)
        assert client.set("key", b"x" * len(WRITES["cas"][1]))
    assert [probe.split(b" ")[0] for probe in server.probes] == [b"replace", b"cas"]
    server.close()


@pytest.mark.parametrize("name", STORES)
def test_a_server_that_does_not_know_a_store_gets_no_value(name: str) -> None:
    for hooks in (False, True):
        near, far = socket.socketpair()
        asked: list[bytes] = []

        def serve(far: socket.socket = far, asked: list[bytes] = asked) -> None:
            for reply in (b"ERROR\r\n", b"ERROR\r\nVERSION 0.1\r\n"):
                asked.append(far.recv(1 << 16))
                far.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()

        def connect(address: str, near: socket.socket = near) -> memcache.Connection:
            return memcache.Connection(near, 10.0)

        options = ShardOptions(open=connect)
        with StaticShardManager([ADDRESS], PLACED, options) as manager:
            own: dict[str, Any] = {"hooks": (lambda event: None,) if hooks else ()}
            if name == "touch":
                own["protocol"] = "ascii"
            client = Client(manager, timeout=10.0, **own)
            with pytest.raises(memcache.NotSupportedError, match="does not know the ASCII command"):
                WRITES[name][0](client)
        thread.join()
        assert len(asked) == 2
        assert not any(WRITES[name][1].split(b"\r\n")[1] in each for each in asked)
        far.close()


def test_a_closed_client_writes_nothing() -> None:
    for name, (call, _, _) in WRITES.items():
        road = Road(name, "warm", False, "ascii")
        road.manager.close()
        with pytest.raises(memcache.ClientClosedError):
            call(road.client)
        assert not road.server.sent
        road.close()
        with pytest.raises(memcache.ClientClosedError):
            call(road.client)


def test_the_word_for_a_lost_connection_names_the_shard() -> None:
    road = Road("delete", "warm", False, "ascii")
    road.server.pieces = [CLOSE]
    with pytest.raises(
        ConnectionLostError, match=f"shard 0 at {ADDRESS}: the server closed"
    ) as lost:
        road.write()
    assert lost.value.fields["shard"] == 0
    assert lost.value.fields["address"] == ADDRESS
    road.close()
