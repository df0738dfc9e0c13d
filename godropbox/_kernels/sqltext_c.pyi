from typing import final

from ._sqlvalues import (
    MYSQL,
    MYSQL_PLAIN,
    POSTGRESQL,
    SQLITE,
    binary_parts,
    exact_kind,
    parameter,
    plain_value,
)

__all__ = [
    "MYSQL",
    "MYSQL_PLAIN",
    "POSTGRESQL",
    "SQLITE",
    "Text",
    "binary_parts",
    "exact_kind",
    "literal",
    "parameter",
    "plain_value",
    "plainness",
]

def literal(value: object, style: int) -> str: ...
def plainness(values: tuple[object, ...]) -> int: ...

@final
class Text:
    def __init__(self, style: int) -> None: ...
    def __len__(self) -> int: ...
    def raw(self, text: str) -> None: ...
    def literal(self, value: object) -> None: ...
    def literals(self, values: tuple[object, ...] | list[object], separator: str) -> None: ...
    def rows(
        self,
        rows: tuple[tuple[object, ...] | list[object], ...]
        | list[tuple[object, ...] | list[object]],
        width: int,
    ) -> None: ...
    def take(self) -> str: ...
