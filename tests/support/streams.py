"""``binlog.connect`` and its asyncio form under one face, so that one test is for both."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, Self

from godropbox.database import binlog
from godropbox.database.binlog import aio

from .aio import FACTORIES

__all__ = ["KINDS", "Stream", "connect"]

KINDS = ("threads", "asyncio", "uvloop")


class _OverLoop:
    """An ``AsyncBinlogStream`` to which a thread blocks."""

    def __init__(self, kind: str, server: Any, given: dict[str, Any]) -> None:
        self._runner = asyncio.Runner(loop_factory=FACTORIES[kind])
        try:
            self._runner.get_loop()  # before there is a coroutine that nothing would await
            self._stream = self._runner.run(_connected(server, given))
        except BaseException:
            self._runner.close()
            raise

    @property
    def gtids(self) -> Any:
        return self._stream.gtids

    @property
    def resume(self) -> Any:
        return self._stream.resume

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def __iter__(self) -> Iterator[binlog.Event]:
        return self

    def __next__(self) -> binlog.Event:
        try:
            return self._runner.run(_next(self._stream))
        except StopAsyncIteration:
            raise StopIteration from None

    def save(self) -> None:
        self._runner.run(self._stream.save())

    def close(self) -> None:
        self._runner.run(self._stream.close())
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Stream = binlog.BinlogStream | _OverLoop


async def _connected(server: Any, given: dict[str, Any]) -> aio.AsyncBinlogStream:
    return await aio.connect(server, **given)


async def _next(stream: aio.AsyncBinlogStream) -> binlog.Event:
    return await anext(stream)


def connect(kind: str, server: Any, **given: Any) -> Stream:
    """Connect by threads or over a loop; the defaults are those of these tests."""
    usual = {"user": "reader", "password": "secret", "lenient": True, "position": "start"}
    given = {**usual, "heartbeat": 3.0, "silence": 20.0, **given}
    if given["heartbeat"] >= given["silence"]:
        given["silence"] = None
    if kind == "threads":
        return binlog.connect(server, **given)
    return _OverLoop(kind, server, given)
