"""pymemcache's client of Amazon ElastiCache, which asks a cluster for its nodes."""

import re
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ....._kernels._args import shown
from ...exceptions import MemcacheUnknownCommandError, MemcacheUnknownError
from ...serde import Deserializer, Serde, Serializer
from .._arguments import KeepaliveOpts, Key, normalize_server_spec
from ..base import Client
from ..hash import HashClient
from ..rendezvous import RendezvousHash

if TYPE_CHECKING:
    from ssl import SSLContext  # loaded by those who make one

__all__ = ["AWSElastiCacheHashClient"]

_ENDPOINT: Final = re.compile(
    r"(?:(?:[\w-]{0,61}\w\.)+\w{1,6}|\[(?:\d{1,3}\.){3}\d{1,3}\]):\d{1,5}"
)


class AWSElastiCacheHashClient(HashClient):
    """A ``HashClient`` of the nodes that an ElastiCache cluster names.

    `cfg_node` is the cluster's configuration endpoint, with its port. With `use_vpc` nodes are
    reached by their IP addresses, else by their names. The other arguments are ``HashClient``'s.
    The nodes are asked for here, and by ``reconfigure_nodes``, when the cluster has changed.
    """

    def __init__(
        self,
        cfg_node: str,
        hasher: Callable[[], Any] = RendezvousHash,
        serde: Serde | None = None,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
        connect_timeout: float | None = None,
        timeout: float | None = None,
        no_delay: bool = False,
        socket_module: Any = socket,
        socket_keepalive: KeepaliveOpts | None = None,
        key_prefix: Key = b"",
        max_pool_size: int | None = None,
        pool_idle_timeout: float = 0,
        lock_generator: Callable[[], Any] | None = None,
        retry_attempts: int = 2,
        retry_timeout: float = 1,
        dead_timeout: float = 60,
        use_pooling: bool = False,
        ignore_exc: bool = False,
        allow_unicode_keys: bool = False,
        default_noreply: bool = True,
        encoding: str = "ascii",
        tls_context: "SSLContext | None" = None,
        use_vpc: bool = True,
    ) -> None:
        if not isinstance(cfg_node, str) or not _ENDPOINT.fullmatch(cfg_node):
            raise ValueError(
                f"cfg_node must be an ElastiCache endpoint with its port, got {shown(cfg_node)}"
            )
        super().__init__(
            (),
            hasher,
            serde,
            serializer,
            deserializer,
            connect_timeout,
            timeout,
            no_delay,
            socket_module,
            socket_keepalive,
            key_prefix,
            max_pool_size,
            pool_idle_timeout,
            lock_generator,
            retry_attempts,
            retry_timeout,
            dead_timeout,
            use_pooling,
            ignore_exc,
            allow_unicode_keys,
            default_noreply,
            encoding,
            tls_context,
        )
        self._cfg_node = cfg_node
        self._use_vpc = use_vpc
        self.reconfigure_nodes()

    def reconfigure_nodes(self) -> None:
        """Ask the cluster for its nodes, and use these alone from now on."""
        nodes = self._get_nodes_list()
        with self._lock:
            before = self.clients
            names = [*before]
            self.clients = {}
            for node in nodes:
                self.add_server(normalize_server_spec(node))
            for name in names:
                if name not in self.clients and name in self.hasher.nodes:
                    self.hasher.remove_node(name)
            self._failed_clients.clear()
            self._dead_clients.clear()
        for client in before.values():
            client.close()

    def _get_nodes_list(self) -> list[tuple[str, str]]:
        """Return the address and the port of each node."""
        host, _, port = self._cfg_node.rpartition(":")
        known = {name: value for name, value in self.default_kwargs.items() if name not in _POOLS}
        client = Client((host.strip("[]"), int(port)), **known)
        try:
            reply = client.raw_command(b"config get cluster", b"\n\r\nEND\r\n")
        except MemcacheUnknownCommandError as error:
            raise MemcacheUnknownCommandError(
                f"{self._cfg_node} does not know `config get cluster`: it is no cluster of "
                "ElastiCache, or a serverless one; use HashClient"
            ) from error
        finally:
            client.close()
        lines = reply.decode().splitlines()
        nodes = [node.split("|") for node in lines[-1].split(" ")] if lines else []
        if not nodes or any(len(node) != 3 for node in nodes):
            raise MemcacheUnknownError(f"the list of nodes cannot be read: {reply[:80]!r}")
        return [(node[1] if self._use_vpc and node[1] else node[0], node[2]) for node in nodes]


_POOLS: Final = ("max_pool_size", "pool_idle_timeout", "lock_generator")
