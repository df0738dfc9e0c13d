"""Django's stock back ends of memcached in ``CACHES``: ``godropbox.django`` takes their place."""

from typing import Final

from .entries import Argument, Fate, Library, Thing, arguments

__all__ = ["DJANGO"]

FACE: Final = "godropbox.django.GodropboxCache"
MODULE: Final = "django.core.cache.backends.memcached"
SETTINGS: Final = "BACKEND LOCATION TIMEOUT KEY_PREFIX KEY_FUNCTION VERSION OPTIONS"


def settings(options: dict[str, Argument]) -> dict[str, Argument]:
    """Return the settings of a cache, with these ``OPTIONS``."""
    return arguments(SETTINGS, OPTIONS=Argument(keys=options))


def out(why: str) -> Argument:
    """Return an option that has to go."""
    return Argument("", Fate.DIFFERS, why)


EJECTION: Final = out("write eject_after (failures) and retry_after (seconds)")
OF_PYMEMCACHE: Final = arguments(
    "hasher serde serializer deserializer connect_timeout timeout no_delay socket_module "
    "socket_keepalive key_prefix max_pool_size pool_idle_timeout lock_generator retry_attempts "
    "retry_timeout dead_timeout use_pooling ignore_exc allow_unicode_keys default_noreply encoding "
    "tls_context",
    hasher=out("write shard_func; compatible='pymemcache' has pymemcache's own"),
    serializer=out("write serializer= and compressor="),
    deserializer=out("write serializer= and compressor="),
    socket_module=out("gevent patches the sockets: leave it out"),
    socket_keepalive=out("write keepalive_idle, keepalive_interval and keepalive_count"),
    lock_generator=out("gevent patches the locks: leave it out"),
    retry_attempts=EJECTION,
    retry_timeout=EJECTION,
    dead_timeout=EJECTION,
)
BEHAVIORS: Final = arguments(
    "no_block tcp_nodelay tcp_keepalive hash ketama ketama_weighted distribution cas "
    "buffer_requests verify_keys connect_timeout send_timeout receive_timeout num_replicas "
    "auto_eject retry_timeout remove_failed failure_limit dead_timeout pickle_protocol",
    hash=Argument("", Fate.DIFFERS, "write shard_func for another hash", refuses="(?!default$)"),
    buffer_requests=Argument("", Fate.NONE, "every write waits for its reply", if_set=True),
    num_replicas=Argument("", Fate.NONE, "a value is on one server", if_set=True),
    **dict.fromkeys(
        ("auto_eject", "retry_timeout", "remove_failed", "failure_limit", "dead_timeout"), EJECTION
    ),
)
OF_PYLIBMC: Final = arguments(
    "behaviors binary username password", behaviors=Argument(keys=BEHAVIORS)
)

PYMEMCACHE: Final = Thing(
    face=FACE,
    keys=settings(OF_PYMEMCACHE),
    fate=Fate.DIFFERS,
    why="beside servers that still use the old one, add OPTIONS['compatible'] = 'pymemcache'",
    is_class=True,
)
PYLIBMC: Final = Thing(
    face=FACE,
    keys=settings(OF_PYLIBMC),
    fate=Fate.DIFFERS,
    why="beside servers that still use the old one, add OPTIONS['compatible'] = 'pylibmc'",
    is_class=True,
)
BASE: Final = Thing(face=FACE, fate=Fate.DIFFERS, why="derive from GodropboxCache", is_class=True)
NAMES: Final = {
    "PyMemcacheCache": PYMEMCACHE,
    "PyLibMCCache": PYLIBMC,
    "BaseMemcachedCache": BASE,
}

DJANGO: Final = Library(
    name="Django",
    version="5.2",
    roots=(),
    modules={MODULE: {name: f"{MODULE}.{name}" for name in NAMES}},
    things={f"{MODULE}.{name}": thing for name, thing in NAMES.items()},
    faces={MODULE: "godropbox.django"},
    strings={f"{MODULE}.{name}": thing for name, thing in NAMES.items()},
)
