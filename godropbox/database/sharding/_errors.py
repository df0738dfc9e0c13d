"""What may go wrong with a sharded statement: who refused, what was lost, what was late.

Every error names the shard, its database, the host and the kind of statement, in its message and in
its fields, and never a value. The driver's own exception is the cause.
"""

from collections.abc import Mapping

from ...errors import (
    ConnectionLostError,
    DeadlineExceededError,
    DropboxError,
    ServerError,
    UsageError,
)

__all__ = [
    "ConstraintError",
    "DrainTimeoutError",
    "HostLostError",
    "ReadOnlyHostError",
    "RouterClosedError",
    "ScatterError",
    "ShardReadOnlyError",
    "StaleLayoutError",
    "StatementError",
    "StatementTimeoutError",
]


class StatementError(ServerError):
    """The database refused a statement; ``__cause__`` is the driver's exception.

    `code` is the database's number or name of the error, such as 1213 or ``"40P01"``, or None.
    `maybe_done` is False: nothing was done.
    """

    code: int | str | None = None
    maybe_done = False


class ConstraintError(StatementError):
    """A constraint does not hold: a key is there already, a row is still referred to."""


class ReadOnlyHostError(StatementError):
    """The host that the layout names as the master takes no writes: it is none, or no more."""


class ShardReadOnlyError(ServerError):
    """The shard takes no writes now, because it is being moved; nothing was sent."""


class _Doubtful:
    """Whose message tells whether a write may have been done, once that is known."""

    maybe_done = False

    @property
    def message(self) -> str:
        """The error's own message, without causes and stack."""
        said: str = super().message  # type: ignore[misc]  # of DropboxError
        return said + "; whether it was done is not known" if self.maybe_done else said


class HostLostError(_Doubtful, ConnectionLostError):
    """No connection to the host could be made, or the connection broke.

    `maybe_done` tells whether a write may have been done; it is False if nothing was sent.
    """

    _was_pooled = False  # the connection had been used before, and may have died idle


class StatementTimeoutError(_Doubtful, DeadlineExceededError):
    """The statement did not end in time; its connection is closed.

    `maybe_done` tells whether a write may have been done.
    """

    _was_sent = True


class DrainTimeoutError(UsageError):
    """Writes to shards that a new layout changes did not end in time; the old layout holds."""


class StaleLayoutError(UsageError):
    """The layout is older than the one in force."""


class RouterClosedError(UsageError):
    """The router was closed."""


class ScatterError(DropboxError):
    """Some shards failed; ``errors`` has the error of each, by shard."""

    errors: Mapping[int, DropboxError] = {}
