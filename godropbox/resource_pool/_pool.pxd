# C types of _pool.py.

cimport cython
from cpython.object cimport PyObject

from ._ledger cimport Desk, Entry, Ledger, Slot, Waiter, has_no_lock, own_desk


cdef class ManagedHandle(Slot):
    cdef object __weakref__
    cdef object _keeper, _loan
    cdef PyObject *_of

    cdef _begin(self, ResourcePool pool)
    cdef _put(self)
    cdef _drop(self)
    cdef _lose(self)
    @cython.final
    cdef Entry _held(self)


cdef class ResourcePool(Ledger):
    cdef object __weakref__
    cdef object _clock, _group, _location, _options
    cdef dict _loans
    cdef readonly list _inherited
    cdef readonly bint _tracks

    # What a subclass does, which need not be compiled.
    cpdef _wake(self, Waiter waiter)
    cpdef _close(self, object raw)
    cpdef _stop_reaping(self)

    # What it calls.
    cpdef bint _fill(self, ManagedHandle handle) except -1
    @cython.locals(unfit=Entry)
    cpdef bint _line_up(self, Waiter waiter, bint is_willing) except -1
    cpdef _step_out(self, Waiter waiter, ManagedHandle handle)
    @cython.locals(decision=int)
    cpdef int _turn(self, Waiter waiter, double seconds) except -1
    @cython.locals(entry=Entry, now=double)
    cpdef int _judge(self, ManagedHandle handle) except -1
    @cython.locals(entry=Entry)
    cpdef Entry _new_entry(self, object raw)
    cpdef _keep_opened(self, ManagedHandle handle, Entry entry)
    cpdef _not_opened(self, ManagedHandle handle, object error)
    cpdef _open_error(self, object error)
    cpdef _retired(self)
    cdef _none_left(self, double seconds)
    cpdef _track(self, ManagedHandle handle, object own_frames)

    @cython.locals(handle=ManagedHandle)
    cdef ManagedHandle _own(self, object given)
    cdef _put(self, ManagedHandle handle)
    @cython.locals(granted=Waiter, entry=Entry)
    cdef _drop(self, ManagedHandle handle)
    @cython.locals(turn=Py_ssize_t)
    cpdef _lose(self, ManagedHandle handle)
    @cython.locals(granted=Waiter, entry=Entry)
    cdef _detach(self, ManagedHandle handle)
    cdef _leaked(self, ManagedHandle handle)
    cpdef reap(self)
    @cython.locals(entry=Entry)
    cdef _close_all(self, object spare)
    @cython.locals(entry=Entry)
    cdef _abandon(self, ManagedHandle handle)
    cpdef _leave_to_parent(self, object raw)


cdef inline int lend(ManagedHandle handle, ResourcePool pool) except -1:
    handle._of = <PyObject *> pool
    handle._keeper = own_desk(pool) if has_no_lock() else pool
    return 0


cdef inline ResourcePool pool_of(ManagedHandle handle):
    return <ResourcePool> handle._of


cdef inline int put_back(ManagedHandle handle) except -1:
    (<ResourcePool> handle._of)._put(handle)
    return 0
