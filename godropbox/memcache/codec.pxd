# C types of the fields and locals of codec.py.

cimport cython


cdef class Codec:
    cdef object _compress, _dumps
    cdef dict _inflaters, _readers
    cdef unsigned long _flag, _zipped
    cdef Py_ssize_t _compress_from
    cdef object _max

    @cython.locals(flags=cython.ulong, data=bytes)
    cpdef tuple encode(self, value)

    @cython.locals(least=Py_ssize_t, known=dict, data=bytes)
    cpdef tuple encode_items(self, values)

    @cython.locals(packed=cython.ulong)
    cpdef object decode(self, key, bytes data, unsigned long flags)
