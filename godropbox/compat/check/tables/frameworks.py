"""Settings and classes of frameworks over memcached, which one of ours takes the place of.

Django's are in ``django``.
"""

from typing import Final

from .entries import Fate, Library, Thing, arguments

__all__ = ["AIOCACHE", "CACHELIB", "DOGPILE", "FLASK_CACHING"]

OPTIONS: Final = "its other options are those of memcache.ClientOptions: see docs/frameworks.md"


def settings(face: str, why: str, *names: str) -> dict[str, Thing]:
    """Return the names in settings of back ends that the same one of ours takes the place of."""
    return {name: Thing(face=face, fate=Fate.DIFFERS, why=why) for name in names}


DOGPILE: Final = Library(
    name="dogpile.cache",
    version="1.5",
    roots=(),
    modules={},
    things={},
    faces={},
    strings=settings(
        "dogpile.cache.godropbox",
        OPTIONS,
        "dogpile.cache.pylibmc",
        "dogpile.cache.pymemcache",
        "dogpile.cache.memcached",
        "dogpile.cache.bmemcached",
    ),
)

FLASK_CACHING: Final = Library(
    name="Flask-Caching",
    version="2.5",
    roots=(),
    modules={},
    things={},
    faces={},
    strings=settings(
        "godropbox.flask.GodropboxCache",
        OPTIONS,
        *(
            f"{module}{name}"
            for module in ("", "flask_caching.backends.", "flask_caching.backends.memcache.")
            for name in ("MemcachedCache", "SASLMemcachedCache", "SpreadSASLMemcachedCache")
        ),
    ),
)

CACHELIB_CACHE: Final = "cachelib.memcached.MemcachedCache"
CALLS: Final = "add clear dec delete delete_many get get_dict get_many has inc set set_many"
CACHELIB: Final = Library(
    name="cachelib",
    version="0.17",
    roots=(),
    modules={
        "cachelib": {"MemcachedCache": CACHELIB_CACHE},
        "cachelib.memcached": {"MemcachedCache": CACHELIB_CACHE},
    },
    things={
        CACHELIB_CACHE: Thing(
            fate=Fate.DIFFERS,
            why="write GodropboxCache, without pool_size, pool_blocking and check_connection",
            arguments=arguments(
                "servers default_timeout key_prefix pool_size pool_blocking "
                "ignore_delete_many_errors check_connection memcache_client_lib"
            ),
            members=dict.fromkeys(CALLS.split(), Thing(arguments={}, open_ended=True)),
            is_class=True,
        )
    },
    faces={"cachelib": "godropbox.cachelib", "cachelib.memcached": "godropbox.cachelib"},
)

AIOCACHE: Final = Library(
    name="aiocache",
    version="0.12",
    roots=(),
    modules={},
    things={},
    faces={},
    strings=settings("godropbox.aiocache.GodropboxCache", OPTIONS, "aiocache.MemcachedCache"),
)
