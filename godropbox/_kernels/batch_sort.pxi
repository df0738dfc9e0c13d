# The first half of batch_c.pyx: the things of a batch, taken apart and sorted by server.

cdef enum:
    MOST_KEY = 250
    LARGE = 16384  # from here on a value is better sent from where it lies
    HELD = 1 << 16  # bytes that are copied with the interpreter locked, as that is quicker

cdef int64_t LEAST_EXPIRY = -(<int64_t> 1 << 31)


cdef inline gdbx_text _text(bytes given) noexcept:
    cdef gdbx_text text
    text.data, text.size = <const uint8_t *> PyBytes_AS_STRING(given), PyBytes_GET_SIZE(given)
    return text


cdef int _room(void **memory, size_t *capacity, size_t wanted) except -1:
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


cdef inline int64_t _number(object number, int64_t least, int64_t most, bint *is_fit) except? -1:
    """Return an int that is one exactly and in the range; otherwise `is_fit` becomes false."""
    cdef int overflow = 0
    cdef int64_t value = 0
    if PyLong_CheckExact(number):
        value = PyLong_AsLongLongAndOverflow(number, &overflow)
        if not overflow and least <= value <= most:
            return value
    is_fit[0] = False
    return 0


cdef class Sorted:
    """The keys of one batch in a list for each server."""

    cdef list things  # the keys or items, which hold what is pointed to
    cdef list values  # what holds the values, if not the items
    cdef bytes prefix
    cdef gdbx_wire_batch batch
    cdef gdbx_wire_many many
    cdef uint16_t *shards
    cdef uint16_t *by_shard
    cdef int *sockets
    cdef void *held  # the arrays
    cdef size_t held_size

    def __dealloc__(self):
        self.let_go()
        PyMem_RawFree(self.held)

    cdef int let_go(self) except -1:
        """Give back what belongs to the batch, and keep the room."""
        cdef size_t i
        for i in range(self.batch.used):
            PyMem_RawFree(self.batch.servers[i].own)
        for i in range(self.batch.count):
            Py_XDECREF(<PyObject *> self.batch.asked[i].found)
        self.batch.used = self.batch.count = 0
        self.things = self.values = None
        return 0

    cdef int load(self, list things, bytes prefix, size_t num_shards) except -1:
        """Have room for the arrays of so many keys and servers."""
        cdef size_t n = len(things), most = min(n, num_shards)
        cdef size_t a_key = sizeof(gdbx_text) + sizeof(gdbx_wire_asked) + sizeof(uint16_t)
        cdef size_t a_server = sizeof(gdbx_wire_server) + sizeof(gdbx_wire_io) + 2 * sizeof(int)
        cdef gdbx_text *keys
        _room(
            &self.held, &self.held_size, n * a_key + most * a_server + gdbx_wire_many_room(most)
            + num_shards * sizeof(uint16_t),
        )
        # In the order of what has to be aligned to what.
        keys = <gdbx_text *> self.held
        self.batch.keys = keys
        self.batch.asked = <gdbx_wire_asked *> (keys + n)
        self.batch.servers = <gdbx_wire_server *> (self.batch.asked + n)
        self.many.ios = <gdbx_wire_io *> (self.batch.servers + most)
        self.many.room = self.many.ios + most
        self.many.results = <int *> (<char *> self.many.room + gdbx_wire_many_room(most))
        self.sockets = self.many.results + most
        self.shards = <uint16_t *> (self.sockets + most)
        self.by_shard = self.shards + n
        self.many.count = self.many.is_late = 0
        self.things, self.prefix = things, prefix
        self.batch.prefix = _text(prefix)
        return 0

    cdef bint take_keys(self) except -1:
        """Find the bytes of the keys; return whether they need no one's attention."""
        cdef list things = self.things
        cdef size_t i
        cdef bint is_text = isinstance(things[0], str)
        cdef PyObject *key
        for i in range(<size_t> len(things)):
            key = PyList_GET_ITEM(things, i)
            # In a mixture of str and bytes two keys may be the same on the wire.
            if PyUnicode_Check(key) != is_text or not self.take_key(i, key):
                return False
        return True

    cdef inline bint take_key(self, size_t i, PyObject *key) except -1:
        cdef gdbx_wire_asked *one = &self.batch.asked[i]
        cdef gdbx_text *text = <gdbx_text *> &self.batch.keys[i]
        if PyUnicode_Check(key) and PyUnicode_IS_COMPACT_ASCII(key):
            text.data = <const uint8_t *> PyUnicode_DATA(key)
            text.size = <size_t> PyUnicode_GET_LENGTH(key)
        elif not self.take_other(text, <object> key):
            return False
        one.found, one.value.data, one.value.size = NULL, NULL, 0
        self.batch.count = i + 1
        return (
            self.batch.prefix.size + text.size <= MOST_KEY
            and gdbx_wire_key_fits(text.data, text.size)
        )

    cdef bint take_other(self, gdbx_text *text, object key) except -1:
        cdef Py_ssize_t size
        if isinstance(key, bytes):
            text[0] = _text(key)
        elif isinstance(key, str):
            try:
                text.data = <const uint8_t *> PyUnicode_AsUTF8AndSize(key, &size)
            except UnicodeEncodeError:
                return False
            text.size = size
        else:
            return False
        return True

    cdef bint take_items(self, type kind) except -1:
        """The same for items, of which none has a value that is better sent from where it lies."""
        cdef size_t i
        cdef object item, value
        cdef gdbx_wire_asked *one
        cdef bint is_fit = issubclass(kind, tuple)
        for i in range(<size_t> len(self.things) if is_fit else 0):
            item = <object> PyList_GET_ITEM(self.things, i)
            if not isinstance(item, kind) or PyTuple_GET_SIZE(item) != 5:
                return False
            value = <object> PyTuple_GET_ITEM(item, 1)
            if not self.take_key(i, PyTuple_GET_ITEM(item, 0)):
                return False
            if type(value) is not bytes or PyBytes_GET_SIZE(value) >= LARGE:
                return False
            one = &self.batch.asked[i]
            one.value = _text(value)
            one.flags = <uint32_t> _number(
                <object> PyTuple_GET_ITEM(item, 2), 0, 0xFFFFFFFF, &is_fit
            )
            one.cas = <uint64_t> _number(<object> PyTuple_GET_ITEM(item, 3), 0, INT64_MAX, &is_fit)
            one.expire = _number(
                <object> PyTuple_GET_ITEM(item, 4), LEAST_EXPIRY, 0xFFFFFFFF, &is_fit
            )
            if not is_fit:
                return False
        return is_fit

    cdef bint take_values(self, list values, list flags, object expire) except -1:
        """The same for keys with a value and flags each, None for 0, and one expiry."""
        cdef list keys = self.things
        cdef size_t i, n = len(keys)
        cdef object value
        cdef gdbx_wire_asked *one
        cdef bint is_fit = True
        cdef int64_t until = _number(expire, LEAST_EXPIRY, 0xFFFFFFFF, &is_fit)
        if <size_t> len(values) != n or (flags is not None and <size_t> len(flags) != n):
            raise ValueError(f"values and flags must be {n}, one a key")
        self.values = values
        for i in range(n):
            value = <object> PyList_GET_ITEM(values, i)
            if not self.take_key(i, PyList_GET_ITEM(keys, i)):
                return False
            if type(value) is not bytes or PyBytes_GET_SIZE(value) >= LARGE:
                return False
            one = &self.batch.asked[i]
            one.value, one.cas, one.expire, one.flags = _text(value), 0, until, 0
            if flags is not None:
                one.flags = <uint32_t> _number(
                    <object> PyList_GET_ITEM(flags, i), 0, 0xFFFFFFFF, &is_fit
                )
        return is_fit

    cdef bint place(self, object placement, size_t num_shards, bint of_items) except -1:
        """Find the shards of the keys; return whether each has one."""
        cdef size_t i
        cdef list places
        if isinstance(placement, Placement):
            return (<Placement> placement).by_text(self.batch.keys, self.batch.count, self.shards)
        places = placement.of_many([thing[0] for thing in self.things] if of_items else self.things)
        if len(places) != <Py_ssize_t> self.batch.count:
            raise ValueError(f"places must be {self.batch.count}, one a key, got {len(places)}")
        for i in range(self.batch.count):
            if not 0 <= places[i] < num_shards:
                return False
            self.shards[i] = <uint16_t> places[i]
        return True
