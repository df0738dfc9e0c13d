"""Scripted servers that misbehave, and what a client makes of them, on every road there is.

A case is JSON: what is asked, and what the first of two servers does to its reply. ``play`` returns
what came of it in a form that can be compared: results, exceptions, and the connections' states
afterwards. As a program it reads cases from standard input, for a process that has the other
implementation.
"""

import json
import random
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from godropbox.memcache import (
    AsciiProtocol,
    BinaryProtocol,
    Client,
    Connection,
    Item,
    MetaProtocol,
    ShardedClient,
    ShardOptions,
    StaticShardManager,
)

from .knowing import answer_to_probe

__all__ = ["KEYS", "ROADS", "Case", "a_case", "cases", "neutral", "play"]

Case = dict[str, Any]
ROADS = ("warm", "cold", "channel")
"""Over an idle connection, over a new one, and over one that has only a channel's methods."""

PROTOCOLS = {"ascii": AsciiProtocol, "binary": BinaryProtocol, "meta": MetaProtocol}
HEADER = struct.Struct(">BBHBBHIIQ")


def shard_of(key: Any, shards: int) -> int:
    """Return the shard of a key: its last digit says it."""
    return int(key[-1]) % shards


class Channel(socket.socket):
    """A socket that no kernel takes for a plain one."""

    def recv_into(self, *args: Any) -> int:
        return super().recv_into(*args)


# Servers


def value_of(key: bytes) -> tuple[bytes, int] | None:
    """Return what a server holds for a key: a value and flags, or nothing."""
    if key.startswith(b"absent"):
        return None
    if key.startswith(b"text"):
        return b"text of " + key, 16
    return (b"", 0) if key.startswith(b"empty") else (b"<%b>" % key, 0)


class Request:
    """The bytes of one request as they come in."""

    def __init__(self) -> None:
        self.data = b""

    def is_done(self, stores: int) -> bool:
        """Tell whether it is complete; so many stores are one request."""
        data = self.data
        if answer_to_probe(data) is not None:
            return True
        if data[:1] == b"\x80":
            packets = list(self.packets())
            if not packets or sum(24 + len(each[2]) for each in packets) != len(data):
                return False
            return packets[-1][0] == 0x0A or packets[0][0] == 0 or len(packets) == stores
        if not data:
            return False
        if data.startswith((b"set ", b"ms ")):
            return sum(1 for _ in self.stored()) == stores
        if data.startswith(b"mg ") and b" q\r\n" in data:
            return data.endswith(b"mn\r\n")
        return data.endswith(b"\r\n")

    def packets(self) -> Iterator[tuple[int, int, bytes, bytes]]:
        """Give opcode, opaque, body and key of each packet that is complete."""
        at = 0
        while len(self.data) - at >= 24:
            _, opcode, key_size, extras, _, _, size, opaque, _ = HEADER.unpack_from(self.data, at)
            body = self.data[at + 24 : at + 24 + size]
            if len(body) < size:
                return
            yield opcode, opaque, body, body[extras : extras + key_size]
            at += 24 + size

    def stored(self) -> Iterator[list[bytes]]:
        """Give the words of each store that is complete."""
        at = 0
        while (end := self.data.find(b"\r\n", at)) >= 0:
            words = self.data[at:end].split(b" ")
            at = end + 2 + int(words[4] if words[0] == b"set" else words[2]) + 2
            if at > len(self.data):
                return
            yield words

    def blocks(self, merges: bool) -> list[bytes]:
        """Return the frames of a right answer; one that `merges` answers a repeated key once."""
        if self.data[:1] == b"\x80":
            return list(self.binary_blocks())
        if self.data.startswith(b"set "):
            return [b"STORED\r\n" for _ in self.stored()]
        if self.data.startswith(b"ms "):
            return [b"HD c5 %b\r\n" % words[-1] for words in self.stored()]
        if self.data.startswith(b"mg "):
            return list(self.meta_blocks())
        verb, *keys = self.data[:-2].split(b" ")
        frames = []
        for key in dict.fromkeys(keys) if merges else keys:
            held = value_of(key)
            if held is not None:
                frames.append(block(key, *held, verb == b"gets"))
        return [*frames, b"END\r\n"]

    def meta_blocks(self) -> Iterator[bytes]:
        for line in self.data.split(b"\r\n")[:-1]:
            if line == b"mn":
                yield b"MN\r\n"
                continue
            key = line.split(b" ")[1]
            (opaque,) = [word for word in line.split(b" ")[2:] if word.startswith(b"O")]
            held = value_of(key)
            if held is not None:
                yield b"VA %d f%d c7 k%b %b\r\n%b\r\n" % (
                    len(held[0]),
                    held[1],
                    key,
                    opaque,
                    held[0],
                )
            elif not line.endswith(b" q"):
                yield b"EN\r\n"

    def binary_blocks(self) -> Iterator[bytes]:
        for opcode, opaque, _, key in self.packets():
            held = value_of(key) if opcode in (0x00, 0x0D) else None
            if held is not None:
                named = key if opcode == 0x0D else b""
                body = struct.pack(">I", held[1]) + named + held[0]
                head = (0x81, opcode, len(named), 4, 0, 0, len(body), opaque, 7)
            elif opcode == 0x0D:
                continue
            else:
                body = b""
                head = (0x81, opcode, 0, 0, 0, int(opcode == 0), 0, opaque, 0)
            yield HEADER.pack(*head) + body


def block(key: bytes, value: bytes, flags: int, with_token: bool) -> bytes:
    token = b" 7" if with_token else b""
    return b"VALUE %b %d %d%b\r\n%b\r\n" % (key, flags, len(value), token, value)


def spoilt(frames: list[bytes], mishaps: list[Any], with_token: bool) -> bytes:
    """Return a reply after what happened to it, the last frame being what ends it."""
    last = [frames.pop()] if frames and not frames[-1].startswith((b"VALUE", b"STORED")) else []
    for what, at in mishaps:
        place = at % (len(frames) + 1)
        if what == "reversed":
            frames.reverse()
        elif what == "shuffled":
            random.Random(at).shuffle(frames)
        elif what == "error":
            frames.insert(place, b"SERVER_ERROR backend failure\r\n")
        elif what == "error in place":
            frames[place : place + 1] = [b"SERVER_ERROR backend failure\r\n"]
        elif what == "refused":
            frames, last = [b"SERVER_ERROR out of memory\r\n"], []
        elif what == "client error":
            frames.insert(place, b"CLIENT_ERROR bad data chunk\r\n")
        elif what == "unasked":
            frames.insert(place, block(b"unasked0", b"1", 0, with_token))
        elif what == "another server's":
            frames.insert(place, block(b"key1", b"<key1>", 0, with_token))
        elif what == "rubbish":
            frames.insert(place, b"\0huh\r\n")
        elif what == "not stored":
            frames[place : place + 1] = [b"NOT_STORED\r\n"]
        elif what == "leftover":
            last.append(b"END\r\n")
        elif frames and what == "repeated":
            frames.insert(place, frames[place % len(frames)])
        elif frames and what == "left out":
            del frames[place % len(frames)]
        elif frames and what == "renamed":
            spot = place % len(frames)
            frames[spot] = frames[spot].replace(b"0", b"9", 1)
    whole = frames + last
    for what, at in mishaps:
        if what == "cut" and whole:
            whole = whole[: at % len(whole) + 1]
            whole[-1] = whole[-1][: len(whole[-1]) // 2]
    return b"".join(whole)


class Server:
    """One server: behind each connection to it a thread answers."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.stores = 0  # how many stores are one request
        self.mishaps: list[Any] | None = None  # what happens to the next reply
        self.closes = False
        self.closed = threading.Event()
        self.pairs: list[tuple[socket.socket, threading.Thread]] = []

    def open(self, plain: bool) -> Connection:
        near, far = socket.socketpair()
        thread = threading.Thread(target=self.serve, args=(far,), daemon=True)
        thread.start()
        self.pairs.append((far, thread))
        if not plain:
            near = Channel(near.family, near.type, near.proto, near.detach())
        return Connection(near, self.case["timeout"])

    def serve(self, far: socket.socket) -> None:
        with far:
            while True:
                request = Request()
                while not request.is_done(self.stores):
                    try:
                        data = far.recv(1 << 16)
                    except OSError:
                        return
                    if not data:
                        return
                    request.data += data
                known = answer_to_probe(request.data)
                if known is not None:
                    far.sendall(known)
                    continue
                frames = request.blocks(self.case["merges"])
                mishaps, self.mishaps = self.mishaps, None
                if mishaps is None:
                    reply = b"".join(frames)
                else:
                    reply = spoilt(frames, mishaps, request.data.startswith(b"gets "))
                try:
                    far.sendall(reply)
                except OSError:
                    return
                if mishaps is not None and self.closes:
                    far.close()
                    self.closed.set()
                    return

    def close(self) -> None:
        for _, thread in self.pairs:
            thread.join(10.0)


# The client


def told(error: BaseException | None) -> Any:
    return None if error is None else [type(error).__name__, str(error)]


def shown(response: Any) -> Any:
    fields = [response.key, int(response.status), told(response.error), response.skipped]
    if hasattr(response, "value"):
        value = response.value
        fields += [None if value is None else value.decode(), response.flags]
    return fields


def run(call: Callable[[], Any]) -> Any:
    try:
        answer = call()
    except Exception as error:
        found = getattr(error, "found", None)
        errors = getattr(error, "errors", None)
        return [
            "raised",
            told(error),
            None if found is None else as_text(found),
            None if errors is None else {key: told(each) for key, each in errors.items()},
        ]
    if isinstance(answer, dict):
        if answer and hasattr(next(iter(answer.values())), "status"):
            return {key: shown(each) for key, each in answer.items()}
        return as_text(answer)
    if isinstance(answer, list):
        errors = getattr(answer, "errors", None)
        if errors is not None:
            return [list(answer), {key: told(each) for key, each in errors.items()}]
        return [shown(each) for each in answer]
    if hasattr(answer, "status"):
        return shown(answer)
    return answer.decode() if isinstance(answer, bytes) else answer


def as_text(values: dict[str, Any]) -> Any:
    return [[key, v.decode() if isinstance(v, bytes) else v] for key, v in values.items()]


def play(case: Case, road: str, hooks: bool, placed_by: Any = shard_of) -> Any:
    """Return what comes of a case on one road, with hooks that do nothing or with none."""
    servers = {f"10.0.0.{i}:11211": Server(case) for i in range(2)}
    options = ShardOptions(open=lambda address: servers[address].open(road != "channel"))
    protocol = PROTOCOLS[case["protocol"]]()
    events: list[Any] = []
    told_of: dict[str, Any] = {"hooks": (events.append,)} if hooks else {}
    with StaticShardManager(list(servers), placed_by, options) as manager:
        timeout = case["timeout"]
        client = Client(manager, protocol=case["protocol"], timeout=timeout, **told_of)
        sharded = ShardedClient(manager, protocol, timeout)
        keys = case["keys"]
        calls: dict[str, Callable[[], Any]] = {
            "get": lambda: client.get(keys[0]),
            "get_many": lambda: client.get_many(keys),
            "get_multi": lambda: sharded.get_multi(keys),
            "get_values": lambda: next(map(dict, sharded.get_values(keys))),
            "set_many": lambda: client.set_many({key: key.encode() for key in keys}),
            "set_multi": lambda: sharded.set_multi([Item(key, key.encode()) for key in keys]),
        }
        pools = [shard.pool for shard in manager.fleet().shards]
        stores = case["call"].startswith("set")
        if road == "warm":
            client.get_many(["key0", "key1"])
            if stores:
                for server in servers.values():
                    server.stores = 1
                for key in ("key0", "key1"):
                    client.set_many({key: b""})  # so that the servers are known
        for shard, server in enumerate(servers.values()):
            stored = keys if stores else []
            server.stores = sum(shard_of(key, 2) == shard for key in stored)
        first = next(iter(servers.values()))
        first.mishaps, first.closes = case["mishaps"], case["closes"]
        outcome = run(calls[case["call"]])
        if len(set(keys)) < len(keys) and isinstance(outcome, list) and outcome[:1] != ["raised"]:
            outcome.sort()  # of a repeated key it is not told which place it has
        # A connection that is kept has to be in step: what comes next is right.
        # What comes next is not to race the closing of what was used.
        assert first.mishaps is not None or not first.closes or first.closed.wait(10.0)
        first.mishaps = None
        asked = {shard_of(key, 2) for key in (keys[:1] if case["call"] == "get" else keys)}
        states = [(pools[at].num_idle, pools[at].num_active) for at in sorted(asked)]
        after = run(lambda: client.get_many(["key0", "key1", "absent0", "text0"]))
        later = [(pool.num_idle, pool.num_active) for pool in pools]
    for server in servers.values():
        server.close()
    return json.loads(json.dumps([outcome, states, after, later]))


def neutral(outcome: Any) -> Any:
    """Return an outcome without the bytes of the reply that its words quote and count.

    Where values alone are wanted, the fast way asks for no tokens, and the reply has none.
    """
    if isinstance(outcome, str):
        return re.sub(r"b'[^']*' at byte [0-9]+|after [0-9]+ bytes", "...", outcome)
    if isinstance(outcome, dict):
        return {key: neutral(each) for key, each in outcome.items()}
    return [neutral(each) for each in outcome] if isinstance(outcome, list) else outcome


# Cases

MISHAPS = (
    *("reversed", "shuffled", "error", "error in place", "refused", "unasked", "rubbish"),
    *("another server's", "leftover", "repeated", "left out", "renamed", "cut"),
)
MORE = ("repeated", "unasked", "another server's")  # frames than there are keys
STORES = ("refused", "error", "error in place", "client error", "not stored", "rubbish", "cut")
KEYS = ("key0", "key2", "key4", "key6", "key1", "key3", "absent0", "absent1", "text0", "empty0")


def cases(count: int, seed: int) -> list[Case]:
    """Return so many cases, and before them one for each mishap alone."""
    given = random.Random(seed)
    made = []
    for call, mishaps in (
        *(("get_many", [[what, at]]) for what in MISHAPS for at in (0, 1, 2)),
        *(("get_multi", [[what, at]]) for what in MISHAPS for at in (0, 3)),
        *(("get", [[what, at]]) for what in MISHAPS for at in (0, 3)),
        *(("set_many", [[what, at]]) for what in STORES for at in (0, 2)),
    ):
        made.append(a_case(call, list(KEYS), mishaps))
    for _ in range(count):
        call = given.choice(["get_many", "get_many", "get_multi", "get", "set_many", "set_multi"])
        reads = call.startswith("get")
        mishaps = [
            [given.choice(MISHAPS if reads else STORES), given.randrange(400)]
            for _ in range(given.randrange(1, 4))
        ]
        keys = given.sample(KEYS, given.randrange(2, len(KEYS)))
        case = a_case(call, keys, mishaps)
        case["protocol"] = given.choice(["ascii", "meta", "binary"] if reads else ["ascii"])
        case["closes"] = case["closes"] or case["protocol"] != "ascii"
        if reads and call != "get" and given.random() < 0.4:
            # A key given twice is asked for once or twice, by the road: so it is merged.
            case["keys"] = keys + given.choices(keys, k=given.randrange(1, 4))
            case["merges"] = True
            case["mishaps"] = [each for each in mishaps if each[0] not in MORE]
        made.append(case)
    twice = ["key0", "text0", "key0", "absent0", "key1", "text0", "absent0", "key2"]
    made += [
        {**a_case(call, twice, mishaps), "merges": merges}
        for call in ("get_many", "get_multi", "get_values")
        for merges in (True, False)
        for mishaps in ([], [["reversed", 0]])
    ]
    silent = a_case("get_many", list(KEYS), [["cut", 2]])
    return [*made, {**silent, "closes": False, "timeout": 1.0}]


def a_case(call: str, keys: list[str], mishaps: list[Any]) -> Case:
    return {
        "call": call,
        "keys": keys,
        "mishaps": mishaps,
        "protocol": "ascii",
        "merges": False,
        # Or it would be waited for.
        "closes": any(
            what == "cut" or (what == "refused" and "set" in call) for what, _ in mishaps
        ),
        "timeout": 10.0,
    }


if __name__ == "__main__":
    for line in sys.stdin:
        outcomes = [
            play(json.loads(line), road, hooks) for road in ROADS for hooks in (False, True)
        ]
        print(json.dumps(outcomes), flush=True)
