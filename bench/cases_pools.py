"""Checkout and return: take a handle that is idle, and give it back.

Right is that the handle given back is the one taken next, and that at the end nothing is on loan.
Every pool holds one idle handle that costs nothing to make and has no limit that is reached.
"""

from typing import Any

from .model import Case, Group, Names, Row, Within, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

TURNS = range(1000)
LIMIT = Within(0.35e-6, "Go takes 280 ns")


class Handle:
    """What is lent."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


def same_handle(result: Any, names: Names) -> None:
    """Hold a pool to lending the one handle it has, again and again."""
    taken = [names["once"]() for _ in range(3)]
    if not all(handle is taken[0] for handle in taken):
        raise WrongError("a handle that came back was not lent again")
    if names["active"]() != 0:
        raise WrongError("a handle is on loan still")


def ours_names(implementation: str, **limits: Any) -> Names:
    resource_pool = load("resource_pool", implementation)
    options = resource_pool.PoolOptions(open=lambda _: Handle(), max_active=10, **limits)
    pool = resource_pool.SimpleResourcePool(options)
    pool.get().release()

    def once() -> object:
        with pool.get() as handle:
            return handle.handle

    def block() -> None:
        with pool.get():
            pass

    return {
        "turns": TURNS,
        "get": pool.get,
        "release": pool.release,
        "block": block,
        "once": once,
        "active": lambda: pool.num_active,
        "close": pool.enter_lame_duck_mode,
    }


def aged(implementation: str) -> Names:
    return ours_names(implementation, max_idle_time=60, max_lifetime=600)


def sqlalchemy_names(_: Any) -> Names:
    from sqlalchemy.pool import QueuePool

    class Connection(Handle):
        def rollback(self) -> None:
            """Do nothing: the reset that the pool asks for is left out of the race below."""

    pool = QueuePool(Connection, pool_size=10, reset_on_return=None)

    def once() -> object:
        loan = pool.connect()
        handle = loan.dbapi_connection
        loan.close()
        return handle

    def block() -> None:
        pool.connect().close()

    return {"turns": TURNS, "block": block, "connect": pool.connect, "once": once} | {
        "active": pool.checkedout,
        "close": pool.dispose,
    }


def urllib3_names(_: Any) -> Names:
    from urllib3 import HTTPConnectionPool

    pool = HTTPConnectionPool("127.0.0.1", maxsize=10)
    get, put = pool._get_conn, pool._put_conn
    put(get())  # an HTTPConnection connects when it is first used, which it is not here

    def once() -> object:
        handle = get()
        put(handle)
        return handle

    return {"turns": TURNS, "get": get, "put": put, "once": once, "active": int} | {
        "close": pool.close
    }


def queue_names(_: Any) -> Names:
    import queue

    pool: queue.LifoQueue[Handle] = queue.LifoQueue(10)
    pool.put(Handle())

    def once() -> Handle:
        handle = pool.get()
        pool.put(handle)
        return handle

    return {"turns": TURNS, "get": pool.get, "put": pool.put, "once": once} | {
        "active": lambda: 1 - pool.qsize()
    }


def floor_names(_: Any) -> Names:
    idle = [Handle()]
    return {"turns": TURNS, "take": idle.pop, "keep": idle.append}


def row(label: str, expression: str, make: Any, **more: Any) -> Row:
    return Row(
        label,
        expression,
        make,
        loop="_ in turns",
        operations="len(turns)",
        check=more.pop("check", same_handle),
        **more,
    )


FLOOR = row(
    "list.pop and append",
    "keep(take())",
    floor_names,
    kind="floor",
    check=lambda _, __: None,
)
PEERS = (
    row("SQLAlchemy QueuePool", "connect().close()", sqlalchemy_names, peer="SQLAlchemy"),
    row("urllib3 pool", "put(get())", urllib3_names, peer="urllib3"),
    row("queue.LifoQueue", "put(get())", queue_names),
)

CALLS = Case(
    "get and release",
    (
        FLOOR,
        row(
            "native",
            "release(get())",
            lambda _: ours_names("native"),
            kind="native",
            target=LIMIT,
        ),
        row(
            "native, with idle time and lifetime",
            "release(get())",
            lambda _: aged("native"),
            kind="native",
            target=LIMIT,
        ),
        row("pure", "release(get())", lambda _: ours_names("pure"), kind="pure", env=PURE),
        *PEERS,
    ),
    floor="list.pop and append",
)

BLOCK = Case(
    "with pool.get()",
    (
        FLOOR,
        row("native", "block()", lambda _: ours_names("native"), kind="native", target=LIMIT),
        row("pure", "block()", lambda _: ours_names("pure"), kind="pure", env=PURE),
    ),
    floor="list.pop and append",
    about="in a function of its own, whose call is part of the time",
)

GROUPS = (
    Group(
        "pools",
        "Pools",
        "Taking an idle handle from a pool and giving it back, by one thread. The floor is a list, "
        "which is no pool. urllib3 and LifoQueue hand out the bare handle, and so watch over none "
        "that is on loan.",
        "checkout and return",
        (CALLS, BLOCK),
    ),
)
