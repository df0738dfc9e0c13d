"""The keys of a fleet's servers, one server after the other, each over a connection of its own.

A dump takes the whole connection, for as long as its reader takes; so it is none of a pool's, and
is closed when the reader stops.
"""

from collections.abc import Iterator
from typing import Any

from .dial import connect, send
from .errors import ConnectionLostError, NotSupportedError, ReplyError
from .fleet.shards import Shard, ShardState
from .outcomes import located, refused, require_open, settled
from .protocol.ascii import AsciiProtocol
from .protocol.dump import Dump, KeyInfo, Walk
from .protocol.talk import explained

__all__ = ["Question", "check_login", "keys_of", "listed_shards", "lost", "told"]

_RECEIVE = 65536


def listed_shards(manager: Any) -> list[Shard]:
    """Return the shards whose keys are listed: all that are not DOWN."""
    require_open(manager)
    return [shard for shard in manager.fleet().shards if shard.state != ShardState.DOWN]


def check_login(options: Any) -> None:
    """Raise ``NotSupportedError`` for a login after which a server takes no text commands."""
    if options.auth is not None and options.auth.mechanism != "ascii":
        raise NotSupportedError("a server with SASL lists no keys: it takes no ASCII commands")


class Question:
    """The question for a server's version, before its keys: a proxy answers that and lists none.

    So a server that was lost is told from a proxy, which closes the connection on other commands.
    Send `request`, then ``feed`` what comes until `is_over`.
    """

    def __init__(self) -> None:
        self._exchange = AsciiProtocol().version()
        self.request = b"".join(map(bytes, self._exchange.request))

    @property
    def is_over(self) -> bool:
        """Whether it is answered."""
        return self._exchange.done

    def feed(self, data: bytes) -> None:
        """Take bytes of the reply."""
        self._exchange.feed(data)

    @property
    def version(self) -> str | None:
        """The version; None if the server refuses to tell it."""
        return next(iter(self._exchange.result().versions.values()), None)


def lost(question: Question | None, dump: Dump | None = None) -> Exception:
    """Return the error for a connection that the server closed; without a question, at the login.

    If there is a dump, the question was answered.
    """
    if question is None:
        return ConnectionLostError("the server closed the connection at the login")
    if dump is None:
        return ConnectionLostError("the server closed the connection before it listed its keys")
    if dump.has_begun:
        return ConnectionLostError("the server closed the connection in the middle of its keys")
    return NotSupportedError(
        f"{dump.address}, version {question.version}: it does not know the command lru_crawler; it"
        " closed the connection, as proxies do",
        address=dump.address,
        version=question.version,
    )


def told(manager: Any, shard: Shard, error: Exception) -> Exception:
    """Return how the dump of a shard failed, as the error of a client."""
    if isinstance(error, (OSError, ReplyError)):
        return settled(manager, shard, explained(error))
    failure: Exception = refused(shard, None, located(shard, error))
    return failure


def keys_of(manager: Any, options: Any, by: Walk) -> Iterator[KeyInfo]:
    """Yield the keys of all servers of `manager`, over connections by `options`."""
    check_login(options)
    for shard in listed_shards(manager):
        try:
            yield from _keys_at(shard, options, by)
        except Exception as error:
            raise told(manager, shard, error)  # noqa: B904  # it has its cause


def _keys_at(shard: Shard, options: Any, by: Walk) -> Iterator[KeyInfo]:
    channel = _opened(shard.address, options)
    try:
        buffer = memoryview(bytearray(_RECEIVE))
        question = Question()
        send(channel, question.request)
        while not question.is_over:
            size = channel.recv_into(buffer)
            if not size:
                raise lost(question)
            question.feed(bytes(buffer[:size]))
        dump = Dump(shard.id, shard.address, by)
        send(channel, dump.request)
        while not dump.is_over:
            size = channel.recv_into(buffer)
            if not size:
                raise lost(question, dump)
            yield from dump.feed(bytes(buffer[:size]))
    finally:
        channel.close()


def _opened(address: str, options: Any) -> Any:
    if options.open is not None:
        channel = options.open(address).channel
        channel.settimeout(options.timeout)
        return channel
    return connect(
        address,
        timeout=options.timeout,
        connect_timeout=options.connect_timeout,
        tls=options.tls,
        auth=options.auth,
    )
