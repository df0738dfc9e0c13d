"""Names and numbers of pylibmc's hashes, distributions and behaviors."""

from typing import Any, Final

from ._errors import EXCEPTIONS

__all__ = [
    "BehaviorDict",
    "all_behaviors",
    "all_callbacks",
    "distributions",
    "distributions_rvs",
    "errors",
    "hashers",
    "hashers_rvs",
]

errors: Final = tuple(kind for _, kind in EXCEPTIONS)

hashers: Final = {
    "default": 0,
    "md5": 1,
    "crc": 2,
    "fnv1_64": 3,
    "fnv1a_64": 4,
    "fnv1_32": 5,
    "fnv1a_32": 6,
    "hsieh": 7,
    "murmur": 8,
    "jenkins": 9,
}
hashers_rvs: Final = {number: name for name, number in hashers.items()}

distributions: Final = {
    "modula": 0,
    "consistent": 1,
    "consistent ketama": 2,
    "random": 3,
    "consistent ketama spy": 4,
    "consistent weighted": 5,
    "virtual bucket": 6,
    "consistent max": 7,
}
distributions_rvs: Final = {number: name for name, number in distributions.items()}

all_behaviors: Final = [
    "no_block",
    "tcp_nodelay",
    "tcp_keepalive",
    "hash",
    "ketama_hash",
    "ketama",
    "ketama_weighted",
    "distribution",
    "cas",
    "buffer_requests",
    "verify_keys",
    "connect_timeout",
    "send_timeout",
    "receive_timeout",
    "num_replicas",
    "auto_eject",
    "retry_timeout",
    "remove_failed",
    "failure_limit",
    "_io_msg_watermark",
    "_io_bytes_watermark",
    "_io_key_prefetch",
    "_hash_with_prefix_key",
    "_noreply",
    "_sort_hosts",
    "_poll_timeout",
    "_socket_send_size",
    "_socket_recv_size",
    "dead_timeout",
    "pickle_protocol",
]
all_callbacks: Final = ["namespace"]


class BehaviorDict(dict[str, Any]):
    """A client's behaviors; setting one here sets it on the client."""

    def __init__(self, client: Any, *args: Any) -> None:
        super().__init__(*args)
        self.client = client

    def __setitem__(self, name: str, value: Any) -> None:
        self.client.set_behaviors({name: value})
        super().__setitem__(name, value)

    def update(self, values: Any) -> None:  # type: ignore[override]  # as there: one mapping
        """Set several behaviors at once."""
        self.client.set_behaviors(dict(values))
        super().update(values)
