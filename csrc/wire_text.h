/* The ground of memcached's text protocols: numbers, lines, error lines and values. */
#ifndef GDBX_WIRE_TEXT_H
#define GDBX_WIRE_TEXT_H

#include <string.h>

#include "wire.h"

/* Record why a reply is bad; returns GDBX_WIRE_BAD. */
int gdbx_wire_fail(struct gdbx_wire_reader *reader, int reason);

/* Find the line that starts at reader->position; *end is where its CR is. */
int gdbx_wire_line(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size, size_t *end);

/* Check that a value of `length` bytes, at most GDBX_WIRE_MAX_VALUE, and its CR LF are there. */
int gdbx_wire_value(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size, size_t start,
                    size_t length);

/* Read an unsigned decimal number at *at, which must end at a space or at `end`; returns 0 where
 * there is none, or one above `most`. */
int gdbx_wire_number(const uint8_t *data, size_t *at, size_t end, uint64_t most, uint64_t *out);

/* Read the line [start, end) into the record if it is an error line, with the status that the
 * binary protocol has for it; returns whether it is one. */
int gdbx_wire_error(const uint8_t *data, size_t start, size_t end, struct gdbx_wire_record *record);

/* Whether an error line is one that memcached's proxy writes in the place of one key's value: the
 * other values and END follow. Other servers, and other proxies, send an error in place of all. */
int gdbx_wire_is_of_key(const uint8_t *line, size_t size);

/* Whether an error says that the command was not understood: its data may have been executed. */
static inline int gdbx_wire_is_refusal(uint32_t status) { return status == 0x81 || status == 0x04; }

static inline int gdbx_wire_starts(const uint8_t *line, size_t size, const char *text) {
    size_t length = strlen(text);
    return size >= length && memcmp(line, text, length) == 0;
}

static inline int gdbx_wire_is(const uint8_t *line, size_t size, const char *text) {
    return size == strlen(text) && memcmp(line, text, size) == 0;
}

#endif
