"""Tries an installed godropbox, in an environment that has nothing else: ``tests/wheels`` runs it.

It is a script of the standard library alone, run as ``python -I wheel_trial.py native|pure``. It
takes a path through every compiled part, with a real memcached where one is installed, and prints
one line; anything that is not as it should be raises.
"""

import shutil
import socket
import subprocess
import sys
import time
from array import array

import godropbox
from godropbox import _kernels, errors, hash2, memcache, murmur3
from godropbox.caching import CacheOnStorage, DictStorage, LocalStorage
from godropbox.database import sqlbuilder as sb
from godropbox.memcache.testing import MockClient

__all__ = ["main"]


def is_as(found: object, wanted: object) -> None:
    """Raise unless the two are equal."""
    if found != wanted:
        raise SystemExit(f"got {found!r}, wanted {wanted!r}")


def implementation(wanted: str) -> None:
    """What runs is what was asked for, all of it, and the lock is as it was."""
    is_as(godropbox.IMPLEMENTATION, wanted)
    if not godropbox.__file__.startswith(sys.prefix):
        raise SystemExit(f"godropbox is imported from {godropbox.__file__}, not installed")
    for name in _kernels.MODULES:
        __import__(name)
        is_compiled = not str(sys.modules[name].__file__).endswith(".py")
        is_as((name, is_compiled), (name, wanted == "native"))


def without_a_server() -> None:
    """Hashes, SQL text, errors, layers, and the client over the one in memory."""
    is_as(hash2.consistent_hash(31415, 100), 47)
    is_as(hash2.consistent_hash_many(array("Q", range(100_000)), 100)[31415], 47)
    is_as(murmur3.hash32(b"user:31415"), 2996181508)
    files = sb.Table("files", sb.IntColumn("owner"), sb.StrColumn("name"))
    query = files.select(files.c.name).where((files.c.owner == 7) & files.c.name.like("it's%"))
    wanted = "SELECT `files`.`name` FROM `s`.`files` WHERE (`files`.`owner`=7 AND `files`.`name` "
    is_as(query.sql("s"), wanted + r"LIKE 'it\'s%')")
    is_as(errors.DropboxError("m", shard=3).fields["shard"], 3)
    users = DictStorage({"ann": "Ann"})
    cache = CacheOnStorage(LocalStorage(100, ttl=10), users)
    cache.set("bob", "Bob")
    is_as(cache.get_multi(["ann", "bob", "eve"]), {"ann": "Ann", "bob": "Bob"})
    client = memcache.Client.over(MockClient(), serializer="json")
    client.set_many({"a": [1], "b": {"c": 2}})
    is_as(client.get_many(["a", "b", "d"]), {"a": [1], "b": {"c": 2}})


def with_a_server() -> str:
    """Values over a real memcached, in batches and under a lease; return what it was."""
    program = shutil.which("memcached")
    if program is None:
        return "no memcached there"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-u", "root"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise
        with memcache.Client([f"127.0.0.1:{port}"], timeout=10.0, serializer="json") as client:
            many = {f"user:{n}": {"n": n} for n in range(500)}
            is_as(list(client.set_many(many)), [])
            is_as(client.get_many(many), many)
            is_as(client.get_or_set("lease", lambda: [1, 2], 60), [1, 2])
            is_as(client.get("lease"), [1, 2])
            return f"memcached {client.version()[0]}"
    finally:
        process.kill()
        process.wait()


def main(wanted: str) -> None:
    """Try it all, and say in one line on what."""
    free = getattr(sys, "_is_gil_enabled", None)
    had_lock = free is None or free()
    implementation(wanted)
    without_a_server()
    server = with_a_server()
    is_as(free is None or free(), had_lock)
    lock = "" if had_lock else ", without the interpreter lock"
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"{wanted} on {sys.implementation.name} {version}{lock}; {server}")


if __name__ == "__main__":
    main(sys.argv[1])
