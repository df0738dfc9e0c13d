"""The examples of docs/django.md, docs/from-django.md and docs/start/django.md run.

A block of settings makes caches over a real server. Another block runs with ``cache``; where a line
has a comment after an expression, that is its value.
"""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from django.http import JsonResponse
from support.memcached import Server

from godropbox.django import GodropboxCache
from godropbox.django.options import Settings

DOCS = Path(__file__).parent.parent.parent / "docs"
BLOCKS = {
    f"{name}-{number}": code
    for name in ("django", "from-django", "start/django")
    for number, code in enumerate(
        re.findall(r"^```python\n(.*?)^```$", (DOCS / f"{name}.md").read_text(), re.M | re.S), 1
    )
}


def run(code: str, names: dict[str, Any]) -> None:
    """Run a block; compare the values of its lines with what their comments say."""
    lines = code.splitlines()
    for statement in ast.parse(code).body:
        if isinstance(statement, ast.Expr):
            value = eval(compile(ast.Expression(statement.value), "docs", "eval"), names)
            line = lines[statement.lineno - 1]
            _, _, told = line.partition("  # ")
            if told and value and ".ttl(" in line:
                assert 0 <= int(told) - value <= 10  # a machine may be slow
            elif told:
                assert repr(value) == told, line
        else:
            exec(compile(ast.Module([statement], []), "docs", "exec"), names)


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 7


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_runs(name: str, cache: GodropboxCache, server: Server) -> None:
    names: dict[str, Any] = {"cache": cache, "JsonResponse": JsonResponse}
    run(BLOCKS[name], names)
    for params in names.get("CACHES", {}).values():
        assert params["BACKEND"] == "godropbox.django.GodropboxCache"
        found = GodropboxCache(server.address, params)
        found.set("key", name)
        assert found.get("key") == name


def test_every_option_of_the_table_is_one() -> None:
    text = (DOCS / "django.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` ?(?:\+ 2)? \|", text, re.M)
    assert {name for name, _ in rows} == {
        "compatible",
        "ignore_exceptions",
        "large_values",
        "lease_time",
        "lease_wait",
        "leases",
        "part_size",
    }
    for name, default in rows:
        value = Settings.of({}).lease_time if default == "lease_time" else ast.literal_eval(default)
        assert Settings.of({name: value})
