"""What the tests of shard managers share: addresses, keys, connections to nothing, a clock."""

from godropbox import memcache

__all__ = ["DOWN", "FLEET", "KEYS", "Clock", "Connections"]

FLEET = [f"10.0.0.{i}:11211" for i in range(8)]
KEYS = [f"user:{i * 7919:08}:profile" for i in range(400)]
DOWN = memcache.ConnectionLostError("refused")


class Connections:
    """Opens connections that do nothing, and knows which are open."""

    def __init__(self) -> None:
        self.open: list[Connection] = []
        self.opened = 0

    def __call__(self, address: str) -> "Connection":
        self.opened += 1
        self.open.append(Connection(self, address))
        return self.open[-1]

    def addresses(self) -> list[str]:
        return sorted(each.address for each in self.open)


class Connection:
    def __init__(self, owner: Connections, address: str) -> None:
        self.owner = owner
        self.address = address

    def close(self) -> None:
        self.owner.open.remove(self)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
