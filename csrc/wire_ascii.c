/* ASCII replies: lines of one word or number, VALUE blocks, STAT lines. */
#include "wire_frames.h"
#include "wire_impl.h"
#include "wire_text.h"

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

static int read_number(const uint8_t *data, size_t from, size_t end, uint64_t *number) {
    /* decr leaves the spaces of the longer number that it wrote over. */
    while (end > from && data[end - 1] == ' ') end--;
    return gdbx_wire_number(data, &from, end, UINT64_MAX, number) && from == end;
}

static int read_word(uint64_t allowed, const uint8_t *line, size_t size, uint32_t *status) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if ((allowed & words[i].word) && gdbx_wire_is(line, size, words[i].text)) {
            *status = words[i].status;
            return 1;
        }
    }
    return 0;
}

static int end_line(struct gdbx_wire_reader *reader, size_t next) {
    reader->position = next;
    reader->done = ++reader->next == reader->count;
    return GDBX_WIRE_DONE;
}

static int read_line(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                     struct gdbx_wire_record *record) {
    size_t start = reader->position, end;
    int result;
    record->value = start;
    record->index = reader->next;
    /* Nearly every line of a batch of sets. */
    if ((reader->words & GDBX_WIRE_STORED) && size - start >= 8
        && memcmp(data + start, "STORED\r\n", 8) == 0) {
        record->value_size = 6;
        return end_line(reader, start + 8);
    }
    result = gdbx_wire_line(reader, data, size, &end);
    if (result != GDBX_WIRE_DONE) return result;
    record->value_size = end - start;
    if (gdbx_wire_error(data, start, end, record)) {
        if ((reader->options & GDBX_WIRE_STRICT) && gdbx_wire_is_refusal(record->status))
            return gdbx_wire_fail(reader, GDBX_WIRE_REFUSED);
    } else if ((reader->words & GDBX_WIRE_VERSION)
               && gdbx_wire_starts(data + start, end - start, "VERSION ")) {
        record->value += 8;
        record->value_size -= 8;
    } else if (!((reader->words & GDBX_WIRE_NUMBER)
                 && read_number(data, start, end, &record->number))
               && !read_word(reader->words, data + start, end - start, &record->status)) {
        return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
    }
    return end_line(reader, end + 2);
}

/* Read a line that is not of a list's own: END, or an error in place of the list or of one key.
 *
 * memcached's proxy asks for each key of a get by itself, and writes the error of one in its place;
 * of one key alone there is no END behind it. */
static int last_line(struct gdbx_wire_reader *reader, const uint8_t *data, size_t end,
                     struct gdbx_wire_record *record) {
    size_t start = reader->position, size = end - start;
    int is_stats = reader->kind == GDBX_WIRE_STATS;
    if (gdbx_wire_is(data + start, size, "END")
        || (is_stats && reader->next == 0
            && (gdbx_wire_is(data + start, size, "OK")
                || gdbx_wire_is(data + start, size, "RESET")))) {
        reader->position = end + 2;
        reader->done = 1;
        return GDBX_WIRE_ENDED;
    }
    if (!gdbx_wire_error(data, start, end, record))
        return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
    if (reader->next == 0
        && (is_stats || reader->count == 1 || !gdbx_wire_is_of_key(data + start, size))) {
        reader->refusal = record->status;
        reader->done = 1;
    } else if (is_stats) {
        return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
    } else if (reader->next == reader->count) {
        return gdbx_wire_fail(reader, GDBX_WIRE_TOO_MANY);
    } else {
        reader->next++;
    }
    reader->position = end + 2;
    return GDBX_WIRE_DONE;
}

static size_t word_end(const uint8_t *data, size_t at, size_t end) {
    while (at < end && data[at] != ' ') at++;
    return at;
}

/* The most bytes that common_value_line() reads: word, key, three numbers, CR LF. */
enum { LONGEST = 6 + 251 + 3 * 19 + 2 };

/* Read a VALUE line as servers write it, in one pass that does not look where the data ends: the
 * caller has checked that LONGEST bytes are there. Returns 0 for any other line. */
static int common_value_line(const uint8_t *data, size_t start, int bare,
                             struct gdbx_wire_record *record, uint64_t *length, size_t *end) {
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

/* Read what follows "VALUE " in [at, end): <key> <flags> <bytes>, and <cas> unless bare. */
static int value_line(const uint8_t *data, size_t at, size_t end, int bare,
                      struct gdbx_wire_record *record, uint64_t *length) {
    uint64_t flags;
    record->key = at;
    at = word_end(data, at, end);
    record->key_size = at - record->key;
    if (record->key_size == 0 || at++ == end
        || !gdbx_wire_number(data, &at, end, UINT32_MAX, &flags) || at++ == end
        || !gdbx_wire_number(data, &at, end, UINT32_MAX, length))
        return 0;
    record->flags = (uint32_t) flags;
    if (!bare && (at++ == end || !gdbx_wire_number(data, &at, end, UINT64_MAX, &record->cas)))
        return 0;
    return at == end;
}

static int read_value(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                      struct gdbx_wire_record *record) {
    size_t start = reader->position, end;
    uint64_t length;
    int result, bare = (reader->options & GDBX_WIRE_BARE) != 0;
    if (size - start < LONGEST || !common_value_line(data, start, bare, record, &length, &end)) {
        result = gdbx_wire_line(reader, data, size, &end);
        if (result != GDBX_WIRE_DONE) return result;
        if (!gdbx_wire_starts(data + start, end - start, "VALUE "))
            return last_line(reader, data, end, record);
        if (!value_line(data, start + 6, end, bare, record, &length))
            return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
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

static int read_stat(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                     struct gdbx_wire_record *record) {
    size_t start = reader->position, end;
    int is_prefix = 0;
    int result = gdbx_wire_line(reader, data, size, &end);
    if (result != GDBX_WIRE_DONE) return result;
    if (gdbx_wire_starts(data + start, end - start, "STAT ")
        || gdbx_wire_starts(data + start, end - start, "ITEM ")) {
        record->key = start + 5;
    } else if (gdbx_wire_starts(data + start, end - start, "PREFIX ")) {
        record->key = start + 7;
        is_prefix = 1;
    } else {
        return last_line(reader, data, end, record);
    }
    record->value = word_end(data, record->key, end);
    record->key_size = record->value - record->key;
    /* A key may begin with ":", so that its prefix is nothing. */
    if (record->key_size == 0 && !(is_prefix && record->value < end))
        return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
    if (record->value < end) record->value++;
    record->value_size = end - record->value;
    reader->position = end + 2;
    reader->next = 1;
    return GDBX_WIRE_DONE;
}

int gdbx_wire_ascii_lines(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                          struct gdbx_wire_record *records, size_t capacity, size_t *used) {
    return gdbx_wire_each(read_line, reader, data, size, records, capacity, used);
}

int gdbx_wire_ascii_values(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                           struct gdbx_wire_record *records, size_t capacity, size_t *used) {
    return gdbx_wire_each(read_value, reader, data, size, records, capacity, used);
}

int gdbx_wire_ascii_stats(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                          struct gdbx_wire_record *records, size_t capacity, size_t *used) {
    return gdbx_wire_each(read_stat, reader, data, size, records, capacity, used);
}
