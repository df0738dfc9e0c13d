/* SQL literals: quoted text, hexadecimal and decimal, written into the caller's buffer.
 *
 * Text is read and written in characters of 1, 2 or 4 bytes (Python's own forms of a str: Latin-1,
 * UCS-2, UCS-4), so nothing is encoded. A `kind` is that width; the buffer's kind is
 * at least the text's. Nothing here allocates or writes a terminating zero.
 *
 * Sources of the rules: MySQL 8.0 Reference Manual, 9.1.1 "String Literals"; PostgreSQL 15
 * Documentation, 4.1.2 "Constants"; SQLite, "SQL Language Expressions", "Literal Values".
 */
#ifndef GDBX_SQLTEXT_H
#define GDBX_SQLTEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum gdbx_sqltext_style {
    GDBX_SQLTEXT_MYSQL = 0,       /* backslash escapes */
    GDBX_SQLTEXT_MYSQL_PLAIN = 1, /* NO_BACKSLASH_ESCAPES: only the quote is doubled */
    GDBX_SQLTEXT_SQLITE = 2,      /* the same; a NUL is refused */
    GDBX_SQLTEXT_POSTGRESQL = 3   /* the same, and E'...' for text with a backslash */
};

/* Characters that are copied at once. */
#define GDBX_SQLTEXT_BLOCK 16

/* Room for a literal of n characters: E, two quotes, all n doubled, and the rest of a block, which
 * is copied whole and then written over. */
#define GDBX_SQLTEXT_BOUND(n) (2 * (n) + 3 + GDBX_SQLTEXT_BLOCK)

/* The most characters that gdbx_sqltext_decimal and gdbx_sqltext_datetime write. */
#define GDBX_SQLTEXT_DECIMAL 21
#define GDBX_SQLTEXT_DATETIME 28

/* Write text[0..n) as a literal to out, which has room for GDBX_SQLTEXT_BOUND(n) characters.
 *
 * Returns the number of characters written. Returns 0 if the text cannot be written, and sets *bad
 * to the index of the first bad character: a lone surrogate, or a NUL in a style that cannot
 * express it. */
size_t gdbx_sqltext_quote(enum gdbx_sqltext_style style, const void *text, unsigned kind, size_t n,
                          void *out, unsigned out_kind, size_t *bad);

/* Write data[0..n) as 2n lower-case hexadecimal digits. */
void gdbx_sqltext_hex(const uint8_t *data, size_t n, void *out, unsigned out_kind);

/* Copy n characters to the same or a wider kind; the two do not overlap. */
void gdbx_sqltext_copy(const void *text, unsigned kind, size_t n, void *out, unsigned out_kind);

/* Copy n bytes, most often few: up to 32 without a call. */
static inline void gdbx_sqltext_put(const void *text, size_t n, void *out) {
    const char *from = text;
    char *to = out;
    if (n > 32) {
        memcpy(to, from, n);
    } else if (n >= 16) {
        char first[16], last[16];
        memcpy(first, from, 16);
        memcpy(last, from + n - 16, 16);
        memcpy(to, first, 16);
        memcpy(to + n - 16, last, 16);
    } else if (n >= 8) {
        uint64_t first, last;
        memcpy(&first, from, 8);
        memcpy(&last, from + n - 8, 8);
        memcpy(to, &first, 8);
        memcpy(to + n - 8, &last, 8);
    } else if (n >= 4) {
        uint32_t first, last;
        memcpy(&first, from, 4);
        memcpy(&last, from + n - 4, 4);
        memcpy(to, &first, 4);
        memcpy(to + n - 4, &last, 4);
    } else if (n) {
        const char first = from[0], middle = from[n / 2], last = from[n - 1];
        to[0] = first;
        to[n / 2] = middle;
        to[n - 1] = last;
    }
}

/* Write a number in decimal, with a minus if negative; return the number of characters. */
size_t gdbx_sqltext_decimal(uint64_t magnitude, int negative, char *out);

/* Write 'YYYY-MM-DD HH:MM:SS.ffffff', quotes included: GDBX_SQLTEXT_DATETIME characters. */
void gdbx_sqltext_datetime(unsigned year, unsigned month, unsigned day, unsigned hour,
                           unsigned minute, unsigned second, unsigned microsecond, char *out);

#endif
