/* 32-bit murmur3 (Austin Appleby, MurmurHash3_x86_32). */
#ifndef GDBX_MURMUR3_H
#define GDBX_MURMUR3_H

#include <stddef.h>
#include <stdint.h>

/* Return the hash of data[0..size); the length is mixed in modulo 2^32. */
uint32_t gdbx_murmur3_hash32(const uint8_t *data, size_t size, uint32_t seed);

#endif
