"""32-bit murmur3, compiled: ``csrc/digests`` for Python. The twin of ``murmur3_py``."""

from array import array

from cpython cimport array as c_array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear
from libc.stdint cimport uint8_t, uint32_t

from ._args import bad_buffer, bad_int, checked_int, checked_items

__all__ = ["hash32", "hash32_many"]

cdef extern from "Python.h":
    int PyLong_CheckExact(object) noexcept
    unsigned long long PyLong_AsUnsignedLongLong(object) noexcept

cdef extern from "digests.h":
    uint32_t gdbx_digests_murmur3(const uint8_t *, size_t, uint32_t) noexcept nogil

# From this many bytes on, hashing takes longer than releasing and retaking the interpreter lock.
cdef enum:
    LONG = 65536


cdef uint32_t _seed(object seed) except? 0xFFFFFFFF:
    cdef unsigned long long number
    if PyLong_CheckExact(seed):
        number = PyLong_AsUnsignedLongLong(seed)
        if number <= 0xFFFFFFFF:
            return <uint32_t> number
        PyErr_Clear()  # the OverflowError for more than 64 bits
        raise bad_int("seed", "[0, 2**32)", seed)
    return checked_int("seed", "[0, 2**32)", seed, 1 << 32)


cdef uint32_t _hash_object(object data, uint32_t seed, Py_ssize_t index) except? 0xFFFFFFFF:
    cdef Py_buffer view
    cdef uint32_t result
    try:
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    except (TypeError, BufferError):
        raise bad_buffer("data" if index < 0 else f"items[{index}]", data) from None
    with nogil:
        result = gdbx_digests_murmur3(<const uint8_t *> view.buf, view.len, seed)
    PyBuffer_Release(&view)
    return result


cdef inline uint32_t _hash(object data, uint32_t seed, Py_ssize_t index) except? 0xFFFFFFFF:
    if PyBytes_CheckExact(data) and PyBytes_GET_SIZE(data) < LONG:
        return gdbx_digests_murmur3(
            <const uint8_t *> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), seed
        )
    return _hash_object(data, seed, index)


def hash32(data, seed=0):
    """Return the 32-bit murmur3 of `data`, as an int in [0, 2**32).

    `data` is any C-contiguous bytes-like object; encode text first. `seed` is an int in
    [0, 2**32). Source: Austin Appleby's MurmurHash3_x86_32.

    Raise ``TypeError`` if `data` is not bytes-like or `seed` not an integer, ``ValueError`` if
    `seed` is out of range or `data` not contiguous.
    """
    # Comparing with the default seed costs no call.
    return _hash(data, 0 if PyLong_CheckExact(seed) and seed == 0 else _seed(seed), -1)


def hash32_many(items, seed=0):
    """Return the 32-bit murmur3 of every item, as an ``array("I")``.

    `items` is an iterable of bytes-like objects. `seed` and the errors are as in ``hash32``; an
    error names the index of the bad item.
    """
    cdef uint32_t seed_ = _seed(seed)
    cdef tuple held = items if type(items) is tuple else checked_items(items)
    cdef Py_ssize_t n = len(held)
    cdef c_array.array result = c_array.clone(array("I"), n, False)
    cdef uint32_t *out = <uint32_t *> result.data.as_uints
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = _hash(held[i], seed_, i)
    return result
