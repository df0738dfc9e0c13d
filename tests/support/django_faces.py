"""Both forms of a cache under one face, so that one test holds for both."""

import asyncio
from typing import Any

from godropbox.django import GodropboxCache

__all__ = ["FORMS", "Face"]

FORMS = ("blocking", "asyncio")


class Face:
    """A cache whose methods are the blocking ones, or wait for those of event loops."""

    def __init__(self, cache: GodropboxCache, form: str, runner: asyncio.Runner) -> None:
        self.cache = cache
        self._form = form
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        if self._form == "blocking":
            return getattr(self.cache, name)
        method = getattr(self.cache, f"a{name}")

        def call(*given: Any, **named: Any) -> Any:
            async def wait() -> Any:
                return await method(*given, **named)

            return self._runner.run(wait())

        return call
