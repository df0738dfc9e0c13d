"""Processes that ask for one key at the same time, for the tests of leases."""

import sys
import threading

from godropbox.memcache.client import Client


def ask(address: str, threads: int, asked: int) -> list[object]:
    """Ask for one key in many threads at once; `asked` is how many do so in all processes.

    Nobody's load is over before all of them have begun to ask. Return what each was given.
    """
    client = Client([address], timeout=60.0, connect_timeout=60.0, pool_timeout=60.0, max_active=16)
    given: list[object] = []

    def load() -> str:
        while client.get("asking", 0) < asked:
            pass
        return f"load {client.incr('loads', initial=1)}"

    def run() -> None:
        client.incr("asking", initial=1)
        given.append(client.get_or_set("key", load, 600, lease_time=60))

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    client.close()
    return given


def hold(address: str) -> None:
    """Win the lease on a key, say so, and never give it a value."""

    def load() -> None:
        print("loading", flush=True)
        sys.stdin.read()

    Client([address], timeout=60.0, connect_timeout=60.0).get_or_set("key", load, 600, lease_time=1)


if __name__ == "__main__":
    hold(sys.argv[1])
