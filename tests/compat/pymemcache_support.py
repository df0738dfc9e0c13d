"""What the tests of pymemcache's face share: pairs of clients, and calls on both of a pair."""

from collections.abc import Callable, Mapping
from typing import Any

import pymemcache
import pymemcache.client.base
import pymemcache.client.hash
import pymemcache.serde

from godropbox.compat import pymemcache as ours
from godropbox.compat.pymemcache import serde as our_serde

__all__ = ["KINDS", "SERDES", "Canned", "agree", "outcome", "pair", "place"]

KINDS = ("Client", "PooledClient", "HashClient")
# Names of serialisers; each library has its own object of that name.
SERDES = (None, "pickle_serde", "compressed_serde")


_MISTAKES = {"TypeError", "MemcacheIllegalInputError"}


def place(address: str) -> tuple[str, int]:
    """Return an address as pymemcache's pair."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def pair(kind: str, address: str, serde: str | None = None, **options: Any) -> tuple[Any, Any]:
    """Return clients of one kind, pymemcache's and ours, each with a prefix of its own."""
    server: Any = [place(address)] if kind == "HashClient" else place(address)
    modules = (
        (getattr(pymemcache, kind), pymemcache.serde, b"t:"),
        (getattr(ours, kind), our_serde, b"o:"),
    )
    theirs, own = (
        make(server, serde=serde and getattr(serdes, serde), key_prefix=prefix, **options)
        for make, serdes, prefix in modules
    )
    return theirs, own


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or the names of the classes of what it raises."""
    try:
        return call()
    except Exception as error:
        return [kind.__name__ for kind in type(error).__mro__]


def _same(theirs: Any, own: Any) -> bool:
    raised = isinstance(theirs, list) and theirs[-2:] == ["BaseException", "object"]
    if raised and isinstance(own, list):
        # What the server would refuse as a wrong argument may be seen here before it is sent; and
        # of several mistakes in one call, either may be the first.
        return theirs[0] in own or {own[0], theirs[0]} <= _MISTAKES
    return type(theirs) is type(own) and bool(theirs == own)


def agree(theirs: Any, own: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """Make the same call on both clients, and return what it did: the same."""
    expected = outcome(lambda: getattr(theirs, name)(*args, **kwargs))
    found = outcome(lambda: getattr(own, name)(*args, **kwargs))
    if name in ("gets", "gets_many"):
        expected, found = _without_tokens(expected), _without_tokens(found)
    assert _same(expected, found), (name, args, kwargs, expected, found)
    return found


def _without_tokens(found: Any) -> Any:
    if isinstance(found, tuple):
        assert found[1] is None or found[1].isdigit()
        return found[0]
    if isinstance(found, Mapping):
        return {key: _without_tokens(value) for key, value in found.items()}
    return found


class Canned:
    """A socket of canned replies, each of which is received at once."""

    def __init__(self, *replies: bytes | Exception) -> None:
        self.replies = list(replies)
        self.sent: list[bytes] = []
        self.is_closed = False

    def sendall(self, data: Any) -> None:
        """Keep what is sent."""
        self.sent.append(bytes(data))

    def recv(self, size: int) -> bytes:
        """Return the next reply, or raise it; nothing more is as silent as a server."""
        if not self.replies:
            raise TimeoutError("timed out")
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def settimeout(self, seconds: float | None) -> None:
        """Ignore the limit."""

    def close(self) -> None:
        """Be closed."""
        self.is_closed = True
