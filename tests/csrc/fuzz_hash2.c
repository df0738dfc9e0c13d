/* Fuzz hash2: every vector path against the one-key functions, on the same keys and sets.
 *
 * Input: the number of keys, a byte; two 16-bit counts; the first keys; then the bitmap's bytes and
 * where they go. Large counts take few keys, so that a run stays well under a millisecond.
 */
#include "check.h"
#include "hash2.h"
#include "hash2_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t left;
};

/* Return the next `bytes` bytes as a number; past the end of the input they are zero. */
static uint64_t take(struct input *input, unsigned bytes) {
    uint64_t value = 0;
    for (; bytes && input->left; bytes--, input->left--) value = value << 8 | *input->data++;
    return value;
}

static void check_two(enum gdbx_simd path, const uint64_t *keys, size_t n, uint32_t few,
                      uint32_t many) {
    uint16_t *out_few = block(n * sizeof *out_few), *out_many = block(n * sizeof *out_many);
    gdbx_hash2_two(path, keys, n, few, many, out_few, out_many);
    for (size_t i = 0; i < n; i++) {
        CHECK(out_few[i] == gdbx_hash2_one(keys[i], few), "%s, key %zu", PATH_NAMES[path], i);
        CHECK(out_many[i] == gdbx_hash2_one(keys[i], many), "%s, key %zu", PATH_NAMES[path], i);
    }
    gdbx_hash2_many(path, keys, n, many, out_few);
    CHECK(memcmp(out_few, out_many, n * sizeof *out_few) == 0, "%s", PATH_NAMES[path]);
    free(out_few);
    free(out_many);
}

static void check_set(enum gdbx_simd path, const uint64_t *keys, size_t n,
                      const struct gdbx_hash2_set *set) {
    uint16_t *out = block(n * sizeof *out);
    gdbx_hash2_set_many(path, keys, n, set, out);
    for (size_t i = 0; i < n; i++) {
        CHECK(out[i] == gdbx_hash2_set_one(keys[i], set), "%s, key %zu", PATH_NAMES[path], i);
        CHECK(gdbx_hash2_has(set, out[i]), "%s, key %zu: %u is not in the set", PATH_NAMES[path], i,
              out[i]);
    }
    free(out);
}

/* Fill the bitmap from `base` on with the rest of the input; return whether a shard is in it. */
static int take_set(struct input *input, uint8_t *bitmap, struct gdbx_hash2_set *set) {
    uint32_t base = (uint32_t) take(input, 2) / 8;
    for (uint32_t at = base; at < GDBX_HASH2_BITMAP_SIZE && input->left; at++)
        bitmap[at] = (uint8_t) take(input, 1);
    *set = (struct gdbx_hash2_set){bitmap, GDBX_HASH2_SHARDS, 0};
    for (uint32_t shard = 0; shard < GDBX_HASH2_SHARDS; shard++)
        if (gdbx_hash2_has(set, shard)) {
            set->lowest = shard < set->lowest ? shard : set->lowest;
            set->highest = shard;
        }
    return set->lowest < GDBX_HASH2_SHARDS;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    size_t n = (size_t) take(&input, 1);
    uint32_t few = (uint32_t) take(&input, 2) % (GDBX_HASH2_SHARDS + 1);
    uint32_t many = (uint32_t) take(&input, 2) % (GDBX_HASH2_SHARDS + 1);
    uint32_t swap = few;
    uint64_t *keys;
    uint8_t bitmap[GDBX_HASH2_BITMAP_SIZE] = {0};
    struct gdbx_hash2_set set;
    if (few > many) {
        few = many;
        many = swap;
    }
    if (many > 1000) n %= 4;
    keys = block(n * sizeof *keys);
    for (size_t i = 0; i < n; i++)
        keys[i] = i < 4 ? take(&input, 8) : keys[i - 1] * 0x9e3779b97f4a7c15u + i;
    for (size_t p = 0; p < COUNT(PATHS); p++)
        if (gdbx_simd_supports(PATHS[p])) check_two(PATHS[p], keys, n, few, many);
    if (take_set(&input, bitmap, &set))
        for (size_t p = 0; p < COUNT(PATHS); p++)
            if (gdbx_simd_supports(PATHS[p]))
                check_set(PATHS[p], keys, set.highest > 1000 ? n % 4 : n, &set);
    free(keys);
    return 0;
}
