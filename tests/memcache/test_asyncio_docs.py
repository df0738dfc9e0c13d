"""The asyncio programs in the documents print what is said, against a real memcached."""

from collections.abc import Callable

import pytest
from support.documents import ADDRESS, programs
from support.memcached import Server

from godropbox.memcache import Client

PROGRAMS = programs()


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_prints_what_the_document_says(
    name: str, servers: Callable[[str], Server], capsys: pytest.CaptureFixture[str]
) -> None:
    program, printed = PROGRAMS[name]
    address = servers("tcp").address
    with Client(address) as client:
        client.flush_all()
    assert ADDRESS in program
    code = compile(program.replace(ADDRESS, address), name, "exec", dont_inherit=True)
    exec(code, {"__name__": "__main__"})
    assert capsys.readouterr().out.replace(address, ADDRESS) == printed
