"""How far a command is, on standard error: a bar by rich, a line without it, nothing otherwise."""

import sys
import time
from typing import Any, Final

__all__ = ["Progress"]

_EACH: Final = 0.1  # seconds between two lines


class Progress:
    """Shows one task at a time, while it is entered; `is_quiet` shows nothing, `is_plain` lines."""

    def __init__(self, is_quiet: bool = False, is_plain: bool = False) -> None:
        self._is_plain = is_plain
        self._is_on = sys.stderr.isatty() and not is_quiet
        self._bars: Any = None
        self._task: Any = None
        self._name = ""
        self._next = 0.0

    def __enter__(self) -> "Progress":
        if self._is_on and not self._is_plain:
            try:
                from rich import progress
                from rich.console import Console
            except ImportError:
                return self
            self._bars = progress.Progress(
                # No markup: [fd00::1]:11211 would be taken for some.
                progress.TextColumn("{task.description}", markup=False),
                progress.BarColumn(),
                progress.TextColumn("{task.completed:,.0f} keys"),
                progress.TimeRemainingColumn(),
                console=Console(file=sys.stderr),
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()
        elif self._is_on and self._next:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def show(self, name: str, done: int, total: int | None) -> None:
        """Show that `done` of `total` keys are done, None for a total that is not known."""
        if self._bars is not None:
            if name != self._name or self._task is None:
                if self._task is not None:
                    self._bars.remove_task(self._task)
                self._task, self._name = self._bars.add_task(name, total=total), name
            self._bars.update(self._task, completed=done, total=total)
            return
        now = time.monotonic()
        if not self._is_on or (now < self._next and name == self._name):
            return
        self._next, self._name = now + _EACH, name
        of = f" of {total:,}" if total is not None else ""
        sys.stderr.write(f"\r\x1b[K{name}: {done:,}{of} keys")
        sys.stderr.flush()
