/* The memcached wire: finds the frames of a reply in a buffer that the caller owns.
 *
 * The caller says what reply it expects and then shows the reader the same buffer again and again
 * as it fills. The reader makes one record a frame, of offsets into that buffer, and never looks
 * past the bytes it was shown. It allocates nothing, copies nothing and does no I/O. The rules are
 * those of memcached's doc/protocol.txt and its binary protocol document. */
#ifndef GDBX_WIRE_H
#define GDBX_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define GDBX_WIRE_MAX_LINE 8192u       /* bytes of a line; memcached sends at most 2 KiB */
#define GDBX_WIRE_MAX_VALUE (1u << 30) /* bytes of a value; memcached's own limit */

enum gdbx_wire_kind {
    GDBX_WIRE_LINES,   /* `count` lines, each one of `words` */
    GDBX_WIRE_VALUES,  /* VALUE blocks and a proxy's errors of keys, at most `count`, then END; with
                          `lists`, END again */
    GDBX_WIRE_STATS,   /* STAT, ITEM and PREFIX lines, then END; or OK or RESET */
    GDBX_WIRE_PACKETS, /* binary packets whose opcodes are bits of `words` */
    GDBX_WIRE_META,    /* `count` meta replies, or fewer and MN */
};

enum gdbx_wire_option {
    GDBX_WIRE_STRICT = 1, /* the request carries data: if it is refused, the reply is bad */
    GDBX_WIRE_QUIET = 2,  /* replies may be left out; MN or a NOOP packet ends them */
    GDBX_WIRE_SERIES = 4, /* packets with one opaque, ended by one with no key */
    GDBX_WIRE_BARE = 8,   /* META without values and keys, VALUES without cas */
    GDBX_WIRE_PIPED = 16, /* bytes after the reply belong to the next; without it they are bad */
};

enum gdbx_wire_word {
    GDBX_WIRE_STORED = 1 << 0,
    GDBX_WIRE_NOT_STORED = 1 << 1,
    GDBX_WIRE_EXISTS = 1 << 2,
    GDBX_WIRE_NOT_FOUND = 1 << 3,
    GDBX_WIRE_DELETED = 1 << 4,
    GDBX_WIRE_TOUCHED = 1 << 5,
    GDBX_WIRE_OK = 1 << 6,
    GDBX_WIRE_NUMBER = 1 << 7,
    GDBX_WIRE_VERSION = 1 << 8,
};

/* What a frame says besides its fields. */
enum gdbx_wire_mark {
    GDBX_WIRE_WON = 1,     /* W: this client may recache the item */
    GDBX_WIRE_SENT = 2,    /* Z: another client is already allowed to */
    GDBX_WIRE_STALE = 4,   /* X */
    GDBX_WIRE_BASE64 = 8,  /* b: the key is in base64 */
    GDBX_WIRE_KEY = 16,    /* the reply names its key */
    GDBX_WIRE_VALUE = 32,  /* the reply carries a value */
    GDBX_WIRE_FAILED = 64, /* an error line or packet; the value is its text */
};

enum gdbx_wire_result { GDBX_WIRE_DONE, GDBX_WIRE_MORE, GDBX_WIRE_FULL, GDBX_WIRE_BAD };

enum gdbx_wire_reason {
    GDBX_WIRE_LONG_LINE = 1,
    GDBX_WIRE_LINE_END,
    GDBX_WIRE_BAD_LINE,
    GDBX_WIRE_BAD_SIZE,
    GDBX_WIRE_VALUE_END,
    GDBX_WIRE_TOO_MANY,
    GDBX_WIRE_BAD_MAGIC,
    GDBX_WIRE_BAD_OPCODE,
    GDBX_WIRE_BAD_LENGTHS,
    GDBX_WIRE_BAD_OPAQUE,
    GDBX_WIRE_REFUSED,
    GDBX_WIRE_LEFTOVER,
    GDBX_WIRE_CROWDED, /* no reply: the server has no room for the connection, and closes it */
};

struct gdbx_wire_record {
    size_t key, key_size;
    size_t value, value_size;
    size_t line, line_size; /* the whole line of a meta reply */
    uint64_t cas, number;
    uint32_t flags, index; /* index: which request of the batch, where the kind tells */
    uint32_t status, marks;
};

struct gdbx_wire_reader {
    uint64_t words;
    uint32_t kind, options;
    uint32_t count, first; /* replies expected; the opaque of the first of them */
    uint32_t lists;        /* of VALUES, how many lists follow the one that is being read */
    uint32_t next;         /* the index of the next reply, or the least it can have */
    size_t position;       /* where the next frame starts; once done, the end of the reply */
    size_t scanned;        /* from `position` to here no line ends */
    size_t needed;         /* no need to look before the buffer holds this much */
    int done, reason;
    uint32_t refusal; /* the status of an error line in place of VALUES or STATS, else 0 */
};

/* Scan data[0, size) from reader->position. Appends to `records`, which has room for `capacity`,
 * and adds to *used. Returns DONE at the end of the reply, MORE if it needs more bytes, FULL if it
 * needs more records, BAD if the reply breaks the protocol, for reader->reason. */
int gdbx_wire_scan(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                   struct gdbx_wire_record *records, size_t capacity, size_t *used);

/* Whether a key may go on the wire: 1 to 250 bytes, none at or below 0x20, none 0x7f. */
int gdbx_wire_key_ok(const uint8_t *key, size_t size);

#endif
