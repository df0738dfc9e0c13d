"""The site for ASGI servers, where an async view waits for memcached without a thread."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config")
application = get_asgi_application()
