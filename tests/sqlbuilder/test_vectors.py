"""Every recorded statement of the Go library, byte for byte."""

import json
from pathlib import Path

import pytest
from support.vector_trees import statement


def test_every_recorded_statement_prints_the_same(vectors: Path) -> None:
    lines = (vectors / "sqlbuilder.jsonl").read_bytes().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 1500
    refused = 0
    for row in rows:
        if row.get("error"):
            refused += 1
            with pytest.raises((TypeError, ValueError)):
                statement(row["statement"]).sql(row["database"])
            continue
        text = statement(row["statement"]).sql(row["database"])
        assert text.encode("utf-8") == bytes.fromhex(row["sql_hex"]), row["statement"]
    assert refused == 171
