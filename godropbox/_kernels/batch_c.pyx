"""Batches in the ASCII protocol over many plain sockets, in C. The twin of ``batch_py``.

A batch is two calls, with the borrowing of connections in between: ``plan`` sorts keys by server,
``Plan.get`` or ``Plan.store`` sends all requests and answers all keys. Replies are received into
one buffer, and parsed there while they are in the cache; only a reply that comes in pieces gets a
buffer of its own.
"""

cimport cython
from cpython cimport array as c_array
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_SetItem
from cpython.exc cimport PyErr_CheckSignals
from cpython.list cimport PyList_GET_ITEM
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import os
from array import array

from ._identity import refuse_copies
from ._wire import bad_reply
from .batch_things cimport (
    indices_of, place, room_for, take_items, take_keys, take_values, text_of,
)
from .placement_c cimport gdbx_text
from .wire_batch cimport (
    GDBX_WIRE_AROUND, GDBX_WIRE_NONE, GDBX_WIRE_UNSORTED, GDBX_WIRE_VERB, gdbx_wire_asked,
    gdbx_wire_batch, gdbx_wire_batch_get, gdbx_wire_batch_index, gdbx_wire_batch_named,
    gdbx_wire_batch_slots, gdbx_wire_batch_sort, gdbx_wire_batch_store,
    gdbx_wire_batch_take_stored, gdbx_wire_batch_take_values, gdbx_wire_server,
)
from .wire_c cimport (
    GDBX_WIRE_BAD, GDBX_WIRE_BARE, GDBX_WIRE_DONE, GDBX_WIRE_FAILED, GDBX_WIRE_FULL,
    GDBX_WIRE_LINES, GDBX_WIRE_MORE, GDBX_WIRE_STORED, GDBX_WIRE_STRICT, GDBX_WIRE_VALUES,
    MOST_TRUSTED, gdbx_wire_record,
)
from .wire_io cimport (
    GDBX_HAS_WIRE_IO, GDBX_WIRE_ANY, GDBX_WIRE_GO_ON, GDBX_WIRE_SIGNAL, failure_of, gdbx_wire_io,
    gdbx_wire_many, gdbx_wire_many_look, gdbx_wire_many_rescan, gdbx_wire_many_room,
    gdbx_wire_many_start, gdbx_wire_many_step, gdbx_wire_many_unfit, gdbx_wire_many_wait,
    gdbx_wire_now,
)

__all__ = ["plan", "plan_values"]

cdef extern from *:
    # What Cython makes its own large dicts with: the interpreter's way to do so, where it has one.
    dict __Pyx_PyDict_NewPresized(Py_ssize_t)

cdef enum:
    HELD = 1 << 16  # bytes that are copied with the interpreter locked, as that is quicker
    MOST_KEYS = 1 << 30
    FEW = 256  # sockets that are looked at in one call
    RECORDS = 32  # answers that are parsed before they are looked at
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
    uint8_t scratch[HELD]  # where replies are received


cdef void free_room(room *rooms) noexcept:
    if rooms != NULL:
        PyMem_RawFree(rooms.held)
        PyMem_RawFree(rooms.out)
        PyMem_RawFree(rooms)


@cython.final
cdef class Plan:
    """What is to be asked of which servers: `places`, in the order of their first keys.

    It is for one thread, and for one ``get`` or ``store``.
    """

    __reduce_ex__ = refuse_copies

    cdef list things  # the keys or items, which hold what is pointed to
    cdef list values  # what holds the values, if not the items
    cdef bytes prefix
    cdef gdbx_wire_batch batch
    cdef gdbx_wire_many many
    cdef uint16_t *shards
    cdef uint16_t *by_shard
    cdef int *sockets
    cdef room *room  # NULL once the plan was carried out: another's may have it
    cdef dict failures, refusals
    cdef char *statuses

    def __init__(self):
        raise TypeError("a Plan is made by plan()")

    def __dealloc__(self):
        self.let_go()
        free_room(self.room)

    @property
    def places(self):
        cdef size_t i
        cdef list places = []
        for i in range(self.batch.used):
            places.append(self.batch.servers[i].shard)
        return places

    cdef int let_go(self) except -1:
        """Give back what belongs to the batch, but for the room."""
        cdef size_t i
        for i in range(self.batch.used):
            PyMem_RawFree(self.batch.servers[i].own)
            PyMem_RawFree(self.batch.servers[i].table)
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
        cdef size_t size = n * a_key + most * a_server + num_shards * sizeof(uint16_t)
        self.room = KEEPER.take()
        room_for(&self.room.held, &self.room.held_size, size + gdbx_wire_many_room(most))
        # In the order of what has to be aligned to what.
        self.batch.keys = <gdbx_text *> self.room.held
        self.batch.asked = <gdbx_wire_asked *> (self.batch.keys + n)
        self.batch.servers = <gdbx_wire_server *> (self.batch.asked + n)
        self.many.ios = <gdbx_wire_io *> (self.batch.servers + most)
        self.many.room = self.many.ios + most
        self.many.results = <int *> (<char *> self.many.room + gdbx_wire_many_room(most))
        self.sockets = self.many.results + most
        self.shards = <uint16_t *> (self.sockets + most)
        self.by_shard = self.shards + n
        self.things, self.prefix = things, prefix
        self.batch.prefix = text_of(prefix)
        return 0

    # Asking

    def get(self, list fds not None, seconds, bint plain):
        """Ask the servers at `places` over these sockets for their keys.

        With `plain` it returns a dict of the values that have no flags and are not empty, and a
        list of key, value and flags of the others. Otherwise a list of values, None for a miss, and
        arrays of flags and tokens. Then, with either, a dict of what went wrong, by place: an
        exception, or the status and the words of a refusal, and the indices of the keys, which
        have no value, whatever of the reply was there. All of it is None if nothing was sent,
        because a socket is unfit.
        """
        cdef size_t i
        cdef uint8_t *at
        cdef bytes verb = b"get" if plain else b"gets"
        if not self.open(fds, seconds, 1):
            return None
        at = self.room.out
        for i in range(self.batch.used):
            at = gdbx_wire_batch_get(&self.batch, &self.batch.servers[i], text_of(verb), at)
        self.start(GDBX_WIRE_VALUES, 0, GDBX_WIRE_BARE if plain else 0)
        self.see_through()
        self.condemn()
        return (*(self.plain_values() if plain else self.all_values()), self.ended())

    def store(self, list fds not None, bytes verb not None, uint64_t words, seconds):
        """Store the items with `verb`, or with cas those that have a token; answered by `words`.

        Returns the status of each in bytes, a dict of the refusals by index, status and words, and
        a dict of what went wrong as ``get`` does; or None.
        """
        cdef size_t i
        cdef uint8_t *at
        cdef bytes statuses
        cdef dict refusals
        if PyBytes_GET_SIZE(verb) > GDBX_WIRE_VERB:
            raise ValueError(f"verb must be at most {<int> GDBX_WIRE_VERB} bytes, got {len(verb)}")
        if not self.open(fds, seconds, GDBX_WIRE_AROUND):
            return None
        refusals = self.refusals
        statuses = PyBytes_FromStringAndSize(NULL, self.batch.count)
        self.statuses = PyBytes_AS_STRING(statuses)
        memset(self.statuses, 0, self.batch.count)
        at = self.room.out
        for i in range(self.batch.used):
            at = gdbx_wire_batch_store(&self.batch, &self.batch.servers[i], text_of(verb), at)
        self.start(GDBX_WIRE_LINES, words, GDBX_WIRE_STRICT)
        self.see_through()
        return statuses, refusals, self.ended()

    cdef bint open(self, list fds, object seconds, size_t around) except -1:
        """Take the sockets; return whether all are fit to be used, and have room to write."""
        cdef uint8_t marks[FEW]
        cdef size_t used = self.batch.used, i, start, unfit = 0, size = 0
        cdef tuple numbers = tuple(fds)  # nobody else can change it
        if self.failures is not None or not used:
            raise RuntimeError("the plan was carried out before")
        if len(numbers) != <Py_ssize_t> used:
            raise ValueError(f"fds must be {used}, one a place, got {len(numbers)}")
        around += self.batch.prefix.size
        for i in range(used):
            self.sockets[i] = numbers[i]
            size += self.batch.servers[i].size + self.batch.servers[i].number * around
        for start in range(0, used, FEW):
            unfit += gdbx_wire_many_unfit(
                self.sockets + start, min(used - start, <size_t> FEW), self.many.room, marks
            )
        if unfit:
            return False
        size += used * (GDBX_WIRE_VERB + 2)
        room_for(<void **> &self.room.out, &self.room.out_size, size)
        self.failures, self.refusals = {}, {}
        self.many.deadline = INT64_MAX
        if seconds is not None:
            self.many.deadline = gdbx_wire_now() + <int64_t> (<double> seconds * 1e9)
        return True

    cdef int start(self, uint32_t kind, uint64_t words, uint32_t options) except -1:
        """Send what is written for the servers, as far as their sockets take it."""
        cdef size_t i
        cdef gdbx_wire_server *to
        cdef gdbx_wire_io *io
        memset(self.many.ios, 0, self.batch.used * sizeof(gdbx_wire_io))
        for i in range(self.batch.used):
            to, io = &self.batch.servers[i], &self.many.ios[i]
            to.reader.kind, to.reader.words, to.reader.options = kind, words, options
            to.reader.count = to.number
            io.fd, io.reader, io.parts, io.part_count = self.sockets[i], &to.reader, &to.request, 1
            if kind == GDBX_WIRE_VALUES:
                io.take = gdbx_wire_batch_take_values
            elif words & GDBX_WIRE_STORED:
                io.take = gdbx_wire_batch_take_stored
            if to.request.size > HELD:
                with nogil:
                    gdbx_wire_many_start(&self.many)
            else:
                gdbx_wire_many_start(&self.many)
        return 0

    # Receiving

    cdef int see_through(self) except -1:
        """Go on with all until all are over, and keep what went wrong."""
        # The one that was asked last is waited for first: by then most of the others have answered.
        cdef size_t alone = self.batch.used - 1, i
        cdef int result
        while True:
            with nogil:
                result = gdbx_wire_many_wait(&self.many, alone)
            if result == GDBX_WIRE_DONE:
                break
            if result == GDBX_WIRE_SIGNAL:
                PyErr_CheckSignals()
                continue
            for i in range(self.batch.used):
                if self.many.results[i] == GDBX_WIRE_GO_ON:
                    self.advance(i)
            alone = GDBX_WIRE_ANY
        for i in range(self.batch.used):
            result = self.many.results[i]
            if result != GDBX_WIRE_DONE and result != GDBX_WIRE_BAD:
                self.failures[self.batch.servers[i].shard] = failure_of(&self.many.ios[i], result)
        return 0

    cdef int advance(self, size_t i) except -1:
        """Send and receive what can be, and answer the keys that were answered."""
        cdef gdbx_wire_server *to = &self.batch.servers[i]
        cdef gdbx_wire_io *io = &self.many.ios[i]
        cdef int *result = &self.many.results[i]
        if to.own == NULL:
            io.data, io.capacity, io.size = self.room.scratch, HELD, 0
        io.records, io.record_capacity, io.record_count = self.room.records, RECORDS, 0
        if io.capacity > HELD:
            with nogil:
                gdbx_wire_many_step(&self.many, i)
        else:
            gdbx_wire_many_step(&self.many, i)
        while True:
            if to.reader.kind == GDBX_WIRE_LINES:
                self.answer_stores(to, io)
            else:
                self.answer_taken(to)
                self.answer_gets(to, io)
            io.record_count = 0
            if result[0] == GDBX_WIRE_FULL:
                gdbx_wire_many_rescan(&self.many, i)
            elif result[0] == GDBX_WIRE_MORE:
                self.grow(to, io)
                result[0] = GDBX_WIRE_GO_ON
                gdbx_wire_many_look(&self.many, i)
            else:
                break
        if result[0] == GDBX_WIRE_BAD:  # told while the bytes are there, and before all else
            self.failures[to.shard] = bad_reply(
                io.reader.reason, io.data[:io.size], io.reader.position
            )
        elif result[0] == GDBX_WIRE_GO_ON and io.size and to.own == NULL:
            self.grow(to, io)
        return 0

    cdef int grow(self, gdbx_wire_server *to, gdbx_wire_io *io) except -1:
        """Give a reply that is in pieces a buffer of its own, or a larger one."""
        cdef size_t wanted = min(<size_t> to.reader.needed, io.size + MOST_TRUSTED) + 4096
        cdef size_t capacity = max(2 * io.size, wanted)
        cdef void *memory = PyMem_RawRealloc(to.own, capacity)
        if memory == NULL:
            raise MemoryError
        if to.own == NULL:
            memcpy(memory, io.data, io.size)
        to.own = io.data = <uint8_t *> memory
        io.capacity = capacity
        return 0

    cdef int answer_taken(self, gdbx_wire_server *to) except -1:
        """Copy the values that were taken, before the bytes are gone."""
        cdef gdbx_wire_asked *one
        cdef object value
        while to.taken != to.next:
            one = &self.batch.asked[to.taken]
            if one.value.data != NULL:
                value = PyBytes_FromStringAndSize(<const char *> one.value.data, one.value.size)
                Py_INCREF(value)
                one.found, one.value.data = <void *> value, NULL
            to.taken = one.next
        return 0

    cdef int answer_gets(self, gdbx_wire_server *to, gdbx_wire_io *io) except -1:
        cdef gdbx_wire_record *record
        cdef gdbx_wire_asked *one
        cdef int32_t at
        cdef size_t i
        cdef object value
        if io.record_count and self.failures and to.shard in self.failures:
            return 0  # whatever comes now
        for i in range(io.record_count):
            record = &self.room.records[i]
            value = PyBytes_FromStringAndSize(
                <const char *> io.data + record.value, record.value_size
            )
            if record.marks & GDBX_WIRE_FAILED:
                self.failures[to.shard] = record.status, value
                return 0
            at = gdbx_wire_batch_named(&self.batch, to, io.data, record)
            if at == GDBX_WIRE_UNSORTED:
                self.index(to)
                at = gdbx_wire_batch_named(&self.batch, to, io.data, record)
            if at == GDBX_WIRE_NONE:
                self.failures[to.shard] = ValueError(
                    "the reply names a key that was not asked for: "
                    f"{io.data[record.key:record.key + record.key_size]!r}"
                )
                return 0
            one = &self.batch.asked[at]
            Py_INCREF(value)
            one.found, one.flags, one.cas = <void *> value, record.flags, record.cas
            to.next = to.taken = one.next
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

    cdef int answer_stores(self, gdbx_wire_server *to, gdbx_wire_io *io) except -1:
        cdef gdbx_wire_record *record
        cdef size_t i
        for i in range(io.record_count):
            record = &self.room.records[i]
            if record.marks & GDBX_WIRE_FAILED:
                self.refusals[to.next] = record.status, PyBytes_FromStringAndSize(
                    <const char *> io.data + record.value, record.value_size
                )
            else:
                self.statuses[to.next] = <char> record.status
            to.next = self.batch.asked[to.next].next
        return 0

    # What comes of it

    cdef int condemn(self) except -1:
        """Take back the values out of replies that went wrong later on."""
        cdef gdbx_wire_server *to
        cdef gdbx_wire_asked *one
        cdef int32_t at
        cdef size_t i
        for i in range(self.batch.used if self.failures else 0):
            to = &self.batch.servers[i]
            if to.shard not in self.failures:
                continue
            at = to.first
            while at != GDBX_WIRE_NONE:
                one = &self.batch.asked[at]
                Py_XDECREF(<PyObject *> one.found)
                one.found = NULL
                at = one.next
        return 0

    cdef tuple plain_values(self):
        cdef dict found = __Pyx_PyDict_NewPresized(self.batch.count)
        cdef list rest = [], keys = self.things
        cdef gdbx_wire_asked *one
        cdef size_t i
        cdef object value
        for i in range(self.batch.count):
            one = &self.batch.asked[i]
            if one.found == NULL:
                continue
            value = <object> one.found
            if one.flags == 0 and PyBytes_GET_SIZE(value):
                PyDict_SetItem(found, <object> PyList_GET_ITEM(keys, i), value)
            else:
                rest.append((<object> PyList_GET_ITEM(keys, i), value, one.flags))
        if rest and found:  # a key that was given twice may be in both, if it was written meanwhile
            for given in rest:
                found.pop(given[0], None)
        return found, rest

    cdef tuple all_values(self):
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
                (<uint64_t *> cas.data.as_ulonglongs)[i] = one.cas
        return values, flags, cas

    cdef dict ended(self):
        """Return what went wrong and for which things, and leave the room to the next batch."""
        cdef dict failures = {}
        cdef gdbx_wire_server *to
        cdef size_t i
        cdef room *left
        if self.failures:
            for i in range(self.batch.used):
                to = &self.batch.servers[i]
                if to.shard in self.failures:
                    failures[to.shard] = self.failures[to.shard], indices_of(&self.batch, to)
        self.failures = self.refusals = None
        self.let_go()
        left, self.room = self.room, NULL
        KEEPER.keep(left)
        return failures


@cython.final
cdef class Keeper:
    """Keeps the room of one batch for the next."""

    __reduce_ex__ = refuse_copies

    cdef room *spare

    def __dealloc__(self):
        free_room(self.spare)

    cdef int keep(self, room *left) except -1:
        if left.held_size + left.out_size <= MOST_KEPT:
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


cdef Plan _loaded(list things, bytes prefix, size_t num_shards):
    cdef Plan made
    if not GDBX_HAS_WIRE_IO or not 0 < len(things) < MOST_KEYS:
        return None
    made = Plan.__new__(Plan)
    made.load(things, prefix, num_shards)
    return made


cdef Plan _placed(Plan made, bint is_fit, placement, size_t num_shards, bint of_items):
    if (
        is_fit
        and place(&made.batch, made.things, of_items, placement, made.shards, num_shards)
        and gdbx_wire_batch_sort(&made.batch, made.shards, made.by_shard, num_shards)
    ):
        return made
    made.ended()
    return None


def plan(list things not None, placement, size_t num_shards, bytes prefix not None,
         type kind=None):
    """Return the plan of a batch in the ASCII protocol, or None where it needs the long way.

    `things` are keys, or items of a `kind` of tuple: key, value, flags, token and expiry. They must
    not change any more. `placement` says on which of `num_shards` servers each is. None means that
    a key or an item is not as plain as can be, that one is on no server, or that there are no lines
    on this system.
    """
    cdef Plan made = _loaded(things, prefix, num_shards)
    if made is None:
        return None
    if kind is None:
        is_fit = take_keys(&made.batch, things)
    else:
        is_fit = take_items(&made.batch, things, kind)
    return _placed(made, is_fit, placement, num_shards, kind is not None)


def plan_values(list keys not None, list values not None, list flags, expire, placement,
                size_t num_shards, bytes prefix not None):
    """Return the plan of a batch of values to be stored without tokens, as ``plan`` does.

    `flags` are one a value, or None for 0 each; `expire` is for all. No list may change any more.
    """
    cdef Plan made = _loaded(keys, prefix, num_shards)
    if made is None:
        return None
    made.values = values
    is_fit = take_values(&made.batch, keys, values, flags, expire)
    return _placed(made, is_fit, placement, num_shards, False)
