/* What the wire does for every key and value, inlined into each of its loops. */
#ifndef GDBX_WIRE_IMPL_H
#define GDBX_WIRE_IMPL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GDBX_WIRE_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

static inline uint64_t gdbx_wire_eight(const uint8_t *bytes) {
    uint64_t eight;
    memcpy(&eight, bytes, 8);
    return eight;
}

/* Whether any of eight bytes is at or below 0x20, or is 0x7f. A borrow can spill out of a bad byte,
 * never out of a good one, so the answer for all eight together is exact. */
static inline uint64_t gdbx_wire_any_bad(uint64_t eight) {
    uint64_t deleted = eight ^ GDBX_WIRE_EACH(0x7f);
    return (((eight - GDBX_WIRE_EACH(0x21)) & ~eight) | ((deleted - GDBX_WIRE_EACH(1)) & ~deleted))
           & GDBX_WIRE_EACH(0x80);
}

/* gdbx_wire_key_ok(), inlined. */
static inline int gdbx_wire_key_fits(const uint8_t *key, size_t size) {
    uint64_t bad = 0;
    if (size == 0 || size > 250) return 0;
    if (size >= 8) {
        for (size_t i = 0; i + 8 < size; i += 8) bad |= gdbx_wire_any_bad(gdbx_wire_eight(key + i));
        /* The last eight overlap with those before. */
        return !(bad | gdbx_wire_any_bad(gdbx_wire_eight(key + size - 8)));
    }
    for (size_t i = 0; i < size; i++) bad |= (unsigned) (key[i] <= 0x20) | (key[i] == 0x7f);
    return !bad;
}

/* Whether two texts of one size are equal. Calling memcmp takes longer than comparing most keys. */
static inline int gdbx_wire_same(const uint8_t *one, const uint8_t *other, size_t size) {
    if (size >= 8) {
        for (size_t i = 0; i + 8 < size; i += 8)
            if (gdbx_wire_eight(one + i) != gdbx_wire_eight(other + i)) return 0;
        return gdbx_wire_eight(one + size - 8) == gdbx_wire_eight(other + size - 8);
    }
    for (size_t i = 0; i < size; i++)
        if (one[i] != other[i]) return 0;
    return 1;
}

/* Read at most 18 digits, which cannot overflow, without looking where the data ends; returns the
 * byte after them and steps past it. Returns 0 if there are no digits. */
static inline uint8_t gdbx_wire_few_digits(const uint8_t *data, size_t *at, uint64_t *out) {
    const uint8_t *start = data + *at, *next = start;
    uint64_t number = 0, digit;
    while ((digit = (uint64_t) *next - '0') < 10 && next < start + 18) {
        number = number * 10 + digit;
        next++;
    }
    *at = (size_t) (next - data) + 1;
    *out = number;
    return next == start ? 0 : *next;
}

#endif
