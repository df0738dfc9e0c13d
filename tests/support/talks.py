"""Small talks for the transport: exchanges in order, and how each of them ended."""

from collections.abc import Sequence
from typing import Any


class Asked:
    """A request and the reply to it."""

    def __init__(self, request: Sequence[Any], reply: Any) -> None:
        self.request = list(request)
        self.reply = reply


class Told:
    """A talk that notes how its exchanges end, and goes on after those that end well."""

    def __init__(self, *exchanges: Any) -> None:
        self.exchanges = list(exchanges)
        self.ends: list[Exception | None] = []
        self.at = -1

    def advance(self, failure: Exception | None) -> Any:
        """Return the next exchange, None when the talk is over."""
        if self.at >= 0:
            self.ends.append(failure)
        self.at += 1
        return (
            self.exchanges[self.at] if failure is None and self.at < len(self.exchanges) else None
        )
