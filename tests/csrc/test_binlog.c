/* binlog: values that servers wrote, and every way in which a row can be cut short. */
#include "binlog.h"
#include "check.h"

static struct gdbx_binlog_cell value_of(uint8_t op, uint8_t a, uint8_t b, const char *data,
                                        size_t n) {
    struct gdbx_binlog_column column = {op, a, b, 1};
    struct gdbx_binlog_cell cell = {0};
    uint8_t *copy = block(n);
    memcpy(copy, data, n);
    CHECK(gdbx_binlog_is_column(&column), "op %d of %d, %d", op, a, b);
    CHECK(gdbx_binlog_value(&column, copy, n, 0, &cell) == n, "op %d: %zu bytes", op, n);
    for (size_t cut = 0; cut < n; cut++) {
        struct gdbx_binlog_cell other;
        CHECK(gdbx_binlog_value(&column, copy, cut, 0, &other) == 0, "op %d cut at %zu", op, cut);
    }
    free(copy);
    return cell;
}

static void check_numbers(void) {
    CHECK(value_of(GDBX_BINLOG_INT, 1, 0, "\x80", 1).as.number == -128, "TINYINT");
    CHECK(value_of(GDBX_BINLOG_INT, 1, 1, "\x80", 1).as.number == 128, "TINYINT UNSIGNED");
    CHECK(value_of(GDBX_BINLOG_INT, 3, 0, "\xff\xff\xff", 3).as.number == -1, "MEDIUMINT");
    CHECK(value_of(GDBX_BINLOG_INT, 3, 1, "\xff\xff\xff", 3).as.number == 0xffffff, "unsigned");
    CHECK(value_of(GDBX_BINLOG_INT, 8, 0, "\0\0\0\0\0\0\0\x80", 8).as.number == INT64_MIN,
          "BIGINT");
    CHECK(value_of(GDBX_BINLOG_FLOAT, 0, 0, "\0\0\xc0\x3f", 4).as.real == 1.5, "FLOAT");
    CHECK(value_of(GDBX_BINLOG_DOUBLE, 0, 0, "\0\0\0\0\0\0\xf8\xbf", 8).as.real == -1.5, "DOUBLE");
    CHECK(value_of(GDBX_BINLOG_YEAR, 0, 0, "\xff", 1).as.number == 2155, "YEAR");
    CHECK(value_of(GDBX_BINLOG_YEAR, 0, 0, "\0", 1).as.number == 0, "YEAR 0000");
    CHECK(value_of(GDBX_BINLOG_BITS, 3, 0, "\1\0\1", 3).as.number == 0x10001, "BIT");
    CHECK(value_of(GDBX_BINLOG_INDEX, 2, 0, "\2\1", 2).as.number == 0x102, "ENUM");
}

static void check_times(void) {
    struct gdbx_binlog_cell cell;
    /* What the servers write for -00:00:00.000001, -838:59:59, -00:00:00.1 and -00:00:00.01. */
    CHECK(value_of(GDBX_BINLOG_TIME2, 6, 0, "\x7f\xff\xff\xff\xff\xff", 6).as.number == -1, "TIME");
    CHECK(value_of(GDBX_BINLOG_TIME2, 6, 0, "\x4b\x91\x05\0\0\0", 6).as.number
              == -INT64_C(3020399000000),
          "TIME");
    CHECK(value_of(GDBX_BINLOG_TIME2, 1, 0, "\x7f\xff\xff\xf6", 4).as.number == -100000, "TIME(1)");
    CHECK(value_of(GDBX_BINLOG_TIME2, 2, 0, "\x7f\xff\xff\xff", 4).as.number == -10000, "TIME(2)");
    CHECK(value_of(GDBX_BINLOG_TIME, 0, 0, "\xc0\x1d\xfe", 3).as.number == -INT64_C(45296000000),
          "-12:34:56 before 5.6");
    cell = value_of(GDBX_BINLOG_DATE, 0, 0, "\0\xd4\x0f", 3);
    CHECK(cell.year == 2026 && cell.month == 0 && cell.day == 0, "DATE 2026-00-00");
    cell = value_of(GDBX_BINLOG_DATETIME2, 3, 0, "\x80\0\0\0\0\0\0", 7);
    CHECK(cell.year == 0 && cell.month == 0 && cell.day == 0 && cell.micros == 0, "zero DATETIME");
    cell = value_of(GDBX_BINLOG_TIMESTAMP2, 2, 0, "\xff\xff\xff\xff\x63", 5);
    CHECK(cell.as.number == 0xffffffff && cell.micros == 990000, "TIMESTAMP");
    gdbx_binlog_civil(cell.as.number, &cell);
    CHECK(cell.year == 2106 && cell.month == 2 && cell.day == 7 && cell.hour == 6
              && cell.minute == 28 && cell.second == 15,
          "2106-02-07 06:28:15");
    gdbx_binlog_civil(951782400, &cell);
    CHECK(cell.year == 2000 && cell.month == 2 && cell.day == 29 && cell.hour == 0, "2000-02-29");
    gdbx_binlog_civil(0, &cell);
    CHECK(cell.year == 1970 && cell.month == 1 && cell.day == 1, "1970-01-01");
}

static void check_decimal(const char *data, unsigned precision, unsigned scale, const char *text) {
    char out[GDBX_BINLOG_DECIMAL_TEXT];
    size_t n = gdbx_binlog_decimal((const uint8_t *) data, precision, scale, out);
    CHECK(n == strlen(text) && memcmp(out, text, n) == 0, "%.*s, not %s", (int) n, out, text);
}

static void check_decimals(void) {
    CHECK(gdbx_binlog_decimal_size(65, 30) == 30, "DECIMAL(65,30)");
    check_decimal("\x80\x00\x7b\x2d", 7, 2, "00123.45");
    check_decimal("\x7e", 1, 0, "-1");
    check_decimal("\x7f\xff\xff\x22", 9, 9, "-0.000000221");
    check_decimal("\x81\x0d\xfb\x38\xd2\x07\x5b\xcd\x15\x01", 20, 10, "1234567890.1234567891");
    check_decimal("\x80\x00\x00", 5, 0, "00000");
}

/* A row of an INT, a VARCHAR and a DATE, in all images and cut at every byte. */
static void check_rows(void) {
    static const struct gdbx_binlog_column columns[] = {
        {GDBX_BINLOG_INT, 4, 0, 1}, {GDBX_BINLOG_TEXT, 1, 0, 1}, {GDBX_BINLOG_DATE, 0, 0, 1}};
    static const uint8_t row[] = {0xf8, 7, 0, 0, 0, 3, 'a', 'b', 'c', 0x4d, 0xd5, 0x0f};
    static const uint8_t nulls[] = {0xfa, 7, 0, 0, 0, 0x4d, 0xd5, 0x0f};
    uint8_t all[] = {0xff}, some[] = {0x05}, *copy;
    struct gdbx_binlog_cell cells[3];
    for (size_t n = 0; n < sizeof row; n++) {
        copy = block(n);
        memcpy(copy, row, n);
        CHECK(gdbx_binlog_row(columns, 3, all, copy, n, 0, cells) == 0, "cut at %zu", n);
        free(copy);
    }
    CHECK(gdbx_binlog_row(columns, 3, all, row, sizeof row, 0, cells) == sizeof row, "whole");
    CHECK(cells[0].as.number == 7 && cells[1].as.bytes.place == 6 && cells[1].as.bytes.size == 3
              && cells[2].year == 2026,
          "values");
    CHECK(gdbx_binlog_row(columns, 3, all, nulls, sizeof nulls, 0, cells) == sizeof nulls, "NULL");
    CHECK(cells[1].kind == GDBX_BINLOG_NULL && cells[2].year == 2026, "values beside NULL");
    CHECK(
        gdbx_binlog_row(columns, 3, some, (const uint8_t *) "\xfc\7\0\0\0\x4d\xd5\x0f", 8, 0, cells)
            == 8,
        "an image without a column");
    CHECK(cells[1].kind == GDBX_BINLOG_ABSENT && cells[2].day == 13, "values beside none");
    CHECK(gdbx_binlog_row(columns, 3, all, row, sizeof row, sizeof row + 1, cells) == 0, "behind");
}

int main(void) {
    check_numbers();
    check_times();
    check_decimals();
    check_rows();
    puts("numbers, times, decimals, rows");
    return 0;
}
