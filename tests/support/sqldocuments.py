"""Random expressions over JSON documents and arrays, where a dialect has them.

A document is a text that a CASE chooses, so that it differs between rows; only PostgreSQL needs a
cast to make JSON of it.
"""

import functools
from collections.abc import Callable
from typing import Any

from .sqlpieces import Expressions, Leaves, Piece, expression, quoted, sb

__all__ = ["Documents"]

DOCUMENTS = (
    '{"k": 3, "s": "Ada", "l": [1, -4, {"x y": 7}]}',
    '{"k": -4, "s": "it\'s", "l": []}',
    '{"s": "100%", "l": [12]}',
    "{}",
)
# Keys, and whether there is a number or a text under them.
NUMBERS: "tuple[tuple[str | int, ...], ...]" = (("k",), ("l", 0), ("l", 1), ("l", 2, "x y"))
TEXTS: "tuple[tuple[str | int, ...], ...]" = (("s",), ("none",))
INTEGERS = {"sqlite": "INTEGER", "postgresql": "BIGINT"}


def path(keys: "tuple[str | int, ...]") -> str:
    """Return a path of MySQL and SQLite."""
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f'."{key}"' for key in keys)


def part(document: str, keys: "tuple[str | int, ...]", dialect: str) -> str:
    """Return reference text for the text of a part of a document."""
    if dialect == "postgresql":
        listed = ",".join(f'"{key}"' for key in keys)
        return f"(({document})::jsonb #>> '{{{listed}}}')"
    if dialect == "sqlite":
        return f"JSON_EXTRACT({document}, '{path(keys)}')"
    return f"JSON_UNQUOTE(JSON_EXTRACT({document}, '{path(keys)}'))"


class Documents(Expressions):
    """Makes expressions in a dialect, some of them of documents and arrays."""

    def others(self, kind: str) -> "list[Callable[..., Piece]]":
        """Return makers of a kind for documents and, in PostgreSQL, arrays."""
        arrays = self.dialect == "postgresql"
        if kind == "int":
            return [self.document_number, *([self.element] if arrays else [])]
        if kind == "text":
            return [self.document_text]
        if kind == "cond":
            compared = [] if self.dialect == "sqlite" else [self.document_equal]
            return [*compared, *([self.any_of, self.related] if arrays else [])]
        return []

    def document(self, depth: int) -> Piece:
        """Return a document: one of two, by a condition."""
        when = self.condition(depth - 1)
        first, second = self.pick(DOCUMENTS), self.pick(DOCUMENTS)
        quote = functools.partial(quoted, dialect=self.dialect)
        text = f"(CASE WHEN {when.text} THEN {quote(first)} ELSE {quote(second)} END)"

        def build(leaves: Leaves) -> Any:
            made = sb.case((when.build(leaves), leaves(first)), otherwise=leaves(second))
            return sb.cast(made, "json") if self.dialect == "postgresql" else made

        return Piece("document", text, build)

    def at(self, document: Piece, keys: "tuple[str | int, ...]") -> Callable[[Leaves], Any]:
        """Return what builds a part of a document."""

        def build(leaves: Leaves) -> Any:
            return functools.reduce(lambda made, key: made[key], keys, document.build(leaves))

        return build

    def document_number(self, kind: str, depth: int) -> Piece:
        """Return a number in a document."""
        document, keys = self.document(depth), self.pick(NUMBERS)
        found = part(document.text, keys, self.dialect)
        build = self.at(document, keys)
        return Piece(
            kind,
            f"CAST({found} AS {INTEGERS.get(self.dialect, 'SIGNED')})",
            lambda leaves: build(leaves).as_integer(),
        )

    def document_text(self, kind: str, depth: int) -> Piece:
        """Return a text in a document."""
        document, keys = self.document(depth), self.pick(TEXTS)
        build = self.at(document, keys)
        found = part(document.text, keys, self.dialect)
        return Piece(kind, found, lambda leaves: build(leaves).as_text())

    def document_equal(self, depth: int) -> Piece:
        """Return a comparison of a part of a document with a value."""
        document = self.document(depth)
        keys, value = self.pick([*((k, 3) for k in NUMBERS), *((k, "it's") for k in TEXTS)])
        build = self.at(document, keys)
        different = self.chance(2)
        found = part(document.text, keys, self.dialect)
        wanted = quoted(str(value), self.dialect)
        return Piece(
            "cond",
            f"({found} {'<>' if different else '='} {wanted})",
            lambda leaves: build(leaves) != value if different else build(leaves) == value,
        )

    def numbers(self, depth: int) -> "tuple[str, list[Piece]]":
        """Return an array of integers and its elements."""
        items = [self.of("int", depth - 1) for _ in range(1 + self.number(3))]
        return f"ARRAY[{', '.join(f'({item.text})::bigint' for item in items)}]", items

    def array(self, items: list[Piece], leaves: Leaves) -> Any:
        """Return the builder's array."""
        return sb.array([expression(item, leaves) for item in items], "integer")

    def element(self, kind: str, depth: int) -> Piece:
        """Return an element of an array, or of a slice of one."""
        text, items = self.numbers(depth)
        index = 1 + self.number(3)
        if self.chance(3):
            return Piece(
                kind,
                f"(({text})[2:])[{index}]",
                lambda leaves: self.array(items, leaves)[2:][index],
            )
        return Piece(kind, f"({text})[{index}]", lambda leaves: self.array(items, leaves)[index])

    def any_of(self, depth: int) -> Piece:
        """Return a comparison with some or all elements of an array."""
        left = self.of("int", depth - 1)
        text, items = self.numbers(depth)
        word, function = self.pick([("ANY", sb.any_), ("ALL", sb.all_)])
        symbol, compare = self.pick([("=", lambda a, b: a == b), ("<", lambda a, b: a < b)])
        return Piece(
            "cond",
            f"(({left.text}) {symbol} {word} ({text}))",
            lambda leaves: compare(expression(left, leaves), function(self.array(items, leaves))),
        )

    def related(self, depth: int) -> Piece:
        """Return whether an array contains or overlaps another."""
        text, items = self.numbers(depth)
        other_text, others = self.numbers(depth)
        symbol, name = self.pick([("@>", "contains"), ("<@", "contained_by"), ("&&", "overlaps")])
        return Piece(
            "cond",
            f"({text} {symbol} {other_text})",
            lambda leaves: getattr(self.array(items, leaves), name)(self.array(others, leaves)),
        )
