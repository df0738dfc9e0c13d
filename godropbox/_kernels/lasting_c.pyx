"""Objects that threads share without counting references, which would make each wait for others."""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport uintptr_t

from pickle import dumps, loads

__all__ = ["Copies", "call", "copies", "findable", "is_foreign", "lasting", "shared"]

cdef extern from *:
    """
    #if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000 && PY_VERSION_HEX < 0x03100000
    /* As CPython's own _Py_SetImmortal does. An object that somebody is counting meanwhile may stay
       as it was. */
    static void gdbx_last(PyObject *object) {
    #if PY_VERSION_HEX >= 0x030F0000
        if (PyUnstable_SetImmortal(object)) return;
    #endif
        if (PyObject_IS_GC(object) && PyObject_GC_IsTracked(object)) PyObject_GC_UnTrack(object);
        object->ob_tid = 0;
        object->ob_ref_local = _Py_IMMORTAL_REFCNT_LOCAL;
        object->ob_ref_shared = 0;
    }
    #else
    #define gdbx_last(object) ((void) (object))
    #endif
    #if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
    #define gdbx_share(object) ((void) PyUnstable_Object_EnableDeferredRefcount(object))
    #else
    #define gdbx_share(object) ((void) (object))
    #endif
    /* The first place to look for a thread's copy: threads are told apart by an address. */
    #define gdbx_place(thread, most) (((thread) >> 12) * 0x9E3779B1u % (most))
    #ifdef Py_GIL_DISABLED
    #define gdbx_load(address) _Py_atomic_load_uintptr_relaxed(address)
    #define gdbx_store(address, value) _Py_atomic_store_uintptr_relaxed(address, value)
    #else
    #define gdbx_load(address) (*(address))
    #define gdbx_store(address, value) (*(address) = (value))
    #endif
    """
    const bint FREE_THREADED "CYTHON_COMPILING_IN_CPYTHON_FREETHREADING"
    void gdbx_last(PyObject *) noexcept
    void gdbx_share(PyObject *) noexcept
    size_t gdbx_place(uintptr_t thread, size_t most) noexcept
    uintptr_t gdbx_load(uintptr_t *) noexcept
    void gdbx_store(uintptr_t *, uintptr_t) noexcept


def lasting(value):
    """Return `value`, which is never freed from now on.

    Without an interpreter lock, a count that several threads change makes each wait for the others.
    For sentinels and constants, which live as long as the process: elsewhere this does nothing.
    """
    gdbx_last(<PyObject *> value)
    return value


def shared(value):
    """Return `value`, which the interpreter does not count references to while it calls it.

    For what lives long and is used by many threads: without an interpreter lock only the garbage
    collector frees it. CPython has this from 3.14; elsewhere this does nothing.
    """
    gdbx_share(<PyObject *> value)
    return value


def is_foreign(value):
    """Return whether another thread made `value`, where that makes threads wait for each other."""
    return bool(gdbx_is_foreign(value))


def call(function, argument):
    """Call a function with one argument, without counting a reference to it."""
    return PyObject_CallOneArg(function, argument)


def copies():
    """Return an empty ``Copies``, or None where it would save nothing."""
    return Copies() if FREE_THREADED else None


def findable(key):
    """Return `key`, a dict's, which threads then compare with an equal one without its lock.

    CPython has this from 3.14, where there is no interpreter lock: elsewhere this does nothing.
    """
    gdbx_let_find(key)
    return key


# A thread that uses something once or twice goes without a copy, which takes some microseconds.
cdef enum:
    FEW_USES = 32


@cython.final
cdef class Copies:
    """Copies of one thing that never changes, for some of the threads that use it.

    A copy is made by pickling. Its thread counts the references to it and to all its parts by
    itself, while those of the original, which threads share, make each wait for the others.
    """

    def __dealloc__(self):
        cdef size_t at
        for at in range(MOST_COPIES):
            Py_XDECREF(self._copies[at])

    def __reduce__(self):
        return Copies, ()  # the copies of a copy are its own

    cpdef object own(self, object original):
        """Return the copy of `original` that is this thread's, or `original` where it has none."""
        cdef uintptr_t thread = gdbx_thread()
        cdef size_t place = gdbx_place(thread, MOST_COPIES)
        cdef size_t at, tried
        cdef uintptr_t found
        for tried in range(MOST_COPIES):
            at = (place + tried) % MOST_COPIES
            found = gdbx_load(&self._threads[at])
            if found == thread:  # what is there is for this thread alone
                if self._copies[at] != NULL:
                    return <object> self._copies[at]
                if self._uses[at] < FEW_USES:
                    self._uses[at] += 1
                    if self._uses[at] == FEW_USES:
                        self._copy(at, original)
                return original
            if found == 0:
                self._begin(thread)
                break
        return original

    cdef int _copy(self, size_t at, object original) except -1:
        """Make the copy of this thread, unless it cannot be made: the original does as well."""
        try:
            copy = loads(dumps(original, -1))
        except Exception:
            return 0
        Py_INCREF(copy)
        self._copies[at] = <PyObject *> copy
        return 0

    cdef int _begin(self, uintptr_t thread) except -1:
        """Give a thread the next free place, if there is one."""
        cdef size_t place = gdbx_place(thread, MOST_COPIES)
        cdef size_t at, tried
        with cython.critical_section(self):
            for tried in range(MOST_COPIES):
                at = (place + tried) % MOST_COPIES
                if self._threads[at] == 0:
                    gdbx_store(&self._threads[at], thread)
                    break
        return 0
