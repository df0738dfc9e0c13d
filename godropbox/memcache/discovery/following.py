"""What a follower does between one question and the next, for a thread and for a task. No I/O.

``Following.steps`` yields what to do and is sent what came of it, or is thrown the exception: a
driver asks the source, changes the manager, reads and writes the file, and waits. Hooks are called
in between.
"""

import logging
from collections.abc import Generator
from typing import Any, Final, NamedTuple

from ..._kernels._guarded import text_of
from ...resource_pool import LameDuckError
from ..fleet.manager import ShardStatus
from .options import FollowEvent, FollowOptions, FollowStatus
from .rules import Rules, Verdict, checked_answer
from .types import Answer, Server, SourceError

__all__ = ["Apply", "Ask", "Following", "Keep", "Load", "Pause", "Renew", "Step", "log"]

log: Final = logging.getLogger("godropbox.memcache.discovery")

_LONGEST_QUESTION: Final = 5.0  # seconds
_SHORTEST_QUESTION: Final = 0.01
_POISON: Final = (Verdict.EMPTY, Verdict.OLDER, Verdict.HELD)


class Load(NamedTuple):
    """Read the file, and send its answer, None if there is no file."""


class Ask(NamedTuple):
    """Ask the source, and send its answer, None for no news; `seconds` is how long at most."""

    seconds: float


class Apply(NamedTuple):
    """Change the manager's fleet; it is sent None."""

    states: list[ShardStatus]


class Keep(NamedTuple):
    """Write the file; it is sent None."""

    answer: Answer


class Pause(NamedTuple):
    """Wait, and be sent None."""

    seconds: float


class Renew(NamedTuple):
    """Close the source, so that the next question begins anew; it is sent None."""


Step = Load | Ask | Apply | Keep | Pause | Renew


class Following:
    """The state of following one source. One thread runs ``steps``; any may read ``status``.

    `is_polled`: whether the source tells only what it finds when it looks, so that its silence
    confirms nothing.
    """

    def __init__(self, name: str, options: FollowOptions, is_polled: bool = False) -> None:
        self.name = name
        self._options = options
        self._is_polled = is_polled
        self._rules = Rules(options.limits, name)
        self._answered_at: float | None = None
        self._error: str | None = None
        self._complaint: Verdict | None = None  # the last one logged
        self._failures = 0
        self._refusals = 0  # of the manager
        self._is_restored = False
        self._may_renew = False  # whether the source told anything since it last began anew
        self._unkept: Answer | None = None  # what is to be written to the file
        self._keep_at = 0.0  # when to try
        self._keep_failures = 0

    @property
    def has_fleet(self) -> bool:
        """Whether a fleet is in force."""
        return bool(self._rules.servers)

    def status(self) -> FollowStatus:
        """Return how following goes."""
        rules, at = self._rules, self._answered_at
        age = None if at is None else max(0.0, self._options.clock() - at)
        return FollowStatus(
            self.name,
            rules.servers,
            rules.version,
            age,
            rules.counts,
            rules.held,
            self._error,
            self._is_restored,
        )

    def steps(self) -> Generator[Step, Any, None]:
        """Yield what to do, for ever, until a manager is found closed."""
        clock = self._options.clock
        if self._options.keep is not None and not self.has_fleet:
            yield from self._start_with_file()
        while True:
            seconds = self._rules.wait(clock(), _LONGEST_QUESTION)
            pause = 0.0
            try:
                answer = yield Ask(max(seconds, _SHORTEST_QUESTION))
                if answer is None and self._may_renew and self._rules.lacks_word(clock()):
                    self._may_renew = False
                    yield Renew()
            except Exception as error:
                pause = self._failed(error)
            else:
                pause = self._heard(answer)
            if not (yield from self._follow()):
                return
            yield from self._keep()
            if pause:
                yield Pause(self._rules.wait(clock(), pause) or _SHORTEST_QUESTION)

    def _start_with_file(self) -> Generator[Step, Any, None]:
        try:
            answer = yield Load()
            if answer is None:
                return
            answer = checked_answer(answer, self.name)
            yield Apply(_states(answer))
        except Exception as error:
            self._rules.count(Verdict.UNREADABLE)
            self._complain(Verdict.UNREADABLE, error)
            return
        self._rules.restore(answer)
        self._is_restored = True
        self._rules.count(Verdict.RESTORED)
        log.info("%s: started with the %d servers of the file", self.name, len(answer.servers))
        self._tell(Verdict.RESTORED, added=tuple(each.name for each in answer.servers))

    def _heard(self, answer: Any) -> float:
        """Judge what the source said; return for how long to leave it alone."""
        now = self._options.clock()
        if answer is None:
            return 0.0
        self._may_renew = not self._is_polled
        try:
            verdict = self._rules.judge(answer, now)
        except SourceError as error:
            return self._failed(error, Verdict.MALFORMED)
        if self._failures and self._complaint is not None:
            log.info("%s: answers again", self.name)
        self._failures = 0
        self._error = None
        self._answered_at = now
        if verdict in _POISON:
            self._complain(verdict)
        elif verdict is Verdict.DAMPED:
            self._tell(verdict)
        elif verdict is Verdict.UNCHANGED:
            self._complaint = None
            self._is_restored = False
        return 0.0

    def _failed(self, error: Exception, verdict: Verdict = Verdict.FAILED) -> float:
        """Note that a question has no good answer; return when to ask again."""
        self._may_renew = False
        if verdict is Verdict.FAILED:
            self._rules.count(verdict)
            self._rules.interrupted()
        self._complain(verdict, error)
        self._failures += 1
        return self._retry_in(self._failures)

    def _retry_in(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row."""
        options = self._options
        longest = options.retry_after * 2.0 ** min(failures - 1, 100)
        return min(longest, options.max_retry_after) * (1 - options.random() / 2)

    def _follow(self) -> Generator[Step, Any, bool]:
        """Put in force what is due; return whether to go on."""
        rules = self._rules
        answer = rules.due(self._options.clock())
        if answer is None:
            return True
        before = rules.servers
        try:
            yield Apply(_states(answer))
        except LameDuckError:
            return False  # the manager was closed
        except Exception as error:
            # A source that tells only of changes would not say it again.
            self._refusals += 1
            rules.refused(self._options.clock() + self._retry_in(self._refusals))
            self._complain(Verdict.MALFORMED, error)
            return True
        rules.followed(self._options.clock())
        if self._refusals:
            self._refusals, self._error = 0, None
        self._complaint = None
        self._is_restored = False
        change = _difference(before, answer.servers)
        log.info("%s: %s", self.name, _in_words(change, len(answer.servers)))
        self._tell(Verdict.ACCEPTED, *change)
        if self._options.keep is not None:
            self._unkept, self._keep_at = answer, self._options.clock()
        return True

    def _keep(self) -> Generator[Step, Any, None]:
        """Write the file if it is to be, again and again until that succeeds."""
        clock = self._options.clock
        if self._unkept is None or clock() < self._keep_at:
            return
        try:
            yield Keep(self._unkept)
        except Exception as error:
            self._rules.count(Verdict.UNKEPT)
            if not self._keep_failures:
                self._log(Verdict.UNKEPT, error)
            self._tell(Verdict.UNKEPT, error=error)
            self._keep_failures += 1
            self._keep_at = clock() + self._retry_in(self._keep_failures)
        else:
            if self._keep_failures:
                log.info("%s: the fleet is kept in the file again", self.name)
            self._unkept, self._keep_failures = None, 0

    def _complain(self, verdict: Verdict, error: Exception | None = None) -> None:
        """Say in the log what is wrong, unless that was the last thing said, and tell hooks."""
        if error is not None:
            self._error = text_of(error)
        if verdict is not self._complaint:
            self._complaint = verdict
            self._log(verdict, error)
        self._tell(verdict, error=error)

    def _log(self, verdict: Verdict, error: Exception | None) -> None:
        count = len(self._rules.servers)
        kept = f"; the fleet of {count} servers stays" if count else "; there is no fleet yet"
        text = _words(verdict, error).removeprefix(self.name).removeprefix(":").lstrip()
        log.warning("%s: %s%s", self.name, text, kept)

    def _tell(
        self,
        verdict: Verdict,
        added: tuple[str, ...] = (),
        removed: tuple[str, ...] = (),
        changed: tuple[str, ...] = (),
        error: Exception | None = None,
    ) -> None:
        if not self._options.hooks:
            return
        rules = self._rules
        fleet = rules.servers, rules.version
        event = FollowEvent(self.name, verdict.value, *fleet, added, removed, changed, error)
        for hook in self._options.hooks:
            try:
                hook(event)
            except KeyboardInterrupt:
                raise
            except BaseException:
                log.exception("%s: a hook failed at %s", self.name, verdict.value)


_Change = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def _states(answer: Answer) -> list[ShardStatus]:
    return [
        ShardStatus(address, state, "" if name == address else name)
        for name, address, state in answer.servers
    ]


def _difference(before: tuple[Server, ...], after: tuple[Server, ...]) -> _Change:
    """Return the names of servers that are new, that are gone, and of which anything changed."""
    old = {server.name: server for server in before}
    new = {server.name: server for server in after}
    return (
        tuple(name for name in new if name not in old),
        tuple(name for name in old if name not in new),
        tuple(name for name in new if name in old and new[name] != old[name]),
    )


def _in_words(change: _Change, count: int) -> str:
    kinds = zip(("new", "gone", "changed"), change, strict=True)
    parts = [f"{_some(names)} {kind}" for kind, names in kinds if names]
    return f"{count} servers, {', '.join(parts) or 'in another order'}"


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return " ".join(names[:5]) + more


def _words(verdict: Verdict, error: Exception | None) -> str:
    if error is not None:
        what = {
            Verdict.UNREADABLE: "the file is no use: ",
            Verdict.UNKEPT: "not kept in the file: ",
        }
        return what.get(verdict, "") + text_of(error)
    return {
        Verdict.EMPTY: "it says that there is no server",
        Verdict.OLDER: "what it says is older than the fleet in force",
        Verdict.HELD: "so much of the fleet is gone at once that it has to be confirmed",
    }[verdict]
