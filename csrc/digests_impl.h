/* The steps of murmur3, for kernels that hash a word at a time or start from a saved state. */
#ifndef GDBX_DIGESTS_IMPL_H
#define GDBX_DIGESTS_IMPL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GDBX_MURMUR3_C1 0xcc9e2d51u
#define GDBX_MURMUR3_C2 0x1b873593u
#define GDBX_MURMUR3_ADD 0xe6546b64u
#define GDBX_MURMUR3_F1 0x85ebca6bu
#define GDBX_MURMUR3_F2 0xc2b2ae35u

static inline uint32_t gdbx_digests_rotl(uint32_t x, int r) { return x << r | x >> (32 - r); }

/* Return the four bytes at p as a number, low byte first. */
static inline uint32_t gdbx_digests_word(const uint8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

static inline uint32_t gdbx_murmur3_scramble(uint32_t word) {
    return gdbx_digests_rotl(word * GDBX_MURMUR3_C1, 15) * GDBX_MURMUR3_C2;
}

static inline uint32_t gdbx_murmur3_mix(uint32_t h, uint32_t word) {
    return gdbx_digests_rotl(h ^ gdbx_murmur3_scramble(word), 13) * 5 + GDBX_MURMUR3_ADD;
}

static inline uint32_t gdbx_murmur3_finish(uint32_t h, uint32_t length) {
    h ^= length;
    h = (h ^ h >> 16) * GDBX_MURMUR3_F1;
    h = (h ^ h >> 13) * GDBX_MURMUR3_F2;
    return h ^ h >> 16;
}

/* Hash data[at..size), which is shorter than a word, and finish. */
static inline uint32_t gdbx_murmur3_end(uint32_t h, const uint8_t *data, size_t at, size_t size,
                                        uint32_t length) {
    uint32_t word = 0;
    switch (size - at) {
    case 3:
        word = (uint32_t) data[at + 2] << 16;
        /* fall through */
    case 2:
        word |= (uint32_t) data[at + 1] << 8;
        /* fall through */
    case 1: h ^= gdbx_murmur3_scramble(word | data[at]);
    }
    return gdbx_murmur3_finish(h, length);
}

#endif
