"""The examples of asyncio run as a newcomer runs them, against a real memcached."""

import asyncio
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.memcached import Server

import godropbox
from godropbox.memcache import Client, ClientClosedError
from godropbox.memcache.aio import AsyncClient

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def run(*arguments: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(godropbox.__file__).parent.parent)}
    command = [sys.executable, "-W", "error", str(EXAMPLES / "asyncio_cache.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


EXPECTED = """\
1000 tasks missed 10 keys at once: 10 loads
500 gets cancelled in flight: the other 500 have the right value
a batch of 10 keys: 10 found
connections opened meanwhile: 0
""".splitlines()


def test_a_thousand_tasks() -> None:
    assert run() == EXPECTED


def test_a_thousand_tasks_on_uvloop() -> None:
    import_module("uvloop")
    assert run("--uvloop") == EXPECTED


def test_a_thousand_tasks_over_a_given_server(servers: Callable[[str], Server]) -> None:
    assert run("--servers", servers("unix").address) == EXPECTED


@pytest.fixture
def fastapi_app(
    servers: Callable[[str], Server], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Any, Client]]:
    """Give the module of the example, and a client of the server that it uses."""
    address = servers("tcp").address
    monkeypatch.setenv("MEMCACHED", address)
    spec = importlib.util.spec_from_file_location("fastapi_app", EXAMPLES / "fastapi_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fastapi_app", module)  # where FastAPI looks up annotations
    spec.loader.exec_module(module)
    # The service would rather load than wait for 0.2 s, which a busy machine can take.
    monkeypatch.setattr(
        module, "AsyncClient", lambda *at, **given: AsyncClient(*at, **{**given, "timeout": 30.0})
    )
    with Client([address], prefix="shop:", serializer="json") as witness:
        witness.flush_all()
        yield module, witness


def browse(module: Any, visit: Callable[[httpx.AsyncClient], Any]) -> None:
    """Open the app, let `visit` use it, and close it as a server does."""

    async def session() -> None:
        transport = httpx.ASGITransport(module.app)
        async with (
            module.app.router.lifespan_context(module.app),
            httpx.AsyncClient(transport=transport, base_url="http://shop") as http,
        ):
            await visit(http)

    asyncio.run(session())


def test_fastapi_loads_once_and_reads_what_was_written(fastapi_app: tuple[Any, Client]) -> None:
    module, witness = fastapi_app

    async def visit(http: httpx.AsyncClient) -> None:
        database = module.app.state.database
        answers = await asyncio.gather(*(http.get("/users/1") for _ in range(50)))
        assert [answer.json() for answer in answers] == [{"id": 1, "name": "Ann"}] * 50
        assert database.reads == 1
        assert witness.get("user:1") == {"id": 1, "name": "Ann"}

        assert (await http.get("/users/2")).json() == {"id": 2, "name": "Bob"}
        page = await http.get("/users", params={"id": [2, 9, 1]})
        assert page.json() == [{"id": 2, "name": "Bob"}, {"id": 1, "name": "Ann"}]
        assert database.reads == 2

        assert (await http.put("/users/1", params={"name": "Anna"})).status_code == 204
        assert witness.get("user:1") is None
        assert (await http.get("/users/1")).json()["name"] == "Anna"

    browse(module, visit)


def test_fastapi_caches_a_response_but_no_error(fastapi_app: tuple[Any, Client]) -> None:
    module, witness = fastapi_app

    async def visit(http: httpx.AsyncClient) -> None:
        for _ in range(3):
            answer = await http.get("/report")
            assert answer.json() == {"users": 3}
            assert answer.headers["content-type"] == "application/json"
        assert module.app.state.database.reads == 1
        assert witness.get("report") == '{"users": 3}'
        for _ in range(2):
            answer = await http.get("/users/9")
            assert (answer.status_code, answer.json()) == (404, {"detail": "no user 9"})
        assert module.app.state.database.reads == 3
        assert witness.get("user:9") is None

    browse(module, visit)


def test_fastapi_waits_at_the_end_for_what_is_in_flight(fastapi_app: tuple[Any, Client]) -> None:
    module, _ = fastapi_app

    async def session() -> Any:
        async with module.app.router.lifespan_context(module.app):
            cache = module.app.state.cache
            await cache.set("last", "value")
            task = asyncio.create_task(cache.get("last"))
            await asyncio.sleep(0)  # the request is on its way
        with pytest.raises(ClientClosedError):
            await cache.get("last")
        return task.result()

    assert asyncio.run(session()) == "value"


def test_fastapi_without_memcached(
    fastapi_app: tuple[Any, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _ = fastapi_app
    monkeypatch.setenv("MEMCACHED", "unix:/nowhere/memcached.sock")

    async def visit(http: httpx.AsyncClient) -> None:
        for reads in (1, 2):
            assert (await http.get("/users/1")).json() == {"id": 1, "name": "Ann"}
            assert module.app.state.database.reads == reads
        assert (await http.get("/users", params={"id": [1, 2]})).json() == []
        answer = await http.put("/users/1", params={"name": "Anna"})
        assert answer.status_code == 503
        assert "cannot connect to unix:/nowhere/memcached.sock" in answer.json()["detail"]

    browse(module, visit)
