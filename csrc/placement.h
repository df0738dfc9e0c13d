/* The shard of a memcached key, by the rules that fleets use.
 *
 * A key is its bytes. The caller owns what the pointers in a struct point to and keeps it alive;
 * nothing here allocates or changes it. */
#ifndef GDBX_PLACEMENT_H
#define GDBX_PLACEMENT_H

#include <stddef.h>
#include <stdint.h>

#include "hash2.h"

enum gdbx_placement_rule {
    GDBX_PLACEMENT_HASH2,     /* hash2 of the FNV-1a, among 0..num_shards-1 */
    GDBX_PLACEMENT_HASH2_SET, /* the same, among the shards of `set` */
    GDBX_PLACEMENT_CRC32,     /* the CRC-32 modulo num_shards */
    GDBX_PLACEMENT_JUMP,      /* John Lamping and Eric Veach's jump hash of the FNV-1a */
    GDBX_PLACEMENT_KETAMA,    /* the MD5, on a ring */
    GDBX_PLACEMENT_JENKINS,   /* the one-at-a-time hash, on a ring */
    /* What libmemcached calls modula: a hash of its modulo num_shards. */
    GDBX_PLACEMENT_JENKINS_MODULO, /* the one-at-a-time hash */
    GDBX_PLACEMENT_MD5_MODULO,     /* the first word of the MD5 */
    GDBX_PLACEMENT_CRC15_MODULO,   /* bits 16 to 30 of the CRC-32 */
    GDBX_PLACEMENT_RENDEZVOUS      /* the name with the highest 32-bit murmur3 of name and key */
};

/* A point of a ring: a key belongs to the first point whose value is at least the key's. */
struct gdbx_placement_point {
    uint32_t value;
    uint16_t shard;
};

/* A server's name, hashed up to its last whole word, from where the hash of a key goes on. */
struct gdbx_placement_node {
    uint32_t hash; /* the murmur3 state there */
    uint32_t size; /* of the whole name */
    uint16_t shard;
    uint8_t rest[3]; /* the bytes after the last whole word, size % 4 of them */
};

struct gdbx_placement {
    enum gdbx_placement_rule rule;
    uint32_t num_shards; /* 1..65535; hash2, jump and what is modulo it */
    struct gdbx_hash2_set set;
    const struct gdbx_placement_point *points; /* sorted by value; at least one */
    size_t num_points;
    const struct gdbx_placement_node *nodes; /* at least one; the first of equal scores wins */
    size_t num_nodes;
};

/* Return the node for a name. */
struct gdbx_placement_node gdbx_placement_make_node(const uint8_t *name, size_t size,
                                                    uint16_t shard);

/* Return the shard of a key. */
uint16_t gdbx_placement_one(const struct gdbx_placement *placement, const uint8_t *key,
                            size_t size);

/* Write the shards of n FNV-1a digests to out[0..n), for the two rules of hash2. */
void gdbx_placement_many(enum gdbx_simd path, const struct gdbx_placement *placement,
                         const uint64_t *numbers, size_t n, uint16_t *out);

#endif
