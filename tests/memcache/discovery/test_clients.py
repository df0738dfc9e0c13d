"""Clients over real servers, while the source does everything a source may do: no request fails."""

import asyncio
import contextlib
import gc
import math
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.aio import LOOPS, run
from support.discovering import Scripted, soon
from support.memcached import Server, running

from godropbox.memcache import (
    BaseShardManager,
    Client,
    ClientClosedError,
    ClientOptions,
    InvalidArgumentError,
    InvalidTypeError,
    Ketama,
    UnmappedKeyError,
)
from godropbox.memcache.aio import AsyncBaseShardManager, AsyncClient
from godropbox.memcache.discovery import (
    Answer,
    FollowEvent,
    FollowOptions,
    SourceError,
    client,
    follow,
)
from godropbox.memcache.discovery import Server as Named
from godropbox.memcache.discovery.aio import async_client, async_follow

SMALL = ("-m", "16")
QUICK = {"min_interval": 0.0, "retry_after": 0.01, "max_retry_after": 0.02}
KEYS = [f"key-{i}" for i in range(60)]


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Four servers; the last one is a second home of the third."""
    with contextlib.ExitStack() as stack:
        folder = tmp_path_factory.mktemp("fleet")
        yield [stack.enter_context(running("tcp", folder, extra=SMALL)) for _ in range(4)]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    soon(lambda: not [t for t in threading.enumerate() if t.name.startswith("godropbox disc")])


def fleet(servers: list[Server], *numbers: int) -> tuple[Named, ...]:
    return tuple(Named(f"cache-{i}", servers[n].address) for i, n in enumerate(numbers))


def poison(servers: list[Server], version: int) -> list[Any]:
    """Return what a source may say that is to change nothing."""
    three = fleet(servers, 0, 1, 2)
    return [
        SourceError("killed"),
        ConnectionResetError("killed"),
        Answer(version, ()),
        Answer(version - 1, three[:2]),
        Answer(version, three[:1]),
        Answer(version, tuple(Named(f"cache-{i}", f"127.0.0.1:{i + 1}") for i in range(3))),
        Answer(version, (*three, three[0])),
        Answer(version, (Named("x", "no address"),)),
        "garbage",
        SourceError("stopped"),
    ]


def test_a_client_of_a_file(tmp_path: Path, cached: list[Server]) -> None:
    path = tmp_path / "fleet"
    path.write_text(f"a {cached[0].address}\nb {cached[1].address}\n")
    with client(f"file:{path}", timeout=10.0, wait=20.0, shard_func=Ketama()) as made:
        assert type(made) is Client
        assert made.set_many(dict.fromkeys(KEYS, b"1")) == []
        assert len(made.get_many(KEYS)) == len(KEYS)
        assert set(made.version()) == {0, 1}
        path.write_text(f"a {cached[0].address}\nb {cached[1].address} DOWN\n")
        soon(lambda: set(made.version()) == {0})
    with pytest.raises(ClientClosedError):
        made.get("x")


def test_no_request_fails_whatever_the_source_does(cached: list[Server]) -> None:
    outcomes: list[str] = []

    def hook(event: FollowEvent) -> None:
        outcomes.append(event.outcome)

    source = Scripted(Answer(10, fleet(cached, 0, 1, 2)))
    follow = FollowOptions(hooks=(hook,), **QUICK)  # type: ignore[arg-type]
    made = client(source, follow=follow, wait=20.0, timeout=20.0, shard_func=Ketama())
    failures: list[BaseException] = []
    done = threading.Event()

    def use(number: int) -> None:
        try:
            while not done.is_set():
                for key in KEYS:
                    mine = f"{number}-{key}"
                    assert made.set(mine, key.encode(), expire=60)
                    assert made.get(mine) == key.encode()
                assert made.get_many([f"{number}-{key}" for key in KEYS]) == {
                    f"{number}-{key}": key.encode() for key in KEYS
                }
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        version = 10
        for _ in range(3):
            for each in poison(cached, version):
                source.say(each)
            version += 1
            # Something of no consequence, so that it is seen that the rest was.
            source.say(Answer(version, fleet(cached, 0, 1, 2)))
        soon(lambda: outcomes.count("failed") == 9, 60)
    finally:
        done.set()
        for thread in threads:
            thread.join()
        made.close()
    assert failures == []
    assert outcomes.count("accepted") == 1
    assert {name: outcomes.count(name) for name in set(outcomes)} == {
        "accepted": 1,
        "failed": 9,
        "empty": 3,
        "older": 3,
        "held": 6,
        "malformed": 9,
    }


def test_a_server_that_moves_keeps_its_keys(cached: list[Server]) -> None:
    source = Scripted(Answer(1, fleet(cached, 0, 1, 2)))
    follow = FollowOptions(**QUICK)  # type: ignore[arg-type]
    with client(source, follow=follow, wait=20.0, timeout=20.0, shard_func=Ketama()) as made:
        made.flush_all()
        made.set_many(dict.fromkeys(KEYS, b"1"))
        before = set(made.get_many(KEYS))
        assert before == set(KEYS)
        source.say(Answer(2, fleet(cached, 0, 1, 3)))
        soon(lambda: made.dialects().keys() >= {cached[3].address})
        left = set(made.get_many(KEYS))
        assert 0 < len(left) < len(KEYS)  # the others were on the third, and are so still
        source.say(Answer(3, fleet(cached, 0, 1, 2)))
        soon(lambda: made.dialects().keys() >= {cached[2].address})
        assert set(made.get_many(KEYS)) == set(KEYS)


@pytest.mark.parametrize("loop", LOOPS)
def test_no_request_of_asyncio_fails_whatever_the_source_does(
    cached: list[Server], loop: str
) -> None:
    outcomes: list[str] = []

    def hook(event: FollowEvent) -> None:
        outcomes.append(event.outcome)

    async def use(made: AsyncClient, number: int) -> None:
        while outcomes.count("failed") < 3:
            for key in KEYS:
                mine = f"{number}-{key}"
                assert await made.set(mine, key.encode(), expire=60)
                assert await made.get(mine) == key.encode()

    async def main() -> None:
        source = Scripted(Answer(10, fleet(cached, 0, 1, 2)))
        follow = FollowOptions(hooks=(hook,), **QUICK)  # type: ignore[arg-type]
        async with (
            await async_client(source, follow=follow, wait=20.0, timeout=20.0) as made,
            asyncio.timeout(60),
            asyncio.TaskGroup() as group,
        ):
            for number in range(5):
                group.create_task(use(made, number))
            for each in poison(cached, 10):
                source.say(each)
        with pytest.raises(ClientClosedError):
            await made.get("x")

    run(main(), loop)
    assert outcomes.count("accepted") == 1


def test_without_a_fleet_it_says_why_or_does_not_wait() -> None:
    source = Scripted(SourceError("script://main: refused"))
    with pytest.raises(SourceError, match="no fleet from script://main within"):
        client(source, wait=0.1)
    soon(lambda: source.closes)
    with client(Scripted(), wait=0) as made, pytest.raises(UnmappedKeyError):
        made.get("x")


@pytest.mark.parametrize("wait", [-1, float("nan"), "5", True])
def test_what_is_no_time_to_wait_is_refused(wait: Any) -> None:
    source, words = Scripted(), "wait must be a"
    errors = InvalidArgumentError, InvalidTypeError

    async def main() -> None:
        with pytest.raises(errors, match=words):
            await async_client(source, wait=wait)
        with pytest.raises(errors, match=words):
            await async_follow(source, AsyncBaseShardManager(), wait=wait)

    with pytest.raises(errors, match=words):
        client(source, wait=wait)
    with pytest.raises(errors, match=words):
        follow(source, BaseShardManager(), wait=wait)
    run(main())
    assert source.asked == []


def test_a_wait_may_be_without_end() -> None:
    source = Scripted(Answer(1, (Named("a", "127.0.0.1:1"),)))
    client(source, wait=math.inf).close()


def test_following_ends_for_a_client_that_was_dropped() -> None:
    source = Scripted(Answer(1, (Named("a", "127.0.0.1:1"),)))
    made = client(source, wait=20.0)
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None
    source.say(SourceError("away"))  # it looks after each question
    soon(lambda: source.closes)


def test_following_ends_for_a_client_of_asyncio_that_was_dropped() -> None:
    async def main() -> None:
        source = Scripted(Answer(1, (Named("a", "127.0.0.1:1"),)))
        made = await async_client(source, wait=20.0)
        gone = weakref.ref(made)
        del made
        gc.collect()
        assert gone() is None
        source.say(None)
        async with asyncio.timeout(20):
            while not source.closes:
                await asyncio.sleep(0.01)

    asyncio.run(main())


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InvalidTypeError, match="options must be"):
        client(Scripted(), FollowOptions())  # type: ignore[arg-type]
    with pytest.raises(InvalidTypeError, match="options must be"):
        client(Scripted(), follow=ClientOptions())  # type: ignore[arg-type]
    with pytest.raises(InvalidTypeError, match="did you mean 'timeout'"):
        client(Scripted(), timeut=1.0)  # type: ignore[call-arg]
