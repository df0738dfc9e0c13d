# The things of a batch, taken apart for C: the bytes of keys and values, numbers, and shards.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from .placement_c cimport Placement, gdbx_text
from .wire_csrc cimport gdbx_wire_asked, gdbx_wire_batch, gdbx_wire_key_fits

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL
    bint PyUnicode_Check(PyObject *) noexcept
    bint PyUnicode_IS_COMPACT_ASCII(PyObject *) noexcept
    void *PyUnicode_DATA(PyObject *) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *) noexcept
    int PyLong_CheckExact(object) noexcept
    long long PyLong_AsLongLongAndOverflow(object, int *) except? -1

cdef enum:
    MOST_KEY = 250
    LEAST_EXPIRY = -0x7FFFFFFF - 1
    MOST_EXPIRY = 0x7FFFFFFF
    LARGE = 16384  # from here on a value is better sent from where it lies


cdef inline int room_for(void **memory, size_t *capacity, size_t wanted) except -1:
    """Have at least so many bytes there; what they hold is not kept."""
    if capacity[0] >= wanted:
        return 0
    PyMem_RawFree(memory[0])
    capacity[0] = 0
    memory[0] = PyMem_RawMalloc(wanted + wanted // 2)
    if memory[0] == NULL:
        raise MemoryError
    capacity[0] = wanted + wanted // 2
    return 0


cdef inline gdbx_text text_of(bytes given) noexcept:
    cdef gdbx_text text
    text.data, text.size = <const uint8_t *> PyBytes_AS_STRING(given), PyBytes_GET_SIZE(given)
    return text


cdef inline int64_t number_of(object number, int64_t least, int64_t most, bint *is_fit) except? -1:
    """Return an int that is one exactly and in the range; otherwise `is_fit` becomes false."""
    cdef int overflow = 0
    cdef int64_t value = 0
    if PyLong_CheckExact(number):
        value = PyLong_AsLongLongAndOverflow(number, &overflow)
        if not overflow and least <= value <= most:
            return value
    is_fit[0] = False
    return 0


cdef inline bint take_keys(gdbx_wire_batch *batch, list things) except -1:
    """Find the bytes of the keys; return whether they need no one's attention."""
    cdef size_t i
    cdef bint is_text = isinstance(things[0], str)
    cdef PyObject *key
    for i in range(<size_t> len(things)):
        key = PyList_GET_ITEM(things, i)
        # In a mixture of str and bytes two keys may be the same on the wire.
        if PyUnicode_Check(key) != is_text or not take_key(batch, i, key):
            return False
    return True


cdef inline bint take_key(gdbx_wire_batch *batch, size_t i, PyObject *key) except -1:
    cdef gdbx_wire_asked *one = &batch.asked[i]
    cdef gdbx_text *text = <gdbx_text *> &batch.keys[i]
    if PyUnicode_Check(key) and PyUnicode_IS_COMPACT_ASCII(key):
        text.data = <const uint8_t *> PyUnicode_DATA(key)
        text.size = <size_t> PyUnicode_GET_LENGTH(key)
    elif not take_other(text, <object> key):
        return False
    one.found, one.value.data, one.value.size = NULL, NULL, 0
    batch.count = i + 1
    return (
        batch.prefix.size + text.size <= MOST_KEY
        and gdbx_wire_key_fits(text.data, text.size)
    )


cdef inline bint take_other(gdbx_text *text, object key) except -1:
    cdef Py_ssize_t size
    if isinstance(key, bytes):  # or of a subclass
        text.data = <const uint8_t *> PyBytes_AS_STRING(key)
        text.size = PyBytes_GET_SIZE(key)
    elif isinstance(key, str):
        try:
            text.data = <const uint8_t *> PyUnicode_AsUTF8AndSize(key, &size)
        except UnicodeEncodeError:
            return False
        text.size = size
    else:
        return False
    return True


cdef inline bint take_items(gdbx_wire_batch *batch, list things, type kind) except -1:
    """The same for items, of which none has a value that is better sent from where it lies."""
    cdef size_t i
    cdef object item, value
    cdef gdbx_wire_asked *one
    cdef bint is_fit = issubclass(kind, tuple)
    for i in range(<size_t> len(things) if is_fit else 0):
        item = <object> PyList_GET_ITEM(things, i)
        # An object may claim to be of another class.
        if not (isinstance(item, kind) and isinstance(item, tuple) and PyTuple_GET_SIZE(item) == 5):
            return False
        value = <object> PyTuple_GET_ITEM(item, 1)
        if not take_key(batch, i, PyTuple_GET_ITEM(item, 0)):
            return False
        if type(value) is not bytes or PyBytes_GET_SIZE(value) >= LARGE:
            return False
        one = &batch.asked[i]
        one.value = text_of(value)
        one.flags = <uint32_t> number_of(
            <object> PyTuple_GET_ITEM(item, 2), 0, 0xFFFFFFFF, &is_fit
        )
        one.cas = <uint64_t> number_of(<object> PyTuple_GET_ITEM(item, 3), 0, INT64_MAX, &is_fit)
        one.expire = number_of(
            <object> PyTuple_GET_ITEM(item, 4), LEAST_EXPIRY, MOST_EXPIRY, &is_fit
        )
        if not is_fit:
            return False
    return is_fit


cdef inline bint take_values(
    gdbx_wire_batch *batch, list keys, list values, list flags, object expire
) except -1:
    """The same for keys with a value and flags each, None for 0, and one expiry."""
    cdef size_t i, n = len(keys)
    cdef object value
    cdef gdbx_wire_asked *one
    cdef bint is_fit = True
    cdef int64_t until = number_of(expire, LEAST_EXPIRY, MOST_EXPIRY, &is_fit)
    if <size_t> len(values) != n or (flags is not None and <size_t> len(flags) != n):
        raise ValueError(f"values and flags must be {n}, one a key")
    for i in range(n):
        value = <object> PyList_GET_ITEM(values, i)
        if not take_key(batch, i, PyList_GET_ITEM(keys, i)):
            return False
        if type(value) is not bytes or PyBytes_GET_SIZE(value) >= LARGE:
            return False
        one = &batch.asked[i]
        one.value, one.cas, one.expire, one.flags = text_of(value), 0, until, 0
        if flags is not None:
            one.flags = <uint32_t> number_of(
                <object> PyList_GET_ITEM(flags, i), 0, 0xFFFFFFFF, &is_fit
            )
    return is_fit


cdef inline bint place(
    gdbx_wire_batch *batch, list things, bint of_items, object placement, uint16_t *shards,
    size_t num_shards
) except -1:
    """Find the shards of the keys; return whether each has one."""
    cdef size_t i
    cdef Py_ssize_t shard
    cdef tuple places
    if isinstance(placement, Placement):
        return (<Placement> placement).by_text(batch.keys, batch.count, shards)
    # The list that holds what is pointed to is shown to nobody, and what is returned is nobody else's.
    keys = [<object> PyTuple_GET_ITEM(thing, 0) for thing in things] if of_items else things[:]
    places = tuple(placement.of_many(keys))
    if len(places) != <Py_ssize_t> batch.count:
        raise ValueError(f"shards must be {batch.count}, one a key, got {len(places)}")
    for i in range(batch.count):
        shard = places[i]
        if not 0 <= shard < <Py_ssize_t> num_shards:
            return False
        shards[i] = <uint16_t> shard
    return True
