"""The keys of a fleet's servers for asyncio, over connections of their own (``listing``)."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from ...errors import DropboxError
from ..errors import DeadlineExceededError, ServerError
from ..fleet.shards import Shard
from ..listing import Question, check_login, listed_shards, lost, told
from ..protocol.ascii import AsciiProtocol
from ..protocol.dump import Dump, KeyInfo, Walk
from .connect import Stream, open_stream, until

__all__ = ["keys_of"]

_RECEIVE = 65536


async def keys_of(manager: Any, options: Any, by: Walk) -> AsyncGenerator[KeyInfo, None]:
    """Yield the keys of all servers of `manager`, as ``listing.keys_of`` does."""
    check_login(options)
    for shard in listed_shards(manager):
        stream: Stream | None = None
        try:
            stream = await _opened(shard, options)
            question = Question()
            stream.transport.write(question.request)
            while not question.is_over:
                question.feed(await _received(stream.reader, options, question))
            dump = Dump(shard.id, shard.address, by)
            stream.transport.write(dump.request)
            while not dump.is_over:
                data = await _received(stream.reader, options, question, dump)
                for info in dump.feed(data):
                    yield info
        except Exception as error:
            raise told(manager, shard, error)  # noqa: B904  # it has its cause
        finally:
            if stream is not None:
                stream.transport.abort()


async def _received(
    reader: asyncio.StreamReader, options: Any, question: Question, dump: Dump | None = None
) -> bytes:
    async with asyncio.timeout(options.timeout):
        data = await reader.read(_RECEIVE)
    if not data:
        raise lost(question, dump)
    return data


async def _opened(shard: Shard, options: Any) -> Stream:
    deadline = asyncio.get_running_loop().time() + options.connect_timeout
    stream = await open_stream(shard.address, options, deadline)
    try:
        if options.auth is not None:
            async with until(deadline):
                await _log_in(stream, options.auth)
    except BaseException as error:
        stream.transport.abort()
        if isinstance(error, TimeoutError) and not isinstance(error, DropboxError):
            late = f"no login at {shard.address} within {options.connect_timeout:g} s"
            raise DeadlineExceededError(late) from error
        raise
    return stream


async def _log_in(stream: Stream, who: Any) -> None:
    exchange = AsciiProtocol().authenticate(who.user, who.password)
    stream.transport.write(b"".join(map(bytes, exchange.request)))
    while not exchange.done:
        data = await stream.reader.read(_RECEIVE)
        if not data:
            raise lost(None)
        exchange.feed(data)
    error = exchange.result().error
    if error is not None:
        raise ServerError(f"the login of {who.user!r} was refused: {error}", **error.fields)
