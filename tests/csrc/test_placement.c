/* placement: check values of the sums, every rule against its definition, every vector path. */
#include "check.h"
#include "murmur3.h"
#include "placement.h"

/* Call a sum on a copy of the text in a block that ends with it. */
#define OF(sum, text) of(sum, text, strlen(text))

static uint32_t of(uint32_t (*sum)(const uint8_t *, size_t), const char *text, size_t size) {
    uint8_t *exact = block(size);
    uint32_t result;
    memcpy(exact, text, size);
    result = sum(exact, size);
    free(exact);
    return result;
}

/* RFC 1321, A.5: the first four bytes of each digest, the low one first. */
static void check_md5(void) {
    static const struct {
        const char *text;
        uint32_t word;
    } rows[] = {
        {"", 0xd98c1dd4u},
        {"a", 0xb975c10cu},
        {"abc", 0x98500190u},
        {"message digest", 0x7d696bf9u},
        {"abcdefghijklmnopqrstuvwxyz", 0xd7d3fcc3u},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 0x98ab74d1u},
        {"1234567890123456789012345678901234567890123456789012345678901234567890"
         "1234567890",
         0xa2f4ed57u},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        CHECK(OF(gdbx_placement_md5, rows[i].text) == rows[i].word, "row %zu: %08x", i,
              OF(gdbx_placement_md5, rows[i].text));
}

static void check_sums(void) {
    CHECK(gdbx_placement_fnv1a((const uint8_t *) "", 0) == 0xcbf29ce484222325u, "FNV-1a of \"\"");
    CHECK(gdbx_placement_fnv1a((const uint8_t *) "a", 1) == 0xaf63dc4c8601ec8cu, "FNV-1a of a");
    CHECK(gdbx_placement_fnv1a((const uint8_t *) "foobar", 6) == 0x85944171f73967e8u, "of foobar");
    CHECK(OF(gdbx_placement_crc32, "") == 0, "CRC-32 of \"\"");
    CHECK(OF(gdbx_placement_crc32, "123456789") == 0xcbf43926u, "CRC-32's check value");
    CHECK(OF(gdbx_placement_jenkins, "a") == 0xca2e9442u, "one-at-a-time of a");
    CHECK(OF(gdbx_placement_jenkins, "The quick brown fox jumps over the lazy dog") == 0x519e91f5u,
          "one-at-a-time of the fox");
}

/* Fill a block with a text of `size` bytes that differs by `number`. */
static uint8_t *text(size_t size, uint64_t number) {
    uint8_t bytes[128], *made = block(size);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t) random64(&number);
    CHECK(size <= sizeof bytes, "%zu bytes", size);
    memcpy(made, bytes, size);
    return made;
}

/* Four keys at once, of any lengths, are as they are one by one. */
static void check_many_sums(void) {
    struct gdbx_text keys[23];
    uint64_t numbers[COUNT(keys)], state = 7;
    for (size_t i = 0; i < COUNT(keys); i++) {
        keys[i].size = random64(&state) % 40;
        keys[i].data = text(keys[i].size, i);
    }
    for (size_t n = 0; n <= COUNT(keys); n++) {
        memset(numbers, 0, sizeof numbers);
        gdbx_placement_fnv1a_many(keys, n, numbers);
        for (size_t i = 0; i < COUNT(keys); i++)
            CHECK(numbers[i] == (i < n ? gdbx_placement_fnv1a(keys[i].data, keys[i].size) : 0),
                  "%zu of %zu", i, n);
    }
    for (size_t i = 0; i < COUNT(keys); i++) free((void *) (uintptr_t) keys[i].data);
}

static void check_hash2(void) {
    uint8_t bitmap[GDBX_HASH2_BITMAP_SIZE] = {0xb6, 0x01}; /* 1, 2, 4, 5, 7, 8 */
    struct gdbx_placement all = {.rule = GDBX_PLACEMENT_HASH2, .num_shards = 9};
    struct gdbx_placement some = {.rule = GDBX_PLACEMENT_HASH2_SET, .set = {bitmap, 1, 8}};
    uint64_t numbers[300];
    uint16_t shards[300];
    for (size_t i = 0; i < COUNT(numbers); i++) {
        uint8_t *key = text(i % 70, i);
        numbers[i] = gdbx_placement_fnv1a(key, i % 70);
        CHECK(gdbx_placement_one(&all, key, i % 70) == gdbx_hash2_one(numbers[i], 9), "%zu", i);
        CHECK(gdbx_placement_one(&some, key, i % 70) == gdbx_hash2_set_one(numbers[i], &some.set),
              "%zu", i);
        free(key);
    }
    for (size_t p = 0; p < COUNT(PATHS); p++) {
        if (!gdbx_simd_supports(PATHS[p])) continue;
        gdbx_placement_many(PATHS[p], &all, numbers, COUNT(numbers), shards);
        for (size_t i = 0; i < COUNT(numbers); i++)
            CHECK(shards[i] == gdbx_hash2_one(numbers[i], 9), "%s: %zu", PATH_NAMES[p], i);
        gdbx_placement_many(PATHS[p], &some, numbers, COUNT(numbers), shards);
        for (size_t i = 0; i < COUNT(numbers); i++)
            CHECK(shards[i] == gdbx_hash2_set_one(numbers[i], &some.set), "%s: %zu", PATH_NAMES[p],
                  i);
    }
}

static void check_modulo(void) {
    struct gdbx_placement crc = {.rule = GDBX_PLACEMENT_CRC32, .num_shards = 7};
    CHECK(gdbx_placement_one(&crc, (const uint8_t *) "123456789", 9) == 0xcbf43926u % 7, "crc32");
}

/* A key stays, or goes to the shard that was added; one shard has them all. */
static void check_jump(void) {
    size_t moved = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        uint8_t *key = text(12, i);
        uint16_t before = 0;
        for (uint32_t n = 1; n <= 65535; n += n < 100 ? 1 : 9000) {
            struct gdbx_placement jump = {.rule = GDBX_PLACEMENT_JUMP, .num_shards = n};
            uint16_t now = gdbx_placement_one(&jump, key, 12);
            CHECK(now < n, "%u of %u", now, n);
            if (n <= 100) {
                CHECK(now == before || now == n - 1, "%u to %u of %u", before, now, n);
                moved += now != before;
            }
            before = now;
        }
        free(key);
    }
    CHECK(3700 < moved && moved < 4700, "%zu moves: the 1,000 keys should make 4,187", moved);
}

static void check_ring(void) {
    static const struct gdbx_placement_point points[] = {
        {10, 3}, {20, 1}, {0x20000000u, 4}, {0x60000000u, 0}, {0xc0000000u, 2}};
    struct gdbx_placement ring = {
        .rule = GDBX_PLACEMENT_KETAMA, .points = points, .num_points = COUNT(points)};
    size_t seen[5] = {0};
    for (int rule = 0; rule < 2; rule++) {
        for (uint64_t i = 0; i < 1000; i++) {
            uint8_t *key = text(9, i);
            uint32_t value = rule ? gdbx_placement_jenkins(key, 9) : gdbx_placement_md5(key, 9);
            size_t at = 0;
            ring.rule = rule ? GDBX_PLACEMENT_JENKINS : GDBX_PLACEMENT_KETAMA;
            while (at < COUNT(points) && points[at].value < value) at++;
            CHECK(gdbx_placement_one(&ring, key, 9) == points[at % COUNT(points)].shard, "%zu",
                  (size_t) i);
            seen[points[at % COUNT(points)].shard]++;
            free(key);
        }
    }
    CHECK(seen[4] && seen[0] && seen[2] && seen[3], "the ring goes round");
}

/* The highest score by the whole text, of equal ones the first; names and keys of all sizes. */
static void check_rendezvous(void) {
    for (size_t size = 0; size < 12; size++) {
        for (size_t key_size = 0; key_size < 12; key_size++) {
            struct gdbx_placement_node nodes[6];
            struct gdbx_placement placement = {
                .rule = GDBX_PLACEMENT_RENDEZVOUS, .nodes = nodes, .num_nodes = COUNT(nodes)};
            uint8_t *key = text(key_size, size * 100 + key_size);
            uint64_t most = 0;
            uint16_t best = 0;
            for (size_t i = 0; i < COUNT(nodes); i++) {
                uint8_t *name = text(size, i / 2); /* pairs of equal names */
                uint8_t *whole = block(size + key_size);
                uint64_t score;
                memcpy(whole, name, size);
                memcpy(whole + size, key, key_size);
                score = gdbx_murmur3_hash32(whole, size + key_size, 0) + (uint64_t) 1;
                if (score > most) {
                    most = score;
                    best = (uint16_t) (100 + i);
                }
                nodes[i] = gdbx_placement_make_node(name, size, (uint16_t) (100 + i));
                free(name);
                free(whole);
            }
            CHECK(gdbx_placement_one(&placement, key, key_size) == best, "%zu and %zu bytes", size,
                  key_size);
            free(key);
        }
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 2, "usage: test_placement FOLDER_OF_VECTORS, got %s", argv[0]);
    check_md5();
    check_sums();
    check_many_sums();
    check_hash2();
    check_modulo();
    check_jump();
    check_ring();
    check_rendezvous();
    printf("every rule\n");
    return 0;
}
