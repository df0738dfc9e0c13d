/* Binary packets: memcached's BinaryProtocolRevamped document. */
#include "wire_frames.h"
#include "wire_text.h"

enum { HEADER = 24 };
enum { GET = 0x00, INCR = 0x05, DECR = 0x06, NOOP = 0x0a, GETK = 0x0c, GETKQ = 0x0d, GAT = 0x1d };

static uint32_t read16(const uint8_t *at) { return (uint32_t) at[0] << 8 | at[1]; }

static uint32_t read32(const uint8_t *at) { return read16(at) << 16 | read16(at + 2); }

static uint64_t read64(const uint8_t *at) { return (uint64_t) read32(at) << 32 | read32(at + 4); }

/* Find which request a packet answers, `count` for the NOOP that ends a quiet batch; returns 0 or
 * the reason why it answers none. */
static int find_index(const struct gdbx_wire_reader *reader, uint32_t opcode, uint32_t opaque,
                      uint32_t *out) {
    uint32_t index = opaque - reader->first;
    int quiet = (reader->options & GDBX_WIRE_QUIET) != 0;
    if (quiet && opcode == NOOP) {
        if (index != reader->count) return GDBX_WIRE_BAD_OPAQUE;
    } else {
        if (opcode > 63 || !(reader->words >> opcode & 1)) return GDBX_WIRE_BAD_OPCODE;
        if (index >= reader->count || (quiet ? index < reader->next : index != reader->next))
            return GDBX_WIRE_BAD_OPAQUE;
    }
    *out = index;
    return 0;
}

/* Whether a successful reply has its opcode's shape: flags before a value, a number of 8 bytes. */
static int fits(uint32_t opcode, size_t extras, size_t value) {
    if (opcode == GET || opcode == GETK || opcode == GETKQ || opcode == GAT) return extras == 4;
    if (opcode == INCR || opcode == DECR) return extras == 0 && value == 8;
    return extras == 0 || extras == 4;
}

static int read_packet(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                       struct gdbx_wire_record *record) {
    const uint8_t *head = data + reader->position;
    uint32_t opcode, index;
    size_t key, extras, body;
    int reason;
    /* Judge the first byte as soon as it is there: after a wrong one the rest may never come. */
    if (size > reader->position && head[0] != 0x81)
        return gdbx_wire_fail(reader, GDBX_WIRE_BAD_MAGIC);
    if (size - reader->position < HEADER) return GDBX_WIRE_MORE;
    opcode = head[1];
    key = read16(head + 2);
    extras = head[4];
    body = read32(head + 8);
    reason = find_index(reader, opcode, read32(head + 12), &index);
    if (reason) return gdbx_wire_fail(reader, reason);
    if (head[5] != 0 || key + extras > body) return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LENGTHS);
    if (body > (size_t) GDBX_WIRE_MAX_VALUE + key + extras)
        return gdbx_wire_fail(reader, GDBX_WIRE_BAD_SIZE);
    record->status = read16(head + 6);
    if (record->status == 0 && !fits(opcode, extras, body - key - extras))
        return gdbx_wire_fail(reader, GDBX_WIRE_BAD_LENGTHS);
    if (size - reader->position - HEADER < body) {
        reader->needed = reader->position + HEADER + body;
        return GDBX_WIRE_MORE;
    }
    if (record->status == 0 && extras == 4) record->flags = read32(head + HEADER);
    record->index = index;
    record->cas = read64(head + 16);
    record->key = reader->position + HEADER + extras;
    record->key_size = key;
    record->value = record->key + key;
    record->value_size = body - key - extras;
    if (record->status == 0 && (opcode == INCR || opcode == DECR))
        record->number = read64(data + record->value);
    if (key) record->marks |= GDBX_WIRE_KEY;
    if (record->status == 0)
        record->marks |= GDBX_WIRE_VALUE;
    else if (record->status != 1 && record->status != 2 && record->status != 5)
        record->marks |= GDBX_WIRE_FAILED;
    reader->position += HEADER + body;
    if (reader->options & GDBX_WIRE_SERIES) {
        reader->done = key == 0 || record->status != 0;
    } else {
        reader->next = index + 1;
        reader->done = reader->options & GDBX_WIRE_QUIET ? index == reader->count
                                                         : reader->next == reader->count;
    }
    return GDBX_WIRE_DONE;
}

int gdbx_wire_binary_packets(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                             struct gdbx_wire_record *records, size_t capacity, size_t *used) {
    return gdbx_wire_each(read_packet, reader, data, size, records, capacity, used);
}
