"""Replies split anywhere: the same results, for both twins, and the same errors for bad ones."""

import random
from types import ModuleType
from typing import Any

import pytest
from conftest import twins

from godropbox import _kernels, memcache
from godropbox.memcache import AsciiProtocol, BinaryProtocol, Item, MetaProtocol

_wire = _kernels.wire.codes

# Replies of memcached 1.6.18, and the exchange that each is the reply to.
PACKET = bytes.fromhex
CASES: dict[str, tuple[Any, bytes]] = {
    "get": (lambda: AsciiProtocol().get("a"), b"VALUE a 5 3 17\r\na\r\n\r\nEND\r\n"),
    "miss": (lambda: AsciiProtocol().get("a"), b"END\r\n"),
    "get_multi": (
        lambda: AsciiProtocol().get_multi(["a", "b", "c"]),
        b"VALUE a 0 0 1\r\n\r\nVALUE c 4294967295 5 18446744073709551615\r\nEND\r\n\r\nEND\r\n",
    ),
    "out of order": (
        lambda: AsciiProtocol().get_multi(["a", "b", "c"]),
        b"VALUE c 0 1 1\r\n3\r\nVALUE b 0 1 2\r\n2\r\nVALUE a 0 1 3\r\n1\r\nEND\r\n",
    ),
    "get error": (
        lambda: AsciiProtocol().get_multi(["a", "b"]),
        b"SERVER_ERROR out of memory writing get response\r\n",
    ),
    "stores": (
        lambda: AsciiProtocol().set_multi([Item(k, b"", cas=1) for k in "abcde"]),
        b"STORED\r\nNOT_FOUND\r\nEXISTS\r\nNOT_STORED\r\n"
        b"SERVER_ERROR object too large for cache\r\n",
    ),
    "deletes": (
        lambda: AsciiProtocol().delete_multi(["a", "b"]),
        b"DELETED\r\nNOT_FOUND\r\n",
    ),
    "count": (lambda: AsciiProtocol().decrement("a"), b"9  \r\n"),
    "no count": (
        lambda: AsciiProtocol().increment("a"),
        b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
    ),
    "stats": (
        lambda: AsciiProtocol().stats(),
        b"STAT pid 1\r\nSTAT version 1.6.18\r\nSTAT empty \r\nEND\r\n",
    ),
    "version": (lambda: AsciiProtocol().version(), b"VERSION 1.6.18\r\n"),
    "flush": (lambda: AsciiProtocol().flush(), b"OK\r\n"),
    "touch": (lambda: AsciiProtocol().touch("a", 5), b"TOUCHED\r\n"),
    "meta get": (lambda: MetaProtocol().get("a"), b"VA 3 f5 c1 ka O0\r\na\r\n\r\n"),
    "meta miss": (lambda: MetaProtocol().get("a"), b"EN ka O0\r\n"),
    "meta get_multi": (
        lambda: MetaProtocol().get_multi(["a", "b", "c"]),
        b"VA 0 f0 c1 ka O0\r\n\r\nVA 4 f9 c2 kc O2\r\nMN\r\n\r\nMN\r\n",
    ),
    "meta stores": (
        lambda: MetaProtocol().set_multi([Item(k, b"") for k in "abcde"]),
        b"HD c5 O0\r\nNF O1\r\nEX O2\r\nNS O3\r\nSERVER_ERROR object too large for cache\r\n",
    ),
    "meta set": (lambda: MetaProtocol().set(Item("a", b"")), b"HD c5 O0\r\n"),
    "meta delete": (lambda: MetaProtocol().meta_delete("a", cas=5), b"EX O0\r\n"),
    "meta deletes": (lambda: MetaProtocol().delete_multi(["a", "b"]), b"HD O0\r\nNF O1\r\n"),
    "meta two spaces": (
        lambda: MetaProtocol().delete_multi(["a", "b"]),
        b"HD  O0\r\nNF  O1\r\n",
    ),
    "meta bare miss": (lambda: MetaProtocol().get("a"), b"EN\r\n"),
    "meta touch": (lambda: MetaProtocol().touch("a", 5), b"HD O0\r\n"),
    "meta count": (lambda: MetaProtocol().increment("a"), b"VA 2 O0\r\n15\r\n"),
    "lease": (
        lambda: MetaProtocol().meta_get("a", lease=30, details=True),
        b"VA 0 f0 c12 ka t30 s0 h0 l0 W X O0\r\n\r\n",
    ),
    "binary get": (
        lambda: BinaryProtocol().get("a"),
        PACKET("810000000400000000000007000000000000000000000011") + b"\0\0\0\5xyz",
    ),
    "binary miss": (
        lambda: BinaryProtocol().get("a"),
        PACKET("810000000000000100000009000000000000000000000000") + b"Not found",
    ),
    "binary get_multi": (
        lambda: BinaryProtocol().get_multi(["a", "b"]),
        PACKET("810d00010400000000000007000000010000000000000011")
        + b"\0\0\0\5bxy"
        + PACKET("810a00000000000000000000000000020000000000000000"),
    ),
    "binary stores": (
        lambda: BinaryProtocol().set_multi([Item("a", b""), Item("b", b"")]),
        PACKET("810100000000000000000000000000000000000000000063")
        + PACKET("81010000000000030000000a000000010000000000000000")
        + b"Too large.",
    ),
    "binary count": (
        lambda: BinaryProtocol().increment("a"),
        PACKET("810500000000000000000008000000000000000000000007000000000000002a"),
    ),
    "binary stats": (
        lambda: BinaryProtocol().stats(),
        PACKET("811000030000000000000004000000000000000000000000")
        + b"pid1"
        + PACKET("811000000000000000000000000000000000000000000000"),
    ),
}


@pytest.fixture(params=twins("wire"), ids=lambda twin: twin.__name__.rpartition("_")[2])
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Have the protocols use one twin or the other."""
    module: ModuleType = request.param
    monkeypatch.setattr(_kernels.wire, "Reply", module.Reply)
    return module


def shown(result: Any) -> str:
    return repr(sorted(result.items()) if isinstance(result, dict) else result)


@pytest.mark.parametrize("name", CASES)
def test_a_reply_split_anywhere_means_the_same(name: str, wire: ModuleType) -> None:
    make, reply = CASES[name]
    whole = make()
    assert whole.feed(reply) == len(reply)
    assert whole.done
    meaning = shown(whole.result())
    for at in range(len(reply) + 1):
        exchange = make()
        if at < len(reply):
            assert exchange.feed(reply[:at]) == at
            assert not exchange.done
        rest = reply[at:] or reply
        assert exchange.feed(rest) == len(rest)
        assert exchange.done
        assert shown(exchange.result()) == meaning
    exchange = make()
    for at in range(len(reply)):
        assert not exchange.done
        assert exchange.feed(reply[at : at + 1]) == 1
    assert exchange.done
    assert shown(exchange.result()) == meaning


@pytest.mark.parametrize("name", CASES)
def test_two_replies_in_one_buffer_are_fed_to_two_exchanges(name: str, wire: ModuleType) -> None:
    make, reply = CASES[name]
    whole = make()
    whole.feed(reply)
    meaning = shown(whole.result())
    both = reply + reply
    for at in range(len(both) + 1):
        exchanges = [make(), make()]
        for piece in (both[:at], both[at:]):
            rest = piece
            for exchange in exchanges:
                rest = rest[exchange.feed(rest) :]
            assert rest == b""
        for exchange in exchanges:
            assert exchange.done
            assert exchange.reply.size == len(reply)
            assert shown(exchange.result()) == meaning


@pytest.mark.parametrize("name", CASES)
def test_what_follows_a_reply_is_left_alone(name: str, wire: ModuleType) -> None:
    make, reply = CASES[name]
    exchange = make()
    assert exchange.feed(reply + b"x" * 9000) == len(reply)
    meaning = shown(exchange.result())
    assert exchange.feed(b"x") == 0
    assert exchange.feed(b"") == 0
    assert exchange.reply.size == len(reply)
    assert shown(exchange.result()) == meaning
    with pytest.raises(TypeError, match="data must be"):
        exchange.feed("x")


@pytest.mark.parametrize(
    ("name", "reply", "words"),
    [
        ("get", b"VALUE b 5 3 17\r\nabc\r\nEND\r\n", "key that was not asked for: b'b'"),
        ("get", b"VALUE a 5 3\r\nabc\r\nEND\r\n", "not one that answers the request"),
        ("get", b"VALUE a 4294967296 3 1\r\nabc\r\nEND\r\n", "not one that answers"),
        ("get", b"VALUE a 1 3 18446744073709551616\r\nabc\r\nEND\r\n", "not one that answers"),
        ("get", b"VALUE a 1 -3 1\r\nabc\r\nEND\r\n", "not one that answers"),
        ("get", b"VALUE a 1 1073741825 1\r\n", "larger than 1 GiB"),
        ("get", b"VALUE a 5 3 17\r\nabcd\r\nEND\r\n", "not followed by CR LF"),
        ("get", b"VALUE a 5 0 1\r\n\r\nVALUE a 5 0 1\r\n\r\nEND\r\n", "more values than keys"),
        ("get", b"END\n", "does not end in CR LF"),
        ("get", b"x" * 9000, "longer than 8192 bytes"),
        ("get_multi", b"VALUE a 0 0 1\r\n\r\nVALUE a 0 0 1\r\n\r\nEND\r\n", "not asked for: b'a'"),
        ("get_multi", b"VALUE a 0 0 1\r\n\r\n" + 3 * b"SERVER_ERROR no\r\n", "more values"),
        ("get_multi", b"SERVER_ERROR backend failure\r\nHUH\r\n", "not one that answers"),
        ("stores", b"STORED\r\nCLIENT_ERROR bad data chunk\r\n", "carries data was refused"),
        ("stores", b"ERROR\r\n", "carries data was refused"),
        ("stores", b"DELETED\r\n", "not one that answers"),
        ("count", b"18446744073709551616\r\n", "not one that answers"),
        ("count", b"STORED\r\n", "not one that answers"),
        ("count", b"9" * 5000 + b"\r\n", "not one that answers"),
        ("get", b"VALUE a " + b"9" * 5000 + b" 0 1\r\n", "not one that answers"),
        ("meta get", b"VA 3 f5 c1 ka O1\r\nabc\r\n", "opaque is not that of the request"),
        ("meta get", b"VA 3 f5 c1 ka\r\nabc\r\n", "opaque is not that of the request"),
        ("meta get", b"VA 3 f5 c1 kb O0\r\nabc\r\n", "not asked for: b'b'"),
        ("meta get", b"VA x O0\r\n", "not one that answers"),
        ("meta get", b"HD O0 \r\n", "not one that answers"),
        ("meta get", b"VA  O0\r\n", "not one that answers"),
        ("meta get", b"VA 0\r\n\r\n", "opaque is not that of the request"),
        ("meta get", b"EN ka\r\n", "opaque is not that of the request"),
        ("meta get", b"END\r\n", "not one that answers"),
        ("meta get_multi", 4 * b"CLIENT_ERROR bad\r\n", "was refused"),
        ("meta get_multi", b"SERVER_ERROR no\r\nVA 0 f0 c1 ka O0\r\n\r\n", "opaque"),
        ("meta get_multi", b"VA 0 f0 c1 kb O1\r\n\r\nVA 0 f0 c1 ka O0\r\n\r\n", "opaque"),
        ("meta stores", b"ERROR\r\n", "was refused"),
        ("meta set", b"VA 1 O0\r\nx\r\n", "not one that answers"),
        ("meta set", b"VA 1 kb O0\r\nx\r\n", "not one that answers"),
        ("meta set", b"HD kb O0\r\n", "not one that answers"),
        ("meta set", b"VA 1073741825 O0\r\n", "not one that answers"),
        ("meta stores", b"HD O0\r\nVA 1 O1\r\nx\r\n", "not one that answers"),
        ("meta deletes", b"NF\r\nHD O1\r\n", "opaque is not that of the request"),
        ("meta get_multi", b"EN\r\nMN\r\n", "opaque is not that of the request"),
        ("meta deletes", b"VA 1 kb O0\r\nx\r\n", "not one that answers"),
        ("meta delete", b"VA 0 O0\r\n\r\n", "not one that answers"),
        ("meta touch", b"VA 1 kb O0\r\nx\r\n", "not one that answers"),
        ("meta count", b"VA 2 kb O0\r\n15\r\n", "key that was not asked for: b'b'"),
        ("meta count", b"VA 2 O0\r\n1x\r\n", "a count is not a number below 2**64: b'1x'"),
        ("meta count", b"VA 5000 O0\r\n" + b"9" * 5000 + b"\r\n", "is not a number below 2**64"),
        ("lease", b"EN tx O0\r\n", "ttl is not a number of at most 20 bytes: b'x'"),
        ("lease", b"HD t O0\r\n", "ttl is not a number of at most 20 bytes: b''"),
        ("lease", b"HD l" + b"9" * 5000 + b" O0\r\n", "last_access is not a number"),
        ("lease", b"HD s1_0 O0\r\n", "size is not a number of at most 20 bytes: b'1_0'"),
        ("binary get", PACKET("80" + "00" * 23), "start with 0x81"),
        ("binary get", PACKET("8101" + "00" * 22), "another opcode"),
        ("binary get", PACKET("810000000400000000000004000000010000000000000011"), "opaque"),
        ("binary get", PACKET("810000000000000000000004000000000000000000000011"), "lengths"),
        ("binary get", PACKET("810000040400000000000004000000000000000000000011"), "lengths"),
        ("binary get", PACKET("8100000004000000ffffffff000000000000000000000011"), "1 GiB"),
        (
            "binary get_multi",
            PACKET("810a00000000000000000000000000010000000000000000"),
            "opaque is not that of the request",
        ),
    ],
)
def test_bad_replies(name: str, reply: bytes, words: str, wire: ModuleType) -> None:
    for step in (1, len(reply)):
        exchange = CASES[name][0]()
        with pytest.raises(memcache.ReplyError) as caught:  # noqa: PT012  # it may be any of them
            for at in range(0, len(reply), step):
                exchange.feed(reply[at : at + step])
            exchange.result()
        assert words in str(caught.value)


def outcome(reply: Any, chunks: list[bytes]) -> tuple[Any, ...]:
    try:
        fed = [reply.feed(chunk) for chunk in chunks]
    except ValueError as error:
        return ("error", str(error))
    if not reply.done:
        return ("fed", fed, reply.size)
    return ("fed", fed, [[getattr(row, name) for name in row.__slots__] for row in reply.rows()])


def test_the_twins_agree_on_anything() -> None:
    forms = twins("wire")
    random_ = random.Random(5)
    replies = [reply for _, reply in CASES.values()]
    kinds = [
        (_wire.LINES, 2, 511, 0, 0),
        (_wire.LINES, 1, 15, 0, _wire.STRICT),
        (_wire.VALUES, 3, 0, 0, 0),
        (_wire.VALUES, 3, 0, 0, _wire.BARE),
        (_wire.STATS, 1, 0, 0, 0),
        (_wire.PACKETS, 2, 1 << 0 | 1 << 1 | 1 << 5, 0, 0),
        (_wire.PACKETS, 2, 1 << 0x0D, 0, _wire.QUIET),
        (_wire.PACKETS, 1, 1 << 0x10, 0, _wire.SERIES),
        (_wire.META, 2, 0, 0, 0),
        (_wire.META, 3, 0, 0, _wire.QUIET),
        (_wire.META, 2, 0, 0, _wire.STRICT),
        (_wire.META, 2, 0, 0, _wire.STRICT | _wire.BARE),
    ]
    for _ in range(20_000):
        data = bytearray(random_.choice(replies))
        for _ in range(random_.choice((0, 0, 1, 1, 2, 4))):
            at = random_.randrange(len(data) + 1)
            change = random_.randrange(3)
            if change == 0:
                data[at : at + random_.randrange(3)] = random_.choice(replies)[:9]
            elif change == 1:
                data[at:at] = bytes([random_.choice(b"\r\n 059AZakO\x00\x81\xff")])
            else:
                del data[at : at + 1]
        cut = random_.randrange(len(data) + 1)
        chunks = [bytes(data[:cut]), bytes(data[cut:])]
        kind = random_.choice(kinds)
        outcomes = [outcome(form.Reply(*kind), chunks) for form in forms]
        assert all(each == outcomes[0] for each in outcomes), (kind, chunks, outcomes)
