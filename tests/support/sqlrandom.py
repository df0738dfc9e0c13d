"""Random statements: each as the builder builds it, and as reference text written without it.

A statement's rows can be compared between its reference text and each of the builder's renderings.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .sqldocuments import Documents
from .sqlpieces import (
    DATA,
    KINDS,
    MAKERS,
    TABLES,
    VALUES,
    Build,
    Leaves,
    Piece,
    Source,
    built,
    expression,
    is_mysql,
    quoted,
    sb,
    table_source,
)

__all__ = ["Maker", "Sample"]


@dataclass(frozen=True, slots=True)
class Sample:
    """A statement: how to build it, its reference text, and what to compare."""

    text: str
    build: Build
    kinds: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # of a SELECT's columns
    ordered: bool = False  # whether ORDER BY leaves no choice
    target: str | None = None  # the table that a write changes
    returning: bool = False  # whether a write returns rows too


_SELECTED = ["int", "int", "int", "text", "text", "float", "moment", "data", "window"]
_DIRECTIONS: list[tuple[str, Callable[[Any], Any]]] = [
    ("", lambda term: term),
    (" ASC", sb.asc),
    (" DESC", sb.desc),
]


# The writes that have RETURNING.
_RETURN = {
    "mysql": (),
    "mariadb": ("insert", "delete"),
    "sqlite": ("insert", "update", "delete"),
    "postgresql": ("insert", "update", "delete"),
}


class Maker(Documents):
    """Makes statements in a dialect."""

    # Sources

    def source(self, depth: int, shared: bool = False) -> Source:
        """Return a table, a join, a subquery or, if `shared`, also a query in WITH."""
        which = self.number(9 if depth > 0 else 1)
        if which < 3:
            return self.table()
        if which < 5:
            return self.join(depth, shared)
        if which == 7:
            return self.listed_rows()
        if which == 8 and self.dialect in ("mysql", "postgresql"):
            return self.lateral(depth, shared)
        return self.named(depth, shared and which == 6)

    def listed_rows(self) -> Source:
        """Return rows of values as a table; their first column tells them apart."""
        name = self.name()
        kinds = ["int", *(self.pick(["int", "text"]) for _ in range(self.number(2)))]
        names = [self.name() for _ in kinds]
        rows = [
            [first, *(self.pick(VALUES[kind]) for kind in kinds[1:])]
            for first in range(1 + self.number(3))
        ]
        texts = [
            ", ".join(
                f"{quoted(value, self.dialect)} AS {each}"
                for value, each in zip(row, names, strict=True)
            )
            for row in rows
        ]
        text = f"(SELECT {' UNION ALL SELECT '.join(texts)}) AS {name}"

        def build(leaves: Leaves) -> Any:
            declared = [MAKERS[kind](each) for kind, each in zip(kinds, names, strict=True)]
            return sb.values_table(name, *declared, rows=[[leaves(v) for v in row] for row in rows])

        def column(number: int) -> Build:
            return lambda leaves: leaves.once(source).columns[number]

        columns = [
            Piece(kind, f"{name}.{each}", column(number))
            for number, (kind, each) in enumerate(zip(kinds, names, strict=True))
        ]
        source = Source(text, build, columns, columns[:1])
        return source

    def lateral(self, depth: int, shared: bool) -> Source:
        """Return a source joined with a query that uses its columns."""
        left = self.source(depth - 1, shared)
        inner = self.table()
        self._scope.append(left.columns)
        self._scope.append(inner.columns)
        item, where = self.of("int", 2), self.condition(1)
        self._scope.pop()
        self._scope.pop()
        name, each = self.name(), self.name()
        query = f"SELECT {item.text} AS {each}, {inner.keys[0].text} AS k FROM {inner.text}"
        word, method = self.pick([("JOIN", "join"), ("LEFT JOIN", "left_join")])
        text = f"{left.text} {word} LATERAL ({query} WHERE {where.text}) AS {name} ON TRUE"

        def right(leaves: Leaves) -> Any:
            made = [sb.alias(each, item.build(leaves)), sb.alias("k", inner.keys[0].build(leaves))]
            return sb.lateral(name, leaves.once(inner).select(*made).where(where.build(leaves)))

        after = Source("", right, [], [])

        def build(leaves: Leaves) -> Any:
            return getattr(leaves.once(left), method)(leaves.once(after))

        columns = [
            Piece("int", f"{name}.{each}", lambda leaves: leaves.once(after).columns[0]),
            Piece("int", f"{name}.k", lambda leaves: leaves.once(after).columns[1]),
        ]
        return Source(
            text, build, left.columns + columns, [*left.keys, columns[1]], left.ctes, True
        )

    def join(self, depth: int, shared: bool) -> Source:
        """Return a join of two or three sources."""
        left, right = self.source(depth - 1, shared), self.source(depth - 1, shared)
        words = {
            "JOIN": "join",
            "LEFT JOIN": "left_join",
            "RIGHT JOIN": "right_join",
            "CROSS JOIN": "cross_join",
        }
        if self.dialect in ("sqlite", "postgresql"):
            words["FULL JOIN"] = "full_join"
        word = self.pick(list(words))
        columns = left.columns + right.columns
        shown = f"({right.text})" if right.joins else right.text
        text = f"{left.text} {word} {shown}"
        if word == "CROSS JOIN":
            on = None
        else:
            self._scope.append(columns)
            on = self.condition(1)
            self._scope.pop()
            text += f" ON {on.text}"

        def build(leaves: Leaves) -> Any:
            given = () if on is None else (on.build(leaves),)
            return getattr(leaves.once(left), words[word])(leaves.once(right), *given)

        return Source(text, build, columns, left.keys + right.keys, left.ctes + right.ctes, True)

    def named(self, depth: int, shared: bool) -> Source:
        """Return a query with a name, in FROM or, if `shared`, in WITH."""
        query = self.query(depth - 1)
        name = self.name()

        def build(leaves: Leaves) -> Any:
            return (sb.cte if shared else sb.subquery)(name, query.build(leaves))

        def column(number: int) -> Build:
            return lambda leaves: leaves.once(source).columns[number]

        columns = [
            Piece(kind, f"{name}.{each}", column(number))
            for number, (kind, each) in enumerate(zip(query.kinds, query.names, strict=True))
        ]
        source = Source(name if shared else f"({query.text}) AS {name}", build, columns, columns)
        if shared:
            source.ctes.append((f"{name} AS ({query.text})", source))
        return source

    # Statements

    def query(self, depth: int, shared: bool = False) -> Sample:
        """Return a SELECT or a UNION whose columns have names."""
        return self.union(depth) if self.chance(4) else self.select(depth, shared)

    def select(self, depth: int, shared: bool = False, kinds: list[str] | None = None) -> Sample:
        """Return a SELECT, of columns of `kinds` if given; `shared` if it may have a WITH."""
        source = self.source(depth, shared)
        self._scope.append(source.columns)
        grouped = kinds is None and self.chance(4)
        groups: list[Piece] = []
        if grouped:
            groups = [self.pick(source.columns) for _ in range(1 + self.number(2))]
            groups = list({piece.text: piece for piece in groups}.values())
            items = [*groups, *(self.aggregate("int") for _ in range(1 + self.number(2)))]
        else:
            wanted = kinds or [self.pick(_SELECTED) for _ in range(1 + self.number(3))]
            items = [self.window(source) if k == "window" else self.of(k, 3) for k in wanted]
        where = self.condition(3) if self.chance(2) else None
        having = None
        if grouped and self.chance(2):
            having = self.binary(
                "cond", ">=", self.aggregate("int"), self.value("int"), lambda a, b: a >= b
            )
        self._scope.pop()
        names = [self.name() for _ in items]
        text = ", ".join(f"{item.text} AS {n}" for item, n in zip(items, names, strict=True))
        distinct = self.chance(5) and kinds is None
        ordering = self.ordering(items, names, [] if distinct else groups or source.keys)
        limit, offset = self.pick([0, 1, 2, 5]), self.pick([0, 0, 1, 2])
        bounded = self.chance(3) and kinds is None
        text = "".join(
            [
                f"WITH {', '.join(t for t, _ in source.ctes)} " if source.ctes else "",
                "SELECT DISTINCT " if distinct else "SELECT ",
                text,
                f" FROM {source.text}",
                f" WHERE {where.text}" if where else "",
                f" GROUP BY {', '.join(piece.text for piece in groups)}" if groups else "",
                f" HAVING {having.text}" if having else "",
                f" ORDER BY {', '.join(t for t, _ in ordering)}" if bounded else "",
                f" LIMIT {limit} OFFSET {offset}" if bounded else "",
            ]
        )

        def build(leaves: Leaves) -> Any:
            made = [
                sb.alias(name, item.build(leaves)) for name, item in zip(names, items, strict=True)
            ]
            query = leaves.once(source).select(*made)
            if source.ctes:
                query = query.with_(*(leaves.once(cte) for _, cte in source.ctes))
            if distinct:
                query = query.distinct()
            if where:
                query = query.where(where.build(leaves))
            if groups:
                query = query.group_by(*built(groups, leaves))
            if having:
                query = query.having(having.build(leaves))
            if bounded:
                query = query.order_by(*(term(made, leaves) for _, term in ordering))
                query = query.limit(limit).offset(offset)
            return query

        return Sample(text, build, [item.kind for item in items], names, bounded)

    def ordering(
        self, items: list[Piece], names: list[str], keys: list[Piece]
    ) -> list[tuple[str, Callable[[list[Any], Leaves], Any]]]:
        """Return the terms of an ORDER BY that leaves no choice, if `keys` tell rows apart.

        Without `keys`, the terms are all of the select list.
        """
        terms: list[tuple[str, Callable[[list[Any], Leaves], Any]]] = []

        def aliased(number: int, function: Any, less: bool) -> Callable[[list[Any], Leaves], Any]:
            return lambda made, leaves: function(1 - made[number] if less else made[number])

        def keyed(key: Piece, function: Any) -> Callable[[list[Any], Leaves], Any]:
            return lambda made, leaves: function(key.build(leaves))

        chosen = list(range(len(items))) if not keys else [self.number(len(items))]
        for number in chosen:
            word, function = self.pick(_DIRECTIONS)
            less = bool(keys) and items[number].kind == "int" and self.chance(3)
            text = f"(1 - {items[number].text})" if less else names[number]
            terms.append((text + word, aliased(number, function, less)))
        for key in keys:
            word, function = self.pick(_DIRECTIONS)
            terms.append((key.text + word, keyed(key, function)))
        return terms

    def window(self, source: Source) -> Piece:
        """Return a window function."""
        part = self.pick(source.columns)
        keys = ", ".join(key.text for key in source.keys)
        if self.chance(2):
            inside = self.of("int", 1)
            return Piece(
                "int",
                f"SUM({inside.text}) OVER (PARTITION BY {part.text})",
                lambda leaves: sb.func("SUM", inside.build(leaves)).over(
                    partition_by=[part.build(leaves)]
                ),
            )
        if self.chance(2):
            column = self.column("int") or self.value("int")
            frame = f"ORDER BY {keys} ROWS BETWEEN 1 PRECEDING AND CURRENT ROW"
            return Piece(
                "int",
                f"SUM({column.text}) OVER ({frame})",
                lambda leaves: sb.func("SUM", column.build(leaves)).over(
                    order_by=built(source.keys, leaves), rows=(-1, 0)
                ),
            )
        return Piece(
            "int",
            f"RANK() OVER (PARTITION BY {part.text} ORDER BY {keys})",
            lambda leaves: sb.func("RANK").over(
                partition_by=[part.build(leaves)], order_by=built(source.keys, leaves)
            ),
        )

    def union(self, depth: int) -> Sample:
        """Return two or three SELECTs combined."""
        kinds = [self.pick(["int", "text"]) for _ in range(1 + self.number(2))]
        members = [self.select(min(depth, 1), kinds=kinds) for _ in range(2 + self.number(2))]
        words = {
            "UNION": "union",
            "UNION ALL": "union_all",
            "INTERSECT": "intersect",
            "EXCEPT": "except_",
        }
        word = self.pick(list(words))
        nested = len(members) == 3 and self.chance(2)  # then the last two are combined first
        inner = self.pick(list(words))
        names = members[0].names
        bounded = self.chance(2)
        limit = 1 + self.number(4)
        if nested:
            last = f"SELECT * FROM ({members[1].text} {inner} {members[2].text}) AS {self.name()}"
            text = f"{members[0].text} {word} {last}"
        else:
            text = f" {word} ".join(member.text for member in members)
        if bounded:
            text += f" ORDER BY {', '.join(names)} LIMIT {limit}"

        def build(leaves: Leaves) -> Any:
            made = [member.build(leaves) for member in members]
            if nested:
                made = [made[0], getattr(made[1], words[inner])(made[2])]
            query = getattr(made[0], words[word])(*made[1:])
            if bounded:
                query = query.order_by(*(sb.alias(name, 0) for name in names)).limit(limit)
            return query

        return Sample(text, build, kinds, names, bounded)

    # Writes

    def write(self) -> Sample:
        """Return an INSERT, UPDATE or DELETE."""
        makers = [self.insert, self.upsert, self.update, self.delete, self.joined_update]
        if self.dialect != "sqlite":
            makers.append(self.joined_delete)
        made: Sample = self.pick(makers)()
        return made

    def returned(self, word: str, sample: Sample, source: Source) -> Sample:
        """Return a write, perhaps with RETURNING of columns of `source`, its table."""
        if word not in _RETURN[self.dialect] or self.chance(2):
            return sample
        self._scope.append(source.columns)
        items = [source.keys[0], *(self.of(self.pick(["int", "text"]), 1) for _ in range(2))]
        self._scope.pop()
        names = [self.name() for _ in items]
        listed = ", ".join(f"{item.text} AS {n}" for item, n in zip(items, names, strict=True))

        def build(leaves: Leaves) -> Any:
            statement = sample.build(leaves)
            return statement.returning(
                *(sb.alias(n, item.build(leaves)) for n, item in zip(names, items, strict=True))
            )

        text = f"{sample.text} RETURNING {listed}"
        return Sample(text, build, target=sample.target, returning=True)

    def row(self) -> list[Piece]:
        """Return values for a new row, whose key is new."""
        self._scope.append([])
        key = 20 + self._aliases
        self.name()
        rest = [self.of(kind, 1) for kind in list(KINDS.values())[1:]]
        self._scope.pop()
        return [Piece("int", str(key), lambda leaves: leaves(key), plain=True), *rest]

    def insert(self) -> Sample:
        """Return an INSERT of rows or of a query."""
        name = self.pick(list(DATA))
        table = TABLES[name]
        start = f"INSERT INTO {name} ({', '.join(KINDS)}) "
        if self.chance(3):
            kinds = list(KINDS.values())
            self._tables = [each for each in DATA if each != name]
            source = self.table()
            self._scope.append(source.columns)
            key = self.binary(
                "int", "+", source.keys[0], Piece("int", "90", lambda _: 90), lambda a, b: a + b
            )
            items = [key, *(self.of(kind, 1) for kind in kinds[1:])]
            where = self.condition(2)
            self._scope.pop()
            shown = ", ".join(item.text for item in items)
            return Sample(
                f"{start}SELECT {shown} FROM {source.text} WHERE {where.text}",
                lambda leaves: table.insert(*table.columns).from_select(
                    leaves.once(source)
                    .select(*(expression(item, leaves) for item in items))
                    .where(where.build(leaves))
                ),
                target=name,
            )
        rows = [self.row() for _ in range(1 + self.number(3))]
        shown = ", ".join(f"({', '.join(piece.text for piece in row)})" for row in rows)
        sample = Sample(
            f"{start}VALUES {shown}",
            lambda leaves: table.insert(*table.columns).rows([built(row, leaves) for row in rows]),
            target=name,
        )
        self._tables = [each for each in DATA if each != name]
        return self.returned("insert", sample, table_source(name, name))

    def upsert(self) -> Sample:
        """Return an INSERT that changes a row that exists already, or leaves it alone."""
        name = self.pick(list(DATA))
        table = TABLES[name]
        row = self.row()
        key = self.pick([row[0].text, *(str(each[0]) for each in DATA[name])])
        row[0] = Piece("int", key, lambda leaves: leaves(int(key)), plain=True)
        start = f"INSERT INTO {name} ({', '.join(KINDS)}) VALUES"
        start += f" ({', '.join(piece.text for piece in row)})"
        new = "VALUES({})" if is_mysql(self.dialect) else "excluded.{}"
        change = f"a = ({new.format('a')} + {name}.a), s = {new.format('s')}"
        if is_mysql(self.dialect):
            text = f"{start} ON DUPLICATE KEY UPDATE {change}"
        else:
            text = f"{start} ON CONFLICT (id) DO UPDATE SET {change}"
        c = table.c
        return Sample(
            text,
            lambda leaves: (
                table.insert(*table.columns)
                .row(*built(row, leaves))
                .conflict_target(c.id)
                .on_duplicate_key_update(c.a, sb.values(c.a) + c.a)
                .on_duplicate_key_update(c.s, sb.values(c.s))
            ),
            target=name,
        )

    def target(self) -> Source:
        """Return the table that a write changes, which its queries may not read."""
        name = self.pick(list(DATA))
        self._tables = [each for each in DATA if each != name]
        source = table_source(name, name)
        self._scope.append(source.columns)
        return source

    def update(self) -> Sample:
        """Return an UPDATE of some columns."""
        source = self.target()
        names = [each for each in KINDS if each != "id" and self.chance(3)] or ["a"]
        values = [self.of(KINDS[each], 2) for each in names]
        where = self.condition(3) if self.chance(2) else None
        self._scope.pop()
        changes = ", ".join(f"{n} = {v.text}" for n, v in zip(names, values, strict=True))

        def build(leaves: Leaves) -> Any:
            table = leaves.once(source)
            statement = table.update()
            for each, value in zip(names, values, strict=True):
                statement = statement.set(table.c[each], value.build(leaves))
            return statement.where(where.build(leaves)) if where else statement.all_rows()

        text = f"UPDATE {source.text} SET {changes}" + (f" WHERE {where.text}" if where else "")
        return self.returned("update", Sample(text, build, target=source.text), source)

    def delete(self) -> Sample:
        """Return a DELETE."""
        source = self.target()
        where = self.condition(3)
        self._scope.pop()
        sample = Sample(
            f"DELETE FROM {source.text} WHERE {where.text}",
            lambda leaves: leaves.once(source).delete().where(where.build(leaves)),
            target=source.text,
        )
        return self.returned("delete", sample, source)

    def beside(self, source: Source) -> "tuple[Source, Piece]":
        """Return another table, and the condition that joins at most one row of it to each."""
        other = self.table()
        key, same = source.keys[0], other.keys[0]
        return other, self.binary("cond", "=", key, same, lambda a, b: a == b)

    def joined_update(self) -> Sample:
        """Return an UPDATE of the rows that are joined with those of another table."""
        source = self.target()
        other, on = self.beside(source)
        self._scope.append(source.columns + other.columns)
        kind = self.pick(["a", "s"])
        value, where = self.of(KINDS[kind], 2), self.condition(2)
        self._scope.pop()
        self._scope.pop()
        change = f"{kind} = {value.text}"
        if is_mysql(self.dialect):
            text = f"UPDATE {source.text} JOIN {other.text} ON {on.text} SET {source.text}.{change}"
            text += f" WHERE {where.text}"
        else:
            text = f"UPDATE {source.text} SET {change} FROM {other.text}"
            text += f" WHERE {on.text} AND {where.text}"

        def build(leaves: Leaves) -> Any:
            table = leaves.once(source)
            statement = table.update().join(leaves.once(other), on.build(leaves))
            return statement.set(table.c[kind], value.build(leaves)).where(where.build(leaves))

        return Sample(text, build, target=source.text)

    def joined_delete(self) -> Sample:
        """Return a DELETE of the rows that are joined with those of another table."""
        source = self.target()
        other, on = self.beside(source)
        self._scope.append(source.columns + other.columns)
        where = self.condition(2)
        self._scope.pop()
        self._scope.pop()
        table = source.text
        if is_mysql(self.dialect):
            text = f"DELETE {table} FROM {table} JOIN {other.text} ON {on.text} WHERE {where.text}"
        else:
            text = f"DELETE FROM {table} USING {other.text} WHERE {on.text} AND {where.text}"
        return Sample(
            text,
            lambda leaves: (
                leaves.once(source)
                .delete()
                .join(leaves.once(other), on.build(leaves))
                .where(where.build(leaves))
            ),
            target=table,
        )
