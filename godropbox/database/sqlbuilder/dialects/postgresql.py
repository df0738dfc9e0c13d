"""PostgreSQL 12 and later."""

from ._dialect import Dialect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["PostgreSQL", "postgresql"]


class PostgreSQL(Dialect):
    """The hooks of PostgreSQL."""

    def interval(self, microseconds: int, exact: bool, binding: bool) -> str:
        """Return ``INTERVAL 'h:m:s.u'``, or in seconds where a colon is not safe."""
        seconds, micros = divmod(abs(microseconds), 1000000)
        sign = "-" if microseconds < 0 else ""
        if binding:
            return f"INTERVAL '{sign}{seconds}.{micros:06} seconds'"
        hours, rest = divmod(seconds, 3600)
        return f"INTERVAL '{sign}{hours}:{rest // 60:02}:{rest % 60:02}.{micros:06}'"

    def months(self, count: int) -> str:
        """Return ``INTERVAL 'n months'``."""
        return f"INTERVAL '{count} months'"

    def describe_table(self, table: str, schema: "str | None") -> str:
        """Return a query of information_schema, and of pg_enum for an enum's values."""
        own = (
            "(SELECT n.nspname FROM pg_catalog.pg_class k "
            "JOIN pg_catalog.pg_namespace n ON n.oid = k.relnamespace "
            f"WHERE k.relname = {table} AND pg_catalog.pg_table_is_visible(k.oid))"
        )
        udt = "CASE WHEN c.data_type = 'ARRAY' THEN SUBSTR(c.udt_name, 2) ELSE c.udt_name END"
        return (
            "SELECT c.column_name AS name, "
            "CASE WHEN c.data_type = 'ARRAY' THEN 'array of ' ELSE '' END || "
            "CASE WHEN e.labels IS NOT NULL THEN 'enum' "
            f"WHEN c.data_type IN ('ARRAY', 'USER-DEFINED') THEN {udt} "
            "ELSE c.data_type END AS type, c.is_nullable AS nullable, "
            "c.numeric_precision AS digits, c.numeric_scale AS scale, NULL AS charset, "
            "c.collation_name AS collation, e.labels AS detail FROM information_schema.columns c "
            "LEFT JOIN LATERAL ("
            "SELECT CAST(JSON_AGG(l.enumlabel ORDER BY l.enumsortorder) AS text) AS labels "
            "FROM pg_catalog.pg_enum l JOIN pg_catalog.pg_type y ON y.oid = l.enumtypid "
            "JOIN pg_catalog.pg_namespace n ON n.oid = y.typnamespace "
            f"WHERE n.nspname = c.udt_schema AND y.typname = {udt}) e ON TRUE "
            f"WHERE c.table_schema = {schema or own} AND c.table_name = {table} "
            "ORDER BY c.ordinal_position"
        )


postgresql: "Final" = PostgreSQL(
    "postgresql",
    title="PostgreSQL",
    literals="postgresql",
    name_limit=63,
    values_casts=True,
    features=(
        "CUBE",
        "DISTINCT ON",
        "EXCEPT",
        "EXCEPT ALL",
        "FOR KEY SHARE",
        "FOR NO KEY UPDATE",
        "FOR UPDATE OF",
        "FULL JOIN",
        "GROUPING SETS",
        "INTERSECT",
        "INTERSECT ALL",
        "DEFAULT VALUES",
        "DEFAULT as a value",
        "FROM in UPDATE",
        "INTERVAL",
        "LATERAL",
        "MATERIALIZED",
        "ON CONFLICT",
        "ORDER BY beside ROLLUP",
        "ROLLUP",
        "ROLLUP beside other terms",
        "VALUES in FROM",
        "WITH ORDINALITY",
        "WITH in UNION",
        "ON CONFLICT ON CONSTRAINT",
        "ON CONFLICT WHERE",
        "ON CONFLICT after a query",
        "ON CONFLICT after DEFAULT VALUES",
        "RETURNING in DELETE",
        "RETURNING in DELETE of joined tables",
        "RETURNING in INSERT",
        "RETURNING in UPDATE",
        "RETURNING in UPDATE of joined tables",
        "USING in DELETE",
        "WHERE in ON CONFLICT DO UPDATE",
        "WITH before INSERT",
        "WITH in DELETE",
        "WITH in UPDATE",
        "alias in DELETE",
        "alias in INSERT",
        "alias in RETURNING",
        "other tables in RETURNING",
        "table.* in RETURNING",
        "writes in WITH",
        "bitwise XOR",
        "months in INTERVAL",
        "||",
        "ILIKE",
        "IS DISTINCT FROM",
        "rows in IN",
        "ANY and ALL",
        "arrays",
        "operators with #",
        "CURRENT_USER",
        "LOCALTIMESTAMP",
        "FILTER",
        "ORDER BY in an aggregate",
        "DISTINCT with several arguments",
        "WITHIN GROUP",
        "GROUPS in a window",
        "EXCLUDE in a window",
        "RANGE with an INTERVAL",
        "NULLS FIRST and LAST",
        "column definitions",
        "column names in FROM",
        "optimizer hints",
        "parentheses in UNION",
        "row locks",
        "table functions",
    ),
    operators={
        "!=": "<>",  # !=-1 is read as the operator !=- before 1
        " <=> ": " IS NOT DISTINCT FROM ",
        " REGEXP ": " ~ ",
        " ^ ": " # ",
    },
    templates={
        "EXTRACT year": "EXTRACT(YEAR FROM {})",
        "EXTRACT quarter": "EXTRACT(QUARTER FROM {})",
        "EXTRACT month": "EXTRACT(MONTH FROM {})",
        "EXTRACT day": "EXTRACT(DAY FROM {})",
        "EXTRACT hour": "EXTRACT(HOUR FROM {})",
        "EXTRACT minute": "EXTRACT(MINUTE FROM {})",
        "EXTRACT week": "EXTRACT(WEEK FROM {})",
        "EXTRACT second": "FLOOR(EXTRACT(SECOND FROM {}))",
        "EXTRACT microsecond": "MOD(CAST(EXTRACT(MICROSECONDS FROM {}) AS BIGINT),1000000)",
        "EXTRACT dow": "EXTRACT(DOW FROM {})",
        "EXTRACT isodow": "EXTRACT(ISODOW FROM {})",
        "EXTRACT doy": "EXTRACT(DOY FROM {})",
        "EXTRACT epoch": "FLOOR(EXTRACT(EPOCH FROM {}))",
        "JSON ->": "{} -> {}",
        "JSON ->>": "{} ->> {}",
        "JSON @>": "{} @> {}",
    },
    levels={"BIT_NOT": 40},  # a=~b is read as the operator =~, so it is always in parentheses
    drivers=("pg8000", "pgdb", "psycopg", "psycopg2"),
    column_types={
        "bigint": "int",
        "bit": "str",
        "bit varying": "str",
        "bool": "bool",
        "boolean": "bool",
        "bpchar": "str",
        "bytea": "bytes",
        "char": "str",
        "character": "str",
        "character varying": "str",
        "citext": "str",
        "date": "date",
        "double precision": "double",
        "enum": "enum",
        "float4": "double",
        "float8": "double",
        "int2": "int",
        "int4": "int",
        "int8": "int",
        "integer": "int",
        "interval": "interval",
        "json": "json",
        "jsonb": "json",
        "name": "str",
        "numeric": "decimal",
        "oid": "int",
        "real": "double",
        "smallint": "int",
        "text": "str",
        "time": "time",
        "time without time zone": "time",
        "timestamp": "datetime",
        "timestamp with time zone": "datetime",
        "timestamp without time zone": "datetime",
        "timestamptz": "datetime",
        "uuid": "uuid",
        "varchar": "str",
        "xml": "str",
    },
    types={
        "boolean": "BOOLEAN",
        "uuid": "UUID",
        "bytes": "BYTEA",
        "date": "DATE",
        "datetime": "TIMESTAMP",
        "decimal": "NUMERIC",
        "double": "DOUBLE PRECISION",
        "integer": "BIGINT",
        "json": "JSONB",
        "text": "TEXT",
        "time": "TIME",
        "timestamptz": "TIMESTAMPTZ",
    },
)
