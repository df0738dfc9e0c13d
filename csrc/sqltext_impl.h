/* The loops of sqltext.c for one pair of character types; included once for each pair.
 *
 * The including file defines TEXT and OUT (the types), NAME(verb) (the functions' names), WIDE_TEXT
 * if TEXT can hold a surrogate, and BLOCKS if plain_bytes() handles the pair. */

#ifdef WIDE_TEXT
#define IS_SURROGATE(c) (((uint32_t) (c) & 0xFFFFF800u) == 0xD800u)
#else
#define IS_SURROGATE(c) 0
#endif

static void NAME(copy)(const TEXT *text, size_t n, OUT *out) {
    for (size_t i = 0; i < n; i++) out[i] = text[i];
}

/* Write text[i] and move *out to its end. Returns 0 for a character that cannot be written. */
static inline int NAME(character)(const uint8_t *table, const TEXT *text, size_t i, size_t n,
                                  OUT **out) {
    const uint32_t c = text[i];
    const uint8_t escaped = c < 128 ? table[c] : 0;
    if (!escaped && !IS_SURROGATE(c)) {
        *(*out)++ = (OUT) c;
    } else if (!escaped || escaped == REFUSED) {
        return 0;
    } else if (table == MYSQL_TABLE && c == '\\' && i + 1 < n
               && (text[i + 1] == '%' || text[i + 1] == '_')) {
        /* MySQL reads \% and \_ as these two characters everywhere, so a LIKE pattern keeps its
         * escapes. */
        *(*out)++ = '\\';
    } else {
        *(*out)++ = (OUT) (table == MYSQL_TABLE ? '\\' : c);
        *(*out)++ = escaped;
    }
    return 1;
}

/* Write the characters between the quotes for text[0..n), at most 2n. Returns their end, or NULL
 * for a character that cannot be written. */
static OUT *NAME(escape)(const uint8_t *table, const TEXT *text, size_t n, OUT *out, size_t *bad) {
    size_t i = 0;
#ifdef BLOCKS
    /* A block is stored even if it is not plain: at most 2i characters are written so far, and the
     * bound has room for a block after 2n. */
    while (n - i >= GDBX_SQLTEXT_BLOCK) {
        const size_t plain = plain_bytes(text + i, out);
        i += plain;
        out += plain;
        if (plain < GDBX_SQLTEXT_BLOCK && !NAME(character)(table, text, i++, n, &out)) goto refused;
    }
    if (i < n) {
        /* The rest is followed by zeros, which are not plain. */
        uint8_t rest[2 * GDBX_SQLTEXT_BLOCK] = {0};
        const size_t start = i;
        gdbx_sqltext_put(text + i, n - i, rest);
        while (i < n) {
            const size_t plain = plain_bytes(rest + (i - start), out);
            i += plain;
            out += plain;
            if (i < n && !NAME(character)(table, text, i++, n, &out)) goto refused;
        }
    }
#else
    while (i < n)
        if (!NAME(character)(table, text, i++, n, &out)) goto refused;
#endif
    return out;
refused:
    *bad = i - 1;
    return NULL;
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
