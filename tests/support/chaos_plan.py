"""What a chaos run is to do, as its processes read it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """A chaos run: how long, with what, and the limits of the cache, which are short on purpose.

    `doubt` is the part of the storage's writes whose reply is lost. With `plain` the processes
    use a plain cache-aside instead of the consistent one.
    """

    seconds: float
    seed: int = 1
    addresses: tuple[str, ...] = ()
    workers: int = 4
    threads: int = 2  # of each worker
    servers: int = 3
    megabytes: int = 2
    keys: int = 30
    timeout: float = 0.15
    lease_life: int = 2
    sentinel_life: int = 4
    storage_limit: float = 1.5
    settle_limit: float = 1.0
    doubt: float = 0.005
    plain: bool = False

    def write(self, folder: Path) -> None:
        """Write the plan for the processes of the run."""
        (folder / "plan").write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> "Plan":
        """Read the plan of a run."""
        fields: dict[str, Any] = json.loads((folder / "plan").read_text())
        return cls(**{**fields, "addresses": tuple(fields["addresses"])})
