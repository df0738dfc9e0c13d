"""What sources have in common that look from time to time: a thread a question. No I/O.

A look-up of a name cannot be called off. So whoever waits for the answer of a question waits for a
queue, which ``close`` ends at once, whatever the question's thread still does.
"""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final

from ..._forks import begin_again_in_child
from ..._kernels._args import shown
from ..._kernels._guarded import text_of
from ..._kernels._identity import refuse_copies
from ..errors import InvalidArgumentError, InvalidTypeError
from .types import Answer, SourceError

__all__ = ["PolledSource", "checked_seconds"]

_GRACE: Final = 0.5  # seconds for a question to say itself that it is late


class PolledSource:
    """A source that is asked every `interval` seconds by ``_ask``, and within `timeout`."""

    is_polled: Final = True
    __reduce_ex__ = refuse_copies

    def __init__(
        self, name: str, interval: float, timeout: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._name: Final = name
        self._interval = checked_seconds("interval", interval, 0.01, 86400)
        self._timeout: Final = checked_seconds("timeout", timeout, 0.01, 600)
        self._clock: Final = clock
        self._turn = _Turn()
        begin_again_in_child(self)

    def _forked(self) -> None:
        self._turn = _Turn()

    def _ask(self) -> Answer:
        """Ask, in a thread of its own. Raises what is wrong; of ``SourceError`` the text is."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """What the source is, as a URL."""
        return self._name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>"

    def next(self, timeout: float) -> Answer | None:
        """Return what the source says, as soon as it is to be asked and has answered.

        Waits for that at most `timeout` seconds, then returns None. Raises ``SourceError``.
        """
        turn = self._turn
        deadline = self._clock() + timeout
        while True:
            if turn.is_over:
                raise SourceError(f"{self._name} was closed")
            now = self._clock()
            if turn.late_at is None and now >= turn.ask_at:
                self._begin_question(turn, now)
            if turn.late_at is not None and now >= turn.late_at:
                self._turn = _Turn()  # whatever comes of the question goes to the one that was
                raise SourceError(f"{self._name}: no answer within {self._timeout:g} s")
            until = min(deadline, turn.ask_at if turn.late_at is None else turn.late_at)
            try:
                if until > now:
                    reply = turn.replies.get(timeout=until - now)
                else:
                    reply = turn.replies.get_nowait()
            except Empty:
                if self._clock() >= deadline:
                    return None
            else:
                return self._taken(turn, reply)

    def _begin_question(self, turn: "_Turn", now: float) -> None:
        turn.late_at = now + self._timeout + _GRACE

        def run() -> None:
            reply: Any
            try:
                reply = self._ask()
            except BaseException as error:  # whoever waits must hear of anything
                reply = error
            turn.replies.put(reply)

        threading.Thread(target=run, name="godropbox discovery question", daemon=True).start()

    def _taken(self, turn: "_Turn", reply: Any) -> Answer:
        turn.late_at = None
        turn.ask_at = 0.0
        if isinstance(reply, SourceError):
            raise reply
        if isinstance(reply, BaseException):
            raise SourceError(f"{self._name}: {text_of(reply)}") from reply
        turn.ask_at = self._clock() + self._interval
        answer: Answer = reply
        return answer

    def close(self) -> None:
        """End the question under way: a call of ``next`` raises at once; another begins anew."""
        turn, self._turn = self._turn, _Turn()
        turn.is_over = True
        turn.replies.put(SourceError(f"{self._name} was closed"))


class _Turn:
    """The questions from the first one, or from ``close``, to the next ``close``.

    `late_at`: when the question under way is late, None where there is none. `ask_at`: when to ask.
    """

    __slots__ = ("ask_at", "is_over", "late_at", "replies")

    def __init__(self) -> None:
        self.replies: SimpleQueue[Any] = SimpleQueue()
        self.late_at: float | None = None
        self.ask_at = 0.0
        self.is_over = False


def checked_seconds(name: str, value: Any, least: float, most: float) -> float:
    """Return a number of seconds in [least, most]."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTypeError(f"{name} must be a number of seconds, got {shown(value)}")
    if not least <= value <= most:
        raise InvalidArgumentError(
            f"{name} must be in [{least:g}, {most:g}] seconds, got {value!r}"
        )
    return float(value)
