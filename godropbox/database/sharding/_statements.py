"""Statements as a router takes them: rendered for a shard's database, reads told from writes."""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, NamedTuple, TypeVar, overload

from ..._kernels._args import shown
from .. import sqlbuilder as sb
from ._engines import Engine, is_rollback_to, leading

__all__ = [
    "Filled",
    "Rendered",
    "Result",
    "Runnable",
    "Sharded",
    "blanked",
    "check_reads",
    "checked_query",
    "kind_of",
    "prepare",
    "render",
]

_T = TypeVar("_T")
_LOCKS: Final = re.compile(r" (FOR (NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)|LOCK IN SHARE MODE)\b")
_QUOTED: Final = re.compile(r"`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\"|'(?:[^'\\]|''|\\.)*'")
_new: Final = tuple.__new__
# A comment of MySQL that it executes (``/*!``) is none.
_WORD: Final = re.compile(
    r"(?:[\s(;]|--[^\n]*|#[^\n]*|/\*(?!M?!).*?\*/)*+[^A-Za-z]*([A-Za-z]+)",
    re.DOTALL,
)
_READS: Final = frozenset(
    ["DESC", "DESCRIBE", "EXPLAIN", "PRAGMA", "SELECT", "SHOW", "TABLE", "VALUES", "WITH"]
)
# INSERT and REPLACE are functions, too; MySQL deletes from several tables: DELETE a, b FROM.
_WRITES: Final = re.compile(
    r"\b(?:(?:INSERT|REPLACE)\b(?!\s*\()|DELETE\s[^;()]*?\bFROM\b|MERGE\s+INTO\b"
    r"|UPDATE\s[^;]*?\sSET\b)",
    re.IGNORECASE,
)
# What EXPLAIN ANALYZE runs besides.
_RUNS: Final = re.compile(
    r"\bANALYZE\b.*?\b(?:CREATE|EXECUTE|REFRESH)\b", re.IGNORECASE | re.DOTALL
)
# SELECT ... INTO a file, a variable, or PostgreSQL's new table: the word has no other use.
_INTO: Final = re.compile(r"\bINTO\b", re.IGNORECASE)
_EXPLAINS: Final = frozenset(["DESC", "DESCRIBE", "EXPLAIN"])
_QUERIES: Final = _EXPLAINS | {"SELECT", "TABLE", "VALUES", "WITH"}
_CHANGE_ROWS: Final = frozenset(
    ["ALTER", "CREATE", "DELETE", "DROP", "INSERT", "MERGE", "REPLACE", "TRUNCATE", "UPDATE"]
)
_WORDS: Final = re.compile(r"([A-Za-z]+)(?:\s+([A-Za-z]+))?")
# First words of text that changes the connection, or begins what only it can end.
_CHANGES: Final = frozenset(
    ["ATTACH", "BEGIN", "DEALLOCATE", "DETACH", "DISCARD", "HANDLER", "LISTEN", "LOCK", "PRAGMA"]
) | {"PREPARE", "RESET", "SET", "START", "UNLISTEN", "UNLOCK", "USE", "XA"}
_ENDS: Final = frozenset(["ABORT", "COMMIT", "END", "ROLLBACK"])
# Pragmas of SQLite that only tell.
_TELLS: Final = re.compile(
    r"PRAGMA\s+(?:\w+\.)?(?:table_x?info|table_list|index_list|index_x?info|foreign_key_list"
    r"|foreign_key_check|integrity_check|quick_check|database_list|page_count)\b(?!\s*=)",
    re.IGNORECASE,
)
# What belongs to a connection, which a router lends to somebody else at once.
_OF_CONNECTIONS: Final = (sb.LockTables, sb.UnlockTables, sb.GtidNext)


class Result(NamedTuple):
    """What a statement did: its rows, if it yields any, how many it changed, and where it ran.

    `rowcount` and `lastrowid` are the driver's: -1 and None where it does not know.
    """

    rows: list[Any]
    rowcount: int
    lastrowid: Any
    shard: int
    host: str


class Rendered(NamedTuple):
    """A statement for one shard: text and parameters, and how it is to be run."""

    text: str
    parameters: Any
    is_read: bool
    is_built: bool  # by the builder, so that what it does to the connection is known
    read: Callable[[Iterable[Any]], Iterable[Any]] | None  # makes records of rows


class Sharded(Generic[_T]):
    """A statement that is rendered once for each database, made by ``prepare``.

    Call it with the values of its slots: ``router.fetch(by_owner(owner=7), 7)``. Any thread can use
    it.
    """

    __slots__ = ("_is_query", "_prepared", "_read", "_statement")

    _is_query: bool
    _prepared: dict[tuple[str, Any, Any], Any]
    _read: Callable[[Iterable[Any]], Iterable[Any]] | None
    _statement: sb.Statement

    def __init__(self, *_: object) -> None:
        raise TypeError("a Sharded is made by prepare()")

    def __call__(self, **values: object) -> "Filled[_T]":
        """Return the statement with `values`, which are named after its slots."""
        return _filled(self, values)

    @property
    def statement(self) -> sb.Statement:
        """The statement that was prepared."""
        return self._statement

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of its slots in alphabetical order."""
        return self._statement.prepare().slots

    def _for(self, database: str, engine: Engine) -> Any:
        """Return the text for a database and whether it only reads."""
        key = (database, engine.paramstyle, engine.dialect)
        found = self._prepared.get(key)
        if found is None:
            prepared = self._statement.prepare(
                database, paramstyle=engine.paramstyle, dialect=engine.dialect
            )
            # Whether rows are locked shows in the text, whatever the slots' values are.
            text = repr(prepared).removeprefix("<Prepared ")
            is_read = self._is_query and not _locks(text, engine) and not _writes(text, engine)
            found = self._prepared[key] = (prepared.bind, is_read)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return prepare, (self._statement, self._read)  # texts are made again

    def __repr__(self) -> str:
        return f"<Sharded {self._statement}>"


class Filled(Generic[_T]):
    """A prepared statement with the values of its slots, which a router runs."""

    __slots__ = ("_of", "_values")

    _of: Sharded[_T]
    _values: dict[str, object]

    def __init__(self, *_: object) -> None:
        raise TypeError("a Filled is made by calling what prepare() returned")

    def __reduce__(self) -> tuple[Any, ...]:
        return _filled, (self._of, self._values)

    def __repr__(self) -> str:
        return f"<Filled {self._of._statement}>"  # without the values


def _filled(of: Sharded[_T], values: dict[str, object]) -> Filled[_T]:
    made: Filled[_T] = object.__new__(Filled)
    made._of = of
    made._values = values
    return made


Runnable = sb.Statement | Filled[Any] | Callable[[str], "str | tuple[str, Any]"]


@overload
def prepare(statement: sb.Statement, records: None = None) -> Sharded[Any]: ...
@overload
def prepare(statement: sb.Statement, records: "sb.Records[_T]") -> Sharded[_T]: ...
def prepare(statement: sb.Statement, records: Any = None) -> Sharded[Any]:
    """Return a statement whose text is made once for each shard, to be filled many times.

    Mark values with ``sqlbuilder.slot``. `records` reads the rows, as ``query.records(Class)``
    makes it; without it rows are the driver's tuples.
    """
    _check_statement(statement)
    if records is not None and not callable(records):
        raise TypeError(f"records must be made by query.records(), got {shown(records)}")
    made: Sharded[Any] = object.__new__(Sharded)
    made._statement = statement
    made._is_query = isinstance(statement, sb.SelectBase)
    made._prepared = {}
    made._read = records
    return made


def _check_statement(statement: object) -> None:
    if isinstance(statement, _OF_CONNECTIONS):
        raise TypeError(
            f"statement must not belong to a connection, got {type(statement).__name__}: a router "
            "lends connections to others"
        )
    if not isinstance(statement, sb.Statement):
        raise TypeError(
            "statement must be of sqlbuilder, filled from prepare(), or a function of a database, "
            f"got {shown(statement)}"
        )


def render(
    statement: Any,
    database: str,
    engine: Engine,
    records: Any = None,
    read: bool | None = None,
    *,
    in_transaction: bool = False,
) -> Rendered:
    """Return a statement's text for a shard's database.

    A function of a database returns text, or text and parameters; it counts as a write unless
    `read` says otherwise.
    """
    if type(statement) is Filled:
        of = statement._of
        bind, is_read = of._for(database, engine)
        text, parameters = bind(**statement._values)
        # As the class does, without its function in between.
        return _new(Rendered, (text, parameters, is_read, True, records or of._read))
    if isinstance(statement, sb.SelectBase):
        text, parameters = statement.bind(database, engine.paramstyle, dialect=engine.dialect)
        is_read = not _locks(text, engine) and not _writes(text, engine)
        return _new(Rendered, (text, parameters, is_read, True, records))
    if isinstance(statement, sb.Statement):
        _check_statement(statement)
        text, parameters = statement.bind(database, engine.paramstyle, dialect=engine.dialect)
        return Rendered(text, parameters, False, True, records)
    if isinstance(statement, Sharded):
        raise TypeError("statement must be filled: call it with its slots' values")
    if not callable(statement) or isinstance(statement, type):
        _check_statement(statement)
    made = statement(database)
    if isinstance(made, (sb.Statement, Filled)):
        return render(made, database, engine, records, read, in_transaction=in_transaction)
    text, parameters = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(text, str):
        raise TypeError(
            f"a function of a database must return text, or text and parameters, got {shown(made)}"
        )
    _check_text(text, engine, in_transaction=in_transaction)
    if read:
        word = kind_of(text)
        if word in _CHANGE_ROWS or (word in _READS and not _is_reading(text, engine)):
            raise ValueError(
                f"text that counts as a read must not write, got {word}: leave read out"
            )
    return Rendered(text, parameters, bool(read), False, records)


def _check_text(text: str, engine: Engine, *, in_transaction: bool) -> None:
    """Refuse text whose first word changes the connection, for whoever gets it next."""
    text = leading(text)
    matched = _WORDS.match(text)
    if matched is None:
        return
    first, second = matched[1].upper(), (matched[2] or "").upper()
    if in_transaction and first in _ENDS and not is_rollback_to(text):
        raise ValueError(
            f"text must not end the transaction, got {first}: leave the block, or raise in it"
        )
    if in_transaction and engine.commits(text):
        raise ValueError(
            f"text must not commit the transaction, as {first} does in {engine.name}: run it "
            "outside"
        )
    if (
        first not in _CHANGES
        or (first, second) == ("SET", "STATEMENT")  # MariaDB's, for one statement
        or (in_transaction and engine.keeps_in_transaction(first, second))
        or (first == "PRAGMA" and _TELLS.match(text))
    ):
        return
    raise ValueError(
        f"text must not change the connection, which a router lends to others, got {first}: "
        "do it in connect, or with router.transaction()"
    )


def blanked(text: str) -> str:
    """Return a statement's text with quoted names and literals emptied."""
    return _QUOTED.sub("''", text)


def _locks(text: str, engine: Engine) -> bool:
    """Return whether a query locks rows, so that it belongs to the master."""
    if " FOR " not in text and " LOCK IN " not in text:
        return False
    return _LOCKS.search(engine.said(text)) is not None


def check_reads(job: Any, database: str, engine: Engine, how: str) -> Any:
    """Return a shard's statement, if it only reads; a function of a database is called for it.

    Raise ``TypeError`` for a write.
    """
    if callable(job) and not isinstance(job, (sb.Statement, Filled, Sharded, type)):
        made = job(database)
        if not isinstance(made, (sb.Statement, Filled)):
            text = made[0] if isinstance(made, tuple) and made else made
            if isinstance(text, str) and not _is_reading(text, engine):
                raise TypeError(f"{how} must read, got {kind_of(text)}: use each()")
            # A layout that is swapped meanwhile may have another database for the shard.
            return lambda asked: made if asked == database else job(asked)
        job = made
    query = job._of._statement if isinstance(job, Filled) else job
    if isinstance(query, sb.Statement):
        _check_statement(query)
        if not isinstance(query, sb.SelectBase):
            raise TypeError(f"{how} must read, got {type(query).__name__}: use each()")
    return job


def checked_query(query: Any, engine: Engine, how: str) -> str:
    """Return a query's text; raise ``TypeError`` if its WITH writes."""
    text = repr(query.prepare("d", paramstyle=engine.paramstyle, dialect=engine.dialect))
    if _writes(text.removeprefix("<Prepared "), engine):
        raise TypeError(f"{how} must read, got a WITH that writes: use each()")
    return text


def _writes(text: str, engine: Engine) -> bool:
    """Return whether a query's text writes in its WITH."""
    return text.startswith("WITH ") and _WRITES.search(engine.said(text)) is not None


def _is_reading(text: str, engine: Engine) -> bool:
    """Return whether a caller's text is of a kind that only reads, each statement of it."""
    statements = [each for each in engine.said(text).split(";") if each.strip()]
    return bool(statements) and all(_is_read(each) for each in statements)


def _is_read(said: str) -> bool:
    """Return whether a statement, without its quotes and comments, is of a kind that only reads."""
    word = kind_of(said)
    if word not in _READS or (word in _QUERIES and _INTO.search(said)):
        return False
    if word in _EXPLAINS and _RUNS.search(said):
        return False
    return (word not in _EXPLAINS and word != "WITH") or _WRITES.search(said) is None


def kind_of(text: str) -> str:
    """Return the first word of a statement, which errors name."""
    matched = _WORD.match(text)
    return "statement" if matched is None else matched[1].upper()
