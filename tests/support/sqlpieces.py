"""Random expressions: each as the builder builds it, and as reference text written without it.

A ``Piece`` is one expression twice: ``build`` makes it with the builder, from values as they are or
from slots, and ``text`` is the same SQL with every operator in parentheses and every value as the
plainest literal. ``Expressions`` makes them, and takes all choices from bytes, in which 0 is the
simplest, so that Hypothesis draws a statement at once and makes failures small. ``sqlrandom`` makes
statements of them.
"""

import datetime
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from godropbox.database import sqlbuilder

__all__ = [
    "DATA",
    "KINDS",
    "TABLES",
    "Expressions",
    "Leaves",
    "Piece",
    "Source",
    "built",
    "expression",
    "is_mysql",
    "quoted",
    "sb",
    "table_source",
]

sb: Any = sqlbuilder

# The columns of both tables, the key first, with the kinds of their values.
KINDS = {"id": "int", "a": "int", "b": "int", "s": "text", "f": "float", "m": "moment", "d": "data"}
NULLABLE = {"b", "s", "m"}
MAKERS = {
    "int": sb.IntColumn,
    "text": sb.StrColumn,
    "float": sb.DoubleColumn,
    "moment": sb.DateTimeColumn,
    "data": sb.BytesColumn,
}
DAY = datetime.datetime(2014, 7, 1, 12, 30)
HOUR = datetime.timedelta(hours=1)
DATA: dict[str, list[tuple[Any, ...]]] = {
    "t": [
        (1, 3, None, "Ada", 0.5, DAY, b""),
        (2, -4, 7, "it's", -2.25, None, b"\x00'"),
        (3, 0, -1, "100%", 4.0, DAY + 7 * HOUR, b"\\"),
        (4, 3, 2, None, 0.0, DAY - 24 * HOUR, b"ab"),
        (5, 12, 7, "a\\b_", 1.5, DAY, b"ab"),
    ],
    "u": [
        (1, 1, 3, "ada", 2.5, None, b"ab"),
        (3, 2, None, "100%", 0.5, DAY, b""),
        (6, -4, 0, "", -8.0, DAY + HOUR, b"\xff"),
        (7, 3, 3, "x y", 4.0, DAY, b"\\"),
    ],
}
TABLES = {
    name: sb.Table(
        name, *(MAKERS[kind](each, nullable=each in NULLABLE) for each, kind in KINDS.items())
    )
    for name in DATA
}

WORDS = [
    "",
    "Ada",
    "it's",
    "100%",
    "a\\b_",
    "x y",
    "%",
    "_",
    "\\",
    'q"`q',
    "?",
    ":p1",
    "漢字🙂",
    "--",
]
NUMBERS = [0, 1, 2, 3, 5, 7, -1, -4, 100]
FLOATS = [0.5, -2.25, 4.0, 0.0, 1.5]
MOMENTS = [DAY, DAY + HOUR, DAY - 24 * HOUR, datetime.datetime(1, 1, 1)]
BYTES = [b"", b"ab", b"\x00'", b"\\", b"\xff%s?"]
VALUES: dict[str, list[Any]] = {
    "int": NUMBERS,
    "text": WORDS,
    "float": FLOATS,
    "moment": MOMENTS,
    "data": BYTES,
}


def quoted(value: Any, dialect: str) -> str:
    """Return the plainest literal of a value."""
    kind = type(value)
    if value is None:
        return "NULL"
    if kind is bool:
        return str(value).upper()
    if kind is int or kind is float:
        return f"({value!r})" if value < 0 else repr(value)
    if kind is bytes:
        return f"'\\x{value.hex()}'::bytea" if dialect == "postgresql" else f"X'{value.hex()}'"
    if kind is datetime.datetime:
        text = f"'{value.isoformat(' ', 'microseconds')}'"
        return f"{text}::timestamp" if dialect == "postgresql" else text
    text = str(value).replace("'", "''")
    return "'" + (text.replace("\\", "\\\\") if is_mysql(dialect) else text) + "'"


def is_mysql(dialect: str) -> bool:
    """Return whether a dialect is MySQL's or MariaDB's."""
    return dialect in ("mysql", "mariadb")


class Leaves:
    """The values of a statement while it is built: as they are, or as slots."""

    def __init__(self, slots: bool) -> None:
        self._slots = slots
        self._made: dict[int, Any] = {}
        self.values: dict[str, Any] = {}

    def __call__(self, value: Any, many: bool = False) -> Any:
        if not self._slots:
            return value
        name = f"v{len(self.values)}"
        self.values[name] = value
        return sb.slot(name, type(value[0] if many else value), many=many)

    def once(self, source: "Source") -> Any:
        """Return the builder's object for a source, made at the first call."""
        if id(source) not in self._made:
            self._made[id(source)] = source.build(self)
        return self._made[id(source)]


Build = Callable[[Leaves], Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """An expression of a kind; `plain` if it builds a bare Python value."""

    kind: str
    text: str
    build: Build
    plain: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What FROM can hold, with the columns that its rows have."""

    text: str
    build: Build
    columns: list[Piece]
    keys: list[Piece]  # columns that together tell the rows apart
    ctes: "list[tuple[str, Source]]" = field(default_factory=list)  # for WITH
    joins: bool = False


def expression(piece: Piece, leaves: Leaves) -> Any:
    """Return a piece as an expression, which a bare value is not."""
    made = piece.build(leaves)
    return sb.literal(made) if piece.plain and not isinstance(made, sb.Expression) else made


def built(pieces: list[Piece], leaves: Leaves) -> list[Any]:
    return [piece.build(leaves) for piece in pieces]


def table_source(name: str, alias: str) -> Source:
    """Return a table under an alias, which may be its name."""
    table = TABLES[name] if alias == name else TABLES[name].alias(alias)

    def column(each: str) -> Build:
        return lambda leaves: table.c[each]

    columns = [Piece(kind, f"{alias}.{each}", column(each)) for each, kind in KINDS.items()]
    text = name if alias == name else f"{name} AS {alias}"
    return Source(text, lambda leaves: table, columns, columns[:1])


class Expressions:
    """Makes expressions in a dialect."""

    def __init__(self, choices: bytes, dialect: str) -> None:
        self._choices = iter(choices)
        self.dialect = dialect
        self._aliases = 0
        self._choosing = 0  # how many CASEs of moments are around what is made
        self._tables = list(DATA)  # those that a query may read
        self._scope: list[list[Piece]] = []  # the columns in scope, of inner statements last

    # Choices

    def number(self, count: int) -> int:
        """Return an int in [0, count), and 0 when all choices are used up."""
        return next(self._choices, 0) % count

    def pick(self, items: Any) -> Any:
        """Return one of `items`."""
        return items[self.number(len(items))]

    def chance(self, one_in: int) -> bool:
        """Return True once in so many times, and False where Hypothesis simplifies."""
        return self.number(one_in) == one_in - 1

    def name(self) -> str:
        """Return a name that nothing else has."""
        self._aliases += 1
        return f"n{self._aliases}"

    # Values

    def value(self, kind: str) -> Piece:
        """Return a value, bare or as a literal node, or cast where MySQL takes moments for text."""
        value = self.pick(VALUES[kind])
        text = quoted(value, self.dialect)
        if kind == "moment" and self._choosing and is_mysql(self.dialect):
            return Piece(
                kind,
                f"CAST({text} AS DATETIME(6))",
                lambda leaves: sb.cast(leaves(value), "datetime"),
            )
        if self.chance(3):
            return Piece(kind, text, lambda leaves: leaves(value), plain=True)

        def build(leaves: Leaves) -> Any:
            made = leaves(value)
            return made if isinstance(made, sb.Expression) else sb.literal(made)

        return Piece(kind, text, build)

    def column(self, kind: str) -> Piece | None:
        """Return a column in scope, of the innermost statement more often than not."""
        found = [piece for piece in self._scope[-1] if piece.kind == kind]
        if len(self._scope) > 1 and (not found or self.chance(3)):
            found = [piece for level in self._scope for piece in level if piece.kind == kind]
        return self.pick(found) if found else None

    def leaf(self, kind: str) -> Piece:
        """Return a column, or a value."""
        if self.chance(3):
            return self.value(kind)
        return self.column(kind) or self.value(kind)

    def of(self, kind: str, depth: int) -> Piece:
        """Return an expression of a kind, at most so deep."""
        if depth <= 0 or self.chance(5):
            return self.condition(1) if kind == "cond" else self.leaf(kind)
        if kind == "cond":
            return self.condition(depth)
        if kind in ("moment", "data"):
            return self.chosen(kind, depth) if self.chance(3) else self.leaf(kind)
        makers: dict[str, list[Any]] = {
            "int": [
                *[self.arithmetic] * 4,
                self.bits,
                self.shift,
                self.negative,
                self.raw,
                self.chosen,
                self.function,
                self.scalar,
                self.cast,
            ],
            "float": [self.arithmetic, self.negative, self.chosen, self.leaf],
            "text": [self.function, self.chosen, self.concat, self.concat, self.cast],
        }
        made = self.pick([*makers[kind], *self.others(kind)])
        piece: Piece = made(kind) if made == self.leaf else made(kind, depth)
        return piece

    def others(self, kind: str) -> "list[Callable[..., Piece]]":
        """Return more makers of a kind, of a subclass."""
        return []

    # Expressions

    def binary(
        self, kind: str, symbol: str, left: Piece, right: Piece, build: Callable[[Any, Any], Any]
    ) -> Piece:
        """Return an operator between two pieces."""

        def make(leaves: Leaves) -> Any:
            first, second = left.build(leaves), right.build(leaves)
            if not isinstance(first, sb.Expression) and not isinstance(second, sb.Expression):
                first = sb.literal(first)
            return build(first, second)

        return Piece(kind, f"({left.text} {symbol} {right.text})", make)

    def arithmetic(self, kind: str, depth: int) -> Piece:
        """Return ``+``, ``-`` or ``*``, a remainder, or the same of many operands."""
        if self.chance(4):
            return self.many(kind, depth)
        symbol = self.pick("+-*%" if kind == "int" else "+-*")
        left = self.of(kind, depth - 1)
        right = self.of(kind, depth - 1)
        if symbol == "%":
            right = Piece(kind, "7", lambda leaves: leaves(7), plain=True)
        operators: dict[str, Callable[[Any, Any], Any]] = {
            "+": lambda a, b: a + b,
            "-": lambda a, b: a - b,
            "*": lambda a, b: a * b,
            "%": lambda a, b: a % b,
        }
        return self.binary(kind, symbol, left, right, operators[symbol])

    def many(self, kind: str, depth: int) -> Piece:
        """Return ``add``, ``sub`` or ``mul`` of one to three operands."""
        items = [self.of(kind, depth - 1) for _ in range(1 + self.number(3))]
        name, symbol = self.pick([("add", " + "), ("sub", " - "), ("mul", " * ")])
        text = items[0].text
        for item in items[1:]:
            text = f"({text}{symbol}{item.text})"
        function = getattr(sb, name)
        return Piece(kind, text, lambda leaves: function(*built(items, leaves)))

    def bits(self, kind: str, depth: int) -> Piece:
        """Return ``&``, ``|`` or ``^`` of what is not negative, for MySQL's are unsigned."""
        left = self.call("ABS", [self.of("int", depth - 1)], kind)
        right = Piece(kind, "6", lambda leaves: leaves(6), plain=True)
        if self.chance(2):
            right = self.call("ABS", [self.of("int", depth - 1)], kind)
        symbol = self.pick("&|" if self.dialect == "sqlite" else "&|^")
        operators: dict[str, Callable[[Any, Any], Any]] = {
            "&": lambda a, b: a & b,
            "|": sb.bit_or,
            "^": lambda a, b: a ^ b,
        }
        shown = "#" if symbol == "^" and self.dialect == "postgresql" else symbol
        return self.binary(kind, shown, left, right, operators[symbol])

    def shift(self, kind: str, depth: int) -> Piece:
        """Return a shift of what is not negative, or bits of a complement."""
        inside = self.call("ABS", [self.of("int", depth - 1)], kind)
        if self.chance(3):
            text = f"((~ {inside.text}) & 255)"
            return Piece(kind, text, lambda leaves: sb.bit_not(inside.build(leaves)) & 255)
        count = Piece(kind, "2", lambda leaves: leaves(2), plain=True)
        if self.chance(2):
            return self.binary(kind, "<<", inside, count, lambda a, b: a << b)
        return self.binary(kind, ">>", inside, count, lambda a, b: a >> b)

    def negative(self, kind: str, depth: int) -> Piece:
        """Return a unary minus."""
        inside = self.of(kind, depth - 1)
        return Piece(kind, f"(- {inside.text})", lambda leaves: -expression(inside, leaves))

    def raw(self, kind: str, depth: int) -> Piece:
        """Return text of the program with values in it."""
        first, second = self.of(kind, depth - 1), self.of(kind, depth - 1)
        text, symbol = self.pick([("? - ?", "-"), ("? + ?", "+")])
        return Piece(
            kind,
            f"({first.text} {symbol} {second.text})",
            lambda leaves: sb.raw(text, *built([first, second], leaves)),
        )

    def concat(self, kind: str, depth: int) -> Piece:
        """Return texts joined."""
        items = [self.of(kind, depth - 1) for _ in range(2)]
        texts = [item.text for item in items]
        text = (
            f"CONCAT({', '.join(texts)})" if is_mysql(self.dialect) else f"({' || '.join(texts)})"
        )
        if self.chance(2):
            return Piece(kind, text, lambda leaves: sb.concat(*built(items, leaves)))
        return Piece(
            kind,
            text,
            lambda leaves: expression(items[0], leaves).concat(items[1].build(leaves)),
        )

    def call(self, name: str, arguments: list[Piece], kind: str) -> Piece:
        """Return a function call."""
        text = f"{name}({', '.join(each.text for each in arguments)})"
        return Piece(kind, text, lambda leaves: sb.func(name, *built(arguments, leaves)))

    def function(self, kind: str, depth: int) -> Piece:
        """Return a call of a function that every server has."""
        if kind == "int" and self.chance(2):
            name = self.pick(["ABS", "LENGTH"])
            return self.call(name, [self.of("int" if name == "ABS" else "text", depth - 1)], kind)
        if kind == "text" and self.chance(2):
            return self.call(
                self.pick(["UPPER", "LOWER", "TRIM"]), [self.of(kind, depth - 1)], kind
            )
        return self.call("COALESCE", [self.of(kind, depth - 1), self.of(kind, depth - 1)], kind)

    def chosen(self, kind: str, depth: int) -> Piece:
        """Return CASE or IF.

        MySQL makes a text of a moment and a literal, and drivers write a moment with other digits
        than the builder, so that there the literal is cast.
        """
        self._choosing += kind == "moment"
        pairs = [
            (self.condition(depth - 1), self.of(kind, depth - 1)) for _ in range(1 + self.number(2))
        ]
        last = self.of(kind, depth - 1)
        self._choosing -= kind == "moment"
        whens = " ".join(f"WHEN {when.text} THEN {then.text}" for when, then in pairs)
        text = f"(CASE {whens} ELSE {last.text} END)"
        short = len(pairs) == 1 and self.chance(2)

        def build(leaves: Leaves) -> Any:
            made = [(when.build(leaves), then.build(leaves)) for when, then in pairs]
            otherwise = last.build(leaves)
            if short:
                return sb.if_(*made[0], otherwise)
            return sb.case(*made, otherwise=otherwise)

        return Piece(kind, text, build)

    def cast(self, kind: str, depth: int) -> Piece:
        """Return a CAST, of a number for text, and of a number through text for a number."""
        text_type = "CHAR" if is_mysql(self.dialect) else "TEXT"
        number = self.of("int", depth - 1)
        text = f"CAST({number.text} AS {text_type})"
        if kind == "text":
            return Piece(kind, text, lambda leaves: sb.cast(number.build(leaves), "text"))
        types = {"sqlite": "INTEGER", "postgresql": "BIGINT"}
        return Piece(
            kind,
            f"CAST({text} AS {types.get(self.dialect, 'SIGNED')})",
            lambda leaves: sb.cast(sb.cast(number.build(leaves), "text"), "integer"),
        )

    def aggregate(self, kind: str) -> Piece:
        """Return an aggregate of columns in scope, or COUNT(*)."""
        column = self.column(kind)
        if kind == "int" and (column is None or self.chance(3)):
            if column is None or self.chance(2):
                return Piece(kind, "COUNT(*)", lambda leaves: sb.count())
            build = column.build
            return Piece(
                kind,
                f"COUNT(DISTINCT {column.text})",
                lambda leaves: sb.count(build(leaves), distinct=True),
            )
        assert column is not None
        if kind == "int" and self.chance(4):
            when = self.condition(1)
            return Piece(
                kind,
                f"SUM(CASE WHEN {when.text} THEN {column.text} END)",
                lambda leaves: sb.func("SUM", column.build(leaves)).filter(when.build(leaves)),
            )
        names = ["MIN", "MAX", "SUM"] if kind in ("int", "float") else ["MIN", "MAX"]
        inside = self.of(kind, 1) if kind == "int" else column
        return self.call(self.pick(names), [inside], kind)

    def scalar(self, kind: str, depth: int) -> Piece:
        """Return a query of one row and one column as a value."""
        source = self.table()
        self._scope.append(source.columns)
        item = self.aggregate("int")
        where = self.condition(depth - 1)
        self._scope.pop()
        return Piece(
            kind,
            f"(SELECT {item.text} FROM {source.text} WHERE {where.text})",
            lambda leaves: (
                leaves.once(source).select(item.build(leaves)).where(where.build(leaves)).scalar()
            ),
        )

    # Conditions

    def condition(self, depth: int) -> Piece:
        """Return a condition."""
        makers = [self.comparison, self.comparison, self.listed, self.null, self.like]
        if depth > 0:
            makers += [
                *[self.joined] * 4,
                self.negated,
                self.between,
                self.rows,
                self.exists,
                self.queried,
                self.distinct_from,
                self.truth,
                self.equality,
                self.found,
                *self.others("cond"),
            ]
        made: Piece = self.pick(makers)(depth)
        return made

    def comparison(self, depth: int) -> Piece:
        """Return a comparison of two values of any one kind."""
        kind = self.pick(["int", "int", "int", "text", "text", "float", "moment", "data"])
        symbol = self.pick(["=", "!=", "<", "<=", ">", ">="])
        operators: dict[str, Callable[[Any, Any], Any]] = {
            "=": lambda a, b: a == b,
            "!=": lambda a, b: a != b,
            "<": lambda a, b: a < b,
            "<=": lambda a, b: a <= b,
            ">": lambda a, b: a > b,
            ">=": lambda a, b: a >= b,
        }
        left, right = self.of(kind, depth - 1), self.of(kind, depth - 1)
        symbol_text = "<>" if symbol == "!=" else symbol
        return self.binary("cond", symbol_text, left, right, operators[symbol])

    def distinct_from(self, depth: int) -> Piece:
        """Return IS [NOT] DISTINCT FROM, in each dialect's words."""
        kind = self.pick(["int", "text"])
        left = self.column(kind) or self.call("ABS", [self.value("int")], "int")
        right = self.of(left.kind, depth - 1)
        word, name = self.pick([("IS", "is_not_distinct_from"), ("IS NOT", "is_distinct_from")])
        text = f"({left.text} {word} {right.text})"
        if self.dialect == "postgresql":
            no = "NOT " if word == "IS" else ""
            text = f"({left.text} IS {no}DISTINCT FROM {right.text})"
        elif is_mysql(self.dialect):
            text = f"({left.text} <=> {right.text})"
            text = text if word == "IS" else f"(NOT {text})"
        return Piece(
            "cond", text, lambda leaves: getattr(left.build(leaves), name)(right.build(leaves))
        )

    def truth(self, depth: int) -> Piece:
        """Return IS TRUE and the like of a condition."""
        inside = self.condition(depth - 1)
        value, name = self.pick([True, False]), self.pick(["is_", "is_not"])
        word = f"IS {'NOT ' * (name == 'is_not')}{str(value).upper()}"
        return Piece(
            "cond",
            f"({inside.text} {word})",
            lambda leaves: getattr(inside.build(leaves), name)(value),
        )

    def equality(self, depth: int) -> Piece:
        """Return a comparison of two conditions."""
        left, right = self.condition(depth - 1), self.condition(depth - 1)
        return self.binary("cond", "=", left, right, lambda a, b: a == b)

    def found(self, depth: int) -> Piece:
        """Return whether a text contains, starts or ends with another."""
        inside = self.of("text", depth - 1)
        word = self.pick(WORDS)
        name, start, end = self.pick(
            [("contains", "%", "%"), ("startswith", "", "%"), ("endswith", "%", "")]
        )
        quote = functools.partial(quoted, dialect=self.dialect)
        pattern = quote(f"{start}{sb.escape_for_like(word)}{end}")
        return Piece(
            "cond",
            f"({inside.text} LIKE {pattern} ESCAPE {quote(chr(92))})",
            lambda leaves: getattr(expression(inside, leaves), name)(word),
        )

    def joined(self, depth: int) -> Piece:
        """Return AND or OR of conditions."""
        items = [self.condition(depth - 1) for _ in range(1 + self.number(3))]
        word = self.pick(["AND", "OR"])
        text = f"({f' {word} '.join(item.text for item in items)})"
        chained = self.chance(2)

        def build(leaves: Leaves) -> Any:
            made = built(items, leaves)
            if not chained:
                return sb.and_(*made) if word == "AND" else sb.or_(*made)
            result = made[0]
            for each in made[1:]:
                result = result & each if word == "AND" else result | each
            return result

        return Piece("cond", text, build)

    def negated(self, depth: int) -> Piece:
        """Return NOT of a condition."""
        inside = self.condition(depth - 1)
        return Piece("cond", f"(NOT {inside.text})", lambda leaves: ~inside.build(leaves))

    def between(self, depth: int) -> Piece:
        """Return BETWEEN or NOT BETWEEN."""
        kind = self.pick(["int", "text", "moment"])
        first, low, high = (self.of(kind, depth - 1) for _ in range(3))
        word, name = self.pick([("BETWEEN", "between"), ("NOT BETWEEN", "not_between")])
        return Piece(
            "cond",
            f"({first.text} {word} {low.text} AND {high.text})",
            lambda leaves: getattr(expression(first, leaves), name)(
                low.build(leaves), high.build(leaves)
            ),
        )

    def null(self, depth: int) -> Piece:
        """Return IS NULL or IS NOT NULL of what is not a bare value."""
        kind = self.pick(["int", "text"])
        inside = self.column(kind) or self.call("ABS", [self.value("int")], "int")
        word, name = self.pick([("IS NULL", "is_null"), ("IS NOT NULL", "is_not_null")])
        return Piece(
            "cond", f"({inside.text} {word})", lambda leaves: getattr(inside.build(leaves), name)()
        )

    def like(self, depth: int) -> Piece:
        """Return LIKE or NOT LIKE of escaped data and wildcards, or REGEXP of letters."""
        inside = self.of("text", depth - 1)
        if self.chance(4):
            symbol = "~" if self.dialect == "postgresql" else "REGEXP"
            return Piece(
                "cond",
                f"({inside.text} {symbol} 'da')",
                lambda leaves: expression(inside, leaves).regexp(leaves("da")),
            )
        pattern = sb.escape_for_like(self.pick(WORDS)) + self.pick(["", "%", "_%"])
        word, name = self.pick([("LIKE", "like"), ("NOT LIKE", "not_like")])
        quote = functools.partial(quoted, dialect=self.dialect)
        return Piece(
            "cond",
            f"({inside.text} {word} {quote(pattern)} ESCAPE {quote(chr(92))})",
            lambda leaves: getattr(expression(inside, leaves), name)(leaves(pattern)),
        )

    def listed(self, depth: int) -> Piece:
        """Return IN or NOT IN of a list of values."""
        kind = self.pick(["int", "int", "text", "moment", "data"])
        inside = self.of(kind, depth - 1)
        values = [self.pick(VALUES[kind]) for _ in range(self.number(4))]
        word, name = self.pick([("IN", "in_"), ("NOT IN", "not_in")])
        items = ", ".join(quoted(value, self.dialect) for value in values)
        if not values:  # then there is nothing of what is searched either
            text = "FALSE" if word == "IN" else "TRUE"
            return Piece("cond", text, lambda leaves: getattr(sb.literal(1), name)([]))
        return Piece(
            "cond",
            f"({inside.text} {word} ({items}))",
            lambda leaves: getattr(expression(inside, leaves), name)(leaves(values, many=True)),
        )

    def rows(self, depth: int) -> Piece:
        """Return a row compared with a row, or in a list of rows."""
        kinds = [self.pick(["int", "text"]) for _ in range(2)]
        left = [self.of(kind, depth - 1) for kind in kinds]
        shown = ", ".join(piece.text for piece in left)
        if self.chance(2):
            right = [self.of(kind, depth - 1) for kind in kinds]
            return Piece(
                "cond",
                f"(({shown}) = ({', '.join(piece.text for piece in right)}))",
                lambda leaves: sb.tuple_(*built(left, leaves)) == sb.tuple_(*built(right, leaves)),
            )
        rows = [tuple(self.pick(VALUES[kind]) for kind in kinds) for _ in range(1 + self.number(2))]
        texts = [", ".join(quoted(value, self.dialect) for value in row) for row in rows]
        listed = ", ".join(f"({text})" for text in texts)
        if self.dialect == "sqlite":
            listed = f"VALUES {listed}"
        return Piece(
            "cond",
            f"(({shown}) IN ({listed}))",
            lambda leaves: sb.tuple_(*built(left, leaves)).in_(rows),
        )

    def exists(self, depth: int) -> Piece:
        """Return EXISTS of a query, which may use columns of the enclosing statement."""
        source = self.table()
        self._scope.append(source.columns)
        where = self.condition(depth - 1)
        self._scope.pop()
        return Piece(
            "cond",
            f"EXISTS (SELECT 1 FROM {source.text} WHERE {where.text})",
            lambda leaves: sb.exists(
                leaves.once(source)
                .select(source.columns[0].build(leaves))
                .where(where.build(leaves))
            ),
        )

    def queried(self, depth: int) -> Piece:
        """Return IN or NOT IN of a query."""
        kind = self.pick(["int", "text"])
        inside = self.of(kind, depth - 1)
        source = self.table()
        self._scope.append(source.columns)
        item = self.column(kind) or self.value(kind)
        where = self.condition(depth - 1)
        self._scope.pop()
        word, name = self.pick([("IN", "in_"), ("NOT IN", "not_in")])
        return Piece(
            "cond",
            f"({inside.text} {word} (SELECT {item.text} FROM {source.text} WHERE {where.text}))",
            lambda leaves: getattr(expression(inside, leaves), name)(
                leaves.once(source).select(expression(item, leaves)).where(where.build(leaves))
            ),
        )

    def table(self) -> Source:
        """Return a table under a name of its own."""
        name = self.pick(self._tables)
        return table_source(name, self.name())
