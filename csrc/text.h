/* Bytes that somebody else owns. */
#ifndef GDBX_TEXT_H
#define GDBX_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct gdbx_text {
    const uint8_t *data;
    size_t size;
};

#endif
