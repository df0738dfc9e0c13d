#include "murmur3.h"

#include <string.h>

static inline uint32_t rotl(uint32_t x, int r) { return x << r | x >> (32 - r); }

static inline uint32_t scramble(uint32_t k) { return rotl(k * 0xcc9e2d51u, 15) * 0x1b873593u; }

static inline uint32_t little_endian(const uint8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

uint32_t gdbx_murmur3_hash32(const uint8_t *data, size_t size, uint32_t seed) {
    uint32_t h = seed;
    uint32_t k = 0;
    size_t whole = size & ~(size_t) 3;
    for (size_t at = 0; at < whole; at += 4) {
        h ^= scramble(little_endian(data + at));
        h = rotl(h, 13) * 5 + 0xe6546b64u;
    }
    switch (size & 3) { /* the bytes from `whole` on: as many as the case says */
    case 3:
        k = (uint32_t) data[whole + 2] << 16;
        /* fall through */
    case 2:
        k |= (uint32_t) data[whole + 1] << 8;
        /* fall through */
    case 1: h ^= scramble(k | data[whole]);
    }
    h ^= (uint32_t) size;
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    return h ^ h >> 16;
}
