"""Requests to memcached, compiled. The twin of ``wire_request_py``."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ._args import bad_buffer, bad_int
from ._wire import bad_item, bad_key, bad_size, bad_token, checked_range

__all__ = [
    "ascii_each",
    "ascii_keys",
    "ascii_stores",
    "binary_keys",
    "binary_stores",
    "checked_range",
    "has_repeats",
    "meta_keys",
    "meta_stores",
    "roomy_dict",
    "token_kinds",
    "wire_key",
]

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL
    int PyLong_CheckExact(object) noexcept
    unsigned long long PyLong_AsUnsignedLongLong(object) except? 0xFFFFFFFFFFFFFFFF
    long long PyLong_AsLongLong(object) except? -1

cdef extern from *:
    # What Cython itself uses for large dicts: presizes where the interpreter supports it.
    dict __Pyx_PyDict_NewPresized(Py_ssize_t)

cdef extern from "wire.h":
    int gdbx_wire_key_ok(const uint8_t *, size_t) noexcept nogil

cdef extern from "wire_batch.h":
    enum:
        GDBX_WIRE_LINE
        GDBX_WIRE_LINE_KEYS

cdef enum:
    LARGE = 16384  # values from this size on are not copied
    HEADER = 24
    NOOP = 0x0A
    SLOTS = 1024
    LONG_AGO = 2592001  # January 1970: what memcached makes of a negative expiry


cdef class Writer:
    """A request under construction: finished buffers, with large values as they are."""
    cdef char *data
    cdef size_t size, capacity
    cdef list buffers

    def __cinit__(self):
        self.buffers = []

    def __dealloc__(self):
        PyMem_RawFree(self.data)

    cdef inline int reserve(self, size_t more) except -1:
        return self.grow(more) if self.capacity - self.size < more else 0

    cdef int grow(self, size_t more) except -1:
        cdef size_t capacity = self.size + more
        cdef void *memory
        capacity = max(capacity, 2 * self.capacity, <size_t> 512)
        memory = PyMem_RawRealloc(self.data, capacity)
        if memory == NULL:
            raise MemoryError
        self.data = <char *> memory
        self.capacity = capacity
        return 0

    cdef inline int put(self, const char *text, size_t size) except -1:
        self.reserve(size)
        memcpy(self.data + self.size, text, size)
        self.size += size
        return 0

    cdef inline int add(self, bytes text) except -1:
        return self.put(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))

    cdef int decimal(self, uint64_t number) except -1:
        cdef char digits[20]
        cdef int at = 20
        while True:
            at -= 1
            digits[at] = <char> (48 + number % 10)
            number //= 10
            if number == 0:
                break
        return self.put(digits + at, 20 - at)

    cdef int signed(self, int64_t number) except -1:
        if number < 0:
            self.put("-", 1)
            number = -number
        return self.decimal(<uint64_t> number)

    cdef int big_endian(self, uint64_t number, int width) except -1:
        cdef int i
        self.reserve(width)
        for i in range(width - 1, -1, -1):
            self.data[self.size + i] = <char> (number & 0xFF)
            number >>= 8
        self.size += width
        return 0

    cdef int header(self, uint32_t opcode, size_t key, size_t extras, size_t value,
                    uint32_t opaque, uint64_t cas) except -1:
        self.big_endian(0x80, 1)
        self.big_endian(opcode, 1)
        self.big_endian(key, 2)
        self.big_endian(extras, 1)
        self.big_endian(0, 3)
        self.big_endian(key + extras + value, 4)
        self.big_endian(opaque, 4)
        return self.big_endian(cas, 8)

    cdef size_t key(self, object key, bytes prefix) except 0:
        """Add the prefix and the key, and check them; return their size."""
        cdef const char *text
        cdef Py_ssize_t size
        cdef size_t start = self.size, before = PyBytes_GET_SIZE(prefix)
        text_of(key, prefix, &text, &size)
        self.reserve(before + size)
        if before:
            memcpy(self.data + start, PyBytes_AS_STRING(prefix), before)
        memcpy(self.data + start + before, text, size)
        self.size = start + before + size
        if not gdbx_wire_key_ok(<const uint8_t *> self.data + start, self.size - start):
            raise bad_key(key, prefix)
        return self.size - start

    cdef int value(self, object value, Py_buffer *view) except -1:
        """Add a value, by reference if it is large; the caller releases the view."""
        if view.len < LARGE:
            return self.put(<const char *> view.buf, view.len)
        self.cut()
        # A memoryview keeps a mutable buffer from being resized until the request is dropped.
        self.buffers.append(value if type(value) is bytes else value.cast("B"))
        return 0

    cdef int cut(self) except -1:
        if self.size:
            self.buffers.append(self.text())
            self.size = 0
        return 0

    cdef bytes text(self):
        return PyBytes_FromStringAndSize(self.data, self.size)


cdef int text_of(object key, bytes prefix, const char **text, Py_ssize_t *size) except -1:
    if isinstance(key, str):
        try:
            text[0] = PyUnicode_AsUTF8AndSize(key, size)
        except UnicodeEncodeError:
            raise bad_key(key, prefix) from None
    elif isinstance(key, bytes):
        text[0] = PyBytes_AS_STRING(key)
        size[0] = PyBytes_GET_SIZE(key)
    else:
        raise bad_key(key, prefix)
    return 0


def wire_key(key, bytes prefix not None):
    """Return the key as sent on the wire, with its prefix."""
    cdef Writer writer = Writer()
    writer.key(key, prefix)
    return writer.text()


def roomy_dict(Py_ssize_t count):
    """Return an empty dict, presized for `count` keys where the interpreter supports it."""
    return __Pyx_PyDict_NewPresized(count)


def has_repeats(list keys not None):
    """Return whether a key occurs twice in the list."""
    cdef uint16_t table[SLOTS]  # an index of the list plus 1, or 0
    cdef Py_ssize_t i, count = len(keys)
    cdef size_t slot
    cdef object key
    if count > SLOTS // 2:
        return len(set(tuple(keys))) != count
    memset(table, 0, sizeof(table))
    for i in range(count):
        key = keys[i]
        if type(key) is not str and type(key) is not bytes:
            # Its own __hash__ or __eq__ may change the list.
            return len(set(tuple(keys))) != count
        slot = <size_t> hash(key) % SLOTS
        while table[slot]:
            if keys[table[slot] - 1] == key:
                return True
            slot = (slot + 1) % SLOTS
        table[slot] = <uint16_t> (i + 1)
    return False


@cython.boundscheck(True)  # the items are unchecked: not tuples, or too short
def token_kinds(items):
    """Return 1 if some items have no CAS token, 2 if some have one, 3 if both; 0 if empty."""
    cdef int kinds = 0
    cdef object token
    for each in items:
        if isinstance(each, tuple) and PyTuple_GET_SIZE(each) > 3:
            token = <object> PyTuple_GET_ITEM(each, 3)
        else:
            token = each[3]
        kinds |= 2 if token else 1
    return kinds


cdef uint64_t unsigned(str name, object number, uint64_t most, str allowed) except? 1:
    cdef uint64_t value
    if PyLong_CheckExact(number):
        try:
            value = PyLong_AsUnsignedLongLong(number)
            if value <= most:
                return value
        except OverflowError:
            pass
    elif hasattr(type(number), "__index__"):
        return unsigned(name, int(number.__index__()), most, allowed)
    raise bad_int(name, allowed, number)


cdef int64_t expiry(object number) except? -1:
    cdef int64_t value
    if PyLong_CheckExact(number):
        try:
            value = PyLong_AsLongLong(number)
            if -(<int64_t> 1 << 31) <= value < <int64_t> 1 << 31:
                return value
        except OverflowError:
            pass
    elif hasattr(type(number), "__index__"):
        return expiry(int(number.__index__()))
    raise bad_int("expire", "[-2**31, 2**31)", number)


cdef int check_kinds(list keys) except -1:
    """Refuse a mixture of str and bytes, in which two keys can be equal on the wire."""
    cdef bint text = False, raw = False
    for key in keys:
        if isinstance(key, str):
            text = True
        else:
            raw = True
    if text and raw:
        raise TypeError("keys must be all str or all bytes")
    return 0


def ascii_keys(bytes command not None, list keys not None, bytes prefix not None,
               size_t most_line=8192):
    """Return a command for keys, in lines of at most LINE_KEYS of them and `most_line` bytes.

    Each line has the command. None but a short one is of a single key that others go before.
    """
    cdef Writer writer = Writer()
    cdef size_t line = 0, count = 0, end
    cdef Py_ssize_t left = len(keys)
    check_kinds(keys)
    writer.add(command)
    for key in keys:
        left -= 1
        end = writer.size
        writer.put(" ", 1)
        writer.key(key, prefix)
        if (
            (count == GDBX_WIRE_LINE_KEYS or writer.size + 2 - line > most_line)
            and count and (left or most_line < GDBX_WIRE_LINE)
        ):
            writer.size = end
            writer.put("\r\n", 2)
            line, count = writer.size, 0
            writer.add(command)
            writer.put(" ", 1)
            writer.key(key, prefix)
        count += 1
    writer.put("\r\n", 2)
    return writer.text()


def ascii_each(bytes before not None, list keys not None, bytes after not None,
               bytes prefix not None):
    """Return one command per key: `before`, the key, `after`."""
    cdef Writer writer = Writer()
    for key in keys:
        writer.add(before)
        writer.key(key, prefix)
        writer.add(after)
    return writer.text()


cdef class Fields:
    """The checked fields of an item, with a buffer view of its value."""
    cdef object key, value
    cdef Py_buffer view
    cdef bint held
    cdef uint32_t flags
    cdef uint64_t cas
    cdef int64_t expire

    cdef int load(self, object item) except -1:
        cdef tuple fields
        if not isinstance(item, tuple) or len(item) != 5:
            raise bad_item(item)
        fields = <tuple> item  # a subclass, Item
        self.release()
        self.key = fields[0]
        self.flags = <uint32_t> unsigned("flags", fields[2], 0xFFFFFFFF, "[0, 2**32)")
        self.cas = unsigned("cas", fields[3], 0xFFFFFFFFFFFFFFFF, "[0, 2**64)")
        self.expire = expiry(fields[4])
        try:
            # One view only: an object may export another buffer when asked again.
            self.value = fields[1] if type(fields[1]) is bytes else memoryview(fields[1])
            PyObject_GetBuffer(self.value, &self.view, PyBUF_SIMPLE)
        except (TypeError, BufferError):
            raise bad_buffer("value", fields[1]) from None
        self.held = True
        if <uint64_t> self.view.len > 1 << 30:
            raise bad_size(self.view.len)
        return 0

    cdef void release(self) noexcept:
        if self.held:
            self.held = False
            PyBuffer_Release(&self.view)

    def __dealloc__(self):
        self.release()


def ascii_stores(bytes verb not None, items, bytes prefix not None, bint tokens=True):
    """Return a store for each item: `verb`, or cas if it has a CAS token and `tokens` allows it."""
    cdef Writer writer = Writer()
    cdef Fields item = Fields()
    for each in items:
        item.load(each)
        if item.cas and not tokens:
            raise bad_token(item.cas)
        if item.cas:
            writer.put("cas ", 4)
        else:
            writer.add(verb)
        writer.key(item.key, prefix)
        writer.put(" ", 1)
        writer.decimal(item.flags)
        writer.put(" ", 1)
        # nutcracker closes the connection on a negative one.
        writer.signed(item.expire if item.expire >= 0 else LONG_AGO)
        writer.put(" ", 1)
        writer.decimal(item.view.len)
        if item.cas:
            writer.put(" ", 1)
            writer.decimal(item.cas)
        writer.put("\r\n", 2)
        writer.value(item.value, &item.view)
        writer.put("\r\n", 2)
    writer.cut()
    return writer.buffers


def binary_keys(uint32_t opcode, list keys not None, bytes extras not None, uint32_t first,
                bytes prefix not None, bint quiet=False):
    """Return a packet for each key, followed by a NOOP if `quiet`."""
    cdef Writer writer = Writer()
    cdef size_t head, key_size, extras_size = PyBytes_GET_SIZE(extras)
    cdef uint32_t opaque = first
    check_kinds(keys)
    for key in keys:
        head = writer.size
        writer.header(opcode, 0, extras_size, 0, opaque, 0)
        writer.add(extras)
        key_size = writer.key(key, prefix)
        writer.data[head + 3] = <char> key_size  # at most 250, so one byte is enough
        patch32(writer.data + head + 8, key_size + extras_size)
        opaque += 1
    if quiet:
        writer.header(NOOP, 0, 0, 0, opaque, 0)
    return writer.text()


cdef void patch32(char *at, size_t number) noexcept:
    cdef int i
    for i in range(4):
        at[3 - i] = <char> (number >> 8 * i & 0xFF)


def binary_stores(uint32_t opcode, uint32_t zero, items, bint extras, uint32_t first,
                  bytes prefix not None):
    """Return a packet for each item: `opcode` if it has a CAS token, `zero` if not."""
    cdef Writer writer = Writer()
    cdef Fields item = Fields()
    cdef size_t head, key_size, extras_size = 8 if extras else 0
    cdef uint32_t opaque = first
    for each in items:
        item.load(each)
        head = writer.size
        writer.header(opcode if item.cas else zero, 0, extras_size, 0, opaque, item.cas)
        if extras:
            writer.big_endian(item.flags, 4)
            writer.big_endian(item.expire if item.expire >= 0 else LONG_AGO, 4)
        key_size = writer.key(item.key, prefix)
        writer.data[head + 3] = <char> key_size
        patch32(writer.data + head + 8, key_size + extras_size + item.view.len)
        writer.value(item.value, &item.view)
        opaque += 1
    writer.cut()
    return writer.buffers


def meta_keys(bytes command not None, list keys not None, bytes flags not None, uint32_t first,
              bytes prefix not None, bint quiet=False):
    """Return a meta command for each key, followed by mn if `quiet`."""
    cdef Writer writer = Writer()
    cdef uint32_t opaque = first
    check_kinds(keys)
    for key in keys:
        writer.add(command)
        writer.key(key, prefix)
        writer.add(flags)
        writer.put(" O", 2)
        writer.decimal(opaque)
        writer.put(" q\r\n" if quiet else "\r\n", 4 if quiet else 2)
        opaque += 1
    if quiet:
        writer.put("mn\r\n", 4)
    return writer.text()


def meta_stores(bytes flags not None, bytes zero not None, items, uint32_t first,
                bytes prefix not None):
    """Return a meta store for each item: `flags` if it has a CAS token, `zero` if not."""
    cdef Writer writer = Writer()
    cdef Fields item = Fields()
    cdef uint32_t opaque = first
    for each in items:
        item.load(each)
        writer.put("ms ", 3)
        writer.key(item.key, prefix)
        writer.put(" ", 1)
        writer.decimal(item.view.len)
        writer.put(" F", 2)
        writer.decimal(item.flags)
        writer.put(" T", 2)
        writer.signed(item.expire)
        if item.cas:
            writer.put(" C", 2)
            writer.decimal(item.cas)
            writer.add(flags)
        else:
            writer.add(zero)
        writer.put(" O", 2)
        writer.decimal(opaque)
        writer.put("\r\n", 2)
        writer.value(item.value, &item.view)
        writer.put("\r\n", 2)
        opaque += 1
    writer.cut()
    return writer.buffers
