"""Requests in flight: what is written, who is answered, and how it ends, on both twins alike.

A machine of rules drives both twins in one process and compares all that they do: what they write,
whom they answer, what they say to their owner, and in which order. The tests below say what that
has to be.
"""

import asyncio
import contextvars
import importlib
import itertools
from collections.abc import Callable
from math import inf
from types import ModuleType
from typing import Any

import pytest
from conftest import twins
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from support import aio

pytestmark = pytest.mark.once

END = b"END\r\n"


@pytest.fixture(params=twins("pipeline"), ids=lambda twin: twin.__name__)
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    chosen: ModuleType = request.param
    return chosen


def wire_of(kernel: ModuleType) -> ModuleType:
    """Return the twin of the replies that a twin of the pipeline takes."""
    return importlib.import_module(kernel.__name__.replace("pipeline", "wire"))


class Loop:
    """A loop that keeps what is to be called until it is asked to turn."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def call_soon(self, call: Callable[..., Any], *given: Any, context: Any = None) -> None:
        name = getattr(call, "__name__", "wake").lstrip("_")
        self.log.append(("later", name, context is not None))
        self.calls.append((call, given))

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for call, given in calls:
            try:
                call(*given)
            except BaseException as error:
                self.log.append(("raised in the loop", type(error), str(error)))


class Taker:
    """What a reply is for: it notes that it is over, and then does what it is to do."""

    def __init__(self, world: "World", name: str, then: str) -> None:
        self.world, self.name, self.then = world, name, then

    def over(self, failure: Exception | None) -> None:
        self.world.log.append(("over", self.name, failure))
        if self.then == "put":
            self.world.put(f"{self.name}+", "lines", [b"ask next\r\n"], inf, "")
        elif self.then == "get":
            self.world.get(f"{self.name}+", "next", b"", "")
        elif self.then == "end":
            self.world.end()
        elif self.then == "bad":
            raise ValueError("it does not fit")


class Other:
    """A reply that is no ``Reply``: so many bytes, whatever they are."""

    def __init__(self, needed: int) -> None:
        self.needed = needed
        self.size = 0

    @property
    def done(self) -> bool:
        return self.size >= self.needed

    def feed(self, data: Any) -> int:
        taken = min(len(data), self.needed - self.size)
        self.size += taken
        return taken


class World:
    """A pipeline of one twin, and all around it, which notes what it does."""

    def __init__(
        self, kernel: ModuleType, limit: float | None, most: int, most_bytes: int, size: int
    ) -> None:
        self.kernel = kernel
        self.wire = wire_of(kernel)
        self.log: list[Any] = []
        self.now = 100.0
        self.loop = Loop(self.log)
        self.room = kernel.Room(self.loop, KeyError, size)
        self.options = (limit, most, most_bytes)
        self.writing = ""  # what the next write does
        self.waits: dict[str, Any] = {}
        self.line: list[Any] = []  # gets that were not sent
        self.sent = b""  # that the server has not looked at
        self.joins = True
        self.open()

    def open(self) -> None:
        self.pipeline = self.kernel.Pipeline(self.room, lambda: self.now)
        self.pipeline.open(self, self.write, self.writelines, self.enter, *self.options)
        self.pipeline.has_line = bool(self.line)
        self.pipeline.joins = self.joins

    # Its owner, and its transport

    def failed(self, error: Exception) -> None:
        self.log.append(("failed", type(error), str(error)))
        self.end()

    def arm(self, moment: float) -> None:
        self.log.append(("arm", moment))

    def drain(self) -> None:
        self.log.append(("drain", len(self.line)))
        while self.line:
            if not self.pipeline.put_get(self.line[0]):
                return
            self.line.pop(0)
        self.pipeline.has_line = False

    def enter(self) -> None:
        self.log.append(("enter",))

    def unjoin(self) -> None:
        self.log.append(("unjoin",))
        self.joins = False
        self.end()

    def repeat(self, gets: list[Any]) -> None:
        self.log.append(("repeat", [get.key for get in gets]))
        for get in gets:
            assert self.pipeline.put_get(get)

    def write(self, data: bytes) -> None:
        self._write("write", type(data), data)

    def writelines(self, buffers: list[bytes]) -> None:
        self._write("writelines", {*map(type, buffers)}, b"".join(buffers))

    def _write(self, *what: Any) -> None:
        then, self.writing = self.writing, ""
        self.log.append((*what, then))
        self.sent += what[-1]
        if then == "pause":
            self.pipeline.pause()
        elif then == "fail":
            raise ConnectionResetError("gone")

    # What is done with it

    def get(self, name: str, key: Any, prefix: bytes, waits: str) -> bool:
        limit = inf if self.options[0] is None else self.options[0]
        wait = self.pipeline.get(key, prefix, name, limit)
        self.log.append(("get", name, wait is not None))
        if wait is not None:
            self.waits[name] = wait
            if waits == "waits":
                next(wait)
                wait.add_done_callback(lambda done: self._woken(name, done))
            elif waits == "waits in a context":
                context = contextvars.copy_context()
                wait.add_done_callback(lambda done: self._woken(name, done), context=context)
        return wait is not None

    def _woken(self, name: str, wait: Any) -> None:
        self.log.append(("woken", name, self.shown(wait)))
        if name.endswith("1"):  # it goes on at once
            self.get(f"{name}'", "again", b"", "waits")
        elif name.endswith("2"):
            raise RuntimeError("another task is being run")
        elif name.endswith("3"):
            raise KeyboardInterrupt("stop")

    def put(self, name: str, kind: str, request: list[Any], deadline: float, then: str) -> None:
        codes = self.wire.codes
        reply: Any = Other(7)
        if kind == "lines":
            reply = self.wire.Reply(codes.LINES, 1, codes.WORDS["OK"] | codes.WORDS["STORED"])
        elif kind == "values":
            reply = self.wire.Reply(codes.VALUES, 3)
        self.pipeline.put(request, Taker(self, name, then), reply, deadline)

    def end(self) -> None:
        sent, unsent = self.pipeline.end()
        self.log.append(("ended", self.named(sent), self.named(unsent)))
        self.line += [each for each in unsent if not isinstance(each, Taker)]

    def late(self, now: float) -> None:
        late, *moments = self.pipeline.take_late(now)
        self.log.append(("late", self.named(late), moments))

    def named(self, takers: list[Any]) -> list[Any]:
        """Return what tells takers apart, of both twins alike."""
        return [
            each.name
            if isinstance(each, Taker)
            else (each.context, each.key, each.prefix, each.deadline, self.shown(each.wait))
            for each in takers
        ]

    def shown(self, wait: Any) -> Any:
        try:
            return wait.done(), wait.result(), wait.value
        except Exception as error:
            return wait.done(), type(error), str(error)

    def state(self) -> tuple[Any, ...]:
        pipeline = self.pipeline
        flags = pipeline.is_open, pipeline.is_paused, pipeline.is_full, pipeline.has_line
        numbers = len(pipeline), pipeline.size, pipeline.heard, pipeline.received
        return (*flags, *numbers, {name: self.shown(wait) for name, wait in self.waits.items()})

    def feed(self, data: bytes) -> None:
        view = self.pipeline.get_buffer(-1)
        view[: len(data)] = data
        try:
            self.pipeline.buffer_updated(len(data))
        except BaseException as error:
            self.log.append(("raised", type(error), str(error)))


KEYS = st.sampled_from(["a", b"a", "é", "k" * 40, "", "a b", "x" * 251, 5, "\udc80", b"\x7f"])
PREFIXES = st.sampled_from([b"", b"p:"])
WAITING = st.sampled_from(["", "waits", "waits", "waits in a context"])
REPLIES = st.sampled_from(
    [
        END,
        END,
        b"VALUE %s 0 3\r\nabc\r\n" + END,
        b"VALUE %s 5 0\r\n\r\n" + END,
        b"VALUE %s 4 20000\r\n" + b"x" * 20000 + b"\r\n" + END,
        b"SERVER_ERROR no\r\n",
        b"VALUE b 0 1\r\nx\r\n" + END,
        b"VALUE %s 0 1\r\nx\r\nVALUE %s 0 1\r\nx\r\n" + END,
    ]
)
PIECES = st.lists(st.sampled_from([b"", b"y" * 100, b"z" * 20_000, bytearray(b"ba")]), max_size=3)
KINDS = {
    "lines": [b"OK\r\n", b"STORED\r\n", b"SERVER_ERROR no\r\n", b"NOT_STORED\r\n", b"HUH\r\n"],
    "values": [END, b"VALUE a 1 2 9\r\nhi\r\nVALUE b 0 0 8\r\n\r\n" + END],
    "other": [b"1234567"],
}
GARBAGE = st.sampled_from([b"\r\n", END, b"ERROR\r\n", b"\0", b"VALUE a 0 1\r\nxyz\r\n"])


class Twins(RuleBasedStateMachine):
    """Both twins, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.worlds: list[World] = []
        self.names = map(str, itertools.count())
        self.replies = b""  # that the server still has to send
        self.answers: dict[bytes, bytes] = {}  # to requests other than gets
        self.values: dict[bytes, bytes] = {}  # of keys, as lines

    @initialize(
        limit=st.sampled_from([None, 1.0, 5.0]),
        most=st.sampled_from([1, 3, 4096]),
        most_bytes=st.sampled_from([1, 50, 1 << 24]),
        size=st.sampled_from([16, 1 << 15]),
    )
    def begin(self, limit: float | None, most: int, most_bytes: int, size: int) -> None:
        self.worlds = [World(twin, limit, most, most_bytes, size) for twin in twins("pipeline")]

    @rule(key=KEYS, prefix=PREFIXES, waits=WAITING, reply=REPLIES)
    def get(self, key: Any, prefix: bytes, waits: str, reply: bytes) -> None:
        name = next(self.names)
        if {world.get(name, key, prefix, waits) for world in self.worlds} == {True}:
            wire = prefix + (key.encode() if isinstance(key, str) else key)
            self.values[wire] = reply.removesuffix(END).replace(b"%s", wire)

    @rule(data=st.data(), request=PIECES, seconds=st.sampled_from([0.5, 2.0, inf]))
    def put(self, data: st.DataObject, request: list[Any], seconds: float) -> None:
        name, kind = next(self.names), data.draw(st.sampled_from(sorted(KINDS)))
        then = data.draw(st.sampled_from(["", "", "put", "get", "end", "bad"]))
        reply = data.draw(st.sampled_from(KINDS[kind]))
        if not self.worlds[0].pipeline.is_open:
            return  # which nobody does
        self.answers[b"ask " + name.encode()] = reply
        request = [*request, b"ask %b\r\n" % name.encode()]
        for world in self.worlds:
            world.put(name, kind, request, world.now + seconds, then)

    def serve(self) -> None:
        """Let the server answer what it was sent."""
        *lines, rest = self.worlds[0].sent.split(b"\r\n")
        for world in self.worlds:
            world.sent = rest
        for line in lines:
            if line.startswith(b"get "):
                values = [self.values.get(key, b"") for key in line[4:].split(b" ")]
                refusals = [value for value in values if value.startswith(b"SERVER_ERROR")]
                self.replies += refusals[0] if refusals else b"".join(values) + END
            else:
                ask = line[line.index(b"ask ") :]
                self.replies += self.answers.get(ask, b"OK\r\n")

    @rule(count=st.integers(1, 60) | st.integers(1, 40_000))
    def feed(self, count: int) -> None:
        self.serve()
        data, self.replies = self.replies[:count], self.replies[count:]
        self.receive(data)

    @rule(data=GARBAGE)
    def feed_garbage(self, data: bytes) -> None:
        self.receive(data)

    def receive(self, data: bytes) -> None:
        while data:  # in pieces of one size, as each twin lends a buffer of its own
            rooms = [len(world.pipeline.get_buffer(-1)) for world in self.worlds]
            size = min(len(data), *rooms)
            for world in self.worlds:
                world.feed(data[:size])
            data = data[size:]

    @rule()
    def turn(self) -> None:
        for world in self.worlds:
            world.loop.turn()

    @rule(then=st.sampled_from(["pause", "fail", ""]))
    def next_write(self, then: str) -> None:
        for world in self.worlds:
            world.writing = then

    @rule()
    def pause(self) -> None:
        for world in self.worlds:
            world.pipeline.pause()

    @rule()
    def resume(self) -> None:
        for world in self.worlds:
            if world.pipeline.is_open:
                world.pipeline.resume()

    @rule(seconds=st.sampled_from([0.0, 0.25, 1.0]))
    def wait(self, seconds: float) -> None:
        for world in self.worlds:
            world.now += seconds
            world.late(world.now)

    @rule(which=st.integers(0, 20))
    def cancel(self, which: int) -> None:
        for world in self.worlds:
            waits = list(world.waits.values())
            if waits:
                world.log.append(waits[which % len(waits)].cancel("enough"))

    @precondition(lambda self: self.worlds[0].pipeline.is_open)
    @rule()
    def end(self) -> None:
        for world in self.worlds:
            world.end()

    @precondition(lambda self: not self.worlds[0].pipeline.is_open)
    @rule()
    def reopen(self) -> None:
        self.replies = b""
        for world in self.worlds:
            world.sent = b""
            world.open()
            world.drain()

    @rule()
    def queue(self) -> None:
        for world in self.worlds:
            world.pipeline.has_line = True

    @invariant()
    def twins_agree(self) -> None:
        first = self.worlds[0] if self.worlds else None
        for world in self.worlds[1:]:
            assert first is not None
            assert world.log == first.log
            assert world.state() == first.state()
        for world in self.worlds:
            world.log.clear()


Twins.TestCase.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)
test_the_twins_do_the_same = Twins.TestCase


# What that has to be


def opened(kernel: ModuleType, most: int = 4096, most_bytes: int = 1 << 24) -> World:
    return World(kernel, 5.0, most, most_bytes, 1 << 15)


def written(world: World) -> list[bytes]:
    """Return what was written since the last call."""
    found = [entry[2] for entry in world.log if entry[0] in ("write", "writelines")]
    world.log.clear()
    return found


def test_a_lone_request_is_written_at_once_and_the_rest_is_joined(kernel: ModuleType) -> None:
    world = opened(kernel)
    for name in "abc":
        assert world.get(name, name, b"p:", "waits")
    assert written(world) == [b"get p:a\r\n"]
    world.loop.turn()
    assert written(world) == [b"get p:b p:c\r\n"]
    world.feed(b"VALUE p:a 0 1\r\n1\r\nEND\r\nVALUE p:c 0 1\r\n3\r\nEND\r\n")
    assert [world.waits[name].value for name in "abc"] == [b"1", None, b"3"]
    woken = [entry[1] for entry in world.log if entry[0] == "woken"]
    assert woken == ["a", "b", "c"]  # by the pipeline itself, in their order
    assert world.loop.calls == []


def test_gets_that_are_joined_are_each_answered_by_name(kernel: ModuleType) -> None:
    world = opened(kernel)
    for name in ("x", "a", "b", "a", "c"):
        assert world.get(f"{name}{len(world.waits)}", name, b"", "")
    world.loop.turn()
    assert written(world) == [b"get x\r\n", b"get a b a c\r\n"]
    reply = b"END\r\nVALUE c 0 1\r\n3\r\nVALUE a 0 1\r\n1\r\nEND\r\n"  # merged, out of order
    for at in range(len(reply)):
        world.feed(reply[at : at + 1])
    values = [wait.value for wait in world.waits.values()]
    assert values == [None, b"1", None, b"1", b"3"]


def test_a_refusal_of_joined_gets_is_no_answer_to_any(kernel: ModuleType) -> None:
    world = opened(kernel)
    for name in "xab":
        assert world.get(name, name, b"", "")
    world.loop.turn()
    world.log.clear()
    world.feed(b"END\r\nSERVER_ERROR no\r\n")
    assert [entry[0] for entry in world.log] == ["unjoin", "ended"]
    assert [name for name, *_ in world.log[1][1]] == ["a", "b"]
    assert [wait.done() for wait in world.waits.values()] == [True, False, False]


DEAD = b"SERVER_ERROR backend failure\r\n"


@pytest.mark.parametrize(
    ("reply", "values"),
    [
        (DEAD * 3 + b"END\r\n", ["dead"] * 3),
        (b"VALUE a 0 1\r\n1\r\n" + DEAD * 2 + b"END\r\n", [b"1", "dead", "dead"]),
        (DEAD + b"VALUE b 0 1\r\n2\r\nEND\r\n", ["dead", b"2", None]),
        (DEAD + b"VALUE b 0 1\r\n2\r\n" + DEAD + b"END\r\n", ["dead", b"2", "dead"]),
        (b"VALUE b 0 1\r\n2\r\nSERVER_ERROR no\r\nEND\r\n", [None, b"2", "no"]),
    ],
)
def test_a_proxys_errors_of_joined_gets_are_for_their_keys(
    kernel: ModuleType, reply: bytes, values: list[Any]
) -> None:
    for pieces in ([reply], [reply[at : at + 1] for at in range(len(reply))]):
        world = opened(kernel)
        for name in "xabc":
            assert world.get(name, name, b"", "")
        world.loop.turn()
        for piece in [b"END\r\n", *pieces]:
            world.feed(piece)
        assert len(world.pipeline) == 0
        assert world.pipeline.is_open
        words = {"dead": (0x84, DEAD[:-2], 0, 0), "no": (0x84, b"SERVER_ERROR no", 0, 0)}
        found = [world.waits[name].value for name in "abc"]
        assert found == [words.get(value, value) for value in values]


def test_keys_of_which_a_proxy_does_not_say_which_failed_are_asked_for_again(
    kernel: ModuleType,
) -> None:
    world = opened(kernel)
    for name in "xabc":
        assert world.get(name, name, b"", "")
    world.loop.turn()
    world.feed(b"END\r\n" + DEAD + b"VALUE c 0 1\r\n3\r\nEND\r\n")
    assert ("repeat", ["a", "b"]) in world.log
    world.loop.turn()
    assert b"".join(written(world)).endswith(b"get a b c\r\nget a\r\nget b\r\n")
    world.feed(DEAD + b"END\r\n")
    values = [world.waits[name].value for name in "abc"]
    assert values == [(0x84, DEAD[:-2], 0, 0), None, b"3"]


def test_more_errors_than_keys_end_all(kernel: ModuleType) -> None:
    world = opened(kernel)
    for name in "xab":
        assert world.get(name, name, b"", "")
    world.loop.turn()
    world.log.clear()
    world.feed(b"END\r\nVALUE a 0 1\r\n1\r\n" + DEAD * 2)
    assert world.log[0][:2] == ("failed", ValueError)
    assert not world.waits["a"].done()


def test_a_key_of_another_get_ends_all(kernel: ModuleType) -> None:
    world = opened(kernel)
    for name in "ab":
        world.get(name, name, b"", "")
    world.loop.turn()
    world.log.clear()
    world.feed(b"VALUE b 0 1\r\n2\r\nEND\r\n")
    words = "the reply names a key that was not asked for: b'b'"
    assert world.log[0] == ("failed", ValueError, words)
    assert [name for name, *_ in world.log[1][1]] == ["a", "b"]
    assert not any(wait.done() for wait in world.waits.values())


def test_what_was_not_sent_may_go_over_another(kernel: ModuleType) -> None:
    world = opened(kernel)
    for name in "abc":
        world.get(name, name, b"", "waits")
    world.end()
    sent, unsent = world.log[-1][1:]
    assert [each[0] for each in sent] == ["a"]
    assert [each[0] for each in unsent] == ["b", "c"]
    world.log.clear()
    world.open()
    world.drain()
    world.loop.turn()
    assert written(world) == [b"get b\r\n", b"get c\r\n"]
    world.feed(b"END\r\nVALUE c 0 1\r\n3\r\nEND\r\n")
    assert [world.waits[name].done() for name in "abc"] == [False, True, True]
    assert world.waits["c"].value == b"3"


def test_the_room_in_flight_is_bounded_by_count_and_by_bytes(kernel: ModuleType) -> None:
    world = opened(kernel, most=2)
    assert [world.get(name, name, b"", "") for name in "abc"] == [True, True, False]
    world = opened(kernel, most_bytes=10)
    assert world.get("long", "x" * 50, b"", "")  # alone it may be longer
    assert not world.get("a", "a", b"", "")
    world.feed(END)
    assert world.get("a", "a", b"", "")


def test_a_write_that_fails_when_it_goes_on_ends_it(kernel: ModuleType) -> None:
    world = opened(kernel)
    world.pipeline.pause()
    world.put("a", "lines", [b"ask\r\n"], inf, "")
    world.pipeline.has_line = True
    world.writing = "fail"
    world.pipeline.resume()
    words = "the connection was given up: gone"
    assert ("failed", ConnectionAbortedError, words) in world.log
    assert ("drain", 0) not in world.log
    assert not world.pipeline.is_open


def test_a_request_is_whole_when_its_owner_fails_to_arm(kernel: ModuleType) -> None:
    """As by a KeyboardInterrupt in the loop's ``call_later``."""
    world = opened(kernel)

    def arm(moment: float) -> None:
        raise KeyboardInterrupt

    world.arm = arm  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        world.get("a", "a", b"", "")
    with pytest.raises(KeyboardInterrupt):
        world.put("b", "lines", [b"ask\r\n"], 1.0, "")
    del world.arm
    assert len(world.pipeline) == 2
    world.pipeline.uncork()
    assert written(world) == [b"get a\r\nask\r\n"]
    world.feed(b"END\r\nOK\r\n")
    assert world.log == [("over", "b", None)]


@pytest.mark.parametrize("count", [-1, (1 << 15) + 1, 1 << 20])
def test_more_than_was_lent_cannot_have_been_received(kernel: ModuleType, count: int) -> None:
    world = opened(kernel)
    world.get("a", "a", b"", "")
    with pytest.raises(ValueError, match=rf"count must be in \[0, 32768\], got {count}"):
        world.pipeline.buffer_updated(count)
    assert not world.waits["a"].done()


def test_a_large_value_is_received_whole_and_nothing_behind_it_is_lost(kernel: ModuleType) -> None:
    world = opened(kernel)
    value = bytes(range(256)) * 4000
    reply = b"VALUE a 0 %d\r\n%b\r\nEND\r\nVALUE b 0 1\r\n2\r\nEND\r\n" % (len(value), value)
    for step in (1000, 32_768, 70_001):
        for name in "ab":
            world.get(name, name, b"", "")
        world.loop.turn()
        data = reply
        while data:
            size = min(step, len(world.pipeline.get_buffer(-1)))
            world.feed(data[:size])
            data = data[size:]
        assert world.waits["a"].value == value
        assert world.waits["b"].value == b"2"


def test_bytes_that_nobody_asked_for_are_refused(kernel: ModuleType) -> None:
    world = opened(kernel)
    world.feed(b"END\r\n")
    words = "there are bytes after the end of the reply: b'END\\r\\n' at byte 0 of the reply"
    assert ("failed", ValueError, words) in world.log
    early = kernel.Pipeline(world.room, lambda: 1.0)
    early.get_buffer(-1)[:2] = b"hi"
    early.buffer_updated(2)  # before it is opened
    world.log.clear()
    world.pipeline = early
    early.open(world, world.write, world.writelines, world.enter, 1.0, 1, 1)
    assert world.log[0][:2] == ("failed", ValueError)
    assert not early.is_open


def test_what_is_made_of_what(kernel: ModuleType) -> None:
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"size must be at least 1 byte, got {size}"):
            kernel.Room(Loop([]), KeyError, size)
    assert kernel.Room(Loop([]), KeyError, 7).size == 7
    with pytest.raises(TypeError, match="a Wait is made by a Room"):
        kernel.Wait()
    with pytest.raises(TypeError):
        kernel.Get()


# A Wait, as tasks see it


def in_loop(kernel: ModuleType, use: Callable[[Any], Any], loop: str) -> None:
    async def begin() -> None:
        await use(kernel.Room(asyncio.get_running_loop(), asyncio.CancelledError))

    aio.run(begin(), loop)


@pytest.mark.parametrize("loop", aio.LOOPS)
def test_a_task_waits_until_it_is_filled_or_failed(kernel: ModuleType, loop: str) -> None:
    async def use(room: Any) -> None:
        async def value_of(wait: Any) -> Any:
            await wait
            return wait.value

        waits = [room.wait() for _ in range(4)]
        assert waits[0].fill(0)  # before it is awaited
        tasks = [asyncio.create_task(value_of(wait)) for wait in waits]
        await aio.turns(2)
        assert waits[1].fill(1)
        assert not waits[1].fill(2)
        assert waits[2].fail(ZeroDivisionError("no"))
        assert not waits[2].cancel()
        assert tasks[3].cancel("enough")
        assert [await tasks[0], await tasks[1]] == [0, 1]
        with pytest.raises(ZeroDivisionError, match="no"):
            await tasks[2]
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await tasks[3]
        assert not waits[3].fill(3)  # its caller is gone
        late = room.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await late
        assert late.done()

    in_loop(kernel, use, loop)


@pytest.mark.parametrize("loop", aio.LOOPS)
def test_a_task_that_is_cancelled_with_its_reply_is_cancelled(
    kernel: ModuleType, loop: str
) -> None:
    async def use(room: Any) -> None:
        async def wait_for(wait: Any) -> None:
            await wait

        wait = room.wait()
        task = asyncio.create_task(wait_for(wait))
        await aio.turns(1)
        assert wait.fill(b"1")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_loop(kernel, use, loop)


@pytest.mark.parametrize("loop", aio.LOOPS)
def test_tasks_that_are_woken_have_their_own_context(kernel: ModuleType, loop: str) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    async def use(room: Any) -> None:
        pipeline = kernel.Pipeline(room, lambda: 1.0)
        world = opened(kernel)
        nothing: Callable[..., None] = lambda *_: None  # noqa: E731
        pipeline.open(world, nothing, nothing, nothing, 5.0, 100, 1 << 20)
        seen: list[Any] = []

        async def ask(name: str) -> None:
            variable.set(name)
            wait = pipeline.get(name, b"", None, 5.0)
            await wait
            task = asyncio.current_task()
            assert task is not None
            seen.append((name, variable.get(), task.get_name(), wait.value))

        variable.set("mine")
        tasks = [asyncio.create_task(ask(name), name=name) for name in "abc"]
        await aio.turns(3)
        reply = b"VALUE a 0 1\r\n1\r\nEND\r\nVALUE b 0 1\r\n1\r\nVALUE c 0 1\r\n1\r\nEND\r\n"
        pipeline.get_buffer(-1)[: len(reply)] = reply
        pipeline.buffer_updated(len(reply))  # by a task, while it runs: they are woken later
        assert variable.get() == "mine"
        await asyncio.gather(*tasks)
        assert seen == [(name, name, name, b"1") for name in "abc"]
        assert world.log == [("arm", 6.0)]

    in_loop(kernel, use, loop)
