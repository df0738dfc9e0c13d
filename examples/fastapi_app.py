"""A web service that caches in memcached: FastAPI, with one client that lives as long as the app.

Install ``fastapi`` and ``uvicorn``, and run ``uvicorn fastapi_app:app`` in this folder. memcached
is at 127.0.0.1:11211, or at the addresses in ``MEMCACHED``, with commas between them.

- ``lifespan`` opens the client and closes it. Closing waits for requests in flight.
- ``GET /users/{id}`` loads a user once, whatever number of requests of any process miss at once.
- ``GET /users?id=1&id=2`` gets a whole page in one batch.
- ``GET /report`` caches a rendered response.
- ``PUT /users/{id}`` writes to the database, then deletes what the cache has.

If memcached is down, reads load from the database (``failures="miss"``), and writes answer 503:
the cache may hold the old user until it expires.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse

from godropbox.memcache import NetworkError
from godropbox.memcache.aio import AsyncClient

User = dict[str, Any]


class Database:
    """The users, and how often they were read; in your service, a pool of connections."""

    def __init__(self) -> None:
        self.reads = 0
        self._names = {1: "Ann", 2: "Bob", 3: "Eve"}

    async def load(self, numbers: list[int]) -> dict[int, User]:
        """Return those of the users that exist."""
        self.reads += 1
        await asyncio.sleep(0.01)
        return {n: {"id": n, "name": self._names[n]} for n in numbers if n in self._names}

    async def write(self, number: int, name: str) -> None:
        """Give a user another name."""
        self._names[number] = name


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the client when the app starts, and close it when the last request is answered."""
    servers = os.environ.get("MEMCACHED", "127.0.0.1:11211").split(",")
    cache = AsyncClient(servers, timeout=0.2, prefix="shop:", serializer="json", failures="miss")
    async with cache:
        app.state.cache = cache
        app.state.database = Database()
        yield


app = FastAPI(lifespan=lifespan)


def the_cache(request: Request) -> AsyncClient:
    cache: AsyncClient = request.app.state.cache
    return cache


def the_database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


Cache = Annotated[AsyncClient, Depends(the_cache)]
Data = Annotated[Database, Depends(the_database)]


@app.exception_handler(NetworkError)
async def unavailable(request: Request, error: Exception) -> Response:
    """Answer 503 if the cache could not be told of a write."""
    return JSONResponse({"detail": str(error)}, status_code=503)


@app.get("/users/{number}")
async def user(number: int, cache: Cache, database: Data) -> User:
    async def load() -> User:
        found = await database.load([number])
        if number not in found:
            raise HTTPException(404, f"no user {number}")  # which is not cached
        return found[number]

    found: User = await cache.get_or_set(f"user:{number}", load, 300, stale=60)
    return found


@app.get("/users")
async def users(number: Annotated[list[int], Query(alias="id")], cache: Cache) -> list[User]:
    found = await cache.get_many(f"user:{n}" for n in number)
    return list(found.values())


@app.get("/report")
async def report(cache: Cache, database: Data) -> Response:
    async def render() -> str:
        return json.dumps({"users": len(await database.load([1, 2, 3]))})

    return Response(await cache.get_or_set("report", render, 60), media_type="application/json")


@app.put("/users/{number}", status_code=204)
async def rename(number: int, name: str, cache: Cache, database: Data) -> None:
    await database.write(number, name)
    await cache.delete(f"user:{number}")
