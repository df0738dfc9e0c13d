/* sqltext: the golden vectors, every character at every index, the bounds, numbers and dates. */
#include "check.h"
#include "sqltext.h"

static const enum gdbx_sqltext_style STYLES[] = {GDBX_SQLTEXT_MYSQL, GDBX_SQLTEXT_MYSQL_PLAIN,
                                                 GDBX_SQLTEXT_SQLITE, GDBX_SQLTEXT_POSTGRESQL};
static const unsigned KINDS[] = {1, 2, 4};

static uint32_t get(const void *text, unsigned kind, size_t i) {
    if (kind == 1) return ((const uint8_t *) text)[i];
    return kind == 2 ? ((const uint16_t *) text)[i] : ((const uint32_t *) text)[i];
}

static void put(void *text, unsigned kind, size_t i, uint32_t c) {
    if (kind == 1)
        ((uint8_t *) text)[i] = (uint8_t) c;
    else if (kind == 2)
        ((uint16_t *) text)[i] = (uint16_t) c;
    else
        ((uint32_t *) text)[i] = c;
}

/* Quote text[0..n) from one exact block into another; return the literal widened to 32 bits, or
 * NULL if it was refused. */
static uint32_t *quoted(enum gdbx_sqltext_style style, const uint32_t *text, size_t n,
                        unsigned kind, unsigned out_kind, size_t *size, size_t *bad) {
    void *from = block(n * kind), *to = block(GDBX_SQLTEXT_BOUND(n) * out_kind);
    uint32_t *literal = NULL;
    for (size_t i = 0; i < n; i++) put(from, kind, i, text[i]);
    *size = gdbx_sqltext_quote(style, from, kind, n, to, out_kind, bad);
    if (*size) {
        literal = block(*size * sizeof *literal);
        for (size_t i = 0; i < *size; i++) literal[i] = get(to, out_kind, i);
    }
    free(from);
    free(to);
    return literal;
}

/* Check that `text` becomes `wanted` (NULL: is refused) in every pair of kinds that holds it. */
static void check_literal(enum gdbx_sqltext_style style, const uint32_t *text, size_t n,
                          const char *wanted, size_t bad_at) {
    uint32_t highest = 0;
    for (size_t i = 0; i < n; i++) highest |= text[i];
    for (size_t k = 0; k < COUNT(KINDS); k++) {
        if (KINDS[k] < 4 && highest >> (8 * KINDS[k])) continue;
        for (size_t o = k; o < COUNT(KINDS); o++) {
            size_t size, bad = SIZE_MAX;
            uint32_t *literal = quoted(style, text, n, KINDS[k], KINDS[o], &size, &bad);
            if (wanted == NULL) {
                CHECK(literal == NULL && bad == bad_at, "%zu bytes to blame at %zu", n, bad);
                continue;
            }
            CHECK(literal != NULL && size == strlen(wanted), "%s: %zu", wanted, size);
            for (size_t i = 0; i < size; i++)
                CHECK(literal[i] == (uint8_t) wanted[i], "%s at %zu", wanted, i);
            free(literal);
        }
    }
}

/* The form of a character below 128 in a literal, by the rules written out one by one. */
static const char *rule(enum gdbx_sqltext_style style, uint32_t c, int in_e_string) {
    static const char *const mysql[128] = {
        [0] = "\\0",  [8] = "\\b",    [9] = "\\t",    [10] = "\\n",    [13] = "\\r",
        [26] = "\\Z", ['"'] = "\\\"", ['\''] = "\\'", ['\\'] = "\\\\",
    };
    if (style == GDBX_SQLTEXT_MYSQL) return mysql[c];
    if (c == '\\' && in_e_string) return "\\\\";
    return c == '\'' ? "''" : NULL;
}

/* Every character below 128 at every index of texts shorter and longer than a block. */
static void check_every_index(enum gdbx_sqltext_style style) {
    char wanted[128];
    uint32_t text[40];
    for (size_t n = 1; n <= COUNT(text); n += n < 20 ? 1 : 7) {
        for (size_t at = 0; at < n; at++) {
            for (uint32_t c = 0; c < 128; c++) {
                const int e = style == GDBX_SQLTEXT_POSTGRESQL && c == '\\';
                const int refused = c == 0 && style >= GDBX_SQLTEXT_SQLITE;
                const char *escape = rule(style, c, e), *after = n - at > 1 ? "b" : "";
                char itself[2] = {(char) c, 0};
                for (size_t i = 0; i < n; i++) text[i] = i < at ? 'a' : i > at ? 'b' : c;
                snprintf(wanted, sizeof wanted, "%s'%.*s%s%s%.*s'", e ? "E" : "", (int) at,
                         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", escape ? escape : itself,
                         after, (int) (n - at > 1 ? n - at - 2 : 0),
                         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
                if (c == 0 && !escape && !refused)
                    continue; /* no C string can hold it; see check_nul */
                check_literal(style, text, n, refused ? NULL : wanted, at);
            }
        }
    }
}

static void check_nul(void) {
    const uint8_t text[] = {'a', 0, 'b'};
    uint8_t out[GDBX_SQLTEXT_BOUND(3)];
    size_t bad, size;
    size = gdbx_sqltext_quote(GDBX_SQLTEXT_MYSQL_PLAIN, text, 1, 3, out, 1, &bad);
    CHECK(size == 5 && memcmp(out, "'a\0b'", 5) == 0, "%zu", size);
}

/* In MySQL a backslash before % or _ stays single; one before that is doubled. */
static void check_patterns(void) {
    static const char *const cases[][2] = {
        {"\\%", "'\\%'"},
        {"\\_", "'\\_'"},
        {"\\\\%", "'\\\\\\%'"},
        {"\\\\_", "'\\\\\\_'"},
        {"\\", "'\\\\'"},
        {"%\\", "'%\\\\'"},
        {"\\'%", "'\\\\\\'%'"},
        {"\\a\\%", "'\\\\a\\%'"},
        {"aaaaaaaaaaaaaaa\\%", "'aaaaaaaaaaaaaaa\\%'"},
        {"aaaaaaaaaaaaaaa\\aaaa", "'aaaaaaaaaaaaaaa\\\\aaaa'"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t text[32];
        const size_t n = strlen(cases[i][0]);
        for (size_t at = 0; at < n; at++) text[at] = (uint8_t) cases[i][0][at];
        check_literal(GDBX_SQLTEXT_MYSQL, text, n, cases[i][1], 0);
    }
}

static void check_surrogates(void) {
    static const uint32_t edges[] = {0xD7FF, 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xE000, 0x1D800};
    for (size_t s = 0; s < COUNT(STYLES); s++) {
        for (size_t i = 0; i < COUNT(edges); i++) {
            const uint32_t text[] = {'a', edges[i], 'b'};
            const int refused = edges[i] >= 0xD800 && edges[i] <= 0xDFFF;
            size_t size, bad = 0;
            uint32_t *literal = quoted(STYLES[s], text, 3, 4, 4, &size, &bad);
            CHECK(refused ? literal == NULL && bad == 1 : literal[2] == edges[i], "%x", edges[i]);
            free(literal);
        }
    }
}

static void check_empty(void) {
    for (size_t s = 0; s < COUNT(STYLES); s++) check_literal(STYLES[s], NULL, 0, "''", 0);
}

static void check_hex_and_copy(void) {
    for (size_t o = 0; o < COUNT(KINDS); o++) {
        uint8_t data[256];
        void *out = block(512 * KINDS[o]), *copy = block(256 * KINDS[o]);
        char digits[3];
        for (size_t i = 0; i < 256; i++) data[i] = (uint8_t) i;
        gdbx_sqltext_hex(data, 256, out, KINDS[o]);
        gdbx_sqltext_copy(data, 1, 256, copy, KINDS[o]);
        for (size_t i = 0; i < 256; i++) {
            snprintf(digits, sizeof digits, "%02x", (unsigned) i);
            CHECK(get(out, KINDS[o], 2 * i) == (uint8_t) digits[0]
                      && get(out, KINDS[o], 2 * i + 1) == (uint8_t) digits[1],
                  "%s", digits);
            CHECK(get(copy, KINDS[o], i) == i, "%zu", i);
        }
        free(out);
        free(copy);
    }
}

static void check_put(void) {
    for (size_t n = 0; n <= 100; n++) {
        char *text = block(n), *out = block(n);
        for (size_t i = 0; i < n; i++) text[i] = (char) (i + 1);
        gdbx_sqltext_put(text, n, out);
        for (size_t i = 0; i < n; i++) CHECK(out[i] == (char) (i + 1), "%zu of %zu", i, n);
        free(text);
        free(out);
    }
}

static void check_decimal(uint64_t magnitude, int negative) {
    char wanted[32], *out = block(GDBX_SQLTEXT_DECIMAL);
    const int n = snprintf(wanted, sizeof wanted, "%s%llu", negative ? "-" : "",
                           (unsigned long long) magnitude);
    const size_t size = gdbx_sqltext_decimal(magnitude, negative, out);
    CHECK(size == (size_t) n && memcmp(out, wanted, size) == 0, "%s", wanted);
    free(out);
}

static void check_decimals(void) {
    uint64_t state = 1, power = 1;
    for (int digits = 0; digits < 20; digits++, power *= 10)
        for (int off = -1; off <= 1; off++) {
            check_decimal(power + (uint64_t) off, 0);
            check_decimal(power + (uint64_t) off, 1);
        }
    check_decimal(UINT64_MAX, 0);
    check_decimal(UINT64_MAX, 1);
    for (int i = 0; i < 20000; i++) check_decimal(random64(&state) >> (i % 64), i & 1);
}

static void check_datetime(void) {
    char *out = block(GDBX_SQLTEXT_DATETIME);
    gdbx_sqltext_datetime(14, 7, 1, 2, 34, 6, 70, out);
    CHECK(memcmp(out, "'0014-07-01 02:34:06.000070'", GDBX_SQLTEXT_DATETIME) == 0, "%.28s", out);
    gdbx_sqltext_datetime(9999, 12, 31, 23, 59, 59, 999999, out);
    CHECK(memcmp(out, "'9999-12-31 23:59:59.999999'", GDBX_SQLTEXT_DATETIME) == 0, "%.28s", out);
    free(out);
}

int main(int argc, char **argv) {
    CHECK(argc == 2, "usage: %s FOLDER_OF_VECTORS", argv[0]);
    for (size_t s = 0; s < COUNT(STYLES); s++) check_every_index(STYLES[s]);
    check_nul();
    check_patterns();
    check_surrogates();
    check_empty();
    check_hex_and_copy();
    check_put();
    check_decimals();
    check_datetime();
    return 0;
}
