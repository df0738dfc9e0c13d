"""Batches in the ASCII protocol in pure Python: the twin of ``batch_c``."""

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Protocol

from ._identity import refuse_copies
from ._wire import BARE, FAILED, LINE, LINES, STRICT, VALUES, Asked, Row, failures_of
from .wire_py import Reply, unasked, wire_name
from .wire_request_py import LARGE, ascii_keys, ascii_stores, is_plain_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import ReadableBuffer

__all__ = ["Batch", "Part", "batch_of_items", "batch_of_keys", "batch_of_values"]

_MOST_VERB = 8
_MOST_SHARDS = 0xFFFF
_LEAST_EXPIRY, _MOST_EXPIRY = -(1 << 31), (1 << 31) - 1


class Placement(Protocol):
    """What says where keys are."""

    def of_many(self, keys: "Iterable[Any]") -> list[int]: ...


class Part(Reply):
    """One shard's part of a batch: its request, and the reply to it."""

    refusal: tuple[int, bytes] | None = None
    failure: Exception | None = None
    _is_asked = False
    _written: "list[ReadableBuffer] | None" = None

    def __init__(self, batch: "Batch", shard: int, kind: int, words: int, options: int) -> None:
        super().__init__(kind, 1, words, 0, options)
        self._shard = shard
        self._indices: list[int] = []
        self._batch = batch
        self._matched = 0  # rows
        self._unanswered: dict[bytes, list[int]] = {}  # the indices of a name
        self._due = 0  # the least index that may be answered next, while answers come in order
        self._is_mixed = False  # they do not
        self._errors: list[tuple[int, int, bytes]] = []  # of keys that they do not name

    def _add_index(self, index: int) -> None:
        self._indices.append(index)
        self._count = len(self._indices)

    def _write(self) -> None:
        """Write the request of a get, to count its lines."""
        self._written = [request] = self._batch.request(self)
        self._lists = bytes(request).count(b"\n") - 1

    @property
    def lines(self) -> int:
        """How many lines the request has that is a get."""
        return self._lists + 1

    @property
    def shard(self) -> int:
        """The number of the shard."""
        return self._shard

    @property
    def indices(self) -> list[int]:
        """The indices of its keys in the batch."""
        return self._indices[:]

    @property
    def request(self) -> "list[ReadableBuffer]":
        """The buffers to send."""
        return self._written or self._batch.request(self)

    def advance(self, failure: Exception | None) -> Asked | None:
        """Be a talk of one exchange: return it, then keep how it ended in `failure`."""
        self.failure = failure
        self._is_asked = not self._is_asked
        return Asked(self.request, self) if self._is_asked else None

    def feed(self, data: "ReadableBuffer") -> int:
        try:
            taken = super().feed(data)
        except ValueError:
            self._match()  # what is wrong with an earlier answer was there first
            raise
        self._match()
        return taken

    def _match(self) -> None:
        rows = self._rows[self._matched :]
        self._matched = len(self._rows)
        if rows:
            (self._match_stores if self._kind == LINES else self._match_gets)(rows)
        if self._done and self._errors:
            found, errors, self._errors = self._batch.found, self._errors, []
            self._batch.refusals |= failures_of(
                errors,
                self._indices,
                lambda index: found[index] is not None,
                not self._is_mixed,
            )

    def _match_gets(self, rows: list[Row]) -> None:
        batch = self._batch
        if not self._unanswered:
            for index in self._indices:
                name = wire_name(batch.keys[index], batch.prefix)
                self._unanswered.setdefault(name, []).append(index)
        for row in rows:
            if row.marks & FAILED:
                if self._refusal:
                    self.refusal = row.status, row.value
                else:
                    self._errors.append((self._due, row.status, row.value))
                continue
            indices = self._unanswered.get(row.key)
            if not indices:
                raise unasked(row)
            # A key given twice is answered in order, or from the last on once the order is lost.
            at = bisect_left(indices, self._due)
            if at == len(indices):
                self._due = len(batch.keys)
                self._is_mixed = True
                at -= 1
            index = indices.pop(at)
            self._due = max(self._due, index + 1)
            batch.found[index], batch.flags[index] = row.value, row.flags
            batch.cas[index] = row.cas

    def _match_stores(self, rows: list[Row]) -> None:
        for row in rows:
            index = self._indices[row.place]
            if row.marks & FAILED:
                self._batch.refusals[index] = row.status, row.value
            else:
                self._batch.statuses[index] = row.status


class Batch:
    """Keys or items by shard.

    Each part is carried once. Then ``values``, ``answers`` or ``outcomes`` tells what came of it.
    """

    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        keys: list[Any],
        shards: list[int],
        prefix: bytes,
        verb: bytes,
        items: Any,
        words: int,
        most_line: int = 0,
    ) -> None:
        self._is_parted = False
        self._shards = shards
        self._words = words
        self._most_line = most_line
        self.keys = keys
        self.prefix = prefix
        self._verb = verb
        self._items = items
        self.found: list[bytes | None] = [None] * len(keys)
        self.flags = array("I", bytes(4 * len(keys)))
        self.cas = array("Q", bytes(8 * len(keys)))
        self.statuses = bytearray(len(keys))
        self.refusals: dict[int, tuple[int, bytes]] = {}

    def parts(self) -> list[Part]:
        """Return the parts, one a shard, in the order of their first keys; to be called once."""
        if self._is_parted:
            raise RuntimeError("the parts of the batch were made before")
        self._is_parted = True
        bare = self._items is None and self._verb == b"get"
        kind, options = (VALUES, BARE if bare else 0) if self._items is None else (LINES, STRICT)
        parts: dict[int, Part] = {}
        for index, shard in enumerate(self._shards):
            part = parts.get(shard)
            if part is None:
                part = parts[shard] = Part(self, shard, kind, self._words, options)
            part._add_index(index)
        if self._items is None:
            for part in parts.values():
                part._write()
        return list(parts.values())

    def request(self, part: Part) -> "list[ReadableBuffer]":
        """Return the request for a part."""
        if self._items is None:
            keys = [self.keys[index] for index in part._indices]
            return [ascii_keys(self._verb, keys, self.prefix, self._most_line)]
        items = [self._items(index) for index in part._indices]
        return ascii_stores(self._verb, items, self.prefix)

    def condemn(self, part: Part) -> None:
        """Take back what was found in the reply of a part: it cannot be trusted."""
        for index in part._indices:
            self.found[index] = None
            self.flags[index] = self.cas[index] = 0
            self.refusals.pop(index, None)

    def values(self) -> tuple[dict[Any, bytes], list[tuple[Any, bytes, int]]]:
        """Return a dict of the values without flags, and the others: key, value and flags each.

        An empty value is among the others. The dict has the order of the keys.
        """
        found: dict[Any, bytes] = {}
        rest = []
        for key, value, flags in zip(self.keys, self.found, self.flags, strict=True):
            if value and not flags:
                found[key] = value
            elif value is not None:
                rest.append((key, value, flags))
        if found:
            for given in rest:  # a key given twice may be in both, if it was written meanwhile
                found.pop(given[0], None)
        return found, rest

    def answers(self) -> tuple[list[bytes | None], "array[int]", "array[int]"]:
        """Return a list of values, None for a miss, and arrays of flags and tokens."""
        return self.found[:], self.flags[:], self.cas[:]

    def failures(self) -> dict[int, tuple[int, bytes]]:
        """Return the refusals of single keys or items by index: status and words."""
        return self.refusals

    def is_all_stored(self) -> bool:
        """Return whether every item was stored."""
        return not any(self.statuses) and not self.refusals

    def outcomes(self) -> tuple[bytes, dict[int, tuple[int, bytes]]]:
        """Return the status of each store in bytes, and the refusals by index: status and words."""
        return bytes(self.statuses), self.refusals


def _shards_of(keys: list[Any], placement: Placement, num_shards: int) -> list[int] | None:
    """Return the shard of each key, None if one has none."""
    # The list that is kept is shown to nobody, and what is returned is nobody else's.
    shards = tuple(placement.of_many(keys[:]))
    if len(shards) != len(keys):
        raise ValueError(f"shards must be {len(keys)}, one a key, got {len(shards)}")
    numbers = [shard.__index__() for shard in shards]
    return numbers if all(0 <= number < num_shards for number in numbers) else None


def _check_shards(num_shards: int) -> None:
    if num_shards > _MOST_SHARDS:
        raise ValueError(f"num_shards must be in [0, {_MOST_SHARDS}], got {num_shards}")


def _is_number(number: object, least: int, most: int) -> bool:
    return type(number) is int and least <= number <= most


def _is_plain_item(item: Any, kind: type) -> bool:
    # By its type, as an object may claim to be of another class.
    if not issubclass(type(item), kind) or len(item) != 5:
        return False
    _, value, flags, cas, expire = item
    return (
        type(value) is bytes
        and len(value) < LARGE
        and _is_number(flags, 0, 0xFFFFFFFF)
        and _is_number(cas, 0, (1 << 63) - 1)
        and _is_number(expire, _LEAST_EXPIRY, _MOST_EXPIRY)
    )


def _check_verb(verb: bytes) -> None:
    if len(verb) > _MOST_VERB:
        raise ValueError(f"verb must be at most {_MOST_VERB} bytes, got {len(verb)}")


def batch_of_keys(
    keys: list[Any],
    placement: Placement,
    num_shards: int,
    prefix: bytes,
    bare: bool,
    most_line: int = LINE,
) -> Batch | None:
    """Return the batch that gets keys, or None where they need a closer look.

    `placement` says on which of `num_shards` servers each key is. With `bare`, tokens are not asked
    for. Lines have `most_line` bytes at the most. No list may change any more. None means that a
    key cannot be sent, is not of the same type as the first, or is on no server.
    """
    if not keys:
        return None
    _check_shards(num_shards)
    is_text = isinstance(keys[0], str)
    for key in keys:
        # In a mixture of str and bytes two keys may be the same on the wire.
        if isinstance(key, str) != is_text or not is_plain_key(key, prefix):
            return None
    shards = _shards_of(keys, placement, num_shards)
    if shards is None:
        return None
    return Batch(keys, shards, prefix, b"get" if bare else b"gets", None, 0, most_line)


def batch_of_items(
    items: list[Any],
    placement: Placement,
    num_shards: int,
    prefix: bytes,
    kind: type,
    verb: bytes,
    words: int,
) -> Batch | None:
    """Return the batch that stores items, or None where they need a closer look.

    An item is a `kind` of tuple: key, value, flags, token and expiry. It is stored with `verb`, or
    with cas if it has a token, and answered by one of `words`. None means, besides what it does for
    keys, that a value is not of type bytes, or is large, or a number is out of range.
    """
    if not items:
        return None
    _check_shards(num_shards)
    if not issubclass(kind, tuple):
        return None
    for item in items:
        if not _is_plain_item(item, kind) or not is_plain_key(item[0], prefix):
            return None
    keys = [item[0] for item in items]
    shards = _shards_of(keys, placement, num_shards)
    if shards is None:
        return None
    _check_verb(verb)
    return Batch(keys, shards, prefix, verb, items.__getitem__, words)


def batch_of_values(
    keys: list[Any],
    values: list[Any],
    flags: list[Any] | None,
    expire: Any,
    placement: Placement,
    num_shards: int,
    prefix: bytes,
    verb: bytes,
    words: int,
) -> Batch | None:
    """Return the batch that stores values without tokens, as ``batch_of_items`` does.

    `flags` are one a value, or None for 0 each; `expire` is for all.
    """
    if not keys:
        return None
    _check_shards(num_shards)
    marks = [0] * len(keys) if flags is None else flags
    if len(values) != len(keys) or len(marks) != len(keys):
        raise ValueError(f"values and flags must be {len(keys)}, one a key")
    if not _is_number(expire, _LEAST_EXPIRY, _MOST_EXPIRY):
        return None
    for key, value, mark in zip(keys, values, marks, strict=True):
        if type(value) is not bytes or len(value) >= LARGE or not is_plain_key(key, prefix):
            return None
        if not _is_number(mark, 0, 0xFFFFFFFF):
            return None
    shards = _shards_of(keys, placement, num_shards)
    if shards is None:
        return None
    _check_verb(verb)

    def item(index: int) -> tuple[Any, bytes, int, int, int]:
        return keys[index], values[index], marks[index], 0, expire

    return Batch(keys, shards, prefix, verb, item, words)
