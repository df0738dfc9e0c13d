"""Copies that are followed: what their originals were, and what becomes of a copy that is old."""

from collections.abc import Sequence
from typing import Final

from ..errors import DropboxError
from ..memcache.errors import NotSupportedError
from .task import Task

__all__ = ["Followed", "without_tokens"]

_NO_TOKEN: Final = -1  # no item's


class Followed:
    """The copies of a task that are right as far as anyone knows.

    `known` are the tokens of an original and of its copy, and where both are, by their key.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self.known: Final[dict[bytes, tuple[int, int, int, int]]] = {}
        # Copies that are to be deleted, and could not be so far: where, and of which token.
        self._owed: dict[bytes, tuple[int, int]] = {}

    def begin_pass(self) -> None:
        """Delete what is owed, and forget the tokens of servers that were restarted."""
        self.settle()
        task = self._task
        if not task.settings.follow:
            return
        task.try_all_again()
        anew = {i for i in task.sources if task.end(task.before.servers[i]).was_restarted()}
        empty = {i for i in task.targets if task.end(task.after.servers[i]).was_restarted()}
        for key, (_, token, source, target) in list(self.known.items()):
            if target in empty:
                del self.known[key]
            elif source in anew:  # which counts its tokens anew, so that one of them may be known
                self.known[key] = _NO_TOKEN, token, source, target

    def withdraw(self, keys: Sequence[bytes]) -> None:
        """Delete those copies of keys that were made before and are right no more."""
        for key in keys:
            known = self.known.pop(key, None)
            if known is not None:
                self._task.counts.deleted += self.take_back(known[3], [(key, known[1])])

    def learn(self, target: int, keys: list[bytes]) -> None:
        """Ask for the tokens of copies. Raises ``NotSupportedError`` where there are none."""
        server = self._task.after.servers[target]
        try:
            tokens = self._task.end(server).tokens(keys)
        except (DropboxError, OSError) as error:
            self._task.fails(server, error, 0)
            return
        for key, token in zip(keys, tokens, strict=True):
            if token == 0:
                raise without_tokens(server.name)
            cas, _, source, _ = self.known[key]
            self.known[key] = cas, token or 0, source, target

    def take_back(self, target: int, copies: Sequence[tuple[bytes, int]]) -> int:
        """Delete copies that still have these tokens; 0 is any. Return how many are gone.

        The others are owed: ``settle`` tries again.
        """
        server = self._task.after.servers[target]
        done = 0
        try:
            errors = self._task.end(server).delete(copies)
        except (DropboxError, OSError) as error:
            self._task.fails(server, error, 0)
            errors = [error] * len(copies)
        else:
            for failure in errors:
                if failure is not None:
                    self._task.fails(server, failure, 0)
        for (key, token), failure in zip(copies, errors, strict=True):
            if failure is None:
                done += 1
            else:
                self._owed[key] = target, token
        return done

    def settle(self) -> None:
        """Try to delete what is owed."""
        owed, self._owed = self._owed, {}
        by_target: dict[int, list[tuple[bytes, int]]] = {}
        for key, (target, token) in owed.items():
            if key not in self.known:  # else it was found to be right since
                by_target.setdefault(target, []).append((key, token))
        for target, copies in by_target.items():
            self.take_back(target, copies)

    def doubt(self, target: int, keys: Sequence[bytes]) -> None:
        """Have copies deleted that may have been stored, although no answer came."""
        self._owed.update(dict.fromkeys(keys, (target, 0)))

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
                if lost:
                    copies = [(key, self.known.pop(key)[1]) for key in lost]
                    self._task.counts.deleted += self.take_back(target, copies)


def without_tokens(name: str) -> NotSupportedError:
    """Return the error for a server whose items have no tokens."""
    return NotSupportedError(
        f"{name} gives its items no tokens (memcached -C), by which copies are followed"
    )
