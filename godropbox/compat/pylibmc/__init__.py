"""pylibmc 1.6.3's face over our clients: change the import, keep the code.

``from godropbox.compat import pylibmc``. Keys go to the servers that libmemcached would choose, and
values have pylibmc's bytes and flags, so both can share a fleet. What differs is in
``docs/from-pylibmc.md``.
"""

from . import autoconf, client, consts, pools
from ._client import SERVER_TCP, SERVER_UDP, SERVER_UNIX
from ._errors import (
    EXCEPTIONS,
    AllocationError,
    BadKeyProvided,
    CacheMiss,
    ClientError,
    ConnectionBindError,
    ConnectionError,  # noqa: A004
    DataDoesNotExist,
    DataExists,
    Error,
    Failure,
    FetchNotFinished,
    HostLookupError,
    InvalidHostProtocolError,
    NoServers,
    NotFound,
    NotSupportedError,
    ProtocolError,
    ReadError,
    ServerDead,
    ServerDown,
    ServerError,
    SocketCreateError,
    SomeErrors,
    TooBig,
    UnixSocketError,
    UnknownReadFailure,
    UnknownStatKey,
    WriteError,
)
from .client import Client, shard_function
from .consts import all_behaviors, all_callbacks, distributions, hashers
from .pools import ClientPool, ThreadMappedPool

__all__ = [
    "AllocationError",
    "BadKeyProvided",
    "CacheMiss",
    "Client",
    "ClientError",
    "ClientPool",
    "ConnectionBindError",
    "ConnectionError",
    "DataDoesNotExist",
    "DataExists",
    "Error",
    "Failure",
    "FetchNotFinished",
    "HostLookupError",
    "InvalidHostProtocolError",
    "MemcachedError",
    "NoServers",
    "NotFound",
    "NotSupportedError",
    "ProtocolError",
    "ReadError",
    "ServerDead",
    "ServerDown",
    "ServerError",
    "SocketCreateError",
    "SomeErrors",
    "ThreadMappedPool",
    "TooBig",
    "UnixSocketError",
    "UnknownReadFailure",
    "UnknownStatKey",
    "WriteError",
    "__version__",
    "all_behaviors",
    "all_callbacks",
    "autoconf",
    "build_info",
    "callback_namespace",
    "client",
    "consts",
    "distribution_consistent",
    "distribution_consistent_ketama",
    "distribution_consistent_ketama_spy",
    "distribution_consistent_max",
    "distribution_consistent_weighted",
    "distribution_modula",
    "distribution_random",
    "distribution_virtual_bucket",
    "distributions",
    "exceptions",
    "hash_crc",
    "hash_default",
    "hash_fnv1_32",
    "hash_fnv1_64",
    "hash_fnv1a_32",
    "hash_fnv1a_64",
    "hash_hsieh",
    "hash_jenkins",
    "hash_md5",
    "hash_murmur",
    "hashers",
    "libmemcached_version",
    "libmemcached_version_hex",
    "pools",
    "server_type_tcp",
    "server_type_udp",
    "server_type_unix",
    "shard_function",
    "support_compression",
    "support_sasl",
]

__version__ = "1.6.3"
"""The version of pylibmc whose calls these are."""

libmemcached_version = "1.0.16"
"""The version of libmemcached whose placement and behaviors these are."""
libmemcached_version_hex = 0x01000016

support_compression = True
support_sasl = True

server_type_tcp = SERVER_TCP
server_type_udp = SERVER_UDP
server_type_unix = SERVER_UNIX
exceptions = EXCEPTIONS
MemcachedError = Error
callback_namespace = 0
hash_default = hashers["default"]
hash_md5 = hashers["md5"]
hash_crc = hashers["crc"]
hash_fnv1_64 = hashers["fnv1_64"]
hash_fnv1a_64 = hashers["fnv1a_64"]
hash_fnv1_32 = hashers["fnv1_32"]
hash_fnv1a_32 = hashers["fnv1a_32"]
hash_hsieh = hashers["hsieh"]
hash_murmur = hashers["murmur"]
hash_jenkins = hashers["jenkins"]
distribution_modula = distributions["modula"]
distribution_consistent = distributions["consistent"]
distribution_consistent_ketama = distributions["consistent ketama"]
distribution_random = distributions["random"]
distribution_consistent_ketama_spy = distributions["consistent ketama spy"]
distribution_consistent_weighted = distributions["consistent weighted"]
distribution_virtual_bucket = distributions["virtual bucket"]
distribution_consistent_max = distributions["consistent max"]


def build_info() -> str:
    """Return the versions, and what is supported, in a line."""
    return (
        f"pylibmc {__version__} for libmemcached {libmemcached_version} "
        f"(compression={support_compression}, sasl={support_sasl})"
    )
