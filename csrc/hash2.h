/* Permutation-based consistent hashing, as in Dropbox's Go package hash2.
 *
 * A key seeds a generator that deals one digit to every shard id in turn. Shard s gets a digit in
 * [0, 65535 - s): which of the 65535 - s positions that are still free in a permutation of 0..65534
 * it takes (a variable-base, or Lehmer, code). A key belongs to the available shard that comes
 * first in its permutation. */
#ifndef GDBX_HASH2_H
#define GDBX_HASH2_H

#include <stddef.h>
#include <stdint.h>

#include "simd.h"

#define GDBX_HASH2_SHARDS 65535u     /* shard ids are 0..65534 */
#define GDBX_HASH2_BITMAP_SIZE 8192u /* bytes: one bit per shard id, low bit first */

/* Return the shard of `key` among 0..num_shards-1, or 0 if num_shards is 0.
 * num_shards <= 65535. */
uint16_t gdbx_hash2_one(uint64_t key, uint32_t num_shards);

/* Write the shards of n keys to out[0..n). The machine must support `path`. */
void gdbx_hash2_many(enum gdbx_simd path, const uint64_t *keys, size_t n, uint32_t num_shards,
                     uint16_t *out);

/* Write the shards of n keys under two counts, few <= many <= 65535, in one pass. With equal counts
 * both outputs may be one. */
void gdbx_hash2_two(enum gdbx_simd path, const uint64_t *keys, size_t n, uint32_t few,
                    uint32_t many, uint16_t *out_few, uint16_t *out_many);

/* Available shards: a bitmap of GDBX_HASH2_BITMAP_SIZE bytes with its lowest and highest id. */
struct gdbx_hash2_set {
    const uint8_t *bitmap;
    uint32_t lowest;
    uint32_t highest;
};

/* Return the shard of `key` among those in `set`, which has at least one. */
uint16_t gdbx_hash2_set_one(uint64_t key, const struct gdbx_hash2_set *set);

/* Write the shards of n keys among those in `set` to out[0..n). */
void gdbx_hash2_set_many(enum gdbx_simd path, const uint64_t *keys, size_t n,
                         const struct gdbx_hash2_set *set, uint16_t *out);

#endif
