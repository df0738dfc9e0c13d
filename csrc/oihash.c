#include "oihash.h"
#include "digests_impl.h"

const uint32_t gdbx_oihash_primes[GDBX_OIHASH_COLUMNS] = {4294967291u, 4294967279u, 4294967231u,
                                                          4294967197u, 4294967189u, 4294967161u,
                                                          4294967143u, 4294967111u};

/* Words below 2^32 that 64 bits can hold the sum of, with room for a remainder. */
#define MOST ((size_t) 1 << 31)

static inline uint32_t swapped(uint32_t word) {
    return word >> 24 | (word >> 8 & 0xff00) | (word << 8 & 0xff0000) | word << 24;
}

static inline void reduce(uint64_t sums[GDBX_OIHASH_COLUMNS]) {
    for (int i = 0; i < GDBX_OIHASH_COLUMNS; i++) sums[i] %= gdbx_oihash_primes[i];
}

static inline void write(const uint64_t sums[GDBX_OIHASH_COLUMNS], uint8_t *out) {
    for (int i = 0; i < GDBX_OIHASH_COLUMNS; i++)
        for (int b = 0; b < 4; b++) out[4 * i + b] = (uint8_t) (sums[i] >> (8 * b));
}

void gdbx_oihash_items(enum gdbx_sha256_path path, const struct gdbx_text *items, size_t n,
                       uint8_t out[GDBX_OIHASH_SIZE]) {
    uint64_t sums[GDBX_OIHASH_COLUMNS] = {0};
    uint32_t words[8];
    for (size_t item = 0; item < n; item++) {
        gdbx_sha256_words(path, items[item].data, items[item].size, words);
        for (int i = 0; i < GDBX_OIHASH_COLUMNS; i++) sums[i] += swapped(words[i]);
        if (item % MOST == MOST - 1) reduce(sums);
    }
    reduce(sums);
    write(sums, out);
}

void gdbx_oihash_hashes(const struct gdbx_text *hashes, size_t n, uint8_t out[GDBX_OIHASH_SIZE]) {
    uint64_t sums[GDBX_OIHASH_COLUMNS] = {0};
    for (size_t hash = 0; hash < n; hash++) {
        for (int i = 0; i < GDBX_OIHASH_COLUMNS; i++)
            sums[i] += gdbx_digests_word(hashes[hash].data + 4 * i);
        if (hash % MOST == MOST - 1) reduce(sums);
    }
    reduce(sums);
    write(sums, out);
}

void gdbx_oihash_combine(const uint8_t left[GDBX_OIHASH_SIZE],
                         const uint8_t right[GDBX_OIHASH_SIZE], int removes,
                         uint8_t out[GDBX_OIHASH_SIZE]) {
    uint64_t sums[GDBX_OIHASH_COLUMNS];
    for (int i = 0; i < GDBX_OIHASH_COLUMNS; i++) {
        const uint64_t prime = gdbx_oihash_primes[i], a = gdbx_digests_word(left + 4 * i);
        const uint64_t b = gdbx_digests_word(right + 4 * i) % prime;
        sums[i] = (removes ? a + prime - b : a + b) % prime;
    }
    write(sums, out);
}
