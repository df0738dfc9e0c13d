/* Hashes and checksums of bytes. */
#ifndef GDBX_DIGESTS_H
#define GDBX_DIGESTS_H

#include <stddef.h>
#include <stdint.h>

#include "text.h"

/* 32-bit murmur3 (Austin Appleby, MurmurHash3_x86_32); the length is mixed in modulo 2^32. */
uint32_t gdbx_digests_murmur3(const uint8_t *data, size_t size, uint32_t seed);

/* 64-bit FNV-1a (Glenn Fowler, Landon Curt Noll and Kiem-Phong Vo), of one text and of many. */
uint64_t gdbx_digests_fnv1a(const uint8_t *data, size_t size);
void gdbx_digests_fnv1a_many(const struct gdbx_text *texts, size_t n, uint64_t *out);

/* zlib's CRC-32. */
uint32_t gdbx_digests_crc32(const uint8_t *data, size_t size);

/* Bob Jenkins' one-at-a-time hash, as libhashkit computes it. */
uint32_t gdbx_digests_jenkins(const uint8_t *data, size_t size);

/* The first four bytes of the MD5 (RFC 1321), low byte first. */
uint32_t gdbx_digests_md5(const uint8_t *data, size_t size);

#endif
