"""SQLite 3.38 and later."""

from ._dialect import Dialect, unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["SQLite", "sqlite"]

# The affinity of a declared type, by the words in it (https://sqlite.org/datatype3.html); dates,
# decimals and others keep their name.
_AFFINITIES: "Final" = (
    ("INT", "integer"),
    ("CHAR", "text"),
    ("CLOB", "text"),
    ("TEXT", "text"),
    ("BLOB", "blob"),
    ("REAL", "real"),
    ("FLOA", "real"),
    ("DOUB", "real"),
)


class SQLite(Dialect):
    """The hooks of SQLite."""

    def json_path(self, keys: "tuple[str | int, ...]") -> str:
        """Return a path such as ``$."a"[0]``, in which nothing can be escaped."""
        steps = ["$"]
        for key in keys:
            if isinstance(key, int):
                steps.append(f"[{key}]")
            elif '"' in key or "\\" in key or min(key, default=" ") < " ":
                raise unsupported(self, "JSON keys with what JSON escapes")
            else:
                steps.append(f'."{key}"')
        return "".join(steps)

    def describe_table(self, table: str, schema: "str | None") -> str:
        """Return a query of the pragma table_xinfo, with each type by its affinity."""
        cases = [f"WHEN INSTR(UPPER(type), '{word}') THEN '{name}'" for word, name in _AFFINITIES]
        arguments = table if schema is None else f"{table}, {schema}"
        return (
            f"SELECT name, CASE {' '.join(cases)} ELSE type END AS type, "
            "CASE WHEN \"notnull\" OR (pk AND UPPER(type) = 'INTEGER') THEN 'NO' ELSE 'YES' END "
            "AS nullable, NULL AS digits, NULL AS scale, NULL AS charset, NULL AS collation, "
            f"NULL AS detail FROM pragma_table_xinfo({arguments}) WHERE hidden <> 1 ORDER BY cid"
        )


sqlite: "Final" = SQLite(
    "sqlite",
    title="SQLite",
    literals="sqlite",
    like_escape=True,
    no_limit="-1",
    ignore_word="OR IGNORE ",
    features=(
        "EXCEPT",
        "FULL JOIN",
        "||",
        "FILTER",
        "IS DISTINCT FROM",
        "GROUPS in a window",
        "EXCLUDE in a window",
        "NULLS FIRST and LAST",
        "DEFAULT VALUES",
        "FROM in UPDATE",
        "INSERT IGNORE",
        "INTERSECT",
        "MATERIALIZED",
        "ON CONFLICT",
        "ON CONFLICT WHERE",
        "RETURNING in DELETE",
        "RETURNING in INSERT",
        "RETURNING in REPLACE",
        "RETURNING in UPDATE",
        "RETURNING in UPDATE of joined tables",
        "WHERE in ON CONFLICT DO UPDATE",
        "WITH before INSERT",
        "WITH in DELETE",
        "WITH in UPDATE",
        "alias in DELETE",
        "alias in INSERT",
        "ON CONFLICT without a target",
        "names in backquotes",
        "REPLACE",
        "VALUES in FROM",
        "table functions",
    ),
    operators={
        " <=> ": " IS ",
        " ^ ": None,
        " IS DISTINCT FROM ": " IS NOT ",
    },
    templates={
        "EXTRACT year": "CAST(STRFTIME('%Y',{}) AS INTEGER)",
        "EXTRACT quarter": "((STRFTIME('%m',{}) + 2) / 3)",
        "EXTRACT month": "CAST(STRFTIME('%m',{}) AS INTEGER)",
        "EXTRACT day": "CAST(STRFTIME('%d',{}) AS INTEGER)",
        "EXTRACT hour": "CAST(STRFTIME('%H',{}) AS INTEGER)",
        "EXTRACT minute": "CAST(STRFTIME('%M',{}) AS INTEGER)",
        "EXTRACT second": "CAST(STRFTIME('%S',{}) AS INTEGER)",
        "EXTRACT dow": "CAST(STRFTIME('%w',{}) AS INTEGER)",
        "EXTRACT isodow": "((STRFTIME('%w',{}) + 6) % 7 + 1)",
        "EXTRACT doy": "CAST(STRFTIME('%j',{}) AS INTEGER)",
        "EXTRACT epoch": "CAST(STRFTIME('%s',{}) AS INTEGER)",
        "JSON ->": "{} -> {}",
        "JSON ->>": "{} ->> {}",
        # ->> is a number for a number, and 1 or 0 for true or false.
        "JSON text": "CASE JSON_TYPE({},{}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' "
        "ELSE CAST({} ->> {} AS TEXT) END",
    },
    levels={"||": 75, "JSON ->": 75},
    string_agg="GROUP_CONCAT",
    drivers=("_sqlite3", "apsw", "pysqlite3", "sqlite3"),
    column_types={
        "blob": "bytes",
        "bool": "bool",
        "boolean": "bool",
        "date": "date",
        "datetime": "datetime",
        "decimal": "decimal",
        "integer": "int",
        "json": "json",
        "numeric": "decimal",
        "real": "double",
        "text": "str",
        "time": "time",
        "timestamp": "datetime",
        "uuid": "uuid",
    },
    types={
        "bytes": "BLOB",
        "decimal": "NUMERIC",
        "double": "REAL",
        "integer": "INTEGER",
        "text": "TEXT",
    },
)
