"""pymemcache's client that tries failed calls of another client again."""

from collections.abc import Callable, Iterable
from time import sleep
from typing import Any

from ...._kernels._args import shown

__all__ = ["RetryingClient"]


class RetryingClient:
    """A client whose calls are those of `client`, and are tried up to `attempts` times in all.

    Between two attempts it waits `retry_delay` seconds. An exception is retried if it is of
    `retry_for`, by default of any kind, and not of `do_not_retry_for`; both are a tuple, a set or a
    list of classes of exceptions. A call that may not be done twice (``incr``, ``append``, a
    ``cas``) is better not made through this. Raises ``ValueError`` for arguments that are wrong.
    """

    def __init__(
        self,
        client: Any,
        attempts: int = 2,
        retry_delay: float = 0,
        retry_for: Iterable[type[Exception]] | None = None,
        do_not_retry_for: Iterable[type[Exception]] | None = None,
    ) -> None:
        if attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {shown(attempts)}")
        self._client = client
        self._attempts = attempts
        self._retry_delay = retry_delay
        self._retry_for = _kinds("retry_for", retry_for)
        self._do_not_retry_for = _kinds("do_not_retry_for", do_not_retry_for)
        for kind in self._retry_for:
            if kind in self._do_not_retry_for:
                raise ValueError(
                    f"retry_for and do_not_retry_for must have no class in common, both have {kind}"
                )
        self._client_dir = dir(client)

    def _retry(self, name: str, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        left = self._attempts
        while True:
            left -= 1
            try:
                return func(*args, **kwargs)
            except Exception as error:
                if left == 0 or name not in self._client_dir or not self._retries(error):
                    raise
            sleep(self._retry_delay)

    def _retries(self, error: Exception) -> bool:
        wanted = not self._retry_for or isinstance(error, self._retry_for)
        return wanted and not isinstance(error, self._do_not_retry_for)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_client":
            raise AttributeError(name)  # nothing that copying or pickling asks for is a call
        return lambda *args, **kwargs: self._retry(
            name, getattr(self._client, name), *args, **kwargs
        )

    def __dir__(self) -> list[str]:
        return self._client_dir

    def __setitem__(self, key: Any, value: Any) -> None:
        self.set(key, value, noreply=True)

    def __getitem__(self, key: Any) -> Any:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __delitem__(self, key: Any) -> None:
        self.delete(key, noreply=True)


def _kinds(name: str, given: Any) -> tuple[type[Exception], ...]:
    if given is None:
        return ()
    if not isinstance(given, (tuple, set, list)):
        raise ValueError(f"{name} must be a tuple, a set or a list, got {shown(given)}")
    for kind in given:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise ValueError(f"{name} must hold classes of exceptions, got {shown(kind)}")
    return tuple(given)
