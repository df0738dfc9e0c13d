/* The assertions of the C tests, and the few helpers that several of them share.
 *
 * A test file defines main() and calls CHECK; the first that fails ends the program.
 */
#ifndef GDBX_CHECK_H
#define GDBX_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simd.h"

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Every path; a test asks gdbx_simd_supports() which of them run here. */
static const enum gdbx_simd PATHS[] = {GDBX_SIMD_PORTABLE, GDBX_SIMD_NEON, GDBX_SIMD_AVX2,
                                       GDBX_SIMD_AVX512};
static const char *const PATH_NAMES[] = {"portable", "neon", "avx2", "avx512"};

/* Return a block of exactly `size` bytes, so that a sanitizer sees a step past either end. */
static inline void *block(size_t size) {
    void *memory = malloc(size ? size : 1);
    CHECK(memory != NULL, "no memory for %zu bytes", size);
    return memory;
}

/* A reproducible stream of 64-bit values (Sebastiano Vigna's splitmix64). */
static inline uint64_t random64(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Return a block of `size` bytes, at most 128, that depend on `number`. */
static inline uint8_t *random_text(size_t size, uint64_t number) {
    uint8_t bytes[128], *made = block(size);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t) random64(&number);
    CHECK(size <= sizeof bytes, "%zu bytes", size);
    memcpy(made, bytes, size);
    return made;
}

/* Open `name` in the folder of the golden vectors, and skip its header line. */
static inline FILE *open_vectors(const char *folder, const char *name) {
    char path[4096], line[256];
    FILE *file;
    CHECK((size_t) snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path, "%s", name);
    file = fopen(path, "r");
    CHECK(file != NULL, "cannot read %s", path);
    CHECK(fgets(line, sizeof line, file) != NULL, "%s is empty", path);
    return file;
}

#endif
