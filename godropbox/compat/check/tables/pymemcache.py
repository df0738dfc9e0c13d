"""pymemcache: its face is ``godropbox.compat.pymemcache``, module by module."""

from typing import Final

from .entries import Fate, Library, Thing, arguments, instead, method

__all__ = ["PYMEMCACHE"]

BASE: Final = "pymemcache.client.base"
ELASTICACHE: Final = "pymemcache.client.ext.aws_ec_client"
ERRORS: Final = {
    "MemcacheError": "memcache.ServerError, memcache.NetworkError",
    "MemcacheClientError": "memcache.ServerError",
    "MemcacheUnknownCommandError": "memcache.NotSupportedError",
    "MemcacheIllegalInputError": "memcache.InvalidArgumentError, memcache.InvalidTypeError",
    "MemcacheServerError": "memcache.ServerError",
    "MemcacheUnknownError": "memcache.ReplyError",
    "MemcacheUnexpectedCloseError": "memcache.ConnectionLostError",
}

# What each argument of a constructor becomes. Keys are always checked and sent as UTF-8,
# TCP_NODELAY is always set, every write is answered: for those nothing is to be written.
OPTIONS: Final = {
    "server": instead("server"),
    "servers": instead("servers"),
    "hasher": instead("shard_func="),
    "serde": instead("serializer="),
    "serializer": instead("serializer="),
    "deserializer": instead(""),
    "connect_timeout": instead("connect_timeout="),
    "timeout": instead("timeout="),
    "ignore_exc": instead('failures="miss"'),
    "key_prefix": instead("prefix="),
    "max_pool_size": instead("max_active="),
    "pool_idle_timeout": instead("max_idle_time="),
    "retry_attempts": instead("eject_after="),
    "retry_timeout": instead("retry_after="),
    "dead_timeout": instead("max_retry_after="),
    "tls_context": instead("tls="),
}
OF_CLIENT: Final = (
    "server serde serializer deserializer connect_timeout timeout no_delay ignore_exc "
    "socket_module socket_keepalive key_prefix default_noreply allow_unicode_keys encoding "
    "tls_context"
)
OF_POOLED: Final = (
    "server serde serializer deserializer connect_timeout timeout no_delay ignore_exc "
    "socket_module socket_keepalive key_prefix max_pool_size pool_idle_timeout lock_generator "
    "default_noreply allow_unicode_keys encoding tls_context"
)
OF_HASH: Final = (
    "servers hasher serde serializer deserializer connect_timeout timeout no_delay socket_module "
    "socket_keepalive key_prefix max_pool_size pool_idle_timeout lock_generator retry_attempts "
    "retry_timeout dead_timeout use_pooling ignore_exc allow_unicode_keys default_noreply encoding "
    "tls_context"
)
HOOKS: Final = dict.fromkeys(
    ("_connect", "_extract_value", "_fetch_cmd", "_misc_cmd", "_store_cmd"),
    "replies are read by a parser of our own",
)
KEY_HOOKS: Final = {**HOOKS, "check_key": "change the keys before they are passed"}

STORE: Final = "key value expire noreply flags"
CALLS: Final = {
    "set": method("set(key, value, expire)", STORE),
    "set_many": method("set_many(values, expire)", "values expire noreply flags"),
    "set_multi": method("set_many(values, expire)", "values expire noreply flags"),
    "add": method("add(key, value, expire)", STORE),
    "replace": method("replace(key, value, expire)", STORE),
    "append": method("append(key, value)", STORE),
    "prepend": method("prepend(key, value)", STORE),
    "cas": method("cas(key, value, token, expire)", "key value cas expire noreply flags"),
    "get": method("get(key, default)", "key default"),
    "get_many": method("get_many(keys)", "keys"),
    "get_multi": method("get_many(keys)", "keys"),
    "gets": method("gets(key, default)", "key default cas_default"),
    "gets_many": method("gets(key) for each", "keys"),
    "delete": method("delete(key)", "key noreply"),
    "delete_many": method("delete_many(keys)", "keys noreply"),
    "delete_multi": method("delete_many(keys)", "keys noreply"),
    "incr": method("incr(key, delta)", "key value noreply"),
    "decr": method("decr(key, delta)", "key value noreply"),
    "touch": method("touch(key, expire)", "key expire noreply"),
    "flush_all": method("flush_all(delay)", "delay noreply"),
    "close": method("close()"),
    "quit": method("close()"),
    "disconnect_all": method("close()"),
}
OF_ONE: Final = {
    "stats": Thing("stats(name)", arguments={}, open_ended=True),
    "version": method("version()"),
    "cache_memlimit": method("", "memlimit"),
    "raw_command": method("", "command end_tokens"),
    "shutdown": method("", "graceful"),
    "check_key": method("", "key key_prefix"),
    "__getitem__": method("get(key)", "key"),
    "__setitem__": method("set(key, value)", "key value"),
    "__delitem__": method("delete(key)", "key"),
}


def attributes(names: str, **special: Thing) -> dict[str, Thing]:
    """Return attributes of these names."""
    return {name: special.get(name, Thing()) for name in names.split()}


SETTINGS: Final = (
    "allow_unicode_keys connect_timeout default_noreply encoding ignore_exc key_prefix no_delay "
    "serde server socket_keepalive socket_module timeout tls_context"
)


OF_FALLBACK: Final = (
    "add append cas close decr delete flush_all get get_many gets gets_many incr prepend quit "
    "replace set stats touch"
)
OF_MOCK: Final = (
    "add append cas close decr delete delete_many delete_multi flush_all get get_many get_multi "
    "incr prepend quit replace set set_many set_multi touch"
)


def client(
    what: str,
    options: str,
    members: dict[str, Thing],
    parents: tuple[str, ...] = (),
    hooks: dict[str, str] = HOOKS,
) -> Thing:
    """Return the class of a client."""
    return Thing(
        what,
        arguments=arguments(options, **OPTIONS),
        members=members,
        parents=parents,
        is_class=True,
        hooks=hooks,
    )


CLIENTS: Final = {
    f"{BASE}.Client": client(
        "memcache.Client({})",
        OF_CLIENT,
        CALLS | OF_ONE | attributes(f"{SETTINGS} sock"),
        hooks=KEY_HOOKS,
    ),
    f"{BASE}.PooledClient": client(
        "memcache.Client({})",
        OF_POOLED,
        CALLS
        | OF_ONE
        | {"check_key": method("", "key"), "gets": method("gets(key)", "key")}
        | attributes(f"{SETTINGS} client_class client_pool"),
        hooks=KEY_HOOKS,
    ),
    "pymemcache.client.hash.HashClient": client(
        "memcache.Client({}, shard_func=Rendezvous())",
        OF_HASH,
        CALLS
        | {
            "get": Thing("get(key, default)", arguments=arguments("key default"), open_ended=True),
            "get_many": method("get_many(keys)", "keys gets"),
            "get_multi": method("get_many(keys)", "keys gets"),
            "gets_multi": method("gets(key) for each", "keys"),
            "flush_all": Thing("flush_all(delay)", arguments=arguments("delay noreply")),
            "add_server": method("ShardManager.update_shard_states()", "server port"),
            "remove_server": method("ShardManager.update_shard_states()", "server port"),
        }
        | attributes(
            "allow_unicode_keys client_class clients dead_timeout default_kwargs encoding hasher "
            "ignore_exc key_prefix retry_attempts retry_timeout tls_context use_pooling"
        ),
    ),
    f"{ELASTICACHE}.AWSElastiCacheHashClient": client(
        "memcache.Client({}, shard_func=Rendezvous())",
        f"{OF_HASH} use_vpc".replace("servers", "cfg_node"),
        {"reconfigure_nodes": method("ShardManager.update_shard_states()")},
        parents=("pymemcache.client.hash.HashClient",),
    ),
    "pymemcache.fallback.FallbackClient": Thing(
        "godropbox.caching",
        arguments=arguments("caches"),
        members={
            name: Thing(each.client, arguments=None, gives="")
            for name, each in (CALLS | OF_ONE).items()
            if name in OF_FALLBACK.split()
        },
        is_class=True,
    ),
    "pymemcache.test.utils.MockMemcacheClient": Thing(
        "memcache.testing.MockClient",
        arguments=arguments(
            "server serde serializer deserializer connect_timeout timeout no_delay ignore_exc "
            "socket_module default_noreply allow_unicode_keys encoding tls_context"
        ),
        members={name: CALLS[name] for name in CALLS if name in OF_MOCK.split()}
        | {
            "cache_memlimit": OF_ONE["cache_memlimit"],
            "check_key": method("", "key"),
            "clear": method(""),
            "stats": OF_ONE["stats"],
            "version": OF_ONE["version"],
        },
        is_class=True,
    ),
    "pymemcache.client.retrying.RetryingClient": Thing(
        "nothing: a call that found a stale connection is tried again",
        arguments=arguments("client attempts retry_delay retry_for do_not_retry_for"),
        members={
            name: method(call, names)
            for name, call, names in (
                ("__getitem__", "get(key)", "key"),
                ("__setitem__", "set(key, value)", "key value"),
                ("__delitem__", "delete(key)", "key"),
            )
        },
        parents=(f"{BASE}.Client", "pymemcache.client.hash.HashClient"),
        is_class=True,
    ),
}
OTHERS: Final = {
    f"{BASE}.KeepaliveOpts": Thing(
        arguments=arguments("idle intvl cnt"),
        members=attributes("cnt idle intvl"),
        is_class=True,
    ),
    f"{BASE}.check_key_helper": method("", "key allow_unicode_keys key_prefix"),
    f"{BASE}.normalize_server_spec": method("", "server"),
    "pymemcache.client.murmur3.murmur3_32": method("murmur3.hash32(data, seed)", "data seed"),
    "pymemcache.client.rendezvous.RendezvousHash": Thing(
        "Rendezvous()",
        arguments=arguments("nodes seed hash_function"),
        members={
            "add_node": method("", "node"),
            "get_node": method("Rendezvous().bind(servers).of(key)", "key"),
            "remove_node": method("", "node"),
        }
        | attributes("nodes seed hash_function"),
        is_class=True,
    ),
    "pymemcache.pool.ObjectPool": Thing(
        "resource_pool",
        arguments=arguments("obj_creator after_remove max_size idle_timeout lock_generator"),
        members={
            "clear": method(""),
            "destroy": method("", "obj silent"),
            "get": method(""),
            "get_and_release": method("", "destroy_on_fail"),
            "release": method("", "obj silent"),
        }
        | attributes("free used idle_timeout max_size"),
        is_class=True,
    ),
    "pymemcache.serde.PickleSerde": Thing(
        'serializer="pickle"',
        arguments=arguments("pickle_version"),
        members={
            "serialize": method("", "key value"),
            "deserialize": method("", "key value flags"),
        },
        is_class=True,
    ),
    "pymemcache.serde.CompressedSerde": Thing(
        'serializer="pickle", compressor="zlib"',
        arguments=arguments(
            "compress decompress serde min_compress_len", min_compress_len=instead("compress_from=")
        ),
        members={
            "serialize": method("", "key value"),
            "deserialize": method("", "key value flags"),
        },
        is_class=True,
    ),
    "pymemcache.serde.LegacyWrappingSerde": Thing(
        "serializer=",
        arguments=arguments("serializer_func deserializer_func"),
        members=attributes("serialize deserialize"),
        is_class=True,
    ),
    "pymemcache.serde.get_python_memcache_serializer": method(
        'serializer="pickle"', "pickle_version"
    ),
    "pymemcache.serde.python_memcache_serializer": method('serializer="pickle"', "key value"),
    "pymemcache.serde.python_memcache_deserializer": method("", "key value flags"),
    "pymemcache.serde.pickle_serde": Thing('serializer="pickle"'),
    "pymemcache.serde.compressed_serde": Thing('serializer="pickle", compressor="zlib"'),
}
FLAGS: Final = "BYTES PICKLE INTEGER LONG COMPRESSED TEXT"
CONSTANTS: Final = {
    **{f"pymemcache.serde.FLAG_{name}": Thing() for name in FLAGS.split()},
    "pymemcache.serde.DEFAULT_PICKLE_VERSION": Thing(),
    "pymemcache.__version__": Thing(),
}


def without(why: str) -> Thing:
    """Return a thing that has no counterpart."""
    return Thing(fate=Fate.NONE, why=why)


INSIDE: Final = "it is how pymemcache reads replies"
UNCOVERED: Final = {
    f"{BASE}.RECV_SIZE": without(INSIDE),
    f"{BASE}.VALID_STORE_RESULTS": without(INSIDE),
    f"{BASE}.STORE_RESULTS_VALUE": without(INSIDE),
    f"{BASE}.STAT_TYPES": without(INSIDE),
    f"{BASE}.SOCKET_KEEPALIVE_SUPPORTED_SYSTEM": without("KeepaliveOpts checks the system itself"),
}

_ERROR_NAMES: Final = {name: f"pymemcache.exceptions.{name}" for name in ERRORS}


def _own(module: str) -> dict[str, str]:
    """Return the names of what is defined in a module."""
    every = (*CLIENTS, *OTHERS, *CONSTANTS, *UNCOVERED)
    return {full.rpartition(".")[2]: full for full in every if full.rpartition(".")[0] == module}


def _taken(*names: str) -> dict[str, str]:
    every = (*CLIENTS, *OTHERS, *_ERROR_NAMES.values())
    return {full.rpartition(".")[2]: full for full in every if full.rpartition(".")[2] in names}


MODULES: Final = {
    "pymemcache": _own("pymemcache")
    | _ERROR_NAMES
    | _taken("Client", "PooledClient", "HashClient", "KeepaliveOpts"),
    "pymemcache.client": _ERROR_NAMES
    | _taken("Client", "PooledClient", "HashClient", "RetryingClient"),
    BASE: _own(BASE)
    | {name: full for name, full in _ERROR_NAMES.items() if name != "MemcacheError"}
    | _taken("LegacyWrappingSerde"),
    "pymemcache.client.hash": _own("pymemcache.client.hash")
    | _taken("Client", "PooledClient", "check_key_helper", "normalize_server_spec")
    | _taken("RendezvousHash", "MemcacheError"),
    "pymemcache.client.retrying": _own("pymemcache.client.retrying"),
    "pymemcache.client.rendezvous": _own("pymemcache.client.rendezvous") | _taken("murmur3_32"),
    "pymemcache.client.murmur3": _own("pymemcache.client.murmur3"),
    "pymemcache.exceptions": _ERROR_NAMES,
    "pymemcache.fallback": _own("pymemcache.fallback"),
    "pymemcache.pool": _own("pymemcache.pool"),
    "pymemcache.serde": _own("pymemcache.serde"),
    "pymemcache.test": {},
    "pymemcache.test.utils": _own("pymemcache.test.utils")
    | _taken("LegacyWrappingSerde", "check_key_helper")
    | _taken("MemcacheClientError", "MemcacheIllegalInputError"),
    # Of pymemcache's repository: 4.0.0 was published without them.
    "pymemcache.client.ext": {},
    f"{ELASTICACHE}": _own(ELASTICACHE),
}
PYMEMCACHE: Final = Library(
    name="pymemcache",
    version="4.0.0",
    roots=("pymemcache",),
    modules=MODULES,
    things={
        **CLIENTS,
        **OTHERS,
        **CONSTANTS,
        **UNCOVERED,
        **{
            f"pymemcache.exceptions.{name}": Thing(
                ours, arguments={}, open_ended=True, is_class=True, is_error=True
            )
            for name, ours in ERRORS.items()
        },
    },
    faces={module: f"godropbox.compat.{module}" for module in MODULES},
)
