"""The result back end for Celery: by URL, eager, and with a worker."""

import logging
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery, chord, group
from celery.contrib.testing.worker import start_worker
from frameworks.conftest import NOWHERE, Witness
from support.memcached import Server

from godropbox.celery import GodropboxBackend
from godropbox.memcache import InvalidArgumentError, NetworkError

SPELLINGS = ["godropbox", "godropbox.celery.GodropboxBackend+memcached"]

Make = Callable[..., Any]


def add(one: int, other: int) -> int:
    return one + other


def total(parts: list[int]) -> int:
    return sum(parts)


@pytest.fixture
def kept_logging() -> Iterator[None]:
    """Undo what a worker does to the root logger."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def make(server: Server, witness: Witness) -> Iterator[Make]:
    """Make apps that have a task, by how the back end is spelled and by settings."""
    made: list[Any] = []

    def make(spelling: str = SPELLINGS[0], address: str = server.address, **settings: Any) -> Any:
        app = Celery("shop", broker="memory://", backend=f"{spelling}://{address}/")
        app.conf.update(settings)
        app.task(add, name="add", shared=False)
        app.task(total, name="total", shared=False)
        made.append(app)
        return app

    yield make
    for app in made:
        if isinstance(app._backend_cache, GodropboxBackend):
            app._backend_cache.close()
        app.close()


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_results_of_eager_tasks_are_stored(make: Make, witness: Witness, spelling: str) -> None:
    app = make(spelling, task_always_eager=True, task_store_eager_result=True, result_expires=60)
    assert type(app.backend) is GodropboxBackend
    result = app.tasks["add"].delay(1, 2)
    stored = app.AsyncResult(result.id)
    assert (stored.get(timeout=10), stored.state) == (3, "SUCCESS")
    assert 55 <= (witness.ttl(f"celery-task-meta-{result.id}") or 0) <= 60
    other = app.tasks["add"].delay(2, 2)
    assert [each.get(timeout=10) for each in (stored, app.AsyncResult(other.id))] == [3, 4]
    found = dict(app.backend.get_many([result.id, other.id], timeout=10))
    assert {key: meta["result"] for key, meta in found.items()} == {result.id: 3, other.id: 4}
    stored.forget()
    assert app.AsyncResult(result.id).state == "PENDING"


@pytest.mark.usefixtures("kept_logging")
def test_results_of_a_worker(make: Make, witness: Witness) -> None:
    app = make(broker_transport_options={"polling_interval": 0.01})
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        task = app.tasks["add"]
        wait = {"timeout": 30, "interval": 0.01}
        assert task.delay(1, 2).get(**wait) == 3
        assert group(task.s(i, i) for i in range(5))().get(**wait) == [0, 2, 4, 6, 8]
        both = chord([task.s(1, 1), task.s(2, 2)])(app.tasks["total"].s())
        assert both.get(**wait) == 6
        with pytest.raises(TypeError, match="unsupported operand"):
            task.delay(1, "2").get(**wait)


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_what_is_stored_is_read_by_the_memcached_back_end(
    make: Make, server: Server, serializer: str
) -> None:
    settings = {"result_serializer": serializer, "result_accept_content": [serializer]}
    ours, other = make(**settings), make("cache+memcached", **settings)
    for writer, reader in ((ours, other), (other, ours)):
        writer.backend.store_result("an-id", {"total": 3}, "SUCCESS")
        assert reader.backend.get_task_meta("an-id", cache=False)["result"] == {"total": 3}
        reader.backend.forget("an-id")
        assert writer.backend.get_task_meta("an-id", cache=False)["status"] == "PENDING"
    other.backend.client.close()


def test_results_may_live_longer_than_a_month(make: Make, witness: Witness) -> None:
    app = make(result_expires=60 * 86400)
    app.backend.store_result("an-id", 1, "SUCCESS")
    assert 5183990 <= (witness.ttl("celery-task-meta-an-id") or 0) <= 5184002


def test_a_chord_whose_counter_is_gone_says_so(make: Make) -> None:
    with pytest.raises(KeyError, match="the counter of a chord, b'gone', has expired or was"):
        make().backend.incr(b"gone")


def test_a_back_end_can_be_pickled(make: Make) -> None:
    app = make(cache_backend_options={"timeout": 0.5})
    app.set_current()
    again = pickle.loads(pickle.dumps(app.backend))
    assert again.as_uri() == app.backend.as_uri()
    assert again._client.options.timeout == 0.5
    again.close()


def test_threads_share_one(make: Make) -> None:
    app = make()
    found: list[Any] = [app.backend]
    thread = threading.Thread(target=lambda: found.append(app.backend))
    thread.start()
    thread.join()
    assert found[0] is found[1]


def test_a_server_that_fails(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make(address=NOWHERE)
    with pytest.raises(NetworkError, match="cannot connect to unix:/nowhere"):
        app.backend.store_result("an-id", 1, "SUCCESS")
    app = make(address=NOWHERE, result_backend_always_retry=True, result_backend_max_retries=3)
    waits: list[float] = []
    monkeypatch.setattr(app.backend, "_sleep", waits.append)
    with pytest.raises(Exception, match="failed to store result on the backend"):
        app.backend.store_result("an-id", 1, "SUCCESS")
    assert len(waits) == 3


def test_a_wrong_option_is_named(make: Make) -> None:
    app = make(cache_backend_options={"time_out": 1})
    words = r"cache_backend_options has no option 'time_out': did you mean 'timeout'"
    with pytest.raises(InvalidArgumentError, match=words):
        _ = app.backend
