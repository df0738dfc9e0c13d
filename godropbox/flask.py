"""A back end for Flask-Caching: ``CACHE_TYPE = "godropbox.flask.GodropboxCache"``."""

from typing import Any

from flask import Flask
from flask_caching.backends.base import BaseCache

from . import cachelib
from ._faces import chosen

__all__ = ["GodropboxCache"]

_OWN = ("servers", "key_prefix", "default_timeout", "ignore_delete_many_errors")


class GodropboxCache(cachelib.GodropboxCache, BaseCache):
    """The cache of ``godropbox.cachelib``, which Flask-Caching makes from an app's configuration.

    It takes what the memcached types of Flask-Caching do: ``CACHE_MEMCACHED_SERVERS``,
    ``CACHE_KEY_PREFIX``, ``CACHE_DEFAULT_TIMEOUT``, ``CACHE_MEMCACHED_USERNAME`` and ``_PASSWORD``,
    ``CACHE_IGNORE_ERRORS`` and ``CACHE_OPTIONS``, which are ``ClientOptions`` by name.
    """

    @classmethod
    def factory(
        cls, app: Flask, config: dict[str, Any], args: list[Any], kwargs: dict[str, Any]
    ) -> "GodropboxCache":
        """Return a cache for an app; a wrong option raises, with the one it is most like."""
        own = {name: kwargs.pop(name) for name in _OWN if name in kwargs}
        own.setdefault("servers", config.get("CACHE_MEMCACHED_SERVERS"))
        own.setdefault("key_prefix", config.get("CACHE_KEY_PREFIX"))
        for name in ("username", "password"):
            value = config.get(f"CACHE_MEMCACHED_{name.upper()}")
            if value is not None:
                kwargs.setdefault(name, value)
        own["options"] = chosen(cachelib.DEFAULT_OPTIONS, kwargs, "CACHE_OPTIONS", _OWN)
        return cls(*args, **own)
