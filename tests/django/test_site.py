"""The example site, started as a newcomer starts it, and asked over HTTP."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.memcached import Server, running

import godropbox


def environment(address: str) -> dict[str, str]:
    # Where this is set, a program does not find the modules beside it.
    inherited = {name: text for name, text in os.environ.items() if name != "PYTHONSAFEPATH"}
    return {
        **inherited,
        "PYTHONPATH": str(Path(godropbox.__file__).parent.parent),
        "PYTHONUNBUFFERED": "1",
        "MEMCACHED": address,
    }


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server that is empty."""
    with running("tcp", tmp_path) as server:
        yield server


@contextmanager
def served(site: Path, address: str) -> Iterator[httpx.Client]:
    """Run the site on a free port by Django's own server; give a client with its own cookies."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "error", str(site / "manage.py"), "runserver", "--noreload"]
    process = subprocess.Popen(
        [*command, f"127.0.0.1:{port}"],
        env=environment(address),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        while not _listens(port):
            assert process.poll() is None, process.communicate()[1].decode()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        process.kill()
        process.communicate()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_the_site(site: Path, own: Server) -> None:
    with served(site, own.address) as client:
        # A session in the cache, and a fragment.
        assert "You were here 1 time." in client.get("/").text
        assert "You were here 2 times." in client.get("/").text
        assert "as of a minute ago at most: 0" in client.get("/").text
        # A whole page.
        first = client.get("/report")
        second = client.get("/report")
        assert "<td>10</td><td>100</td>" in first.text
        assert (first.text, first.headers["expires"]) == (second.text, second.headers["expires"])
        assert first.headers["cache-control"] == "max-age=60"
        # Async views.
        for _ in range(3):
            assert client.get("/books/1").json() == {"number": 1, "title": "Emma"}
        assert client.get("/books/9").status_code == 404
        assert client.get("/hot").json() == {"seen": ["Emma"], "loads": 1}
        hits = client.get("/hits").text
        assert own.address in hits
        assert re.search(r"<td>\d+</td><td>\d+</td><td>\d+</td>", hits)


def test_many_requests_load_a_book_once(site: Path, own: Server) -> None:
    """Over two processes of the site."""

    async def ask(urls: list[str]) -> list[Any]:
        async with httpx.AsyncClient(timeout=30) as client:
            answers = await asyncio.gather(*(client.get(url) for url in urls))
        return [answer.json() for answer in answers]

    with served(site, own.address) as one, served(site, own.address) as two:
        urls = [str(each.base_url.join("/books/2")) for each in (one, two) for _ in range(10)]
        found = asyncio.run(ask(urls))
        assert found == [{"number": 2, "title": "Walden"}] * 20
        assert two.get("/hot").json() == {"seen": ["Walden"], "loads": 1}


def managed(site: Path, address: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(site / "manage.py"), *arguments],
        env=environment(address),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_its_commands(site: Path, own: Server) -> None:
    assert "no issues" in managed(site, own.address, "check")
    away = managed(site, f"{own.address},unix:/nowhere", "check")
    assert "(godropbox.W001) CACHES['default']: the server unix:/nowhere does not answer" in away
    assert "Start it, or correct its address" in away
    assert own.address in managed(site, own.address, "memcached_stats")


def test_under_asgi(site: Path, own: Server) -> None:
    """In a process of its own, for the site's settings are not those of these tests."""
    program = """
import asyncio, httpx, threading
from asgi import application

async def main():
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        answers = await asyncio.gather(*(client.get("/books/3") for _ in range(50)))
        print({answer.text for answer in answers})
        print((await client.get("/hot")).text)
        print((await client.get("/")).status_code)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment(own.address),
        cwd=site,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        """{'{"number": 3, "title": "Ulysses"}'}""",
        '{"seen": ["Ulysses"], "loads": 1}',
        "200",
    ]
