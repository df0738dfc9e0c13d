#include "simd.h"

#if defined(GDBX_X86_64) && defined(_MSC_VER) && !defined(__clang__)
#include <immintrin.h>
#include <intrin.h>

/* CPUID leaves 1 and 7 (Intel SDM volume 2A, CPUID); XCR0 lists the registers the system saves. */
static int x86_has(enum gdbx_simd path)
{
    int leaf1[4], leaf7[4];
    unsigned long long saved, needed;

    __cpuid(leaf1, 0);
    if (leaf1[0] < 7)
        return 0;
    __cpuidex(leaf1, 1, 0);
    __cpuidex(leaf7, 7, 0);
    if (!(leaf1[2] & (1 << 27)))
        return 0;
    saved = _xgetbv(0);
    needed = path == GDBX_SIMD_AVX512 ? 0xe6 : 0x06;
    if ((saved & needed) != needed || !(leaf7[1] & (1 << 5)))
        return 0;
    return path == GDBX_SIMD_AVX2 || ((leaf7[1] & (1 << 16)) && (leaf7[1] & (1 << 30)));
}
#elif defined(GDBX_X86_64)
static int x86_has(enum gdbx_simd path)
{
    if (!__builtin_cpu_supports("avx2"))
        return 0;
    return path == GDBX_SIMD_AVX2
        || (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"));
}
#endif

int gdbx_simd_supports(enum gdbx_simd path)
{
    switch (path) {
    case GDBX_SIMD_PORTABLE:
        return 1;
#if defined(GDBX_X86_64)
    case GDBX_SIMD_AVX2:
    case GDBX_SIMD_AVX512:
        return x86_has(path);
#endif
#if defined(GDBX_AARCH64)
    case GDBX_SIMD_NEON: /* every AArch64 has it (Arm ARM, Advanced SIMD) */
        return 1;
#endif
    default:
        return 0;
    }
}

enum gdbx_simd gdbx_simd_best(void)
{
    if (gdbx_simd_supports(GDBX_SIMD_AVX512))
        return GDBX_SIMD_AVX512;
    if (gdbx_simd_supports(GDBX_SIMD_AVX2))
        return GDBX_SIMD_AVX2;
    if (gdbx_simd_supports(GDBX_SIMD_NEON))
        return GDBX_SIMD_NEON;
    return GDBX_SIMD_PORTABLE;
}
