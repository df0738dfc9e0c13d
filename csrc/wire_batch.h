/* A batch in the ASCII protocol: keys in a list for each server, and what is written for them.
 *
 * The caller owns every array, and has seen to it that the keys may go on the wire. No I/O. */
#ifndef GDBX_WIRE_BATCH_H
#define GDBX_WIRE_BATCH_H

#include "text.h"
#include "wire_poll.h"

enum {
    GDBX_WIRE_NONE = -1,
    GDBX_WIRE_UNSORTED = -2, /* answers come in another order: to be asked again with a table */
    GDBX_WIRE_VERB = 8,      /* the most bytes of a verb, with the space behind it */
    /* The most bytes and keys of a line of a get. memcached looks at a line again from its start
     * whenever more of it comes, holds what it answers until all of that is sent, and serves nobody
     * else meanwhile; up to 1.6.12 it takes lines up to its buffer's 16 KiB at the most, and surely
     * only those that it need not move: the short ones. Shorter lines would take longer, as up to
     * 1.6.34 each is answered in packets of its own. */
    GDBX_WIRE_LINE = 8192,
    GDBX_WIRE_SHORT_LINE = 1024,
    GDBX_WIRE_LINE_KEYS = 256,
};

struct gdbx_wire_asked {
    void *found;            /* the caller's */
    struct gdbx_text value; /* to be stored, or taken from a reply, where it lies still */
    uint64_t cas;
    union {
        int64_t expire; /* of what is to be stored */
        int32_t same;   /* of a key in a table: another of the same name, or GDBX_WIRE_NONE */
    };
    uint32_t flags;
};

struct gdbx_wire_server {
    const struct gdbx_wire_batch *batch;
    int32_t first, last, next; /* of its keys; `next` is the one whose answer comes next */
    int32_t taken;             /* from here to `next`, values were taken from the reply */
    uint32_t shard;
    size_t number, size; /* of its keys, and the bytes of them and their values */
    size_t lines;        /* of a get for them */
    int is_mixed;        /* answers come in another order than their keys */
    int32_t *table;      /* then: keys without an answer, by the hash of their names */
    size_t slots;        /* of the table, a power of two */
    uint64_t seed[2];    /* of that hash */
    size_t steps;        /* keys that names were compared with, but for those that came next */
};

struct gdbx_wire_batch {
    struct gdbx_text prefix; /* goes before every key */
    const struct gdbx_text *keys;
    struct gdbx_wire_asked *asked; /* one a key */
    /* For each key the next of the same server, or GDBX_WIRE_NONE: apart from the rest, so that to
     * go along a server's keys does not wait for memory at each. */
    int32_t *after;
    size_t count;
    struct gdbx_wire_server *servers; /* those that have any of the keys, by their first */
    size_t used;
    size_t most_line; /* GDBX_WIRE_LINE or GDBX_WIRE_SHORT_LINE */
};

/* Put every key into the list of its server: shards[i] is key i's, and `places` has room for one
 * number for each of num_shards. Returns 0 if a shard is out of range, or if there are more shards
 * than 65535. */
int gdbx_wire_batch_sort(struct gdbx_wire_batch *batch, const uint16_t *shards, uint16_t *places,
                         size_t num_shards);

/* Count the lines of a get for the keys of a server. */
void gdbx_wire_batch_count_lines(struct gdbx_wire_server *server, struct gdbx_text verb);

/* The most bytes of the request to a server for its keys, whose lines are counted, or for its
 * items. */
size_t gdbx_wire_batch_get_size(const struct gdbx_wire_server *server);
size_t gdbx_wire_batch_store_size(const struct gdbx_wire_server *server);

/* Write that request, of which the size is known, at `out`; return its end. It is `verb`, such as
 * "gets", and keys, in as many lines as it takes; or a command for each item: cas for one with a
 * token, else `verb`, such as "set ". */
uint8_t *gdbx_wire_batch_get(const struct gdbx_wire_server *server, struct gdbx_text verb,
                             uint8_t *out);
uint8_t *gdbx_wire_batch_store(const struct gdbx_wire_server *server, struct gdbx_text verb,
                               uint8_t *out);

/* For gdbx_wire_io.take, whose taker is the server: VALUE blocks of keys in the order asked, and
 * STORED lines, which are nearly all of a reply. Anything unusual, and all behind it, is left to
 * the scan. The values taken are pointed to by their keys. */
void gdbx_wire_batch_take_values(struct gdbx_wire_io *io);
void gdbx_wire_batch_take_stored(struct gdbx_wire_io *io);

/* Return which key of a server a record of `data` names: the next without an answer, or one behind
 * it; in a server's table, any without an answer. GDBX_WIRE_NONE is for a name that was not asked
 * for, or that has all its answers; GDBX_WIRE_UNSORTED, where there is no table, asks for one.
 * The caller sets `found` of what is returned before the next call. */
int32_t gdbx_wire_batch_named(const struct gdbx_wire_batch *batch, struct gdbx_wire_server *server,
                              const uint8_t *data, const struct gdbx_wire_record *record);

/* How many slots the table of a server has, and to fill one that the caller has made: a lookup then
 * takes as long for the last key as for the first, whoever has chosen the keys, as long as the seed
 * is a secret. */
size_t gdbx_wire_batch_slots(const struct gdbx_wire_server *server);
void gdbx_wire_batch_index(const struct gdbx_wire_batch *batch, struct gdbx_wire_server *server,
                           int32_t *table, const uint64_t seed[2]);

#endif
