"""A client of the explorer as a graph of the places where it may stand.

A generator cannot be copied or compared, but it can be replayed: a node is where it stands after
some history of outcomes, and histories that lead to the same frame with the same locals are one
node. That holds for generators that keep what they know in locals: ``test_explorer`` checks it.
"""

from collections.abc import Callable, Generator, Hashable
from dataclasses import replace
from types import FunctionType, GeneratorType
from typing import Any

__all__ = ["DEAD", "LIVE", "Client", "ClientGraph", "Numbers", "Steps", "dead"]

# Those of the protocol take its steps, others may take the explorer's own besides.
Steps = Generator[Any, Any, Any]
Client = Callable[[int], Steps]


class Numbers:
    """Gives things small numbers, the same one to equal things."""

    def __init__(self) -> None:
        self.things: list[Any] = []
        self._numbers: dict[Hashable, int] = {}

    def of(self, thing: Hashable) -> int:
        number = self._numbers.get(thing)
        if number is None:
            number = self._numbers[thing] = len(self.things)
            self.things.append(thing)
        return number


LIVE, DEAD = 1, 0  # tokens: of the entry that is there, and of any other


class ClientGraph:
    """A client's generator as a graph: a node is where it stands, and knows what it wants next.

    `answers` gives the outcomes of a step that nobody else can see or change, and None for the
    others: such steps are taken at once, which loses no interleaving. Readers share one of these,
    and know a lease as theirs or as another's.
    """

    def __init__(
        self, make: Client, number: int, answers: Callable[[Any, int], Any], merged: bool = True
    ) -> None:
        self._make = make
        self._number = number
        self._answers = answers
        self._merged = merged
        self._nodes = Numbers()
        self._histories: list[tuple[Any, ...]] = []
        self._next: dict[tuple[int, Any], tuple[int, ...]] = {}
        self._aged: dict[int, int] = {}
        self.wants: list[Any] = []  # by node: the step it wants, None for one that has returned
        self.results: list[Any] = []  # by node: what it returned
        self.starts = self._nodes_of(())

    def _nodes_of(self, history: tuple[Any, ...]) -> tuple[int, ...]:
        """Return the nodes of a history: one, or those after the steps that are taken at once."""
        steps = self._make(self._number)
        wanted, result = None, None
        try:
            wanted = next(steps)
            for outcome in history:
                wanted = steps.send(outcome)
        except StopIteration as stop:
            wanted, result = None, stop.value
        tries = sum(outcome is True for outcome in history)
        answers = self._answers(wanted, tries)
        if answers is not None:
            return tuple(n for answer in answers for n in self._nodes_of((*history, answer)))
        standing = (_standing(steps), wanted, result, tries)
        node = self._nodes.of(standing if self._merged else history)
        if node == len(self.wants):
            self.wants.append(wanted)
            self.results.append(result)
            self._histories.append(history)
        return (node,)

    def next(self, node: int, outcome: Any) -> tuple[int, ...]:
        """Return the nodes after an outcome."""
        found = self._next.get((node, outcome))
        if found is None:
            found = self._nodes_of((*self._histories[node], outcome))
            self._next[node, outcome] = found
        return found

    def aged(self, node: int) -> int:
        """Return the node once the entry has changed, and its token is dead."""
        found = self._aged.get(node)
        if found is None:
            (found,) = self._nodes_of(tuple(dead(outcome) for outcome in self._histories[node]))
            self._aged[node] = found
        return found


def _standing(steps: Any) -> tuple[Any, ...]:
    """Return where a generator stands: for it and those within, the instruction and the locals."""
    frames = []
    while steps is not None and steps.gi_frame is not None:
        frame = steps.gi_frame
        held = {name: _known(value) for name, value in frame.f_locals.items()}
        frames.append((frame.f_code, frame.f_lasti, tuple(sorted(held.items()))))
        steps = steps.gi_yieldfrom
    return tuple(frames)


def _known(value: Any) -> Any:
    """Return what a local says, without the address of any object."""
    if isinstance(value, GeneratorType):
        return repr(_standing(value))
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return repr((value.__qualname__, [_known(cell) for cell in cells]))
    return repr(value)


def dead(thing: Any) -> Any:
    """Return an outcome, or a step that is delayed, with its token dead."""
    return thing if getattr(thing, "token", None) is None else replace(thing, token=DEAD)
