/* SHA-256 (FIPS 180-4), for kernels that hash many short texts at a call.
 *
 * Nothing here is timed to hide what it hashes; `hashlib` is the place for secrets. */
#ifndef GDBX_SHA256_H
#define GDBX_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define GDBX_SHA256_SIZE 32

enum gdbx_sha256_path {
    GDBX_SHA256_PORTABLE = 0,
    GDBX_SHA256_X86 = 1 /* the SHA extensions */
};

/* Return whether this machine runs `path`; the portable path runs everywhere. */
int gdbx_sha256_supports(enum gdbx_sha256_path path);

/* Return the fastest path that this machine supports. */
enum gdbx_sha256_path gdbx_sha256_best(void);

/* Write the hash of data[0..size), as eight words. */
void gdbx_sha256_words(enum gdbx_sha256_path path, const uint8_t *data, size_t size,
                       uint32_t words[8]);

#endif
