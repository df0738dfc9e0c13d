/* Fuzz the digests against the same algorithms taken a byte or a bit at a time.
 *
 * Input: murmur3's seed, four bytes; then the text to digest.
 */
#include "check.h"
#include "digests.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t rotated(uint32_t x, unsigned by) {
    return (uint32_t) (((uint64_t) x << by) | (x >> (32 - by)));
}

static uint32_t murmur3_by_bytes(const uint8_t *data, size_t size, uint32_t seed) {
    uint32_t h = seed, word = 0;
    for (size_t i = 0; i < size; i++) {
        word |= (uint32_t) data[i] << (8 * (i % 4));
        if (i % 4 == 3 || i + 1 == size) {
            h ^= rotated(word * 0xcc9e2d51u, 15) * 0x1b873593u;
            word = 0;
            if (i % 4 == 3) h = rotated(h, 13) * 5 + 0xe6546b64u;
        }
    }
    h ^= (uint32_t) size;
    h = (h ^ (h >> 16)) * 0x85ebca6bu;
    h = (h ^ (h >> 13)) * 0xc2b2ae35u;
    return h ^ (h >> 16);
}

static uint32_t crc_by_bits(const uint8_t *data, size_t size) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t seed = 0;
    uint8_t *exact;
    if (size >= sizeof seed) {
        memcpy(&seed, data, sizeof seed);
        data += sizeof seed;
        size -= sizeof seed;
    }
    exact = block(size);
    if (size) memcpy(exact, data, size);
    CHECK(gdbx_digests_murmur3(exact, size, seed) == murmur3_by_bytes(exact, size, seed),
          "murmur3 of %zu bytes, seed %u", size, seed);
    CHECK(gdbx_digests_crc32(exact, size) == crc_by_bits(exact, size), "crc32 of %zu bytes", size);
    free(exact);
    return 0;
}
