#include "wire_batch.h"
#include "wire_frames.h"
#include "wire_impl.h"

#include <string.h>

enum { NONE = GDBX_WIRE_NONE, AHEAD = 8 /* keys */, FAR = 500 /* keys that caches hold */ };

#if defined(__GNUC__)
#define FETCH(place) __builtin_prefetch(place)
#else
#define FETCH(place) ((void) (place))
#endif

/* Have the processor fetch the name of a key, and what is asked for it if `all`; return the next
 * key. The keys of one server are far apart in memory: where the caches do not hold all that there
 * are, every name would be waited for. */
static inline int32_t fetch(const struct gdbx_wire_batch *batch, int32_t at, int all) {
    if (at == NONE) return NONE;
    FETCH(batch->keys[at].data);
    if (all) FETCH(&batch->asked[at]);
    return batch->after[at];
}

/* The same for the first keys from one on; returns the key behind them, NONE for a small batch. */
static inline int32_t fetch_some(const struct gdbx_wire_batch *batch, int32_t at, int all) {
    if (batch->count < FAR) return NONE;
    for (int i = 0; i < AHEAD; i++) at = fetch(batch, at, all);
    return at;
}

int gdbx_wire_batch_sort(struct gdbx_wire_batch *batch, const uint16_t *shards, uint16_t *places,
                         size_t num_shards) {
    batch->used = 0;
    if (num_shards > UINT16_MAX) return 0;
    memset(places, 0, num_shards * sizeof *places); /* a place in servers and 1, 0 for none */
    for (size_t i = 0; i < batch->count; i++) {
        struct gdbx_wire_server *server;
        size_t shard = shards[i];
        if (shard >= num_shards) return 0;
        if (places[shard]) {
            server = &batch->servers[places[shard] - 1];
            batch->after[server->last] = (int32_t) i;
        } else {
            server = &batch->servers[batch->used];
            memset(server, 0, sizeof *server);
            server->shard = (uint32_t) shard;
            server->batch = batch;
            server->first = server->next = server->taken = (int32_t) i;
            places[shard] = (uint16_t) ++batch->used;
        }
        server->last = (int32_t) i;
        server->number++;
        server->size += batch->keys[i].size + batch->asked[i].value.size;
        batch->after[i] = NONE;
    }
    return 1;
}

static uint8_t *put(uint8_t *out, const void *data, size_t size) {
    memcpy(out, data, size);
    return out + size;
}

static inline uint8_t *put_key(uint8_t *out, const struct gdbx_wire_batch *batch, int32_t at) {
    const uint8_t *key = batch->keys[at].data;
    size_t size = batch->keys[at].size;
    if (batch->prefix.size) out = put(out, batch->prefix.data, batch->prefix.size);
    if (size - 8 > 8) return put(out, key, size);
    /* 8 to 16 bytes, as most are: the first eight and the last, without a call. */
    memcpy(out, key, 8);
    memcpy(out + size - 8, key + size - 8, 8);
    return out + size;
}

/* Write a space and a number. */
static uint8_t *put_number(uint8_t *out, uint64_t number) {
    uint8_t digits[20];
    size_t at = sizeof digits;
    *out++ = ' ';
    if (number < 10) {
        *out++ = (uint8_t) ('0' + number);
        return out;
    }
    do digits[--at] = (uint8_t) ('0' + number % 10);
    while (number /= 10);
    while (at < sizeof digits) *out++ = digits[at++]; /* a few, for which a call takes longer */
    return out;
}

/* Write an expiry. What memcached makes of a negative one is January 1970, and nutcracker closes
 * the connection on it. */
static uint8_t *put_expiry(uint8_t *out, int64_t seconds) {
    return put_number(out, seconds >= 0 ? (uint64_t) seconds : 2592001);
}

/* Whether another key is for the next line of a get, whose line has this size and so many keys. No
 * line is of one key that others go before: some proxies answer it otherwise. */
static inline int is_cut(const struct gdbx_wire_batch *batch, int32_t at, size_t size,
                         size_t keys) {
    size_t more = 1 + batch->prefix.size + batch->keys[at].size + 2;
    if (keys < GDBX_WIRE_LINE_KEYS && size + more <= batch->most_line) return 0;
    return keys && (batch->after[at] != NONE || batch->most_line < GDBX_WIRE_LINE);
}

void gdbx_wire_batch_count_lines(struct gdbx_wire_server *server, struct gdbx_text verb) {
    const struct gdbx_wire_batch *batch = server->batch;
    size_t size = verb.size, keys = 0;
    server->lines = 1;
    if (server->number <= GDBX_WIRE_LINE_KEYS
        && size + server->size + server->number * (1 + batch->prefix.size) + 2 <= batch->most_line)
        return;
    for (int32_t at = server->first; at != NONE; at = batch->after[at]) {
        if (is_cut(batch, at, size, keys)) {
            server->lines++;
            size = verb.size;
            keys = 0;
        }
        size += 1 + batch->prefix.size + batch->keys[at].size;
        keys++;
    }
}

enum { AROUND = 96 }; /* the most bytes of a store besides prefix, key and value */

size_t gdbx_wire_batch_get_size(const struct gdbx_wire_server *server) {
    return server->lines * (GDBX_WIRE_VERB + 2) + server->size
           + server->number * (server->batch->prefix.size + 1);
}

size_t gdbx_wire_batch_store_size(const struct gdbx_wire_server *server) {
    return server->size + server->number * (server->batch->prefix.size + AROUND);
}

uint8_t *gdbx_wire_batch_get(const struct gdbx_wire_server *server, struct gdbx_text verb,
                             uint8_t *out) {
    const struct gdbx_wire_batch *batch = server->batch;
    const uint8_t *line = out;
    size_t keys = 0;
    int is_one = server->lines == 1;
    int32_t ahead = fetch_some(batch, server->first, 0);
    out = put(out, verb.data, verb.size);
    for (int32_t at = server->first; at != NONE; at = batch->after[at], keys++) {
        ahead = fetch(batch, ahead, 0);
        if (!is_one && is_cut(batch, at, (size_t) (out - line), keys)) {
            out = put(out, "\r\n", 2);
            line = out;
            keys = 0;
            out = put(out, verb.data, verb.size);
        }
        *out++ = ' ';
        out = put_key(out, batch, at);
    }
    return put(out, "\r\n", 2);
}

uint8_t *gdbx_wire_batch_store(const struct gdbx_wire_server *server, struct gdbx_text verb,
                               uint8_t *out) {
    const struct gdbx_wire_batch *batch = server->batch;
    uint8_t padded[GDBX_WIRE_VERB] = {0};
    int32_t ahead = fetch_some(batch, server->first, 1);
    memcpy(padded, verb.data, verb.size);
    for (int32_t at = server->first; at != NONE; at = batch->after[at]) {
        const struct gdbx_wire_asked *item = &batch->asked[at];
        ahead = fetch(batch, ahead, 1);
        if (item->cas) {
            out = put(out, "cas ", 4);
        } else {
            memcpy(out, padded, sizeof padded); /* of a size that the compiler knows */
            out += verb.size;
        }
        out = put_key(out, batch, at);
        if (item->flags == 0 && item->expire == 0) {
            out = put(out, " 0 0", 4);
        } else {
            out = put_number(out, item->flags);
            out = put_expiry(out, item->expire);
        }
        out = put_number(out, item->value.size);
        if (item->cas) out = put_number(out, item->cas);
        out = put(out, "\r\n", 2);
        out = put(out, item->value.data, item->value.size);
        out = put(out, "\r\n", 2);
    }
    return out;
}

/* The most bytes behind the key of a VALUE line: three numbers, none with more digits than
 * gdbx_wire_few_digits() reads, with a byte before and behind each, and the last of the line. */
enum { NUMBERS = 3 * 19 + 2 };

/* Read what is behind the key of a VALUE line; returns where the value starts, 0 if unusual. */
static size_t numbers(const uint8_t *data, size_t at, int bare, struct gdbx_wire_asked *key,
                      size_t *length) {
    uint64_t number;
    uint8_t next;
    if (data[at] == '0' && data[at + 1] == ' ') {
        key->flags = 0;
        at += 2;
    } else {
        if (gdbx_wire_few_digits(data, &at, &number) != ' ' || number > UINT32_MAX) return 0;
        key->flags = (uint32_t) number;
    }
    next = gdbx_wire_few_digits(data, &at, &number);
    *length = (size_t) number;
    if (number > GDBX_WIRE_MAX_VALUE) return 0;
    if (!bare) next = next == ' ' ? gdbx_wire_few_digits(data, &at, &key->cas) : 0;
    return next == '\r' && data[at] == '\n' ? at + 1 : 0;
}

/* Take the values that a list begins with; return where it goes on, with what may be none. */
static size_t take_list(struct gdbx_wire_io *io, size_t at) {
    struct gdbx_wire_reader *reader = io->reader;
    struct gdbx_wire_server *server = io->taker;
    const struct gdbx_wire_batch *batch = server->batch;
    const uint8_t *data = io->data;
    size_t size = io->size, before = 6 + batch->prefix.size;
    size_t passed = 0; /* keys that are not there, as it seems */
    int bare = (reader->options & GDBX_WIRE_BARE) != 0;
    int32_t i = server->next, ahead = fetch_some(batch, i, 1);
    for (; i != NONE; i = batch->after[i]) {
        struct gdbx_wire_asked *key = &batch->asked[i];
        size_t name = batch->keys[i].size, start, length;
        ahead = fetch(batch, ahead, 1);
        if (size - at < before + name + 1 + NUMBERS || memcmp(data + at, "VALUE ", 6) != 0) break;
        if (before > 6 && memcmp(data + at + 6, batch->prefix.data, before - 6) != 0) break;
        /* Another key's: this one is not there. */
        if (data[at + before + name] != ' '
            || !gdbx_wire_same(data + at + before, batch->keys[i].data, name)) {
            passed++;
            continue;
        }
        start = numbers(data, at + before + name + 1, bare, key, &length);
        if (!start || start + length + 2 > size || memcmp(data + start + length, "\r\n", 2) != 0)
            break;
        key->value.data = data + start;
        key->value.size = length;
        at = start + length + 2;
        reader->next++;
        server->next = batch->after[i];
        server->steps += passed;
        passed = 0;
    }
    /* No key that is left has this name: it is one that was passed over before. */
    if (i == NONE && passed) server->is_mixed = 1;
    server->steps += passed;
    return at;
}

void gdbx_wire_batch_take_values(struct gdbx_wire_io *io) {
    struct gdbx_wire_reader *reader = io->reader;
    const struct gdbx_wire_server *server = io->taker;
    if (reader->done || io->size < reader->needed || server->is_mixed) return;
    for (;;) {
        size_t at = take_list(io, reader->position);
        reader->position = at;
        if (io->size - at < 5 || memcmp(io->data + at, "END\r\n", 5) != 0) return;
        reader->position = at + 5;
        reader->done = 1;
        if (!reader->lists) return;
        gdbx_wire_next_list(reader);
    }
}

void gdbx_wire_batch_take_stored(struct gdbx_wire_io *io) {
    struct gdbx_wire_reader *reader = io->reader;
    struct gdbx_wire_server *server = io->taker;
    size_t at = reader->position;
    int32_t key = server->next;
    if (reader->done) return;
    while (key != NONE && io->size - at >= 8 && memcmp(io->data + at, "STORED\r\n", 8) == 0) {
        at += 8;
        reader->next++;
        key = server->batch->after[key];
    }
    server->next = key;
    reader->position = at;
    reader->done = reader->next == reader->count;
}

/* SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF"): who does not know the
 * seed cannot choose keys that meet in one slot. */
static uint64_t rotated(uint64_t word, int by) { return word << by | word >> (64 - by); }

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotated(v[1], 13) ^ v[0];
    v[3] = rotated(v[3], 16) ^ v[2];
    v[0] = rotated(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotated(v[1], 17) ^ v[2];
    v[3] = rotated(v[3], 21) ^ v[0];
    v[2] = rotated(v[2], 32);
}

static uint64_t hash_of(const uint64_t seed[2], const uint8_t *name, size_t size) {
    uint64_t v[4] = {seed[0] ^ UINT64_C(0x736f6d6570736575), seed[1] ^ UINT64_C(0x646f72616e646f6d),
                     seed[0] ^ UINT64_C(0x6c7967656e657261),
                     seed[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t last = (uint64_t) size << 56;
    size_t at = 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t eight = gdbx_wire_eight(name + at);
        v[3] ^= eight;
        sip_round(v);
        v[0] ^= eight;
    }
    for (int shift = 0; at < size; at++, shift += 8) last |= (uint64_t) name[at] << shift;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static int is_text(const struct gdbx_text *key, const uint8_t *name, size_t size) {
    return size == key->size && memcmp(name, key->data, size) == 0;
}

/* Return the slot of a name: that of its key, or the free one where it would be. */
static size_t slot_of(const struct gdbx_wire_batch *batch, struct gdbx_wire_server *server,
                      const uint8_t *name, size_t size) {
    size_t slot = (size_t) hash_of(server->seed, name, size) & (server->slots - 1);
    while (server->table[slot] != NONE) {
        server->steps++;
        if (is_text(&batch->keys[server->table[slot]], name, size)) break;
        slot = (slot + 1) & (server->slots - 1);
    }
    return slot;
}

size_t gdbx_wire_batch_slots(const struct gdbx_wire_server *server) {
    size_t slots = 2;
    while (slots < 2 * server->number) slots *= 2;
    return slots;
}

void gdbx_wire_batch_index(const struct gdbx_wire_batch *batch, struct gdbx_wire_server *server,
                           int32_t *table, const uint64_t seed[2]) {
    server->is_mixed = 1;
    server->table = table;
    server->slots = gdbx_wire_batch_slots(server);
    memcpy(server->seed, seed, sizeof server->seed);
    for (size_t i = 0; i < server->slots; i++) table[i] = NONE;
    for (int32_t at = server->first; at != NONE; at = batch->after[at]) {
        const struct gdbx_text *key = &batch->keys[at];
        size_t slot;
        if (batch->asked[at].found) continue;
        slot = slot_of(batch, server, key->data, key->size);
        batch->asked[at].same = table[slot]; /* a slot leads to all keys of its name */
        table[slot] = at;
    }
}

int32_t gdbx_wire_batch_named(const struct gdbx_wire_batch *batch, struct gdbx_wire_server *server,
                              const uint8_t *data, const struct gdbx_wire_record *record) {
    const uint8_t *name = data + record->key;
    size_t before = batch->prefix.size, size = record->key_size - before, slot;
    int32_t at;
    if (record->key_size < before || (before && memcmp(name, batch->prefix.data, before) != 0))
        return NONE;
    name += before;
    if (server->table) {
        slot = slot_of(batch, server, name, size);
        at = server->table[slot];
        if (at == NONE || batch->asked[at].found) return NONE;
        if (batch->asked[at].same != NONE) server->table[slot] = batch->asked[at].same;
        return at;
    }
    if (server->is_mixed) return GDBX_WIRE_UNSORTED;
    for (at = server->next; at != NONE; at = batch->after[at], server->steps++)
        if (is_text(&batch->keys[at], name, size)) return at;
    server->is_mixed = 1;
    return GDBX_WIRE_UNSORTED;
}
