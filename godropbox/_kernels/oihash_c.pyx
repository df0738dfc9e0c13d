"""Order-independent hashing, compiled: ``csrc/oihash`` for Python. The twin of ``oihash_py``."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport uint8_t

from ._args import bad_buffer, checked_items
from ._oihash import bad_size

__all__ = ["added", "added_hashes"]

cdef extern from "text.h":
    struct gdbx_text:
        const uint8_t *data
        size_t size

cdef extern from "sha256.h":
    enum gdbx_sha256_path:
        pass
    gdbx_sha256_path gdbx_sha256_best() noexcept nogil

cdef extern from "oihash.h":
    void gdbx_oihash_items(gdbx_sha256_path, const gdbx_text *, size_t, uint8_t *) noexcept nogil
    void gdbx_oihash_hashes(const gdbx_text *, size_t, uint8_t *) noexcept nogil
    void gdbx_oihash_combine(const uint8_t *, const uint8_t *, bint, uint8_t *) noexcept nogil

cdef enum:
    SIZE = 32
    FEW = 16  # items that are held without allocating
    LONG = 8192  # bytes from which releasing the interpreter lock pays

# Set once at import, before any other thread can read it.
cdef gdbx_sha256_path PATH = gdbx_sha256_best()


cdef bytes _combined(bytes digest, const uint8_t *sums, bint removes):
    cdef bytes result = PyBytes_FromStringAndSize(NULL, SIZE)
    gdbx_oihash_combine(
        <const uint8_t *> PyBytes_AS_STRING(digest), sums, removes, <uint8_t *> PyBytes_AS_STRING(result)
    )
    return result


cdef bytes _of(bytes digest, tuple items, bint are_hashes, bint removes):
    """Point at the bytes of every item, and add them up."""
    cdef gdbx_text few[FEW]
    cdef gdbx_text *texts = few
    cdef Py_buffer view
    cdef uint8_t sums[SIZE]
    cdef Py_ssize_t i, n = len(items)
    cdef size_t size = 0
    cdef list copies = None  # of what is not bytes: it could change while the lock is released
    if n > FEW:
        texts = <gdbx_text *> PyMem_RawMalloc(n * sizeof(gdbx_text))
        if texts is NULL:
            raise MemoryError()
    try:
        for i in range(n):
            item = items[i]
            if not PyBytes_CheckExact(item):
                try:
                    PyObject_GetBuffer(item, &view, PyBUF_SIMPLE)
                except (TypeError, BufferError):
                    raise bad_buffer(f"items[{i}]", item) from None
                try:
                    item = PyBytes_FromStringAndSize(<char *> view.buf, view.len)
                finally:
                    PyBuffer_Release(&view)
                if copies is None:
                    copies = []
                copies.append(item)
            texts[i].data = <const uint8_t *> PyBytes_AS_STRING(item)
            texts[i].size = PyBytes_GET_SIZE(item)
            if are_hashes and texts[i].size != SIZE:
                raise bad_size(f"items[{i}]", texts[i].size)
            size += texts[i].size
        if are_hashes:
            gdbx_oihash_hashes(texts, n, sums)
        elif size < LONG and n < FEW:
            gdbx_oihash_items(PATH, texts, n, sums)
        else:
            with nogil:
                gdbx_oihash_items(PATH, texts, n, sums)
    finally:
        if texts is not few:
            PyMem_RawFree(texts)
    return _combined(digest, sums, removes)


def added(digest, items, removes=False):
    """Return a digest with the SHA-256 of every item added, or taken away if `removes`.

    `digest` is one that this function returned, or 32 zero bytes, `items` an iterable of
    C-contiguous bytes-like objects. Source: Dropbox's ``oihash``.

    Raise ``TypeError`` for an item that is not bytes-like, ``ValueError`` for one that is not
    contiguous; the error names its index.
    """
    return _of(digest, items if type(items) is tuple else checked_items(items), False, removes)


def added_hashes(digest, items, removes=False):
    """Return a digest with the hash of every item, of 32 bytes, added or taken away.

    The arguments and errors are as in ``added``; raise ``ValueError`` for another size.
    """
    return _of(digest, items if type(items) is tuple else checked_items(items), True, removes)
