"""A fleet in ZooKeeper, over kazoo: ephemeral children of a node, or one node of JSON.

Plain watches alone are used, set anew with each read: kazoo's ``ChildrenWatch`` ends without a word
when its node is deleted. What is watched only wakes whoever waits in ``next``, so kazoo's threads
never wait. A version is the number of ZooKeeper's latest transaction (zxid) on anything that was
read, which grows whatever is deleted and made again; a node's own version begins anew.
"""

import contextlib
import json
import logging
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

from ..._forks import begin_again_in_child
from ..._kernels._args import shown
from ..._kernels._guarded import brief, text_of
from ..._kernels._identity import refuse_copies
from ...errors import UsageError
from ..address import parse_address
from ..errors import InvalidArgumentError, InvalidTypeError
from ..fleet.shards import ShardState
from .entries import (
    as_query,
    checked_name,
    checked_seconds,
    checked_state,
    is_server_name,
    list_with_state,
    server_of,
    servers_of,
    states_of,
    states_with,
    with_states,
)
from .types import Answer, Server, SourceError

__all__ = ["Registration", "ZooKeeperSource"]

_LAYOUTS: Final = ("children", "node")
_STATES: Final = "-states"
# ZooKeeper takes no larger requests (jute.maxbuffer), and closes the connection without a word.
_LARGEST: Final = 1_000_000
# kazoo's own longest pause between two tries to connect is a minute.
_RETRY: Final = {"max_tries": -1, "delay": 0.05, "backoff": 2, "max_delay": 1.0}
_LONGEST_PAUSE: Final = 0.05
_LOG: Final = "godropbox.memcache.discovery.kazoo"
_END: Final = 0.5  # seconds for a session to end, before it is left to do so alone
# The state of a client whose login failed, which tries no more.
_REFUSED: Final = "AUTH_FAILED"
_CONNECTED: Final = "CONNECTED"


class ZooKeeperSource:
    """A fleet in ZooKeeper.

    `hosts` are addresses such as ``"zk-1:2181,zk-2:2181"``, or a list of them, with a chroot at the
    end if any. `layout` ``"children"``: each child of the node `path` is a server, named by the
    child, with its address or ``{"address": ..., "state": ...}`` as data; names with a dot in front
    are no servers, and the node ``PATH-states`` has the states that operators set. ``"node"``: the
    node holds ``{"servers": [{"name", "address", "state"}, ...]}``.

    `client` is a ``KazooClient`` that the caller started and stops, for whatever kazoo has besides;
    else one is made, with `auth` a scheme and its credential, such as ``("digest", "user:word")``,
    and `session` the seconds after which ZooKeeper takes a silent client for dead, clamped by the
    server. `timeout`: seconds for the answers to what is asked, for which a ``next`` that has begun
    to read waits. `refresh`: seconds after which all is read again, whatever the watches told.
    Raises ``UsageError`` where kazoo is missing.
    """

    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        hosts: str | Sequence[str],
        path: str,
        *,
        layout: str = "children",
        client: Any = None,
        auth: tuple[str, str] | None = None,
        timeout: float = 10.0,
        session: float = 10.0,
        refresh: float = 30.0,
    ) -> None:
        _check_kazoo()
        self._hosts = _checked_hosts(hosts)
        self._path = _checked_path(path)
        if layout not in _LAYOUTS:
            raise InvalidArgumentError(f"layout must be 'children' or 'node', got {shown(layout)}")
        self._layout = layout
        self._timeout = checked_seconds("timeout", timeout)
        self._refresh = checked_seconds("refresh", refresh)
        query = {} if layout == _LAYOUTS[0] else {"layout": layout}
        self._name = f"zookeeper://{self._hosts}{self._path}{as_query(query)}"
        self._seconds = checked_seconds("session", session)
        self._make = partial(_made, self._hosts, _checked_auth(auth), self._seconds)
        self._given = client
        self._session = self._begun()
        self._begin()
        begin_again_in_child(self)

    def _begin(self) -> None:
        self._tree: _Tree = _TREES[self._layout](self._name, self._path)
        self._read_at = 0.0
        self._problem: SourceError | None = None

    def _begun(self) -> "_Session":
        return _Session(self._name, self._make, self._given, self._timeout, self._seconds)

    def _forked(self) -> None:
        self._session.leave_to_parent()
        self._begin()

    @property
    def name(self) -> str:
        """What the source is, as a URL without a password."""
        return self._name

    def __repr__(self) -> str:
        return f"<ZooKeeperSource {self._name}>"

    def next(self, timeout: float) -> Answer | None:
        """Return what the source says: at once the first time, later when it may have changed.

        Waits for that at most `timeout` seconds, then returns None. Raises ``SourceError`` as
        ``Source.next`` says.
        """
        deadline = monotonic() + timeout
        session = self._session
        turn = session.turn
        client = session.connected(turn, deadline)
        refresh_at = self._read_at + self._refresh
        if not session.wait(turn, min(deadline, refresh_at)):
            if monotonic() < refresh_at:
                if self._problem is not None:
                    raise SourceError(str(self._problem))
                return None
            session.soil(None)
        if not client.connected:
            # Whatever happens in the meantime is not told.
            raise SourceError(f"{self._name}: the connection was lost")
        changed = session.take_changed()
        self._problem = None
        try:
            self._tree.read(_Asker(session, client, turn, self._timeout), changed)
            self._read_at = monotonic() if None in changed else self._read_at
        except BaseException:
            session.soil(None)
            raise
        try:
            return self._tree.said()
        except SourceError as error:
            self._problem = error
            raise

    def close(self) -> None:
        """End the session; a call of ``next`` under way ends at once, with an error."""
        self._session.close()

    def set_state(self, name: str, state: ShardState | None) -> None:
        """Set the state of the server `name`, for everyone; None takes back what was set.

        It is written only if nobody else has written meanwhile, else read and tried again, so
        operators lose nothing of each other's. May be called from any thread. Raises
        ``InvalidArgumentError`` for a name that is no server's, and ``SourceError`` where it could
        not be done in the source's timeout.
        """
        name, state = checked_name(name), checked_state(state)
        session = self._session
        turn = session.turn
        deadline = monotonic() + self._timeout
        failure = "others went on writing"
        while True:
            ask = _Asker(session, session.connected(turn, deadline), turn, self._timeout)
            try:
                if self._tree.set_state(ask, name, state):
                    return
            except _LostError as error:
                failure = str(error)  # it may have been set or not: the next round sees
            if monotonic() > deadline:
                raise SourceError(
                    f"{self._name}: the state of {name!r} was not set within {self._timeout:g} s: "
                    f"{failure}"
                )
            session.pause(turn, random.random() * _LONGEST_PAUSE)

    def register(
        self, name: str, address: str, state: ShardState = ShardState.ACTIVE
    ) -> "Registration":
        """Announce a server, for as long as this process lives or until that is closed.

        The child of that name is made from a thread, with a session of its own, and again after
        that has expired. While another session holds the name, such as that of a predecessor that
        crashed, this waits. For the layout ``"children"``. Raises ``InvalidArgumentError``,
        ``InvalidTypeError`` or ``UsageError``.
        """
        if self._layout != "children":
            raise UsageError(f"{self._name} is one node, and servers register as children")
        if not isinstance(state, ShardState):
            raise InvalidTypeError(f"state must be a ShardState, got {shown(state)}")
        checked_name(name)
        if "/" in name:
            raise InvalidArgumentError(f"name must have no slash in it, got {shown(name)}")
        parse_address(address)
        data = address if state is ShardState.ACTIVE else _entry(address, state)
        return Registration(self._begun(), f"{self._path}/{name}", data.encode())


class Registration:
    """A server that this process announces. Made by ``ZooKeeperSource.register``.

    A context manager, which closes it. In the child of a fork it does nothing: it is the parent's.
    """

    __reduce_ex__ = refuse_copies

    def __init__(self, session: "_Session", path: str, data: bytes) -> None:
        self._session = session
        self._path = path
        self._data = data
        self._turn = session.turn
        self._is_held = False
        self._problem: SourceError | None = None
        self._is_over = False
        begin_again_in_child(self)
        self._thread = threading.Thread(
            target=self._run, name="godropbox-registration", daemon=True
        )
        self._thread.start()

    def _forked(self) -> None:
        self._is_over = True
        self._is_held = False
        self._session.leave_to_parent()

    @property
    def is_held(self) -> bool:
        """Whether the server is announced, as far as was heard from ZooKeeper."""
        return self._is_held

    @property
    def problem(self) -> SourceError | None:
        """Why it is not announced, None where it is or nothing is known yet."""
        return self._problem

    def __repr__(self) -> str:
        state = "closed" if self._is_over else "held" if self._is_held else "not held"
        return f"<Registration of {self._path}: {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def wait(self, timeout: float) -> None:
        """Wait until the server is announced. Raises ``SourceError`` after `timeout` seconds."""
        checked_seconds("timeout", timeout)
        if not self._session.wait_for(lambda: self._is_held or self._is_over, timeout):
            raise SourceError(
                f"{self._session.name}: {self._path} was not announced within {timeout:g} s: "
                f"{self._problem or 'nothing was heard'}"
            )
        if self._is_over:
            raise SourceError(f"{self._session.name}: the registration was closed")

    def close(self) -> None:
        """Take the server back, and end."""
        was_over, self._is_over = self._is_over, True
        if was_over:
            return
        self._session.interrupt()
        if self._thread is not threading.current_thread():
            self._thread.join(_END)
        self._session.close()
        self._is_held = False

    def _run(self) -> None:
        pause = 0.1
        while not self._is_over:
            try:
                self._hold()
                pause = 0.1
            except Exception as error:  # of kazoo, too: without this thread nothing is announced
                if not isinstance(error, SourceError):
                    error = SourceError(f"{self._session.name}: {brief(error)}")
                self._say(False, error)
                with contextlib.suppress(SourceError):
                    self._session.pause(self._turn, pause * random.uniform(0.5, 1))
                pause = min(2 * pause, 2.0)
        if self._is_held and self._session.is_given:
            # The session goes on, so its node has to be deleted.
            with contextlib.suppress(Exception):
                self._delete()

    def _hold(self) -> None:
        """Make the node or find that it is there, and return when that may have changed."""
        session, turn = self._session, self._turn
        client = session.connected(turn, monotonic() + session.timeout)
        session.take_changed()
        ask = _Asker(session, client, turn, session.timeout)
        stat = ask.exists(self._path, watch=True)
        if stat is None:
            made = ask.create(self._path, self._data)
            if not made:
                return  # somebody else's came in between
            stat = ask.exists(self._path, watch=True)
        if stat is None:
            return
        mine = client.client_id
        if mine is None:
            raise SourceError(f"{session.name}: the connection was lost")
        if stat.ephemeralOwner == mine[0]:
            self._say(True, None)
        else:
            owner = (
                f"session {stat.ephemeralOwner:#x} has it" if stat.ephemeralOwner else "it stays"
            )
            self._say(False, SourceError(f"{session.name}: {self._path} is there, and {owner}"))
        session.wait(turn, monotonic() + session.timeout, until=lambda: self._is_over)
        if not client.connected:
            # It is held until the session has expired, which shows when the connection is back.
            session.connected(turn, monotonic() + session.timeout)

    def _delete(self) -> None:
        session, turn = self._session, self._session.turn
        client = session.connected(turn, monotonic() + _END)
        ask = _Asker(session, client, turn, _END)
        stat = ask.exists(self._path)
        if stat is not None and client.client_id and stat.ephemeralOwner == client.client_id[0]:
            ask.delete(self._path)

    def _say(self, is_held: bool, problem: SourceError | None) -> None:
        self._is_held, self._problem = is_held, problem
        self._session.interrupt()


class _LostError(SourceError):
    """The connection was lost with a request under way, which may have been carried out."""


class _Session:
    """A kazoo client, made here or given, and waiting for it that can be called off.

    Whoever waits has taken `turn` before; ``close`` begins another, which ends its waiting.
    `seconds` are those of a session. A client that had no connection for longer is replaced: its
    session is over, and a server that was wiped refuses it for ever, because it has seen later
    transactions than that server has.
    """

    def __init__(
        self, name: str, make: Callable[[], Any], given: Any, timeout: float, seconds: float
    ) -> None:
        self.name = name
        self.timeout = timeout
        self.is_given = given is not None
        self._make = make
        self._seconds = seconds
        # Since when there is no connection.
        self._away: float | None = None
        self._client: Any = given
        self._listened: Any = None
        self.turn = 0
        self._begin()

    def _begin(self) -> None:
        self._change = threading.Condition()
        # Paths of which a watch told something; None is for all.
        self._changed: set[str | None] = {None}

    def leave_to_parent(self) -> None:
        """Forget the client in the child of a fork: its session and threads are the parent's."""
        client, self._client = self._client, None
        self._listened = self._away = None
        self.turn += 1
        self._begin()
        if client is not None and not self.is_given:
            # The parent's session must not end, so only the copy of the socket is closed.
            with contextlib.suppress(Exception):
                client._connection._socket.close()

    def connected(self, turn: int, deadline: float) -> Any:
        """Return the client when it is connected. Raises ``SourceError`` at the deadline."""
        while True:
            client = self._started(turn)
            with self._change:
                while not client.connected and not self._is_hopeless(client):
                    self._check(turn)
                    left = deadline - monotonic()
                    if left <= 0:
                        given = f": the client given is {client.client_state}"
                        given = given if self.is_given else ""
                        raise SourceError(f"{self.name}: no server answers{given}")
                    # With looks in between: a first login that fails is told to no listener.
                    self._change.wait(min(left, 0.05))
                self._check(turn)
                if client.connected:
                    return client
            is_refused = client.client_state == _REFUSED
            if not self.is_given:
                self._drop(client)
            if is_refused:
                raise SourceError(f"{self.name}: the login was refused")

    def _is_hopeless(self, client: Any) -> bool:
        if client.client_state == _REFUSED:
            return True
        if self._away is None:
            self._away = monotonic()
        is_over = monotonic() - self._away > self._seconds
        return is_over and client.last_zxid > 0 and not self.is_given

    def _started(self, turn: int) -> Any:
        with self._change:
            self._check(turn)
            client = self._client
            if client is None:
                if self.is_given:
                    raise SourceError(f"{self.name}: the client given is of the parent process")
                client = self._client = self._make()
                client.add_listener(self._on_state)
                self._listened = client
                client.start_async()
            elif self._listened is None:
                client.add_listener(self._on_state)
                self._listened = client
            return client

    def _check(self, turn: int) -> None:
        if turn != self.turn:
            raise SourceError(f"{self.name} was closed")

    # kazoo's threads call these three.

    def _on_state(self, state: Any) -> None:
        if state == _CONNECTED:
            self._away = None
        elif self._away is None:
            self._away = monotonic()
        self.soil(None)

    def on_event(self, event: Any) -> None:
        """Take note of what a watch tells; without a path, it is of the session."""
        if event.type == "DELETED":
            # What its parent says of it comes a moment later, and belongs to it.
            self.soil(event.path.rpartition("/")[0])
        self.soil(event.path)

    def on_result(self, result: Any) -> None:
        self.interrupt()

    def soil(self, path: str | None) -> None:
        """Take note that a node, or all for None, may have changed."""
        with self._change:
            self._changed.add(path)
            self._change.notify_all()

    def interrupt(self) -> None:
        """Wake who waits, to see what has changed."""
        with self._change:
            self._change.notify_all()

    def take_changed(self) -> set[str | None]:
        """Return the paths that may have changed, and forget them."""
        with self._change:
            changed, self._changed = self._changed, set()
            return changed

    def wait(self, turn: int, deadline: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Wait until something may have changed; return whether. Raises when closed."""
        with self._change:
            while not self._changed and not until():
                self._check(turn)
                left = deadline - monotonic()
                if left <= 0:
                    return False
                self._change.wait(left)
            self._check(turn)
            return True

    def wait_for(self, test: Callable[[], bool], seconds: float) -> bool:
        """Wait until a test is passed; return whether."""
        with self._change:
            return self._change.wait_for(test, seconds)

    def pause(self, turn: int, seconds: float) -> None:
        """Wait for the time alone. Raises ``SourceError`` when closed."""
        until = monotonic() + seconds
        with self._change:
            while (left := until - monotonic()) > 0:
                self._check(turn)
                self._change.wait(left)
            self._check(turn)

    def result(self, result: Any, turn: int, deadline: float) -> Any:
        """Return what an asynchronous call of kazoo comes to; raise kazoo's errors."""
        result.rawlink(self.on_result)
        with self._change:
            while not result.ready():
                self._check(turn)
                left = deadline - monotonic()
                if left <= 0:
                    raise _LostError(f"{self.name}: no answer came in {self.timeout:g} s")
                self._change.wait(left)
            self._check(turn)
        return result.get(block=False)

    def close(self) -> None:
        """End a session that was made here; whoever waits is told."""
        with self._change:
            self.turn += 1
            self._changed = {None}
            client, self._client = self._client, self._client if self.is_given else None
            listened, self._listened, self._away = self._listened, None, None
            self._change.notify_all()
        if listened is not None:
            listened.remove_listener(self._on_state)
        if client is not None and not self.is_given:
            _end(client, _END)

    def _drop(self, client: Any) -> None:
        with self._change:
            if self._client is client:
                self._client = self._listened = self._away = None
                self._changed = {None}
        client.remove_listener(self._on_state)
        _end(client, 0.0)


def _end(client: Any, seconds: float) -> None:
    """End a client within this time or later: kazoo waits for a server that hangs, we do not."""

    def end() -> None:
        # What fails here is the end of a connection, which has failed then.
        with contextlib.suppress(Exception):
            client.stop()
        with contextlib.suppress(Exception):
            client.close()

    thread = threading.Thread(target=end, name="godropbox-zookeeper-end", daemon=True)
    thread.start()
    thread.join(seconds)


class _Asker:
    """Questions to ZooKeeper in one turn; kazoo's errors become ours."""

    def __init__(self, session: _Session, client: Any, turn: int, seconds: float) -> None:
        from kazoo import exceptions

        self._kazoo = exceptions
        self._session = session
        self._client = client
        self._turn = turn
        self._deadline = monotonic() + seconds
        self._watch = session.on_event

    def get(self, path: str, watch: bool = False) -> tuple[bytes, Any] | None:
        """Return a node's data and stat, None if there is no such node."""
        return next(self.get_all([path], watch))

    def get_all(
        self, paths: Iterable[str], watch: bool = False
    ) -> Iterator[tuple[bytes, Any] | None]:
        """Ask for all at once, and return data and stat of each."""
        asked = [
            (path, self._client.get_async(path, watch=self._watch if watch else None))
            for path in paths
        ]
        for path, each in asked:
            yield self._result(each, path)

    def exists(self, path: str, watch: bool = False) -> Any:
        """Return a node's stat, None if there is no such node."""
        asked = self._client.exists_async(path, watch=self._watch if watch else None)
        return self._result(asked, path)

    def children(self, path: str, watch: bool = False) -> tuple[list[str], Any] | None:
        """Return the names of a node's children and its stat, None if there is no such node."""
        told = self._watch if watch else None
        asked = self._client.get_children_async(path, watch=told, include_data=True)
        found: tuple[list[str], Any] | None = self._result(asked, path)
        return found

    def create(self, path: str, data: bytes, is_ephemeral: bool = True) -> bool:
        """Make a node; return False if there is one. Its parents are made too."""
        asked = self._client.create_async(path, data, ephemeral=is_ephemeral, makepath=True)
        try:
            return self._result(asked, path) is not None
        except self._kazoo.NodeExistsError:
            return False

    def set(self, path: str, data: bytes, version: int) -> bool:
        """Write a node's data; return False if it has another version, or is no more."""
        try:
            return self._result(self._client.set_async(path, data, version), path) is not None
        except self._kazoo.BadVersionError:
            return False

    def delete(self, path: str) -> None:
        """Delete a node, if there is one."""
        self._result(self._client.delete_async(path), path)

    def _result(self, asked: Any, path: str) -> Any:
        """Return what comes of a call, None if there is no such node."""
        kazoo, session = self._kazoo, self._session
        try:
            return session.result(asked, self._turn, self._deadline)
        except kazoo.NoNodeError:
            return None
        except (kazoo.NodeExistsError, kazoo.BadVersionError):
            raise
        except (
            kazoo.ConnectionLoss,
            kazoo.SessionExpiredError,
            kazoo.ConnectionClosedError,
        ) as error:
            raise _LostError(
                f"{session.name}: the connection was lost, asking for {path}"
            ) from error
        except kazoo.KazooException as error:
            said = text_of(error)
            said = type(error).__name__ + (f": {said}" if said else "")
            raise SourceError(f"{session.name}: {path}: {said}") from error


class _Children:
    """A node whose children are servers, and what was read of it so far."""

    def __init__(self, name: str, path: str) -> None:
        self._name = name
        self._path = path
        self._states_path = f"{path}{_STATES}"
        self._forget()

    def _forget(self) -> None:
        self._stat: Any = None
        self._names: list[str] = []
        # Data and stat by the servers' names; and what is understood of them.
        self._nodes: dict[str, tuple[bytes, Any]] = {}
        self._servers: dict[str, Server] = {}
        self._has_states_read = False
        self._states: tuple[bytes, Any] | None = None
        # The latest transaction that made or deleted a node beside this one.
        self._beside = 0

    def read(self, ask: _Asker, changed: set[str | None]) -> None:
        """Read, and watch, what may have changed."""
        if None in changed:
            self._forget()
        if self._stat is None or self._path in changed:
            self._read_names(ask)
        stale = [
            name
            for name in self._names
            if name not in self._nodes or f"{self._path}/{name}" in changed
        ]
        read = ask.get_all((f"{self._path}/{name}" for name in stale), watch=True)
        for name, found in zip(stale, read, strict=True):
            self._servers.pop(name, None)
            if found is None:  # since the names were read, and the watch of those tells
                self._nodes.pop(name, None)
            else:
                self._nodes[name] = found
        if not self._has_states_read or self._states_path in changed:
            self._read_states(ask)

    def _read_names(self, ask: _Asker) -> None:
        found = _watched(ask, self._path, partial(ask.children, self._path, watch=True))
        names, self._stat = found or ([], None)
        self._names = sorted(filter(is_server_name, names))
        for gone in self._nodes.keys() - set(self._names):
            del self._nodes[gone]
            self._servers.pop(gone, None)

    def _read_states(self, ask: _Asker) -> None:
        read = partial(ask.get, self._states_path, watch=True)
        self._states = _watched(ask, self._states_path, read)
        self._has_states_read = True
        if self._states is None:
            stat = ask.exists(self._path.rpartition("/")[0] or "/")
            self._beside = stat.pzxid if stat is not None else 0

    def said(self) -> Answer:
        """Return what the nodes say. Raises ``SourceError``."""
        if self._stat is None:
            raise SourceError(f"{self._name}: there is no such node")
        servers = []
        for name in self._names:
            if name in self._nodes:
                found = self._servers.get(name)
                if found is None:
                    found = server_of(f"{self._name}/{name}", name, self._nodes[name][0])
                    self._servers[name] = found
                servers.append(found)
        states, version = {}, self._beside
        if self._states is not None:
            states = states_of(f"{self._name}{_STATES}", self._states[0])
            version = self._states[1].mzxid
        # The stat of the parent counts deletions of children; it counts no changes of their data.
        version = max(version, self._stat.czxid, self._stat.pzxid)
        version = max([version, *(stat.mzxid for _, stat in self._nodes.values())])
        return Answer(version, with_states(servers, states))

    def set_state(self, ask: _Asker, name: str, state: ShardState | None) -> bool:
        """Set a server's state; return False if somebody else wrote meanwhile."""
        listed = ask.children(self._path)
        if listed is None:
            raise SourceError(f"{self._name}: there is no such node")
        held = ask.get(self._states_path)
        names = set(filter(is_server_name, listed[0]))
        text = states_with(self._name, held[0] if held is not None else b"", names, name, state)
        if text is None:
            return True
        _check_size(self._name, text)
        if held is None:
            return ask.create(self._states_path, text, is_ephemeral=False)
        return ask.set(self._states_path, text, held[1].version)


class _Node:
    """A node that holds a list of servers, and what was read of it."""

    def __init__(self, name: str, path: str) -> None:
        self._name = name
        self._path = path
        self._held: tuple[bytes, Any] | None = None

    def read(self, ask: _Asker, changed: set[str | None]) -> None:
        """Read and watch it."""
        self._held = _watched(ask, self._path, partial(ask.get, self._path, watch=True))

    def said(self) -> Answer:
        """Return what the node says. Raises ``SourceError``."""
        if self._held is None:
            raise SourceError(f"{self._name}: there is no such node")
        data, stat = self._held
        return Answer(stat.mzxid, servers_of(self._name, data), is_ordered=True)

    def set_state(self, ask: _Asker, name: str, state: ShardState | None) -> bool:
        """Set a server's state; return False if somebody else wrote meanwhile."""
        held = ask.get(self._path)
        if held is None:
            raise SourceError(f"{self._name}: there is no such node")
        text = list_with_state(self._name, held[0], name, state)
        if text is None:
            return True
        _check_size(self._name, text)
        return ask.set(self._path, text, held[1].version)


_Tree = _Children | _Node
_TREES: Final[dict[str, type[_Children] | type[_Node]]] = {"children": _Children, "node": _Node}


def _watched(
    ask: _Asker, path: str, read: Callable[[], tuple[Any, Any] | None]
) -> tuple[Any, Any] | None:
    """Return what is read of a node; if there is none, None, and a watch tells when it is made."""
    found = read()
    while found is None and ask.exists(path, watch=True) is not None:
        found = read()
    return found


def _made(hosts: str, auth: tuple[str, str] | None, session: float) -> Any:
    """Return a client that is not started."""
    from kazoo.client import KazooClient

    # It warns of each failed try; that a source is away is for its follower to say, once.
    log = logging.getLogger(_LOG)
    if log.level == logging.NOTSET:
        log.setLevel(logging.ERROR)
    logins = None if auth is None else [auth]
    retry = dict(_RETRY)
    return KazooClient(hosts, timeout=session, auth_data=logins, connection_retry=retry, logger=log)


def _check_kazoo() -> None:
    try:
        import kazoo.client  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "ZooKeeper is reached by the package kazoo: pip install godropbox[zookeeper]"
        ) from error


def _check_size(name: str, text: bytes) -> None:
    if len(text) > _LARGEST:
        raise SourceError(f"{name}: {len(text)} bytes are more than a node of ZooKeeper takes")


def _checked_hosts(value: Any) -> str:
    if not isinstance(value, (str, list, tuple)):
        raise InvalidTypeError(f"hosts must be a str or a list of them, got {shown(value)}")
    parts = [value] if isinstance(value, str) else value
    for each in parts:
        if not isinstance(each, str):
            raise InvalidTypeError(f"hosts must hold str, got {shown(each)}")
    hosts = ",".join(parts)
    if not hosts or "://" in hosts:
        raise InvalidArgumentError(f"hosts must be such as 'zk-1:2181,zk-2:2181', got {hosts!r}")
    for each in hosts.partition("/")[0].split(","):  # what follows a slash is the chroot
        try:
            parse_address(each)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(
                f"hosts must be such as 'zk-1:2181,zk-2:2181', got {hosts!r}: {error}"
            ) from None
    return hosts


def _checked_path(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidTypeError(f"path must be a str, got {shown(value)}")
    parts = value.split("/")
    if len(parts) < 2 or parts[0] or not all(parts[1:]) or {".", ".."} & set(parts):
        raise InvalidArgumentError(
            f"path must be a node below the root, such as '/fleets/cache', got {value!r}"
        )
    return value


def _checked_auth(value: Any) -> tuple[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, tuple) or [type(each) for each in value] != [str, str]:
        raise InvalidTypeError(
            "auth must be a tuple of a scheme and a credential, such as ('digest', 'user:word')"
        )
    scheme, credential = value
    return scheme, credential


def _entry(address: str, state: ShardState) -> str:
    return json.dumps({"address": address, "state": state.name})
