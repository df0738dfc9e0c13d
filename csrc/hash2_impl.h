/* Shared by the portable path of hash2 and its vector paths; not part of the interface. */
#ifndef GDBX_HASH2_IMPL_H
#define GDBX_HASH2_IMPL_H

#include "digests_impl.h"
#include "hash2.h"

/* The next value is the 32-bit murmur3 of the last value's four bytes, with seed 12345. */
#define GDBX_HASH2_SEED 12345u
#define GDBX_HASH2_LENGTH 4u

/* A 16-bit value is below 2 * base while base >= 32768, so one subtraction reduces it. */
#define GDBX_HASH2_EASY_SHARDS 32768u

static inline uint32_t gdbx_hash2_first(uint64_t key) {
    return (uint32_t) key ^ (uint32_t) (key >> 32);
}

static inline int gdbx_hash2_has(const struct gdbx_hash2_set *set, uint32_t shard) {
    return set->bitmap[shard >> 3] >> (shard & 7) & 1;
}

/* The vector paths. Each takes whole groups: n is a multiple of its group size. */
typedef void gdbx_hash2_two_fn(const uint64_t *keys, size_t n, uint32_t few, uint32_t many,
                               uint16_t *out_few, uint16_t *out_many);
typedef void gdbx_hash2_set_fn(const uint64_t *keys, size_t n, const struct gdbx_hash2_set *set,
                               uint16_t *out);

#define GDBX_HASH2_MAX_GROUP 128
#define GDBX_HASH2_CHUNK 16     /* pairs; a power of two */
#define GDBX_HASH2_MIN_CHUNKS 8 /* with fewer, finding the pair costs more than it saves */

#if defined(__clang__)
#define GDBX_UNROLLED _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define GDBX_UNROLLED _Pragma("GCC unroll 8")
#else
#define GDBX_UNROLLED
#endif

#if defined(GDBX_X86_64)
#define GDBX_HASH2_AVX2_GROUP 64
#define GDBX_HASH2_AVX512_GROUP 128
gdbx_hash2_two_fn gdbx_hash2_two_avx2, gdbx_hash2_two_avx512;
gdbx_hash2_set_fn gdbx_hash2_set_avx2, gdbx_hash2_set_avx512;
#endif
#if defined(GDBX_AARCH64)
#define GDBX_HASH2_NEON_GROUP 24
gdbx_hash2_two_fn gdbx_hash2_two_neon;
gdbx_hash2_set_fn gdbx_hash2_set_neon;
#endif

#endif
