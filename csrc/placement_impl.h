/* What the files of placement share; no part of the interface. */
#ifndef GDBX_PLACEMENT_IMPL_H
#define GDBX_PLACEMENT_IMPL_H

#include <string.h>

#include "placement.h"

#if defined(__clang__)
#define GDBX_UNROLLED_16 _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define GDBX_UNROLLED_16 _Pragma("GCC unroll 16")
#else
#define GDBX_UNROLLED_16
#endif

static inline uint32_t gdbx_placement_rotl(uint32_t x, int r) { return x << r | x >> (32 - r); }

/* Return the four bytes at p as a number, the low byte first. */
static inline uint32_t gdbx_placement_word(const uint8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

#endif
