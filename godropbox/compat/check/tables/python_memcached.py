"""python-memcached: its calls are those that pylibmc took over, so its face is pylibmc's.

docs/from-python-memcached.md says how keys stay where they are.
"""

from typing import Final

from .entries import Argument, Fate, Library, Thing, arguments, instead, method

__all__ = ["PYTHON_MEMCACHED"]


def without(why: str) -> Argument:
    """Return an argument that has no counterpart."""
    return Argument("", Fate.NONE, why)


NOREPLY: Final = Argument("", Fate.NONE, "every write is answered: leave it out", if_set=True)
OPTIONS: Final = {
    "servers": instead("servers"),
    "debug": Argument("hooks=", Fate.NONE, "hooks of memcache.Client show operations", if_set=True),
    "pickleProtocol": Argument(
        'serializer="pickle"', Fate.DIFFERS, 'write behaviors={"pickle_protocol": number}'
    ),
    "pickler": without("override serialize and deserialize, or write a serializer"),
    "unpickler": without("override serialize and deserialize, or write a serializer"),
    "compressor": without("values are compressed by zlib"),
    "decompressor": without("values are decompressed by zlib"),
    "pload": without("override deserialize, or write a serializer"),
    "pid": without("override serialize, or write a serializer"),
    "server_max_key_length": without("keys are of at most 250 bytes, as memcached takes them"),
    "server_max_value_length": without("the server says what is too large"),
    "dead_retry": Argument(
        "retry_after=", Fate.DIFFERS, 'write behaviors={"retry_timeout": seconds}'
    ),
    "socket_timeout": Argument(
        "timeout=", Fate.DIFFERS, 'write behaviors={"_poll_timeout": milliseconds}'
    ),
    "cache_cas": Argument(
        "", Fate.DIFFERS, "gets returns the token, and cas takes it", if_set=True
    ),
    "flush_on_reconnect": Argument(
        "", Fate.NONE, "a server that was away keeps its old values: flush it first", if_set=True
    ),
    "check_keys": Argument("", Fate.DIFFERS, "keys are always checked"),
    "key_encoder": without("encode keys before they are passed"),
}
SAME_KEY: Final = "the token is the second of what gets returns: cas(key, val, token)"
STORE: Final = "key val time min_compress_len noreply"


def call(client: str, names: str, why: str = "") -> Thing:
    """Return a method, of which `noreply` has no counterpart."""
    return method(client, names, why, noreply=NOREPLY)


MEMBERS: Final = {
    "get": call("get(key, default)", "key default"),
    "gets": call("gets(key)", "key", "it returns the value and the token"),
    "get_multi": call("get_many(keys)", "keys key_prefix"),
    "set": call("set(key, value, expire)", STORE),
    "set_multi": call(
        "set_many(values, expire)", "mapping time key_prefix min_compress_len noreply"
    ),
    "add": call("add(key, value, expire)", STORE),
    "replace": call("replace(key, value, expire)", STORE),
    "append": call("append(key, value)", STORE),
    "prepend": call("prepend(key, value)", STORE),
    "cas": call("cas(key, value, token, expire)", STORE, SAME_KEY),
    "delete": call("delete(key)", "key noreply", "False for a missing key, where it was 1"),
    "delete_multi": call("delete_many(keys)", "keys time key_prefix noreply"),
    "touch": call("touch(key, expire)", "key time noreply"),
    "incr": call(
        "incr(key, delta)", "key delta noreply", "NotFound for a missing key, where it was None"
    ),
    "decr": call(
        "decr(key, delta)", "key delta noreply", "NotFound for a missing key, where it was None"
    ),
    "flush_all": call("flush_all()", ""),
    "get_stats": call("stats(name)", "stat_args", "keys and values are bytes"),
    "get_slabs": Thing("stats('slabs')", Fate.DIFFERS, "get_stats('slabs')", arguments={}),
    "get_slab_stats": Thing("stats('slabs')", Fate.DIFFERS, "get_stats('slabs')", arguments={}),
    "disconnect_all": call("close()", ""),
    "quit_all": Thing("close()", Fate.DIFFERS, "disconnect_all()", arguments={}),
    "set_servers": Thing(
        "ShardManager.update_shard_states()",
        Fate.DIFFERS,
        "make another client, or a memcache.Client over a ShardManager",
        arguments=arguments("servers"),
    ),
    "forget_dead_hosts": Thing("close()", Fate.DIFFERS, "disconnect_all()", arguments={}),
    "reset_cas": Thing(fate=Fate.NONE, why="no token is kept", arguments={}),
    "check_key": Thing(
        fate=Fate.NONE, why="keys are always checked", arguments=arguments("key key_extra_len")
    ),
    "debuglog": Thing(
        fate=Fate.NONE, why="hooks of memcache.Client show operations", arguments=arguments("str")
    ),
}
KEY_ERRORS: Final = (
    "MemcachedKeyError",
    "MemcachedKeyCharacterError",
    "MemcachedKeyLengthError",
    "MemcachedKeyNoneError",
    "MemcachedKeyTypeError",
    "MemcachedStringEncodingError",
)
KEY_ERROR: Final = Thing(
    "memcache.InvalidArgumentError, memcache.InvalidTypeError",
    Fate.DIFFERS,
    "ValueError or TypeError",
    is_class=True,
    is_error=True,
)
OWN: Final = [
    "SERVER_MAX_KEY_LENGTH",
    "SERVER_MAX_VALUE_LENGTH",
    "cmemcache_hash",
    "serverHashFunction",
    "useOldServerHashFunction",
    "valid_key_chars_re",
]

PYTHON_MEMCACHED: Final = Library(
    name="python-memcached",
    version="1.62",
    roots=("memcache",),
    modules={"memcache": {name: f"memcache.{name}" for name in ("Client", *OWN)}},
    things={
        "memcache.Client": Thing(
            'memcache.Client({}, shard_func=shard_function({"hash": "crc"}))',
            Fate.DIFFERS,
            'for the same servers of keys add behaviors={"hash": "crc"}, and a failure raises',
            arguments=arguments(
                "servers debug pickleProtocol pickler unpickler compressor decompressor pload pid "
                "server_max_key_length server_max_value_length dead_retry socket_timeout cache_cas "
                "flush_on_reconnect check_keys key_encoder",
                **OPTIONS,
            ),
            members=MEMBERS | dict.fromkeys(KEY_ERRORS, KEY_ERROR),
            is_class=True,
        ),
        **{
            f"memcache.{name}": Thing(fate=Fate.NONE, why="it is inside python-memcached")
            for name in OWN
        },
    },
    faces={"memcache": "godropbox.compat.pylibmc"},
    common_name=True,
)
