/* Fuzz binlog: whatever the columns and the bytes are, a row stays inside of them.
 *
 * Input: a byte for the number of columns, three for each, the bits of those that are present, then
 * the data. What a cell points at is read, so that a sanitizer sees what lies outside.
 */
#include "binlog.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(const struct gdbx_binlog_column *column, struct gdbx_binlog_cell *cell,
                    const uint8_t *data, size_t n) {
    char text[GDBX_BINLOG_DECIMAL_TEXT];
    size_t length;
    switch (cell->kind) {
    case GDBX_BINLOG_BYTES:
        CHECK(cell->as.bytes.place + (size_t) cell->as.bytes.size <= n, "bytes outside");
        if (column->op != GDBX_BINLOG_DECIMAL) break;
        length = gdbx_binlog_decimal(data + cell->as.bytes.place, column->a, column->b, text);
        CHECK(length && length <= sizeof text, "%zu characters", length);
        for (size_t i = 0; i < length; i++)
            CHECK(strchr("-.0123456789", text[i]) != NULL, "character %d", text[i]);
        break;
    case GDBX_BINLOG_EPOCH:
        gdbx_binlog_civil(cell->as.number, cell);
        CHECK(cell->month >= 1 && cell->month <= 12 && cell->day >= 1 && cell->day <= 31, "a day");
        break;
    case GDBX_BINLOG_SPAN:
        CHECK(cell->as.number > -INT64_C(4000000000000) && cell->as.number < INT64_C(4000000000000),
              "a span");
        break;
    default: CHECK(cell->kind <= GDBX_BINLOG_SPAN, "kind %d", cell->kind);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gdbx_binlog_column columns[64];
    struct gdbx_binlog_cell cells[64];
    uint8_t present[8] = {0}, *copy;
    size_t count, at = 0, end;
    if (size < 1) return 0;
    count = data[0] % 64;
    if (size < 1 + 3 * count + 8) return 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *given = data + 1 + 3 * i;
        columns[i] =
            (struct gdbx_binlog_column){given[0] % GDBX_BINLOG_OPS, given[1] % 68, given[2] % 34,
                                        (uint8_t) (given[2] & 0x80 ? 0 : 1)};
        if (!gdbx_binlog_is_column(&columns[i])) columns[i].op = GDBX_BINLOG_YEAR;
    }
    memcpy(present, data + 1 + 3 * count, 8);
    size -= 1 + 3 * count + 8;
    copy = block(size);
    memcpy(copy, data + 1 + 3 * count + 8, size);
    while (at < size) {
        end = gdbx_binlog_row(columns, count, present, copy, size, at, cells);
        CHECK(end <= size, "a row ends at %zu of %zu", end, size);
        if (end <= at) break;
        for (size_t i = 0; i < count; i++) look_at(&columns[i], &cells[i], copy, size);
        at = end;
    }
    free(copy);
    return 0;
}
