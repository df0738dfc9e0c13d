"""Keys, items, statuses and capabilities: plain data, no I/O.

Responses are in ``responses``, which is compiled.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from .._kernels import lasting

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["Capabilities", "Dialect", "Item", "Key", "ResponseStatus", "Seconds"]

Key = str | bytes
Seconds = float | None


class Item(NamedTuple):
    """An item to store: `flags` in [0, 2**32), `cas` the CAS token or 0, `expire` in seconds.

    `expire`, in [-2**31, 2**31), follows memcached's rules: 0 never expires, a negative number
    expires at once, more than 30 days (2,592,000) is a Unix time. Later ones than that, in January
    2038, are refused here: a server refuses them, or expires the item at once.
    """

    key: Key
    value: "ReadableBuffer"
    flags: int = 0
    cas: int = 0
    expire: int = 0


class ResponseStatus(IntEnum):
    """Status of a reply, in the binary protocol's numbers; text replies are mapped to them."""

    OK = 0x00
    KEY_NOT_FOUND = 0x01
    KEY_EXISTS = 0x02
    VALUE_TOO_LARGE = 0x03
    INVALID_ARGUMENTS = 0x04
    ITEM_NOT_STORED = 0x05
    NON_NUMERIC_VALUE = 0x06
    WRONG_VBUCKET = 0x07
    AUTHENTICATION_FAILED = 0x08
    AUTHENTICATION_GOES_ON = 0x09
    AUTHENTICATION_ERROR = 0x20  # memcached sends 0x20 and 0x21 instead of 0x08 and 0x09
    AUTHENTICATION_CONTINUE = 0x21
    UNKNOWN_COMMAND = 0x81
    OUT_OF_MEMORY = 0x82
    NOT_SUPPORTED = 0x83
    INTERNAL_ERROR = 0x84
    BUSY = 0x85
    TEMPORARY_FAILURE = 0x86


for _status in ResponseStatus:
    lasting.lasting(_status)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Features that differ between protocols; check them before you call."""

    protocol: str
    increment_creates: bool  # increment and decrement accept an initial value and an expiry
    store_returns_cas: bool  # the reply to a store has the item's new CAS token
    conditional_replace: bool  # add, replace, append and prepend check the CAS token
    verbosity: bool
    stale_while_revalidate: bool  # leases, early recache, stale marks, item metadata
    binary_keys: bool  # any byte in a key


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one server speaks, as ``Client.dialects`` finds it.

    - `protocol`: ``"meta"``, ``"ascii"`` or ``"binary"``, which is used with it; None if it failed.
    - `version`: what it says its version is; a proxy may tell that of a server behind it.
    - `lacks`: what it cannot do, of these: ``"leases"`` (``get_or_set`` among processes),
      ``"tokens"`` (``gets`` and ``cas``), ``"metadata"`` (seconds left, size, last access),
      ``"delete by token"`` (``meta_delete`` with `cas`) and ``"new_cas"`` (of ``meta_set``).
    - `error`: why nothing more is known, None if it answered.
    """

    protocol: str | None
    version: str | None
    lacks: tuple[str, ...] = ()
    error: Exception | None = None
