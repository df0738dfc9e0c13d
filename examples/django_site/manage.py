"""A small Django site that caches in memcached by ``godropbox.django``.

Install ``django`` and run ``python examples/django_site/manage.py runserver``; memcached is at
127.0.0.1:11211, or at the addresses in ``MEMCACHED``, with commas between them. Then open
http://127.0.0.1:8000/. ``manage.py check`` looks at the servers, ``manage.py memcached_stats``
shows them. With an ASGI server: ``uvicorn asgi:application`` in this folder.
"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config")
    execute_from_command_line(sys.argv)
