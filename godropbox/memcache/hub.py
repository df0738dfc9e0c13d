"""``Hub``: what all connections of an asyncio client share: its loop and its options.

No I/O, and no asyncio: the hub is given the loop's functions, and what dials. Compiled as it
stands (``hub.pxd``).
"""

from collections.abc import Callable
from time import monotonic
from typing import Any

from .._kernels._identity import refuse_copies
from .errors import WrongLoopError

__all__ = ["Hub"]


class Hub:
    """What the connections of one client share.

    `running` returns the running loop; ``bind(hub, loop)`` fills in the loop's functions when the
    first caller comes: `at`, `room` and `dial`, which takes a link. `links` has
    those that are not closed; `gone` is called when one is.
    """

    __slots__ = (
        "at",
        "bind",
        "clock",
        "dial",
        "gone",
        "links",
        "loop",
        "most",
        "most_bytes",
        "room",
        "running",
        "size",
        "timeout",
        "waits",
    )
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        running: Callable[[], Any],
        bind: "Callable[[Hub, Any], None]",
        timeout: float | None,
        size: int,
        most: int,
        most_bytes: int,
        waits: bool,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.running = running
        self.bind = bind
        self.timeout = timeout
        self.size = size
        self.most = most
        self.most_bytes = most_bytes
        self.waits = waits
        self.clock = clock
        self.loop: Any = None
        self.at: Any = None
        self.dial: Any = None
        self.gone: Any = None
        self.room: Any = None
        self.links: set[Any] = set()

    def enter(self) -> None:
        """See that the running loop is the one that the connections belong to, or is the first."""
        try:
            loop = self.running()
        except RuntimeError:
            raise WrongLoopError(
                "the client belongs to an event loop, and none runs here: from another thread, use "
                "asyncio.run_coroutine_threadsafe or loop.call_soon_threadsafe"
            ) from None
        if loop is self.loop:
            return
        if self.loop is not None:
            raise WrongLoopError(
                "the client belongs to the event loop that used it first; make one for each loop"
            )
        self.bind(self, loop)
        self.loop = loop

    def check(self) -> None:
        """Raise ``WrongLoopError`` in another loop than that of the first caller, if any."""
        if self.loop is not None:
            self.enter()
