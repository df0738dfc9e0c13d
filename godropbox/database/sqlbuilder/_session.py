"""MySQL's session statements: LOCK TABLES, UNLOCK TABLES and SET GTID_NEXT."""

from ._names import shown
from ._render import Renderer
from ._statement import Statement
from ._tables import TableSource

__all__ = ["GtidNext", "LockTables", "UnlockTables", "gtid_next", "lock_tables", "unlock_tables"]


class LockTables(Statement):
    """LOCK TABLES statement, made by ``lock_tables``."""

    __slots__ = ("_locks",)

    _locks: "tuple[tuple[TableSource, str], ...]"

    def read(self, table: TableSource) -> "LockTables":
        """Return the statement with a read lock of `table` added."""
        return _locked(self, table, " READ")

    def write(self, table: TableSource) -> "LockTables":
        """Return the statement with a write lock of `table` added."""
        return _locked(self, table, " WRITE")

    def _write_statement(self, out: Renderer) -> int:
        out.need("LOCK TABLES")
        if not self._locks:
            raise ValueError("LOCK TABLES needs at least one table: call read() or write()")
        out.text.put("LOCK TABLES ")
        first = True
        for table, word in self._locks:
            if not first:
                out.text.put(", ")
            first = False
            table._write_target(out)
            out.text.put(word)
        return 0


class UnlockTables(Statement):
    """UNLOCK TABLES statement, made by ``unlock_tables``."""

    __slots__ = ()

    def _write_statement(self, out: Renderer) -> int:
        out.need("UNLOCK TABLES")
        out.text.put("UNLOCK TABLES")
        return 0


class GtidNext(Statement):
    """SET GTID_NEXT statement, made by ``gtid_next``."""

    __slots__ = ("_gno", "_sid")

    _gno: int
    _sid: str

    def _write_statement(self, out: Renderer) -> int:
        out.need("GTID_NEXT")
        out.text.put(f'SET GTID_NEXT="{self._sid}:{self._gno}"')
        return 0


def lock_tables() -> LockTables:
    """Return LOCK TABLES without tables; add them: ``lock_tables().read(a).write(b)``."""
    node = LockTables.__new__(LockTables)
    node._locks = ()
    return node


def unlock_tables() -> UnlockTables:
    """Return UNLOCK TABLES, which releases all table locks of the session."""
    return UnlockTables.__new__(UnlockTables)


def gtid_next(sid: bytes, gno: int) -> GtidNext:
    """Return the statement that sets the GTID of the next transaction.

    `sid` is the source's UUID, 16 bytes. `gno` is the transaction's number, an int in [0, 2**64).
    """
    if not isinstance(sid, (bytes, bytearray, memoryview)):
        raise TypeError(f"sid must be bytes, got {shown(sid)}")
    digits = bytes(sid).hex()
    if len(digits) != 32:
        raise ValueError(f"sid must be 16 bytes, got {len(digits) // 2}")
    if not isinstance(gno, int) or isinstance(gno, bool):
        raise TypeError(f"gno must be an int, got {shown(gno)}")
    gno = int.__add__(gno, 0)  # a subclass may override __int__, which int's own asks on PyPy
    if not 0 <= gno < 1 << 64:
        raise ValueError(f"gno must be an int in [0, 2**64), got {gno}")
    node = GtidNext.__new__(GtidNext)
    node._sid = "-".join([digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]])
    node._gno = gno
    return node


def _locked(lock: LockTables, table: object, word: str) -> LockTables:
    if not isinstance(table, TableSource):
        raise TypeError(f"table must be a table, got {shown(table)}")
    node = LockTables.__new__(LockTables)
    node._locks = (*lock._locks, (table, word))
    return node
