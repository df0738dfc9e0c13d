"""``docs/servers.md`` has a row for every operation, and says what the installed memcached does.

``tests/servers/table --check`` compares the whole page, for which it needs all servers.
"""

from pathlib import Path

import pytest
from support import server_table
from support.blocking import end_all
from support.memcached import installed, version_of
from support.operations import NOT_OPERATIONS, OPERATIONS

from godropbox import memcache
from godropbox.memcache import aio


@pytest.mark.parametrize("kind", [memcache.Client, aio.AsyncClient])
def test_every_operation_has_a_row(kind: type) -> None:
    public = {name for name in dir(kind) if not name.startswith("_")}
    assert public - NOT_OPERATIONS == {name for name in OPERATIONS if hasattr(kind, name)}


def test_the_page_has_the_rows_and_columns_of_the_command() -> None:
    names, rows = server_table.shape(server_table.PAGE.read_text(encoding="utf-8"))
    assert list(rows) == ["the client is given", *server_table.rows_of()]
    newest = names[1]
    modes = ["", " `-t 4 -o modern`", " `-C`", " `-Z`", " `-S`", " `-Y`", "'s proxy"]
    assert names[1:-1] == [newest + mode for mode in modes]
    assert all(len(cells) == len(names) for cells in rows.values())
    assert not any("WRONG" in cell for cells in rows.values() for cell in cells)


def test_the_page_is_right_about_the_installed_server(tmp_path: Path) -> None:
    names, rows = server_table.shape(server_table.PAGE.read_text(encoding="utf-8"))
    column = server_table.columns_of(installed(), installed(), None)[0]
    found = server_table.ask(column, tmp_path)
    end_all()
    assert not any("WRONG" in result for result in found.values()), found
    if version_of(installed()) in names:
        at = names.index(version_of(installed()))
        for title in server_table.rows_of():
            said = rows[title][at].partition("[^")[0]
            assert said == found[title].partition("\n")[0], title


@pytest.mark.parametrize("mode", ["-S", "-Y"])
def test_the_command_asks_what_a_login_allows(tmp_path: Path, mode: str) -> None:
    columns = server_table.columns_of(installed(), installed(), None)
    (column,) = (each for each in columns if each.name.endswith(f" `{mode}`"))
    found = server_table.ask(column, tmp_path)
    end_all()
    assert not any("WRONG" in result for result in found.values()), found
    none = {"-S": ["meta", "ascii"], "-Y": ["binary"]}[mode]
    for protocol in server_table.protocols_of():
        result = found[f"protocol={protocol}"]
        assert result.startswith("none: InvalidArgumentError\nauth must be") == (protocol in none)
