"""``FileSource``: a fleet that somebody writes to a file, which is looked at again and again."""

import json
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ..._forks import begin_again_in_child
from ..._kernels._args import shown
from ..._kernels._guarded import text_of
from ..._kernels._identity import refuse_copies
from ..errors import InvalidArgumentError, InvalidTypeError
from ..fleet.shards import ShardState
from .files import read_regular
from .rules import checked_answer
from .types import Answer, Server, SourceError

__all__ = ["FileSource"]

_FRESH: Final = 50_000_000  # nanoseconds: a write so soon after another may have the same time
_COMMENT: Final = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_IPV6: Final = re.compile(r"\[[^]\s,\"]*:[^]\s,\"]*](:[0-9]+)?\s")
_STATES: Final = {state.name.lower(): state for state in ShardState}

_Look = tuple[int, int, int, int]


class FileSource:
    """A fleet in the file at `path`, in the order of the file.

    The file is looked at every `interval` seconds (0.01 to 3600), and read again when it has
    another time, size or inode: replaced by a rename, written in place, or behind a symbolic link
    that points elsewhere, as in a ConfigMap. It is one of these:

    - JSON: a list of addresses, or of objects with ``address``, ``name`` and ``state``, of which
      only the first is needed; or an object with such a list as ``servers``;
    - mcrouter's JSON, ``{"pools": {"A": {"servers": [...]}}}``, of which `pool` is one: it may be
      left out where there is one alone; comments (``//``, ``/* */``) are allowed in any JSON;
    - lines, each an address, with a name in front and a state behind if need be; after a name the
      address has a port, a dot or a slash; ``#`` begins a comment.

    What is no such file, or is half written, raises ``SourceError``, and is read again at once the
    next time. A file without servers is an empty answer.
    """

    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        *,
        pool: str | None = None,
        interval: float = 0.2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise InvalidTypeError(f"path must be the path of a file, got {shown(path)}")
        if "\0" in os.fspath(path):
            raise InvalidArgumentError(f"path must have no NUL, got {shown(os.fspath(path))}")
        if isinstance(interval, bool) or not isinstance(interval, (int, float)):
            raise InvalidTypeError(f"interval must be a number of seconds, got {shown(interval)}")
        if not 0.01 <= interval <= 3600:
            raise InvalidArgumentError(f"interval must be in [0.01, 3600] seconds, got {interval}")
        if pool is not None and not isinstance(pool, str):
            raise InvalidTypeError(f"pool must be a str or None, got {shown(pool)}")
        self._path: Final = Path(path)
        self._pool: Final = pool
        self._interval: Final = interval
        self._clock: Final = clock
        self._seen: _Look | None = None  # when the file was read
        self._unended: _Look | None = None  # when its last line had no end
        self._is_fresh = False  # whether to wait before the next look
        self._closing = threading.Event()  # of the call of ``next`` under way
        begin_again_in_child(self)

    def _forked(self) -> None:
        self._closing = threading.Event()

    @property
    def name(self) -> str:
        """The file, as a URL."""
        return f"file:{self._path}" + (f"?pool={self._pool}" if self._pool else "")

    def next(self, timeout: float) -> Answer | None:
        """Return what the file says, at once the first time and then when it has changed."""
        closing = self._closing
        deadline = self._clock() + timeout
        while True:
            if closing.is_set():
                raise SourceError(f"{self.name} was closed")
            if not self._is_fresh and self._look() != self._seen:
                answer = self._read()
                if answer is not None:
                    return answer
            left = deadline - self._clock()
            if left <= 0:
                return None
            closing.wait(min(self._interval, left))
            self._is_fresh = False

    def close(self) -> None:
        """End a call of ``next`` under way: it raises at once; another begins anew."""
        closing, self._closing = self._closing, threading.Event()
        self._seen = None
        closing.set()

    def _look(self) -> _Look:
        try:
            return _look_of(self._path.stat())
        except (OSError, ValueError) as error:  # the latter for text that no path can have
            self._seen = None
            raise SourceError(f"{self.name} cannot be read: {text_of(error)}") from error

    def _read(self) -> Answer | None:
        """Return what the file says, None if it has to be looked at once more."""
        self._seen = None
        try:
            data, found = read_regular(self._path)
        except (OSError, ValueError) as error:
            raise SourceError(f"{self.name} cannot be read: {text_of(error)}") from error
        look = _look_of(found)
        try:
            text = data.decode("utf-8-sig")
            servers = parse_servers(text, self._pool)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{self.name} is no list of servers: {text_of(error)}") from None
        answer = checked_answer(Answer(None, tuple(servers), is_ordered=True), self.name)
        if text[-1:] not in ("", "\n", "]", "}") and self._unended != look:
            self._unended = look  # the last line may be half written: see whether it stays so
            return None
        self._is_fresh = time.time_ns() - look[0] < _FRESH
        self._seen = None if self._is_fresh else look
        return answer


def _look_of(found: os.stat_result) -> _Look:
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev


def parse_servers(text: str, pool: str | None = None) -> list[Server]:
    """Return the servers of a text, as ``FileSource`` takes it. Raises ``ValueError``."""
    plain = _without_comments(text)
    if plain.lstrip()[:1] in ("{", "[") and not _IPV6.match(plain.lstrip() + "\n"):
        return [_server(each) for each in _listed(json.loads(plain), pool)]
    if pool is not None:
        raise ValueError(f"there is no pool {pool!r} in lines of servers")
    servers = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if len(words) > 3:
            raise ValueError(f"line {number} must be [name] address [state], got {shown(line)}")
        if words:
            servers.append(_of_line(number, words))
    return servers


def _of_line(number: int, words: list[str]) -> Server:
    """Return the server of a line: `address`, `name address`, `address state`, or all three."""
    state = ShardState.ACTIVE
    # Of two words the second is an address only if it cannot be a state that is misspelt.
    if len(words) == 3 or (len(words) == 2 and not any(sign in words[1] for sign in ".:/")):
        state = _state(words.pop(), f"line {number}")
    return Server(words[0], words[-1], state)


def _state(word: Any, where: str) -> ShardState:
    if isinstance(word, str) and word.lower() in _STATES:
        return _STATES[word.lower()]
    known = ", ".join(state.name for state in ShardState)
    raise ValueError(f"the state of {where} must be one of {known}, got {shown(word)}")


def _listed(found: Any, pool: str | None) -> list[Any]:
    """Return the list of servers in JSON that was read."""
    if isinstance(found, dict) and isinstance(found.get("pools"), dict):
        pools = found["pools"]
        if pool is None and len(pools) == 1:
            (pool,) = pools
        if pool is None:
            raise ValueError(
                f"it has {len(pools)} pools, so that pool= must name one of {_names(pools)}"
            )
        if pool not in pools:
            raise ValueError(f"it has no pool {pool!r}, but {_names(pools)}")
        found = pools[pool]
    elif pool is not None:
        raise ValueError(f"it has no pools, and so no pool {pool!r}")
    if isinstance(found, dict):
        if "servers" not in found:
            raise ValueError(f"it must have a list of servers, got an object of {_names(found)}")
        found = found["servers"]
    if not isinstance(found, list):
        raise ValueError(f"servers must be a list, got {shown(found)}")
    return found


def _names(found: dict[str, Any]) -> str:
    return ", ".join(map(repr, sorted(found)[:10])) or "none"


def _server(each: Any) -> Server:
    if isinstance(each, str):
        return Server(each, each)
    if not isinstance(each, dict) or not isinstance(each.get("address"), str):
        raise ValueError(f"a server must be an address, or an object with one, got {shown(each)}")
    name = each.get("name", each["address"])
    if not isinstance(name, str):
        raise ValueError(f"the name of {each['address']!r} must be a str, got {shown(name)}")
    return Server(name, each["address"], _state(each.get("state", "ACTIVE"), repr(name)))


def _without_comments(text: str) -> str:
    """Return JSON without comments, which mcrouter allows; text in quotes stays as it is."""
    return _COMMENT.sub(lambda found: found[1] or "", text)
