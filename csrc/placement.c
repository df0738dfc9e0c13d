#include "placement.h"

#include <string.h>

#include "digests.h"
#include "digests_impl.h"

struct gdbx_placement_node gdbx_placement_make_node(const uint8_t *name, size_t size,
                                                    uint16_t shard) {
    struct gdbx_placement_node node = {0, (uint32_t) size, shard, {0}};
    size_t whole = size & ~(size_t) 3;
    for (size_t at = 0; at < whole; at += 4)
        node.hash = gdbx_murmur3_mix(node.hash, gdbx_digests_word(name + at));
    for (size_t i = whole; i < size; i++) /* at most three */
        node.rest[i - whole] = name[i];
    return node;
}

static inline uint32_t score(const struct gdbx_placement_node *node, const uint8_t *key,
                             size_t size) {
    uint32_t h = node->hash, length = node->size + (uint32_t) size;
    size_t rest = node->size & 3, at = 0;
    if (rest) {
        uint8_t word[4];
        memcpy(word, node->rest, rest);
        for (; at < 4 - rest && at < size; at++) word[rest + at] = key[at];
        if (rest + at < 4) return gdbx_murmur3_end(h, word, 0, rest + at, length);
        h = gdbx_murmur3_mix(h, gdbx_digests_word(word));
    }
    for (; size - at >= 4; at += 4) h = gdbx_murmur3_mix(h, gdbx_digests_word(key + at));
    return gdbx_murmur3_end(h, key, at, size, length);
}

static uint16_t highest(const struct gdbx_placement *placement, const uint8_t *key, size_t size) {
    const struct gdbx_placement_node *best = placement->nodes;
    uint32_t most = score(best, key, size);
    for (size_t i = 1; i < placement->num_nodes; i++) {
        uint32_t now = score(placement->nodes + i, key, size);
        if (now > most) {
            most = now;
            best = placement->nodes + i;
        }
    }
    return best->shard;
}

/* The first point at or above `value`; after the last comes the first. */
static uint16_t next_point(const struct gdbx_placement *placement, uint32_t value) {
    size_t from = 0, to = placement->num_points;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (placement->points[middle].value < value)
            from = middle + 1;
        else
            to = middle;
    }
    return placement->points[from < placement->num_points ? from : 0].shard;
}

/* "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014, figure 1. */
static uint16_t jump(uint64_t number, uint32_t num_shards) {
    int64_t shard = -1, next = 0;
    while (next < (int64_t) num_shards) {
        shard = next;
        number = number * 2862933555777941757u + 1;
        next = (int64_t) ((double) (shard + 1)
                          * ((double) (INT64_C(1) << 31) / (double) ((number >> 33) + 1)));
    }
    return (uint16_t) shard;
}

uint16_t gdbx_placement_one(const struct gdbx_placement *placement, const uint8_t *key,
                            size_t size) {
    switch (placement->rule) {
    case GDBX_PLACEMENT_HASH2:
        return gdbx_hash2_one(gdbx_digests_fnv1a(key, size), placement->num_shards);
    case GDBX_PLACEMENT_HASH2_SET:
        return gdbx_hash2_set_one(gdbx_digests_fnv1a(key, size), &placement->set);
    case GDBX_PLACEMENT_CRC32:
        return (uint16_t) (gdbx_digests_crc32(key, size) % placement->num_shards);
    case GDBX_PLACEMENT_JUMP: return jump(gdbx_digests_fnv1a(key, size), placement->num_shards);
    case GDBX_PLACEMENT_KETAMA: return next_point(placement, gdbx_digests_md5(key, size));
    case GDBX_PLACEMENT_JENKINS: return next_point(placement, gdbx_digests_jenkins(key, size));
    case GDBX_PLACEMENT_JENKINS_MODULO:
        return (uint16_t) (gdbx_digests_jenkins(key, size) % placement->num_shards);
    case GDBX_PLACEMENT_MD5_MODULO:
        return (uint16_t) (gdbx_digests_md5(key, size) % placement->num_shards);
    case GDBX_PLACEMENT_CRC15_MODULO:
        return (uint16_t) ((gdbx_digests_crc32(key, size) >> 16 & 0x7fff) % placement->num_shards);
    case GDBX_PLACEMENT_RENDEZVOUS: break;
    }
    return highest(placement, key, size);
}

void gdbx_placement_many(enum gdbx_simd path, const struct gdbx_placement *placement,
                         const uint64_t *numbers, size_t n, uint16_t *out) {
    if (placement->rule == GDBX_PLACEMENT_HASH2_SET)
        gdbx_hash2_set_many(path, numbers, n, &placement->set, out);
    else
        gdbx_hash2_many(path, numbers, n, placement->num_shards, out);
}
