/* Fuzz sqltext: a literal read back by the servers' rules is the text that was quoted.
 *
 * Input: a byte for the style, one for the kinds, then the characters, one byte each or two.
 */
#include "check.h"
#include "sqltext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t get(const void *text, unsigned kind, size_t i) {
    if (kind == 1) return ((const uint8_t *) text)[i];
    return kind == 2 ? ((const uint16_t *) text)[i] : ((const uint32_t *) text)[i];
}

/* The character that MySQL reads from a backslash and `c`; % and _ keep the backslash. */
static uint32_t mysql_escape(uint32_t c) {
    switch (c) {
    case '0': return 0;
    case 'b': return '\b';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'Z': return 26;
    default: return c;
    }
}

/* Read one literal as a server would, checking each character against text[0..n). */
static void read_back(enum gdbx_sqltext_style style, const void *literal, unsigned out_kind,
                      size_t size, const void *text, unsigned kind, size_t n) {
    int escapes = style == GDBX_SQLTEXT_MYSQL;
    size_t at = 0, read = 0;
    if (style == GDBX_SQLTEXT_POSTGRESQL && get(literal, out_kind, 0) == 'E') {
        escapes = 1;
        at = 1;
    }
    CHECK(get(literal, out_kind, at++) == '\'', "no quote at the start");
    for (;;) {
        uint32_t c, next;
        CHECK(at < size, "the literal does not end");
        c = get(literal, out_kind, at++);
        next = at < size ? get(literal, out_kind, at) : 0;
        if (c == '\'') {
            if (at == size || next != '\'') break;
            at++;
        } else if (c == '\\' && escapes) {
            if (style == GDBX_SQLTEXT_POSTGRESQL) {
                CHECK(next == '\\', "an escape that is not a backslash");
                at++;
            } else if (next != '%' && next != '_') {
                c = mysql_escape(next);
                at++;
            }
        }
        CHECK(read < n && get(text, kind, read) == c, "character %zu is %x", read, c);
        read++;
    }
    CHECK(at == size, "the literal ends at %zu of %zu", at, size);
    CHECK(read == n, "%zu of %zu characters", read, n);
}

static int may_be_refused(enum gdbx_sqltext_style style, uint32_t c) {
    return (c == 0 && style >= GDBX_SQLTEXT_SQLITE) || (c >= 0xD800 && c <= 0xDFFF);
}

static void check(enum gdbx_sqltext_style style, const void *text, unsigned kind, size_t n,
                  unsigned out_kind) {
    void *literal = block(GDBX_SQLTEXT_BOUND(n) * out_kind);
    size_t bad = SIZE_MAX, first_bad = 0;
    const size_t size = gdbx_sqltext_quote(style, text, kind, n, literal, out_kind, &bad);
    while (first_bad < n && !may_be_refused(style, get(text, kind, first_bad))) first_bad++;
    if (first_bad < n) {
        CHECK(size == 0 && bad == first_bad, "to blame is %zu, not %zu", first_bad, bad);
    } else {
        CHECK(size >= n + 2 && size <= GDBX_SQLTEXT_BOUND(n), "%zu characters to %zu", n, size);
        read_back(style, literal, out_kind, size, text, kind, n);
    }
    free(literal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    unsigned kind, out_kind;
    size_t n;
    void *text;
    if (size < 2) return 0;
    kind = 1u << data[1] % 3;
    out_kind = 1u << (data[1] % 3 + (data[1] >> 2) % (3 - data[1] % 3));
    n = (size - 2) / (kind == 1 ? 1 : 2);
    text = block(n * kind);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *at = data + 2 + i * (kind == 1 ? 1 : 2);
        if (kind == 1)
            ((uint8_t *) text)[i] = *at;
        else if (kind == 2)
            ((uint16_t *) text)[i] = (uint16_t) (at[0] << 8 | at[1]);
        else
            ((uint32_t *) text)[i] = (uint32_t) (at[0] << 12 | at[1]);
    }
    check((enum gdbx_sqltext_style)(data[0] % 4), text, kind, n, out_kind);
    free(text);
    return 0;
}
