"""Django's cache over memcached: ``BACKEND = "godropbox.django.GodropboxCache"``.

For Django 5.2 and later. With ``"godropbox.django"`` among ``INSTALLED_APPS`` there are system
checks of ``CACHES`` too, and the command ``memcached_stats``. See docs/django.md.
"""

from .cache import GodropboxCache
from .options import CacheOptionsError

__all__ = ["CacheOptionsError", "GodropboxCache"]
