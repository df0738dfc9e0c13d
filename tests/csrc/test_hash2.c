/* hash2 on every path that this machine runs: the golden vectors, whole permutations decoded
 * the slow way, every number of keys around a group, nothing written outside the output. */
#include "check.h"
#include "hash2.h"
#include "hash2_impl.h"
#include "hash2_reference.h"

#define KEYS 24
#define GUARD 64
#define GUARD_BYTE 0xa5

/* Shard counts at which something changes: parity, 32768, the ends. */
static const uint32_t SHARD_COUNTS[] = {0,     1,     2,     3,     4,     5,     10,    11,
                                        100,   101,   1000,  16384, 32766, 32767, 32768, 32769,
                                        32770, 49153, 65532, 65533, 65534, 65535};

static uint64_t keys[KEYS];
static uint16_t places[KEYS][SHARDS];

static void decode_keys(void) {
    static const uint64_t edges[] = {0,
                                     1,
                                     UINT32_MAX,
                                     (uint64_t) UINT32_MAX + 1,
                                     UINT64_MAX - 1,
                                     UINT64_MAX,
                                     0x8000000080000000u};
    static uint32_t tree[TREE + 1];
    uint64_t state = 2014;
    for (size_t i = 0; i < KEYS; i++) {
        keys[i] = i < COUNT(edges) ? edges[i] : random64(&state);
        reference_places(keys[i], places[i], tree);
    }
}

/* Outputs of n shards between guards; `release` checks the guards. */
static uint16_t *guarded(size_t n) {
    uint8_t *memory = block(GUARD + n * sizeof(uint16_t) + GUARD);
    memset(memory, GUARD_BYTE, GUARD + n * sizeof(uint16_t) + GUARD);
    return (uint16_t *) (void *) (memory + GUARD);
}

static void release(uint16_t *out, size_t n) {
    uint8_t *memory = (uint8_t *) out - GUARD, *after = (uint8_t *) (out + n);
    for (size_t i = 0; i < GUARD; i++)
        CHECK(memory[i] == GUARD_BYTE && after[i] == GUARD_BYTE, "%zu outputs, guard byte %zu", n,
              i);
    free(memory);
}

struct row {
    uint64_t key;
    uint32_t num_shards, shard;
};

static int by_num_shards(const void *a, const void *b) {
    const struct row *left = a, *right = b;
    return (left->num_shards > right->num_shards) - (left->num_shards < right->num_shards);
}

static size_t read_rows(const char *folder, struct row **rows) {
    FILE *file = open_vectors(folder, "hash2.csv");
    size_t n = 0, room = 1024;
    unsigned long long key;
    *rows = block(room * sizeof **rows);
    for (;;) {
        struct row row;
        if (fscanf(file, "%llu,%u,%u\n", &key, &row.num_shards, &row.shard) != 3) break;
        row.key = key;
        if (n == room) {
            room *= 2;
            *rows = realloc(*rows, room * sizeof **rows);
            CHECK(*rows != NULL, "no memory for %zu rows", room);
        }
        (*rows)[n++] = row;
    }
    CHECK(feof(file), "row %zu cannot be read", n + 1);
    fclose(file);
    CHECK(n > 10000, "only %zu rows", n);
    qsort(*rows, n, sizeof **rows, by_num_shards);
    return n;
}

/* Check rows[0..n), which have one shard count, in one call. */
static void check_run(enum gdbx_simd path, const struct row *rows, size_t n) {
    uint64_t *run = block(n * sizeof *run);
    uint16_t *out = guarded(n);
    for (size_t i = 0; i < n; i++) run[i] = rows[i].key;
    gdbx_hash2_many(path, run, n, rows->num_shards, out);
    for (size_t i = 0; i < n; i++) {
        CHECK(out[i] == rows[i].shard, "%s: key %llu of %u: got %u, expected %u", PATH_NAMES[path],
              (unsigned long long) run[i], rows->num_shards, out[i], rows[i].shard);
        if (path == GDBX_SIMD_PORTABLE)
            CHECK(gdbx_hash2_one(run[i], rows->num_shards) == out[i], "one key is not many");
    }
    release(out, n);
    free(run);
}

static void check_vectors(enum gdbx_simd path, const struct row *rows, size_t n) {
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && rows[to].num_shards == rows[from].num_shards; to++) continue;
        check_run(path, rows + from, to - from);
    }
}

/* Return the shard of key i among 0..num_shards-1 by the decoded permutation. */
static uint16_t first_of(size_t i, uint32_t num_shards) {
    uint32_t best = 0;
    for (uint32_t shard = 1; shard < num_shards; shard++)
        if (places[i][shard] < places[i][best]) best = shard;
    return (uint16_t) best;
}

/* Every count with itself, with the next, with one past 32768 and with the greatest. */
static void check_counts(enum gdbx_simd path) {
    static uint16_t expected[COUNT(SHARD_COUNTS)][KEYS];
    for (size_t c = 0; c < COUNT(SHARD_COUNTS); c++)
        for (size_t i = 0; i < KEYS; i++) expected[c][i] = first_of(i, SHARD_COUNTS[c]);
    for (size_t f = 0; f < COUNT(SHARD_COUNTS); f++)
        for (size_t m = f; m < COUNT(SHARD_COUNTS); m++) {
            uint16_t *few, *many;
            if (m > f + 1 && SHARD_COUNTS[m] != 32769 && SHARD_COUNTS[m] != 65535) continue;
            few = guarded(KEYS);
            many = guarded(KEYS);
            gdbx_hash2_two(path, keys, KEYS, SHARD_COUNTS[f], SHARD_COUNTS[m], few, many);
            for (size_t i = 0; i < KEYS; i++)
                CHECK(few[i] == expected[f][i] && many[i] == expected[m][i],
                      "%s: key %zu under %u and %u: got %u and %u, expected %u and %u",
                      PATH_NAMES[path], i, SHARD_COUNTS[f], SHARD_COUNTS[m], few[i], many[i],
                      expected[f][i], expected[m][i]);
            release(few, KEYS);
            release(many, KEYS);
        }
}

/* Every number of keys up to two of the widest groups and one more, in exact blocks. */
static void check_groups(enum gdbx_simd path) {
    uint8_t bitmap[GDBX_HASH2_BITMAP_SIZE] = {0x5a, 0x01};
    struct gdbx_hash2_set set = {bitmap, 1, 8};
    uint64_t state = 7;
    for (size_t n = 0; n <= 2 * GDBX_HASH2_MAX_GROUP + 1; n++) {
        uint64_t *some = block(n * sizeof *some);
        uint16_t *few = guarded(n), *many = guarded(n), *found = guarded(n);
        for (size_t i = 0; i < n; i++) some[i] = random64(&state);
        gdbx_hash2_two(path, some, n, 9, 40, few, many);
        gdbx_hash2_set_many(path, some, n, &set, found);
        for (size_t i = 0; i < n; i++) {
            CHECK(few[i] == gdbx_hash2_one(some[i], 9), "%zu keys, key %zu", n, i);
            CHECK(many[i] == gdbx_hash2_one(some[i], 40), "%zu keys, key %zu", n, i);
            CHECK(found[i] == gdbx_hash2_set_one(some[i], &set), "%zu keys, key %zu", n, i);
        }
        release(few, n);
        release(many, n);
        release(found, n);
        free(some);
    }
}

static void check_set(enum gdbx_simd path, const uint8_t *bitmap) {
    struct gdbx_hash2_set set = {bitmap, SHARDS, 0};
    uint16_t *out = guarded(KEYS);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        if (gdbx_hash2_has(&set, shard)) {
            set.lowest = shard < set.lowest ? shard : set.lowest;
            set.highest = shard;
        }
    gdbx_hash2_set_many(path, keys, KEYS, &set, out);
    for (size_t i = 0; i < KEYS; i++) {
        uint16_t expected = reference_set(places[i], bitmap);
        CHECK(out[i] == expected, "%s: key %zu, set %u..%u: got %u, expected %u", PATH_NAMES[path],
              i, set.lowest, set.highest, out[i], expected);
        if (path == GDBX_SIMD_PORTABLE)
            CHECK(gdbx_hash2_set_one(keys[i], &set) == expected, "one key is not many");
    }
    release(out, KEYS);
}

static void put(uint8_t *bitmap, uint32_t shard) {
    bitmap[shard / 8] |= (uint8_t) (1u << (shard % 8));
}

/* Sets of one shard, of all, of ranges, of every n-th, and with holes at random. */
static void check_sets(enum gdbx_simd path) {
    static const uint32_t ranges[][3] = {
        {0, 0, 1},         {1, 1, 1},         {32767, 32767, 1}, {32768, 32768, 1},
        {65533, 65533, 1}, {65534, 65534, 1}, {0, 65534, 1},     {0, 65534, 65534},
        {0, 9, 1},         {1, 10, 1},        {7, 7000, 3},      {0, 65534, 2},
        {1, 65533, 2},     {32766, 32769, 1}, {65000, 65534, 1}, {100, 60001, 977},
    };
    uint64_t state = 16;
    for (size_t r = 0; r < COUNT(ranges); r++) {
        uint8_t bitmap[GDBX_HASH2_BITMAP_SIZE] = {0};
        for (uint32_t shard = ranges[r][0]; shard <= ranges[r][1]; shard += ranges[r][2])
            put(bitmap, shard);
        check_set(path, bitmap);
    }
    for (uint32_t one_in = 2; one_in < 40000; one_in *= 5) {
        uint8_t bitmap[GDBX_HASH2_BITMAP_SIZE] = {0};
        put(bitmap, (uint32_t) (random64(&state) % SHARDS));
        for (uint32_t shard = 0; shard < SHARDS; shard++)
            if (random64(&state) % one_in == 0) put(bitmap, shard);
        check_set(path, bitmap);
    }
}

int main(int argc, char **argv) {
    struct row *rows;
    size_t n;
    CHECK(argc == 2, "usage: test_hash2 FOLDER_OF_VECTORS");
    n = read_rows(argv[1], &rows);
    decode_keys();
    for (size_t p = 0; p < COUNT(PATHS); p++) {
        if (!gdbx_simd_supports(PATHS[p])) continue;
        check_vectors(PATHS[p], rows, n);
        check_counts(PATHS[p]);
        check_groups(PATHS[p]);
        check_sets(PATHS[p]);
        printf("%s: %zu vectors, %zu permutations\n", PATH_NAMES[p], n, (size_t) KEYS);
    }
    free(rows);
    return 0;
}
