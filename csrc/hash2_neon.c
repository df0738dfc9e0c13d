/* hash2 on Advanced SIMD (NEON): 4 keys per register. */
#include "hash2_impl.h"

#if defined(GDBX_AARCH64)
#include <arm_neon.h>

#define NAME(x) x##_neon
#define TARGET
#define LANES 4
#define VECTORS (GDBX_HASH2_NEON_GROUP / LANES)
#define V uint32x4_t

#define u16(v) vreinterpretq_u16_u32(v)
#define s32(v) vreinterpretq_s32_u32(v)
#define from16(v) vreinterpretq_u32_u16(v)
#define from_s32(v) vreinterpretq_u32_s32(v)
#define load32 vld1q_u32
#define store32 vst1q_u32
#define zero() vdupq_n_u32(0)
#define set32(x) vdupq_n_u32(x)
#define set16x2(low, high) set32((uint32_t) (low) | (uint32_t) (high) << 16)
#define mul32 vmulq_u32
#define add32 vaddq_u32
#define xor_ veorq_u32
#define or_ vorrq_u32
#define and_ vandq_u32
#define andnot(a, b) vbicq_u32(b, a)
#define shl32 vshlq_n_u32
#define shr32 vshrq_n_u32
#define rotl32(v, n) vsriq_n_u32(vshlq_n_u32(v, n), v, 32 - (n))
#define minu32 vminq_u32
#define min32(a, b) from_s32(vminq_s32(s32(a), s32(b)))
#define max32(a, b) from_s32(vmaxq_s32(s32(a), s32(b)))
#define gt32(a, b) vcgtq_s32(s32(a), s32(b))
#define minu16(a, b) from16(vminq_u16(u16(a), u16(b)))
#define maxu16(a, b) from16(vmaxq_u16(u16(a), u16(b)))
#define sub16(a, b) from16(vsubq_u16(u16(a), u16(b)))
#define eq16(a, b) from16(vceqq_u16(u16(a), u16(b)))

#include "hash2_lanes.h"
#else
typedef int gdbx_hash2_neon_is_empty; /* ISO C requires a declaration in every file */
#endif
