"""What differs between databases: words, what their errors mean, deadlines, replication.

An ``Engine`` knows a kind of database; the functions that connect are the user's. Nothing here does
I/O, but for ``abort``, which is called while another thread waits for the connection.

Sources: MySQL 8.4's and MariaDB's manuals (error messages, GTIDs, ``max_execution_time``,
``max_statement_time``); PostgreSQL's appendix "Error Codes" and "Recovery Control Functions".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from types import MappingProxyType
from typing import Any, Final

__all__ = ["ENGINES", "Engine", "Heartbeat", "engine_of", "is_rollback_to", "leading"]

_INT_MAX: Final = 2**31 - 1  # of the servers' milliseconds
# Errors of MySQL's clients: gone away, connection refused, lost, not sent whole.
_MYSQL_LOST: Final = frozenset(
    [0, 1053, 1077, 1152, 1158, 1159, 1160, 1161, 1927, *range(2000, 2061), 4031]
)
_MYSQL_READ_ONLY: Final = frozenset([1290, 1792, 1836, 3100])
# ER_QUERY_INTERRUPTED is what MySQL and MariaDB also say where another connection kills a query.
_MYSQL_LATE: Final = frozenset([1969, 3024])
# InnoDB rolls the whole transaction back: a changed row in MariaDB, a full lock table, a deadlock,
# and of XA. A lock that was waited for in vain (1205) ends it if innodb_rollback_on_timeout is on.
_MYSQL_ENDED: Final = frozenset([1020, 1205, 1206, 1213, 1613, 1614])
_OF_TRANSACTIONS: Final = frozenset(["CONSTRAINTS", "LOCAL", "TRANSACTION"])
# What MySQL runs inside of /*! */ is no comment.
_BEFORE: Final = re.compile(r"(?:[\s(;]+|--[^\n]*|#[^\n]*|/\*M?!\d*|/\*.*?\*/)*", re.DOTALL)
_ROLLBACK_TO: Final = re.compile(r"ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b", re.IGNORECASE)
_GTID: Final = re.compile(r"(\d+)-\d+-(\d+)")
# Comments, and what is in quotes. In MySQL a backslash escapes, "#" begins a comment as "--" does
# only before a blank, and what it executes (``/*!``) is no comment; in PostgreSQL comments nest, E'
# escapes, and dollars quote.
_SAID: Final = re.compile(
    r"`[^`]*`|\"[^\"]*\"|'[^']*'|--[^\n]*|/\*(?!M?!).*?(?:\*/|\Z)",
    re.DOTALL,
)
_MYSQL_SAID: Final = re.compile(
    r"`[^`]*`|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|(?:--(?=\s|\Z)|\#)[^\n]*|/\*(?!M?!).*?\*/",
    re.DOTALL,
)
_NESTED: Final = r"/\*(?:[^*/]|\*(?!/)|/(?!\*)|{})*\*/"
_POSTGRESQL_SAID: Final = re.compile(
    r"\"[^\"]*\"|(?<![A-Za-z0-9_$])[eE]'(?:[^'\\]|\\.)*'|'[^']*'"
    r"|(?<![A-Za-z0-9_$])\$([A-Za-z_][A-Za-z0-9_]*)?\$.*?\$(?(1)\1)\$|--[^\n]*|"
    + _NESTED.format(_NESTED.format(_NESTED.format(r"(?!)"))),
    re.DOTALL,
)
# MySQL's and MariaDB's "statements that cause an implicit commit", but those that no text may be.
_COMMITS: Final = re.compile(
    r"(?!(?:CREATE|DROP)\s+(?:OR\s+REPLACE\s+)?TEMPORARY\b)"
    r"(?:ALTER|CACHE|CHANGE|CHECK|CREATE|DROP|FLUSH|GRANT|INSTALL|LOAD\s+INDEX|OPTIMIZE|RENAME"
    r"|REPAIR|REVOKE|SHUTDOWN|STOP|TRUNCATE|UNINSTALL"
    r"|ANALYZE\s+(?:(?:LOCAL|NO_WRITE_TO_BINLOG)\s+)?TABLE)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A table by which to measure how far replicas have come, where there are no GTIDs.

    It has one row, whose int column `column` the monitor adds 1 to, on the master. `table` is the
    table's name, with its database if need be, as it is in SQL.
    """

    table: str
    column: str = "beat"

    @property
    def advance(self) -> str:
        """The statement that adds 1."""
        return f"UPDATE {self.table} SET {self.column} = {self.column} + 1"

    @property
    def read(self) -> str:
        """The statement that reads it."""
        return f"SELECT {self.column} FROM {self.table}"


@dataclass(frozen=True, slots=True)
class Engine:
    """A kind of database. ``ENGINES`` has those that are known, by name.

    `dialect`, a ``sqlbuilder.Dialect`` or its name, and `paramstyle` are how statements are
    rendered.
    """

    name: str
    dialect: Any
    paramstyle: Any
    begin: str = "BEGIN"
    begin_read: str = "BEGIN"
    position: str = ""  # what the master has committed
    applied: str = ""  # what a replica has applied
    gone: frozenset[Any] = frozenset()
    read_only: frozenset[Any] = frozenset()
    late: frozenset[Any] = frozenset()

    # Errors

    def code(self, error: BaseException) -> int | str | None:
        """Return the database's number or name of an error, or None if it has none."""
        for name in ("sqlstate", "sqlite_errorname", "errno"):
            found = getattr(error, name, None)
            if isinstance(found, (int, str)) and not isinstance(found, bool):
                return found
        first = error.args[0] if error.args else None
        return first if type(first) is int else None

    def is_lost(self, error: BaseException) -> bool:
        """Return whether the connection is gone, rather than the statement refused."""
        if isinstance(error, (OSError, EOFError)):
            return True
        code = self.code(error)
        if code is None:
            return type(error).__name__ in _LOST_NAMES
        return bool(code in self.gone)

    def is_conflict(self, error: BaseException) -> bool:
        """Return whether a constraint refused the statement."""
        return any(kind.__name__ == "IntegrityError" for kind in type(error).__mro__) or (
            isinstance(getattr(error, "sqlstate", None), str)
            and str(getattr(error, "sqlstate", ""))[:2] == "23"
        )

    def is_read_only(self, error: BaseException) -> bool:
        """Return whether the host takes no writes at all."""
        # 1290 is said of other options, too.
        code = self.code(error)
        return code in self.read_only and (code != 1290 or "read" in str(error))

    def is_answer(self, error: BaseException) -> bool:
        """Return whether the database answered and goes on: the connection may be used again."""
        return any(kind.__name__ in _ANSWERS for kind in type(error).__mro__)

    def ends_transaction(self, error: BaseException, connection: Any) -> bool:
        """Return whether the database rolled the transaction back, or will, for this error."""
        return getattr(connection, "in_transaction", None) is False

    def resumes(self, text: str) -> bool:
        """Return whether a transaction that an error has ended goes on after this statement."""
        return False

    def keeps_in_transaction(self, first: str, second: str) -> bool:
        """Return whether text with these first words holds for the transaction alone."""
        return False

    def said(self, text: str) -> str:
        """Return a statement's text without its comments and without what is in quotes."""
        return _SAID.sub(" ", text)

    def commits(self, text: str) -> bool:
        """Return whether text, from its first word on, commits the transaction that it is in."""
        return False

    # Deadlines

    def limited(self, text: str, seconds: float, is_read: bool) -> str:
        """Return the statement's text with a limit on its time that the server keeps itself."""
        return text

    def session_limit(self, seconds: float | None) -> str | None:
        """Return the statement that limits the time of those that follow, if that is the way."""
        return None

    def abort(self, connection: Any) -> None:
        """Break off what another thread does on a connection, if the driver can; never raise."""
        _abort(connection)

    def sorts_null_last(self) -> bool:
        """Return whether NULL is above all values, rather than below."""
        return False

    def number_of(self, connection: Any) -> int | None:
        """Return the number by which the server knows a connection, even after it was broken."""
        return None

    def uptime(self) -> str | None:
        """Return the query of for how many seconds the server has run: the last value of a row.

        It is asked where numbers begin again with the server. None if ``ending`` looks for itself
        whether the connection is as old as it should be.
        """
        return None

    def ending(self, number: int, age: float) -> str:
        """Return the statement that has the server end the connection of that number.

        `age` is for how many seconds it has been there at least.
        """
        raise NotImplementedError

    def lasting(self, number: int, age: float) -> str:
        """Return the query of whether that connection is there still: one row with 0 or 1."""
        raise NotImplementedError

    # Replicas

    def covers(self, applied: Any, position: Any) -> bool:
        """Return whether a replica that has applied `applied` has all of `position`."""
        return False

    def waiting(self, position: Any, seconds: float) -> str | None:
        """Return the query that waits until a replica has `position`, if there is one.

        It yields one row, whose first value is 0 or 1 as ``has_waited`` reads it.
        """
        return None

    def has_waited(self, value: Any) -> bool:
        """Return whether what ``waiting`` yielded means that the replica has the position."""
        return bool(value == 0)


_ANSWERS: Final = frozenset(
    ["IntegrityError", "ProgrammingError", "DataError", "NotSupportedError"]
)
# Of drivers whose errors have no code where the connection is gone: psycopg's, asyncpg's.
_LOST_NAMES: Final = frozenset(
    ["ConnectionDoesNotExistError", "InterfaceError", "InternalClientError", "OperationalError"]
)


class _MySQLLike(Engine):
    __slots__ = ()

    def code(self, error: BaseException) -> int | str | None:
        # PyMySQL 1.2 has an SQLSTATE beside the number, which says far less: HY000 for most.
        first = error.args[0] if error.args else None
        return first if type(first) is int else Engine.code(self, error)

    def ends_transaction(self, error: BaseException, connection: Any) -> bool:
        return self.code(error) in _MYSQL_ENDED or Engine.ends_transaction(self, error, connection)

    def said(self, text: str) -> str:
        return _MYSQL_SAID.sub(" ", text)

    def commits(self, text: str) -> bool:
        return _COMMITS.match(text) is not None

    def number_of(self, connection: Any) -> int | None:
        found = getattr(connection, "thread_id", None)
        return None if found is None else int(found())

    def uptime(self) -> str | None:
        return "SHOW GLOBAL STATUS LIKE 'Uptime'"

    def ending(self, number: int, age: float) -> str:
        return f"KILL {number}"

    def lasting(self, number: int, age: float) -> str:
        return f"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {number}"


class _MySQL(_MySQLLike):
    __slots__ = ()

    def limited(self, text: str, seconds: float, is_read: bool) -> str:
        # The hint is for SELECT alone, and the first word of a query may be another.
        if not is_read or not text.startswith("SELECT "):
            return text
        limit = f"SELECT /*+ MAX_EXECUTION_TIME({_milliseconds(seconds)}) "
        if text.startswith("SELECT /*+ "):
            return limit + text[len("SELECT /*+ ") :]
        return limit + "*/ " + text[len("SELECT ") :]

    def covers(self, applied: Any, position: Any) -> bool:
        there, wanted = _gtid_ranges(applied), _gtid_ranges(position)
        return bool(wanted) and all(
            any(low <= first and last <= high for low, high in there.get(source, ()))
            for source, ranges in wanted.items()
            for first, last in ranges
        )

    def waiting(self, position: Any, seconds: float) -> str | None:
        _gtid_ranges(position)  # a token from outside must not become SQL
        return f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{position}', {max(seconds, 0.001):.3f})"


class _MariaDB(_MySQLLike):
    __slots__ = ()

    def limited(self, text: str, seconds: float, is_read: bool) -> str:
        limit = min(max(seconds, 0.001), 31_536_000.0)
        return f"SET STATEMENT max_statement_time={limit:.3f} FOR {text}"

    def covers(self, applied: Any, position: Any) -> bool:
        there, wanted = _domains(applied), _domains(position)
        return bool(wanted) and all(there.get(domain, -1) >= n for domain, n in wanted.items())

    def waiting(self, position: Any, seconds: float) -> str | None:
        _domains(position)
        return f"SELECT MASTER_GTID_WAIT('{position}', {max(seconds, 0.001):.3f})"


class _PostgreSQL(Engine):
    __slots__ = ()

    def session_limit(self, seconds: float | None) -> str | None:
        # Rounded up to two digits, or what is left of a timeout would take a SET for each call.
        limit = 0 if seconds is None else _milliseconds(seconds)
        unit = 10 ** max(0, len(str(limit)) - 2)
        return f"SET statement_timeout = {min(-(-limit // unit) * unit, _INT_MAX)}"

    def ends_transaction(self, error: BaseException, connection: Any) -> bool:
        return True

    def number_of(self, connection: Any) -> int | None:
        if hasattr(connection, "get_server_pid"):  # asyncpg
            return int(connection.get_server_pid())
        return int(connection.info.backend_pid) if hasattr(connection, "info") else None

    def ending(self, number: int, age: float) -> str:
        return f"SELECT pg_terminate_backend(pid){_backend(number, age)}"

    def lasting(self, number: int, age: float) -> str:
        return f"SELECT COUNT(*){_backend(number, age)}"

    def resumes(self, text: str) -> bool:
        return is_rollback_to(text)

    def sorts_null_last(self) -> bool:
        return True

    def said(self, text: str) -> str:
        return _POSTGRESQL_SAID.sub(" ", text)

    def keeps_in_transaction(self, first: str, second: str) -> bool:
        return first == "LOCK" or (first == "SET" and second in _OF_TRANSACTIONS)

    def is_lost(self, error: BaseException) -> bool:
        code = self.code(error)
        if isinstance(code, str):
            return code[:2] == "08" or code in self.gone
        return Engine.is_lost(self, error)

    def covers(self, applied: Any, position: Any) -> bool:
        return applied is not None and _lsn(applied) >= _lsn(position)


class _SQLite(Engine):
    __slots__ = ()

    def is_lost(self, error: BaseException) -> bool:
        return isinstance(error, EOFError)

    def is_answer(self, error: BaseException) -> bool:
        # Its OperationalError is a misspelt table and a lock of others, too: nothing was begun.
        code = str(self.code(error))
        return Engine.is_answer(self, error) or code.startswith(
            ("SQLITE_BUSY", "SQLITE_ERROR", "SQLITE_LOCKED", "SQLITE_READONLY")
        )


def leading(text: str) -> str:
    """Return a statement from its first word on, after blanks and comments."""
    found = _BEFORE.match(text)
    return text if found is None else text[found.end() :]


def is_rollback_to(text: str) -> bool:
    """Return whether a statement rolls back to a savepoint, and no further."""
    return _ROLLBACK_TO.match(leading(text)) is not None


def _backend(number: int, age: float) -> str:
    """Return PostgreSQL's words for a process so old: another may have its number by now."""
    return (
        f" FROM pg_stat_activity WHERE pid = {number} "
        f"AND backend_start <= clock_timestamp() - interval '{max(age, 0.0):.3f} s'"
    )


def _milliseconds(seconds: float) -> int:
    return max(1, ceil(min(seconds * 1000, _INT_MAX)))


def _domains(text: Any) -> dict[str, int]:
    """Return the last number of each domain of MariaDB's GTIDs: ``"0-1-5,1-2-7"``."""
    if not isinstance(text, (str, bytes)):
        raise ValueError(f"a position must be GTIDs, got {type(text).__name__}")
    said = text.decode() if isinstance(text, bytes) else text
    found: dict[str, int] = {}
    for part in said.split(",") if said.strip() else []:
        matched = _GTID.fullmatch(part.strip())
        if matched is None:
            raise ValueError("a position must be GTIDs such as 0-1-5")
        found[matched[1]] = max(int(matched[2]), found.get(matched[1], 0))
    return found


_SOURCE: Final = re.compile(r"[0-9a-fA-F-]{36}(:[a-z_][a-z0-9_]{0,31})?")
_INTERVAL: Final = re.compile(r"(\d+)(?:-(\d+))?")


def _gtid_ranges(text: Any) -> dict[str, list[tuple[int, int]]]:
    """Return the intervals of each source of MySQL's GTIDs: ``"uuid:1-5:7,uuid:tag:1-3"``."""
    if not isinstance(text, (str, bytes)):
        raise ValueError(f"a position must be GTIDs, got {type(text).__name__}")
    said = text.decode() if isinstance(text, bytes) else text
    found: dict[str, list[tuple[int, int]]] = {}
    for part in said.replace("\n", "").split(",") if said.strip() else []:
        name, *rest = part.strip().split(":")
        source = name.lower()
        sources = [source]
        for piece in rest:
            matched = _INTERVAL.fullmatch(piece)
            if matched is None:
                source = f"{name.lower()}:{piece}"
                sources.append(source)
            else:
                last = matched[1] if matched[2] is None else matched[2]
                found.setdefault(source, []).append((int(matched[1]), int(last)))
        if not all(_SOURCE.fullmatch(each) for each in sources):
            raise ValueError("a position must be GTIDs such as uuid:1-5")
    return found


def _lsn(text: Any) -> int:
    high, low = str(text).split("/")
    return int(high, 16) << 32 | int(low, 16)


def _abort(connection: Any) -> None:
    """Break off what another thread does on a connection.

    SQLite's interrupts; PyMySQL's socket is shut down, which wakes who reads from it; psycopg's
    server is asked to cancel the statement.
    """
    try:
        found = getattr(connection, "interrupt", None)
        if found is not None:
            found()
            return
        found = getattr(connection, "cancel_safe", None)
        if found is not None:
            found(timeout=1.0)
            return
        found = getattr(connection, "_sock", None)
        if found is not None:
            found.shutdown(2)
    except Exception:  # it has just ended, or is broken already
        return


_ENGINES: Final[dict[str, Engine]] = {
    "mysql": _MySQL(
        "mysql",
        "mysql",
        "format",
        begin="START TRANSACTION",
        begin_read="START TRANSACTION READ ONLY",
        position="SELECT @@global.gtid_executed",
        applied="SELECT @@global.gtid_executed",
        gone=_MYSQL_LOST,
        read_only=_MYSQL_READ_ONLY,
        late=_MYSQL_LATE,
    ),
    "mariadb": _MariaDB(
        "mariadb",
        "mariadb",
        "format",
        begin="START TRANSACTION",
        begin_read="START TRANSACTION READ ONLY",
        position="SELECT @@global.gtid_binlog_pos",
        applied="SELECT @@global.gtid_slave_pos",
        gone=_MYSQL_LOST,
        read_only=_MYSQL_READ_ONLY,
        late=_MYSQL_LATE,
    ),
    "postgresql": _PostgreSQL(
        "postgresql",
        "postgresql",
        "format",
        begin_read="BEGIN READ ONLY",
        position="SELECT CAST(pg_current_wal_lsn() AS text)",
        applied="SELECT CAST(pg_last_wal_replay_lsn() AS text)",
        gone=frozenset(["57P01", "57P02", "57P03", "57P05"]),
        read_only=frozenset(["25006"]),
        late=frozenset(["57014"]),
    ),
    "sqlite": _SQLite(
        "sqlite",
        "sqlite",
        "qmark",
        read_only=frozenset(["SQLITE_READONLY"]),
        late=frozenset(["SQLITE_INTERRUPT"]),
    ),
}


# asyncpg has placeholders of its own.
_ENGINES["asyncpg"] = replace(_ENGINES["postgresql"], name="asyncpg", paramstyle="numeric_dollar")
ENGINES: Final[Mapping[str, Engine]] = MappingProxyType(_ENGINES)


def engine_of(given: object) -> Engine:
    """Return the engine of that name, or the engine itself."""
    if isinstance(given, Engine):
        return given
    if isinstance(given, str) and given in ENGINES:
        return ENGINES[given]
    raise ValueError(f"engine must be an Engine or one of {', '.join(ENGINES)}, got {given!r}")
