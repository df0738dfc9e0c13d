"""The system checks of ``CACHES``: options, keys, and whether the servers answer."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.cache import caches
from django.core.cache.backends.base import memcache_key_warnings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .cache import GodropboxCache
from .servers import Report, reports

__all__ = ["aliases", "check_caches"]

_OLDEST = (1, 6, 10)  # the first with the meta commands as they are now


def aliases() -> list[str]:
    """Return the aliases of ``CACHES`` whose back end is ours."""
    return [alias for alias, params in settings.CACHES.items() if _is_ours(params)]


def _is_ours(params: dict[str, Any]) -> bool:
    try:
        backend = import_string(params.get("BACKEND", ""))
    except ImportError:
        return False
    return isinstance(backend, type) and issubclass(backend, GodropboxCache)


def check_caches(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Check the caches that are ours; asks each server for its version."""
    found: list[checks.CheckMessage] = []
    for alias in aliases():
        where = f"CACHES[{alias!r}]"
        try:
            cache = caches[alias]
        except (ImproperlyConfigured, ImportError) as error:
            found.append(checks.Error(f"{where}: {error}", id="godropbox.E001"))
            continue
        assert isinstance(cache, GodropboxCache)
        found += _of_keys(where, cache)
        for report in reports(cache.clients):
            found += _of_server(where, cache, report)
    return found


def _of_keys(where: str, cache: GodropboxCache) -> list[checks.CheckMessage]:
    try:
        key = cache.make_key("key")
    except Exception as error:
        return [
            checks.Error(
                f"{where}: KEY_FUNCTION raised for the key 'key': {error}", id="godropbox.E002"
            )
        ]
    if not isinstance(key, str) or not list(memcache_key_warnings(key)):
        return []
    return [
        checks.Warning(
            f"{where}: the key 'key' becomes {key!r}, which memcached does not take: its keys are "
            "at most 250 bytes without blanks and control characters.",
            hint="Change KEY_PREFIX or KEY_FUNCTION.",
            id="godropbox.W003",
        )
    ]


def _of_server(where: str, cache: GodropboxCache, report: Report) -> list[checks.CheckMessage]:
    if report.error is not None:
        return [
            checks.Warning(
                f"{where}: the server {report.address} does not answer: {report.error}",
                hint=f"Start it, or correct its address in {where}['LOCATION'].",
                id="godropbox.W001",
            )
        ]
    protocol = cache.clients.settings.client.protocol
    if protocol in ("auto", "meta") and () < report.version < _OLDEST:
        lacks = "get_or_set, delete, touch and incr need 1.6.10."
        hint = f"Update it, or set {where}['OPTIONS']['protocol'] to 'ascii' or 'auto'."
        if protocol == "auto":
            lacks = "get_or_set loads once in each process, not among all, and ttl needs 1.6.10."
            hint = "Update it."
        return [
            checks.Warning(
                f"{where}: the server {report.address} is memcached {report.stats['version']}, "
                f"which has no meta commands: {lacks}",
                hint=hint,
                id="godropbox.W002",
            )
        ]
    return []
