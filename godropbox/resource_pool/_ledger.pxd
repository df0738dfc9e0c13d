# C types of _ledger.py.

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uintptr_t

from .._kernels.lasting cimport gdbx_count, gdbx_flag

cdef extern from "desk.h":
    pass

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define GDBX_HAS_NO_LOCK 1
    #define GDBX_DESKS 16
    #define GDBX_APART 64  /* bytes of a line of memory, which no two entries are to share */
    /* Threads are told apart by an address, which differs by the size of a stack. */
    #define gdbx_place() (((uintptr_t) _Py_ThreadId() >> 12) % GDBX_DESKS)
    #define gdbx_see(field) _Py_atomic_load_ptr(field)
    #define gdbx_set(field, value) _Py_atomic_store_ptr(field, value)
    #define gdbx_count_get(desk) ((void) (desk)->gets++)  /* in one step, by its type */
    /* References move: None, which is all that is written over, is not counted. A reservation is
       there for some instructions, none of which lets a garbage collector run and see it. */
    #define gdbx_at(desk) ((void **) &(desk)->parked)
    #define gdbx_reserve(desk, slot) gdbx_desk_reserve(gdbx_at(desk), Py_None, (slot)->_entry)
    #define gdbx_withdraw(desk, slot) gdbx_desk_withdraw(gdbx_at(desk), Py_None, (slot)->_entry)
    #define gdbx_park(desk, slot) \
        (gdbx_desk_leave(gdbx_at(desk), (slot)->_entry) && ((slot)->_entry = (void *) Py_None, 1))
    #define gdbx_take_parked(desk, slot) \
        (((slot)->_entry = gdbx_desk_clear(gdbx_at(desk), Py_None)) != (void *) Py_None)
    #define gdbx_unpark(desk) gdbx_desk_clear(gdbx_at(desk), Py_None)
    #define gdbx_is_parked(desk) gdbx_desk_holds(gdbx_at(desk), Py_None)
    #else
    #define GDBX_HAS_NO_LOCK 0
    #define GDBX_DESKS 1
    #define GDBX_APART 1
    #define gdbx_place() 0
    #define gdbx_see(field) (*(field))
    #define gdbx_set(field, value) (*(field) = (value))
    #define gdbx_count_get(desk) ((void) 0)
    #define gdbx_reserve(desk, slot) 0
    #define gdbx_withdraw(desk, slot) ((void) 0)
    #define gdbx_park(desk, slot) 0
    #define gdbx_take_parked(desk, slot) 0
    #define gdbx_unpark(desk) ((void *) Py_NewRef(Py_None))
    #define gdbx_is_parked(desk) 0
    #endif
    """
    const bint GDBX_HAS_NO_LOCK
    enum:
        GDBX_APART
        GDBX_DESKS
    size_t gdbx_place() noexcept
    PyObject *gdbx_see(PyObject **field) noexcept
    void gdbx_set(PyObject **field, PyObject *value) noexcept


cdef class Entry:
    cdef readonly object raw
    cdef public double expires, stale, fresh
    cdef Py_ssize_t epoch, turn
    cdef char _apart[GDBX_APART]  # of C alone


cdef class Desk:
    cdef readonly object pool
    cdef Entry parked  # or a reservation: of C alone
    cdef gdbx_count gets


cdef class Slot:
    cdef readonly Entry _entry
    cdef readonly bint _may_open
    cdef Py_ssize_t _epoch, _generation


cdef extern from *:
    bint gdbx_reserve(Desk desk, Slot slot) noexcept
    void gdbx_withdraw(Desk desk, Slot slot) noexcept
    bint gdbx_park(Desk desk, Slot slot) noexcept
    bint gdbx_take_parked(Desk desk, Slot slot) noexcept
    Entry gdbx_unpark(Desk desk)
    bint gdbx_is_parked(Desk desk) noexcept
    void gdbx_count_get(Desk desk) noexcept


cdef class Waiter:
    cdef readonly object signal
    cdef readonly Waiter next
    cdef readonly Slot slot
    cdef readonly int decision


cdef class Ledger:
    cdef Py_ssize_t _active, _high, _opening, _max_active, _max_idle, _max_opens
    cdef Py_ssize_t _gets, _waits, _exhausted, _opens, _open_failures
    cdef Py_ssize_t _generation
    cdef gdbx_count _epoch, _turns
    cdef PyObject *_places[GDBX_DESKS]  # of C alone
    cdef gdbx_flag _parks
    cdef double _idle_time, _check_after
    cdef gdbx_flag _is_lame
    cdef bint _is_lifo, _may_park, _timed
    cdef object _lock
    cdef list _counts, _desks, _idle, _waiters

    cdef _clear(self)
    cdef list _start_over(self)

    cdef Desk _new_desk(self)
    @cython.locals(desk=Desk, entry=Entry)
    cdef _unpark_all(self)
    @cython.locals(desk=Desk, count=Py_ssize_t)
    cdef Py_ssize_t _num_parked(self) except -1
    @cython.locals(desk=Desk, count=Py_ssize_t)
    cdef Py_ssize_t _num_taken(self) except -1
    @cython.locals(desk=Desk)
    cdef bint _park(self, Slot slot) except -1
    cdef _see_whether_to_park(self)

    @cython.locals(entry=Entry, idle=list, count=Py_ssize_t, position=Py_ssize_t, desk=Desk)
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

    @cython.locals(granted=Waiter, surplus=Entry, entry=Entry, older=Entry)
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
    cdef Py_ssize_t _num_active(self) except -1
    cdef Py_ssize_t _num_idle(self) except -1
    cdef tuple _retire(self)


cdef inline bint has_no_lock() noexcept:
    return GDBX_HAS_NO_LOCK


cdef inline Desk own_desk(Ledger ledger):
    cdef PyObject *found = gdbx_see(&ledger._places[gdbx_place()])
    if found == NULL:
        return ledger._new_desk()
    return <Desk> found


cdef inline Desk placed_desk(Ledger ledger, Desk desk):
    cdef size_t at = gdbx_place()
    cdef PyObject *found = gdbx_see(&ledger._places[at])
    if found != NULL:
        return <Desk> found
    ledger._desks.append(desk)
    gdbx_set(&ledger._places[at], <PyObject *> desk)
    return desk


cdef inline bint reserve(Desk desk, Slot slot) noexcept:
    return gdbx_reserve(desk, slot)


cdef inline void withdraw(Desk desk, Slot slot) noexcept:
    gdbx_withdraw(desk, slot)


cdef inline bint park(Desk desk, Slot slot) noexcept:
    return gdbx_park(desk, slot)


cdef inline bint take_parked(Desk desk, Slot slot) noexcept:
    return gdbx_take_parked(desk, slot)


cdef inline Entry unpark(Desk desk):
    return gdbx_unpark(desk)


cdef inline bint is_parked(Desk desk) noexcept:
    return gdbx_is_parked(desk)


cdef inline void count_get(Desk desk) noexcept:
    gdbx_count_get(desk)
