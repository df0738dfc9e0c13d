/* Dropbox's order-independent hash of a multiset: SHA-256 of every item, added by columns, each
 * modulo a prime of its own below 2^32. */
#ifndef GDBX_OIHASH_H
#define GDBX_OIHASH_H

#include "sha256.h"
#include "text.h"

#define GDBX_OIHASH_COLUMNS 8
#define GDBX_OIHASH_SIZE (4 * GDBX_OIHASH_COLUMNS)

/* The prime of each column. */
extern const uint32_t gdbx_oihash_primes[GDBX_OIHASH_COLUMNS];

/* Write the hash of n items: each column below its prime, low byte first. */
void gdbx_oihash_items(enum gdbx_sha256_path path, const struct gdbx_text *items, size_t n,
                       uint8_t out[GDBX_OIHASH_SIZE]);

/* Write the sum of n hashes, of 32 bytes each, which need not be below the primes. */
void gdbx_oihash_hashes(const struct gdbx_text *hashes, size_t n, uint8_t out[GDBX_OIHASH_SIZE]);

/* Write left + right, or left - right if `removes`. */
void gdbx_oihash_combine(const uint8_t left[GDBX_OIHASH_SIZE],
                         const uint8_t right[GDBX_OIHASH_SIZE], int removes,
                         uint8_t out[GDBX_OIHASH_SIZE]);

#endif
