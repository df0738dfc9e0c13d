/* One meta reply: a two-letter code, a size after VA, and flags of a letter and a token each, one
 * space or more between them. Unknown flags are ignored, as the protocol document asks. */
#include "wire_frames.h"
#include "wire_text.h"

enum code { VA, HD, EN, NF, NS, EX, MN, NONE };

static enum code read_code(const uint8_t *line, size_t length) {
    static const char codes[] = "VAHDENNFNSEXMN";
    if (length < 2 || (length > 2 && line[2] != ' ')) return NONE;
    for (int i = 0; i < NONE; i++)
        if (line[0] == (uint8_t) codes[2 * i] && line[1] == (uint8_t) codes[2 * i + 1])
            return (enum code) i;
    return NONE;
}

static const uint32_t statuses[] = {0, 0, 1, 1, 5, 2, 0};

/* Read the flags in [at, end), and *opaque if one is there; returns whether they are valid. */
static int read_flags(const uint8_t *data, size_t at, size_t end, struct gdbx_wire_record *record,
                      uint64_t *opaque, int *has_opaque) {
    uint64_t number;
    while (at < end) {
        uint8_t letter;
        size_t token;
        if (data[at++] != ' ' || at == end) return 0;
        letter = data[at];
        if (letter == ' ') continue; /* 1.6.6 to 1.6.17 write two */
        token = ++at;
        while (at < end && data[at] != ' ') at++;
        switch (letter) {
        case 'f':
            if (!gdbx_wire_number(data, &token, at, UINT32_MAX, &number)) return 0;
            record->flags = (uint32_t) number;
            break;
        case 'c':
            if (!gdbx_wire_number(data, &token, at, UINT64_MAX, &record->cas)) return 0;
            break;
        case 'O':
            if (!gdbx_wire_number(data, &token, at, UINT32_MAX, opaque)) return 0;
            *has_opaque = 1;
            break;
        case 'k':
            record->key = token;
            record->key_size = at - token;
            record->marks |= GDBX_WIRE_KEY;
            break;
        case 'b': record->marks |= GDBX_WIRE_BASE64; break;
        case 'W': record->marks |= GDBX_WIRE_WON; break;
        case 'Z': record->marks |= GDBX_WIRE_SENT; break;
        case 'X': record->marks |= GDBX_WIRE_STALE; break;
        default: break;
        }
    }
    /* The item was stored by its key's base64, and is named by that: the opaque is what tells. */
    if (record->marks & GDBX_WIRE_BASE64) record->marks &= ~(uint32_t) GDBX_WIRE_KEY;
    return 1;
}

/* An error line has no opaque: only the order of replies says which request failed. In a quiet
 * batch that is one of those that are not answered before the next reply; `index` is then the least
 * that it can be. */
static int error_reply(struct gdbx_wire_reader *reader, const uint8_t *data, size_t end,
                       struct gdbx_wire_record *record) {
    int quiet = (reader->options & GDBX_WIRE_QUIET) != 0;
    int strict = (reader->options & GDBX_WIRE_STRICT) != 0;
    if (!gdbx_wire_error(data, reader->position, end, record))
        return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
    if (strict && gdbx_wire_is_refusal(record->status))
        return gdbx_wire_fail(reader, GDBX_WIRE_REFUSED);
    if (reader->next == reader->count) return gdbx_wire_fail(reader, GDBX_WIRE_REFUSED); /* mn */
    record->index = reader->next++;
    reader->position = end + 2;
    reader->done = !quiet && reader->next == reader->count;
    return GDBX_WIRE_DONE;
}

static int read_reply(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                      struct gdbx_wire_record *record) {
    size_t start = reader->position, at = start + 2, end;
    uint64_t length = 0, opaque = 0;
    int has_opaque = 0, quiet = (reader->options & GDBX_WIRE_QUIET) != 0, result;
    uint32_t index;
    enum code code;
    result = gdbx_wire_line(reader, data, size, &end);
    if (result != GDBX_WIRE_DONE) return result;
    code = read_code(data + start, end - start);
    if (code == NONE) return error_reply(reader, data, end, record);
    record->line = start;
    record->line_size = end - start;
    if (code == MN) {
        if (!quiet || at != end) return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
        record->index = reader->count;
        reader->position = end + 2;
        reader->done = 1;
        return GDBX_WIRE_DONE;
    }
    if (code == VA) {
        while (end - at > 1 && data[at + 1] == ' ') at++;
        if (at++ == end || !gdbx_wire_number(data, &at, end, UINT32_MAX, &length))
            return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
    }
    if (!read_flags(data, at, end, record, &opaque, &has_opaque))
        return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
    if (reader->options & GDBX_WIRE_BARE && (code == VA || record->marks & GDBX_WIRE_KEY))
        return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LINE);
    if (length > GDBX_WIRE_MAX_VALUE) return gdbx_wire_fail(reader, GDBX_WIRE_BAD_SIZE);
    /* memcached 1.6.6 to 1.6.17 answer a bare EN: it must be for the one request in flight. */
    if (!has_opaque) {
        if (reader->count != 1 || quiet || code == VA || end - start != 2)
            return gdbx_wire_fail(reader, GDBX_WIRE_BAD_OPAQUE);
        opaque = reader->first;
    }
    index = (uint32_t) opaque - reader->first;
    if (index >= reader->count || (quiet ? index < reader->next : index != reader->next))
        return gdbx_wire_fail(reader, GDBX_WIRE_BAD_OPAQUE);
    if (code == VA) {
        result = gdbx_wire_value(reader, data, size, end + 2, (size_t) length);
        if (result != GDBX_WIRE_DONE) return result;
        record->value = end + 2;
        record->value_size = (size_t) length;
        record->marks |= GDBX_WIRE_VALUE;
        end += 2 + (size_t) length;
    }
    record->status = statuses[code];
    record->index = index;
    reader->position = end + 2;
    reader->next = index + 1;
    reader->done = !quiet && reader->next == reader->count;
    return GDBX_WIRE_DONE;
}

int gdbx_wire_meta_replies(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                           struct gdbx_wire_record *records, size_t capacity, size_t *used) {
    return gdbx_wire_each(read_reply, reader, data, size, records, capacity, used);
}
