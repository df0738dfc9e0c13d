# C types of _ledger.py.

cimport cython


cdef class Entry:
    cdef readonly object raw
    cdef public double expires, stale, fresh
    cdef Py_ssize_t epoch, turn


cdef class Slot:
    cdef readonly Entry _entry
    cdef readonly bint _may_open
    cdef Py_ssize_t _epoch, _generation


cdef class Waiter:
    cdef readonly object signal
    cdef readonly Waiter next
    cdef readonly Slot slot
    cdef readonly int decision


cdef class Ledger:
    cdef Py_ssize_t _active, _high, _opening, _max_active, _max_idle, _max_opens
    cdef Py_ssize_t _gets, _waits, _exhausted, _opens, _open_failures
    cdef Py_ssize_t _epoch, _generation, _turns
    cdef double _idle_time, _check_after
    cdef bint _is_lame, _is_lifo, _timed
    cdef object _lock
    cdef list _counts, _idle, _waiters

    cdef _clear(self)
    cdef list _start_over(self)

    @cython.locals(entry=Entry, idle=list, count=Py_ssize_t, position=Py_ssize_t)
    cdef bint _take_idle(self, Slot slot, double now) except -1

    @cython.locals(granted=Waiter)
    cdef Waiter _join(self, Waiter waiter, bint is_willing)

    @cython.locals(first=Waiter, last=Waiter, waiter=Waiter, slot=Slot, count=Py_ssize_t,
                   position=Py_ssize_t)
    cdef Waiter _serve(self)

    @cython.locals(position=Py_ssize_t)
    cdef int _quit(self, Waiter waiter) except -1

    cdef Waiter _opened(self, Slot slot, Entry entry)
    cpdef _count(self, object index)

    @cython.locals(granted=Waiter, surplus=Entry, entry=Entry)
    cdef tuple _give_back(self, Slot slot, double now)

    @cython.locals(granted=Waiter, entry=Entry)
    cdef tuple _vacate(self, Slot slot)

    @cython.locals(position=Py_ssize_t, entry=Entry)
    cdef list _take_stale(self, double now)

    @cython.locals(entry=Entry)
    cdef Py_ssize_t _turn_of(self, Slot slot) except -1

    @cython.locals(position=Py_ssize_t, entry=Entry)
    cdef list _take_older(self, Py_ssize_t turn)

    cdef list _evict(self)
    cdef Py_ssize_t _num_idle(self) except -1
    cdef tuple _retire(self)
