# What the compiler is told about _owed.py.

cimport cython

from ...._kernels.lasting cimport gdbx_count


cdef class Owed:
    cdef object __weakref__
    cdef object _handle, _lock
    cdef Py_ssize_t _words
    cdef bint _is_busy
    cdef readonly gdbx_count count

    cpdef bint send(
        self, pool, asked, bint opens, bytes request, Py_ssize_t count, Py_ssize_t words
    ) except -1
    cdef bint _send(
        self, pool, asked, bint opens, bytes request, Py_ssize_t count, Py_ssize_t words
    ) except -1
    @cython.final
    cdef _held(self)
    @cython.final
    cdef _exchange(self, handle)
    cdef _read_last(self, until)
    cdef _settle(self)
    cdef bint _judge(self, reply) except -1
    cdef _drop(self)


cdef _fit(pool, asked, bint opens)
cdef _send(connection, bytes request)
cdef _receive(connection, reply, until)
