"""Objects that are never freed, so that threads share them without counting references."""

from cpython.object cimport PyObject

__all__ = ["lasting"]

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
    """
    void gdbx_last(PyObject *) noexcept


def lasting(value):
    """Return `value`, which is never freed from now on.

    Without an interpreter lock, a count that several threads change makes each wait for the others.
    For sentinels and constants, which live as long as the process: elsewhere this does nothing.
    """
    gdbx_last(<PyObject *> value)
    return value
