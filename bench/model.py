"""What a benchmark is made of: groups of cases, cases of rows. No timing, no output.

A row is one way of doing the case's work: an expression, the names it uses, and what is right.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = [
    "RESULT",
    "AtMost",
    "Case",
    "Faster",
    "Group",
    "MissingError",
    "Names",
    "Row",
    "Target",
    "Within",
    "WrongError",
]

Names = Mapping[str, Any]

# The clock of a group whose rows measure themselves: what a statement gives is its seconds.
RESULT: Final = "result"


class MissingError(Exception):
    """What a row needs is not there; its message becomes the row."""


class WrongError(Exception):
    """A row's result is not right, so that its speed means nothing."""


@dataclass(frozen=True, slots=True)
class AtMost:
    """The row takes at most `times` the time of row `of`."""

    times: float
    of: str

    def judge(self, ratio: float) -> tuple[str, bool]:
        """Return the target in words, with the figure, and whether it is met."""
        return f"{ratio:.4g}x {self.of}, at most {self.times:g}x", ratio <= self.times


@dataclass(frozen=True, slots=True)
class Faster:
    """The row is at least `times` as fast as row `of`."""

    times: float
    of: str

    def judge(self, ratio: float) -> tuple[str, bool]:
        """Return the target in words, with the figure, and whether it is met."""
        rate = 1 / ratio
        return f"{rate:.4g}x as fast as {self.of}, at least {self.times:g}x", rate >= self.times


@dataclass(frozen=True, slots=True)
class Within:
    """The row takes at most so many seconds; `why` says where the figure comes from."""

    seconds: float
    why: str

    def judge(self, time: float) -> tuple[str, bool]:
        """Return the target in words, with the figure, and whether it is met."""
        words = f"{time * 1e9:,.0f} ns, at most {self.seconds * 1e9:,.0f} ns ({self.why})"
        return words, time <= self.seconds


Target = AtMost | Faster | Within


def _no_check(result: Any, names: Names) -> None:
    """Accept anything: for floors, whose result is beside the point."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way of doing the work.

    - `label`: what the table calls it; unique in its case.
    - `expression`: what is timed, in terms of the names that `make` gives.
    - `make`: takes the group's resource and returns the names. It imports what it needs (an
      ``ImportError`` makes the row "missing", as ``MissingError`` does). A name ``close``, if there
      is one, is called when the case is over.
    - `loop`: ``"key in keys"`` times ``for key in keys: expression``, and checks the list.
    - `operations`: how many operations one turn is: an expression, ``"len(keys)"``.
    - `check`: takes the result (of a loop: the list) and the names; raises ``WrongError``.
    - `kind`: ``"native"``, ``"pure"``, ``"peer"`` or ``"floor"``; it chooses the colour.
    - `peer`: its name in ``peers.PEERS``.
    - `other`: it computes another function than ours, so that only its cost compares.
    - `target`: one, or several that all hold; printed as met or missed, and no run fails for it.
    - `env`: if set, the row lives in a worker process that has these variables.
    """

    label: str
    expression: str
    make: Callable[[Any], Names]
    loop: str = ""
    operations: str = "1"
    check: Callable[[Any, Names], None] = _no_check
    kind: str = "peer"
    peer: str = ""
    other: bool = False
    target: Target | tuple[Target, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def targets(self) -> tuple[Target, ...]:
        """All its targets."""
        if self.target is None:
            return ()
        return self.target if isinstance(self.target, tuple) else (self.target,)

    @property
    def statement(self) -> str:
        """What is timed, whole."""
        return f"for {self.loop}: {self.expression}" if self.loop else self.expression

    @property
    def result(self) -> str:
        """The expression whose value is checked."""
        return f"[{self.expression} for {self.loop}]" if self.loop else self.expression


@dataclass(frozen=True, slots=True)
class Case:
    """Rows that do the same work; `floor` and `ours` are the labels that ratios are taken to.

    `about` is a few words that go with the name. `base` says that the floor is no lower bound
    but what the others are measured against.
    """

    name: str
    rows: tuple[Row, ...]
    floor: str
    ours: str = "native"
    about: str = ""
    base: bool = False

    def row(self, label: str) -> Row:
        """Return the row of that label."""
        return next(row for row in self.rows if row.label == label)


@dataclass(frozen=True, slots=True)
class Group:
    """Cases of one subject: a table and a chart each.

    `unit` is what one operation is. `resource` opens what all cases share (a server, say) and
    gives something JSON can carry to a worker: an address. `share` is the part of the rounds and of
    a row's longest time that its cases get. `clock` is what the rows are timed by: a
    clock's name in the module ``time``, or `RESULT`.
    """

    name: str
    title: str
    about: str
    unit: str
    cases: tuple[Case, ...]
    resource: Callable[[], AbstractContextManager[Any]] = nullcontext
    clock: str = "perf_counter"
    share: float = 1.0

    def case(self, name: str) -> Case:
        """Return the case of that name."""
        return next(case for case in self.cases if case.name == name)
