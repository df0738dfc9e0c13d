/* The vector instructions of this machine, detected at run time.
 *
 * Nothing is cached here: a caller asks once and passes the answer to the kernels. */
#ifndef GDBX_SIMD_H
#define GDBX_SIMD_H

#if defined(__x86_64__) || defined(_M_X64)
#define GDBX_X86_64 1
#endif
#if defined(__aarch64__) || defined(_M_ARM64)
#define GDBX_AARCH64 1
#endif

#if defined(GDBX_X86_64) && (defined(__GNUC__) || defined(__clang__))
#define GDBX_TARGET(features) __attribute__((target(features)))
#else
#define GDBX_TARGET(features)
#endif

enum gdbx_simd {
    GDBX_SIMD_PORTABLE = 0,
    GDBX_SIMD_NEON = 1,
    GDBX_SIMD_AVX2 = 2,
    GDBX_SIMD_AVX512 = 3
};

/* Return whether this machine runs `path`; the portable path runs everywhere. */
int gdbx_simd_supports(enum gdbx_simd path);

/* Return the widest path that this machine supports. */
enum gdbx_simd gdbx_simd_best(void);

#endif
