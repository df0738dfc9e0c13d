"""Objects that are never freed: what is returned, and that they can be shared and dropped."""

import pickle
import subprocess
import sys
import threading

import pytest

from godropbox import _kernels
from godropbox.database import sqlbuilder as sb
from godropbox.memcache.types import ResponseStatus
from godropbox.resource_pool import PoolOptions, SimpleResourcePool


@pytest.mark.parametrize(
    "value", [object(), [1], "text", b"bytes", 10**30, (1, 2), type("C", (), {})]
)
def test_the_value_is_returned(value: object) -> None:
    for twin in _kernels.pairs()["lasting"]:
        if twin is not None:
            assert twin.lasting(value) is value


def test_a_lasting_object_is_used_like_another() -> None:
    """In a process of its own: the object outlives what it refers to nothing of, and its end."""
    program = (
        "from godropbox import _kernels\n"
        "value = _kernels.lasting.lasting([1, 2])\n"
        "others = [value] * 1000\n"
        "del others\n"
        "value.append(3)\n"
        "assert value == [1, 2, 3]\n"
        "import gc; gc.collect()\n"
        "del value\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_sentinels_and_statuses_are_what_they_were() -> None:
    assert ResponseStatus(0) is ResponseStatus.OK
    pool = SimpleResourcePool(PoolOptions(open=lambda _: object()))
    for _ in range(1000):
        pool.get().release()
    assert pool.num_idle == 1


def test_what_is_shared_is_what_it_was() -> None:
    for twin in _kernels.pairs()["lasting"]:
        if twin is not None:
            value = [1]
            assert twin.shared(value) is value
            assert twin.findable("key") == "key"
            assert twin.call(len, value) == 1
            with pytest.raises(ZeroDivisionError):
                twin.call(lambda _: 1 // 0, None)
            assert not twin.is_foreign(value)


def test_more_threads_than_there_are_copies_render_one_statement() -> None:
    t = sb.Table("t", sb.IntColumn("id"), sb.StrColumn("name"))
    query = t.select(t.c.id, t.c.name).where((t.c.id == 5) & t.c.name.like("a%"))
    prepared = t.select(t.c.id).where(t.c.id == sb.slot("id", int)).prepare("db")
    bound = t.select(t.c.id).where(t.c.id == sb.slot("id", int)).prepare("db", paramstyle="qmark")
    expected = {(query.sql("db"), query.bind("db"), prepared.sql(id=5), bound.bind(id=5))}
    found = set()

    def render() -> None:
        for _ in range(50):
            found.add((query.sql("db"), query.bind("db"), prepared.sql(id=5), bound.bind(id=5)))
        barrier.wait(60)  # until all have rendered: an ended thread's place goes to another

    barrier = threading.Barrier(20)
    threads = [threading.Thread(target=render) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_a_statement_that_threads_have_rendered_is_pickled() -> None:
    """Without the copies that they made."""
    t = sb.Table("t", sb.IntColumn("id"))
    query = t.select(t.c.id)

    def render() -> None:
        for _ in range(50):
            query.sql("db")

    thread = threading.Thread(target=render)
    thread.start()
    thread.join()
    assert pickle.loads(pickle.dumps(query)).sql("db") == query.sql("db")
