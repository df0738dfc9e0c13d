/* SQL literals. sqltext.h states the rules and the bounds; sqltext_impl.h has the loops. */
#include "sqltext.h"

#include "simd.h"

#if defined(GDBX_X86_64)
#include <immintrin.h>
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif
#elif defined(GDBX_AARCH64)
#include <arm_neon.h>
#endif

/* The character after the backslash (MySQL) or the doubled one; 0 for one written as it is. */
enum { REFUSED = 1 };

static const uint8_t MYSQL_TABLE[128] = {
    ['\0'] = '0', ['\b'] = 'b', ['\t'] = 't',  ['\n'] = 'n',  ['\r'] = 'r',
    [0x1A] = 'Z', ['"'] = '"',  ['\''] = '\'', ['\\'] = '\\',
};
static const uint8_t PLAIN_TABLE[128] = {['\''] = '\''};
static const uint8_t NO_NUL_TABLE[128] = {['\0'] = REFUSED, ['\''] = '\''};
static const uint8_t POSTGRESQL_E_TABLE[128] = {['\0'] = REFUSED, ['\''] = '\'', ['\\'] = '\\'};
static const uint8_t *const TABLES[] = {
    [GDBX_SQLTEXT_MYSQL] = MYSQL_TABLE,
    [GDBX_SQLTEXT_MYSQL_PLAIN] = PLAIN_TABLE,
    [GDBX_SQLTEXT_SQLITE] = NO_NUL_TABLE,
    [GDBX_SQLTEXT_POSTGRESQL] = NO_NUL_TABLE,
};

static const char HEX[] = "0123456789abcdef";

#if defined(GDBX_X86_64)
static inline size_t lowest_bit(unsigned bits) {
#if defined(_MSC_VER) && !defined(__clang__)
    unsigned long at;
    _BitScanForward(&at, bits);
    return at;
#else
    return (size_t) __builtin_ctz(bits);
#endif
}
#endif

/* Copy a block; returns how many of its bytes come before the first that has an entry in any of the
 * tables. A byte below 32 without an entry also counts as one, and is looked up like the others. */
static inline size_t plain_bytes(const uint8_t *text, uint8_t *out) {
#if defined(GDBX_X86_64)
    const __m128i block = _mm_loadu_si128((const __m128i *) (const void *) text);
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(31)), block);
    const __m128i quotes = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('\'')),
                                        _mm_cmpeq_epi8(block, _mm_set1_epi8('"')));
    const __m128i slash = _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'));
    _mm_storeu_si128((__m128i *) (void *) out, block);
    const int found = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(low, quotes), slash));
    return lowest_bit((unsigned) found | 1u << GDBX_SQLTEXT_BLOCK);
#elif defined(GDBX_AARCH64) && defined(__GNUC__)
    const uint8x16_t block = vld1q_u8(text);
    const uint8x16_t low = vcltq_u8(block, vdupq_n_u8(32));
    const uint8x16_t quotes =
        vorrq_u8(vceqq_u8(block, vdupq_n_u8('\'')), vceqq_u8(block, vdupq_n_u8('"')));
    const uint8x16_t slash = vceqq_u8(block, vdupq_n_u8('\\'));
    const uint8x16_t each = vorrq_u8(vorrq_u8(low, quotes), slash);
    vst1q_u8(out, block);
    /* Four bits a byte: NEON has no movemask. */
    const uint64_t found =
        vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(each), 4)), 0);
    return found ? (size_t) __builtin_ctzll(found) / 4 : GDBX_SQLTEXT_BLOCK;
#else
    size_t plain = GDBX_SQLTEXT_BLOCK;
    for (size_t i = GDBX_SQLTEXT_BLOCK; i-- > 0;) {
        const uint8_t c = text[i];
        if (c < 32 || c == '\'' || c == '"' || c == '\\') plain = i;
        out[i] = c;
    }
    return plain;
#endif
}

#define TEXT uint8_t
#define OUT uint8_t
#define NAME(verb) verb##_1_1
#define BLOCKS
#include "sqltext_impl.h"
#undef BLOCKS

#define TEXT uint8_t
#define OUT uint16_t
#define NAME(verb) verb##_1_2
#include "sqltext_impl.h"

#define TEXT uint8_t
#define OUT uint32_t
#define NAME(verb) verb##_1_4
#include "sqltext_impl.h"

#define WIDE_TEXT
#define TEXT uint16_t
#define OUT uint16_t
#define NAME(verb) verb##_2_2
#include "sqltext_impl.h"

#define TEXT uint16_t
#define OUT uint32_t
#define NAME(verb) verb##_2_4
#include "sqltext_impl.h"

#define TEXT uint32_t
#define OUT uint32_t
#define NAME(verb) verb##_4_4
#include "sqltext_impl.h"
#undef WIDE_TEXT

/* Two kinds as one number for a switch. */
#define PAIR(kind, out_kind) ((kind) * 8 + (out_kind))

size_t gdbx_sqltext_quote(enum gdbx_sqltext_style style, const void *text, unsigned kind, size_t n,
                          void *out, unsigned out_kind, size_t *bad) {
    switch (PAIR(kind, out_kind)) {
    case PAIR(1, 1): return quote_1_1(style, text, n, out, bad);
    case PAIR(1, 2): return quote_1_2(style, text, n, out, bad);
    case PAIR(1, 4): return quote_1_4(style, text, n, out, bad);
    case PAIR(2, 2): return quote_2_2(style, text, n, out, bad);
    case PAIR(2, 4): return quote_2_4(style, text, n, out, bad);
    default: return quote_4_4(style, text, n, out, bad);
    }
}

void gdbx_sqltext_copy(const void *text, unsigned kind, size_t n, void *out, unsigned out_kind) {
    switch (PAIR(kind, out_kind)) {
    case PAIR(1, 1): copy_1_1(text, n, out); break;
    case PAIR(1, 2): copy_1_2(text, n, out); break;
    case PAIR(1, 4): copy_1_4(text, n, out); break;
    case PAIR(2, 2): copy_2_2(text, n, out); break;
    case PAIR(2, 4): copy_2_4(text, n, out); break;
    default: copy_4_4(text, n, out); break;
    }
}

void gdbx_sqltext_hex(const uint8_t *data, size_t n, void *out, unsigned out_kind) {
    uint8_t *narrow = out;
    uint16_t *wide = out;
    uint32_t *widest = out;
    for (size_t i = 0; i < n; i++) {
        const uint8_t high = (uint8_t) HEX[data[i] >> 4], low = (uint8_t) HEX[data[i] & 15];
        if (out_kind == 1) {
            narrow[2 * i] = high;
            narrow[2 * i + 1] = low;
        } else if (out_kind == 2) {
            wide[2 * i] = high;
            wide[2 * i + 1] = low;
        } else {
            widest[2 * i] = high;
            widest[2 * i + 1] = low;
        }
    }
}

/* The two digits of each of 0 to 99. */
static const char PAIRS[] = "00010203040506070809101112131415161718192021222324"
                            "25262728293031323334353637383940414243444546474849"
                            "50515253545556575859606162636465666768697071727374"
                            "75767778798081828384858687888990919293949596979899";

size_t gdbx_sqltext_decimal(uint64_t magnitude, int negative, char *out) {
    size_t digits = 1, n = 0;
    uint64_t rest = magnitude;
    for (; rest >= 10000; rest /= 10000) digits += 4;
    digits += (size_t) (rest >= 10) + (rest >= 100) + (rest >= 1000);
    if (negative) out[n++] = '-';
    n += digits;
    char *at = out + n;
    for (; magnitude >= 100; magnitude /= 100) {
        at -= 2;
        memcpy(at, PAIRS + 2 * (magnitude % 100), 2);
    }
    if (magnitude >= 10)
        memcpy(at - 2, PAIRS + 2 * magnitude, 2);
    else
        at[-1] = (char) ('0' + magnitude);
    return n;
}

static char *padded(unsigned number, unsigned width, char *out) {
    for (unsigned at = width; at-- > 0; number /= 10) out[at] = (char) ('0' + number % 10);
    return out + width;
}

void gdbx_sqltext_datetime(unsigned year, unsigned month, unsigned day, unsigned hour,
                           unsigned minute, unsigned second, unsigned microsecond, char *out) {
    *out++ = '\'';
    out = padded(year, 4, out);
    *out++ = '-';
    out = padded(month, 2, out);
    *out++ = '-';
    out = padded(day, 2, out);
    *out++ = ' ';
    out = padded(hour, 2, out);
    *out++ = ':';
    out = padded(minute, 2, out);
    *out++ = ':';
    out = padded(second, 2, out);
    *out++ = '.';
    out = padded(microsecond, 6, out);
    *out = '\'';
}
