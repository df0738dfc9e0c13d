#include "wire_text.h"

#include "wire_impl.h"

int gdbx_wire_key_ok(const uint8_t *key, size_t size) { return gdbx_wire_key_fits(key, size); }

int gdbx_wire_fail(struct gdbx_wire_reader *reader, int reason) {
    reader->reason = reason;
    return GDBX_WIRE_BAD;
}

/* What memcached sends to a connection beyond those that its option -c allows. */
static const char crowded[] = "ERROR Too many open connections";

int gdbx_wire_line(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size, size_t *end) {
    size_t from = reader->scanned > reader->position ? reader->scanned : reader->position;
    const uint8_t *found = from < size ? memchr(data + from, '\n', size - from) : NULL;
    size_t stop = found ? (size_t) (found - data) : size;
    if (stop - reader->position > GDBX_WIRE_MAX_LINE)
        return gdbx_wire_fail(reader, GDBX_WIRE_LONG_LINE);
    if (!found) {
        reader->scanned = size;
        return GDBX_WIRE_MORE;
    }
    if (stop == reader->position || data[stop - 1] != '\r')
        return gdbx_wire_fail(reader, GDBX_WIRE_LINE_END);
    *end = stop - 1;
    if (reader->position == 0 && data[0] == 'E' && gdbx_wire_is(data, *end, crowded))
        return gdbx_wire_fail(reader, GDBX_WIRE_CROWDED);
    return GDBX_WIRE_DONE;
}

int gdbx_wire_value(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size, size_t start,
                    size_t length) {
    size_t available = size > start ? size - start : 0;
    if (available < length + 2) {
        /* Judge the CR as soon as it is there: after a wrong byte the rest may never come. */
        if (available == length + 1 && data[start + length] != '\r')
            return gdbx_wire_fail(reader, GDBX_WIRE_VALUE_END);
        reader->needed = start + length + (available > length ? 2 : 1);
        return GDBX_WIRE_MORE;
    }
    if (data[start + length] != '\r' || data[start + length + 1] != '\n')
        return gdbx_wire_fail(reader, GDBX_WIRE_VALUE_END);
    return GDBX_WIRE_DONE;
}

int gdbx_wire_number(const uint8_t *data, size_t *at, size_t end, uint64_t most, uint64_t *out) {
    size_t i = *at, safe = end - i > 19 ? i + 19 : end; /* 19 digits always fit in 64 bits */
    uint64_t number = 0, digit;
    if (i >= end) return 0;
    for (; i < safe && (digit = (uint64_t) data[i] - '0') <= 9; i++) number = number * 10 + digit;
    if (i == safe && i < end && (digit = (uint64_t) data[i] - '0') <= 9) {
        if (number > (UINT64_MAX - digit) / 10) return 0;
        number = number * 10 + digit;
        i++;
    }
    if (i == *at || (i < end && data[i] != ' ') || number > most) return 0;
    *at = i;
    *out = number;
    return 1;
}

/* Whether a line is this word alone, or this word and a text. */
static int is_error(const uint8_t *line, size_t size, const char *word) {
    return gdbx_wire_starts(line, size, word)
           && (size == strlen(word) || line[strlen(word)] == ' ');
}

int gdbx_wire_is_of_key(const uint8_t *line, size_t size) {
    static const char *const lines[] = {
        "SERVER_ERROR backend failure",   "SERVER_ERROR bad response",
        "SERVER_ERROR bad request",       "SERVER_ERROR lua failure",
        "SERVER_ERROR lua start failure", "SERVER_ERROR active request limit reached",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (gdbx_wire_is(line, size, lines[i])) return 1;
    return 0;
}

int gdbx_wire_error(const uint8_t *data, size_t start, size_t end,
                    struct gdbx_wire_record *record) {
    const uint8_t *line = data + start;
    size_t size = end - start;
    if (is_error(line, size, "ERROR"))
        record->status = 0x81;
    else if (is_error(line, size, "CLIENT_ERROR"))
        record->status = gdbx_wire_starts(line, size, "CLIENT_ERROR cannot increment")      ? 0x06
                         : gdbx_wire_starts(line, size, "CLIENT_ERROR authentication fail") ? 0x20
                         : gdbx_wire_starts(line, size, "CLIENT_ERROR unauthenticated")     ? 0x20
                                                                                            : 0x04;
    else if (is_error(line, size, "SERVER_ERROR"))
        record->status = gdbx_wire_starts(line, size, "SERVER_ERROR object too large") ? 0x03
                         : gdbx_wire_starts(line, size, "SERVER_ERROR out of memory")  ? 0x82
                                                                                       : 0x84;
    else
        return 0;
    record->marks |= GDBX_WIRE_FAILED;
    record->value = start;
    record->value_size = size;
    return 1;
}
