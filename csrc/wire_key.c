#include "wire.h"
#include "wire_impl.h"

int gdbx_wire_key_ok(const uint8_t *key, size_t size) { return gdbx_wire_key_fits(key, size); }
