"""MariaDB 10.6 and later, by its differences from MySQL."""

from ._dialect import unsupported
from .mysql import MySQL, mysql

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["MariaDB", "mariadb"]


class MariaDB(MySQL):
    """The hooks of MariaDB."""

    def json_path(self, keys: "tuple[str | int, ...]") -> str:
        """Return a path; none finds a key that starts with a minus (10.11, 11.8)."""
        for key in keys:
            if isinstance(key, str) and key.startswith("-"):
                raise unsupported(self, "JSON keys that start with a minus")
        return MySQL.json_path(self, keys)

    def row_lock(self, strength: str, of: str, wait: str) -> str:
        """Return the clause that locks rows; there is no FOR SHARE."""
        words = "LOCK IN SHARE MODE" if strength == "SHARE" else f"FOR {strength}"
        return f" {words}{of}{wait}"


mariadb: "Final" = MariaDB(
    "mariadb",
    title="MariaDB",
    quote=mysql.quote,
    literals="mysql",
    decimal_literals=True,
    offset_first=True,
    no_limit=mysql.no_limit,
    qualified_targets=True,
    ignore_word=mysql.ignore_word,
    dual=mysql.dual,
    declared_types=mysql.declared_types,
    features=(
        mysql.features
        - {
            "FOR UPDATE OF",
            "GTID_NEXT",
            "LATERAL",
            "ORDER BY beside ROLLUP",
            "WITH in DELETE",
            "WITH in UNION",
            "WITH in UPDATE",
            "alias in DELETE",
            "aliases in ORDER BY",
            "column names in FROM",
            "optimizer hints",
            "row alias",
            "RANGE with an INTERVAL",
        }
    )
    | {
        "LIMIT in UPDATE of joined tables",
        "RETURNING in DELETE",
        "RETURNING in INSERT",
        "RETURNING in REPLACE",
        "table.* in RETURNING",
    },
    column_types=mysql.column_types,
    drivers=("mariadb",),
    templates={
        **mysql.templates,
        # Not JSON_EQUALS, which WHERE takes for true if the document is NULL (10.11, 11.8).
        "JSON =": "JSON_NORMALIZE({})=JSON_NORMALIZE({})",
        # A part of a document is text here, and JSON's null is the text null.
        "JSON ->>": "JSON_UNQUOTE(NULLIF(CONCAT(JSON_EXTRACT({},{})),'null'))",
    },
    cast_words=(mysql.cast_words or frozenset()) - {"JSON", "REAL", "YEAR"}
    | {"INET6", "INT", "INTEGER", "UUID", "VARCHAR"},
    string_agg=mysql.string_agg,
    types={name: kind for name, kind in mysql.types.items() if name != "json"} | {"uuid": "UUID"},
)
