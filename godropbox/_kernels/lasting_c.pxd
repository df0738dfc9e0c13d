# The C face of the lasting kernel.

from cpython.object cimport PyObject
from libc.stdint cimport uintptr_t

cdef extern from *:
    """
    /* Whether an object belongs to another thread, so that counting references to it makes threads
       wait for each other. With an interpreter lock it never does. */
    #ifdef Py_GIL_DISABLED
    #define gdbx_thread() ((uintptr_t) _Py_ThreadId())
    #define gdbx_is_foreign(object) (_Py_ThreadId() != ((PyObject *) (object))->ob_tid)
    #else
    #define gdbx_thread() ((uintptr_t) 0)
    #define gdbx_is_foreign(object) 0
    #endif
    /* A look-up that finds another object than the key it was given counts a reference to it, if it
       may, and otherwise takes the dict's lock. */
    #if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
    #define gdbx_let_find(key) PyUnstable_EnableTryIncRef(key)
    #else
    #define gdbx_let_find(key) ((void) (key))
    #endif
    /* A flag or a count that threads read while another changes it: a read is of before or after,
       and in one order with those of others. Without the lock C has to be told. */
    #ifndef Py_GIL_DISABLED
    typedef int gdbx_flag;
    typedef Py_ssize_t gdbx_count;
    #elif defined(_MSC_VER)
    typedef volatile int gdbx_flag;
    typedef volatile Py_ssize_t gdbx_count;
    #else
    typedef _Atomic int gdbx_flag;
    typedef _Atomic Py_ssize_t gdbx_count;
    #endif
    """
    ctypedef bint gdbx_flag
    ctypedef Py_ssize_t gdbx_count
    uintptr_t gdbx_thread() noexcept
    bint gdbx_is_foreign(object) noexcept
    void gdbx_let_find(object) noexcept


cdef enum:
    MOST_COPIES = 16


cdef extern from "Python.h":
    object PyObject_CallOneArg(object, object)


cdef class Copies:
    cdef uintptr_t _threads[MOST_COPIES]
    cdef PyObject *_copies[MOST_COPIES]
    cdef int _uses[MOST_COPIES]

    cpdef object own(self, object original)
    cdef int _copy(self, size_t at, object original) except -1
    cdef int _begin(self, uintptr_t thread) except -1


cdef inline object call(object function, object argument):
    """Call a function with one argument, without counting a reference to it."""
    return PyObject_CallOneArg(function, argument)


cdef inline bint is_foreign(object value) noexcept:
    return gdbx_is_foreign(value)
