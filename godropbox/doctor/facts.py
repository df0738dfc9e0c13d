"""What was found out of a server, and a finding about it: plain data, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ..memcache.types import Dialect

__all__ = ["Facts", "Finding", "Level", "Reached"]


class Level(Enum):
    """How grave a finding is: ``ERROR`` does not work, ``WARNING`` calls for action."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: of what, in a sentence, and what to do about it, if anything.

    `code` is the name of the rule, for programs.
    """

    level: Level
    code: str
    subject: str
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Reached:
    """One address that a server's name stands for, and how connecting there went.

    `seconds` is how long that took, `error` why it failed, None if it did not.
    """

    address: str
    seconds: float
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one server said and did. Times are seconds.

    - `reached`: the addresses of its name, in the order in which a client tries them; empty for a
      Unix socket. `lookup_error` is why there are none.
    - `error`: why it could not be asked, None if it could.
    - `tls`: protocol and cipher of the TLS session, empty without TLS; `certificate_days`: for how
      many days its certificate is still valid, None if that is unknown.
    - `stats` and `settings`: what it says of itself, empty for proxies.
    - `skew`: its clock less ours; `skew_error` is how far off that may be. None if it was not said.
    - `pings`: the times of round trips, in the order in which they were made.
    - `limit`: the time that a client would wait, which `pings` are compared with.
    """

    address: str
    reached: tuple[Reached, ...] = ()
    lookup_error: Exception | None = None
    error: Exception | None = None
    tls: str = ""
    certificate_days: float | None = None
    dialect: Dialect | None = None
    stats: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    largest_chunk: int | None = None
    skew: float | None = None
    skew_error: float = 1.0
    pings: tuple[float, ...] = ()
    limit: float = 1.0

    def number(self, name: str) -> int | None:
        """Return a statistic or a setting as a number, None if there is none of that name."""
        text = self.stats.get(name, self.settings.get(name, ""))
        return int(text) if text.isdigit() else None
