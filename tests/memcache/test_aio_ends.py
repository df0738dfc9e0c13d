"""How requests end under asyncio: cancelled, late, or with their connection, and what comes next.

One caller, five, and 200 at once go through a proxy that does what a test tells it to. With
``GODROPBOX_STRICT=1`` a caller must have its answer 50 ms after its deadline at the latest;
otherwise so that a hang is told from a busy machine.
"""

import asyncio
import gc
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.aio import LOOPS, run, turns
from support.memcached import HAS_TOKENS, PASSWORD, USER, Server
from support.middle import Middle

from godropbox.memcache import (
    Client,
    ClientClosedError,
    ConnectionLostError,
    Credentials,
    DeadlineExceededError,
    NetworkError,
    NotSupportedError,
    PartialResultError,
    ReplyError,
)
from godropbox.memcache.aio import AsyncClient

from .conftest import tls_context

TIMEOUT = 0.3
PATIENT = 10.0  # the timeout where nobody is to be late, however busy the machine is
IS_STRICT = "GODROPBOX_STRICT" in os.environ  # for a machine that does nothing else
GRACE = 0.05 if IS_STRICT else 5.0
MANY = 200
BIG = b"x" * 300_000
PROTOCOLS = ("meta", "ascii", "binary")
CALLERS = ("a get", "a set", "five", "many")
KINDS = ("get", "set", "get_many", "gets" if HAS_TOKENS else "get")
LOST = (ConnectionLostError,)
LATE = (DeadlineExceededError,)
BROKEN = (ConnectionLostError, ReplyError)
# A server that ends the connection at a probe's question may do so for what it does not know.
UNKNOWN = (ConnectionLostError, NotSupportedError)


class BoomError(Exception):
    """What a task of a group fails with."""


@pytest.fixture(scope="module", autouse=True)
def quick_collections() -> Iterator[None]:
    """Let collections, of which every test makes some, look at what the tests make alone."""
    for each in LOOPS:  # uvloop's threads open files, once a process
        with suppress(OSError):
            run(_connect_to_nothing(), each)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def _connect_to_nothing() -> None:
    await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", 1)


@pytest.fixture(autouse=True)
def nothing_is_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """See that a test leaves no file open, and that nothing was logged."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before
    assert caplog.records == []


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def filled(servers: Callable[[str], Server]) -> str:
    """Return the address of a server that has a value for each caller's key."""
    address = servers("tcp").address
    with Client([address], timeout=10.0) as client:
        client.set_many({key_of(i): value_of(key_of(i)) for i in range(MANY + 2)})
    return address


def key_of(number: int) -> str:
    return f"ends-{number}"


def value_of(key: str) -> bytes:
    return f"<{key}>".encode() * 5


# Callers


async def ask(client: AsyncClient, number: int, kind: str = "") -> None:
    """Ask for something, and see that the answer is right."""
    key = key_of(number)
    kind = kind or KINDS[number % 4]
    if kind == "get":
        assert await client.get(key) == value_of(key)
    elif kind == "set":
        assert await client.set(f"{key}-set", value_of(key))
    elif kind == "get_many":
        keys = [key_of(number + i) for i in range(3)]
        assert await client.get_many([*keys, "ends-absent"]) == {k: value_of(k) for k in keys}
    elif kind == "gets":
        value, token = await client.gets(key)
        assert value == value_of(key)
        assert isinstance(token, int)
    else:
        assert await client.set(f"{key}-big", BIG)


def asked(client: AsyncClient, callers: str) -> list[Coroutine[Any, Any, None]]:
    """Return what so many callers ask."""
    if callers.startswith("a "):
        return [ask(client, 0, callers[2:])]
    if callers.startswith("big"):
        return [ask(client, i, "big") for i in range(int(callers[3:]))]
    return [ask(client, i) for i in range(5 if callers == "five" else MANY - 2)]


@dataclass
class Ended:
    """How a caller ended, and after how many seconds."""

    error: BaseException | None
    seconds: float


async def ended(what: Coroutine[Any, Any, None]) -> Ended:
    began = time.monotonic()
    error: BaseException | None = None
    try:
        await what
    except PartialResultError as caught:
        error = next(iter(caught.errors.values()))  # they are all of one server
    except BaseException as caught:
        error = caught
    return Ended(error, time.monotonic() - began)


async def all_ended(what: list[Coroutine[Any, Any, None]]) -> list[Ended]:
    return await asyncio.gather(*map(ended, what))


def check(
    ends: list[Ended],
    kinds: tuple[type[Exception], ...],
    sent: bool | None = None,
    some: bool = False,
) -> None:
    """See that all callers failed, in time, with one of these errors; or at least one did.

    `sent` is what they are told of whether the request may have been sent, None for either.
    """
    for each in ends:
        if each.error is None and some:
            continue
        assert isinstance(each.error, kinds), each
        assert each.seconds < TIMEOUT + GRACE
        assert "127.0.0.1:" in str(each.error)
        if isinstance(each.error, NetworkError):
            told = each.error.fields["sent"]
            assert isinstance(told, bool)
            assert sent is None or told is sent
    assert any(each.error is not None for each in ends)


# A client, and what stands between it and the server


@asynccontextmanager
async def between(
    address: str, protocol: Any, **options: Any
) -> AsyncIterator[tuple[Middle, AsyncClient]]:
    """Give a proxy and a client of it, which leaves no socket and no task behind.

    Callers are told of what happens to their connection: reads are not asked once more.
    """
    async with Middle(address) as middle:
        tasks = asyncio.all_tasks()
        options = {"timeout": PATIENT, "retry_reads": False, **options}
        options.setdefault("connect_timeout", options["timeout"])
        client = AsyncClient([middle.address], protocol=protocol, **options)
        try:
            yield middle, client
        finally:
            began = time.monotonic()
            await client.close()
            assert time.monotonic() - began < TIMEOUT + GRACE
            assert middle.sockets == 0
            assert asyncio.all_tasks() == tasks


async def warm(client: AsyncClient) -> None:
    """Connect, and have the server asked what it knows."""
    for kind in KINDS:
        await ask(client, 0, kind)


async def all_is_well(middle: Middle, client: AsyncClient) -> None:
    """See that the next answers are right, when the server is."""
    was_held = middle.greeting == "hold"
    middle.speak()
    middle.listen()
    middle.greeting = "forward"
    middle.start()
    await turns(3)
    is_patient = client.options.timeout == PATIENT
    # A connection that was made in time for that stays silent: it has to end first. And a busy
    # machine may not connect in a short time.
    if was_held or not (is_patient or IS_STRICT):
        await all_ended(asked(client, "five"))
    for callers in ("a get", "five", "many")[: 3 if is_patient else 2]:
        ends = await all_ended(asked(client, callers))
        assert [each for each in ends if each.error is not None] == []
        assert max(each.seconds for each in ends) < TIMEOUT + GRACE


# Cancelled


class Leaving:
    """Callers that leave together at a word, in one of three ways."""

    def __init__(self, way: str, what: list[Coroutine[Any, Any, None]]) -> None:
        self._way = way
        self._scopes: list[asyncio.Timeout] = []
        self._word: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if way == "group":
            self.tasks = [asyncio.create_task(self._together(what))]
        elif way == "timeout":
            self.tasks = [asyncio.create_task(self._timed(each)) for each in what]
        else:
            self.tasks = [asyncio.create_task(each) for each in what]

    async def _timed(self, what: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(None) as scope:
            self._scopes.append(scope)
            await what

    async def _together(self, what: list[Coroutine[Any, Any, None]]) -> None:
        async with asyncio.TaskGroup() as group:
            for each in what:
                group.create_task(each)
            await self._word
            raise BoomError

    def leave(self) -> None:
        if self._way == "group":
            self._word.set_result(None)
        elif self._way == "timeout":
            for scope in self._scopes:
                scope.reschedule(asyncio.get_running_loop().time())
        else:
            for task in self.tasks:
                task.cancel()

    async def left(self) -> None:
        """See that all of them left, as one leaves who was not answered."""
        kind = {"group": ExceptionGroup, "timeout": TimeoutError}.get(
            self._way, asyncio.CancelledError
        )
        for result in await asyncio.gather(*self.tasks, return_exceptions=True):
            assert type(result) is kind, result
            if isinstance(result, ExceptionGroup):
                assert [type(each) for each in result.exceptions] == [BoomError]


def divided(client: AsyncClient, callers: str) -> tuple[list[Any], list[Any]]:
    """Return what those ask who are to leave, and what the others ask."""
    what = asked(client, callers)
    if len(what) < 5:
        return what, []
    leaves = {2} if len(what) == 5 else {i for i in range(len(what)) if i % 3 != 1}
    return (
        [each for i, each in enumerate(what) if i in leaves],
        [each for i, each in enumerate(what) if i not in leaves],
    )


@pytest.mark.parametrize("way", ["cancel", "timeout", "group"])
@pytest.mark.parametrize("moment", ["in line", "unsent", "sent", "half"])
@pytest.mark.parametrize("callers", CALLERS)
def test_a_caller_that_leaves_is_not_noticed(
    filled: str, loop: str, protocol: Any, callers: str, moment: str, way: str
) -> None:
    async def trial() -> None:
        async with between(filled, protocol) as (middle, client):
            if moment == "in line":
                middle.mute()
            else:
                await warm(client)
            if moment == "sent":
                middle.mute()
            elif moment == "half":
                middle.after(5, None)
            before = middle.asked, middle.answered
            leave, stay = divided(client, callers)
            # Those who leave stand in between.
            first = [asyncio.create_task(ended(each)) for each in stay[: len(stay) // 2]]
            leaving = Leaving(way, leave)
            rest = [asyncio.create_task(ended(each)) for each in stay[len(stay) // 2 :]]
            if moment == "sent":
                await middle.until(lambda: middle.asked > before[0])
                await turns(3)
            elif moment == "half":
                await middle.until(lambda: middle.answered > before[1])
                await turns(3)
            else:
                await turns(2 if way == "group" else 1)
            leaving.leave()
            await leaving.left()
            middle.speak()
            assert [each.error for each in await asyncio.gather(*first, *rest)] == [None] * len(
                stay
            )
            await all_is_well(middle, client)
            assert middle.made == 1

    run(trial(), loop)


@pytest.mark.parametrize("callers", ["five", "many"])
def test_a_caller_that_is_cancelled_when_its_reply_is_there(
    filled: str, loop: str, protocol: Any, callers: str
) -> None:
    async def trial() -> None:
        async with between(filled, protocol) as (middle, client):
            await warm(client)
            count = middle.asked
            middle.mute()
            leave, stay = divided(client, callers)

            async def first() -> None:
                await ask(client, 0, "get")
                for task in tasks:
                    assert task.cancel()  # its reply came with the first one's

            canceller = asyncio.create_task(first())
            tasks = [asyncio.create_task(each) for each in leave]
            others = [asyncio.create_task(ended(each)) for each in stay]
            await middle.until(lambda: middle.asked > count)
            await turns(3)
            middle.speak()
            await canceller
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                assert type(result) is asyncio.CancelledError
            assert [each for each in await asyncio.gather(*others) if each.error is not None] == []
            await all_is_well(middle, client)
            assert middle.made == 1

    run(trial(), loop)


# Connections that end, and servers that are silent


@dataclass(frozen=True)
class End:
    """What a server does: before it is asked, and when it was; and what its callers get."""

    kinds: tuple[type[Exception], ...]
    before: Callable[[Middle], object] = lambda middle: None
    then: Callable[[Middle], object] = lambda middle: None
    is_cold: bool = False  # there is no connection yet
    sent: bool | None = None  # whether a request may have been sent, None for either

    @property
    def timeout(self) -> float:
        """A client's timeout, short where callers have to wait for it."""
        return TIMEOUT if set(LATE) & set(self.kinds) else PATIENT

    @property
    def may_be_sent(self) -> bool | None:
        return self.sent if self.is_cold else True


def _greets(greeting: Any) -> Callable[[Middle], None]:
    def greet(middle: Middle) -> None:
        middle.greeting = greeting

    return greet


ENDS = {
    "silent": End(LATE, Middle.mute),
    "half, then silent": End(LATE, lambda middle: middle.after(7, None)),
    "eof": End(LOST, Middle.mute, Middle.cut),
    "reset": End(LOST, Middle.mute, lambda middle: middle.cut("reset")),
    "half, then eof": End(LOST, lambda middle: middle.after(7, "eof")),
    "half, then reset": End(LOST, lambda middle: middle.after(7, "reset")),
    "garbage": End(BROKEN, lambda middle: middle.after(0, "garbage")),
    "half, then garbage": End(BROKEN, lambda middle: middle.after(3, "garbage")),
    "goes down": End(LOST, Middle.mute, Middle.stop),
    "is down": End(LOST, Middle.stop, is_cold=True, sent=False),
    "accepts and closes": End(UNKNOWN, _greets("eof"), is_cold=True),
    "accepts and resets": End(UNKNOWN, _greets("reset"), is_cold=True),
    "accepts, and is silent": End(LATE, _greets("hold"), is_cold=True),
    "silent at the probe": End(LATE, Middle.mute, is_cold=True),
    # Who was not sent goes over another connection, over which the server is silent.
    "eof at the probe": End((*UNKNOWN, *LATE), Middle.mute, Middle.cut, is_cold=True),
    "reset at the probe": End(
        (*UNKNOWN, *LATE), Middle.mute, lambda middle: middle.cut("reset"), is_cold=True
    ),
    "garbage at the probe": End(
        (*UNKNOWN, ReplyError), lambda middle: middle.after(0, "garbage"), is_cold=True
    ),
}


async def _met(
    middle: Middle, client: AsyncClient, end: End, ask_all: Coroutine[Any, Any, Any]
) -> Any:
    """Have the callers ask, and the server do what it does; return what the callers got."""
    if not end.is_cold:
        await warm(client)
    count = middle.asked
    end.before(middle)
    task = asyncio.create_task(ask_all)
    if end.then is not End.then:
        await middle.until(lambda: middle.asked > count)
    await turns(3)
    end.then(middle)
    return await task


@pytest.mark.parametrize(
    ("name", "callers"),
    [
        (name, callers)
        for callers in CALLERS
        for name in ENDS
        if callers != "a set" or ENDS[name].kinds is not LATE  # each of those takes its time
    ],
)
def test_all_callers_are_told(
    filled: str, loop: str, protocol: Any, callers: str, name: str
) -> None:
    async def trial() -> None:
        end = ENDS[name]
        async with between(filled, protocol, timeout=end.timeout) as (middle, client):
            ends = await _met(middle, client, end, all_ended(asked(client, callers)))
            some = name.startswith("half") or "garbage" in name
            check(ends, end.kinds, end.may_be_sent, some)
            if "garbage" in name and not end.is_cold:
                assert sum(isinstance(each.error, ReplyError) for each in ends) == 1
            await all_is_well(middle, client)

    run(trial(), loop)


@pytest.mark.parametrize("name", list(ENDS))
def test_a_group_of_tasks_ends_with_the_errors(
    filled: str, loop: str, protocol: Any, name: str
) -> None:
    async def together(client: AsyncClient) -> None:
        async with asyncio.TaskGroup() as group:
            for each in asked(client, "five"):
                group.create_task(each)

    async def trial() -> None:
        end = ENDS[name]
        async with between(filled, protocol, timeout=end.timeout) as (middle, client):
            with pytest.raises(ExceptionGroup) as caught:
                await _met(middle, client, end, together(client))
            for each in caught.value.exceptions:
                assert isinstance(each, (NetworkError, ReplyError, NotSupportedError))
            await all_is_well(middle, client)

    run(trial(), loop)


@pytest.mark.parametrize("end", ["eof", "reset", "garbage", "restart"])
@pytest.mark.parametrize("callers", CALLERS)
def test_an_idle_connection_that_ends_costs_no_request(
    filled: str, loop: str, protocol: Any, callers: str, end: Any
) -> None:
    async def trial() -> None:
        async with between(filled, protocol) as (middle, client):
            await warm(client)
            if end == "restart":
                middle.stop()
                middle.start()
            elif end == "garbage":
                middle.say(b"VALUE ends-0 0 1\r\nx\r\nEND\r\n")
            else:
                middle.cut(end)
            await turns(3)
            ends = await all_ended(asked(client, callers))
            assert [each for each in ends if each.error is not None] == []
            assert middle.made == 2
            await all_is_well(middle, client)

    run(trial(), loop)


@pytest.mark.parametrize(
    "name",
    [
        "silent",
        "silent after half",
        "accepts, and is silent",
    ],
)
def test_who_asks_when_another_was_told_that_it_is_late(
    filled: str, loop: str, protocol: Any, name: str
) -> None:
    async def trial() -> None:
        async with between(filled, protocol, timeout=TIMEOUT) as (middle, client):
            if name == "accepts, and is silent":
                middle.greeting = "hold"
            else:
                await warm(client)
                middle.mute()
            count = middle.answered
            task = asyncio.create_task(ended(ask(client, 0, "get")))
            await turns(1)
            time.sleep(0.02)  # so late is it sent, if it is not yet, or half of it answered
            if name == "silent after half":
                await middle.until(lambda: middle.answered > count)
                middle.after(7, None)
            check([await task], LATE)
            middle.greeting = "forward"
            middle.speak()
            assert (await ended(ask(client, 0, "get"))).error is None

    run(trial(), loop)


def test_what_was_not_sent_goes_over_another_connection(
    filled: str, loop: str, protocol: Any
) -> None:
    async def trial() -> None:
        async with between(filled, protocol, max_in_flight=2) as (middle, client):
            await warm(client)
            count = middle.asked
            middle.mute()
            tasks = [asyncio.create_task(ended(ask(client, i))) for i in range(5)]
            await middle.until(lambda: middle.asked > count)
            await turns(3)
            middle.cut()
            middle.speak()
            ends = await asyncio.gather(*tasks)
            check(ends[:2], LOST, True)
            assert [each.error for each in ends[2:]] == [None, None, None]
            await all_is_well(middle, client)

    run(trial(), loop)


# A server that does not read


@pytest.mark.parametrize("callers", ["big1", "big5", "big200"])
def test_a_server_that_does_not_read(filled: str, loop: str, protocol: Any, callers: str) -> None:
    async def trial() -> None:
        async with between(filled, protocol, timeout=TIMEOUT) as (middle, client):
            await warm(client)
            middle.deafen()
            ends = await all_ended(asked(client, callers))
            check(ends, LATE, True if callers != "big200" else None)
            if callers == "big200":  # there is no room for more than 16 MiB
                told = [each.error.fields["sent"] for each in ends]  # type: ignore[union-attr]
                assert 40 < sum(told) < 60
            await all_is_well(middle, client)

    run(trial(), loop)


def test_a_server_that_reads_again(filled: str, loop: str, protocol: Any) -> None:
    async def trial() -> None:
        async with between(filled, protocol) as (middle, client):
            await warm(client)
            middle.deafen()
            task = asyncio.create_task(all_ended(asked(client, "big60")))
            await turns(10)
            middle.listen()
            assert [each for each in await task if each.error is not None] == []
            await all_is_well(middle, client)
            assert middle.made == 1

    run(trial(), loop)


@pytest.mark.parametrize("way", ["cancel", "timeout", "group"])
def test_callers_that_leave_a_server_that_does_not_read(
    filled: str, loop: str, protocol: Any, way: str
) -> None:
    async def trial() -> None:
        async with between(filled, protocol) as (middle, client):
            await warm(client)
            middle.deafen()
            leave, stay = divided(client, "big60")
            leaving = Leaving(way, leave)
            rest = asyncio.create_task(all_ended(stay))
            await turns(10)
            leaving.leave()
            await leaving.left()
            middle.listen()
            assert [each for each in await rest if each.error is not None] == []
            await all_is_well(middle, client)
            assert middle.made == 1

    run(trial(), loop)


# Connecting


@pytest.fixture
def unanswering() -> Iterator[str]:
    """Return an address where nobody takes or refuses a connection."""
    sockets = [socket.create_server(("127.0.0.1", 0), backlog=0)]
    host, port = sockets[0].getsockname()
    for _ in range(4):  # so many that the system has no room for more, and drops them
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex((host, port))
        sockets.append(waiting)
    yield f"{host}:{port}"
    for each in sockets:
        each.close()


@pytest.mark.parametrize(
    ("callers", "connect_timeout"), [("a get", 30.0), ("a set", TIMEOUT / 2), ("many", 30.0)]
)
def test_a_connection_that_is_not_answered(
    unanswering: str, loop: str, protocol: Any, callers: str, connect_timeout: float
) -> None:
    async def trial() -> None:
        async with AsyncClient(
            [unanswering], protocol=protocol, timeout=TIMEOUT, connect_timeout=connect_timeout
        ) as client:
            check(await all_ended(asked(client, callers)), LATE, False)
        assert len(asyncio.all_tasks()) == 1

    run(trial(), loop)


HANDSHAKE = {
    "silent": End(LATE, _greets("hold")),
    "eof": End(LOST, _greets("eof")),
    "reset": End(LOST, _greets("reset")),
    "half, then silent": End(LATE, lambda middle: middle.after(100, None)),
    "half, then eof": End(LOST, lambda middle: middle.after(100, "eof")),
    "half, then reset": End(LOST, lambda middle: middle.after(100, "reset")),
    "garbage": End(LOST, lambda middle: middle.after(0, "garbage")),
    "half, then garbage": End(LOST, lambda middle: middle.after(100, "garbage")),
}
LOGIN = {
    "silent": End(LATE, Middle.mute),
    "half, then silent": End(LATE, lambda middle: middle.after(3, None)),
    "eof": End(LOST, Middle.mute, Middle.cut),
    "reset": End(LOST, Middle.mute, lambda middle: middle.cut("reset")),
    "half, then eof": End(LOST, lambda middle: middle.after(3, "eof")),
    "half, then reset": End(LOST, lambda middle: middle.after(3, "reset")),
    "garbage": End(BROKEN, lambda middle: middle.after(0, "garbage")),
}


@pytest.mark.parametrize("name", list(HANDSHAKE))
@pytest.mark.parametrize(("callers", "connect_timeout"), [("a get", 30.0), ("many", TIMEOUT)])
def test_a_handshake_that_does_not_end(
    servers: Callable[[str], Server],
    tmp_path: Path,
    loop: str,
    callers: str,
    name: str,
    connect_timeout: float,
) -> None:
    server = servers("tls")
    end = HANDSHAKE[name]
    options = {
        "tls": tls_context(server, tmp_path),
        "timeout": end.timeout,
        "connect_timeout": max(connect_timeout, end.timeout),
    }

    async def trial() -> None:
        async with between(server.address, "meta", **options) as (middle, client):
            end.before(middle)
            check(await all_ended(asked(client, callers)), end.kinds, False)
            if connect_timeout == TIMEOUT:
                await well_again(middle, client)

    run(trial(), loop)


@pytest.mark.parametrize("name", [name for name in ENDS if not ENDS[name].is_cold])
@pytest.mark.parametrize("count", [1, MANY])
def test_all_callers_are_told_over_tls(
    servers: Callable[[str], Server], tmp_path: Path, loop: str, count: int, name: str
) -> None:
    server = servers("tls")
    end = ENDS[name]
    # What is broken inside of TLS ends the connection, or looks like a record to come.
    kinds = LATE if end.kinds is LATE else (*LOST, *LATE) if "garbage" in name else LOST

    async def trial() -> None:
        timeout = TIMEOUT if set(LATE) & set(kinds) else PATIENT
        options = {
            "tls": tls_context(server, tmp_path),
            "timeout": timeout,
            "connect_timeout": PATIENT,
        }
        async with between(server.address, "meta", **options) as (middle, client):
            await well_again(middle, client)
            before = middle.asked
            end.before(middle)
            asks = [ask_blindly(client) for _ in range(count)]
            task = asyncio.create_task(all_ended(asks))
            await middle.until(lambda: middle.asked > before)
            await turns(3)
            end.then(middle)
            if end.then is not End.then:
                middle.speak()  # at most 128 are in flight: the others go over another connection
            ends = await task
            check(ends, kinds, None if count > 1 else True, some=True)
            await well_again(middle, client)

    run(trial(), loop)


@pytest.mark.parametrize("name", list(LOGIN))
@pytest.mark.parametrize(("callers", "connect_timeout"), [("a get", 30.0), ("many", TIMEOUT)])
@pytest.mark.parametrize("kind", ["ascii-auth", "sasl"])
def test_a_login_that_does_not_end(
    servers: Callable[[str], Server],
    loop: str,
    kind: str,
    callers: str,
    name: str,
    connect_timeout: float,
) -> None:
    server = servers(kind)
    mechanism: Any = "ascii" if kind == "ascii-auth" else "sasl"
    end = LOGIN[name]
    options = {
        "auth": Credentials(USER, PASSWORD, mechanism),
        "timeout": end.timeout,
        "connect_timeout": max(connect_timeout, end.timeout),
    }

    async def trial() -> None:
        protocol = "binary" if kind == "sasl" else "ascii"
        async with between(server.address, protocol, **options) as (middle, client):
            end.before(middle)
            task = asyncio.create_task(all_ended(asked(client, callers)))
            if end.then is not End.then:
                await middle.until(lambda: middle.asked > 0)
                await turns(3)
                end.then(middle)
            check(await task, end.kinds, False)
            if connect_timeout == TIMEOUT:
                await well_again(middle, client)

    run(trial(), loop)


async def ask_blindly(client: AsyncClient) -> None:
    assert await client.get("ends-absent") is None


async def well_again(middle: Middle, client: AsyncClient) -> None:
    """See that the next answers are right, of a server that need not have the values."""
    middle.speak()
    middle.greeting = "forward"
    middle.start()
    await turns(3)
    for _ in range(2):
        await asyncio.gather(*(client.set(key_of(i), value_of(key_of(i))) for i in range(20)))
        found = await asyncio.gather(*(client.get(key_of(i)) for i in range(20)))
        assert found == [value_of(key_of(i)) for i in range(20)]


# Closing


CLOSING: dict[str, Callable[[Middle], object]] = {
    "connecting": _greets("hold"),
    "in flight": lambda middle: None,
    "silent": Middle.mute,
    "half a reply": lambda middle: middle.after(7, None),
    "paused": Middle.deafen,
    "down": Middle.stop,
}


@pytest.mark.parametrize("state", list(CLOSING))
@pytest.mark.parametrize("callers", ["a get", "many", "big100"])
@pytest.mark.parametrize("is_tls", [False, True])
def test_closing_in_every_state(
    servers: Callable[[str], Server],
    tmp_path: Path,
    loop: str,
    state: str,
    callers: str,
    is_tls: bool,
) -> None:
    server = servers("tls" if is_tls else "tcp")

    async def trial() -> None:
        tls = tls_context(server, tmp_path) if is_tls else None
        async with Middle(server.address) as middle:
            client = AsyncClient([middle.address], timeout=TIMEOUT, connect_timeout=30.0, tls=tls)
            if state != "connecting":
                await well_again(middle, client)
            CLOSING[state](middle)
            tasks = [asyncio.create_task(ended(each)) for each in asked(client, callers)]
            await turns(3)
            began = time.monotonic()
            await client.close()
            assert time.monotonic() - began < TIMEOUT + GRACE
            assert middle.sockets == 0
            await turns(2)
            assert all(task.done() for task in tasks)
            for each in await asyncio.gather(*tasks):
                kinds = (NetworkError, ClientClosedError, AssertionError)
                assert each.error is None or isinstance(each.error, kinds), each
            assert len(asyncio.all_tasks()) == 1
            with pytest.raises(ClientClosedError):
                await client.get("a")

    run(trial(), loop)


def test_a_close_that_is_cancelled_closes_at_once(filled: str, loop: str, protocol: Any) -> None:
    async def trial() -> None:
        async with Middle(filled) as middle:
            client = AsyncClient([middle.address], protocol=protocol, timeout=30.0)
            await warm(client)
            middle.mute()
            task = asyncio.create_task(ended(ask(client, 0)))
            await turns(3)
            closing = asyncio.create_task(client.close())
            await turns(3)
            assert not closing.done()
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert isinstance((await task).error, ClientClosedError)
            await middle.until(lambda: middle.open == 0)
            await client.close()

    run(trial(), loop)


def test_closing_waits_for_what_is_in_flight(filled: str, loop: str, protocol: Any) -> None:
    async def trial() -> None:
        async with Middle(filled) as middle:
            client = AsyncClient([middle.address], protocol=protocol, timeout=30.0)
            await warm(client)
            count = middle.asked
            middle.mute()
            task = asyncio.create_task(all_ended(asked(client, "many")))
            await middle.until(lambda: middle.asked > count)
            closing = [asyncio.create_task(client.close()) for _ in range(2)]
            await turns(3)
            with pytest.raises(ClientClosedError):
                await client.get(key_of(0))
            assert not any(each.done() for each in closing)
            middle.speak()
            await asyncio.gather(*closing)
            assert [each for each in await task if each.error is not None] == []

    run(trial(), loop)


# A loop that was blocked


def test_replies_that_came_while_the_loop_was_blocked(
    filled: str, loop: str, protocol: Any
) -> None:
    async def trial() -> None:
        async with AsyncClient([filled], protocol=protocol, timeout=TIMEOUT) as client:
            await warm(client)
            tasks = [asyncio.create_task(ended(each)) for each in asked(client, "many")]
            await turns(2)
            time.sleep(TIMEOUT * 1.5)  # as a callback does that has no business in a loop
            ends = await asyncio.gather(*tasks)
            assert [each for each in ends if each.error is not None] == []

    run(trial(), loop)
