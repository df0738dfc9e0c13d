"""The end of the interpreter, which stops daemon threads wherever they are: they keep their locks.

A finalizer that runs then must not wait for one of those. Each script ends with a lock held by a
thread that is stopped, and with garbage whose finalizer would take it.
"""

import subprocess
import sys

import pytest

HELD = """
import gc, threading

def lock_of(target):
    kind = type(threading.RLock())
    return next(each for each in gc.get_referents(target) if type(each) is kind)

def held(lock):
    def hold():
        with lock:
            is_held.set()
            threading.Event().wait()
    is_held = threading.Event()
    threading.Thread(target=hold, daemon=True).start()
    is_held.wait()

def garbage(*parts):
    cycle = [*parts]
    cycle.append(cycle)

gc.disable()
"""

SCRIPTS = {
    "a pool whose reaper wakes": """
from godropbox.resource_pool._reaper import Reaper

class Pool:
    pass

def left():
    pool = Pool()
    pool.reaper = Reaper(pool, 60.0)
    pool.reaper.start()
    held(pool.reaper._stopped._cond)
    garbage(pool)

left()
""",
    "a handle that was never given back": """
from godropbox.resource_pool import PoolOptions, SimpleResourcePool

pool = SimpleResourcePool(PoolOptions(open=lambda _: object()))

def left():
    garbage(pool.get())
    held(lock_of(pool))

left()
""",
    "a load that is not over": """
from godropbox.caching.flight import SingleFlight

table = SingleFlight()

def left():
    garbage(table.claim(["key"]))
    held(lock_of(table))

left()
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_interpreter_ends(name: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", HELD + SCRIPTS[name]]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
