"""The golden vectors of the wire: the same bytes sent, and the same results seen, as in Go."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.knowing import Knowing

from godropbox import memcache
from godropbox.memcache import Item, ResponseStatus

Row = dict[str, Any]

CLIENTS = {"ascii": memcache.RawAsciiClient, "binary": memcache.RawBinaryClient}

# Where the original saw a failed count, it reported status 0 and an error, since it looked for
# eight bytes of a count in the empty body of a refusal. We report the refusal's own status.
COUNT_REFUSED = "binary counter refused"
# No row has the original leave a broken connection valid; replies that make it do so are below.
# memcached takes an expiry from 2**31 for one in the past, or refuses it: we do not send it.
EXPIRY_REFUSED = "expiry from 2**31 refused"
DIFFERENT = {COUNT_REFUSED: 24, EXPIRY_REFUSED: 1}


class Recorded:
    """A channel that keeps what is sent and answers what was recorded."""

    def __init__(self, response: bytes, step: int) -> None:
        self.sent = bytearray()
        self._response = response
        self._step = step

    def sendall(self, data: Any, /) -> None:
        self.sent += data

    def recv_into(self, buffer: Any, /) -> int:
        taken = self._response[: self._step]
        self._response = self._response[self._step :]
        buffer[: len(taken)] = taken
        return len(taken)

    def settimeout(self, seconds: float | None, /) -> None:
        pass

    def close(self) -> None:
        pass


def call(client: memcache.RawClient, op: str, args: Row) -> Any:
    key = args.get("key", "")
    value = bytes.fromhex(args.get("value_hex", ""))
    if op in ("set", "add", "replace"):
        item = Item(key, value, args["flags"], int(args["cas"]), args["expiration"])
        return getattr(client, op)(item)
    if op in ("append", "prepend"):
        return getattr(client, op)(key, value)
    if op in ("increment", "decrement"):
        expire = None if args["expiration"] == 2**32 - 1 else args["expiration"]
        return getattr(client, op)(key, args["delta"], args["initial"], expire)
    if op == "flush":
        return client.flush(args["expiration"])
    if op == "version":
        return client.version()
    return getattr(client, op)(key)


def seen(op: str, response: Any) -> Row:
    """Return a response the way the original's are recorded."""
    failed = not response.ok
    if op == "version":
        return {"error": failed, "version": response.versions[0]}
    result: Row = {"error": failed, "status": int(response.status)}
    if op == "get":
        result["error"] = failed and response.status is not ResponseStatus.KEY_NOT_FOUND
        result["value_hex"] = (response.value or b"").hex()
        result["flags"] = response.flags
    if op in ("get", "set", "add", "replace"):
        result["cas"] = str(response.cas)
    if op in ("increment", "decrement"):
        result["count"] = response.count
    return result


def expected(row: Row) -> tuple[Row, str | None]:
    """Return the recorded result, or ours with the name of the difference."""
    counts = row["op"] in ("increment", "decrement")
    if row["protocol"] == "binary" and counts and row["result"]["error"]:
        status = int.from_bytes(bytes.fromhex(row["response_hex"])[6:8], "big")
        return {**row["result"], "status": status}, COUNT_REFUSED
    return row["result"], None


@pytest.mark.parametrize("step", [1, 7, 65536])
def test_rows(vectors: Path, step: int) -> None:
    rows = [json.loads(x) for x in (vectors / "memcache_wire.jsonl").read_text().splitlines()]
    assert len(rows) == 600
    differences: dict[str, int] = {}
    for row in rows:
        channel = Recorded(bytes.fromhex(row["response_hex"]), step)
        asked = row["protocol"] == "ascii" and row["op"] in ("flush", "stats", "verbosity")
        client = CLIENTS[row["protocol"]](Knowing(channel, asked))
        if 1 << 31 <= row["args"].get("expiration", 0) < (1 << 32) - 1:  # the last is for none
            with pytest.raises(memcache.InvalidArgumentError, match=r"2\*\*31"):
                call(client, row["op"], row["args"])
            assert not channel.sent
            assert client.is_valid
            differences[EXPIRY_REFUSED] = differences.get(EXPIRY_REFUSED, 0) + 1
            continue
        response = call(client, row["op"], row["args"])
        result, difference = expected(row)
        assert channel.sent.hex() == row["request_hex"], row
        assert seen(row["op"], response) == result, row
        assert client.is_valid is row["valid_after"], row
        if difference is not None:
            differences[difference] = differences.get(difference, 0) + 1
    assert differences == DIFFERENT


Check = Callable[[memcache.RawClient], Any]


@pytest.mark.parametrize(
    ("name", "response", "check"),
    [
        # Each of these the original answered with an error and left the connection marked valid.
        ("garbled value end", b"VALUE a 0 1 1\r\nxyzEND\r\n", lambda c: c.get("a")),
        ("unknown word", b"WHAT\r\n", lambda c: c.set(Item("a", b""))),
        ("word of another command", b"DELETED\r\n", lambda c: c.set(Item("a", b""))),
        ("word of another command", b"STORED\r\n", lambda c: c.delete("a")),
        ("count that is no number", b"many\r\n", lambda c: c.increment("a")),
        ("flush without OK", b"STORED\r\n", lambda c: c.flush()),
        ("version without VERSION", b"OK\r\n", lambda c: c.version()),
        ("bytes left over", b"DELETED\r\nDELETED\r\n", lambda c: c.delete("a")),
    ],
)
def test_a_broken_reply_that_go_left_valid_is_invalid_here(
    name: str, response: bytes, check: Check
) -> None:
    asked = name.startswith("flush")
    client = memcache.RawAsciiClient(Knowing(Recorded(response, 65536), asked))
    with pytest.raises(memcache.ReplyError):
        check(client)
    assert not client.is_valid, name
    with pytest.raises(memcache.ConnectionUnusableError):
        client.get("a")
