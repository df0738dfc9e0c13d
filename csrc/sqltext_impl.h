/* The loops of sqltext.c for one pair of character types; included once for each pair.
 *
 * The including file defines TEXT and OUT (the types), NAME(verb) (the functions' names), WIDE_TEXT
 * if TEXT can hold a surrogate, and BLOCKS if plain_block() handles the pair. */

#ifdef WIDE_TEXT
#define IS_SURROGATE(c) (((uint32_t) (c) & 0xFFFFF800u) == 0xD800u)
#else
#define IS_SURROGATE(c) 0
#endif

static void NAME(copy)(const TEXT *text, size_t n, OUT *out) {
    for (size_t i = 0; i < n; i++) out[i] = text[i];
}

/* Write the characters between the quotes for text[0..n), at most 2n. Returns their end, or NULL
 * for a character that cannot be written. */
static OUT *NAME(escape)(const uint8_t *table, const TEXT *text, size_t n, OUT *out, size_t *bad) {
    const int mysql = table == MYSQL_TABLE;
    size_t i = 0;
    while (i < n) {
        size_t stop = n;
#ifdef BLOCKS
        if (n - i >= BLOCK) {
            /* The block is stored even if it is not plain: at most 2i characters are written so
             * far, and 2i + BLOCK <= 2n. */
            if (plain_block(text + i, out)) {
                i += BLOCK;
                out += BLOCK;
                continue;
            }
            stop = i + BLOCK;
        }
#endif
        for (; i < stop; i++) {
            const uint32_t c = text[i];
            const uint8_t escaped = c < 128 ? table[c] : 0;
            if (!escaped && !IS_SURROGATE(c)) {
                *out++ = (OUT) c;
            } else if (!escaped || escaped == REFUSED) {
                *bad = i;
                return NULL;
            } else if (mysql && c == '\\' && i + 1 < n
                       && (text[i + 1] == '%' || text[i + 1] == '_')) {
                /* MySQL reads \% and \_ as these two characters everywhere, so a LIKE pattern
                 * keeps its escapes. */
                *out++ = '\\';
            } else {
                *out++ = (OUT) (mysql ? '\\' : c);
                *out++ = escaped;
            }
        }
    }
    return out;
}

static int NAME(has_backslash)(const TEXT *text, size_t n) {
    if (sizeof(TEXT) == 1) return n && memchr(text, '\\', n) != NULL;
    for (size_t i = 0; i < n; i++)
        if (text[i] == '\\') return 1;
    return 0;
}

static size_t NAME(quote)(enum gdbx_sqltext_style style, const TEXT *text, size_t n, OUT *out,
                          size_t *bad) {
    const uint8_t *table = TABLES[style];
    OUT *start = out;
    if (style == GDBX_SQLTEXT_POSTGRESQL && NAME(has_backslash)(text, n)) {
        table = POSTGRESQL_E_TABLE;
        *out++ = 'E';
    }
    *out++ = '\'';
    out = NAME(escape)(table, text, n, out, bad);
    if (out == NULL) return 0;
    *out++ = '\'';
    return (size_t) (out - start);
}

#undef IS_SURROGATE
#undef TEXT
#undef OUT
#undef NAME
