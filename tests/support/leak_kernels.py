"""What of the kernels is watched for leaks: batches, and exchanges over sockets."""

import atexit
import socket
from typing import Any

from godropbox._kernels import batch, transport
from support.leaking import Case, fails
from support.talks import Asked, Told

__all__ = ["KERNELS"]

PAIRS = [socket.socketpair() for _ in range(2)]
for _pair in PAIRS:
    for _end in _pair:
        atexit.register(_end.close)
LINES = [transport.Line(near, 10.0) for near, _ in PAIRS]
NAMES = [f"key{i}" for i in range(80)]


class Halves:
    """The placement of even keys on the first shard, and odd ones on the second."""

    def of_many(self, keys: Any) -> list[int]:
        return [i % 2 for i in range(len(keys))]


HALVES = Halves()


def answer(names: list[str]) -> bytes:
    blocks = [b"VALUE %b 0 3\r\nabc\r\n" % name.encode() for name in names]
    return b"".join(blocks) + b"END\r\n"


def gets() -> Any:
    return batch.batch_of_keys(NAMES, HALVES, 2, b"", True)


def sets() -> Any:
    values = [b"1"] * len(NAMES)
    return batch.batch_of_values(NAMES, values, None, 0, HALVES, 2, b"", b"set ", 15)


def carried(made: Any, replies: list[bytes]) -> Any:
    """Carry a batch over both sockets, whose replies are there already."""
    parts = made.parts()
    talks = [Told(Asked(part.request, part)) for part in parts]
    for (_, far), reply in zip(PAIRS, replies, strict=True):
        far.sendall(reply)
    transport.carry(LINES, talks, 10.0)
    for (_, far), part in zip(PAIRS, parts, strict=True):
        far.recv(1 << 16)
        made.condemn(part)
    return made.values(), made.answers()


def fed(made: Any, reply: bytes) -> None:
    part, _ = made.parts()
    for at in range(0, len(reply), 50):
        part.feed(reply[at : at + 50])


def stored() -> Any:
    made = sets()
    carried(made, [b"STORED\r\n" * 40, b"SERVER_ERROR no\r\n" * 40])
    return made.outcomes()


GOOD = [answer(NAMES[::2]), answer(NAMES[1::2])]
MIXED = [answer(NAMES[::2][::-1]), answer(NAMES[1::2][::-1])]
BAD = [answer(["other"]), b"HUH\r\n"]

KERNELS = (
    Case("a batch of gets", lambda: carried(gets(), GOOD), share=0.02),
    Case("a batch of gets, in another order", lambda: carried(gets(), MIXED), share=0.02),
    Case("a batch of gets, badly answered", lambda: carried(gets(), BAD), share=0.02),
    Case("a batch of sets", stored, share=0.02),
    Case("a batch that is fed", lambda: fed(gets(), GOOD[0]), share=0.02),
    Case("a batch that is fed, in another order", lambda: fed(gets(), MIXED[0]), share=0.02),
    Case("a batch that is not carried", lambda: gets().parts(), share=0.1),
    fails(ValueError, batch.batch_of_keys, ["a"], HALVES, 65536, b"", True),
    fails(ValueError, transport.carry, LINES, [], None),
    Case("unfit", lambda: transport.unfit(LINES), share=0.2),
)
