"""Which server of a fleet owns a key, compiled: ``csrc/placement``.

The twin of ``placement_py``.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ._identity import refuse_copies
from ._placement import (
    NOT_A_KEY,
    bad_key,
    bad_keys,
    bitmap_of,
    checked_names,
    checked_points,
    checked_shards,
    low_bytes,
)

__all__ = [
    "NOT_A_KEY",
    "Placement",
    "crc15_modulo",
    "crc32",
    "fnv1a",
    "hash2",
    "hash2_among",
    "jenkins",
    "jenkins_modulo",
    "jump",
    "ketama",
    "md5_modulo",
    "one_at_a_time",
    "rendezvous",
]

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL

cdef extern from "simd.h":
    enum gdbx_simd:
        GDBX_SIMD_PORTABLE
        GDBX_SIMD_NEON
        GDBX_SIMD_AVX2
        GDBX_SIMD_AVX512
    gdbx_simd gdbx_simd_best() noexcept nogil

cdef extern from "digests.h":
    uint64_t gdbx_digests_fnv1a(const uint8_t *, size_t) noexcept nogil
    void gdbx_digests_fnv1a_many(const gdbx_text *, size_t, uint64_t *) noexcept nogil
    uint32_t gdbx_digests_jenkins(const uint8_t *, size_t) noexcept nogil

cdef extern from "placement.h":
    gdbx_placement_node gdbx_placement_make_node(const uint8_t *, size_t, uint16_t) noexcept nogil
    uint16_t gdbx_placement_one(const gdbx_placement *, const uint8_t *, size_t) noexcept nogil
    void gdbx_placement_many(
        gdbx_simd, const gdbx_placement *, const uint64_t *, size_t, uint16_t *
    ) noexcept nogil

cdef enum:
    NONE = -2  # NOT_A_KEY
    FEW = 256  # keys per step
    # Keys times shards from which the widest registers pay. Using them slows down the code that
    # follows, by more than they save for a hundred keys on a few shards.
    WIDE = 1 << 14
    # Keys times shards from which releasing the interpreter lock pays.
    LONG = 1 << 17

# PATH is the path that GODROPBOX_SIMD names, which hash2_c has checked, or else the widest; NARROW is
# the path for little work. Set once at import, before any other thread can read them.
cdef dict PATHS = {
    "portable": GDBX_SIMD_PORTABLE,
    "neon": GDBX_SIMD_NEON,
    "avx2": GDBX_SIMD_AVX2,
    "avx512": GDBX_SIMD_AVX512,
}
cdef gdbx_simd PATH = PATHS.get(os.environ.get("GODROPBOX_SIMD"), gdbx_simd_best())
cdef gdbx_simd NARROW = PATH
if PATH == GDBX_SIMD_AVX512 and "GODROPBOX_SIMD" not in os.environ:
    NARROW = GDBX_SIMD_AVX2


cdef inline bint _text(object key, gdbx_text *text) except -1:
    """Point `text` at the bytes of a key, which must outlive it; return False for an invalid key."""
    cdef Py_ssize_t size
    if isinstance(key, str):
        try:
            text.data = <const uint8_t *> PyUnicode_AsUTF8AndSize(key, &size)
        except UnicodeEncodeError:
            return False
        text.size = size
        return True
    if isinstance(key, bytes):
        text.data, text.size = <const uint8_t *> PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)
        return True
    return False


def fnv1a(key):
    """Return the 64-bit FNV-1a hash of a key, as Go's ``fnv.New64a`` does.

    `key` is bytes, or a str that is encoded as UTF-8. Raise ``TypeError`` for any other type,
    ``ValueError`` for a str that UTF-8 cannot encode.
    """
    cdef gdbx_text text
    if not _text(key, &text):
        raise bad_key(key)
    return gdbx_digests_fnv1a(text.data, text.size)


def one_at_a_time(key):
    """Return libhashkit's 32-bit one-at-a-time hash of a key.

    The key and the errors are as in ``fnv1a``.
    """
    cdef gdbx_text text
    if not _text(key, &text):
        raise bad_key(key)
    return gdbx_digests_jenkins(text.data, text.size)


cdef class Placement:
    """Assigns keys to the shards of one fleet by one rule; immutable and thread-safe.

    ``of(key)`` returns the shard of a key and raises as ``fnv1a`` does. ``of_many(keys)`` returns
    a list with the shard of each key, and ``NOT_A_KEY`` for each key for which ``of`` would raise.
    """

    __reduce_ex__ = refuse_copies

    def __init__(self, *args, **kwargs):
        raise TypeError("a Placement is made by the functions of its module")

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    cdef int place(self, object key) except? -1:
        cdef gdbx_text text
        if not _text(key, &text):
            return NONE
        if self.placement.rule == GDBX_PLACEMENT_RENDEZVOUS and not _is_ascii(&text):
            return self.place_low(low_bytes(key))
        return gdbx_placement_one(&self.placement, text.data, text.size)

    cdef int place_low(self, bytes key) except? -1:
        return gdbx_placement_one(
            &self.placement, <const uint8_t *> PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)
        )

    def of(self, key):
        cdef int shard = self.place(key)
        if shard < 0:
            raise bad_key(key)
        return shard

    def of_many(self, keys):
        cdef tuple held
        if isinstance(keys, (str, bytes)) or not hasattr(type(keys), "__iter__"):
            raise bad_keys(keys)
        held = tuple(keys)  # no other code can change it
        if self.placement.rule <= GDBX_PLACEMENT_HASH2_SET:
            return self.by_hash2(held)
        return [self.place(key) for key in held]

    cdef list by_hash2(self, tuple keys):
        cdef gdbx_text texts[FEW]
        cdef uint16_t shards[FEW]
        cdef Py_ssize_t n = len(keys), start, size, i
        cdef list result = PyList_New(n)
        cdef object shard  # else Cython infers a C int
        for start in range(0, n, FEW):
            size = min(n - start, <Py_ssize_t> FEW)
            for i in range(size):
                if not _text(keys[start + i], &texts[i]):
                    texts[i].data, texts[i].size = NULL, 0
            self.by_text(texts, size, shards)
            for i in range(size):
                shard = NONE if texts[i].data == NULL else shards[i]
                Py_INCREF(shard)
                PyList_SET_ITEM(result, start + i, shard)
        return result

    cdef bint by_text(self, const gdbx_text *texts, size_t n, uint16_t *shards) noexcept:
        """Assign keys by their bytes; return False if the rule needs their characters."""
        cdef uint64_t numbers[FEW]
        cdef size_t start, size, work = n * self.placement.num_shards
        cdef gdbx_simd path = PATH if work >= WIDE else NARROW
        if self.placement.rule > GDBX_PLACEMENT_HASH2_SET:
            return self.by_each_text(texts, n, shards)
        for start in range(0, n, FEW):
            size = min(n - start, <size_t> FEW)
            gdbx_digests_fnv1a_many(texts + start, size, numbers)
            if work >= LONG:
                with nogil:
                    gdbx_placement_many(path, &self.placement, numbers, size, shards + start)
            else:
                gdbx_placement_many(path, &self.placement, numbers, size, shards + start)
        return True

    cdef bint by_each_text(self, const gdbx_text *texts, size_t n,
                           uint16_t *shards) noexcept:
        cdef size_t i
        cdef bint by_characters = self.placement.rule == GDBX_PLACEMENT_RENDEZVOUS
        for i in range(n):
            if by_characters and not _is_ascii(&texts[i]):
                return False
            shards[i] = gdbx_placement_one(&self.placement, texts[i].data, texts[i].size)
        return True


cdef inline bint _is_ascii(const gdbx_text *text) noexcept:
    cdef uint8_t any = 0
    cdef size_t i
    for i in range(text.size):
        any |= text.data[i]
    return any < 0x80


cdef Placement _new(gdbx_placement_rule rule, uint32_t num_shards):
    cdef Placement made = Placement.__new__(Placement)
    made.placement.rule = rule
    made.placement.num_shards = num_shards
    return made


cdef void *_memory(Placement owner, size_t count, size_t size) except NULL:
    owner.memory = PyMem_RawMalloc(count * size)
    if owner.memory == NULL:
        raise MemoryError
    return owner.memory


def hash2(num_shards):
    """Return the placement by hash2 of FNV-1a among `num_shards` shards, in [1, 65535]."""
    return _new(GDBX_PLACEMENT_HASH2, checked_shards(num_shards))


def hash2_among(shards):
    """Return the placement by hash2 of FNV-1a among the given shard ids."""
    cdef Placement made
    bitmap, lowest, highest = bitmap_of(shards)
    made = _new(GDBX_PLACEMENT_HASH2_SET, highest + 1)
    made.bitmap = bitmap
    made.placement.set.bitmap = <const uint8_t *> PyBytes_AS_STRING(made.bitmap)
    made.placement.set.lowest = lowest
    made.placement.set.highest = highest
    return made


def crc32(num_shards):
    """Return the placement by zlib's CRC-32 modulo `num_shards`, in [1, 65535]."""
    return _new(GDBX_PLACEMENT_CRC32, checked_shards(num_shards))


def jenkins_modulo(num_shards):
    """Return the placement by libhashkit's one-at-a-time hash modulo `num_shards`."""
    return _new(GDBX_PLACEMENT_JENKINS_MODULO, checked_shards(num_shards))


def md5_modulo(num_shards):
    """Return the placement by the first 32-bit word of a key's MD5 modulo `num_shards`."""
    return _new(GDBX_PLACEMENT_MD5_MODULO, checked_shards(num_shards))


def crc15_modulo(num_shards):
    """Return the placement by bits 16 to 30 of zlib's CRC-32 modulo `num_shards`."""
    return _new(GDBX_PLACEMENT_CRC15_MODULO, checked_shards(num_shards))


def jump(num_shards):
    """Return the placement by jump hash of FNV-1a among `num_shards` shards, in [1, 65535].

    Source: John Lamping and Eric Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm".
    """
    return _new(GDBX_PLACEMENT_JUMP, checked_shards(num_shards))


cdef Placement _ring(gdbx_placement_rule rule, points):
    cdef list ring = checked_points(points)
    cdef Placement made = _new(rule, 0)
    cdef size_t n = len(ring), i
    cdef gdbx_placement_point *to = <gdbx_placement_point *> _memory(
        made, n, sizeof(gdbx_placement_point)
    )
    for i in range(n):
        to[i].value, to[i].shard = ring[i]
    made.placement.points = to
    made.placement.num_points = n
    return made


def ketama(points):
    """Return the placement on a ring by the first 32-bit word of a key's MD5.

    `points` are (value, shard) pairs in any order, with values in [0, 2**32) and shards in
    [0, 65534]. A key belongs to the first point whose value is at least the key's hash, and past
    the last point to the first one.
    """
    return _ring(GDBX_PLACEMENT_KETAMA, points)


def jenkins(points):
    """Return the placement on a ring by libhashkit's one-at-a-time hash of a key.

    `points` are as in ``ketama``.
    """
    return _ring(GDBX_PLACEMENT_JENKINS, points)


def rendezvous(names):
    """Return the placement on the shard whose name scores highest for a key.

    The score is the 32-bit murmur3 of the name followed by the low byte of each of the key's
    characters, as in pymemcache. `names` are (name, shard) pairs with shards in [0, 65534]; the
    first of equal scores wins.
    """
    cdef list pairs = checked_names(names)
    cdef Placement made = _new(GDBX_PLACEMENT_RENDEZVOUS, 0)
    cdef size_t n = len(pairs), i
    cdef gdbx_placement_node *to = <gdbx_placement_node *> _memory(
        made, n, sizeof(gdbx_placement_node)
    )
    cdef bytes name
    for i in range(n):
        name, shard = pairs[i]
        to[i] = gdbx_placement_make_node(
            <const uint8_t *> PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), shard
        )
    made.placement.nodes = to
    made.placement.num_nodes = n
    return made
