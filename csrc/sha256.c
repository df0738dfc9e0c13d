#include "sha256.h"
#include "simd.h"

#include <string.h>

#define BLOCK 64

static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static const uint32_t rounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t rotr(uint32_t x, int r) { return x >> r | x << (32 - r); }

static inline uint32_t word_at(const uint8_t *p) {
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static void portable(uint32_t state[8], const uint8_t *data, size_t blocks) {
    for (; blocks; blocks--, data += BLOCK) {
        uint32_t w[64], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4],
                        f = state[5], g = state[6], h = state[7];
        for (int i = 0; i < 16; i++) w[i] = word_at(data + 4 * i);
        for (int i = 16; i < 64; i++) {
            uint32_t s0 = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
            uint32_t s1 = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        for (int i = 0; i < 64; i++) {
            uint32_t t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g))
                          + rounds[i] + w[i];
            uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + t1;
            d = c, c = b, b = a, a = t1 + t2;
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
}

#if defined(GDBX_X86_64)
#include <immintrin.h>
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#else
#include <cpuid.h>
#endif

/* CPUID leaves 1 and 7 (Intel SDM volume 2A, CPUID): SSSE3, SSE4.1 and SHA. */
static int x86_has_sha(void) {
    unsigned leaf1[4], leaf7[4];
#if defined(_MSC_VER) && !defined(__clang__)
    __cpuid((int *) leaf1, 0);
    if (leaf1[0] < 7) return 0;
    __cpuidex((int *) leaf1, 1, 0);
    __cpuidex((int *) leaf7, 7, 0);
#else
    if (!__get_cpuid(1, &leaf1[0], &leaf1[1], &leaf1[2], &leaf1[3])) return 0;
    if (!__get_cpuid_count(7, 0, &leaf7[0], &leaf7[1], &leaf7[2], &leaf7[3])) return 0;
#endif
    return (leaf1[2] >> 9 & 1) && (leaf1[2] >> 19 & 1) && (leaf7[1] >> 29 & 1);
}

/* The extensions keep the state as ABEF and CDGH, and do two rounds an instruction. `m[0]` holds
 * the four words of the schedule that come next; each group of four rounds makes four more. */
GDBX_TARGET("sha,sse4.1,ssse3")
static void x86(uint32_t state[8], const uint8_t *data, size_t blocks) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i dcba = _mm_loadu_si128((const __m128i *) state);
    __m128i hgfe = _mm_loadu_si128((const __m128i *) (state + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
    for (; blocks; blocks--, data += BLOCK) {
        const __m128i abef0 = abef, cdgh0 = cdgh;
        __m128i m[4];
        for (int i = 0; i < 4; i++)
            m[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *) (data + 16 * i)), swap);
#if defined(__clang__)
#pragma clang loop unroll(full)
#elif defined(__GNUC__)
#pragma GCC unroll 16
#endif
        for (int i = 0; i < 16; i++) {
            __m128i key = _mm_loadu_si128((const __m128i *) (rounds + 4 * i));
            __m128i sum = _mm_add_epi32(m[0], key), made = m[0];
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
            if (i < 12) {
                made =
                    _mm_add_epi32(_mm_sha256msg1_epu32(m[0], m[1]), _mm_alignr_epi8(m[3], m[2], 4));
                made = _mm_sha256msg2_epu32(made, m[3]);
            }
            m[0] = m[1], m[1] = m[2], m[2] = m[3], m[3] = made;
        }
        abef = _mm_add_epi32(abef, abef0);
        cdgh = _mm_add_epi32(cdgh, cdgh0);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *) state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *) (state + 4), _mm_alignr_epi8(dchg, feba, 8));
}
#endif

int gdbx_sha256_supports(enum gdbx_sha256_path path) {
    if (path == GDBX_SHA256_PORTABLE) return 1;
#if defined(GDBX_X86_64)
    if (path == GDBX_SHA256_X86) return x86_has_sha();
#endif
    return 0;
}

enum gdbx_sha256_path gdbx_sha256_best(void) {
    return gdbx_sha256_supports(GDBX_SHA256_X86) ? GDBX_SHA256_X86 : GDBX_SHA256_PORTABLE;
}

static inline void compress(enum gdbx_sha256_path path, uint32_t state[8], const uint8_t *data,
                            size_t blocks) {
#if defined(GDBX_X86_64)
    if (path == GDBX_SHA256_X86) {
        x86(state, data, blocks);
        return;
    }
#endif
    (void) path;
    portable(state, data, blocks);
}

void gdbx_sha256_words(enum gdbx_sha256_path path, const uint8_t *data, size_t size,
                       uint32_t words[8]) {
    const size_t whole = size / BLOCK, rest = size % BLOCK;
    const size_t last = rest < BLOCK - 8 ? BLOCK : 2 * BLOCK; /* 0x80 and eight bytes of length */
    const uint64_t bits = (uint64_t) size << 3;
    uint8_t end[2 * BLOCK] = {0};
    memcpy(words, initial, sizeof initial);
    if (whole) compress(path, words, data, whole);
    if (rest) memcpy(end, data + whole * BLOCK, rest);
    end[rest] = 0x80;
    for (size_t i = 0; i < 8; i++) end[last - 1 - i] = (uint8_t) (bits >> (8 * i));
    compress(path, words, end, last / BLOCK);
}
