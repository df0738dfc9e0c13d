"""Random tables of every column type, as SQL, and what their rows are after each statement.

A column is its declaration and a strategy of expressions, in which @@ is the column itself; the
servers clamp and convert what does not fit, so a row's values are what SELECT says.
"""

# ruff: noqa: RUF001  # characters that look alike are what character sets differ in

import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any

import pymysql
from hypothesis import strategies as st
from pymysql.converters import escape_string

from .binlogs import as_selected, is_same

Literals = st.SearchStrategy[str]
_CHARSETS = (
    "armscii8 ascii big5 cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 cp932 dec8 eucjpms euckr "
    "gb2312 gbk geostd8 greek hebrew hp8 keybcs2 koi8r koi8u latin1 latin2 latin5 latin7 macce "
    "macroman sjis swe7 tis620 ucs2 ujis utf16 utf16le utf32 utf8mb3 utf8mb4"
)


def _quoted(text: str) -> str:
    return f"'{escape_string(text)}'"


def _hex(data: bytes) -> str:
    return f"x'{data.hex()}'"


texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.text("aé€ж漢字表ソあアｱ①㈱～−‖¢¥‾ﾟ😀§ß", max_size=60),
).map(_quoted)
blobs = st.binary(max_size=40).map(_hex)


def _long(literals: Literals, sizes: list[int]) -> Literals:
    """Add texts or bytes of such sizes, whose lengths take more bytes."""
    repeated = st.tuples(st.sampled_from(["'a'", "'é'", "x'00'"]), st.sampled_from(sizes)).map(
        lambda it: f"REPEAT({it[0]}, {it[1]})"
    )
    return st.one_of(literals, literals, literals, repeated)


def _integers(bits: int, unsigned: bool) -> Literals:
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.one_of(st.integers(low, high), st.sampled_from([low, high, 0])).map(str)


def _decimals(digits: int, scale: int) -> Literals:
    return st.integers(-(10**digits) + 1, 10**digits - 1).map(
        lambda n: f"{'-' * (n < 0)}{abs(n) // 10**scale}.{abs(n) % 10**scale:0{scale or 1}}"
    )


_clock = st.tuples(
    st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999_999)
)
_day = st.tuples(st.integers(0, 9999), st.integers(0, 12), st.integers(0, 31))
_days = _day.map(lambda day: "'{:04}-{:02}-{:02}'".format(*day))
_moments = st.tuples(_day, _clock).map(
    lambda both: "'{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}'".format(*both[0], *both[1])
)
_spans = st.tuples(st.sampled_from(["", "-"]), st.integers(0, 838), _clock).map(
    lambda span: "'{}{}:{:02}:{:02}.{:06}'".format(span[0], span[1], *span[2][1:])
)


def _stamps(last: int) -> Literals:
    return st.one_of(st.integers(1, last), st.sampled_from([0, 1, last])).map(
        lambda at: f"FROM_UNIXTIME({at}.654321)" if at else "'0000-00-00 00:00:00'"
    )


_documents = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6), st.dictionaries(st.text("aé\"'\\b", max_size=5), inner)
    ),
    max_leaves=20,
).map(lambda value: _quoted(json.dumps(value)))
_typed = st.one_of(
    _days.map(lambda day: f"CAST({day} AS DATE)"),
    _moments.map(lambda moment: f"CAST({moment} AS DATETIME(6))"),
    _spans.map(lambda span: f"CAST({span} AS TIME(6))"),
    st.integers(1, 65).flatmap(
        lambda digits: st.integers(0, min(30, digits)).flatmap(
            lambda scale: _decimals(digits, scale).map(
                lambda number: f"CAST({number} AS DECIMAL({digits},{scale}))"
            )
        )
    ),
    st.binary(max_size=200).map(lambda data: f"CAST({_hex(data)} AS BINARY)"),
    st.integers(0, 2**64 - 1).map(lambda number: f"CAST({number} AS UNSIGNED)"),
    texts,
)
_paths = st.sampled_from(["$", "$.a", '$."é"', "$.b.a", "$[0]", "$[1]", "$[1].a", '$."\\\\"[0]'])
_changes = st.one_of(
    st.tuples(st.sampled_from(["SET", "REPLACE", "INSERT"]), _paths, _typed).map(
        lambda it: f"JSON_{it[0]}(@@, {_quoted(it[1])}, {it[2]})"
    ),
    _paths.filter("$".__ne__).map(lambda path: f"JSON_REMOVE(@@, {_quoted(path)})"),
)
_mysql_documents = st.one_of(
    _documents,
    _documents,
    st.lists(_typed, min_size=1, max_size=5).map(lambda parts: f"JSON_ARRAY({', '.join(parts)})"),
    _typed.map(lambda part: f"JSON_OBJECT('a', {part}, 'b', JSON_ARRAY(1, {part}))"),
)
_points = st.tuples(st.floats(-180, 180), st.floats(-90, 90))


def _ring(points: list[tuple[float, float]]) -> str:
    return "(" + ", ".join(f"{x!r} {y!r}" for x, y in points) + ")"


def _joined(shapes: list[str]) -> str:
    return f"({', '.join(shapes)})"


_lines = st.lists(_points, min_size=2, max_size=5).map(_ring)
_rings = st.lists(_points, min_size=3, max_size=5).map(lambda ps: f"({_ring([*ps, ps[0]])})")
_shapes = {
    "POINT": _points.map(lambda point: _ring([point])),
    "LINESTRING": _lines,
    "POLYGON": _rings,
    "MULTIPOINT": st.lists(_points, min_size=1, max_size=3).map(_ring),
    "MULTILINESTRING": st.lists(_lines, min_size=1, max_size=3).map(
        lambda it: f"({', '.join(it)})"
    ),
    "MULTIPOLYGON": st.lists(_rings, min_size=1, max_size=2).map(_joined),
    "GEOMETRYCOLLECTION": st.lists(_lines, min_size=1, max_size=3).map(
        lambda lines: _joined(["LINESTRING" + line for line in lines])
    ),
}


def _geometries(shape: str) -> Literals:
    return st.tuples(_shapes[shape], st.sampled_from([0, 3857])).map(
        lambda it: f"ST_GeomFromText('{shape}{it[0]}', {it[1]})"
    )


_vectors = st.lists(st.floats(-1e3, 1e3, width=32, allow_subnormal=False), min_size=3, max_size=3)


_NAMES = st.lists(
    st.text("ab é€ж\\\"'\n\r\t\0%_;`(漢字", min_size=1, max_size=5).map(str.strip).filter(bool),
    min_size=1,
    max_size=9,
    unique_by=str.casefold,
)


def _members(count: int) -> str:
    return ",".join(f"'m{n} é'" for n in range(count))


def _column(declared: str, literals: Literals) -> st.SearchStrategy[tuple[str, Literals]]:
    return st.just((declared, literals))


def _listed(sets: list[str]) -> list[st.SearchStrategy[tuple[str, Literals]]]:
    """Return strategies of ENUM and SET columns."""
    charsets = st.sampled_from(["", "", *(f" CHARACTER SET {name}" for name in sets)])
    return [
        st.tuples(st.sampled_from([1, 3, 255, 300]), charsets).map(
            lambda it: (f"ENUM({_members(it[0])}){it[1]}", st.integers(0, it[0]).map(str))
        ),
        st.tuples(st.sampled_from([1, 9, 24, 33, 64]), charsets).map(
            lambda it: (f"SET({_members(it[0])}){it[1]}", st.integers(0, 2 ** it[0] - 1).map(str))
        ),
        st.tuples(st.sampled_from(["ENUM", "SET"]), _NAMES).map(
            lambda it: (
                f"{it[0]}({','.join(map(_quoted, it[1]))}) CHARACTER SET utf8mb4",
                st.integers(0, 2 ** len(it[1]) - 1 if it[0] == "SET" else len(it[1])).map(str),
            )
        ),
    ]


def _numeric() -> list[st.SearchStrategy[tuple[str, Literals]]]:
    sizes = [("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64)]
    return [
        st.tuples(st.sampled_from(sizes), st.sampled_from(["", " UNSIGNED", " ZEROFILL"])).map(
            lambda it: (it[0][0] + it[1], _integers(it[0][1], bool(it[1])))
        ),
        st.tuples(st.integers(1, 65), st.sampled_from(["", "", " UNSIGNED", " ZEROFILL"])).flatmap(
            lambda it: st.integers(0, min(30, it[0])).map(
                lambda scale: (f"DECIMAL({it[0]},{scale}){it[1]}", _decimals(it[0], scale))
            )
        ),
        st.sampled_from(["FLOAT", "FLOAT UNSIGNED", "FLOAT(9,4)"]).map(
            lambda t: (t, st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr))
        ),
        st.sampled_from(["DOUBLE", "DOUBLE UNSIGNED", "DOUBLE(20,5)"]).map(
            lambda t: (t, st.floats(allow_nan=False, allow_infinity=False).map(repr))
        ),
        st.integers(1, 64).map(lambda n: (f"BIT({n})", st.integers(0, 2**n - 1).map(str))),
        _column("YEAR", st.one_of(st.integers(1901, 2155), st.just(0)).map(str)),
        st.sampled_from(["STORED", "VIRTUAL"]).map(
            lambda how: (f"BIGINT AS (id * 3) {how}", st.just("DEFAULT"))
        ),
    ]


def columns(kind: str) -> st.SearchStrategy[tuple[str, Literals]]:
    """Return a strategy of columns that a server has: "mysql", "mariadb" or "mariadb10"."""
    sets = [*_CHARSETS.split(), *(["gb18030"] if kind == "mysql" else [])]
    short = _long(texts, [126, 255, 256])
    found = [
        *_numeric(),
        *_listed(sets),
        _column("DATE", _days),
        st.integers(0, 6).map(lambda n: (f"TIME({n})", _spans)),
        st.integers(0, 6).map(lambda n: (f"DATETIME({n})", _moments)),
        st.integers(0, 6).map(
            lambda n: (f"TIMESTAMP({n}) NULL", _stamps(2 ** (32 if kind == "mariadb" else 31) - 2))
        ),
        st.tuples(
            st.sampled_from(["CHAR(60)", "CHAR(250)", "VARCHAR(40)", "VARCHAR(300)"]),
            st.sampled_from(sets),
        ).map(lambda it: (f"{it[0]} CHARACTER SET {it[1]}", short)),
        st.tuples(
            st.sampled_from(["TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"]),
            st.sampled_from(sets),
        ).map(lambda it: (f"{it[0]} CHARACTER SET {it[1]}", _long(texts, [256, 20_000, 66_000]))),
        st.sampled_from(["BINARY(20)", "BINARY(255)", "VARBINARY(20)", "VARBINARY(300)"]).map(
            lambda t: (t, _long(blobs, [20, 255, 256, 300]))
        ),
        st.sampled_from(["TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"]).map(
            lambda t: (t, _long(blobs, [255, 256, 65_535, 66_000]))
        ),
        _column("JSON", st.one_of(_mysql_documents, _changes) if kind == "mysql" else _documents),
        st.sampled_from(list(_shapes)).map(lambda shape: (shape, _geometries(shape))),
        st.sampled_from(list(_shapes)).map(lambda shape: ("GEOMETRY", _geometries(shape))),
    ]
    if kind == "mysql":
        found.append(_column("VECTOR(3)", _vectors.map(lambda v: f"STRING_TO_VECTOR('{v!r}')")))
    else:
        found += [
            _column("UUID", st.uuids().map(lambda it: f"'{it}'")),
            _column("INET6", st.ip_addresses(v=6).map(lambda it: f"'{it}'")),
            _column("INET4", st.ip_addresses(v=4).map(lambda it: f"'{it}'")),
            st.sampled_from(["VARCHAR(300)", "TINYTEXT", "TEXT", "LONGTEXT"]).flatmap(
                lambda t: st.sampled_from(sets).map(
                    lambda name: (f"{t} COMPRESSED CHARACTER SET {name}", _long(texts, [200, 255]))
                )
            ),
            st.sampled_from(["VARBINARY(300)", "TINYBLOB", "BLOB", "MEDIUMBLOB"]).map(
                lambda t: (f"{t} COMPRESSED", _long(st.binary(max_size=250).map(_hex), [200, 255]))
            ),
        ]
    if kind == "mariadb":
        found.append(
            _column("VECTOR(3) NOT NULL", _vectors.map(lambda v: f"VEC_FromText('{v!r}')"))
        )
    return st.one_of(found)


@dataclass(frozen=True)
class Plan:
    """A table's columns, its first rows, and what becomes of them, all as SQL.

    The key, id, stands before the column of number `place`; `options` follow the columns.
    """

    declared: list[str]
    rows: list[list[str]]
    updates: dict[int, list[str | None]]
    deleted: list[int]
    place: int
    options: str

    @property
    def columns(self) -> list[str]:
        """The columns' names."""
        names = [f"c{i}" for i in range(len(self.declared))]
        names.insert(self.place, "id")
        return names

    @property
    def create(self) -> str:
        declared = [*self.declared]
        declared.insert(self.place, "INT PRIMARY KEY")
        columns = ", ".join(f"{n} {d}" for n, d in zip(self.columns, declared, strict=True))
        return f"CREATE TABLE t ({columns}) {self.options}"

    @property
    def insert(self) -> str:
        rows = []
        for index, row in enumerate(self.rows):
            values = [value.replace("@@", "NULL") for value in row]
            values.insert(self.place, str(index))
            rows.append(f"({', '.join(values)})")
        return f"INSERT INTO t ({', '.join(self.columns)}) VALUES {', '.join(rows)}"

    @property
    def changes(self) -> list[str]:
        """The statements that update rows."""
        found = []
        for index, row in self.updates.items():
            changes = [
                f"c{i} = {value.replace('@@', f'c{i}')}"
                for i, value in enumerate(row)
                if value is not None
            ]
            if changes:
                found.append(f"UPDATE t SET {', '.join(changes)} WHERE id = {index}")
        return found


@st.composite
def plans(draw: Callable[[Any], Any], kind: str) -> Plan:
    """Draw a table: its columns and statements."""
    given = columns(kind)
    chosen = draw(st.one_of(st.lists(given, min_size=1, max_size=9), st.lists(given, max_size=30)))

    def value(column: tuple[str, Literals]) -> Literals:
        if "NOT NULL" in column[0] or " AS (" in column[0]:
            return column[1]
        return st.one_of(st.just("NULL"), column[1], column[1], column[1])

    rows = [[draw(value(c)) for c in chosen] for _ in range(draw(st.integers(1, 5)))]
    updates = {
        index: [draw(st.one_of(st.none(), value(c))) for c in chosen]
        for index in draw(st.sets(st.integers(0, len(rows) - 1)))
    }
    deleted = sorted(draw(st.sets(st.integers(0, len(rows) - 1))))
    declared = [
        d if "NOT NULL" in d or " AS (" in d else d + draw(st.sampled_from(["", "", " INVISIBLE"]))
        for d, _ in chosen
    ]
    has_shapes = any(d.split()[0] in (*_shapes, "GEOMETRY") for d in declared)
    parts = " PARTITION BY HASH (id) PARTITIONS 3" * (not has_shapes and draw(st.booleans()))
    place = draw(st.integers(0, len(chosen)))
    return Plan(declared, rows, updates, deleted, place, parts)


def selected(cursor: "pymysql.cursors.Cursor", plan: Plan) -> dict[int, list[Any]]:
    """Return the rows of t by their id, each value as the server writes it, bytes as hex.

    FLOAT and DOUBLE have all their digits, of which servers may write fewer, and a VECTOR has a
    type that drivers know.
    """
    forms = {"FLOAT": "c{} + 0e0", "DOUBLE": "c{} + 0e0", "VECTOR": "UNHEX(HEX(c{}))"}
    columns = [
        forms.get(re.split(r"\W", declared)[0], "c{}").format(i)
        for i, declared in enumerate(plan.declared)
    ]
    cursor.execute(f"SELECT {', '.join(['id', *columns])} FROM t ORDER BY id")
    return {
        int(row[0]): [{"hex": v.hex()} if isinstance(v, bytes) else v for v in row[1:]]
        for row in cursor.fetchall()
    }


def is_selected(value: Any, text: Any, declared: str, is_mysql: bool) -> bool:
    """Return whether a decoded value is the one that ``selected`` gave."""
    if value is None or text is None:
        return value is None and text in (None, "null")  # a JSON document that is null
    if declared.startswith("FLOAT"):
        single: float = struct.unpack("<f", struct.pack("<f", value))[0]
        return single == float(text)
    if declared.startswith("DOUBLE"):
        return bool(value == float(text))
    if declared.startswith("INET6"):  # MariaDB writes some addresses as IPv4 ones
        return bool(value == IPv6Address(text))
    if "ZEROFILL" in declared:
        return bool(as_selected(value, declared) == re.sub(r"^0+(?=\d)", "", text))
    return is_same(value, text, declared.split(" INVISIBLE")[0], is_mysql)
