#include "wire.h"
#include "wire_impl.h"

#include <string.h>

/* Every helper that consumes a frame returns DONE for "one record made", MORE or BAD; the frame
 * that ends a reply and makes no record sets reader->done. */

int gdbx_wire_fail(struct gdbx_wire_reader *reader, int reason) {
    reader->reason = reason;
    return GDBX_WIRE_BAD;
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

/* Find the line that starts at reader->position; *end is where its CR is. */
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
    return GDBX_WIRE_DONE;
}

/* Check that a value of `length` bytes and its CR LF are there. */
int gdbx_wire_value(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size, size_t start,
                    size_t length) {
    size_t available = size > start ? size - start : 0;
    if (available < length + 2) {
        /* What is there of the end is judged at once: a wrong byte must not be waited past. */
        if (available == length + 1 && data[start + length] != '\r')
            return gdbx_wire_fail(reader, GDBX_WIRE_VALUE_END);
        reader->needed = start + length + (available > length ? 2 : 1);
        return GDBX_WIRE_MORE;
    }
    if (data[start + length] != '\r' || data[start + length + 1] != '\n')
        return gdbx_wire_fail(reader, GDBX_WIRE_VALUE_END);
    return GDBX_WIRE_DONE;
}

static int starts(const uint8_t *line, size_t size, const char *text) {
    size_t length = strlen(text);
    return size >= length && memcmp(line, text, length) == 0;
}

static int is(const uint8_t *line, size_t size, const char *text) {
    return size == strlen(text) && memcmp(line, text, size) == 0;
}

/* Recognise an error line and give it the binary protocol's number. */
int gdbx_wire_error(const uint8_t *line, size_t size, uint32_t *status) {
    if (is(line, size, "ERROR") || starts(line, size, "ERROR ")) {
        *status = 0x81;
        return 1;
    }
    if (is(line, size, "CLIENT_ERROR") || starts(line, size, "CLIENT_ERROR ")) {
        *status = starts(line, size, "CLIENT_ERROR cannot increment")      ? 0x06
                  : starts(line, size, "CLIENT_ERROR authentication fail") ? 0x20
                  : starts(line, size, "CLIENT_ERROR unauthenticated")     ? 0x20
                                                                           : 0x04;
        return 1;
    }
    if (is(line, size, "SERVER_ERROR") || starts(line, size, "SERVER_ERROR ")) {
        *status = starts(line, size, "SERVER_ERROR object too large") ? 0x03
                  : starts(line, size, "SERVER_ERROR out of memory")  ? 0x82
                                                                      : 0x84;
        return 1;
    }
    return 0;
}

static int is_refusal(uint32_t status) { return status == 0x81 || status == 0x04; }

struct word {
    const char *text;
    uint32_t word, status;
};

static const struct word words[] = {
    {"STORED", GDBX_WIRE_STORED, 0},   {"NOT_STORED", GDBX_WIRE_NOT_STORED, 5},
    {"EXISTS", GDBX_WIRE_EXISTS, 2},   {"NOT_FOUND", GDBX_WIRE_NOT_FOUND, 1},
    {"DELETED", GDBX_WIRE_DELETED, 0}, {"TOUCHED", GDBX_WIRE_TOUCHED, 0},
    {"OK", GDBX_WIRE_OK, 0},
};

static int number_line(const uint8_t *data, size_t from, size_t end, uint64_t *number) {
    /* decr leaves the spaces of the longer number that it wrote over */
    while (end > from && data[end - 1] == ' ') end--;
    return gdbx_wire_number(data, &from, end, UINT64_MAX, number) && from == end;
}

static int plain_line(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                      struct gdbx_wire_record *record) {
    size_t start = reader->position, end, length;
    int result;
    record->value = start;
    record->index = reader->next;
    /* What nearly every line is, of a batch that is stored. */
    if ((reader->words & GDBX_WIRE_STORED) && size - start >= 8
        && memcmp(data + start, "STORED\r\n", 8) == 0) {
        record->value_size = 6;
        reader->position = start + 8;
        reader->done = ++reader->next == reader->count;
        return GDBX_WIRE_DONE;
    }
    result = gdbx_wire_line(reader, data, size, &end);
    if (result != GDBX_WIRE_DONE) return result;
    record->value_size = length = end - start;
    if (gdbx_wire_error(data + start, length, &record->status)) {
        if ((reader->options & GDBX_WIRE_STRICT) && is_refusal(record->status))
            return gdbx_wire_fail(reader, GDBX_WIRE_REFUSED);
        record->marks |= GDBX_WIRE_FAILED;
    } else if ((reader->words & GDBX_WIRE_VERSION) && starts(data + start, length, "VERSION ")) {
        record->value += 8;
        record->value_size -= 8;
    } else if (!(reader->words & GDBX_WIRE_NUMBER)
               || !number_line(data, start, end, &record->number)) {
        const struct word *word = words, *last = words + sizeof words / sizeof *words;
        while (word < last
               && !((reader->words & word->word) && is(data + start, length, word->text)))
            word++;
        if (word == last) return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
        record->status = word->status;
    }
    reader->position = end + 2;
    reader->done = ++reader->next == reader->count;
    return GDBX_WIRE_DONE;
}

/* The line that ends a list: an END, or an error before anything else. */
static int last_line(struct gdbx_wire_reader *reader, const uint8_t *data, size_t end,
                     struct gdbx_wire_record *record, int *made) {
    size_t start = reader->position, length = end - start;
    *made = 0;
    if (!is(data + start, length, "END")) {
        if (reader->kind == GDBX_WIRE_STATS
            && (is(data + start, length, "OK") || is(data + start, length, "RESET"))) {
        } else if (reader->next == 0 && gdbx_wire_error(data + start, length, &record->status)) {
            record->marks |= GDBX_WIRE_FAILED;
            record->value = start;
            record->value_size = length;
            *made = 1;
        } else {
            return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
        }
    }
    reader->position = end + 2;
    reader->done = 1;
    return GDBX_WIRE_DONE;
}

/* Read a VALUE line as servers write it, in one pass and with no look at where the data ends: the
 * caller has seen that PLENTY is there. Whatever is unusual is left to the slow way: returns 0. */
enum { PLENTY = 6 + 251 + 3 * 19 + 2 };
static int quick_line(const uint8_t *data, size_t start, int bare, struct gdbx_wire_record *record,
                      uint64_t *length, size_t *end) {
    size_t at = start + 6, last = at + 250;
    uint64_t flags;
    uint8_t next;
    if (memcmp(data + start, "VALUE ", 6) != 0) return 0;
    record->key = at;
    while (at < last && data[at] > ' ') at++;
    record->key_size = at - record->key;
    if (record->key_size == 0 || data[at++] != ' ') return 0;
    if (gdbx_wire_few_digits(data, &at, &flags) != ' ' || flags > UINT32_MAX) return 0;
    next = gdbx_wire_few_digits(data, &at, length);
    if (*length > GDBX_WIRE_MAX_VALUE) return 0;
    if (!bare) next = next == ' ' ? gdbx_wire_few_digits(data, &at, &record->cas) : 0;
    if (next != '\r' || data[at] != '\n') return 0;
    record->flags = (uint32_t) flags;
    *end = at - 1;
    return 1;
}

/* VALUE <key> <flags> <bytes> <cas>, without the cas where only get was sent. */
static int value_block(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                       struct gdbx_wire_record *record, int *made) {
    size_t at = reader->position + 6, end;
    uint64_t flags, length;
    int result, bare = (reader->options & GDBX_WIRE_BARE) != 0;
    *made = 1;
    if (size - reader->position < PLENTY
        || !quick_line(data, reader->position, bare, record, &length, &end)) {
        result = gdbx_wire_line(reader, data, size, &end);
        if (result != GDBX_WIRE_DONE) return result;
        if (!starts(data + reader->position, end - reader->position, "VALUE "))
            return last_line(reader, data, end, record, made);
        record->key = at;
        while (at < end && data[at] != ' ') at++;
        record->key_size = at - record->key;
        if (record->key_size == 0 || at++ == end
            || !gdbx_wire_number(data, &at, end, UINT32_MAX, &flags) || at++ == end
            || !gdbx_wire_number(data, &at, end, UINT32_MAX, &length)
            || (!bare
                && (at++ == end || !gdbx_wire_number(data, &at, end, UINT64_MAX, &record->cas)))
            || at != end)
            return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
        record->flags = (uint32_t) flags;
    }
    if (length > GDBX_WIRE_MAX_VALUE) return gdbx_wire_fail(reader, GDBX_WIRE_BAD_SIZE);
    if (reader->next == reader->count) return gdbx_wire_fail(reader, GDBX_WIRE_TOO_MANY);
    result = gdbx_wire_value(reader, data, size, end + 2, (size_t) length);
    if (result != GDBX_WIRE_DONE) return result;
    record->value = end + 2;
    record->value_size = (size_t) length;
    record->marks |= GDBX_WIRE_KEY | GDBX_WIRE_VALUE;
    reader->position = end + 2 + (size_t) length + 2;
    reader->next++;
    return GDBX_WIRE_DONE;
}

static int stat_line(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                     struct gdbx_wire_record *record, int *made) {
    size_t at = reader->position + 5, end;
    int result = gdbx_wire_line(reader, data, size, &end);
    if (result != GDBX_WIRE_DONE) return result;
    if (!starts(data + reader->position, end - reader->position, "STAT "))
        return last_line(reader, data, end, record, made);
    *made = 1;
    record->key = at;
    while (at < end && data[at] != ' ') at++;
    record->key_size = at - record->key;
    if (record->key_size == 0) return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
    if (at < end) at++;
    record->value = at;
    record->value_size = end - at;
    reader->position = end + 2;
    reader->next = 1;
    return GDBX_WIRE_DONE;
}

int gdbx_wire_scan(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                   struct gdbx_wire_record *records, size_t capacity, size_t *used) {
    while (!reader->done) {
        struct gdbx_wire_record *record = records + *used;
        int result, made = 1;
        if (size < reader->needed) return GDBX_WIRE_MORE;
        if (*used == capacity) return GDBX_WIRE_FULL;
        memset(record, 0, sizeof *record);
        if (reader->kind == GDBX_WIRE_VALUES)
            result = value_block(reader, data, size, record, &made);
        else if (reader->kind == GDBX_WIRE_PACKETS)
            result = gdbx_wire_packet(reader, data, size, record);
        else if (reader->kind == GDBX_WIRE_META)
            result = gdbx_wire_meta(reader, data, size, record);
        else if (reader->kind == GDBX_WIRE_STATS)
            result = stat_line(reader, data, size, record, &made);
        else
            result = plain_line(reader, data, size, record);
        if (result != GDBX_WIRE_DONE) return result;
        *used += (size_t) made;
    }
    if (reader->position < size) return gdbx_wire_fail(reader, GDBX_WIRE_LEFTOVER);
    return GDBX_WIRE_DONE;
}
