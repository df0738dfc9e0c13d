"""``Follower``: a thread that keeps a shard manager's fleet as a source has it."""

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from ..._forks import begin_again_in_child
from ..._kernels._guarded import brief
from ._base import DEFAULT, BaseFollower, Manager, checked_wait, no_fleet
from .following import Apply, Ask, Load, Pause, Renew, Step, log
from .options import FollowOptions
from .types import Source, SourceError

if TYPE_CHECKING:
    from typing import Unpack

    from .options import FollowOverrides

__all__ = ["Follower", "Manager", "follow"]

_CLOSE_TRIES: Final = 50


class Follower(BaseFollower):
    """A thread that keeps a fleet as a source has it, whatever the source does.

    `source` is a ``Source``, the URL of one, or a callable that makes one; `manager` takes the
    fleet. `overrides` are options by name::

        with Follower("dns://cache.prod.svc:11211", manager, keep="/var/lib/app/fleet") as follower:
            follower.wait(5.0)

    It begins with ``start``, or as a context manager, which waits for nothing; ``wait`` waits until
    there is a fleet. ``close`` ends the thread and closes the source, not the manager. In the child
    of a fork it goes on with a thread of its own, and a source of its own if it was given a URL or
    a callable.
    """

    def __init__(
        self,
        source: Source | str | Callable[[], Source],
        manager: Manager,
        options: FollowOptions = DEFAULT,
        **overrides: "Unpack[FollowOverrides]",
    ) -> None:
        super().__init__(source, manager, options, overrides, is_async=False)
        self._of_parent: list[Source] = []  # kept, for who forgets one may end its connection
        self._is_closed = threading.Event()
        self._has_fleet = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        begin_again_in_child(self)

    def _forked(self) -> list[Callable[[], object]]:
        """Replace what another thread may have held; the child follows anew."""
        is_closed, was_started = self._is_closed.is_set(), self._thread is not None
        self._is_closed, self._has_fleet = threading.Event(), threading.Event()
        if is_closed:
            self._is_closed.set()
        if is_closed or self._following.has_fleet:
            self._has_fleet.set()
        self._lock = threading.Lock()
        self._thread = None
        return [self._begin_again] if was_started and not is_closed else []

    def _begin_again(self) -> None:
        self._of_parent.append(self._source)
        self._source = self._make()
        self.start()

    def start(self) -> Self:
        """Start the thread, unless it was started before; return the follower."""
        with self._lock:
            if self._is_closed.is_set():
                raise SourceError(f"the follower of {self._following.name} was closed")
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="godropbox discovery", daemon=True)
                thread.start()
                self._thread = thread
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is a fleet, at most `timeout` seconds; return whether there is one."""
        longest = threading.TIMEOUT_MAX
        self._has_fleet.wait(longest if timeout is None else min(timeout, longest))
        return self._following.has_fleet

    def close(self) -> None:
        """Stop following, and close the source; return once the thread has ended, or in 5 s."""
        self._is_closed.set()
        self._has_fleet.set()
        thread = self._thread
        for _ in range(_CLOSE_TRIES):
            self._source.close()  # which ends a question under way, not one that is about to begin
            if thread is None or thread is threading.current_thread():
                return
            thread.join(5.0 / _CLOSE_TRIES)
            if not thread.is_alive():
                return

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # The thread

    def _run(self) -> None:
        is_closed = self._is_closed
        while not is_closed.is_set():
            try:
                self._follow(is_closed)
            except BaseException as error:  # of what was made not to raise
                log.error("%s: following begins again: %s", self._following.name, brief(error))
                is_closed.wait(self._options.retry_after)
            else:
                return

    def _follow(self, is_closed: threading.Event) -> None:
        steps = self._following.steps()
        step: Step | None = next(steps, None)
        while step is not None and not is_closed.is_set():
            if self._manager() is None:
                is_closed.set()
                self._source.close()
                return
            try:
                outcome = self._done(step)
            except BaseException as failed:  # of a source or a manager: it ends nothing
                if is_closed.is_set():
                    return
                # No name is kept for it, as its traceback keeps the manager.
                go_on: Callable[[], Any] = partial(steps.throw, self._as_error(failed))
            else:
                go_on = partial(steps.send, outcome)
            try:
                step = go_on()
            except StopIteration:
                return
            if self._following.has_fleet:
                self._has_fleet.set()

    def _as_error(self, failed: BaseException) -> Exception:
        if isinstance(failed, Exception):
            return failed
        return SourceError(f"{self._following.name}: {brief(failed)}")

    def _done(self, step: Step) -> Any:
        """Do a step; return what came of it."""
        if isinstance(step, Ask):
            return self._source.next(step.seconds)
        if isinstance(step, Apply):
            manager = self._manager()
            return None if manager is None else manager.update_shard_states(step.states)
        if isinstance(step, Renew):
            return self._source.close()
        if isinstance(step, Pause):
            return self._is_closed.wait(step.seconds)
        assert self._keeper is not None
        return self._keeper.read() if isinstance(step, Load) else self._keeper.write(step.answer)


def follow(
    source: Source | str | Callable[[], Source],
    manager: Manager,
    options: FollowOptions = DEFAULT,
    *,
    wait: float = 5.0,
    **overrides: "Unpack[FollowOverrides]",
) -> Follower:
    """Return a follower that was started, once there is a fleet: at most `wait` seconds later.

    Raises ``SourceError`` where there is none by then; with a `wait` of 0 it returns at once. The
    other arguments are those of ``Follower``.
    """
    checked_wait(wait)
    follower = Follower(source, manager, options, **overrides).start()
    try:
        if wait and not follower.wait(wait):
            raise no_fleet(follower.status, wait)
    except BaseException:
        follower.close()
        raise
    return follower
