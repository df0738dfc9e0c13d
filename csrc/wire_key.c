#include "wire.h"

int gdbx_wire_key_ok(const uint8_t *key, size_t size) {
    unsigned bad = 0;
    if (size == 0 || size > 250) return 0;
    for (size_t i = 0; i < size; i++) bad |= (unsigned) (key[i] <= 0x20) | (key[i] == 0x7f);
    return !bad;
}
