#include "binlog.h"

#include <string.h>

/* Bytes of so many decimal digits. */
static const uint8_t DIGIT_BYTES[10] = {0, 1, 1, 2, 2, 3, 3, 4, 4, 4};
/* Microseconds of the last place of a fraction that is stored in so many digits. */
static const uint32_t SCALES[7] = {1, 10000, 10000, 100, 100, 1, 1};

static uint64_t little(const uint8_t *data, unsigned size) {
    uint64_t value = 0;
    for (unsigned i = size; i-- > 0;) value = value << 8 | data[i];
    return value;
}

static uint64_t big(const uint8_t *data, unsigned size) {
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) value = value << 8 | data[i];
    return value;
}

size_t gdbx_binlog_decimal_size(unsigned precision, unsigned scale) {
    unsigned whole = precision - scale;
    return whole / 9 * 4 + DIGIT_BYTES[whole % 9] + scale / 9 * 4 + DIGIT_BYTES[scale % 9];
}

int gdbx_binlog_is_column(const struct gdbx_binlog_column *column) {
    unsigned a = column->a;
    switch (column->op) {
    case GDBX_BINLOG_INT: return (a >= 1 && a <= 4) || a == 8;
    case GDBX_BINLOG_DECIMAL: return a >= 1 && a <= 65 && column->b <= 30 && column->b <= a;
    case GDBX_BINLOG_TIME2:
    case GDBX_BINLOG_DATETIME2:
    case GDBX_BINLOG_TIMESTAMP2: return a <= 6;
    case GDBX_BINLOG_BITS:
    case GDBX_BINLOG_INDEX: return a >= 1 && a <= 8;
    case GDBX_BINLOG_TEXT: return a >= 1 && a <= 4;
    default: return column->op < GDBX_BINLOG_OPS;
    }
}

/* The bytes of a value whose size its column tells. */
static size_t fixed_size(const struct gdbx_binlog_column *column) {
    static const uint8_t SIZES[GDBX_BINLOG_OPS] = {
        [GDBX_BINLOG_FLOAT] = 4,      [GDBX_BINLOG_DOUBLE] = 8, [GDBX_BINLOG_YEAR] = 1,
        [GDBX_BINLOG_DATE] = 3,       [GDBX_BINLOG_TIME] = 3,   [GDBX_BINLOG_DATETIME] = 8,
        [GDBX_BINLOG_TIMESTAMP] = 4,  [GDBX_BINLOG_TIME2] = 3,  [GDBX_BINLOG_DATETIME2] = 5,
        [GDBX_BINLOG_TIMESTAMP2] = 4,
    };
    switch (column->op) {
    case GDBX_BINLOG_INT:
    case GDBX_BINLOG_BITS:
    case GDBX_BINLOG_INDEX: return column->a;
    case GDBX_BINLOG_DECIMAL: return gdbx_binlog_decimal_size(column->a, column->b);
    case GDBX_BINLOG_TIME2:
    case GDBX_BINLOG_DATETIME2:
    case GDBX_BINLOG_TIMESTAMP2: return SIZES[column->op] + (size_t) ((column->a + 1) >> 1);
    default: return SIZES[column->op];
    }
}

static void read_int(const struct gdbx_binlog_column *column, const uint8_t *data,
                     struct gdbx_binlog_cell *cell) {
    unsigned size = column->a;
    uint64_t bits = little(data, size);
    if (!column->b && size < 8 && bits >> (8 * size - 1))
        bits |= ~UINT64_C(0) << 8 * size; /* the sign, extended */
    cell->kind = column->b ? GDBX_BINLOG_UNSIGNED : GDBX_BINLOG_SIGNED;
    memcpy(&cell->as.number, &bits, sizeof bits);
}

static void read_real(unsigned is_double, const uint8_t *data, struct gdbx_binlog_cell *cell) {
    uint64_t bits = little(data, is_double ? 8 : 4);
    if (is_double) {
        memcpy(&cell->as.real, &bits, sizeof bits);
        cell->kind = GDBX_BINLOG_REAL;
    } else {
        uint32_t half = (uint32_t) bits;
        float value;
        memcpy(&value, &half, sizeof half);
        cell->as.real = value;
        cell->kind = GDBX_BINLOG_SINGLE;
    }
}

static void set_clock(struct gdbx_binlog_cell *cell, unsigned hour, unsigned minute,
                      unsigned second, uint32_t micros) {
    cell->hour = (uint8_t) hour;
    cell->minute = (uint8_t) minute;
    cell->second = (uint8_t) second;
    cell->micros = micros;
}

static void set_day(struct gdbx_binlog_cell *cell, unsigned year, unsigned month, unsigned day) {
    cell->year = (uint16_t) year;
    cell->month = (uint8_t) month;
    cell->day = (uint8_t) day;
}

static uint32_t fraction(const uint8_t *data, unsigned digits) {
    return (uint32_t) (big(data, (digits + 1) >> 1) * SCALES[digits]);
}

static void read_datetime2(unsigned digits, const uint8_t *data, struct gdbx_binlog_cell *cell) {
    uint64_t packed = big(data, 5) & 0x7FFFFFFFFF; /* the first bit is a sign that is always set */
    unsigned months = (unsigned) (packed >> 22);
    set_day(cell, months / 13, months % 13, packed >> 17 & 31);
    set_clock(cell, packed >> 12 & 31, packed >> 6 & 63, packed & 63, fraction(data + 5, digits));
    cell->kind = GDBX_BINLOG_MOMENT;
}

static void read_time2(unsigned digits, const uint8_t *data, struct gdbx_binlog_cell *cell) {
    unsigned size = (digits + 1) >> 1, low = 8 * size;
    int64_t packed = (int64_t) big(data, 3 + size) - (INT64_C(1) << (23 + low));
    uint64_t magnitude = packed < 0 ? (uint64_t) -packed : (uint64_t) packed;
    uint64_t micros = (magnitude & ((UINT64_C(1) << low) - 1)) * SCALES[digits];
    uint64_t whole = magnitude >> low;
    uint64_t seconds = (whole >> 12 & 1023) * 3600 + (whole >> 6 & 63) * 60 + (whole & 63);
    int64_t span = (int64_t) (seconds * 1000000 + micros);
    cell->as.number = packed < 0 ? -span : span;
    cell->micros = (uint32_t) micros;
    cell->kind = GDBX_BINLOG_SPAN;
}

static void read_older(unsigned op, const uint8_t *data, struct gdbx_binlog_cell *cell) {
    uint64_t raw;
    int64_t packed, size;
    switch (op) {
    case GDBX_BINLOG_DATE:
        raw = little(data, 3);
        set_day(cell, (unsigned) (raw >> 9), raw >> 5 & 15, raw & 31);
        cell->kind = GDBX_BINLOG_DAY;
        break;
    case GDBX_BINLOG_TIME:
        packed = (int64_t) little(data, 3);
        packed -= (packed & 0x800000) << 1;
        size = packed < 0 ? -packed : packed;
        size = (size / 10000 * 3600 + size / 100 % 100 * 60 + size % 100) * 1000000;
        cell->as.number = packed < 0 ? -size : size;
        cell->micros = 0;
        cell->kind = GDBX_BINLOG_SPAN;
        break;
    case GDBX_BINLOG_DATETIME: /* the digits YYYYMMDDhhmmss as one number */
        raw = little(data, 8);
        set_day(cell, (unsigned) (raw / 10000000000 % 10000), raw / 100000000 % 100,
                raw / 1000000 % 100);
        set_clock(cell, raw / 10000 % 100, raw / 100 % 100, raw % 100, 0);
        cell->kind = GDBX_BINLOG_MOMENT;
        break;
    default: /* GDBX_BINLOG_TIMESTAMP */
        cell->as.number = (int64_t) little(data, 4);
        cell->micros = 0;
        cell->kind = GDBX_BINLOG_EPOCH;
    }
}

static void read_fixed(const struct gdbx_binlog_column *column, const uint8_t *data, size_t at,
                       size_t size, struct gdbx_binlog_cell *cell) {
    switch (column->op) {
    case GDBX_BINLOG_INT: read_int(column, data + at, cell); break;
    case GDBX_BINLOG_FLOAT: read_real(0, data + at, cell); break;
    case GDBX_BINLOG_DOUBLE: read_real(1, data + at, cell); break;
    case GDBX_BINLOG_DECIMAL:
        cell->as.bytes.place = (uint32_t) at;
        cell->as.bytes.size = (uint32_t) size;
        cell->kind = GDBX_BINLOG_BYTES;
        break;
    case GDBX_BINLOG_YEAR:
        cell->as.number = data[at] ? data[at] + 1900 : 0;
        cell->kind = GDBX_BINLOG_SIGNED;
        break;
    case GDBX_BINLOG_TIME2: read_time2(column->a, data + at, cell); break;
    case GDBX_BINLOG_DATETIME2: read_datetime2(column->a, data + at, cell); break;
    case GDBX_BINLOG_TIMESTAMP2:
        cell->as.number = (int64_t) big(data + at, 4);
        cell->micros = fraction(data + at + 4, column->a);
        cell->kind = GDBX_BINLOG_EPOCH;
        break;
    case GDBX_BINLOG_BITS:
    case GDBX_BINLOG_INDEX: {
        uint64_t bits = column->op == GDBX_BINLOG_BITS ? big(data + at, (unsigned) size)
                                                       : little(data + at, (unsigned) size);
        memcpy(&cell->as.number, &bits, sizeof bits);
        cell->kind = GDBX_BINLOG_UNSIGNED;
        break;
    }
    default: read_older(column->op, data + at, cell);
    }
}

size_t gdbx_binlog_value(const struct gdbx_binlog_column *column, const uint8_t *data, size_t n,
                         size_t at, struct gdbx_binlog_cell *cell) {
    size_t size;
    if (column->op == GDBX_BINLOG_TEXT) {
        unsigned width = column->a;
        if (n - at < width) return 0;
        size = little(data + at, width);
        at += width;
        if (n - at < size) return 0;
        cell->as.bytes.place = (uint32_t) at;
        cell->as.bytes.size = (uint32_t) size;
        cell->kind = GDBX_BINLOG_BYTES;
    } else {
        size = fixed_size(column);
        if (n - at < size) return 0;
        if (column->wanted) read_fixed(column, data, at, size, cell);
    }
    if (!column->wanted) cell->kind = GDBX_BINLOG_ABSENT;
    return at + size;
}

size_t gdbx_binlog_row(const struct gdbx_binlog_column *columns, size_t count,
                       const uint8_t *present, const uint8_t *data, size_t n, size_t at,
                       struct gdbx_binlog_cell *cells) {
    const uint8_t *nulls;
    size_t there = 0, index = 0;
    for (size_t i = 0; i < count; i++) there += present[i >> 3] >> (i & 7) & 1;
    if (at > n || n - at < (there + 7) >> 3) return 0;
    nulls = data + at;
    at += (there + 7) >> 3;
    for (size_t i = 0; i < count; i++) {
        if (!(present[i >> 3] >> (i & 7) & 1)) {
            cells[i].kind = GDBX_BINLOG_ABSENT;
            continue;
        }
        if (nulls[index >> 3] >> (index & 7) & 1) {
            cells[i].kind = columns[i].wanted ? GDBX_BINLOG_NULL : GDBX_BINLOG_ABSENT;
        } else {
            at = gdbx_binlog_value(&columns[i], data, n, at, &cells[i]);
            if (!at) return 0;
        }
        index++;
    }
    return at;
}

/* Write the last `digits` decimal digits of a number; return the end. */
static char *put_digits(char *out, uint32_t value, unsigned digits) {
    for (unsigned i = digits; i-- > 0; value /= 10) out[i] = (char) ('0' + value % 10);
    return out + digits;
}

size_t gdbx_binlog_decimal(const uint8_t *data, unsigned precision, unsigned scale, char *out) {
    unsigned whole = precision - scale, groups = whole / 9, first = whole % 9;
    uint8_t flip = data[0] & 0x80 ? 0 : 0xFF, raw[4];
    unsigned is_first = 1;
    char *end = out;
    if (flip) *end++ = '-';
    if (!whole) *end++ = '0';
    for (unsigned i = 0; i < 2 + groups + scale / 9; i++) {
        unsigned digits = i == 0 ? first : i == 1 + groups + scale / 9 ? scale % 9 : 9;
        unsigned width = DIGIT_BYTES[digits];
        if (i == 1 + groups && scale) /* the first group behind the point */
            *end++ = '.';
        if (!digits) continue;
        for (unsigned k = 0; k < width; k++) raw[k] = data[k] ^ flip;
        if (is_first) raw[0] ^= 0x80;
        is_first = 0;
        end = put_digits(end, (uint32_t) big(raw, width), digits);
        data += width;
    }
    return (size_t) (end - out);
}

void gdbx_binlog_civil(int64_t seconds, struct gdbx_binlog_cell *cell) {
    /* Days are counted from 0000-03-01, so that a leap day is a year's last one. */
    int64_t days = seconds / 86400 + 719468;
    uint32_t rest = (uint32_t) (seconds % 86400);
    uint32_t era = (uint32_t) (days / 146097), of_era = (uint32_t) (days % 146097);
    uint32_t of_year, month;
    uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    of_year = of_era - (365 * year + year / 4 - year / 100);
    month = (5 * of_year + 2) / 153;
    set_day(cell, year + era * 400 + (month > 9), month < 10 ? month + 3 : month - 9,
            of_year - (153 * month + 2) / 5 + 1);
    set_clock(cell, rest / 3600, rest / 60 % 60, rest % 60, cell->micros);
}
