"""Every recorded statement of the Go library, byte for byte."""

import json
from pathlib import Path

import pytest
from support.vector_trees import statement


def test_every_recorded_statement_prints_the_same(vectors: Path) -> None:
    lines = (vectors / "sqlbuilder.jsonl").read_bytes().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 1500
    refused = renamed = 0
    for row in rows:
        if row.get("error"):
            refused += 1
            with pytest.raises((TypeError, ValueError)):
                statement(row["statement"]).sql(row["database"])
            continue
        made, recorded = statement(row["statement"]), bytes.fromhex(row["sql_hex"])
        text = made.sql(row["database"])
        if " AS `excluded` ON DUPLICATE KEY UPDATE " in text:
            # VALUES(column) was MySQL's; MySQL has deprecated it, MariaDB has not.
            text = made.sql(row["database"], dialect="mariadb")
            renamed += 1
        assert text.encode("utf-8") == recorded, row["statement"]
    assert refused == 171
    assert renamed == 48
