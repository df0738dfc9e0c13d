"""The examples in the documents do what they say."""

import doctest
import sqlite3
from pathlib import Path

import pytest

from godropbox.database.sharding import ShardRouter

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    runner = doctest.DocTestRunner()
    example = doctest.DocTestParser().get_doctest(text, {}, path.name, str(path), 0)
    runner.run(example, clear_globs=False)
    for value in example.globs.values():  # from CPython 3.13 on, what is left open is warned of
        if isinstance(value, (sqlite3.Connection, ShardRouter)):
            value.close()
    assert runner.summarize(verbose=False).failed == 0
