"""Objects that are never freed: what is returned, and that they can be shared and dropped."""

import subprocess
import sys

import pytest

from godropbox import _kernels
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
