"""Stacks as code objects and bytecode positions, compiled: the twin of ``stack_py``.

``stack_py`` describes the format. CPython keeps running functions in internal frames and makes a
frame object, which is slow, only on demand. On 3.11 to 3.15 this module reads the internal frames
with the functions of CPython's internal headers; elsewhere it calls the public ``PyFrame_GetBack``.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.type cimport PyType_IsSubtype

from ._args import checked_int, shown
from ._guarded import set_args
from ._signature import declared

__all__ = ["StackedError", "StackedOSError", "capture"]

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x03100000 \\
        && !defined(PYPY_VERSION) && !defined(Py_LIMITED_API)
    #ifndef Py_BUILD_CORE
    #define Py_BUILD_CORE 1
    #endif
    #if PY_VERSION_HEX >= 0x030E0000
    #include "internal/pycore_interpframe.h"
    #else
    #include "internal/pycore_frame.h"
    #endif

    typedef _PyInterpreterFrame *gdbx_frame;

    static gdbx_frame gdbx_complete(gdbx_frame frame)
    {
        while (frame && _PyFrame_IsIncomplete(frame))
            frame = frame->previous;
        return frame;
    }

    static gdbx_frame gdbx_innermost(void)
    {
    #if PY_VERSION_HEX >= 0x030D0000
        return gdbx_complete(PyThreadState_Get()->current_frame);
    #else
        return gdbx_complete(PyThreadState_Get()->cframe->current_frame);
    #endif
    }

    static gdbx_frame gdbx_outer(gdbx_frame frame)
    {
        return gdbx_complete(frame->previous);
    }

    static void gdbx_drop(gdbx_frame frame)
    {
        (void)frame; /* CPython owns it */
    }

    static PyObject *gdbx_code(gdbx_frame frame)
    {
    #if PY_VERSION_HEX >= 0x030D0000
        return Py_NewRef(_PyFrame_GetCode(frame));
    #else
        return Py_NewRef(frame->f_code);
    #endif
    }

    static int gdbx_position(gdbx_frame frame)
    {
        return _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT);
    }
    #else
    typedef PyFrameObject *gdbx_frame;

    static gdbx_frame gdbx_innermost(void)
    {
        return PyThreadState_GetFrame(PyThreadState_Get());
    }

    static gdbx_frame gdbx_outer(gdbx_frame frame)
    {
        gdbx_frame outer = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        return outer;
    }

    static void gdbx_drop(gdbx_frame frame)
    {
        Py_XDECREF(frame);
    }

    static PyObject *gdbx_code(gdbx_frame frame)
    {
        return (PyObject *)PyFrame_GetCode(frame);
    }

    static int gdbx_position(gdbx_frame frame)
    {
        return PyFrame_GetLasti(frame);
    }
    #endif
    """
    ctypedef void *gdbx_frame
    gdbx_frame gdbx_innermost() noexcept
    # Return the next frame outwards, or NULL, and release the given frame.
    gdbx_frame gdbx_outer(gdbx_frame) noexcept
    void gdbx_drop(gdbx_frame) noexcept
    # Return a new reference.
    PyObject *gdbx_code(gdbx_frame) noexcept
    int gdbx_position(gdbx_frame) noexcept

cdef extern from "Python.h":
    ctypedef class builtins.OSError [object PyOSErrorObject]:
        pass
    ctypedef PyObject *(*newfunc)(type, object, PyObject *) except NULL
    ctypedef struct PyTypeObject:
        newfunc tp_new
    ctypedef struct PyBaseExceptionObject:
        PyObject *fields "dict"
        PyObject *args
    PyObject *PyBytes_FromStringAndSize(const char *, Py_ssize_t) except NULL
    PyObject *PyDict_New() except NULL
    int PyDict_Contains(PyObject *, object) except -1
    int PyDict_SetItem(PyObject *, object, object) except -1
    PyObject *PyTuple_GET_ITEM(PyObject *, Py_ssize_t) noexcept
    Py_ssize_t PyTuple_GET_SIZE(PyObject *) noexcept
    tuple PyTuple_New(Py_ssize_t)
    void PyTuple_SET_ITEM(object, Py_ssize_t, PyObject *) noexcept
    void Py_DECREF(PyObject *) noexcept
    void Py_INCREF(object) noexcept
    void PyException_SetCause(object, PyObject *) noexcept  # steals the reference

cdef enum:
    LIMIT = 200  # the most frames an exception keeps, as in the Go library


cdef struct Stack:
    Py_ssize_t size
    PyObject **codes  # owned references
    int *positions


cdef gdbx_frame _start(long long skip) noexcept:
    cdef gdbx_frame frame = gdbx_innermost()
    while frame != NULL and skip:
        frame = gdbx_outer(frame)
        skip -= 1
    return frame


cdef Py_ssize_t _depth(long long skip, Py_ssize_t limit) noexcept:
    cdef Py_ssize_t n = 0
    cdef gdbx_frame frame = _start(skip)
    while frame != NULL and n < limit:
        frame = gdbx_outer(frame)
        n += 1
    gdbx_drop(frame)
    return n


cdef void _walk(long long skip, Py_ssize_t limit, Stack *stack) noexcept:
    cdef gdbx_frame frame = _start(skip)
    stack.size = 0
    while frame != NULL and stack.size < limit:
        stack.codes[stack.size] = gdbx_code(frame)
        stack.positions[stack.size] = gdbx_position(frame)
        stack.size += 1
        frame = gdbx_outer(frame)
    gdbx_drop(frame)


cdef tuple _raw(Stack *stack):
    """Return the stack as a tuple that takes over its references."""
    cdef Py_ssize_t i
    cdef tuple raw
    cdef PyObject *positions = NULL
    try:
        positions = PyBytes_FromStringAndSize(
            <const char *> stack.positions, stack.size * sizeof(int)
        )
        raw = PyTuple_New(stack.size + 1)
    except MemoryError:
        for i in range(stack.size):
            Py_DECREF(stack.codes[i])
        if positions != NULL:
            Py_DECREF(positions)
        raise
    for i in range(stack.size):
        PyTuple_SET_ITEM(raw, i, stack.codes[i])
    PyTuple_SET_ITEM(raw, stack.size, positions)
    return raw


cdef tuple _captured():
    cdef PyObject *codes[LIMIT]
    cdef int positions[LIMIT]
    cdef Stack stack
    stack.codes = codes
    stack.positions = positions
    _walk(0, LIMIT, &stack)
    return _raw(&stack)


def capture(skip=0, limit=200):
    """Return the caller's raw stack: at most `limit` frames, without the innermost `skip`.

    Both are ints in [0, 2**32).
    """
    cdef long long skip_ = checked_int("skip", "[0, 2**32)", skip, 1 << 32)
    cdef long long limit_ = checked_int("limit", "[0, 2**32)", limit, 1 << 32)
    cdef Py_ssize_t depth = _depth(skip_, limit_)
    cdef Stack stack
    stack.codes = <PyObject **> PyMem_Malloc(depth * sizeof(PyObject *))
    stack.positions = <int *> PyMem_Malloc(depth * sizeof(int))
    try:
        if stack.codes == NULL or stack.positions == NULL:
            raise MemoryError
        _walk(skip_, depth, &stack)
        return _raw(&stack)
    finally:
        PyMem_Free(stack.codes)
        PyMem_Free(stack.positions)


cdef tuple _outside(tuple raw, type cls):
    """Return the stack without the innermost frames that are ``__init__`` methods of `cls`.

    Needed if another base, such as OSError, provides the ``__new__``, so that ours never runs.
    """
    cdef Py_ssize_t n = 0
    cdef Py_ssize_t last = len(raw) - 1
    inits = [vars(base).get("__init__") for base in cls.__mro__]
    codes = [getattr(init, "__code__", None) for init in inits]
    while n < last and raw[n] in codes:
        n += 1
    return raw[n:last] + (raw[last][n * sizeof(int):],)


cdef inline bint _is_only(PyObject *args, object message) noexcept:
    return PyTuple_GET_SIZE(args) == 1 and PyTuple_GET_ITEM(args, 0) == <PyObject *> message


@cython.auto_pickle(False)
cdef class StackedError(Exception):
    """Exception that records the stack where it was made.

    The stack is captured before any ``__init__`` runs, so it ends at the line that makes the
    exception, whatever a subclass's ``__init__`` calls. ``_stack`` holds it raw; ``_error_fields``
    holds the fields as a dict, if there are any. Both are set without ``__setattr__``, which a
    frozen dataclass overrides. A field can have any name but `cause`.
    """

    __signature__ = declared

    def __cinit__(self):
        cdef PyBaseExceptionObject *base = <PyBaseExceptionObject *> self
        if base.fields == NULL:
            base.fields = PyDict_New()
        PyDict_SetItem(base.fields, "_stack", _captured())

    def __init__(self, message, /, *, cause=None, **fields):
        cdef PyBaseExceptionObject *base = <PyBaseExceptionObject *> self
        if not isinstance(message, str):
            raise TypeError(f"message must be a str, got {shown(message)}")
        if base.fields == NULL:
            base.fields = PyDict_New()
        if not PyDict_Contains(base.fields, "_stack"):
            PyDict_SetItem(base.fields, "_stack", _outside(_captured(), type(self)))
        if not _is_only(base.args, message):
            set_args(self, (message,))
        if cause is not None:
            if not isinstance(cause, BaseException):
                raise TypeError(f"cause must be an exception or None, got {shown(cause)}")
            Py_INCREF(cause)
            PyException_SetCause(self, <PyObject *> cause)
        if fields:
            PyDict_SetItem(base.fields, "_error_fields", fields)


@cython.auto_pickle(False)
cdef class StackedOSError(OSError):
    """The other base of a ``StackedError`` that is an ``OSError``, which gives it its layout.

    It has ``StackedError`` before it among the bases, and takes the same arguments: OSError itself
    would read two as a number and its text, and take none by name.
    """


cdef PyObject *_new_os_error(type cls, object args, PyObject *fields) except NULL:
    cdef PyObject *made = (<PyTypeObject *> OSError).tp_new(cls, (), NULL)
    cdef PyBaseExceptionObject *base = <PyBaseExceptionObject *> made
    try:
        set_args(<object> made, args)
        if base.fields == NULL:
            base.fields = PyDict_New()
        PyDict_SetItem(base.fields, "_stack", _captured())
    except:
        Py_DECREF(made)
        raise
    return made


cdef newfunc _new_plain = (<PyTypeObject *> StackedError).tp_new


cdef PyObject *_new_error(type cls, object args, PyObject *fields) except NULL:
    if PyType_IsSubtype(cls, OSError):
        return _new_os_error(cls, args, fields)
    return _new_plain(cls, args, fields)


# In the place of Cython's, which hands OSError the arguments. One for both, as a ``__new__`` of a
# subclass calls that of the first base, which refuses a class that is made by another.
(<PyTypeObject *> StackedError).tp_new = _new_error
(<PyTypeObject *> StackedOSError).tp_new = _new_error
