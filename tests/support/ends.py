"""How callers of an asyncio client ask, end and leave, over a proxy that does what it is told.

One caller, five, and 200 at once. With ``GODROPBOX_STRICT=1`` a caller must have its answer 50 ms
after its deadline at the latest; otherwise so that a hang is told from a busy machine.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from godropbox.memcache import (
    ConnectionLostError,
    DeadlineExceededError,
    NetworkError,
    NotSupportedError,
    PartialResultError,
    ReplyError,
)
from godropbox.memcache.aio import AsyncClient
from support.aio import turns
from support.memcached import HAS_TOKENS
from support.middle import Middle

__all__ = [
    "BROKEN",
    "CALLERS",
    "ENDS",
    "GRACE",
    "LATE",
    "LOST",
    "MANY",
    "PATIENT",
    "PROTOCOLS",
    "TIMEOUT",
    "End",
    "Ended",
    "Leaving",
    "all_ended",
    "all_is_well",
    "ask",
    "ask_blindly",
    "asked",
    "between",
    "check",
    "divided",
    "ended",
    "greets",
    "key_of",
    "met",
    "value_of",
    "warm",
    "well_again",
]

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


def key_of(number: int) -> str:
    return f"ends-{number}"


def value_of(key: str) -> bytes:
    return f"<{key}>".encode() * 5


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


def greets(greeting: Any) -> Callable[[Middle], None]:
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
    "accepts and closes": End(UNKNOWN, greets("eof"), is_cold=True),
    "accepts and resets": End(UNKNOWN, greets("reset"), is_cold=True),
    "accepts, and is silent": End(LATE, greets("hold"), is_cold=True),
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


async def met(
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
