#include "wire.h"

#include <string.h>

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Whether any of eight bytes is at or below 0x20, or is 0x7f: borrows may spill into a byte above
 * a bad one, never out of a good one, so that the answer for all eight together is exact. */
static uint64_t any_bad(const uint8_t *bytes) {
    uint64_t eight, deleted;
    memcpy(&eight, bytes, 8);
    deleted = eight ^ EACH(0x7f);
    return (((eight - EACH(0x21)) & ~eight) | ((deleted - EACH(1)) & ~deleted)) & EACH(0x80);
}

int gdbx_wire_key_ok(const uint8_t *key, size_t size) {
    uint64_t bad = 0;
    if (size == 0 || size > 250) return 0;
    if (size >= 8) {
        for (size_t i = 0; i + 8 < size; i += 8) bad |= any_bad(key + i);
        return !(bad | any_bad(key + size - 8)); /* the last eight, of which some were seen */
    }
    for (size_t i = 0; i < size; i++) bad |= (unsigned) (key[i] <= 0x20) | (key[i] == 0x7f);
    return !bad;
}
