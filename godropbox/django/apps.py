"""The application for ``INSTALLED_APPS``: checks, and the command ``memcached_stats``."""

from django.apps import AppConfig
from django.core.checks import Tags, register

__all__ = ["GodropboxConfig"]


class GodropboxConfig(AppConfig):
    """``"godropbox.django"`` among ``INSTALLED_APPS``."""

    name = "godropbox.django"
    label = "godropbox"
    verbose_name = "godropbox"

    def ready(self) -> None:
        """Register the checks."""
        from .checks import check_caches

        register(check_caches, Tags.caches)
