"""What happens by itself in a demo that nobody clicks: acts at their times, each with its caption.

No I/O and no threads: ``Story.due`` is asked again and again, and does what is due.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from ..errors import UsageError
from .engine import Engine

__all__ = ["ACTS", "Act", "Story"]


class Act(NamedTuple):
    """At so many seconds: an action, and what the page says from then on."""

    at: float
    caption: str
    action: str = ""
    server: int | None = None


ACTS: Final = (
    Act(
        0,
        "The same load runs over both. The database is slow at times, so the plain cache soon "
        "stores what a writer has just replaced: a stale read.",
    ),
    Act(
        12,
        "A hundred callers miss one key at once. A lease lets one of them load it.",
        "stampede",
    ),
    Act(
        24,
        "Server 1 is killed. Its keys come from the database now; godropbox refuses their writes "
        "while it cannot be sure that no reader sees the old value.",
        "kill",
        1,
    ),
    Act(36, "Server 1 is back, empty, and its keys fill again.", "start", 1),
    Act(
        48,
        "Server 0 is stopped: it holds its values and answers nothing. The plain cache cannot "
        "delete what is written meanwhile.",
        "stop",
        0,
    ),
    Act(58, "It goes on, with what it held: the plain cache serves that.", "start", 0),
    Act(70, "A server is added. Under hash2 only the keys that it takes over move.", "add"),
    Act(82, "Your turn: kill, stop, start and add servers, or call the crowd again."),
)


class Story:
    """The acts of a demo, until they are over or a person takes over."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        self._begun = clock()
        self._next = 0
        self._is_over = False

    def due(self) -> None:
        """Do the acts whose time has come."""
        while not self._is_over and self._next < len(ACTS):
            act = ACTS[self._next]
            if self._clock() - self._begun < act.at:
                return
            self._next += 1
            self._engine.caption = act.caption
            if act.action:
                try:
                    self._engine.act(act.action, act.server)
                except UsageError as error:  # the fleet in memory cannot be stopped, say
                    self._engine.note(f"not done: {error}")

    def end(self) -> None:
        """Do no more: a person has taken over."""
        if not self._is_over and self._next < len(ACTS):
            self._engine.caption = ACTS[-1].caption
        self._is_over = True
