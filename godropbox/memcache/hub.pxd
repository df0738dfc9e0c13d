# What the compiler is told about hub.py.


cdef class Hub:
    cdef public object at, bind, clock, dial, gone, loop, room, running, timeout
    cdef public Py_ssize_t size
    cdef public object most, most_bytes
    cdef public bint waits
    cdef readonly set links

    cpdef enter(self)
    cpdef check(self)
