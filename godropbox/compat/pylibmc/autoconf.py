"""pylibmc's way to the servers of an ElastiCache cluster: read once, when a client is made."""

from ...memcache import connect
from .client import Client

__all__ = ["NoAutoconfFound", "UnsupportedAutoconfMethod", "elasticache"]


class UnsupportedAutoconfMethod(Exception):  # noqa: N818  # its name there
    """The server does not know the command ``config``."""


class NoAutoconfFound(Exception):  # noqa: N818  # its name there
    """The server has no configuration of a cluster."""


def elasticache(
    address: str = "127.0.0.1:11211",
    config_key: bytes = b"cluster",
    mc_key: str = "AmazonElastiCache:cluster",
) -> Client:
    """Return a client of the servers that a configuration endpoint tells of.

    A server before 1.4.14 has them under the key `mc_key`. Raises ``NoAutoconfFound``, or
    ``RuntimeError`` for an answer that is cut short.
    """
    try:
        config = _asked(address, config_key)
    except UnsupportedAutoconfMethod:
        config = Client([address]).get(mc_key)
        if config is None:
            raise NoAutoconfFound(f"{address} has no value of {mc_key!r}") from None
    _, nodes = config.split(b"\n")[:2]
    parts = [node.decode().split("|") for node in nodes.split()]
    return Client([f"{ip or name}:{port}" for name, ip, port in parts])


def _asked(address: str, key: bytes) -> bytes:
    channel = connect(address)
    try:
        channel.sendall(b"config get %s\r\n" % key)
        reply = b""
        while not reply.endswith((b"END\r\n", b"ERROR\r\n")):
            more = channel.recv(4096)
            if not more:
                raise RuntimeError(f"{address} closed the connection after {reply!r}")
            reply += more
    finally:
        channel.close()
    if reply.endswith(b"ERROR\r\n"):
        raise UnsupportedAutoconfMethod(f"{address} does not know the command config")
    head, _, body = reply.partition(b"\r\n")
    return body[: int(head.split()[3])]
