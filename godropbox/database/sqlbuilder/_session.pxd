# The C face of `_session`.
cimport cython
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._statement cimport Statement
from godropbox.database.sqlbuilder._tables cimport TableSource


cdef class LockTables(Statement):
    cdef tuple _locks
    @cython.locals(table=TableSource)
    cdef int _write_statement(self, Renderer out) except -1


cdef class UnlockTables(Statement):
    pass


cdef class GtidNext(Statement):
    cdef object _gno
    cdef str _sid


@cython.locals(node=LockTables)
cpdef LockTables lock_tables()
@cython.locals(node=GtidNext)
cpdef GtidNext gtid_next(object sid, object gno)
@cython.locals(node=LockTables)
cdef LockTables _locked(LockTables lock, object table, str word)
