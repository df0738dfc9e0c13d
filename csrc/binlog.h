/* Rows of MySQL's and MariaDB's binary logs: from the bytes of row images to cells.
 *
 * A cell says what a column of one row is, as numbers and as places in the event's bytes; nothing
 * is copied or allocated. The layouts are those of MySQL's libbinlogevents and of MariaDB's
 * rpl_utility: numbers are little endian, DECIMAL and the newer dates and times big endian.
 */
#ifndef GDBX_BINLOG_H
#define GDBX_BINLOG_H

#include <stddef.h>
#include <stdint.h>

/* How the bytes of a column are read; `a` and `b` are what the column's metadata says. */
enum gdbx_binlog_op {
    GDBX_BINLOG_INT = 0, /* a bytes, 1 to 4 or 8; b: whether it is unsigned */
    GDBX_BINLOG_FLOAT = 1,
    GDBX_BINLOG_DOUBLE = 2,
    GDBX_BINLOG_DECIMAL = 3, /* a digits, b of them behind the point */
    GDBX_BINLOG_YEAR = 4,
    GDBX_BINLOG_DATE = 5,
    GDBX_BINLOG_TIME = 6,       /* before MySQL 5.6 */
    GDBX_BINLOG_DATETIME = 7,   /* before MySQL 5.6 */
    GDBX_BINLOG_TIMESTAMP = 8,  /* before MySQL 5.6 */
    GDBX_BINLOG_TIME2 = 9,      /* a digits of a fraction, 0 to 6 */
    GDBX_BINLOG_DATETIME2 = 10, /* the same */
    GDBX_BINLOG_TIMESTAMP2 = 11,
    GDBX_BINLOG_BITS = 12,  /* a bytes, 1 to 8, big endian */
    GDBX_BINLOG_INDEX = 13, /* a bytes, 1 to 8: a member of an ENUM, or the members of a SET */
    GDBX_BINLOG_TEXT = 14,  /* a length of a bytes, 1 to 4, and so many bytes */
    GDBX_BINLOG_OPS = 15
};

struct gdbx_binlog_column {
    uint8_t op, a, b;
    uint8_t wanted; /* 0: the column is passed over */
};

enum gdbx_binlog_kind {
    GDBX_BINLOG_ABSENT = 0, /* the image has no such column, or it is not wanted */
    GDBX_BINLOG_NULL = 1,
    GDBX_BINLOG_SIGNED = 2,   /* number */
    GDBX_BINLOG_UNSIGNED = 3, /* number, its bits those of a uint64_t */
    GDBX_BINLOG_REAL = 4,     /* real */
    GDBX_BINLOG_SINGLE = 5,   /* real, of a float's precision */
    GDBX_BINLOG_BYTES = 6,    /* place and size in the data */
    GDBX_BINLOG_DAY = 7,      /* the first three parts */
    GDBX_BINLOG_MOMENT = 8,   /* all parts */
    GDBX_BINLOG_EPOCH = 9,    /* number, seconds since 1970, and micros */
    GDBX_BINLOG_SPAN = 10     /* number, microseconds; micros those below a second */
};

struct gdbx_binlog_cell {
    uint8_t kind, month, day, hour, minute, second;
    uint16_t year;
    uint32_t micros;
    union {
        int64_t number;
        double real;
        struct {
            uint32_t place, size;
        } bytes;
    } as;
};

/* Whether a column can be read at all: its op is known, and a and b are in the ranges above. */
int gdbx_binlog_is_column(const struct gdbx_binlog_column *column);

/* The most columns of a table. */
#define GDBX_BINLOG_COLUMNS 4096

/* Read one row at `at` of data[0..n), n < 2**32, into `count` cells.
 *
 * `present` has a bit for each column, the lowest of a byte first. The columns are ones that
 * gdbx_binlog_is_column accepts. Returns the place behind the row, or 0 if the row is cut short. */
size_t gdbx_binlog_row(const struct gdbx_binlog_column *columns, size_t count,
                       const uint8_t *present, const uint8_t *data, size_t n, size_t at,
                       struct gdbx_binlog_cell *cells);

/* Read the value of one column at `at`, which is neither absent nor NULL; returns as above. */
size_t gdbx_binlog_value(const struct gdbx_binlog_column *column, const uint8_t *data, size_t n,
                         size_t at, struct gdbx_binlog_cell *cell);

/* The most characters that gdbx_binlog_decimal writes: a sign, 0, 65 digits and a point. */
#define GDBX_BINLOG_DECIMAL_TEXT 72

/* The bytes of a DECIMAL of so many digits, `scale` of them behind the point. */
size_t gdbx_binlog_decimal_size(unsigned precision, unsigned scale);

/* Write a DECIMAL's bytes as text, with the digits of its column; return the characters. */
size_t gdbx_binlog_decimal(const uint8_t *data, unsigned precision, unsigned scale, char *out);

/* Split seconds since 1970 into the parts of a cell, in UTC. */
void gdbx_binlog_civil(int64_t seconds, struct gdbx_binlog_cell *cell);

#endif
