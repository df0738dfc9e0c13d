"""Copies that are followed: what their originals were, and what becomes of a copy that is old."""

from collections.abc import Sequence
from typing import Final

from ..errors import DropboxError
from .task import Task

__all__ = ["Followed"]


class Followed:
    """The copies of a task that are right as far as anyone knows.

    `known` are the tokens of an original and of its copy, and where both are, by their key.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self.known: Final[dict[bytes, tuple[int, int, int, int]]] = {}

    def withdraw(self, keys: Sequence[bytes]) -> None:
        """Delete those copies of keys that were made before and are right no more."""
        for key in keys:
            known = self.known.pop(key, None)
            if known is not None:
                self.take_back(known[3], [(key, known[1])])
                self._task.counts.deleted += 1

    def learn(self, target: int, keys: list[bytes]) -> None:
        """Ask for the tokens of copies."""
        server = self._task.after.servers[target]
        try:
            tokens = self._task.end(server).tokens(keys)
        except (DropboxError, OSError) as error:
            self._task.fails(server, error, 0)
            return
        for key, token in zip(keys, tokens, strict=True):
            cas, _, source, _ = self.known[key]
            self.known[key] = cas, token or 0, source, target

    def take_back(self, target: int, copies: Sequence[tuple[bytes, int]]) -> None:
        """Delete copies that still have these tokens; 0 is any."""
        server = self._task.after.servers[target]
        try:
            for error in self._task.end(server).delete(copies):
                self._task.fails(server, error, 0)
        except (DropboxError, OSError) as error:
            self._task.fails(server, error, 0)

    def forget_gone(self, seen: set[bytes]) -> None:
        """Delete the copies of those keys that their sources do not have any more."""
        gone: dict[tuple[int, int], list[bytes]] = {}
        for key, (_, _, source, target) in self.known.items():
            if key not in seen:
                gone.setdefault((source, target), []).append(key)
        for (source, target), keys in gone.items():
            end = self._task.end(self._task.before.servers[source])
            for at in range(0, len(keys), self._task.settings.batch):
                some = keys[at : at + self._task.settings.batch]
                try:
                    tokens = end.tokens(some)
                except (DropboxError, OSError) as error:
                    self._task.fails(self._task.before.servers[source], error, 0)
                    break
                lost = [key for key, token in zip(some, tokens, strict=True) if token is None]
                self.take_back(target, [(key, self.known[key][1]) for key in lost])
                self._task.counts.deleted += len(lost)
                for key in lost:
                    del self.known[key]
