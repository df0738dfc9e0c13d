"""The programs in the documents print what is said, against real memcacheds."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support.documents import ADDRESS, ROOT, SECOND, programs
from support.memcached import Server

from godropbox.memcache import Client

PROGRAMS = programs()


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_prints_what_the_document_says(
    name: str, servers: Callable[[str], Server], capsys: pytest.CaptureFixture[str]
) -> None:
    program, printed = PROGRAMS[name]
    address, second = servers("tcp").address, servers("unix").address
    with Client([address, second]) as client:
        client.flush_all()
    assert ADDRESS in program
    here = program.replace(ADDRESS, address).replace(SECOND, second)
    # A busy machine is no failure.
    here = here.replace("timeout=0.5", "timeout=10.0").replace("timeout=0.2", "timeout=10.0")
    exec(compile(here, name, "exec", dont_inherit=True), {"__name__": "__main__"})
    assert capsys.readouterr().out.replace(address, ADDRESS) == printed


def test_the_web_service_answers(servers: Callable[[str], Server]) -> None:
    text = (ROOT / "docs" / "start" / "asyncio.md").read_text(encoding="utf-8")
    [service] = re.findall(r"^```python\n(from [^`]*FastAPI.*?)^```$", text, re.M | re.S)
    addresses = servers("tcp").address, servers("unix").address
    service = service.replace(ADDRESS, addresses[0]).replace(SECOND, addresses[1])
    names: dict[str, Any] = {"__name__": "app"}
    exec(compile(service.replace("timeout=0.5", "timeout=10.0"), "app", "exec"), names)
    app = names["app"]

    async def ask() -> list[str]:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://app") as client,
        ):
            return [(await client.get("/users/1")).text for _ in range(2)]

    said = re.search(r"answers `([^`]*)`", text)
    assert said is not None
    assert asyncio.run(ask()) == [said[1]] * 2
    with Client(list(addresses), serializer="json") as client:
        assert client.get("user:1") == {"id": 1, "name": "Ann"}
