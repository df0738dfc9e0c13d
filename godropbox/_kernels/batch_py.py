"""Batches over many plain sockets: the compiled twin does them, this one leaves all to others.

In pure Python a socket is driven like any other channel, by its own methods.
"""

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable

__all__ = ["plan", "plan_values"]


class Placement(Protocol):
    """What says where keys are."""

    def of_many(self, keys: "Iterable[Any]") -> list[int]: ...


class Plan(Protocol):
    """What ``plan`` returns where it returns something."""

    @property
    def places(self) -> list[int]: ...

    def get(
        self, fds: list[int], seconds: float | None, plain: bool
    ) -> (
        "tuple[dict[Any, bytes], list[tuple[Any, bytes, int]], dict[int, Any]]"
        "| tuple[list[bytes | None], array[int], array[int], dict[int, Any]] | None"
    ): ...

    def store(
        self, fds: list[int], verb: bytes, words: int, seconds: float | None
    ) -> tuple[bytes, dict[int, tuple[int, bytes]], dict[int, Any]] | None: ...


def plan(
    things: list[Any],
    placement: Placement,
    num_shards: int,
    prefix: bytes,
    kind: type | None = None,
) -> Plan | None:
    """Return the plan of a batch in the ASCII protocol, or None where it needs the long way.

    `things` are keys, or items of a `kind` of tuple: key, value, flags, token and expiry. They must
    not change any more. `placement` says on which of `num_shards` servers each is. None means that
    a key or an item is not as plain as can be, that one is on no server, or that there are no lines
    on this system.
    """
    return None


def plan_values(
    keys: list[Any],
    values: list[Any],
    flags: list[Any] | None,
    expire: Any,
    placement: Placement,
    num_shards: int,
    prefix: bytes,
) -> Plan | None:
    """Return the plan of a batch of values to be stored without tokens, as ``plan`` does.

    `flags` are one a value, or None for 0 each; `expire` is for all. No list may change any more.
    """
    return None
