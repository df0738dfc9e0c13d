"""Any reply at all: the answer of the right key, or ``ReplyError``, and never another key's value.

A server that makes no mistake answers several requests; then its answers are left out, sent twice,
put out of order, mixed with those to other requests, mixed with rubbish and cut anywhere. Each
value and each token tells which key and which request it is of. After that, single bytes change.
Both twins of the reader have to agree on everything.
"""

import itertools
import re
import struct
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from conftest import twins
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from godropbox import _kernels, memcache
from godropbox.memcache import (
    AsciiProtocol,
    BinaryProtocol,
    Exchange,
    GetResponse,
    Item,
    MetaProtocol,
    MutateResponse,
)

from .test_replies import CASES

SETTINGS = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])

Asked = list[tuple[str, list[str]]]  # operations and their keys, one after another

KEYS = ["a", "b", "c", "d"]
OPERATIONS = ["get", "get_multi", "gat", "set", "set_multi", "delete", "delete_multi"]
PROTOCOLS: dict[str, Callable[[], Any]] = {
    "ascii": AsciiProtocol,
    "binary": BinaryProtocol,
    "meta": MetaProtocol,
}

# The server. An answer is a list of blocks, each of which is whole; `turn` is the request's number.


def token(key: bytes, turn: int) -> int:
    """Return the token of a key in the answer to a request."""
    return turn * 1000 + key[0]


def value(key: bytes, turn: int) -> bytes:
    """Return a value that tells its key and request, and then looks like a reply of its own."""
    return b"<%s|%d>\r\nVALUE b 0 1 1\r\nx\r\nVA 1 f0 c1 kb O1\r\nx\r\nEND\r\n" % (key, turn)


def ascii_blocks(request: bytes, turn: int) -> Iterator[bytes]:
    lines = request.split(b"\r\n")
    verb, *words = lines[0].split(b" ")
    if verb in (b"gets", b"gats"):
        for key in words[verb == b"gats" :]:
            held = value(key, turn)
            yield b"VALUE %s 0 %d %d\r\n%s\r\n" % (key, len(held), token(key, turn), held)
        yield b"END\r\n"
        return
    for line in lines:
        if line.startswith((b"set ", b"delete ")):
            yield b"STORED\r\n" if line.startswith(b"set") else b"DELETED\r\n"


def meta_blocks(request: bytes, turn: int) -> Iterator[bytes]:
    for line in request.split(b"\r\n"):
        verb, *words = line.split(b" ")
        if verb == b"mn":
            yield b"MN\r\n"
        elif verb in (b"mg", b"ms", b"md"):
            (opaque,) = [word for word in words if word.startswith(b"O")]
            cas = token(words[0], turn)
            held = value(words[0], turn)
            if verb == b"mg":
                head = b"VA %d f0 c%d k%s %s" % (len(held), cas, words[0], opaque)
                yield head + b"\r\n" + held + b"\r\n"
            else:
                yield b"HD c%d %s\r\n" % (cas, opaque)


def binary_blocks(request: bytes, turn: int) -> Iterator[bytes]:
    while request:
        _, opcode, key_size, extras, _, _, size, opaque, _ = struct.unpack_from(
            ">BBHBBHIIQ", request
        )
        key = request[24 + extras : 24 + extras + key_size]
        request = request[24 + size :]
        body, extras, named = b"", 0, b""
        if opcode in (0x00, 0x0D, 0x1D):
            named = key if opcode == 0x0D else b""
            body, extras = bytes(4) + named + value(key, turn), 4
        cas = token(key, turn) if key else 0
        head = (0x81, opcode, len(named), extras, 0, 0, len(body), opaque, cas)
        yield struct.pack(">BBHBBHIIQ", *head) + body


BLOCKS = {"ascii": ascii_blocks, "binary": binary_blocks, "meta": meta_blocks}


# What is asked


def ask(protocol: Any, operation: str, keys: list[str]) -> Exchange:
    things: list[Any] = [Item(key, b"v") for key in keys] if "set" in operation else list(keys)
    if operation.endswith("multi"):
        exchange = getattr(protocol, operation)(things)
    else:
        exchange = getattr(protocol, operation)(things[0], *([5] if operation == "gat" else []))
    assert isinstance(exchange, Exchange)
    return exchange


ASKED = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), st.permutations(KEYS).map(lambda keys: keys[:2])),
    min_size=2,
    max_size=4,
)
RUBBISH = st.sampled_from(
    [
        b"END\r\n",
        b"ERROR\r\n",
        b"SERVER_ERROR no\r\n",
        b"SERVER_ERROR backend failure\r\n",
        b"STORED\r\n",
        b"MN\r\n",
        b"EN\r\n",
        b"\0",
    ]
) | st.binary(min_size=1, max_size=30)

MISHAPS = ["replaced", "replaced", "mixed up", "inserted", "left out", "twice", "moved", "rubbish"]


def chunks(draw: Any, data: bytes) -> list[bytes]:
    """Cut data anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=5)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def mixed_up(block: bytes, opaque_of: bytes) -> bytes:
    """Return a value with the opaque of another, if both tell their keys by name as well."""
    if block.startswith(b"VA ") and opaque_of.startswith(b"VA "):
        opaques = re.findall(rb"O[0-9]+", opaque_of)
        return re.sub(rb"O[0-9]+", opaques[0], block, count=1)
    if block[:2] == opaque_of[:2] == b"\x81\x0d":
        return block[:12] + opaque_of[12:16] + block[16:]
    return block


def disturbed(draw: Any, blocks: list[bytes], others: list[bytes]) -> bytes:
    """Return the answer after up to three mishaps."""
    own = list(blocks)
    for mishap in draw(st.lists(st.sampled_from(MISHAPS), max_size=3)):
        if not blocks:
            break
        at = draw(st.integers(0, len(blocks) - 1))
        if mishap == "replaced":
            blocks[at] = draw(st.sampled_from(others))
        elif mishap == "mixed up":
            first, second = draw(st.sampled_from(own)), draw(st.sampled_from(own))
            blocks = [mixed_up(first, second) if block is second else block for block in blocks]
        elif mishap == "left out":
            del blocks[at]
        elif mishap == "moved":
            blocks.append(blocks.pop(at))
        else:
            more = {"inserted": st.sampled_from(others), "twice": st.just(blocks[at])}
            blocks.insert(at, draw(more.get(mishap, RUBBISH)))
    whole = b"".join(blocks)
    return whole[: draw(st.integers(0, len(whole)))] if draw(st.integers(0, 5)) == 0 else whole


def outcome(exchange: Exchange, data: list[bytes]) -> tuple[str, Any]:
    """Return what an exchange makes of a reply; only ``ReplyError`` may come out of it."""
    try:
        for chunk in data:
            exchange.feed(chunk)
        return ("told", exchange.result()) if exchange.done else ("waits", None)
    except memcache.ReplyError as error:
        return "refused", str(error)


def with_reader(reader: ModuleType, make: Callable[[], Any]) -> Any:
    """Return what `make` makes while the protocols use one twin."""
    with mock.patch.object(_kernels.wire, "Reply", reader.Reply):
        return make()


def responses(told: Any) -> list[Any]:
    if isinstance(told, dict):
        assert [response.key for response in told.values()] == list(told)
        return list(told.values())
    return told if isinstance(told, list) else [told]


def is_own(response: Any, turn: int, name: str) -> bool:
    """Tell whether what a response says is of its own key, and of the request if that is told."""
    key = response.key.encode()
    if isinstance(response, GetResponse) and response.value is not None:
        of = (b"<%s|" if name == "ascii" else b"<%%s|%d>" % turn) % key
        own_token = response.cas % 1000 == key[0] and (name == "ascii" or response.cas >= 1000)
        return response.value.startswith(of) and own_token
    if isinstance(response, MutateResponse) and response.ok and name != "ascii":
        return response.cas == token(key, turn)
    return True


def answered(name: str, asked: Asked, turn: int) -> tuple[list[bytes], list[bytes]]:
    """Return the blocks of the server's answer to one request, and those to the others."""
    protocol = PROTOCOLS[name]()
    own: list[bytes] = []
    others: list[bytes] = []
    for at, (operation, keys) in enumerate(asked, 1):
        request = b"".join(map(bytes, ask(protocol, operation, keys).request))
        (own if at == turn else others).extend(BLOCKS[name](request, at))
    return own, others


def judge(name: str, asked: Asked, turn: int, reply: list[bytes]) -> None:
    """Give one of the requests a reply, by each twin: both agree, and no key gets another's."""

    def make() -> Exchange:
        protocol = PROTOCOLS[name]()
        return [ask(protocol, operation, keys) for operation, keys in asked][turn - 1]

    outcomes = [outcome(with_reader(reader, make), reply) for reader in twins("wire")]
    assert all(repr(each) == repr(outcomes[0]) for each in outcomes)
    what, told = outcomes[0]
    if what == "told":
        operation, keys = asked[turn - 1]
        wanted = keys if operation.endswith("multi") else keys[:1]
        assert [response.key for response in responses(told)] == wanted
        assert all(is_own(response, turn, name) for response in responses(told))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_block_of_another_answer_anywhere(name: str) -> None:
    for operation, before, after in itertools.product(OPERATIONS, OPERATIONS, OPERATIONS[:2]):
        asked = [(before, ["c", "d"]), (operation, ["a", "b"]), (after, ["b", "c"])]
        own, others = answered(name, asked, 2)
        for at, block in enumerate(own):
            for other in others:
                judge(name, asked, 2, [*own[:at], other, *own[at + 1 :]])
                judge(name, asked, 2, [*own[:at], other, *own[at:]])
            # A block under the request's own opaque is told by its key, so by no key of its own.
            for other in (*own, *(each for each in others if b"<b|" not in each)):
                judge(name, asked, 2, [*own[:at], mixed_up(other, block), *own[at + 1 :]])


@pytest.mark.parametrize("name", PROTOCOLS)
@SETTINGS
@given(data=st.data(), asked=ASKED)
def test_no_key_gets_what_is_another_s(name: str, data: st.DataObject, asked: Asked) -> None:
    turn = data.draw(st.integers(1, len(asked)))
    own, others = answered(name, asked, turn)
    judge(name, asked, turn, chunks(data.draw, disturbed(data.draw, own, others)))


def test_an_undisturbed_reply_is_told_whole() -> None:
    for name, new in PROTOCOLS.items():
        for operation in OPERATIONS:
            exchange = ask(new(), operation, KEYS)
            blocks = BLOCKS[name](b"".join(map(bytes, exchange.request)), 1)
            what, told = outcome(exchange, [b"".join(blocks)])
            assert what == "told"
            assert len(responses(told)) == (len(KEYS) if operation.endswith("multi") else 1)
            assert all(each.ok and is_own(each, 1, name) for each in responses(told))


EDITS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 4), st.binary(max_size=4) | RUBBISH), max_size=4
)


@SETTINGS
@given(
    data=st.data(),
    name=st.sampled_from(list(CASES)),
    other=st.none() | st.sampled_from(list(CASES)),
    edits=EDITS,
)
def test_any_bytes_are_an_answer_or_an_error(
    data: st.DataObject, name: str, other: str | None, edits: list[tuple[int, int, bytes]]
) -> None:
    make, reply = CASES[name]
    spoilt = bytearray(reply if other is None else CASES[other][1])
    for at, size, put in edits:
        at %= len(spoilt) + 1
        spoilt[at : at + size] = put
    given_ = chunks(data.draw, bytes(spoilt))
    outcomes = [outcome(with_reader(reader, make), given_) for reader in twins("wire")]
    assert all(repr(each) == repr(outcomes[0]) for each in outcomes)
    what, told = outcomes[0]
    if what == "told":
        _, right = outcome(make(), [reply])
        keys = [getattr(response, "key", None) for response in responses(told)]
        assert keys == [getattr(response, "key", None) for response in responses(right)]
