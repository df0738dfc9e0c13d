"""Permutation hashing, compiled: ``csrc/hash2`` for Python. The twin of ``hash2_py``."""

import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ._args import bad_int, checked_int

__all__ = ["SIMD", "consistent_hash", "hash_many", "may_overlap", "set_hash", "set_hash_many"]

cdef extern from "Python.h":
    int PyLong_CheckExact(object) noexcept

cdef extern from "simd.h":
    enum gdbx_simd:
        GDBX_SIMD_PORTABLE
        GDBX_SIMD_NEON
        GDBX_SIMD_AVX2
        GDBX_SIMD_AVX512
    bint gdbx_simd_supports(gdbx_simd) noexcept nogil
    gdbx_simd gdbx_simd_best() noexcept nogil

cdef extern from "hash2.h":
    struct gdbx_hash2_set:
        const uint8_t *bitmap
        uint32_t lowest
        uint32_t highest
    uint32_t GDBX_HASH2_SHARDS
    Py_ssize_t GDBX_HASH2_BITMAP_SIZE
    uint16_t gdbx_hash2_one(uint64_t, uint32_t) noexcept nogil
    void gdbx_hash2_two(
        gdbx_simd, const uint64_t *, size_t, uint32_t, uint32_t, uint16_t *, uint16_t *
    ) noexcept nogil
    uint16_t gdbx_hash2_set_one(uint64_t, const gdbx_hash2_set *) noexcept nogil
    void gdbx_hash2_set_many(
        gdbx_simd, const uint64_t *, size_t, const gdbx_hash2_set *, uint16_t *
    ) noexcept nogil


cdef gdbx_simd _chosen_path() except *:
    """Return the vector path that GODROPBOX_SIMD names, or the widest this machine supports."""
    paths = {
        "portable": GDBX_SIMD_PORTABLE,
        "neon": GDBX_SIMD_NEON,
        "avx2": GDBX_SIMD_AVX2,
        "avx512": GDBX_SIMD_AVX512,
    }
    wanted = os.environ.get("GODROPBOX_SIMD", "auto")
    if wanted == "auto":
        return gdbx_simd_best()
    if wanted not in paths:
        raise ValueError(f"GODROPBOX_SIMD must be auto, {', '.join(paths)}, got {wanted!r}")
    cdef gdbx_simd path = paths[wanted]
    if not gdbx_simd_supports(path):
        raise ValueError(f"GODROPBOX_SIMD={wanted}, but this machine does not run it")
    return path


# Set once at import, before any other thread can read it.
cdef gdbx_simd PATH = _chosen_path()
SIMD = {
    GDBX_SIMD_PORTABLE: "portable",
    GDBX_SIMD_NEON: "neon",
    GDBX_SIMD_AVX2: "avx2",
    GDBX_SIMD_AVX512: "avx512",
}[PATH]


cdef inline uint64_t _key(object key) except? 0xFFFFFFFFFFFFFFFF:
    if PyLong_CheckExact(key):
        try:
            return key
        except OverflowError:
            raise bad_int("key", "[0, 2**64)", key) from None
    return checked_int("key", "[0, 2**64)", key, 1 << 64)


cdef inline uint32_t _num_shards(object num_shards) except? 0xFFFFFFFF:
    cdef long number
    if PyLong_CheckExact(num_shards):
        try:
            number = num_shards
        except OverflowError:
            number = -1
        if 0 <= number <= GDBX_HASH2_SHARDS:
            return <uint32_t> number
        raise bad_int("num_shards", "[0, 65535]", num_shards)
    return checked_int("num_shards", "[0, 65535]", num_shards, 65536)


def consistent_hash(key, num_shards):
    """Return the shard of `key` among `num_shards` shards, as Dropbox's Go package assigns it.

    `key` is an int in [0, 2**64), `num_shards` an int in [0, 65535]. The result is in
    [0, num_shards), and 0 for 0 shards. Compiled, a call takes about 3.5 ns per shard.

    Raise ``TypeError`` for an argument that is not an integer, ``ValueError`` for one out of range.
    """
    cdef uint64_t key_ = _key(key)
    cdef uint32_t num_shards_ = _num_shards(num_shards)
    return gdbx_hash2_one(key_, num_shards_)


cdef int _get(object owner, Py_buffer *view, int flags, Py_ssize_t size) except -1:
    """Get a buffer of exactly `size` bytes, or of any number of keys if `size` is negative."""
    PyObject_GetBuffer(owner, view, flags)
    if view.len != size and (size >= 0 or view.len % 8):
        wanted = "a multiple of 8" if size < 0 else size
        error = ValueError(f"a buffer has {view.len} bytes, expected {wanted}")
        PyBuffer_Release(view)
        raise error
    return 0


def hash_many(keys, uint32_t few, uint32_t many, out_few, out_many):
    """Write the shards of `keys` among `few` shards and, unless `out_many` is None, among `many`.

    `keys` has format "Q"; the outputs have format "H" and its length. 0 <= few <= many <= 65535.
    """
    if not few <= many <= GDBX_HASH2_SHARDS:
        raise ValueError(f"few and many must be few <= many <= 65535, got {few} and {many}")
    cdef Py_buffer held, first, second
    cdef bint two = out_many is not None
    cdef size_t n
    _get(keys, &held, PyBUF_SIMPLE, -1)
    try:
        n = held.len // 8
        _get(out_few, &first, PyBUF_WRITABLE, n * 2)
        try:
            if two:
                _get(out_many, &second, PyBUF_WRITABLE, n * 2)
            else:
                many, second.buf = few, first.buf
            with nogil:
                gdbx_hash2_two(PATH, <const uint64_t *> held.buf, n, few, many,
                               <uint16_t *> first.buf, <uint16_t *> second.buf)
            if two:
                PyBuffer_Release(&second)
        finally:
            PyBuffer_Release(&first)
    finally:
        PyBuffer_Release(&held)


def may_overlap(first, second):
    """Return whether two buffers may share memory; always True in pure Python."""
    cdef Py_buffer one, other
    PyObject_GetBuffer(first, &one, PyBUF_SIMPLE)
    try:
        PyObject_GetBuffer(second, &other, PyBUF_SIMPLE)
        shared = (
            <const char *> one.buf < <const char *> other.buf + other.len
            and <const char *> other.buf < <const char *> one.buf + one.len
        )
        PyBuffer_Release(&other)
        return shared
    finally:
        PyBuffer_Release(&one)


cdef gdbx_hash2_set _set(bytes bitmap, uint32_t lowest, uint32_t highest) except *:
    """Return the set over `bitmap`, which the caller keeps alive; check all that C relies on."""
    cdef gdbx_hash2_set shards
    if len(bitmap) != GDBX_HASH2_BITMAP_SIZE or not lowest <= highest < GDBX_HASH2_SHARDS:
        raise ValueError(f"not a shard set: {len(bitmap)} bytes, {lowest} to {highest}")
    shards.bitmap = <const uint8_t *> PyBytes_AS_STRING(bitmap)
    shards.lowest = lowest
    shards.highest = highest
    return shards


def set_hash(key, bytes bitmap not None, uint32_t lowest, uint32_t highest):
    """Return the shard of `key` among the shards set in `bitmap` (8,192 bytes).

    `lowest` and `highest` are the lowest and the highest id in it. `key` is checked as in
    ``consistent_hash``.
    """
    cdef uint64_t key_ = _key(key)
    cdef gdbx_hash2_set shards = _set(bitmap, lowest, highest)
    return gdbx_hash2_set_one(key_, &shards)


def set_hash_many(keys, bytes bitmap not None, uint32_t lowest, uint32_t highest, out):
    """Write the shards of `keys` (format "Q") to `out` (format "H", same length)."""
    cdef gdbx_hash2_set shards = _set(bitmap, lowest, highest)
    cdef Py_buffer held, found
    cdef size_t n
    _get(keys, &held, PyBUF_SIMPLE, -1)
    try:
        n = held.len // 8
        _get(out, &found, PyBUF_WRITABLE, n * 2)
        with nogil:
            gdbx_hash2_set_many(PATH, <const uint64_t *> held.buf, n, &shards,
                                <uint16_t *> found.buf)
        PyBuffer_Release(&found)
    finally:
        PyBuffer_Release(&held)
