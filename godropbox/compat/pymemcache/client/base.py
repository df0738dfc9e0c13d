"""pymemcache's clients of one server. What both can do is in ``_calls``.

They differ, as pymemcache's do, in ``check_key``, in what ``ignore_exc`` hides, and in limits.
"""

import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..exceptions import (
    MemcacheClientError,
    MemcacheIllegalInputError,
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
    MemcacheUnknownCommandError,
    MemcacheUnknownError,
)
from ..pool import ObjectPool
from ..serde import Deserializer, LegacyWrappingSerde, Serde, Serializer
from ._arguments import (
    KeepaliveOpts,
    Key,
    ServerSpec,
    check_key_helper,
    normalize_server_spec,
)
from ._calls import Calls

if TYPE_CHECKING:
    from ssl import SSLContext  # loaded by those who make one

__all__ = [
    "Client",
    "KeepaliveOpts",
    "LegacyWrappingSerde",
    "MemcacheClientError",
    "MemcacheIllegalInputError",
    "MemcacheServerError",
    "MemcacheUnexpectedCloseError",
    "MemcacheUnknownCommandError",
    "MemcacheUnknownError",
    "PooledClient",
    "check_key_helper",
    "normalize_server_spec",
]

_READS: Final = frozenset(["get", "get_many", "get_multi", "gets", "gets_many", "stats"])
_OPERATIONS: Final = _READS | {
    *("set", "set_many", "set_multi", "add", "replace", "append", "prepend", "cas", "delete"),
    *("delete_many", "delete_multi", "incr", "decr", "touch", "version", "flush_all"),
    *("cache_memlimit", "raw_command", "shutdown"),
}


class Client(Calls):
    """A client of one server. Threads may share it, each call with a connection of its own.

    - `server` is (host, port), ``"host:port"``, ``"unix:/path"`` or a path.
    - `serde` makes bytes of values, and values of bytes: see ``serde``. `serializer` and
      `deserializer` are functions that do. Without any, values are bytes, or ``str()`` of them.
    - `connect_timeout` and `timeout` are seconds for connecting and for a whole call, None for no
      limit.
    - `ignore_exc` makes a miss of a read that fails.
    - `socket_module` has other sockets, such as gevent's; `socket_keepalive` are their
      ``KeepaliveOpts``; `no_delay` is as if it were set. `tls_context` wraps them.
    - `key_prefix` goes before every key; `allow_unicode_keys` sends text that is not ASCII as
      UTF-8; `encoding` is that of values that are text.
    - `default_noreply` is for calls that do not say `noreply`: they return before the reply is
      there, which is read before the next call that waits for one.
    """

    def __init__(
        self,
        server: ServerSpec,
        serde: Serde | None = None,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
        connect_timeout: float | None = None,
        timeout: float | None = None,
        no_delay: bool = False,
        ignore_exc: bool = False,
        socket_module: Any = socket,
        socket_keepalive: KeepaliveOpts | None = None,
        key_prefix: Key = b"",
        default_noreply: bool = True,
        allow_unicode_keys: bool = False,
        encoding: str = "ascii",
        tls_context: "SSLContext | None" = None,
    ) -> None:
        super().__init__(
            server,
            serde,
            serializer,
            deserializer,
            connect_timeout,
            timeout,
            no_delay,
            ignore_exc,
            socket_module,
            socket_keepalive,
            key_prefix,
            default_noreply,
            allow_unicode_keys,
            encoding,
            tls_context,
        )
        _refuse_own_checks(self, Client)

    def check_key(self, key: Key, key_prefix: bytes) -> bytes:
        """Return a key as it goes over the wire, after a prefix."""
        return check_key_helper(key, self.allow_unicode_keys, key_prefix)


class PooledClient(Calls):
    """A client of one server that lends at most `max_pool_size` connections at a time.

    A call that finds none left raises ``RuntimeError``. One that was idle for `pool_idle_timeout`
    seconds is closed, 0 for never. `lock_generator` is not needed. Else it is as ``Client``; with
    `ignore_exc` a key that is wrong is a miss as well.
    """

    def __init__(
        self,
        server: ServerSpec,
        serde: Serde | None = None,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
        connect_timeout: float | None = None,
        timeout: float | None = None,
        no_delay: bool = False,
        ignore_exc: bool = False,
        socket_module: Any = socket,
        socket_keepalive: KeepaliveOpts | None = None,
        key_prefix: Key = b"",
        max_pool_size: int | None = None,
        pool_idle_timeout: float = 0,
        lock_generator: Callable[[], Any] | None = None,
        default_noreply: bool = True,
        allow_unicode_keys: bool = False,
        encoding: str = "ascii",
        tls_context: "SSLContext | None" = None,
    ) -> None:
        if max_pool_size is not None and (not isinstance(max_pool_size, int) or max_pool_size < 0):
            raise ValueError('"max_size" must be a positive integer')
        super().__init__(
            server,
            serde,
            serializer,
            deserializer,
            connect_timeout,
            timeout,
            no_delay,
            ignore_exc,
            socket_module,
            socket_keepalive,
            key_prefix,
            default_noreply,
            allow_unicode_keys,
            encoding,
            tls_context,
            max_pool_size,
            pool_idle_timeout,
        )
        _refuse_own_checks(self, PooledClient)
        self._lock_generator = lock_generator
        self._clients: ObjectPool[Any] | None = None
        self._client_class: Any = Client
        if self.client_class is not Client:  # of a subclass
            self._go_by_pool()

    def check_key(self, key: Key) -> bytes:
        """Return a key as it goes over the wire, after the prefix."""
        return check_key_helper(key, self.allow_unicode_keys, self._key_prefix)

    @property
    def client_class(self) -> Any:
        """The class of the clients in ``client_pool``."""
        return self._client_class

    @client_class.setter
    def client_class(self, kind: Any) -> None:
        self._client_class = kind
        if kind is not Client:
            self._go_by_pool()

    @property
    def client_pool(self) -> ObjectPool[Any]:
        """A pool of clients of ``client_class``, for programs that want one.

        If one is set, or ``client_class`` is another than ``Client``, all calls go through it, and
        are as slow as that. Else none does.
        """
        if self._clients is None:
            self._clients = ObjectPool(
                self._new_client,
                lambda client: client.close(),
                self._max_active,
                self._max_idle_time or 0,
                self._lock_generator,
            )
        return self._clients

    @client_pool.setter
    def client_pool(self, pool: ObjectPool[Any]) -> None:
        self._clients = pool
        self._go_by_pool()

    def _go_by_pool(self) -> None:
        self._read_by_rows()  # nor may a batch of many servers use our own
        for name in _OPERATIONS:
            self.__dict__[name] = partial(self._by_pool, name)
        self.__dict__["close"] = self.__dict__["disconnect_all"] = self._close_pool
        self.__dict__["quit"] = self._close_pool

    def _by_pool(self, name: str, *args: Any, **kwargs: Any) -> Any:
        with self.client_pool.get_and_release(destroy_on_fail=True) as client:
            try:
                return getattr(client, name)(*args, **kwargs)
            except Exception:
                if not self.ignore_exc or name not in _READS:
                    raise
                if name == "get":
                    return kwargs.get("default", args[1] if len(args) > 1 else None)
                return (None, None) if name == "gets" else {}

    def _close_pool(self) -> None:
        self.client_pool.clear()

    def _new_client(self) -> Any:
        return self.client_class(
            self.server,
            serde=self.serde,
            connect_timeout=self.connect_timeout,
            timeout=self.timeout,
            no_delay=self.no_delay,
            socket_module=self.socket_module,
            socket_keepalive=self.socket_keepalive,
            key_prefix=self._key_prefix,
            default_noreply=self.default_noreply,
            allow_unicode_keys=self.allow_unicode_keys,
            encoding=self.encoding,
            tls_context=self.tls_context,
        )

    def _check_missed(self, keys: list[Any]) -> None:
        return


def _refuse_own_checks(client: Any, kind: Any) -> None:
    """Raise for a subclass that has keys of its own, which nothing would ask for."""
    if type(client).check_key is not kind.check_key:
        raise NotImplementedError(
            f"{type(client).__name__} has a check_key of its own, which is not called here: change "
            "the keys before they are passed"
        )
