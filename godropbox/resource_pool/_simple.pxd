# C types of _simple.py.

cimport cython

from ._ledger cimport Entry, Ledger, Slot, Waiter


cdef class ManagedHandle(Slot):
    cdef object __weakref__
    cdef object _loan
    cdef SimpleResourcePool _pool

    cdef _begin(self, SimpleResourcePool pool)
    @cython.final
    cdef Entry _held(self)


cdef class SimpleResourcePool(Ledger):
    cdef object __weakref__
    cdef object _clock, _group, _location, _options, _reaper
    cdef dict _loans
    cdef list _inherited
    cdef bint _tracks

    @cython.locals(handle=ManagedHandle)
    cpdef get(self, object timeout=*)
    @cython.locals(handle=ManagedHandle)
    cpdef get_idle(self)
    cdef bint _lend_idle(self, ManagedHandle handle) except -1
    cdef _get_in_turn(self, ManagedHandle handle, double seconds)
    @cython.locals(unfit=Entry, waiter=Waiter)
    cdef int _admit(self, ManagedHandle handle, double seconds) except -1
    cdef _wake(self, Waiter waiter)
    cdef _none_left(self, double seconds)
    @cython.locals(entry=Entry, now=double)
    cdef bint _is_fit(self, ManagedHandle handle) except -1
    @cython.locals(entry=Entry)
    cdef _open(self, ManagedHandle handle)
    cdef _track(self, ManagedHandle handle)
    @cython.locals(handle=ManagedHandle)
    cdef ManagedHandle _own(self, object given)
    cdef _put(self, ManagedHandle handle)
    @cython.locals(granted=Waiter, entry=Entry)
    cdef _drop(self, ManagedHandle handle)
    @cython.locals(granted=Waiter, entry=Entry)
    cdef _detach(self, ManagedHandle handle)
    cdef _close(self, object raw)
    cdef _leaked(self, ManagedHandle handle)
    cpdef reap(self)
    @cython.locals(entry=Entry)
    cdef _close_all(self, object spare)
    @cython.locals(entry=Entry)
    cdef _abandon(self, ManagedHandle handle)
    cpdef _leave_to_parent(self, object raw)
