"""A client whose servers come from a source: ``client("dns://cache.prod.svc:11211")``."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..client import Client
from ..fleet.placement import ShardFunction
from ..hints import check_kind
from ..managers import BaseShardManager
from ..options import ClientOptions
from ._base import DEFAULT as FOLLOW
from ._base import checked_wait, no_fleet
from .follower import Follower
from .options import FollowOptions
from .types import Source

if TYPE_CHECKING:
    from typing import Unpack

    from ..overrides import ClientOverrides

__all__ = ["client"]

_DEFAULT: Final = ClientOptions()


class _FollowingManager(BaseShardManager):
    """A manager with a follower of its own, for one client, which closes both."""

    closes_with_client = True
    owns_follower = True

    def __init__(
        self,
        source: Source | str | Callable[[], Source],
        follow: FollowOptions,
        shard_func: ShardFunction | Callable[[Any, int], int],
        options: ClientOptions,
    ) -> None:
        super().__init__(shard_func, options)
        self.follower: Final = Follower(source, self, follow)

    def close(self) -> None:
        try:
            self.follower.close()
        finally:
            super().close()


def client(
    source: Source | str | Callable[[], Source],
    options: ClientOptions = _DEFAULT,
    *,
    follow: FollowOptions = FOLLOW,
    wait: float = 5.0,
    **overrides: "Unpack[ClientOverrides]",
) -> Client:
    """Return a client of the servers that a source says, whichever they are at the time.

    `source` is a URL, a ``Source``, or a callable that makes one; `options` and `overrides` are the
    client's, and `follow` says how the source is followed. It waits at most `wait` seconds for a
    fleet, then raises ``SourceError``; with 0 it does not wait, and operations raise
    ``UnmappedKeyError`` until there is one. Closing the client closes the follower and the source.
    """
    check_kind(options, ClientOptions)
    check_kind(follow, FollowOptions)
    checked_wait(wait)
    chosen = replace(options, **overrides) if overrides else options
    manager = _FollowingManager(source, follow, chosen.shard_func, chosen)
    try:
        made = Client(manager, chosen)
        manager.follower.start()
        if wait and not manager.follower.wait(wait):
            raise no_fleet(manager.follower.status, wait)
    except BaseException:
        manager.close()
        raise
    return made
