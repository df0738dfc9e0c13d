"""A plugin of pytest: in its process ``pymemcache`` is our face of it.

Their tests put a socket of canned replies into a client by replacing ``_connect``. Here there is no
such method: it comes through `socket_module`, and again after it was closed.
"""

import pkgutil
import sys
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

import godropbox.compat.pymemcache as ours

__all__ = ["pytest_collection_modifyitems"]


def _alias() -> None:
    sys.modules["pymemcache"] = ours
    for found in pkgutil.walk_packages(ours.__path__, f"{ours.__name__}."):
        sys.modules[f"pymemcache{found.name.removeprefix(ours.__name__)}"] = import_module(
            found.name
        )


class _Sockets:
    """A module of sockets that has one."""

    AF_UNSPEC = SOCK_STREAM = IPPROTO_TCP = 0

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def getaddrinfo(self, host: str, port: int, *hints: int) -> list[Any]:
        return [(0, 0, 0, "", (host, port))]

    def socket(self, *kind: int) -> Any:
        return self._sock


def _adapt(module: ModuleType) -> None:
    """Have the canned replies of a module come through `socket_module`."""
    client: Any = module.Client
    canned: Any = module.MockSocket

    def make(kind: Any) -> Any:
        def make_client(self: Any, mock_socket_values: Any, **kwargs: Any) -> Any:
            sockets = _Sockets(canned(list(mock_socket_values)))
            return kind("localhost", socket_module=sockets, **kwargs)

        return make_client

    for name, attribute, kind in (
        ("ClientTestMixin", "make_client", client),
        ("ClientTestMixin", "make_customized_client", getattr(module, "CustomizedClient", None)),
        ("TestRetryingClientPassthrough", "make_base_client", client),
        ("TestRetryingClient", "make_base_client", client),
    ):
        suite = getattr(module, name, None)
        if suite is not None and attribute in vars(suite):
            setattr(suite, attribute, make(kind))


def pytest_collection_modifyitems(items: Iterable[Any]) -> None:
    """Adapt the modules whose tests are about to run."""
    for module in {item.module for item in items}:
        if hasattr(module, "MockSocket") and hasattr(module, "Client"):
            _adapt(module)


_alias()
