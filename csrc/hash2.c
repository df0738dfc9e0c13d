#include "hash2_impl.h"

#include <string.h>

static inline uint32_t next(uint32_t x) {
    return gdbx_murmur3_finish(gdbx_murmur3_mix(GDBX_HASH2_SEED, x), GDBX_HASH2_LENGTH);
}

/* The first shard so far, as one number: its position in the high bits, its id in the low ones. The
 * lower number comes first; of two equal positions, the lower id. */
static inline uint32_t offer(uint32_t best, uint32_t digit, uint32_t shard) {
    uint32_t base = GDBX_HASH2_SHARDS - shard;
    uint32_t packed;
    if (shard < GDBX_HASH2_EASY_SHARDS)
        digit = digit >= base ? digit - base : digit;
    else
        digit %= base;
    packed = digit << 16 | shard;
    return packed < best ? packed : best;
}

/* Offer the shards from..to-1 to `best`. *hash is the value that gave shard from - 1 its digit, or
 * the first value if from is 0. */
static inline uint32_t advance(uint32_t *hash, uint32_t best, uint32_t from, uint32_t to) {
    uint32_t shard = from;
    if (shard & 1 && shard < to) {
        best = offer(best, *hash >> 16, shard);
        shard++;
    }
    for (; shard + 1 < to; shard += 2) {
        if (best < 0x10000) /* position 0: nothing comes before it */
            return best;
        *hash = next(*hash);
        best = offer(best, *hash & 0xffff, shard);
        best = offer(best, *hash >> 16, shard + 1);
    }
    if (shard < to) {
        *hash = next(*hash);
        best = offer(best, *hash & 0xffff, shard);
    }
    return best;
}

uint16_t gdbx_hash2_one(uint64_t key, uint32_t num_shards) {
    uint32_t hash = gdbx_hash2_first(key);
    return num_shards < 2 ? 0 : (uint16_t) advance(&hash, UINT32_MAX, 0, num_shards);
}

static void two_portable(const uint64_t *keys, size_t n, uint32_t few, uint32_t many,
                         uint16_t *out_few, uint16_t *out_many) {
    for (size_t i = 0; i < n; i++) {
        uint32_t hash = gdbx_hash2_first(keys[i]);
        uint32_t best = few ? advance(&hash, UINT32_MAX, 0, few) : UINT32_MAX;
        out_few[i] = few ? (uint16_t) best : 0;
        if (few < many) best = advance(&hash, best, few, many);
        out_many[i] = many ? (uint16_t) best : 0;
    }
}

/* `before` counts the free positions before the best available shard so far. A shard whose digit is
 * lower takes one of them: an available shard becomes the best, any other leaves one position
 * fewer. */
uint16_t gdbx_hash2_set_one(uint64_t key, const struct gdbx_hash2_set *set) {
    uint32_t hash = gdbx_hash2_first(key);
    uint32_t before = GDBX_HASH2_SHARDS;
    uint32_t best = set->lowest;
    for (uint32_t shard = 0; shard < set->lowest >> 1 << 1; shard += 2) hash = next(hash);
    for (uint32_t pair = set->lowest >> 1 << 1; pair <= set->highest; pair += 2) {
        hash = next(hash);
        for (uint32_t shard = pair; shard < pair + 2; shard++) {
            uint32_t digit;
            if (shard < set->lowest || shard > set->highest) continue;
            digit = (shard == pair ? hash & 0xffff : hash >> 16) % (GDBX_HASH2_SHARDS - shard);
            if (digit >= before) continue;
            if (gdbx_hash2_has(set, shard)) {
                best = shard;
                before = digit;
            } else {
                before--;
            }
        }
        if (before == 0) break;
    }
    return (uint16_t) best;
}

static void set_portable(const uint64_t *keys, size_t n, const struct gdbx_hash2_set *set,
                         uint16_t *out) {
    for (size_t i = 0; i < n; i++) out[i] = gdbx_hash2_set_one(keys[i], set);
}

static size_t choose(enum gdbx_simd path, gdbx_hash2_two_fn **two, gdbx_hash2_set_fn **set) {
    switch (path) {
#if defined(GDBX_X86_64)
    case GDBX_SIMD_AVX512:
        *two = gdbx_hash2_two_avx512;
        *set = gdbx_hash2_set_avx512;
        return GDBX_HASH2_AVX512_GROUP;
    case GDBX_SIMD_AVX2:
        *two = gdbx_hash2_two_avx2;
        *set = gdbx_hash2_set_avx2;
        return GDBX_HASH2_AVX2_GROUP;
#endif
#if defined(GDBX_AARCH64)
    case GDBX_SIMD_NEON:
        *two = gdbx_hash2_two_neon;
        *set = gdbx_hash2_set_neon;
        return GDBX_HASH2_NEON_GROUP;
#endif
    default:
        *two = two_portable;
        *set = set_portable;
        return 1;
    }
}

void gdbx_hash2_two(enum gdbx_simd path, const uint64_t *keys, size_t n, uint32_t few,
                    uint32_t many, uint16_t *out_few, uint16_t *out_many) {
    gdbx_hash2_two_fn *two;
    gdbx_hash2_set_fn *set;
    size_t group = choose(path, &two, &set);
    size_t whole = n - n % group;
    two(keys, whole, few, many, out_few, out_many);
    if (whole < n) { /* the rest, padded to a group: n - whole < group <= MAX_GROUP */
        uint64_t padded[GDBX_HASH2_MAX_GROUP] = {0};
        uint16_t shards_few[GDBX_HASH2_MAX_GROUP], shards_many[GDBX_HASH2_MAX_GROUP];
        memcpy(padded, keys + whole, (n - whole) * sizeof *keys);
        two(padded, group, few, many, shards_few, shards_many);
        memcpy(out_few + whole, shards_few, (n - whole) * sizeof *out_few);
        memcpy(out_many + whole, shards_many, (n - whole) * sizeof *out_many);
    }
}

void gdbx_hash2_many(enum gdbx_simd path, const uint64_t *keys, size_t n, uint32_t num_shards,
                     uint16_t *out) {
    gdbx_hash2_two(path, keys, n, num_shards, num_shards, out, out);
}

void gdbx_hash2_set_many(enum gdbx_simd path, const uint64_t *keys, size_t n,
                         const struct gdbx_hash2_set *shards, uint16_t *out) {
    gdbx_hash2_two_fn *two;
    gdbx_hash2_set_fn *set;
    size_t group = choose(path, &two, &set);
    size_t whole = n - n % group;
    set(keys, whole, shards, out);
    if (whole < n) {
        uint64_t padded[GDBX_HASH2_MAX_GROUP] = {0};
        uint16_t found[GDBX_HASH2_MAX_GROUP];
        memcpy(padded, keys + whole, (n - whole) * sizeof *keys);
        set(padded, group, shards, found);
        memcpy(out + whole, found, (n - whole) * sizeof *out);
    }
}
