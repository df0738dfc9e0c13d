/* placement: every rule against its definition, every vector path. */
#include "check.h"
#include "digests.h"
#include "placement.h"

static void check_hash2(void) {
    uint8_t bitmap[GDBX_HASH2_BITMAP_SIZE] = {0xb6, 0x01}; /* 1, 2, 4, 5, 7, 8 */
    struct gdbx_placement all = {.rule = GDBX_PLACEMENT_HASH2, .num_shards = 9};
    struct gdbx_placement some = {.rule = GDBX_PLACEMENT_HASH2_SET, .set = {bitmap, 1, 8}};
    uint64_t numbers[300];
    uint16_t shards[300];
    for (size_t i = 0; i < COUNT(numbers); i++) {
        uint8_t *key = random_text(i % 70, i);
        numbers[i] = gdbx_digests_fnv1a(key, i % 70);
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
    /* MD5("123456789") begins with 25f9e794. */
    struct gdbx_placement crc15 = {.rule = GDBX_PLACEMENT_CRC15_MODULO, .num_shards = 7};
    struct gdbx_placement md5 = {.rule = GDBX_PLACEMENT_MD5_MODULO, .num_shards = 7};
    struct gdbx_placement jenkins = {.rule = GDBX_PLACEMENT_JENKINS_MODULO, .num_shards = 7};
    CHECK(gdbx_placement_one(&crc15, (const uint8_t *) "123456789", 9) == 0x4bf4u % 7, "crc15");
    CHECK(gdbx_placement_one(&md5, (const uint8_t *) "123456789", 9) == 0x94e7f925u % 7, "md5");
    CHECK(gdbx_placement_one(&jenkins, (const uint8_t *) "123456789", 9)
              == gdbx_digests_jenkins((const uint8_t *) "123456789", 9) % 7,
          "jenkins");
}

/* A key stays where it is or moves to the added shard. */
static void check_jump(void) {
    size_t moved = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        uint8_t *key = random_text(12, i);
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
            uint8_t *key = random_text(9, i);
            uint32_t value = rule ? gdbx_digests_jenkins(key, 9) : gdbx_digests_md5(key, 9);
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

/* The highest score of the whole text wins, of equal ones the first; all sizes. */
static void check_rendezvous(void) {
    for (size_t size = 0; size < 12; size++) {
        for (size_t key_size = 0; key_size < 12; key_size++) {
            struct gdbx_placement_node nodes[6];
            struct gdbx_placement placement = {
                .rule = GDBX_PLACEMENT_RENDEZVOUS, .nodes = nodes, .num_nodes = COUNT(nodes)};
            uint8_t *key = random_text(key_size, size * 100 + key_size);
            uint64_t most = 0;
            uint16_t best = 0;
            for (size_t i = 0; i < COUNT(nodes); i++) {
                uint8_t *name = random_text(size, i / 2); /* pairs of equal names */
                uint8_t *whole = block(size + key_size);
                uint64_t score;
                memcpy(whole, name, size);
                memcpy(whole + size, key, key_size);
                score = gdbx_digests_murmur3(whole, size + key_size, 0) + (uint64_t) 1;
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
    check_hash2();
    check_modulo();
    check_jump();
    check_ring();
    check_rendezvous();
    printf("every rule\n");
    return 0;
}
