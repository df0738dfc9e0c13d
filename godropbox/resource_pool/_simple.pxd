# C types of _simple.py.

cimport cython

from ._ledger cimport Entry, Waiter
from ._pool cimport ManagedHandle, ResourcePool


cdef class SimpleResourcePool(ResourcePool):
    cdef object _reaper

    @cython.locals(handle=ManagedHandle)
    cpdef get(self, object timeout=*)
    @cython.locals(handle=ManagedHandle)
    cpdef get_idle(self)
    cdef bint _lend_idle(self, ManagedHandle handle) except -1
    cdef _get_in_turn(self, ManagedHandle handle, double seconds)
    @cython.locals(waiter=Waiter)
    cdef int _admit(self, ManagedHandle handle, double seconds) except -1
    cpdef _wake(self, Waiter waiter)
    @cython.locals(entry=Entry, verdict=int)
    cdef bint _is_fit(self, ManagedHandle handle) except -1
    @cython.locals(entry=Entry)
    cdef _open(self, ManagedHandle handle)
    cpdef _close(self, object raw)
    cpdef _stop_reaping(self)
