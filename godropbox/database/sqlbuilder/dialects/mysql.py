"""MySQL 8.0 and later."""

from .._names import shown
from ._dialect import Dialect, unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["MySQL", "mysql"]

# What JSON escapes in a string.
_ESCAPES: "Final" = {
    **{number: f"\\u{number:04x}" for number in range(0x20)},
    **{ord(char): f"\\{name}" for char, name in zip("\b\t\n\f\r", "btnfr", strict=True)},
    ord('"'): '\\"',
    ord("\\"): "\\\\",
}


class MySQL(Dialect):
    """The hooks of MySQL, which MariaDB mostly shares."""

    def check_name(self, name: str) -> None:
        """Raise for a name with characters above U+FFFF or a space at its end."""
        if max(name) > "\uffff":
            raise unsupported(
                self,
                "names with characters above U+FFFF",
                f"a name must have no character above U+FFFF in {self.title}, got {shown(name)}",
            )
        if name.endswith(" "):
            raise unsupported(
                self,
                "names that end with a space",
                f"a name must not end with a space in {self.title}, got {shown(name)}",
            )

    def interval(self, microseconds: int, exact: bool, binding: bool) -> str:
        """Return ``INTERVAL 'h:m:s:u' HOUR_MICROSECOND``."""
        seconds, micros = divmod(abs(microseconds), 1000000)
        hours, rest = divmod(seconds, 3600)
        # A driver may read a colon as a parameter; the server reads a space the same.
        colon = " " if binding else ":"
        digits = f"{micros:06}" if exact else str(micros)
        span = colon.join([str(hours), str(rest // 60), str(rest % 60), digits])
        return f"INTERVAL '{'-' if microseconds < 0 else ''}{span}' HOUR_MICROSECOND"

    def months(self, count: int) -> str:
        """Return ``INTERVAL n MONTH``."""
        return f"INTERVAL {count} MONTH"

    def json_path(self, keys: "tuple[str | int, ...]") -> str:
        """Return a path such as ``$."a"[0]``, whose keys are strings of JSON."""
        steps = ["$"]
        for key in keys:
            if isinstance(key, int):
                steps.append(f"[{key}]")
            else:
                steps.append(f'."{key.translate(_ESCAPES)}"')
        return "".join(steps)

    def describe_table(self, table: str, schema: "str | None") -> str:
        """Return a query of information_schema; MariaDB's JSON is a LONGTEXT with a CHECK."""
        # Only MariaDB reads a comment that begins with /*M!
        return (
            "SELECT c.column_name AS name, "
            "CASE WHEN LEFT(c.column_type, 10) = 'tinyint(1)' THEN 'boolean' "
            "/*M! WHEN EXISTS (SELECT 1 FROM information_schema.check_constraints k "
            "WHERE k.constraint_schema = c.table_schema AND k.table_name = c.table_name "
            "AND k.check_clause = CONCAT('json_valid(`', c.column_name, '`)')) THEN 'json' */ "
            "ELSE LOWER(c.data_type) END AS type, c.is_nullable AS nullable, "
            "c.numeric_precision AS digits, c.numeric_scale AS scale, "
            "c.character_set_name AS charset, c.collation_name AS collation, "
            "c.column_type AS detail FROM information_schema.columns c "
            f"WHERE c.table_schema = {schema or 'DATABASE()'} AND c.table_name = {table} "
            "ORDER BY c.ordinal_position"
        )

    def row_lock(self, strength: str, of: str, wait: str) -> str:
        """Return the older words for a plain shared lock, which every version knows."""
        if strength == "SHARE" and not of and not wait:
            return " LOCK IN SHARE MODE"
        return Dialect.row_lock(self, strength, of, wait)


mysql: "Final" = MySQL(
    "mysql",
    title="MySQL",
    quote="`",
    literals="mysql",
    decimal_literals=True,
    offset_first=True,
    no_limit="18446744073709551615",
    qualified_targets=True,
    ignore_word="IGNORE ",
    dual=" FROM DUAL",
    values_row="ROW",
    declared_types={
        "boolean": "BOOLEAN",
        "bytes": "LONGBLOB",
        "integer": "BIGINT",
        "text": "LONGTEXT",
        "unsigned": "BIGINT UNSIGNED",
    },
    features=(
        "EXCEPT",
        "EXCEPT ALL",
        "FOR UPDATE OF",
        "DEFAULT as a value",
        "DELETE from joined tables",
        "GTID_NEXT",
        "IF()",
        "INSERT IGNORE",
        "INTERSECT",
        "INTERSECT ALL",
        "INTERVAL",
        "JSON_TABLE",
        "LATERAL",
        "JOIN in UPDATE",
        "LEFT JOIN in DELETE",
        "LEFT JOIN in UPDATE",
        "LIMIT in DELETE",
        "LIMIT in UPDATE",
        "LOCK TABLES",
        "ON DUPLICATE KEY UPDATE",
        "ORDER BY beside ROLLUP",
        "ORDER BY in DELETE",
        "ORDER BY in UPDATE",
        "REPLACE",
        "ROLLUP",
        "VALUES in FROM",
        "WITH in UNION",
        "aliases in HAVING",
        "aliases in ORDER BY",
        "column names in FROM",
        "SET of joined tables",
        "UNLOCK TABLES",
        "USING in DELETE",
        "WITH in DELETE",
        "WITH in UPDATE",
        "alias in DELETE",
        "bitwise XOR",
        "months in INTERVAL",
        "names in backquotes",
        "rows in IN",
        "ANY and ALL",
        "CURRENT_USER",
        "LOCALTIMESTAMP",
        "SEPARATOR",
        "DISTINCT with several arguments",
        "RANGE with an INTERVAL",
        "index hints",
        "optimizer hints",
        "parentheses in UNION",
        "row alias",
        "row locks",
        "row locks beside GROUP BY",
        "row locks in UNION",
        "row locks of outer joins",
    ),
    templates={
        "EXTRACT year": "EXTRACT(YEAR FROM {})",
        "EXTRACT quarter": "EXTRACT(QUARTER FROM {})",
        "EXTRACT month": "EXTRACT(MONTH FROM {})",
        "EXTRACT day": "EXTRACT(DAY FROM {})",
        "EXTRACT hour": "EXTRACT(HOUR FROM {})",
        "EXTRACT minute": "EXTRACT(MINUTE FROM {})",
        "EXTRACT week": "WEEK({},3)",
        "EXTRACT second": "EXTRACT(SECOND FROM {})",
        "EXTRACT microsecond": "EXTRACT(MICROSECOND FROM {})",
        "EXTRACT dow": "(DAYOFWEEK({}) - 1)",
        "EXTRACT isodow": "(WEEKDAY({}) + 1)",
        "EXTRACT doy": "DAYOFYEAR({})",
        "EXTRACT epoch": "(TO_SECONDS({}) - 62167219200)",
        "JSON ->": "JSON_EXTRACT({},{})",
        "JSON ->>": "JSON_UNQUOTE(NULLIF(JSON_EXTRACT({},{}),CAST('null' AS JSON)))",
        "JSON @>": "JSON_CONTAINS({},{})",
    },
    cast_words=(
        "BINARY",
        "CHAR",
        "CHARACTER",
        "DATE",
        "DATETIME",
        "DECIMAL",
        "DOUBLE",
        "FLOAT",
        "JSON",
        "NCHAR",
        "REAL",
        "SIGNED",
        "TIME",
        "UNSIGNED",
        "YEAR",
    ),
    string_agg="GROUP_CONCAT",
    drivers=("MySQLdb", "cymysql", "mysql", "pymysql"),
    column_types={
        "bigint": "int",
        "binary": "bytes",
        "bit": "int",
        "blob": "bytes",
        "boolean": "bool",
        "char": "str",
        "date": "date",
        "datetime": "datetime",
        "decimal": "decimal",
        "double": "double",
        "enum": "enum",
        "float": "double",
        "inet4": "str",
        "inet6": "str",
        "int": "int",
        "json": "json",
        "longblob": "bytes",
        "longtext": "str",
        "mediumblob": "bytes",
        "mediumint": "int",
        "mediumtext": "str",
        "set": "str",
        "smallint": "int",
        "text": "str",
        "time": "interval",
        "timestamp": "datetime",
        "tinyblob": "bytes",
        "tinyint": "int",
        "tinytext": "str",
        "uuid": "uuid",
        "varbinary": "bytes",
        "varchar": "str",
        "year": "int",
    },
    types={
        "bytes": "BINARY",
        "date": "DATE",
        "datetime": "DATETIME(6)",
        "decimal": "DECIMAL(65,30)",
        "double": "DOUBLE",
        "integer": "SIGNED",
        "json": "JSON",
        "text": "CHAR",
        "time": "TIME(6)",
        "unsigned": "UNSIGNED",
    },
)
