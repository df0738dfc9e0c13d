"""A writer of values in parts, as a process to be killed: ``python -m support.parts_writer``.

Each value is one version over and over, whose number says how long it is: so a reader sees whether
it has one whole version.
"""

import random
import sys
from contextlib import suppress

from godropbox.memcache import Client, NetworkError, NotSupportedError, ServerError

__all__ = ["KEYS", "PART", "is_whole", "value_of"]

KEYS = tuple(f"key{i}" for i in range(16))
PART = 16_384
# Times eight bytes: from less than a part to twenty of them. Few, so that parts of two versions
# have the same length.
_LENGTHS = (200, 5_000, 20_000, 40_000)


def value_of(version: int) -> bytes:
    """Return the value of a version: its eight bytes, as often as it says."""
    return version.to_bytes(8, "big") * _LENGTHS[version % len(_LENGTHS)]


def is_whole(value: bytes) -> bool:
    """Return whether a value is one whole version."""
    return value == value_of(int.from_bytes(value[:8], "big"))


def write_for_ever(addresses: list[str], seed: int) -> None:
    """Write versions that nobody else writes, in every way, until killed."""
    chance = random.Random(seed)
    version = seed << 32
    client = Client(addresses, timeout=2.0, large_values="split", part_size=PART)
    while True:
        version += 1
        key, value = chance.choice(KEYS), value_of(version)
        expire = chance.choice((0, 1, 100))
        # A server that dies when it is asked for its dialect looks like one that knows no meta.
        with suppress(NetworkError, ServerError, NotSupportedError):
            match chance.randrange(12):
                case 0:
                    client.add(key, value, expire)
                case 1:
                    client.replace(key, value, expire)
                case 2:
                    _, token = client.gets(key)
                    if token:
                        client.cas(key, value, token, expire)
                case 3:
                    more = value_of(version + 1)
                    client.set_many({key: value, chance.choice(KEYS): more}, expire)
                    version += 1
                case 4:
                    client.delete(key)
                case 5:
                    client.touch(key, 100)
                case 6 | 7:
                    client.get_or_set(key, lambda made=value: made, 100, wait=0.2)  # type: ignore[misc]
                case _:
                    client.set(key, value, expire)


if __name__ == "__main__":
    write_for_ever(sys.argv[2:], int(sys.argv[1]))
