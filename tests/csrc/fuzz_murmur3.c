/* Fuzz murmur3: the kernel against the algorithm taken a byte at a time.
 *
 * Input: the seed's four bytes, then what is hashed.
 */
#include "check.h"
#include "murmur3.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t rotated(uint32_t x, unsigned by) {
    return (uint32_t) (((uint64_t) x << by) | (x >> (32 - by)));
}

static uint32_t byte_at_a_time(const uint8_t *data, size_t size, uint32_t seed) {
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
    CHECK(gdbx_murmur3_hash32(exact, size, seed) == byte_at_a_time(exact, size, seed),
          "%zu bytes, seed %u", size, seed);
    free(exact);
    return 0;
}
