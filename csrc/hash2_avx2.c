/* hash2 on AVX2: 8 keys per register. */
#include "hash2_impl.h"

#if defined(GDBX_X86_64)
#include <immintrin.h>

#define NAME(x) x##_avx2
#define TARGET GDBX_TARGET("avx2")
#define LANES 8
#define VECTORS (GDBX_HASH2_AVX2_GROUP / LANES)
#define V __m256i

#define load32(p) _mm256_loadu_si256((const __m256i *) (p))
#define store32(p, v) _mm256_storeu_si256((__m256i *) (p), v)
#define zero() _mm256_setzero_si256()
#define set32(x) _mm256_set1_epi32((int) (x))
#define set16x2(low, high) set32((uint32_t) (low) | (uint32_t) (high) << 16)
#define mul32 _mm256_mullo_epi32
#define add32 _mm256_add_epi32
#define xor_ _mm256_xor_si256
#define or_ _mm256_or_si256
#define and_ _mm256_and_si256
#define andnot _mm256_andnot_si256
#define shl32 _mm256_slli_epi32
#define shr32 _mm256_srli_epi32
#define rotl32(v, n) or_(shl32(v, n), shr32(v, 32 - (n)))
#define minu32 _mm256_min_epu32
#define min32 _mm256_min_epi32
#define max32 _mm256_max_epi32
#define gt32 _mm256_cmpgt_epi32
#define minu16 _mm256_min_epu16
#define maxu16 _mm256_max_epu16
#define sub16 _mm256_sub_epi16
#define eq16 _mm256_cmpeq_epi16

#include "hash2_lanes.h"
#else
typedef int gdbx_hash2_avx2_is_empty; /* ISO C requires a declaration in every file */
#endif
