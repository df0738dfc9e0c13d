# C types of flight.py. What generators use is readable by name.

cimport cython


cdef class Flight:
    cdef readonly object key
    cdef object leader
    cdef readonly object done, outcome
    cdef Flight heir
    cdef readonly int state
    cdef Py_ssize_t followers
    cdef readonly bint forgotten


cdef class Lead:
    cdef readonly list flights
    cdef readonly object leader
    cdef SingleFlight _table

    @cython.locals(flight=Flight, mine=list)
    cpdef list begin(self)


cdef class SingleFlight:
    cdef object __weakref__
    cdef object _lock, _cancellations
    cdef readonly object _patience
    cdef dict _flights, _waits
    cdef Py_ssize_t _ended

    @cython.locals(flight=Flight)
    cpdef forget(self, object keys)
    @cython.locals(flight=Flight)
    cdef list _board(self, list keys, Lead lead, list passed)
    cdef _join(self, Flight flight, Lead lead, list others)
    @cython.locals(flight=Flight, left=Flight)
    cdef _part(self, list followed)
    @cython.locals(heir=Flight)
    cdef Flight _inherit(self, Flight flight, Lead lead)
    cdef _begin_wait(self, Flight flight, object me)
    @cython.locals(there=Flight, seen=Py_ssize_t)
    cdef bint _waits_for(self, Flight flight, object mine) except -1
    cdef bint _is_cancellation(self, object error) except -1
    @cython.locals(flight=Flight, is_followed=bint)
    cdef bint _close(self, Lead lead) except -1
    @cython.locals(flight=Flight)
    cdef _settle(self, Lead lead, object state, object outcome)
    cdef _leave(self, Flight flight)
