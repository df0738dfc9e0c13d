"""Steps over whole servers: one exchange on every shard that is not DOWN. No I/O."""

from collections.abc import Callable
from typing import Any

from .fleet.manager import ShardManager
from .fleet.shards import ShardState
from .outcomes import refused, require_open, together
from .protocol.auto import dialect_of
from .protocol.base import Protocol
from .responses import (
    Response,
    StatsResponse,
    VersionResponse,
)
from .steps import Visit
from .types import Dialect, ResponseStatus

__all__ = [
    "AllShards",
    "Examined",
]


class AllShards:
    """An exchange on every shard that is not DOWN; a read is asked once more if it `repeats`."""

    __slots__ = ("_make", "visits")

    def __init__(
        self, manager: ShardManager, make: Callable[[], Any], repeats: bool = False
    ) -> None:
        require_open(manager)
        self._make = make
        shards = [each for each in manager.fleet().shards if each.state != ShardState.DOWN]
        self.visits = [Visit(each, [make()], repeats) for each in shards]

    def again(self) -> list[Any]:
        """Return the visits to make once more: those of reads whose connections were lost."""
        lost = [visit for visit in self.visits if visit.is_to_repeat()]
        for visit in lost:
            visit.repeat([self._make()])
        return lost

    def response(self) -> Response:
        """Return the status of all, and what went wrong."""
        _, status, error = self._result()
        return Response(status, error)

    def versions(self) -> VersionResponse:
        """Return the versions of the servers that answered."""
        answers, status, error = self._result()
        found = {shard: text for shard, answer in answers for text in answer.versions.values()}
        return VersionResponse(status, found, error)

    def statistics(self) -> StatsResponse:
        """Return the statistics of the servers that answered."""
        answers, status, error = self._result()
        found = {shard: rows for shard, answer in answers for rows in answer.entries.values()}
        return StatsResponse(status, found, error)

    def _result(self) -> tuple[list[tuple[int, Any]], ResponseStatus, Exception | None]:
        """Return the answers with their shards' ids, the status of all, and what went wrong."""
        answers: list[tuple[int, Any]] = []
        errors: list[Exception] = []
        for visit in self.visits:
            if isinstance(visit.outcome, Exception):
                errors.append(visit.outcome)
            else:
                answer = visit.outcome[0]
                answers.append((visit.shard.id, answer))
                if answer.error is not None:
                    errors.append(refused(visit.shard, None, answer.error))
        return answers, *together(errors, len(self.visits))


class Examined:
    """The question which dialect each server speaks that is not DOWN."""

    __slots__ = ("_spoken", "visits")

    def __init__(self, manager: ShardManager, protocol: Protocol) -> None:
        require_open(manager)
        self._spoken = protocol.capabilities.protocol
        shards = manager.fleet().shards
        self.visits = [
            Visit(each, protocol.examine()) for each in shards if each.state != ShardState.DOWN
        ]

    def dialects(self) -> dict[str, Dialect]:
        """Return what was found of each server, by its address."""
        found = {}
        for visit in self.visits:
            outcome = visit.outcome
            if isinstance(outcome, Exception):
                version = getattr(outcome, "fields", {}).get("version")
                found[visit.shard.address] = Dialect(None, version, (), outcome)
                continue
            for answer in outcome:
                if answer.error is not None:
                    refused(visit.shard, None, answer.error)
            found[visit.shard.address] = dialect_of(self._spoken, outcome)
        return found
