"""The keys of a fleet's servers for asyncio, over connections of their own (``listing``)."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from ..address import parse_address
from ..errors import DeadlineExceededError, ServerError
from ..fleet.shards import Shard
from ..listing import Question, check_login, listed_shards, lost, told
from ..protocol.ascii import AsciiProtocol
from ..protocol.dump import Dump, KeyInfo, Walk

__all__ = ["keys_of"]

_RECEIVE = 65536


async def keys_of(manager: Any, options: Any, by: Walk) -> AsyncGenerator[KeyInfo, None]:
    """Yield the keys of all servers of `manager`, as ``listing.keys_of`` does."""
    check_login(options)
    for shard in listed_shards(manager):
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await _opened(shard, options)
            question = Question()
            writer.write(question.request)
            while not question.is_over:
                question.feed(await _received(reader, options, question))
            dump = Dump(shard.id, shard.address, by)
            writer.write(dump.request)
            while not dump.is_over:
                data = await _received(reader, options, question, dump)
                for info in dump.feed(data):
                    yield info
        except Exception as error:
            raise told(manager, shard, error)  # noqa: B904  # it has its cause
        finally:
            if writer is not None:
                writer.transport.abort()


async def _received(
    reader: asyncio.StreamReader, options: Any, question: Question, dump: Dump | None = None
) -> bytes:
    async with asyncio.timeout(options.timeout):
        data = await reader.read(_RECEIVE)
    if not data:
        raise lost(question, dump)
    return data


async def _opened(shard: Shard, options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    target = parse_address(shard.address)
    try:
        async with asyncio.timeout(options.connect_timeout):
            if isinstance(target, str):
                name = None if options.tls is None else ""
                reader, writer = await asyncio.open_unix_connection(
                    target, ssl=options.tls, server_hostname=name
                )
            else:
                reader, writer = await asyncio.open_connection(*target, ssl=options.tls)
            try:
                if options.auth is not None:
                    await _log_in(reader, writer, options.auth)
            except BaseException:
                writer.transport.abort()
                raise
    except TimeoutError as error:
        raise DeadlineExceededError(
            f"no connection to {shard.address} within {options.connect_timeout:g} s"
        ) from error
    return reader, writer


async def _log_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: Any) -> None:
    exchange = AsciiProtocol().authenticate(who.user, who.password)
    writer.writelines(bytes(each) for each in exchange.request)
    while not exchange.done:
        data = await reader.read(_RECEIVE)
        if not data:
            raise lost(None)
        exchange.feed(data)
    error = exchange.result().error
    if error is not None:
        raise ServerError(f"the login of {who.user!r} was refused: {error}", **error.fields)
