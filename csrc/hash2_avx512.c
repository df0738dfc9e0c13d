/* hash2 on AVX-512 F and BW: 16 keys per register. */
#include "hash2_impl.h"

#if defined(GDBX_X86_64)
#include <immintrin.h>

#define NAME(x) x##_avx512
#define TARGET GDBX_TARGET("avx512f,avx512bw")
#define LANES 16
#define VECTORS (GDBX_HASH2_AVX512_GROUP / LANES)
#define V __m512i

#define load32(p) _mm512_loadu_si512(p)
#define store32(p, v) _mm512_storeu_si512(p, v)
#define zero() _mm512_setzero_si512()
#define set32(x) _mm512_set1_epi32((int) (x))
#define set16x2(low, high) set32((uint32_t) (low) | (uint32_t) (high) << 16)
#define mul32 _mm512_mullo_epi32
#define add32 _mm512_add_epi32
#define xor_ _mm512_xor_si512
#define or_ _mm512_or_si512
#define and_ _mm512_and_si512
#define andnot _mm512_andnot_si512
#define shl32 _mm512_slli_epi32
#define shr32 _mm512_srli_epi32
#define rotl32 _mm512_rol_epi32
#define minu32 _mm512_min_epu32
#define min32 _mm512_min_epi32
#define max32 _mm512_max_epi32
#define gt32(a, b) _mm512_maskz_set1_epi32(_mm512_cmpgt_epi32_mask(a, b), -1)
#define minu16 _mm512_min_epu16
#define maxu16 _mm512_max_epu16
#define sub16 _mm512_sub_epi16
#define eq16(a, b) _mm512_movm_epi16(_mm512_cmpeq_epi16_mask(a, b))

#include "hash2_lanes.h"
#else
typedef int gdbx_hash2_avx512_is_empty; /* ISO C requires a declaration in every file */
#endif
