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

enum gdbx_sqltext_style {
    GDBX_SQLTEXT_MYSQL = 0,       /* backslash escapes */
    GDBX_SQLTEXT_MYSQL_PLAIN = 1, /* NO_BACKSLASH_ESCAPES: only the quote is doubled */
    GDBX_SQLTEXT_SQLITE = 2,      /* the same; a NUL is refused */
    GDBX_SQLTEXT_POSTGRESQL = 3   /* the same, and E'...' for text with a backslash */
};

/* The most characters in a literal of n characters: E, two quotes, all n doubled. */
#define GDBX_SQLTEXT_BOUND(n) (2 * (n) + 3)

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

/* Write a number in decimal, with a minus if negative; return the number of characters. */
size_t gdbx_sqltext_decimal(uint64_t magnitude, int negative, char *out);

/* Write 'YYYY-MM-DD HH:MM:SS.ffffff', quotes included: GDBX_SQLTEXT_DATETIME characters. */
void gdbx_sqltext_datetime(unsigned year, unsigned month, unsigned day, unsigned hour,
                           unsigned minute, unsigned second, unsigned microsecond, char *out);

#endif
