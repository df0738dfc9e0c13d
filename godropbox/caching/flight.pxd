# C types of flight.py.

cimport cython


cdef class Flight:
    cdef readonly object key
    cdef object leader, outcome, done
    cdef Flight heir
    cdef int state
    cdef readonly bint forgotten


cdef class Lead:
    cdef list flights
    cdef object leader
    cdef SingleFlight _table

    @cython.locals(flight=Flight, mine=list)
    cpdef list begin(self)


cdef class SingleFlight:
    cdef object __weakref__
    cdef object _lock, _patience, _cancellations
    cdef dict _flights, _waits
    cdef Py_ssize_t _ended

    @cython.locals(flight=Flight)
    cpdef forget(self, object keys)
    @cython.locals(flight=Flight, heir=Flight, lead=Lead, found=dict, others=list, later=list)
    cdef dict _fly(self, list keys, object load)
    @cython.locals(flight=Flight)
    cdef list _board(self, list keys, Lead lead, list passed)
    cdef _join(self, Flight flight, Lead lead, list others)
    @cython.locals(others=list)
    cdef Flight _inherit(self, Flight flight, Lead lead)
    cdef bint _wait(self, Flight flight) except -1
    @cython.locals(there=Flight, seen=Py_ssize_t)
    cdef bint _waits_for(self, Flight flight, object me) except -1
    cdef bint _is_cancellation(self, object error) except -1
    @cython.locals(flight=Flight, is_followed=bint)
    cdef bint _close(self, Lead lead) except -1
    @cython.locals(flight=Flight)
    cdef _settle(self, Lead lead, object state, object outcome)
    cdef _leave(self, Flight flight)
