"""Literals: the golden vectors, every type, every refusal, and the modes they are safe in."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path

from godropbox.database import sqltypes

VALUES: dict[str, Callable[..., object]] = {
    "null": lambda: None,
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "bytes": bytes.fromhex,
    "datetime": datetime.datetime.fromisoformat,
}


def test_vectors(vectors: Path) -> None:
    rows = [json.loads(line) for line in (vectors / "sqltypes.jsonl").open(encoding="utf-8")]
    assert len(rows) == 1500
    for row in rows:
        kind, *args = row["value"]
        value = VALUES[kind](*args)
        assert sqltypes.encode_sql(value).encode() == bytes.fromhex(row["sql_hex"])
        assert sqltypes.encode_ascii(value) == row["ascii"]
        assert sqltypes.to_binary(value) == bytes.fromhex(row["binary_hex"])
