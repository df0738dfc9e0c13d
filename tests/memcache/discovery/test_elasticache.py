"""The configuration endpoint of ElastiCache: a server that behaves as AWS documents it."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.memcached import certificate, running

from godropbox.memcache import InvalidArgumentError
from godropbox.memcache.discovery import ElastiCacheSource, SourceError
from godropbox.memcache.discovery.elasticache import parse_config

NODES = (
    b"c.0002.use1.cache.amazonaws.com|10.0.0.2|11211"
    b" c.0010.use1.cache.amazonaws.com|10.0.0.10|11211"
    b" c.0001.use1.cache.amazonaws.com||11211"
)
CONFIG = b"12\n" + NODES + b"\n"
FOUND = [
    ("c.0002.use1.cache.amazonaws.com:11211", "10.0.0.2:11211"),
    ("c.0010.use1.cache.amazonaws.com:11211", "10.0.0.10:11211"),
    ("c.0001.use1.cache.amazonaws.com:11211", "c.0001.use1.cache.amazonaws.com:11211"),
]
NEW, OLD = b"config get cluster\r\n", b"get AmazonElastiCache:cluster\r\n"


def told(config: bytes, first: bytes = b"CONFIG cluster 0") -> bytes:
    return b"%s %d\r\n%s\r\nEND\r\n" % (first, len(config), config)


class Endpoint:
    """Answers each connection with the next of its scripts: by question, the reply.

    A reply of None closes without one, and a script's `hangs` keeps the connection open.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.context = context
        self.replies: dict[bytes, bytes | None] = {}
        self.hangs = False
        self.piece = 1 << 20
        self.questions: list[bytes] = []
        self.held: list[socket.socket] = []
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                self.answer(connection)

    def answer(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        if self.context is not None:
            connection = self.context.wrap_socket(connection, server_side=True)
        question = connection.recv(1000)
        self.questions.append(question)
        reply = self.replies.get(question, b"ERROR\r\n")
        if reply is not None:
            for at in range(0, len(reply), self.piece):
                connection.sendall(reply[at : at + self.piece])
        if self.hangs:
            self.held.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for each in self.held:
            each.close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


def found(source: ElastiCacheSource) -> list[tuple[str, str]]:
    said = source.next(20)
    assert said is not None
    return [(server.name, server.address) for server in said.servers]


@pytest.mark.parametrize("piece", [1 << 20, 1])
def test_the_nodes_of_a_cluster(endpoint: Endpoint, piece: int) -> None:
    endpoint.replies[NEW] = told(CONFIG)
    endpoint.piece = piece
    source = ElastiCacheSource(endpoint.address)
    said = source.next(20)
    assert said is not None
    assert (said.version, said.is_ordered) == (12, False)
    assert [(server.name, server.address) for server in said.servers] == FOUND
    assert source.name == f"elasticache://{endpoint.address}"
    assert endpoint.questions == [NEW]


@pytest.mark.parametrize("new", [b"ERROR\r\n", b"END\r\n", None])
def test_the_older_key_is_asked_for_where_the_command_is_not_known(
    endpoint: Endpoint, new: bytes | None
) -> None:
    endpoint.replies = {NEW: new, OLD: told(CONFIG, b"VALUE AmazonElastiCache:cluster 0")}
    assert found(ElastiCacheSource(endpoint.address)) == FOUND
    assert endpoint.questions == [NEW, OLD]


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        ({OLD: b"END\r\n"}, "is no configuration endpoint: it knows of no cluster"),
        ({NEW: None, OLD: None}, "it closes the connection unasked"),
        ({NEW: b"CLIENT_ERROR bad command line format\r\n"}, "CLIENT_ERROR bad command line"),
        ({NEW: b"SERVER_ERROR backend failure\r\n"}, "SERVER_ERROR backend failure"),
        ({NEW: b"VERSION 1.6\r\n"}, "expected CONFIG cluster 0 BYTES, got b'VERSION 1.6'"),
        ({NEW: b"CONFIG cluster 0 x\r\n"}, "expected CONFIG cluster 0 BYTES"),
        ({NEW: b"CONFIG cluster 0 99999999999999\r\n"}, "bytes are more than any cluster takes"),
        ({NEW: b"x" * 3000}, "a line of over 2048 bytes"),
        ({NEW: told(CONFIG)[:-9]}, "the reply ends after"),
        ({NEW: told(CONFIG)[:-1]}, "the reply ends after"),
        ({NEW: told(CONFIG)[:5]}, "the reply ends after 5 bytes"),
        ({NEW: told(CONFIG).replace(b"END", b"ENDE")}, "the configuration is not of 137 bytes"),
        ({NEW: told(b"x\n" + NODES)}, "makes no sense: the version must be a number, got 'x'"),
        ({NEW: told(b"12\nhost:11211\n")}, "a node must be host|ip|port, got 'host:11211'"),
        ({NEW: told(b"12\n||11211\n")}, "a node must be host|ip|port"),
        ({NEW: told(b"12\na|b|c\n")}, "a node must be host|ip|port"),
        ({NEW: told(b"\xff\n")}, "makes no sense"),
    ],
)
def test_what_is_no_configuration_is_an_error(
    endpoint: Endpoint, replies: dict[bytes, bytes | None], message: str
) -> None:
    endpoint.replies = replies
    source = ElastiCacheSource(endpoint.address)
    with pytest.raises(SourceError) as raised:
        source.next(20)
    assert message in str(raised.value)
    assert str(raised.value).startswith(source.name)
    endpoint.replies = {NEW: told(CONFIG)}
    assert found(source) == FOUND


def test_every_cut_of_a_reply_is_an_error() -> None:
    whole = told(b"7\na|10.0.0.1|1\n")
    endpoint = Endpoint()
    try:
        for size in range(1, len(whole)):
            endpoint.replies = {NEW: whole[:size]}
            with pytest.raises(SourceError):
                ElastiCacheSource(endpoint.address).next(20)
    finally:
        endpoint.close()


def test_a_reply_that_does_not_come_in_time_is_an_error(endpoint: Endpoint) -> None:
    endpoint.replies[NEW] = told(CONFIG)[:-3]
    endpoint.hangs = True
    with pytest.raises(SourceError, match=r"no answer within 0.1 s"):
        ElastiCacheSource(endpoint.address, timeout=0.1).next(20)


def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"elasticache://127.0.0.1:1: .*refused"):
        ElastiCacheSource("127.0.0.1:1").next(20)


def test_a_plain_memcached_is_no_endpoint(tmp_path: Path) -> None:
    with running("tcp", tmp_path) as server, pytest.raises(SourceError, match="is no conf"):
        ElastiCacheSource(server.address).next(20)


def test_over_tls_and_dialled_by_name(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(cert, key)
    endpoint = Endpoint(theirs)
    try:
        endpoint.replies[NEW] = told(CONFIG)
        ours = ssl.create_default_context(cafile=str(cert))
        assert [a for _, a in found(ElastiCacheSource(endpoint.address, tls=ours))] == [
            name for name, _ in FOUND
        ]
        assert found(ElastiCacheSource(endpoint.address, tls=ours, dial="ip")) == FOUND
    finally:
        endpoint.close()


@pytest.mark.parametrize(
    ("config", "servers"),
    [
        (b"1\n", []),
        (b"1\n\n", []),
        (b"1\na|2600:1f18::1|11211\n", ["a:11211 [2600:1f18::1]:11211"]),
        (b"1\n|10.0.0.1|11211", ["10.0.0.1:11211 10.0.0.1:11211"]),
        (b"1\r\na|10.0.0.1|1  b|10.0.0.2|2\r\n", ["a:1 10.0.0.1:1", "b:2 10.0.0.2:2"]),
    ],
)
def test_what_a_configuration_may_say(config: bytes, servers: list[str]) -> None:
    assert [
        f"{name} {address}" for name, address, _ in parse_config("x", config).servers
    ] == servers


def test_bad_arguments_are_refused() -> None:
    context = ssl.create_default_context()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"address": "a:b:c"}, "address must be"),
        ({"address": "unix:/x", "tls": context}, "tls must be None for a Unix socket"),
        ({"address": "a", "dial": "name"}, "dial must be 'ip' or 'host', got 'name'"),
        ({"address": "a", "interval": 0}, r"interval must be in \[0.01, 86400\] seconds, got 0"),
        ({"address": "a", "timeout": 1e9}, r"timeout must be in \[0.01, 600\] seconds"),
    ]
    for named, message in cases:
        with pytest.raises(InvalidArgumentError, match=message):
            ElastiCacheSource(**named)
