"""Argument checks, error messages and rare conversions of both twins of the placement kernel."""

from ._args import checked_int, shown

TYPE_CHECKING = False  # not typing's: that module takes longer to import than the kernels

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "NOT_A_KEY",
    "bad_key",
    "bad_keys",
    "bitmap_of",
    "checked_names",
    "checked_points",
    "checked_shards",
    "low_bytes",
]

NOT_A_KEY = -2
"""The shard that ``of_many`` returns for an invalid key."""


def bad_key(key: object) -> Exception:
    """Return the error for a key that is neither str nor bytes, or that UTF-8 cannot encode."""
    if not isinstance(key, (str, bytes)):
        return TypeError(f"key must be str or bytes, got {shown(key)}")
    return ValueError(f"key must be text that UTF-8 can encode, got {shown(key)}")


def bad_keys(keys: object) -> TypeError:
    """Return the error for an argument that must be an iterable of keys."""
    return TypeError(f"keys must be an iterable of keys, got {shown(keys)}")


def checked_shards(value: object) -> int:
    """Return `value` as a number of shards in [1, 65535], or raise."""
    number = checked_int("num_shards", "[1, 65535]", value, 65536)
    if not number:
        raise ValueError("num_shards must be an int in [1, 65535], got 0")
    return number


def _shard(value: object) -> int:
    return checked_int("shard", "[0, 65534]", value, 65535)


def bitmap_of(shards: "Iterable[int]") -> tuple[bytes, int, int]:
    """Return the shards as hash2's bitmap, with the lowest and the highest id."""
    ids = [_shard(shard) for shard in shards]
    if not ids:
        raise ValueError("shards must not be empty")
    bitmap = bytearray(8192)
    for shard in ids:
        bitmap[shard >> 3] |= 1 << (shard & 7)
    return bytes(bitmap), min(ids), max(ids)


def checked_points(points: "Iterable[tuple[int, int]]") -> list[tuple[int, int]]:
    """Return the points of a ring sorted by value, then by shard, or raise."""
    ring = sorted(
        (checked_int("value", "[0, 2**32)", value, 1 << 32), _shard(shard))
        for value, shard in points
    )
    if not ring:
        raise ValueError("points must not be empty")
    return ring


def checked_names(names: "Iterable[tuple[bytes, int]]") -> list[tuple[bytes, int]]:
    """Return `names` as a list of (name, shard) pairs, or raise."""
    pairs = []
    for name, shard in names:
        if not isinstance(name, bytes):
            raise TypeError(f"a name must be bytes, got {shown(name)}")
        pairs.append((bytes(name), _shard(shard)))
    if not pairs:
        raise ValueError("names must not be empty")
    return pairs


def low_bytes(key: str | bytes) -> bytes:
    """Return the low byte of every character, as pymemcache hashes it.

    Bytes that are not valid UTF-8 are returned unchanged.
    """
    try:
        text = key.decode() if isinstance(key, bytes) else key
    except UnicodeDecodeError:
        return bytes(key)  # type: ignore[arg-type]  # only bytes are decoded
    return bytes(ord(character) & 0xFF for character in text)
