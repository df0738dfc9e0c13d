"""A task that follows a source: as the thread does, and it leaves a loop as it found it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from support.aio import FACTORIES, LOOPS, run
from support.discovering import Scripted, answer, soon

from godropbox.memcache import BaseShardManager, InvalidTypeError
from godropbox.memcache.aio import AsyncBaseShardManager
from godropbox.memcache.discovery import FollowEvent, FollowOptions, SourceError
from godropbox.memcache.discovery.aio import AsyncFollower, async_client, async_follow

QUICK = FollowOptions(min_interval=0.0, retry_after=0.01, max_retry_after=0.02)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    soon(lambda: not [t for t in threading.enumerate() if t.name.startswith("godropbox disc")])


def names(manager: AsyncBaseShardManager) -> list[str]:
    return [shard.name for shard in manager.fleet().shards]


async def until(test: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not test():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_manager_has_what_the_source_says(loop: str) -> None:
    source = Scripted()

    async def main() -> None:
        manager = AsyncBaseShardManager()
        threads: list[int] = []

        def hook(event: FollowEvent) -> None:
            threads.append(threading.get_ident())

        async with AsyncFollower(source, manager, QUICK, hooks=(hook,)) as follower:
            assert not await follower.wait(0.01)
            source.say(answer(3))
            assert await follower.wait(20)
            assert names(manager) == ["cache-0", "cache-1", "cache-2"]
            poison: list[Any] = [SourceError("away"), answer(0), "garbage", SystemExit("a source")]
            for each in poison:
                source.say(each)
            source.say(answer(4))
            await until(lambda: len(names(manager)) == 4)
            counts = follower.status.counts
            assert (counts["failed"], counts["empty"], counts["malformed"]) == (2, 1, 1)
            assert repr(follower) == "<AsyncFollower of script://main>"
        assert set(threads) == {threading.get_ident()}
        with pytest.raises(SourceError, match="was closed"):
            await follower.start()
        await manager.close()

    run(main(), loop)
    soon(lambda: source.closes)


def test_the_loop_does_not_wait_for_a_source_that_hangs() -> None:
    go = threading.Event()

    async def main() -> None:
        async with AsyncFollower(Scripted(lambda: go.wait(30) and None), AsyncBaseShardManager()):
            begun = monotonic()
            await asyncio.sleep(0.05)
            # Others' use of the default executor neither helps nor hinders it.
            await asyncio.to_thread(lambda: None)
        assert monotonic() - begun < 10

    try:
        run(main())
    finally:
        go.set()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_may_end_without_close(loop: str) -> None:
    source = Scripted(answer(2))

    async def main() -> None:
        follower = AsyncFollower(source, AsyncBaseShardManager(), QUICK)
        await follower.start()
        assert await follower.wait(20)

    with asyncio.Runner(loop_factory=FACTORIES[loop]) as runner:
        runner.run(main())
    soon(lambda: source.closes)


def test_a_wait_that_is_cancelled_leaves_the_follower() -> None:
    async def main() -> None:
        source, manager = Scripted(), AsyncBaseShardManager()
        async with AsyncFollower(source, manager, QUICK) as follower:
            waiting = asyncio.create_task(follower.wait())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
            source.say(answer(1))
            assert await follower.wait(20)

    run(main())


def test_close_ends_a_wait_and_may_come_twice() -> None:
    async def main() -> None:
        follower = AsyncFollower(Scripted(), AsyncBaseShardManager())
        await follower.close()
        follower = await AsyncFollower(Scripted(), AsyncBaseShardManager()).start()
        waiting = asyncio.create_task(follower.wait())
        await asyncio.sleep(0.01)
        await follower.close()
        await follower.close()
        assert not await waiting

    run(main())


def test_a_hook_may_not_end_it() -> None:
    def hook(event: FollowEvent) -> None:
        raise SystemExit("a hook")

    async def main() -> None:
        source, manager = Scripted(answer(2)), AsyncBaseShardManager()
        async with AsyncFollower(source, manager, QUICK, hooks=(hook,)):
            await until(lambda: len(names(manager)) == 2)
            source.say(answer(3))
            await until(lambda: len(names(manager)) == 3)

    run(main())


def test_it_starts_from_the_file(tmp_path: Path) -> None:
    async def main() -> None:
        keep = tmp_path / "fleet"
        follower = await async_follow(
            Scripted(answer(3, 7)), AsyncBaseShardManager(), QUICK, wait=20.0, keep=keep
        )
        await until(keep.exists)
        await follower.close()
        manager = AsyncBaseShardManager()
        away = Scripted(SourceError("away"))
        follower = await async_follow(away, manager, QUICK, wait=20.0, keep=keep)
        assert len(names(manager)) == 3
        assert follower.status.is_restored
        await follower.close()

    run(main())


def test_without_a_fleet_it_says_why() -> None:
    async def main() -> None:
        source = Scripted(SourceError("script://main: refused"))
        with pytest.raises(SourceError, match=r"no fleet from script://main within 0.1 s: .*refu"):
            await async_follow(source, AsyncBaseShardManager(), wait=0.1)
        with pytest.raises(SourceError, match=r"within 0.1 s: it has not answered"):
            await async_client(Scripted(), wait=0.1)
        await (await async_client(Scripted(), wait=0)).close()

    run(main())


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InvalidTypeError, match="manager must be an asyncio one"):
        AsyncFollower(Scripted(), BaseShardManager())
    with pytest.raises(InvalidTypeError, match="source must be a URL"):
        AsyncFollower(5, AsyncBaseShardManager())  # type: ignore[arg-type]
