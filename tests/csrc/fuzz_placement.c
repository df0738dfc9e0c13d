/* Fuzz placement: the rules against the same computed the slow way, on exact blocks.
 *
 * Input: the size of the first name and the number of shards, a byte each; a ring's first point,
 * four bytes; the name; then the key.
 */
#include "check.h"
#include "digests.h"
#include "placement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t score(const uint8_t *name, size_t size, const uint8_t *key, size_t key_size) {
    uint8_t *whole = block(size + key_size);
    uint32_t hash;
    memcpy(whole, name, size);
    memcpy(whole + size, key, key_size);
    hash = gdbx_digests_murmur3(whole, size + key_size, 0);
    free(whole);
    return hash;
}

static void check_rendezvous(const uint8_t *name, size_t size, const uint8_t *key,
                             size_t key_size) {
    struct gdbx_placement_node nodes[2] = {gdbx_placement_make_node(name, size, 7),
                                           gdbx_placement_make_node(name, size / 2, 9)};
    struct gdbx_placement placement = {
        .rule = GDBX_PLACEMENT_RENDEZVOUS, .nodes = nodes, .num_nodes = 2};
    int second = score(name, size / 2, key, key_size) > score(name, size, key, key_size);
    CHECK(gdbx_placement_one(&placement, key, key_size) == (second ? 9 : 7), "rendezvous");
}

static void check_ring(uint32_t first, const uint8_t *key, size_t size) {
    struct gdbx_placement_point points[3] = {{first / 2, 5}, {first, 6}, {first, 7}};
    struct gdbx_placement placement = {
        .rule = GDBX_PLACEMENT_KETAMA, .points = points, .num_points = 3};
    uint32_t value = gdbx_digests_md5(key, size);
    uint16_t shard = gdbx_placement_one(&placement, key, size);
    CHECK(shard == (value > first / 2 && value <= first ? 6 : 5), "ketama");
    placement.rule = GDBX_PLACEMENT_JENKINS;
    value = gdbx_digests_jenkins(key, size);
    shard = gdbx_placement_one(&placement, key, size);
    CHECK(shard == (value > first / 2 && value <= first ? 6 : 5), "jenkins");
}

static void check_numbers(const uint8_t *key, size_t size, uint32_t num_shards) {
    static const enum gdbx_placement_rule rules[] = {
        GDBX_PLACEMENT_HASH2,      GDBX_PLACEMENT_CRC32,        GDBX_PLACEMENT_JENKINS_MODULO,
        GDBX_PLACEMENT_MD5_MODULO, GDBX_PLACEMENT_CRC15_MODULO, GDBX_PLACEMENT_JUMP};
    uint64_t number = gdbx_digests_fnv1a(key, size);
    uint16_t many;
    for (size_t i = 0; i < COUNT(rules); i++) {
        struct gdbx_placement placement = {.rule = rules[i], .num_shards = num_shards};
        uint16_t shard = gdbx_placement_one(&placement, key, size);
        CHECK(shard < num_shards, "rule %d: %u of %u", (int) rules[i], shard, num_shards);
        if (rules[i] == GDBX_PLACEMENT_CRC32)
            CHECK(shard == gdbx_digests_crc32(key, size) % num_shards, "crc32");
        if (rules[i] != GDBX_PLACEMENT_HASH2) continue;
        gdbx_placement_many(gdbx_simd_best(), &placement, &number, 1, &many);
        CHECK(shard == many, "hash2: %u, %u", shard, many);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t first;
    uint8_t *key, *name;
    size_t name_size, key_size;
    if (size < 6) return 0;
    memcpy(&first, data + 2, sizeof first);
    name_size = data[0] % 32 < size - 6 ? data[0] % 32 : size - 6;
    key_size = size - 6 - name_size;
    name = block(name_size);
    key = block(key_size);
    memcpy(name, data + 6, name_size);
    memcpy(key, data + 6 + name_size, key_size);
    check_numbers(key, key_size, data[1] + 1u);
    check_ring(first, key, key_size);
    check_rendezvous(name, name_size, key, key_size);
    free(name);
    free(key);
    return 0;
}
