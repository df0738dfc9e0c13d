"""What happens to a source's answer: followed, not followed, or followed later. No I/O.

``Rules`` has the fleet in force, and is given answers and the time. Once it had a server it is
never without. It has no clock: `now` is in seconds, of a clock that never goes back.

============================================= ==================================================
an answer that                                is
============================================= ==================================================
says what is in force                         ``UNCHANGED``
has no server                                 ``EMPTY``: not followed
cannot be understood                          ``MALFORMED``: not followed
has a smaller version than the one in force   ``OLDER``: followed once every answer was, for
                                              `confirm_after`: the source began anew
takes away too much at once                   ``HELD``: followed once the source said the same
                                              for `confirm_after`; a question without a good
                                              answer in between has that begin anew
comes within `min_interval` of a change       ``DAMPED``: the last one is followed after that
is any other                                  ``ACCEPTED``
============================================= ==================================================
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from ..._kernels._args import shown
from ..._kernels._guarded import text_of
from ..address import parse_address, same_name, same_server
from ..errors import UsageError
from ..fleet.shards import ShardState
from .types import Answer, Server, SourceError

__all__ = ["Limits", "Rules", "Verdict", "checked_answer", "natural"]

_MOST_SERVERS: Final = 65535
_NUMBER: Final = re.compile(r"([0-9]+)")


class Verdict(Enum):
    """What became of an answer, of a question without one, or of the file of the last good one."""

    ACCEPTED = "accepted"
    UNCHANGED = "unchanged"
    OLDER = "older"
    EMPTY = "empty"
    MALFORMED = "malformed"
    HELD = "held"
    DAMPED = "damped"
    FAILED = "failed"
    RESTORED = "restored"
    UNREADABLE = "unreadable"
    UNKEPT = "unkept"


class Limits(NamedTuple):
    """How much may change, and how soon; ``FollowOptions`` says what each means."""

    min_interval: float = 1.0
    max_change: float | None = 0.5
    confirm_after: float = 10.0


class _Doubt(NamedTuple):
    """An answer to be confirmed; `since` the source has said so without a break."""

    answer: Answer
    since: float


class Rules:
    """The fleet in force, and what of the answers is followed. For one thread at a time."""

    def __init__(self, limits: Limits, source: str = "the source") -> None:
        self._limits = limits
        self._source = source
        self._answer: Answer | None = None  # the one in force
        self._next: Answer | None = None  # one to be followed, at once unless it is damped
        self._doubt: _Doubt | None = None
        self._older: tuple[float, int] | None = None  # since when answers are, and the last version
        self._changed_at: float | None = None
        self._retry_at: float | None = None  # when to try again to follow the next one
        self._counts = dict.fromkeys(Verdict, 0)
        self._checked: tuple[Any, Answer] | None = None  # the last one, for it often comes again
        self._known: _Known = {}

    @property
    def servers(self) -> tuple[Server, ...]:
        """The fleet in force; empty until there is one."""
        return () if self._answer is None else self._answer.servers

    @property
    def version(self) -> int | None:
        """The version of the fleet in force, None where the source does not count."""
        return None if self._answer is None else self._answer.version

    @property
    def held(self) -> tuple[Server, ...]:
        """The servers of an answer that is to be confirmed; empty where none is."""
        return () if self._doubt is None else self._doubt.answer.servers

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each verdict came, by its value."""
        return {verdict.value: count for verdict, count in self._counts.items()}

    def count(self, verdict: Verdict) -> None:
        """Count a verdict."""
        self._counts[verdict] += 1

    def restore(self, answer: Answer) -> None:
        """Note that this checked fleet is in force, the last good one of an earlier run."""
        self._answer = answer

    def judge(self, answer: Any, now: float) -> Verdict:
        """Return what becomes of an answer; ``due`` has it when it is to be followed.

        Raises ``SourceError`` for one that is malformed.
        """
        try:
            if self._checked is None or self._checked[0] != answer:
                checked, self._known = _checked_answer(answer, self._source, self._known)
                self._checked = answer, checked
        except SourceError:
            self.count(Verdict.MALFORMED)
            self.interrupted()
            raise
        verdict = self._judged(self._checked[1], now)
        if verdict is not Verdict.ACCEPTED:  # which is counted once it is in force
            self.count(verdict)
        return verdict

    def _judged(self, answer: Answer, now: float) -> Verdict:
        if not answer.servers:
            self._doubt = None  # for the source says another thing now
            return Verdict.EMPTY
        is_older = self._is_older(answer, now)
        since = now
        if self._doubt is not None and _places(self._doubt.answer) == _places(answer):
            since = self._doubt.since
        doubts = []
        if is_older and not self._is_over(self._older and self._older[0], now):
            doubts.append(Verdict.OLDER)
        if self._takes_too_much(answer) and not self._is_over(since, now):
            doubts.append(Verdict.HELD)
        if doubts:
            self._doubt = _Doubt(answer, since)
            return doubts[0]
        self._doubt = self._older = None
        if answer.servers == self.servers:
            self._answer, self._next = answer, None
            return Verdict.UNCHANGED
        waiting, self._next = self._next, answer
        self._retry_at = None
        if not self._damped_for(now):
            return Verdict.ACCEPTED
        is_new = waiting is None or waiting.servers != answer.servers
        return Verdict.DAMPED if is_new else Verdict.UNCHANGED

    def _is_older(self, answer: Answer, now: float) -> bool:
        """Return whether an answer is older than the last that is followed; note since when."""
        latest = self._next or self._answer
        if (
            latest is None
            or latest.version is None
            or answer.version is None
            or answer.version >= latest.version
        ):
            self._older = None
            return False
        goes_on = self._older is not None and answer.version >= self._older[1]
        since = self._older[0] if self._older is not None and goes_on else now
        self._older = since, answer.version
        return True

    def _is_over(self, since: float | None, now: float) -> bool:
        """Return whether what was said without a break `since` then is confirmed by now."""
        return since is not None and now - since >= self._limits.confirm_after

    def _takes_too_much(self, answer: Answer) -> bool:
        """Return whether so many servers vanish or move that the answer may be wrong."""
        most = self._limits.max_change
        if most is None or not self.servers:
            return False
        places = {server.name: server.address for server in answer.servers}
        gone = sum(server.name not in places for server in self.servers)
        moved = sum(places.get(each.name, each.address) != each.address for each in self.servers)
        if gone + moved >= most * len(self.servers) and (gone or moved > 1):
            return True
        # Without a server that is read, a fleet is as good as empty.
        return _has_active(self.servers) and not _has_active(answer.servers)

    def interrupted(self) -> None:
        """Note that a question has no good answer: what was to be confirmed begins anew."""
        self._doubt = self._older = None

    def lacks_word(self, now: float) -> bool:
        """Return whether an answer was held back for so long that it is followed if said again.

        The silence of a source that tells of changes may be that of one that hangs, so it confirms
        nothing: whoever follows it has it read anew.
        """
        return self._doubt is not None and self._confirmed_in(self._doubt, now) <= 0

    def _confirmed_in(self, doubt: _Doubt, now: float) -> float:
        """Return in how many seconds the same answer is followed."""
        since = doubt.since if self._older is None else max(doubt.since, self._older[0])
        return since + self._limits.confirm_after - now

    def due(self, now: float) -> Answer | None:
        """Return the answer to follow now, None where there is none."""
        return None if self._next is None or self._damped_for(now) else self._next

    def _damped_for(self, now: float) -> float:
        """Return for how many seconds the next answer still waits. Changes of states do not."""
        if self._next is None:
            return 0.0
        at = now if self._retry_at is None else self._retry_at
        is_change = self._answer is None or _places(self._next) != _places(self._answer)
        if is_change and self._changed_at is not None:
            at = max(at, self._changed_at + self._limits.min_interval)
        return max(0.0, at - now)

    def followed(self, now: float) -> None:
        """Note that the answer that was ``due`` is in force."""
        if (
            self._answer is None
            or self._next is None
            or _places(self._next) != _places(self._answer)
        ):
            self._changed_at = now
        self._answer, self._next = self._next, None
        self.count(Verdict.ACCEPTED)

    def refused(self, retry_at: float) -> None:
        """Note that the answer that was ``due`` could not be put in force; it is due again then.

        One that comes before replaces it.
        """
        self._retry_at = retry_at
        self.count(Verdict.MALFORMED)

    def wait(self, now: float, longest: float) -> float:
        """Return how many seconds it is until something may be due, at most `longest`."""
        times = [longest]
        if self._next is not None:
            times.append(self._damped_for(now))
        if self._doubt is not None:
            confirmed = self._confirmed_in(self._doubt, now)
            if confirmed > 0:  # and if not it takes an answer
                times.append(confirmed)
        return min(times)


def _places(answer: Answer) -> list[tuple[str, str]]:
    """Return what places keys and connections: the names and addresses, without the states."""
    return [server[:2] for server in answer.servers]


def _has_active(servers: tuple[Server, ...]) -> bool:
    return any(server.state is ShardState.ACTIVE for server in servers)


def checked_answer(answer: Any, source: str = "the source") -> Answer:
    """Return an answer with its servers checked, in their order.

    That is the source's if it has one, and else by name, where cache-2 comes before cache-10.
    Raises ``SourceError``, which names `source`.
    """
    return _checked_answer(answer, source, {})[0]


# A server, and what is the same for all spellings of its name and of its address.
_Known = dict[Server, tuple[Server, Any, Any]]


def _checked_answer(answer: Any, source: str, known: _Known) -> tuple[Answer, _Known]:
    """Return an answer, checked, and what its servers are the same as, of which some is `known`."""
    same: _Known = {}
    try:
        version, given, is_ordered = answer
        listed = list(given)
        if len(listed) > _MOST_SERVERS:
            raise SourceError(f"{source} gave {len(listed)} servers, more than {_MOST_SERVERS}")
        servers = []
        for each in listed:
            found = known.get(each) or _checked(each)
            same[found[0]] = found
            servers.append(found[0])
    except (TypeError, ValueError, UsageError) as error:
        raise SourceError(f"{source} gave what is no list of servers: {text_of(error)}") from None
    if version is not None and type(version) is not int:
        raise SourceError(f"{source} gave a version that is no int: {shown(version)}")
    for i, word in enumerate(("name", "address"), 1):
        identities = [same[server][i] for server in servers]
        if len(set(identities)) < len(identities):
            first, second = _twins(servers, identities)
            raise SourceError(
                f"{source} gave two servers of one {word}: {first.name!r} at {first.address!r}"
                f" and {second.name!r} at {second.address!r}"
            )
    if not is_ordered:
        servers.sort(key=lambda server: natural(server.name))
    return Answer(version, tuple(servers), bool(is_ordered)), same


def _twins(servers: list[Server], known: list[Any]) -> tuple[Server, Server]:
    seen: dict[Any, Server] = {}
    for server, each in zip(servers, known, strict=True):
        if each in seen:
            return seen[each], server
        seen[each] = server
    raise AssertionError("all differ")


def _checked(given: Any) -> tuple[Server, Any, Any]:
    name, address, state = given
    server = Server(name, address, ShardState(state))
    return server, same_name(name), same_server(parse_address(address))


def natural(name: str) -> tuple[Any, ...]:
    """Return what sorts names with the numbers in them by value; equal for equal names alone."""
    parts = _NUMBER.split(name)
    for i in range(1, len(parts), 2):
        digits = parts[i].lstrip("0")
        parts[i] = f"{len(digits):08}{digits}"  # as int, of which Python limits the length
    return (*parts, "", name)
