"""Batches in the ASCII protocol, compiled: ``csrc/wire_batch`` for Python. The twin of ``batch_py``.

A batch sorts keys by shard, writes a request for each shard, and matches replies to keys as they
are received; it does no I/O. Replies share one buffer, which holds a reply only while it is parsed;
a reply that is received in pieces gets a buffer of its own.
"""

cimport cython
from cpython cimport array as c_array
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_SetItem
from cpython.list cimport PyList_GET_ITEM
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import os
from array import array

from ._identity import refuse_copies
from ._wire import Asked, bad_reply, failures_of
from .batch_things cimport place, room_for, take_items, take_keys, take_values, text_of
from .placement_c cimport gdbx_text
from .wire_c cimport Reply
from .wire_csrc cimport (
    GDBX_WIRE_BARE, GDBX_WIRE_FAILED, GDBX_WIRE_LINE, GDBX_WIRE_LINES, GDBX_WIRE_NONE, GDBX_WIRE_STORED,
    GDBX_WIRE_STRICT, GDBX_WIRE_UNSORTED, GDBX_WIRE_VALUES, GDBX_WIRE_VERB, gdbx_wire_asked,
    gdbx_wire_batch, gdbx_wire_batch_get, gdbx_wire_batch_get_size, gdbx_wire_batch_index,
    gdbx_wire_batch_count_lines, gdbx_wire_batch_named, gdbx_wire_batch_slots, gdbx_wire_batch_sort, gdbx_wire_batch_store,
    gdbx_wire_batch_store_size, gdbx_wire_batch_take_stored, gdbx_wire_batch_take_values,
    gdbx_wire_io, gdbx_wire_part, gdbx_wire_record, gdbx_wire_server,
)

__all__ = ["Batch", "Part", "batch_of_items", "batch_of_keys", "batch_of_values"]

cdef extern from *:
    # What Cython makes its own large dicts with: the interpreter's way to do so, where it has one.
    dict __Pyx_PyDict_NewPresized(Py_ssize_t)

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define FETCH(place) __builtin_prefetch(place)
    #else
    #define FETCH(place) ((void) (place))
    #endif
    """
    void FETCH(const void *) noexcept nogil

cdef enum:
    SHARED = 1 << 16  # bytes of the buffer that replies share
    MOST_KEYS = 1 << 30
    MOST_SHARDS = 0xFFFF
    AHEAD = 16  # values that are fetched from memory before they are needed
    RECORDS = 32  # answers that are parsed before they are matched
    MOST_KEPT = 1 << 20  # the most memory that is kept for the next batch

cdef c_array.array FLAGS = array("I")
cdef c_array.array TOKENS = array("Q")
cdef bytes SECRET = os.urandom(16)  # the seed of tables of keys

cdef struct room:
    # Memory that one batch leaves to another.
    void *held  # the arrays
    size_t held_size
    uint8_t *out  # the requests
    size_t out_size
    gdbx_wire_record records[RECORDS]
    uint8_t scratch[SHARED]


cdef void free_room(room *rooms) noexcept:
    if rooms != NULL:
        PyMem_RawFree(rooms.held)
        PyMem_RawFree(rooms.out)
        PyMem_RawFree(rooms)


@cython.final
cdef class Part(Reply):
    """One shard's part of a batch: its request, and the reply to it."""

    __reduce_ex__ = refuse_copies

    cdef Batch batch
    cdef size_t at  # in the batch's servers
    cdef size_t offset  # of its request in the batch's memory for them
    cdef readonly object refusal
    cdef list errors  # of keys that they do not name

    def __init__(self):
        raise TypeError("a Part is made by a Batch")

    cdef gdbx_wire_server *server(self) except NULL:
        if self.batch is None:
            raise TypeError("a Part is made by a Batch")
        return &self.batch.batch.servers[self.at]

    @property
    def lines(self):
        return self.server().lines

    @property
    def shard(self):
        return self.server().shard

    @property
    def indices(self):
        cdef list indices = []
        cdef int32_t at = self.server().first
        while at != GDBX_WIRE_NONE:
            indices.append(at)
            at = self.batch.batch.after[at]
        return indices

    @property
    def request(self):
        cdef gdbx_wire_part request
        self.ask(&request)
        return [request.data[:request.size]]

    @property
    def failure(self):
        return self.ending

    def advance(self, failure):
        self.ending = failure
        self.is_asked = not self.is_asked
        return Asked(self.request, self) if self.is_asked else None

    cdef int ask(self, gdbx_wire_part *request) except -1:
        # In the batch's own memory, which lives as long as the part.
        cdef gdbx_wire_server *server = self.server()
        cdef uint8_t *start = self.batch.room.out + self.offset
        request.data = start
        if self.batch.stores:
            request.size = gdbx_wire_batch_store(server, text_of(self.batch.verb), start) - start
        else:
            request.size = gdbx_wire_batch_get(server, text_of(self.batch.verb), start) - start
        return 0

    # Filling in place

    cdef int check_idle(self) except -1:
        Reply.check_idle(self)
        if self.data == NULL and self.size and not self.reader.done:
            raise RuntimeError("the part was carried before")
        return 0

    cdef int lend(self, gdbx_wire_io *io) except -1:
        io.taker = self.server()
        io.reader, io.take = &self.reader, self.batch.take
        io.records, io.record_capacity, io.record_count = self.batch.room.records, RECORDS, 0
        if self.data == NULL:
            io.data, io.capacity, io.size = self.batch.room.scratch, SHARED, 0
        else:
            io.data, io.capacity, io.size = self.data, self.capacity, self.size
        return 0

    cdef bint settle(self, gdbx_wire_io *io) except -1:
        self.size = io.size
        if self.batch.stores:
            self.batch.answer_stores(self, io)
        else:
            self.batch.answer_gets(self, io)
        io.record_count = 0
        return self.fault is not None

    cdef int extend(self, gdbx_wire_io *io, bint of_records) except -1:
        if of_records:
            return 0  # those that were matched left their room
        self.park(io)
        self.grow_data(0)
        return self.lend(io)

    cdef int park(self, gdbx_wire_io *io) except -1:
        if self.data == NULL and io.size:
            self.grow_data(io.size)
            memcpy(self.data, io.data, io.size)
        return 0

    cdef object bad(self):
        # A buffer that is shared holds this reply: it was the last to be received.
        cdef uint8_t *data = self.data
        if data == NULL:
            data = self.batch.room.scratch
        if self.fault is not None:
            return self.fault
        return bad_reply(self.reader.reason, data[:self.size], self.reader.position)


@cython.final
cdef class Batch:
    """Keys or items by shard.

    Each part is carried once. Then ``values``, ``answers`` or ``outcomes`` tells what came of it.
    """

    __reduce_ex__ = refuse_copies

    cdef list things  # the keys or items, which hold what is pointed to
    cdef list held  # what holds the values, if not the items
    cdef bytes prefix, verb
    cdef bint stores
    cdef uint64_t words
    cdef void (*take)(gdbx_wire_io *) noexcept nogil
    cdef gdbx_wire_batch batch
    cdef uint16_t *shards
    cdef uint16_t *by_shard
    cdef room *room
    cdef uint32_t kind, options
    cdef dict refusals
    cdef bytes statuses
    cdef bint is_parted

    def __init__(self):
        raise TypeError("a Batch is made by batch_of_keys() and its like")

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.batch.used):
            PyMem_RawFree(self.batch.servers[i].table)
        for i in range(self.batch.count):
            Py_XDECREF(<PyObject *> self.batch.asked[i].found)
        if KEEPER is not None:  # as the interpreter ends
            KEEPER.keep(self.room)

    cdef int load(self, list things, bytes prefix, size_t num_shards) except -1:
        """Make room for the arrays of the keys and servers."""
        cdef size_t n = len(things), most = min(n, num_shards)
        cdef size_t a_key = (
            sizeof(gdbx_text) + sizeof(gdbx_wire_asked) + sizeof(int32_t) + sizeof(uint16_t)
        )
        cdef size_t size = n * a_key + most * sizeof(gdbx_wire_server)
        self.room = KEEPER.take()
        room_for(&self.room.held, &self.room.held_size, size + num_shards * sizeof(uint16_t))
        # In the order of their alignment.
        self.batch.keys = <gdbx_text *> self.room.held
        self.batch.asked = <gdbx_wire_asked *> (self.batch.keys + n)
        self.batch.servers = <gdbx_wire_server *> (self.batch.asked + n)
        self.batch.after = <int32_t *> (self.batch.servers + most)
        self.shards = <uint16_t *> (self.batch.after + n)
        self.by_shard = self.shards + n
        self.things, self.prefix = things, prefix
        self.batch.prefix = text_of(prefix)
        return 0

    cdef Batch sorted(self, bint is_plain, placement, size_t num_shards, bint of_items):
        """Sort the keys by shard and make the parts; return None if something is not plain."""
        if not (
            is_plain
            and place(&self.batch, self.things, of_items, placement, self.shards, num_shards)
            and gdbx_wire_batch_sort(&self.batch, self.shards, self.by_shard, num_shards)
        ):
            self.batch.used = 0
            return None
        return self

    cdef Batch of_gets(self, bint bare, size_t most_line):
        cdef size_t i
        self.verb = b"get" if bare else b"gets"
        self.batch.most_line = most_line
        for i in range(self.batch.used):
            gdbx_wire_batch_count_lines(&self.batch.servers[i], text_of(self.verb))
        self.take = gdbx_wire_batch_take_values
        self.kind, self.options = GDBX_WIRE_VALUES, GDBX_WIRE_BARE if bare else 0
        return self

    cdef Batch of_stores(self, bytes verb, uint64_t words):
        if PyBytes_GET_SIZE(verb) > GDBX_WIRE_VERB:
            raise ValueError(f"verb must be at most {<int> GDBX_WIRE_VERB} bytes, got {len(verb)}")
        self.verb, self.stores, self.words = verb, True, words
        if words & GDBX_WIRE_STORED:
            self.take = gdbx_wire_batch_take_stored
        self.refusals = {}
        self.statuses = PyBytes_FromStringAndSize(NULL, self.batch.count)
        memset(PyBytes_AS_STRING(self.statuses), 0, self.batch.count)
        self.kind, self.options = GDBX_WIRE_LINES, GDBX_WIRE_STRICT
        return self

    def parts(self):
        """Return the parts, one a shard, in the order of their first keys; to be called once."""
        # Not kept here, as a part holds its batch.
        cdef Part part
        cdef list parts = []
        cdef size_t i, size = 0
        if self.is_parted:  # two parts of one shard would take the same answers
            raise RuntimeError("the parts of the batch were made before")
        self.is_parted = True
        for i in range(self.batch.used):
            part = Part.__new__(Part, self.kind, 1)
            part.batch, part.at, part.offset = self, i, size
            part.reader.words, part.reader.options = self.words, self.options
            part.reader.count = <uint32_t> self.batch.servers[i].number
            if not self.stores:
                part.reader.lists = <uint32_t> self.batch.servers[i].lines - 1
            parts.append(part)
            if self.stores:
                size += gdbx_wire_batch_store_size(&self.batch.servers[i])
            else:
                size += gdbx_wire_batch_get_size(&self.batch.servers[i])
        room_for(<void **> &self.room.out, &self.room.out_size, size)
        return parts

    # Matching

    cdef int answer_gets(self, Part part, gdbx_wire_io *io) except -1:
        cdef gdbx_wire_server *to = part.server()
        cdef gdbx_wire_record *record
        cdef gdbx_wire_asked *one
        cdef int32_t at
        cdef size_t i
        cdef object value
        while to.taken != to.next:  # the values that were taken, before their bytes are gone
            one = &self.batch.asked[to.taken]
            if one.value.data != NULL:
                value = PyBytes_FromStringAndSize(<const char *> one.value.data, one.value.size)
                Py_INCREF(value)
                one.found, one.value.data = <void *> value, NULL
            to.taken = self.batch.after[to.taken]
        for i in range(io.record_count):
            record = &io.records[i]
            value = PyBytes_FromStringAndSize(
                <const char *> io.data + record.value, record.value_size
            )
            if record.marks & GDBX_WIRE_FAILED:
                if part.reader.refusal:
                    part.refusal = record.status, value
                else:
                    if part.errors is None:
                        part.errors = []
                    at = self.batch.count if to.next == GDBX_WIRE_NONE else to.next
                    part.errors.append((at, record.status, value))
                continue
            at = gdbx_wire_batch_named(&self.batch, to, io.data, record)
            if at == GDBX_WIRE_UNSORTED:
                self.index(to)
                at = gdbx_wire_batch_named(&self.batch, to, io.data, record)
            if at == GDBX_WIRE_NONE:
                part.fault = ValueError(
                    "the reply names a key that was not asked for: "
                    f"{io.data[record.key:record.key + record.key_size]!r}"
                )
                return 0
            one = &self.batch.asked[at]
            Py_INCREF(value)
            one.found, one.flags, one.cas = <void *> value, record.flags, record.cas
            to.next = to.taken = self.batch.after[at]
        if part.reader.done and part.errors is not None:
            self.tell_errors(part, not to.is_mixed)
        return 0

    cdef int tell_errors(self, Part part, bint is_ordered) except -1:
        """Find out whose the errors are that name no key."""
        cdef list places = part.indices, answered = [False] * <Py_ssize_t> self.batch.count
        cdef list errors = part.errors
        part.errors = None
        for place in places:
            answered[place] = self.batch.asked[<size_t> place].found != NULL
        try:
            failures = failures_of(errors, places, answered.__getitem__, is_ordered)
        except ValueError as error:
            part.fault = error
            return 0
        self.refusals = {**(self.refusals or {}), **failures}
        return 0

    cdef int index(self, gdbx_wire_server *to) except -1:
        """Make the table of a server that answers in another order than it was asked."""
        cdef uint64_t seed[2]
        cdef int32_t *table = <int32_t *> PyMem_RawMalloc(
            gdbx_wire_batch_slots(to) * sizeof(int32_t)
        )
        if table == NULL:
            raise MemoryError
        memcpy(seed, PyBytes_AS_STRING(SECRET), sizeof(seed))
        gdbx_wire_batch_index(&self.batch, to, table, seed)
        return 0

    cdef int answer_stores(self, Part part, gdbx_wire_io *io) except -1:
        cdef gdbx_wire_server *to = part.server()
        cdef gdbx_wire_record *record
        cdef char *statuses = PyBytes_AS_STRING(self.statuses)  # nobody else has it yet
        cdef size_t i
        for i in range(io.record_count):
            record = &io.records[i]
            if record.marks & GDBX_WIRE_FAILED:
                self.refusals[to.next] = record.status, PyBytes_FromStringAndSize(
                    <const char *> io.data + record.value, record.value_size
                )
            else:
                statuses[to.next] = <char> record.status
            to.next = self.batch.after[to.next]
        return 0

    # What comes of it

    def condemn(self, Part part not None):
        """Take back what was found in the reply of a part: it cannot be trusted."""
        cdef gdbx_wire_asked *one
        cdef int32_t at = part.server().first
        while at != GDBX_WIRE_NONE:
            one = &self.batch.asked[at]
            Py_XDECREF(<PyObject *> one.found)
            one.found = NULL
            if self.refusals is not None:
                self.refusals.pop(at, None)
            at = self.batch.after[at]

    def values(self):
        """Return a dict of the values without flags, and the others: key, value and flags each.

        An empty value is among the others. The dict has the order of the keys.
        """
        cdef dict found = __Pyx_PyDict_NewPresized(self.batch.count)
        cdef list rest = [], keys = self.things
        cdef gdbx_wire_asked *one
        cdef size_t i
        cdef object value
        for i in range(self.batch.count):
            one = &self.batch.asked[i]
            if i + AHEAD < <size_t> self.batch.count:  # values lie in the order of the replies
                FETCH(self.batch.asked[i + AHEAD].found)
            if one.found == NULL:
                continue
            value = <object> one.found
            if one.flags == 0 and PyBytes_GET_SIZE(value):
                PyDict_SetItem(found, <object> PyList_GET_ITEM(keys, i), value)
            else:
                rest.append((<object> PyList_GET_ITEM(keys, i), value, one.flags))
        if rest and found:  # a key given twice may be in both, if it was written meanwhile
            for given in rest:
                found.pop(given[0], None)
        return found, rest

    def answers(self):
        """Return a list of values, None for a miss, and arrays of flags and tokens."""
        cdef list values = [None] * <Py_ssize_t> self.batch.count
        cdef c_array.array flags = c_array.clone(FLAGS, self.batch.count, True)
        cdef c_array.array cas = c_array.clone(TOKENS, self.batch.count, True)
        cdef gdbx_wire_asked *one
        cdef size_t i
        for i in range(self.batch.count):
            one = &self.batch.asked[i]
            if one.found != NULL:
                values[i] = <object> one.found
                flags.data.as_uints[i] = one.flags
                if not self.options & GDBX_WIRE_BARE:  # else nothing was written there
                    (<uint64_t *> cas.data.as_ulonglongs)[i] = one.cas
        return values, flags, cas

    def failures(self):
        """Return the refusals of single keys or items by index: status and words."""
        return {} if self.refusals is None else self.refusals

    def is_all_stored(self):
        """Return whether every item was stored."""
        cdef const char *statuses = PyBytes_AS_STRING(self.statuses)
        cdef size_t i
        cdef char any = 0
        for i in range(self.batch.count):
            any |= statuses[i]
        return not any and not self.refusals

    def outcomes(self):
        """Return the status of each store in bytes, and the refusals by index: status and words."""
        return self.statuses, self.refusals


@cython.final
cdef class Keeper:
    """Keeps the room of one batch for the next."""

    __reduce_ex__ = refuse_copies

    cdef room *spare

    def __dealloc__(self):
        free_room(self.spare)

    cdef int keep(self, room *left) noexcept:
        if left != NULL and left.held_size + left.out_size <= MOST_KEPT:
            left = self.swap(left)
        free_room(left)
        return 0

    cdef room *take(self) except NULL:
        cdef room *spare = self.swap(NULL)
        if spare != NULL:
            return spare
        spare = <room *> PyMem_RawMalloc(sizeof(room))
        if spare == NULL:
            raise MemoryError
        spare.held, spare.out, spare.held_size, spare.out_size = NULL, NULL, 0, 0
        return spare

    @cython.critical_section
    cdef room *swap(self, room *other) noexcept:
        cdef room *spare = self.spare
        self.spare = other
        return spare


cdef Keeper KEEPER = Keeper()


cdef Batch loaded(list things, bytes prefix, size_t num_shards):
    cdef Batch made
    if not 0 < len(things) < MOST_KEYS:
        return None
    if num_shards > MOST_SHARDS:
        raise ValueError(f"num_shards must be in [0, {<int> MOST_SHARDS}], got {num_shards}")
    made = Batch.__new__(Batch)
    made.load(things, prefix, num_shards)
    return made


def batch_of_keys(list keys not None, placement, size_t num_shards, bytes prefix not None,
                  bint bare, size_t most_line=8192):
    """Return the batch that gets keys, or None where they need a closer look.

    `placement` says on which of `num_shards` servers each key is. With `bare`, tokens are not asked
    for. Lines have `most_line` bytes at the most. No list may change any more. None means that a
    key cannot be sent, is not of the same type as the first, or is on no server.
    """
    cdef Batch made = loaded(keys, prefix, num_shards)
    if made is None:
        return None
    made = made.sorted(take_keys(&made.batch, keys), placement, num_shards, False)
    return None if made is None else made.of_gets(bare, most_line)


def batch_of_items(list items not None, placement, size_t num_shards, bytes prefix not None,
                   type kind not None, bytes verb not None, uint64_t words):
    """Return the batch that stores items, or None where they need a closer look.

    An item is a `kind` of tuple: key, value, flags, token and expiry. It is stored with `verb`, or
    with cas if it has a token, and answered by one of `words`. None means, besides what it does for
    keys, that a value is not of type bytes, or is large, or a number is out of range.
    """
    cdef Batch made = loaded(items, prefix, num_shards)
    if made is None:
        return None
    made = made.sorted(take_items(&made.batch, items, kind), placement, num_shards, True)
    return None if made is None else made.of_stores(verb, words)


def batch_of_values(list keys not None, list values not None, list flags, expire, placement,
                    size_t num_shards, bytes prefix not None, bytes verb not None, uint64_t words):
    """Return the batch that stores values without tokens, as ``batch_of_items`` does.

    `flags` are one a value, or None for 0 each; `expire` is for all.
    """
    cdef Batch made = loaded(keys, prefix, num_shards)
    if made is None:
        return None
    made.held = values
    made = made.sorted(
        take_values(&made.batch, keys, values, flags, expire), placement, num_shards, False
    )
    return None if made is None else made.of_stores(verb, words)
