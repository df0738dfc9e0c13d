"""Which keys are copied: the keys of a source, as it lists them, that move to a target."""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..errors import DropboxError
from ..memcache import KeyInfo
from ..memcache.errors import InvalidArgumentError
from .ends import listed_keys
from .planning import CHUNK
from .task import Step, Task

__all__ = ["Candidate", "Listing"]

_UNSENDABLE: Final = re.compile(rb"[\x00-\x20\x7f]")
_STRAYS: Final = 100  # fewer prove nothing


class Candidate(NamedTuple):
    """A key that moves from one server's number to another's."""

    source: int
    target: int
    info: KeyInfo


@dataclass(slots=True)
class _Count:
    """What a thread that lists keys has to tell."""

    done: int = 0
    error: Exception | None = None


class Listing:
    """Lists what is to be copied; of `known` keys those whose originals have another token."""

    def __init__(self, task: Task, known: Mapping[bytes, tuple[int, int, int, int]]) -> None:
        self._task = task
        self._known = known
        self._old, self._new = task.before.placement(), task.after.placement()
        self._ours, self._theirs = task.before.names, task.after.names

    def check_strays(self) -> None:
        """Raise ``InvalidArgumentError`` if most keys so far are not where the fleet looks."""
        counts = self._task.counts
        if counts.strays <= max(_STRAYS, counts.listed / 2) or self._task.settings.allow_strays:
            return
        raise InvalidArgumentError(
            f"{counts.strays:,} of {counts.listed:,} keys are not where the fleet looks for them: "
            "is it another shard function, another order of servers, or is there a prefix? If an "
            "earlier fleet left them, allow strays"
        )

    def find(self, source: int, seen: set[bytes], some: list[Candidate]) -> Iterator[Step]:
        """Put the keys of a source that move into `some`.

        A thread of its own reads the list: while nobody reads, memcached holds the lock of a part
        of its keys, and stops whoever asks for one of them (seen with 1.6.18).
        """
        server = self._task.before.servers[source]
        count = _Count()

        def read() -> None:
            chunk: list[KeyInfo] = []
            try:
                listed = listed_keys(self._task.end(server).client)
                with closing(listed):
                    for info in listed:
                        chunk.append(info)
                        if len(chunk) >= CHUNK // 4:
                            some.extend(self._moving(source, chunk, seen))
                            count.done += len(chunk)
                            chunk = []
                            if self._task.is_stopped:
                                return
                some.extend(self._moving(source, chunk, seen))
            except Exception as error:
                count.error = error

        total = self._items(source)
        thread = threading.Thread(target=read, name=f"keys of {server.name}", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
            yield Step("list", server.name, count.done, max(total, count.done))
        if isinstance(count.error, (DropboxError, OSError)):
            self._task.fails(server, count.error, 0)
        elif count.error is not None:
            raise count.error

    def _items(self, source: int) -> int:
        """Return how many items a server says that it has; 0 if it does not answer."""
        try:
            entries = self._task.end(self._task.before.servers[source]).client.stats().entries
        except (DropboxError, OSError):
            return 0  # listing its keys says why
        return sum(int(each.get("curr_items", 0)) for each in entries.values())

    def _moving(self, source: int, infos: Sequence[KeyInfo], seen: set[bytes]) -> list[Candidate]:
        """Return the keys that live on a source and move to a target."""
        prefix = self._task.settings.prefix
        if prefix:
            infos = [info for info in infos if info.key.startswith(prefix)]
            keys = [info.key[len(prefix) :] for info in infos]
        else:
            keys = [info.key for info in infos]
        self._task.counts.listed += len(keys)
        old, new = self._old.of_many(keys), self._new.of_many(keys)
        found = []
        ours, theirs, targets = self._ours, self._theirs, self._task.targets
        for info, at, to in zip(infos, old, new, strict=True):
            if at != source:
                self._task.counts.strays += 1
            elif to in targets and ours[at] != theirs[to] and to not in self._task.given_up:
                known = self._known.get(info.key)
                if known is not None:
                    seen.add(info.key)
                    if known[0] == info.cas:
                        continue
                if _UNSENDABLE.search(info.key):
                    self._task.counts.unsendable += 1
                    continue
                found.append(Candidate(source, to, info))
        return found
