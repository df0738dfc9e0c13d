"""What a dialect is, the features that dialects may lack, and the error for a missing one.

A dialect is one object in one file: a ``Dialect``, or an instance of a subclass where a hook has to
say more than a table can. Everything in which servers differ is here: statements ask for a feature
by name (``Renderer.need`` and ``can``), look up a table, read an attribute or call a hook, and
nothing else knows which server the text is for. Hooks take plain values and return text.
"""

from ...._kernels._signature import declared
from .._names import MAX_NAME, MAX_PLAIN, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final, Self

__all__ = ["FEATURES", "LITERALS", "Dialect", "UnsupportedFeature", "unsupported"]

# Everything that a dialect may lack: the name that messages and the feature table use, and what it
# is. A name here says what SQL has, not which server has it.
FEATURES: "Final[dict[str, str]]" = {
    # SELECT
    "FULL JOIN": "A join that keeps the unmatched rows of both sides.",
    "LATERAL": "A query in FROM that may use columns of the tables before it.",
    "VALUES in FROM": "A list of rows as a table in FROM.",
    "column names in FROM": "A table in FROM may rename its columns, otherwise a SELECT does.",
    "JSON_TABLE": "A JSON document as a table in FROM.",
    "table functions": "Any function that returns rows as a table in FROM.",
    "WITH ORDINALITY": "A column that counts the rows of a table function.",
    "column definitions": "The names and types of a table function's columns.",
    "MATERIALIZED": "WITH name AS [NOT] MATERIALIZED (...).",
    "INTERSECT": "The rows that two queries have in common.",
    "INTERSECT ALL": "INTERSECT that counts equal rows.",
    "EXCEPT": "The rows of a query that another has not.",
    "EXCEPT ALL": "EXCEPT that counts equal rows.",
    "WITH in UNION": "A member of a set operation may have its own WITH.",
    "DISTINCT ON": "The first row for each value of some expressions.",
    "ROLLUP": "Subtotals in GROUP BY.",
    "ROLLUP beside other terms": "ROLLUP (a, b) as a term, otherwise WITH ROLLUP after all terms.",
    "ORDER BY beside ROLLUP": "A query with ROLLUP may have ORDER BY.",
    "CUBE": "Groups by every subset of some expressions.",
    "GROUPING SETS": "Groups by several lists of expressions.",
    "aliases in HAVING": "HAVING and GROUP BY may use an alias of the select list, otherwise its "
    "expression is written there.",
    "aliases in ORDER BY": "Expressions in ORDER BY may use an alias of the select list, even of "
    "an aggregate, otherwise its expression is written there.",
    "optimizer hints": "SELECT /*+ ... */.",
    "FOR UPDATE OF": "A lock of the rows of some tables only.",
    "FOR NO KEY UPDATE": "A lock that lets others refer to the row.",
    "FOR KEY SHARE": "A lock against a change of the row's key.",
    "row locks beside GROUP BY": "A query with GROUP BY, HAVING or DISTINCT may lock its rows.",
    "row locks in UNION": "A member of a set operation may lock its rows.",
    "row locks of outer joins": "A query may lock rows that an outer join may leave out.",
    "index hints": "USE INDEX, FORCE INDEX and IGNORE INDEX after a table.",
    "row locks": "FOR UPDATE and a shared lock after SELECT.",
    "parentheses in UNION": "A member of a set operation may be in parentheses.",
    # INSERT
    "REPLACE": "REPLACE INTO, which deletes the rows that are in the way.",
    "ON DUPLICATE KEY UPDATE": "An upsert that checks every unique key.",
    "ON CONFLICT": "An upsert that checks one unique key, or with DO NOTHING any.",
    "ON CONFLICT without a target": "ON CONFLICT DO UPDATE that names no unique key.",
    "ON CONFLICT WHERE": "The condition of a partial unique index after ON CONFLICT (columns).",
    "ON CONFLICT ON CONSTRAINT": "ON CONFLICT that names a constraint.",
    "ON CONFLICT after a query": "An upsert of a query's rows, otherwise of SELECT * FROM (query).",
    "ON CONFLICT after DEFAULT VALUES": "An upsert of a row of defaults.",
    "WHERE in ON CONFLICT DO UPDATE": "An upsert that updates some of the rows in its way.",
    "INSERT IGNORE": "A word after INSERT that skips rows which cannot be stored.",
    "DEFAULT VALUES": "INSERT ... DEFAULT VALUES, otherwise written () VALUES ().",
    "DEFAULT as a value": "The word DEFAULT for a value in a row or in SET.",
    "row alias": "INSERT ... VALUES (...) AS alias for values(column), otherwise VALUES(column).",
    "alias in INSERT": "INSERT INTO table AS alias.",
    "WITH before INSERT": "WITH before INSERT, otherwise before the query of its rows.",
    "RETURNING in INSERT": "INSERT ... RETURNING.",
    "RETURNING in REPLACE": "REPLACE ... RETURNING.",
    # UPDATE and DELETE
    "ORDER BY in UPDATE": "UPDATE ... ORDER BY.",
    "LIMIT in UPDATE": "UPDATE ... LIMIT.",
    "ORDER BY in DELETE": "DELETE ... ORDER BY.",
    "LIMIT in DELETE": "DELETE ... LIMIT.",
    "LIMIT in UPDATE of joined tables": "ORDER BY and LIMIT after UPDATE table JOIN other.",
    "LIMIT in DELETE of joined tables": "ORDER BY and LIMIT after DELETE of joined rows.",
    "JOIN in UPDATE": "UPDATE table JOIN other ON ... SET.",
    "LEFT JOIN in UPDATE": "UPDATE table LEFT JOIN other ON ... SET.",
    "FROM in UPDATE": "UPDATE table SET ... FROM others.",
    "SET of joined tables": "An UPDATE that sets columns of several tables.",
    "DELETE from joined tables": "DELETE FROM table USING table JOIN others.",
    "USING in DELETE": "DELETE FROM table USING others, or DELETE of joined rows in other words.",
    "LEFT JOIN in DELETE": "DELETE FROM table USING table LEFT JOIN other ON.",
    "alias in DELETE": "DELETE FROM table AS alias.",
    "WITH in UPDATE": "WITH before UPDATE.",
    "WITH in DELETE": "WITH before DELETE.",
    "writes in WITH": "WITH name AS (INSERT, UPDATE or DELETE ... RETURNING ...).",
    "RETURNING in UPDATE": "UPDATE ... RETURNING.",
    "RETURNING in DELETE": "DELETE ... RETURNING.",
    "RETURNING in UPDATE of joined tables": "UPDATE table JOIN other ... RETURNING.",
    "RETURNING in DELETE of joined tables": "DELETE of joined rows that has RETURNING.",
    "table.* in RETURNING": "RETURNING table.*, otherwise written *.",
    "alias in RETURNING": "RETURNING names the table by its alias, otherwise not at all.",
    "other tables in RETURNING": "RETURNING columns of the tables that FROM or USING adds.",
    # Expressions
    "INTERVAL": "A literal of a duration, to add to a time or subtract from it.",
    "IF()": "The function IF(condition, then, otherwise), otherwise written as CASE.",
    "bitwise XOR": "An operator for exclusive or of bits.",
    "months in INTERVAL": "A literal of a number of months.",
    "||": "An operator that makes one text of two, otherwise the function CONCAT.",
    "IS DISTINCT FROM": "A comparison that takes NULL for a value; otherwise NOT (a <=> b).",
    "ILIKE": "LIKE without regard to case.",
    "rows in IN": "A list of rows after IN, otherwise written VALUES (1,2), (3,4).",
    "ANY and ALL": "A comparison with each value of a query: x = ANY (SELECT ...).",
    "arrays": "ARRAY[1,2], elements and slices, @>, <@, && and ANY (array).",
    "operators with #": "A # outside of quotes, which opens a comment elsewhere.",
    "names in backquotes": "A name in backquotes in raw(), which are no quotes elsewhere.",
    "CURRENT_USER": "The name of the session's user.",
    "LOCALTIMESTAMP": "The current time of the session's zone.",
    # Aggregates and windows
    "FILTER": "FILTER (WHERE ...) after an aggregate; CASE where it is exactly the same.",
    "ORDER BY in an aggregate": "f(x ORDER BY y).",
    "SEPARATOR": "GROUP_CONCAT(x SEPARATOR ','), otherwise the separator is an argument.",
    "DISTINCT with several arguments": "f(DISTINCT x, y).",
    "WITHIN GROUP": "Ordered-set aggregates: f(0.5) WITHIN GROUP (ORDER BY x).",
    "GROUPS in a window": "A frame counted in groups of equal rows.",
    "EXCLUDE in a window": "A frame without the current row, its group or its ties.",
    "RANGE with an INTERVAL": "A frame of rows that are near in time.",
    "NULLS FIRST and LAST": "The place of NULL in ORDER BY, otherwise a term of its own.",
    # Sessions
    "LOCK TABLES": "LOCK TABLES ... READ and WRITE.",
    "UNLOCK TABLES": "UNLOCK TABLES.",
    "GTID_NEXT": "SET GTID_NEXT, the identity of the next transaction.",
}

# The feature that an operator stands for, for the message if a dialect's table says it has none.
OPERATORS: "Final[dict[str, str]]" = {" ^ ": "bitwise XOR"}

# How literals are written, as the numbers of the ``sqltext`` kernel: with backslash escapes, with
# only the quote doubled, and the latter with PostgreSQL's type names after moments and bytes.
LITERALS: "Final[dict[str, int]]" = {"mysql": 0, "sqlite": 2, "postgresql": 3}


class UnsupportedFeature(ValueError):  # noqa: N818  # it names what is missing, like KeyError
    """The statement uses a feature that the dialect lacks.

    `feature` is the feature's name, such as ``FULL JOIN``, and `dialect` that of the dialect.
    """

    feature: str = ""
    dialect: str = ""


def unsupported(dialect: "Dialect", feature: str, message: str = "") -> UnsupportedFeature:
    """Return the error for a feature that a dialect lacks; `message` says more than its name."""
    error = UnsupportedFeature(message or f"{dialect.title} has no {feature}")
    error.feature = feature
    error.dialect = dialect.name
    return error


class Dialect:
    """One database's SQL: what it has, and how it writes what others write differently.

    `name` is the lower-case name for ``dialect=`` and `title` the one for messages. `quote`, a
    backquote or a double quote, encloses names. `literals` is ``mysql``, ``sqlite`` or
    ``postgresql``: whose literals the database reads. `features` are names of ``FEATURES``.
    `operators` maps a symbol of ours to the dialect's, or to None if it has none; a symbol that
    is not in there is written as it is. `types` maps a type name of ``cast`` to the dialect's.

    `templates` maps the names of ``_forms`` and ``_documents``, such as ``EXTRACT year``, to text
    with ``{}`` for each operand; `levels` maps an operator to its precedence where that is not the
    usual one of ``_grammar``. `cast_words` are the first words of the types that CAST accepts, if
    they are few. `string_agg` is the name of the aggregate that joins texts.

    `drivers` are the top-level modules of its DB-API drivers. `column_types` maps a type of the
    database, by its lower-case name, to a kind of column in ``_schema``.

    `name_limit` is the maximum length of a name in bytes of UTF-8, at least 63. `like_escape` says
    that LIKE has no escape character before ESCAPE names one; `decimal_literals` that a float
    written in digits is read as a DECIMAL; `offset_first` that LIMIT is written
    ``LIMIT offset, count``. `no_limit` is the LIMIT that an OFFSET without one needs, if any.
    `qualified_targets` says that INSERT and SET write columns with their table. `ignore_word` is
    what follows INSERT to skip rows, if anything. `dual` is the FROM of a SELECT with WHERE that
    reads no table, if it needs one. `values_row` is the word before each row of VALUES in FROM;
    `values_casts` says that the first row needs casts to have types. `declared_types` maps a type
    name of ``cast`` to the type of a column in a statement, where that is another than for CAST.

    Raise ``ValueError`` for an unknown feature, quote or kind of literals.
    """

    __slots__ = (
        "cast_words",
        "column_types",
        "decimal_literals",
        "declared_types",
        "drivers",
        "dual",
        "features",
        "ignore_word",
        "levels",
        "like_escape",
        "name",
        "name_limit",
        "no_limit",
        "offset_first",
        "operators",
        "qualified_targets",
        "quote",
        "string_agg",
        "style",
        "templates",
        "title",
        "types",
        "values_casts",
        "values_row",
    )
    __signature__ = declared

    name: str
    title: str
    quote: str
    name_limit: int
    style: int  # of literals, see LITERALS
    features: "frozenset[str]"
    operators: "dict[str, str | None]"
    types: "dict[str, str]"
    templates: "dict[str, str]"
    levels: "dict[str, int]"
    cast_words: "frozenset[str] | None"
    string_agg: str
    column_types: "dict[str, str]"
    drivers: "tuple[str, ...]"
    like_escape: bool
    decimal_literals: bool
    offset_first: bool
    no_limit: str
    qualified_targets: bool
    ignore_word: str
    dual: str
    values_row: str
    values_casts: bool
    declared_types: "dict[str, str]"

    def __init__(
        self,
        name: str,
        *,
        title: str,
        literals: str,
        features: "Iterable[str]",
        types: "Mapping[str, str]",
        operators: "Mapping[str, str | None] | None" = None,
        templates: "Mapping[str, str] | None" = None,
        levels: "Mapping[str, int] | None" = None,
        cast_words: "Iterable[str] | None" = None,
        string_agg: str = "STRING_AGG",
        column_types: "Mapping[str, str] | None" = None,
        drivers: "Iterable[str]" = (),
        quote: str = '"',
        name_limit: int = 4 * MAX_NAME,
        like_escape: bool = False,
        decimal_literals: bool = False,
        offset_first: bool = False,
        no_limit: str = "",
        qualified_targets: bool = False,
        ignore_word: str = "",
        dual: str = "",
        values_row: str = "",
        values_casts: bool = False,
        declared_types: "Mapping[str, str] | None" = None,
    ) -> None:
        if literals not in LITERALS:
            raise ValueError(
                f"literals must be one of {', '.join(LITERALS)}, got {shown(literals)}"
            )
        if quote not in ('"', "`"):
            raise ValueError(f"quote must be a double quote or a backquote, got {shown(quote)}")
        if name_limit < MAX_PLAIN:
            raise ValueError(f"name_limit must be at least {MAX_PLAIN}, got {name_limit}")
        known = frozenset(features)
        unknown = known.difference(FEATURES)
        if unknown:
            raise ValueError(
                f"features must be names of FEATURES, got {', '.join(sorted(unknown))}"
            )
        self.name = name
        self.title = title
        self.quote = quote
        self.name_limit = name_limit
        self.style = LITERALS[literals]
        self.features = known
        self.operators = dict(operators or {})
        self.types = dict(types)
        self.templates = dict(templates or {})
        self.levels = dict(levels or {})
        self.cast_words = None if cast_words is None else frozenset(cast_words)
        self.string_agg = string_agg
        self.column_types = dict(column_types or {})
        self.drivers = tuple(drivers)
        self.like_escape = like_escape
        self.decimal_literals = decimal_literals
        self.offset_first = offset_first
        self.no_limit = no_limit
        self.qualified_targets = qualified_targets
        self.ignore_word = ignore_word
        self.dual = dual
        self.values_row = values_row
        self.values_casts = values_casts
        self.declared_types = dict(declared_types or {})

    def check_name(self, name: str) -> None:
        """Raise ``UnsupportedFeature`` for a name that the database refuses or cuts.

        Called for every name that is not an ASCII word of at most 63 characters. The default is a
        limit in bytes of UTF-8.
        """
        size = len(name.encode())
        if size > self.name_limit:
            raise unsupported(
                self,
                f"names of more than {self.name_limit} bytes",
                f"a name must have at most {self.name_limit} bytes in {self.title}, "
                f"got {size}: {shown(name)}",
            )

    def interval(self, microseconds: int, exact: bool, binding: bool) -> str:
        """Return the literal of a duration; a driver may read a colon in it if `binding`."""
        raise unsupported(self, "INTERVAL")

    def months(self, count: int) -> str:
        """Return the literal of a number of months."""
        raise unsupported(self, "months in INTERVAL")

    def json_path(self, keys: "tuple[str | int, ...]") -> "str | None":
        """Return the path to what a document has under `keys`, or None to go key by key."""
        return None

    def describe_table(self, table: str, schema: "str | None") -> str:
        """Return a query of the columns of a table, for ``Table.from_information_schema``.

        `table` and `schema` are literals; without a schema, it is the session's own. The columns of
        the query are name, type, nullable (``YES`` or not), precision, scale, character set,
        collation and detail: the values of an enum as a JSON list or as MySQL writes them.
        """
        raise unsupported(self, "description of tables")

    def row_lock(self, strength: str, of: str, wait: str) -> str:
        """Return the clause that locks rows.

        `strength` is ``UPDATE``, ``SHARE``, ``NO KEY UPDATE`` or ``KEY SHARE``; `of` is empty or
        names tables; `wait` is empty, `` NOWAIT`` or `` SKIP LOCKED``.
        """
        return f" FOR {strength}{of}{wait}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def __reduce__(self) -> str:
        return self.name  # the object of that name in the module of its class

    def __copy__(self) -> "Self":
        return self

    def __deepcopy__(self, memo: object) -> "Self":
        return self
