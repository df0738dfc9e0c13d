/* Permutation hashing done slowly: decode a key's whole permutation and look shards up in it.
 *
 * It shares nothing with csrc but the constants of murmur3: no running least digit, no early
 * end, no vector, no special case for few shards.
 */
#ifndef GDBX_HASH2_REFERENCE_H
#define GDBX_HASH2_REFERENCE_H

#include <stdint.h>

#define SHARDS 65535
#define TREE 65536

static inline uint32_t rotated(uint32_t x, unsigned by) {
    return (uint32_t) (((uint64_t) x << by) | (x >> (32 - by)));
}

static inline uint32_t murmur3_of_word(uint32_t word) {
    uint32_t h = 12345 ^ (rotated(word * 0xcc9e2d51u, 15) * 0x1b873593u);
    h = rotated(h, 13) * 5 + 0xe6546b64u;
    h ^= 4;
    h = (h ^ (h >> 16)) * 0x85ebca6bu;
    h = (h ^ (h >> 13)) * 0xc2b2ae35u;
    return h ^ (h >> 16);
}

/* Write to place[shard] the shard's position in the permutation of `key`: each shard in turn takes
 * the free position that its digit counts to. `free_places` is a binary indexed tree of TREE + 1
 * counts (Fenwick, 1994). */
static inline void reference_places(uint64_t key, uint16_t *place, uint32_t *free_places) {
    uint32_t hash = (uint32_t) key ^ (uint32_t) (key >> 32);
    for (uint32_t node = 0; node <= TREE; node++) free_places[node] = node & (~node + 1);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        uint32_t digit, left, at = 0;
        if (shard % 2 == 0) hash = murmur3_of_word(hash);
        digit = shard % 2 == 0 ? hash % 65536 : hash / 65536;
        left = digit % (SHARDS - shard);
        for (uint32_t step = TREE / 2; step; step /= 2)
            if (free_places[at + step] <= left) {
                at += step;
                left -= free_places[at];
            }
        place[shard] = (uint16_t) at; /* the position after the `at` that the digit passes */
        for (uint32_t node = at + 1; node <= TREE; node += node & (~node + 1)) free_places[node]--;
    }
}

/* Return the shard with the first position among those whose bit is set; 0 if there is none. */
static inline uint16_t reference_set(const uint16_t *place, const uint8_t *bitmap) {
    uint32_t best = 0, first = SHARDS;
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        if (bitmap[shard / 8] >> (shard % 8) & 1 && place[shard] < first) {
            best = shard;
            first = place[shard];
        }
    return (uint16_t) best;
}

#endif
