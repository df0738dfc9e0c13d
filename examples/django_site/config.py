"""The settings: one cache for pages, fragments, sessions and what the views keep."""

import os
from pathlib import Path

SECRET_KEY = os.environ.get("SECRET_KEY", "only for this example")
DEBUG = "SECRET_KEY" not in os.environ
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
ROOT_URLCONF = "urls"
USE_TZ = True

CACHES = {
    "default": {
        "BACKEND": "godropbox.django.GodropboxCache",
        "LOCATION": os.environ.get("MEMCACHED", "127.0.0.1:11211"),
        "KEY_PREFIX": "site",
        "OPTIONS": {"timeout": 0.5, "compressor": "zlib"},
    },
}

# The application brings the checks and the command; the back end works without it.
INSTALLED_APPS = ["django.contrib.sessions", "godropbox.django"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
SESSION_ENGINE = "django.contrib.sessions.backends.cache"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
    }
]
