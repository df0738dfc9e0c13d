"""``InformationSchema``: what a log does not say of columns, asked of the server whose log it is.

The server says what its tables are now, and a log what they were. That the two are the same is
checked by what both know: the number and types of columns, when the table was made, and the
definitions that come in the log.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from godropbox._kernels._args import shown

from ._columns import Table
from ._errors import MetadataError
from ._events import Position
from ._gtids import Gtid, GtidSet, MariaDBGtid, MariaDBGtidSet
from ._schema import SYSTEM_COLUMNS

__all__ = ["InformationSchema"]

_COLUMNS: Final = """
SELECT column_name, column_type, character_set_name FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position
"""
_TABLE: Final = """
SELECT UNIX_TIMESTAMP(create_time), table_type FROM information_schema.tables
WHERE table_schema = %s AND table_name = %s
"""

Told = tuple[str, str, "str | None"]


class InformationSchema:
    """Tells a parser of the columns of tables: give it as `schema`.

    `source` is a cursor or a connection of the DB-API, with the paramstyle ``format`` as drivers of
    MySQL have it, in autocommit mode, or a function that returns such a connection, which is opened
    when it is first needed and again after an error. The account needs SELECT on the tables, and
    REPLICATION CLIENT (MariaDB: BINLOG MONITOR) on a server of MySQL without GTIDs.

    ``MetadataError`` is raised where a table was changed after an event was written: if its columns
    differ in number or type, if it was made more than `tolerance` seconds later (a statement may
    have waited for an ALTER TABLE for so long, and has the time at which it began), or when the log
    comes to a definition that had been read already, so that what was read since by it may have had
    other names. Read such a log with row metadata in it (binlog_row_metadata=FULL).
    """

    def __init__(self, source: Any, *, tolerance: float = 60.0) -> None:
        if not 0 <= tolerance < float("inf"):
            raise ValueError(f"tolerance must be in [0, inf) seconds, got {shown(tolerance)}")
        if not (hasattr(source, "execute") or hasattr(source, "cursor") or callable(source)):
            raise TypeError(
                "source must be a cursor, a connection, or a function that returns one, got "
                f"{shown(source)}"
            )
        self._source = source
        self._tolerance = tolerance
        is_made = not (hasattr(source, "execute") or hasattr(source, "cursor"))
        self._connect: Callable[[], Any] | None = source if is_made else None
        self._connection: Any = None
        # Where the log ended after a table was read.
        self._seen: dict[tuple[str, str], Any] = {}

    def __call__(self, table: Table) -> list[Told] | None:
        """Return the columns of a table: name, declared type, character set; None without it.

        Raises ``MetadataError``, and what the connection does.
        """
        try:
            return self._asked(table)
        except MetadataError:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection that a function returned; another is opened when it is needed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception:
                return  # it was broken

    def altered(
        self,
        database: str | None,
        table: str | None,
        gtid: Gtid | MariaDBGtid | None,
        position: Position | None,
    ) -> None:
        """Forget tables that a definition in the log changed; None stands for any.

        Raises ``MetadataError`` for one that was read after this definition was made.
        """
        for name, after in list(self._seen.items()):
            if not _is_named(name, database, table):
                continue
            del self._seen[name]
            # A definition that came while the table was read may be in what was read.
            if database is not None and _is_before(after, gtid, position) is not False:
                raise MetadataError(
                    f"{'.'.join(name)} was read from the server after it was changed here: rows "
                    "before this were read by the columns that it has now"
                )

    # The server

    def _asked(self, table: Table) -> list[Told] | None:
        cursor = self._cursor()
        owns = cursor is not self._source
        try:
            is_mariadb = "mariadb" in str(_row(cursor, "SELECT VERSION()")[0]).lower()
            cursor.execute(_COLUMNS, (table.database, table.name))
            columns: list[Told] = [(_text(a), _text(b), _text(c)) for a, b, c in cursor.fetchall()]
            made = _row(cursor, _TABLE, (table.database, table.name))
            if columns:  # waits for a definition that can be seen, and is not in the log yet
                _row(cursor, f"SELECT 1 FROM {_quoted(table.database, table.name)} LIMIT 0")
            after = _end_of_log(cursor, is_mariadb)
        finally:
            if owns:
                cursor.close()
        name = table.database, table.name
        if not columns:
            raise MetadataError(
                f"{'.'.join(name)} is not on the server: it was dropped after the event was written"
            )
        age = int(made[0]) - table.timestamp if made and made[0] is not None else 0
        if table.timestamp and age > self._tolerance:
            raise MetadataError(
                f"{'.'.join(name)} was made or altered {age} seconds after the event was written"
            )
        self._seen[name] = after
        if len(columns) + 2 == len(table.columns) and _text(made[1]) == "SYSTEM VERSIONED":
            columns += SYSTEM_COLUMNS
        return columns

    def _cursor(self) -> Any:
        if self._connect is not None:
            if self._connection is None:
                self._connection = self._connect()
            return self._connection.cursor()
        return self._source if hasattr(self._source, "execute") else self._source.cursor()


def _row(cursor: Any, statement: str, values: Sequence[Any] = ()) -> Sequence[Any]:
    cursor.execute(statement, values) if values else cursor.execute(statement)
    rows = cursor.fetchall()
    return rows[0] if rows else ()


def _quoted(*names: str) -> str:
    return ".".join("`" + name.replace("`", "``") + "`" for name in names)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, (bytes, bytearray)) else value


def _end_of_log(cursor: Any, is_mariadb: bool) -> Any:
    """Return the transactions of the log, or where it ends if they have no GTIDs."""
    if is_mariadb:
        return MariaDBGtidSet.parse(_text(_row(cursor, "SELECT @@global.gtid_binlog_pos")[0]) or "")
    mode, executed = _row(cursor, "SELECT @@global.gtid_mode, @@global.gtid_executed")
    if str(_text(mode)).upper() == "ON":
        return GtidSet.parse(_text(executed))
    try:
        found = _row(cursor, "SHOW BINARY LOG STATUS")
    except Exception:
        found = _row(cursor, "SHOW MASTER STATUS")  # before MySQL 8.2
    return Position(_text(found[0]), int(found[1])) if found else None


def _is_named(name: tuple[str, str], database: str | None, table: str | None) -> bool:
    if database is None:
        return True
    is_there = name[0].casefold() == database.casefold()
    return is_there and (table is None or name[1].casefold() == table.casefold())


def _is_before(end: Any, gtid: Any, position: Position | None) -> bool | None:
    """Return whether a definition is within a log that had this end, None if that is not known."""
    if isinstance(end, GtidSet) and isinstance(gtid, Gtid):
        return gtid in end
    if isinstance(end, MariaDBGtidSet) and isinstance(gtid, MariaDBGtid):
        last = [known.number for known in end.last.values() if known.domain == gtid.domain]
        return gtid.number <= max(last, default=0)
    if isinstance(end, Position) and position is not None:
        return position < end
    return None
