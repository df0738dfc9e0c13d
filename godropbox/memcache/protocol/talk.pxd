# What the compiler is told about talk.py.

cimport cython

from ..._kernels.lasting cimport gdbx_flag
from .exchange cimport Exchange


cdef class Peer:
    cdef public bint interleaves
    cdef readonly double answered_at
    cdef gdbx_flag _has_closed, _is_valid
    cdef bint _is_mine, _is_proving
    cdef int _lacking, _proven
    cdef object _pid, _version

    cpdef begin(self)
    cpdef end(self)
    cdef _restore(self)
    cpdef bint lacks(self, Exchange exchange)


cdef class Talk:
    cdef public Peer peer
    cdef public list exchanges
    cdef public object outcome
    cdef Exchange _exchange, _other
    cdef object _proof, _refusal, _step, _steps
    cdef Py_ssize_t _at
    cdef bint _has_begun, _is_again, _is_out_of_step, _is_undone

    cpdef advance(self, failure)
    cdef _prepare(self, list exchanges)
    cdef _start(self, Peer peer, list exchanges)
    cpdef _begin(self)
    cdef _next(self, failure)
    cpdef _seen(self)
    cdef bint _turns(self, Exchange exchange) except -1
    cdef Exchange _prove(self, Exchange exchange)
    cdef _end_proof(self)
    cdef _note(self, proof)
