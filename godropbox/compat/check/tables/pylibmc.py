"""pylibmc: its face is ``godropbox.compat.pylibmc``, module by module."""

from queue import Queue
from typing import Final

from .entries import Argument, Fate, Library, Thing, arguments, instead, method

__all__ = ["PYLIBMC"]

CLIENT: Final = "pylibmc.client.Client"

ERRORS: Final = {
    "AllocationError": "memcache.ServerError",
    "BadKeyProvided": "memcache.InvalidArgumentError",
    "CacheMiss": "",
    "ClientError": "memcache.ServerError",
    "ConnectionBindError": "memcache.NetworkError",
    "ConnectionError": "memcache.NetworkError",
    "DataDoesNotExist": "",
    "DataExists": "",
    "Error": "memcache.ServerError, memcache.NetworkError",
    "Failure": "memcache.ServerError",
    "FetchNotFinished": "",
    "HostLookupError": "memcache.NetworkError",
    "InvalidHostProtocolError": "memcache.InvalidArgumentError",
    "NoServers": "memcache.UnmappedKeyError",
    "NotFound": "",
    "NotSupportedError": "memcache.NotSupportedError",
    "ProtocolError": "memcache.ReplyError",
    "ReadError": "memcache.ConnectionLostError",
    "ServerDead": "memcache.NetworkError",
    "ServerDown": "memcache.NetworkError",
    "ServerError": "memcache.ServerError",
    "SocketCreateError": "memcache.NetworkError",
    "SomeErrors": "memcache.PartialResultError",
    "TooBig": "memcache.ServerError",
    "UnixSocketError": "memcache.NetworkError",
    "UnknownReadFailure": "memcache.ReplyError",
    "UnknownStatKey": "memcache.ServerError",
    "WriteError": "memcache.ConnectionLostError",
}


def lacking(why: str) -> Argument:
    """Return a behavior that must not be set."""
    return Argument("", Fate.NONE, f"must be 0: {why}", if_set=True)


def refusing(pattern: str, why: str, client: str = "") -> Argument:
    """Return an argument for which not every string may be passed."""
    return Argument(client, Fate.NONE, why, refuses=pattern)


BEHAVIORS: Final = arguments(
    "no_block tcp_nodelay tcp_keepalive hash ketama_hash ketama ketama_weighted distribution cas "
    "buffer_requests verify_keys connect_timeout send_timeout receive_timeout num_replicas "
    "auto_eject retry_timeout remove_failed failure_limit _io_msg_watermark _io_bytes_watermark "
    "_io_key_prefetch _hash_with_prefix_key _noreply _sort_hosts _poll_timeout _socket_send_size "
    "_socket_recv_size dead_timeout pickle_protocol namespace _retry_timeout",
    hash=refusing("hsieh|murmur|jenkins", "the hashes are default, md5, crc and the four of fnv1"),
    distribution=refusing(
        "random|virtual bucket|consistent (ketama spy|max)",
        "the distributions are modula, consistent, consistent ketama and consistent weighted",
    ),
    ketama=instead("shard_func=Ketama(weighted=False)"),
    ketama_weighted=instead("shard_func=Ketama()"),
    connect_timeout=instead("connect_timeout="),
    send_timeout=instead("timeout="),
    receive_timeout=instead("timeout="),
    remove_failed=instead("eject_after="),
    failure_limit=instead("eject_after="),
    retry_timeout=instead("retry_after="),
    dead_timeout=instead("retry_after="),
    namespace=instead("prefix="),
    buffer_requests=lacking("a write is sent at once, and set_multi sends many"),
    num_replicas=lacking("a key is on one server"),
    _hash_with_prefix_key=lacking("the server is chosen by the key without its namespace"),
    _noreply=lacking("every reply is read"),
    _sort_hosts=lacking("servers are numbered in the order in which they are given"),
)
SERVERS: Final = refusing("udp:", "servers are asked over TCP or a Unix socket", "servers")
OPTIONS: Final = {
    "servers": SERVERS,
    "behaviors": Argument(keys=BEHAVIORS),
    "binary": instead('protocol="binary"'),
    "username": instead("auth=Credentials(username, password)"),
}

STORE: Final = "key val time min_compress_len compress_level"
MANY: Final = "keys time key_prefix min_compress_len compress_level"
COMPRESSED: Final = instead('compressor="zlib"')
MEMBERS: Final = {
    "get": method("get(key, default)", "key default"),
    "gets": method("gets(key)", "key"),
    "get_multi": method("get_many(keys)", "keys key_prefix"),
    "set": method("set(key, value, expire)", STORE, min_compress_len=COMPRESSED),
    "set_multi": method("set_many(values, expire)", MANY, min_compress_len=COMPRESSED),
    "add": method("add(key, value, expire)", STORE, min_compress_len=COMPRESSED),
    "add_multi": method("add(key, value, expire) for each", MANY, min_compress_len=COMPRESSED),
    "replace": method("replace(key, value, expire)", STORE, min_compress_len=COMPRESSED),
    "append": method("append(key, value)", STORE),
    "prepend": method("prepend(key, value)", STORE),
    "cas": method("cas(key, value, token, expire)", "key val cas time"),
    "delete": method("delete(key)", "key"),
    "delete_multi": method("delete_many(keys)", "keys key_prefix"),
    "touch": method("touch(key, expire)", "key time"),
    "incr": method("incr(key, delta)", "key delta"),
    "decr": method("decr(key, delta)", "key delta"),
    "incr_multi": method("incr(key, delta) for each", "keys key_prefix delta"),
    "flush_all": method("flush_all(delay)", "time"),
    "get_stats": method("stats(name)", "args"),
    "disconnect_all": method("close()"),
    "hash": method("", "key"),
    "serialize": method("serializer=", "value"),
    "deserialize": method("serializer=", "bytes_ flags"),
    "clone": method("nothing: threads share a Client", gives=CLIENT),
    "get_behaviors": Thing(arguments={}, keys=BEHAVIORS),
    "set_behaviors": method("", "behaviors", behaviors=Argument(keys=BEHAVIORS)),
    "behaviors": Thing(keys=BEHAVIORS),
    "behaviours": Thing(fate=Fate.NONE, why="it raises in pylibmc, too: write behaviors"),
    "addresses": Thing(),
    "binary": Thing(),
    "__getitem__": method("get(key)", "key"),
    "__setitem__": method("set(key, value)", "key value"),
    "__delitem__": method("delete(key)", "key"),
    "__contains__": method("get(key)", "key"),
}
POOLED: Final = "nothing: threads share a Client"
CLASSES: Final = {
    CLIENT: Thing(
        "memcache.Client({})",
        arguments=arguments("servers behaviors binary username password", **OPTIONS),
        members=MEMBERS,
        is_class=True,
    ),
    "_pylibmc.client": Thing(
        "memcache.Client({})",
        Fate.DIFFERS,
        "write pylibmc.Client",
        arguments=arguments("servers binary username password behaviors", **OPTIONS),
        members=MEMBERS,
        is_class=True,
    ),
    "pylibmc.pools.ClientPool": Thing(
        POOLED,
        arguments=arguments("mc n_slots"),
        members={
            "reserve": method(POOLED, "block", gives=CLIENT),
            "fill": method("", "mc n_slots"),
            "get": method("", "block timeout", gives=CLIENT),
            "get_nowait": method("", gives=CLIENT),
            "put": method("", "item block timeout"),
            "put_nowait": method("", "item"),
            "qsize": method(""),
            "empty": method(""),
            "full": method(""),
            "join": method(""),
            "task_done": method(""),
            # A queue has it since Python 3.13.
            **({"shutdown": method("", "immediate")} if hasattr(Queue, "shutdown") else {}),
        },
        is_class=True,
    ),
    "pylibmc.pools.ThreadMappedPool": Thing(
        POOLED,
        arguments=arguments("master"),
        members={
            "reserve": method(POOLED, gives=CLIENT),
            "relinquish": method(""),
            "master": Thing(gives=CLIENT),
            "current_key": Thing(),
            **{
                name: Thing(arguments={}, open_ended=True)
                for name in [
                    "clear",
                    "copy",
                    "fromkeys",
                    "get",
                    "items",
                    "keys",
                    "pop",
                    "popitem",
                    "setdefault",
                    "update",
                    "values",
                    "__getitem__",
                    "__setitem__",
                    "__delitem__",
                    "__contains__",
                ]
            },
        },
        is_class=True,
    ),
    "pylibmc.consts.BehaviorDict": Thing(
        arguments=arguments("client"), open_ended=True, is_class=True
    ),
}
FUNCTIONS: Final = {
    "pylibmc.build_info": method(""),
    "pylibmc.client.translate_server_spec": method("", "server port weight"),
    "pylibmc.client.translate_server_specs": method("", "servers"),
    "pylibmc.autoconf.elasticache": method("", "address config_key mc_key", gives=CLIENT),
}
AUTOCONF_ERRORS: Final = ("NoAutoconfFound", "UnsupportedAutoconfMethod")


def _constants(prefix: str, names: str, without: str = "", why: str = "") -> dict[str, Thing]:
    nothing = Thing(fate=Fate.NONE, why=why)
    return {f"{prefix}{name}": Thing() for name in names.split()} | {
        f"{prefix}{name}": nothing for name in without.split()
    }


CONSTANTS: Final = {
    **_constants(
        "",
        "__version__ all_behaviors all_callbacks callback_namespace exceptions "
        "libmemcached_version libmemcached_version_hex server_type_tcp server_type_unix "
        "support_compression support_sasl",
        "server_type_udp",
        "servers are asked over TCP or a Unix socket",
    ),
    **_constants(
        "hash_",
        "default md5 crc fnv1_32 fnv1_64 fnv1a_32 fnv1a_64",
        "hsieh murmur jenkins",
        "keys are not hashed so here",
    ),
    **_constants(
        "distribution_",
        "modula consistent consistent_ketama consistent_weighted",
        "random virtual_bucket consistent_ketama_spy consistent_max",
        "keys are not distributed so here",
    ),
}
CONSTS: Final = "distributions distributions_rvs hashers hashers_rvs errors"

_ERROR_NAMES: Final = {name: f"pylibmc.{name}" for name in ERRORS} | {
    "MemcachedError": "pylibmc.Error"
}
_NUMBERS: Final = {name: f"pylibmc.{name}" for name in CONSTANTS}
MODULES: Final = {
    "pylibmc": _ERROR_NAMES
    | _NUMBERS
    | {
        "Client": CLIENT,
        "ClientPool": "pylibmc.pools.ClientPool",
        "ThreadMappedPool": "pylibmc.pools.ThreadMappedPool",
        "build_info": "pylibmc.build_info",
        "distributions": "pylibmc.consts.distributions",
        "hashers": "pylibmc.consts.hashers",
    },
    "_pylibmc": _ERROR_NAMES | _NUMBERS | {"client": "_pylibmc.client"},
    "pylibmc.client": {
        name: f"pylibmc.client.{name}"
        for name in ("Client", "translate_server_spec", "translate_server_specs")
    }
    | {
        "BehaviorDict": "pylibmc.consts.BehaviorDict",
        "all_behaviors": "pylibmc.all_behaviors",
        "all_callbacks": "pylibmc.all_callbacks",
        "server_type_map": "pylibmc.client.server_type_map",
    }
    | {name: f"pylibmc.consts.{name}" for name in CONSTS.split() if name != "errors"},
    "pylibmc.consts": {name: f"pylibmc.consts.{name}" for name in ERRORS}
    | {
        "BehaviorDict": "pylibmc.consts.BehaviorDict",
        "all_behaviors": "pylibmc.all_behaviors",
        "all_callbacks": "pylibmc.all_callbacks",
    }
    | {name: f"pylibmc.consts.{name}" for name in CONSTS.split()},
    "pylibmc.pools": {name: f"pylibmc.pools.{name}" for name in ("ClientPool", "ThreadMappedPool")},
    "pylibmc.autoconf": {
        name: f"pylibmc.autoconf.{name}" for name in ("elasticache", *AUTOCONF_ERRORS)
    },
    "pylibmc.test": {
        name: f"pylibmc.test.{name}"
        for name in ("NotAliveError", "get_version", "is_alive", "make_test_client")
    },
}
WITHOUT: Final = {"pylibmc.test": "make a Client of the test's own server"}

PYLIBMC: Final = Library(
    name="pylibmc",
    version="1.6.3",
    roots=("pylibmc", "_pylibmc"),
    modules=MODULES,
    things={
        **CLASSES,
        **FUNCTIONS,
        **{f"pylibmc.{name}": thing for name, thing in CONSTANTS.items()},
        **{f"pylibmc.consts.{name}": Thing() for name in CONSTS.split()},
        **{
            f"pylibmc.consts.{name}": Thing(
                fate=Fate.DIFFERS, why="import it from pylibmc", is_class=True, is_error=True
            )
            for name in ERRORS
        },
        "pylibmc.client.server_type_map": Thing(
            fate=Fate.NONE, why="servers are written as text, or with server_type_tcp"
        ),
        **{
            f"pylibmc.{name}": Thing(
                ours, arguments={}, open_ended=True, is_class=True, is_error=True
            )
            for name, ours in ERRORS.items()
        },
        **{
            f"pylibmc.autoconf.{name}": Thing(
                arguments={}, open_ended=True, is_class=True, is_error=True
            )
            for name in AUTOCONF_ERRORS
        },
        **{
            full: Thing(fate=Fate.NONE, why=WITHOUT["pylibmc.test"])
            for full in MODULES["pylibmc.test"].values()
        },
    },
    faces={
        module: f"godropbox.compat.{module.removeprefix('_')}"
        for module in MODULES
        if module not in WITHOUT
    },
    without=WITHOUT,
)
