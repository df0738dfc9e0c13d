#!/usr/bin/env bash
# Celery 5.7.0 and dogpile.cache 1.5.0 over memcached: a result or a value that is to be kept for 31
# days is gone at once; one for 30 days is kept.
#
# memcached reads an expiry over 30 days as a Unix time. Celery hands `result_expires`, and
# dogpile.cache `memcached_expire_time`, to its client as seconds, so 31 days are 1 February 1970:
# the server answers STORED, and has nothing. No error is raised anywhere: the task's state is
# PENDING for ever, and the region makes its value anew at every call. Django, cachelib and
# Flask-Caching convert longer timeouts before they send them.
#
# Seen with: celery 5.7.0 with pylibmc 1.6.3, dogpile.cache 1.5.0 with pymemcache 4.0.0 and with
# pylibmc 1.6.3, memcached 1.6.18.
# Needs: python3 with venv, memcached; downloads packages into a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check \
    celery==5.7.0 dogpile.cache==1.5.0 pylibmc==1.6.3 pymemcache==4.0.0

timeout 60 "$folder/env/bin/python" - <<'PYTHON'
import os
import socket
import subprocess
import time
from datetime import timedelta

from celery import Celery
from dogpile.cache import make_region

DAY = 24 * 60 * 60

with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
user = ["-u", "root"] if os.geteuid() == 0 else []
command = ["memcached", "-U", "0", "-l", "127.0.0.1", "-p", str(port), *user]
server = subprocess.Popen(command)


def add(one: int, other: int) -> int:
    return one + other


def celery_state(days: int) -> str:
    app = Celery(broker="memory://", backend=f"cache+memcached://127.0.0.1:{port}/")
    app.conf.update(
        task_always_eager=True, task_store_eager_result=True, result_expires=timedelta(days=days)
    )
    result = app.task(add, name="add").delay(1, 2)
    return app.AsyncResult(result.id).state


def dogpile_calls(backend: str, days: int) -> int:
    """Return how often a region calls the function that makes a value, in three calls."""
    made = []
    region = make_region().configure(
        backend, arguments={"url": f"127.0.0.1:{port}", "memcached_expire_time": days * DAY}
    )
    for _ in range(3):
        region.get_or_create(f"{backend}:{days}", lambda: made.append(1) or "value")
    return len(made)


try:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    states = {days: celery_state(days) for days in (30, 31)}
    print("Celery, result_expires of 30 and 31 days:", *states.values())
    calls = {
        backend: [dogpile_calls(backend, days) for days in (30, 31)]
        for backend in ("dogpile.cache.pymemcache", "dogpile.cache.pylibmc")
    }
    for backend, counts in calls.items():
        print(f"{backend}, 30 and 31 days: the value was made {counts[0]} and {counts[1]} times")
    assert states == {30: "SUCCESS", 31: "PENDING"}, "Celery has changed"
    assert all(counts == [1, 3] for counts in calls.values()), "dogpile.cache has changed"
finally:
    server.kill()
    server.wait()
PYTHON
