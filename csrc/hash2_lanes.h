/* The vector paths of hash2, written once over lane operations that the including file defines.
 *
 * Every key has a 32-bit lane for its generator. Read as two 16-bit lanes, the same register holds
 * the digits of an even and an odd shard, which are tracked separately until the end.
 *
 * LANES        32-bit lanes in a register          VECTORS   registers used side by side
 * NAME(x)      x with the path's suffix            TARGET    the function attribute, if any
 * V            the register type
 * load32(p) store32(p, v) set32(x) set16x2(low, high) zero()
 * mul32 add32 sub32 xor_ or_ and_ andnot(a, b): ~a & b;  shl32(v, n) shr32(v, n) rotl32(v, n)
 * minu32 (unsigned), minu16, maxu16 (unsigned), sub16, eq16 (mask), gt32 (signed, mask), max32,
 * min32 (signed)
 */

#define GROUP (LANES * VECTORS)
#define CHUNKS struct NAME(chunks)

TARGET static inline V NAME(next)(V x) {
    V h = mul32(rotl32(mul32(x, set32(GDBX_MURMUR3_C1)), 15), set32(GDBX_MURMUR3_C2));
    h = rotl32(xor_(h, set32(GDBX_HASH2_SEED)), 13);
    h = add32(add32(h, shl32(h, 2)), set32(GDBX_MURMUR3_ADD));
    h = xor_(h, set32(GDBX_HASH2_LENGTH));
    h = mul32(xor_(h, shr32(h, 16)), set32(GDBX_MURMUR3_F1));
    h = mul32(xor_(h, shr32(h, 13)), set32(GDBX_MURMUR3_F2));
    return xor_(h, shr32(h, 16));
}

/* Reduce the digits of shards `even` and `even + 1` by restoring division: subtract the base times
 * 2^k wherever the digit is not lower, for k from the highest that fits 16 bits down to 0. Subtract
 * 0 in place of a multiple that does not fit. */
TARGET static inline V NAME(reduce)(V digits, uint32_t even) {
    uint32_t low = GDBX_HASH2_SHARDS - even;
    uint32_t high = low > 1 ? low - 1 : 1; /* shard 65535 does not exist; ignore its lane */
    int k = 0;
    while ((high << (k + 1)) <= 0xffff) k++;
    for (; k >= 0; k--) {
        uint32_t times = low << k;
        digits = minu16(digits, sub16(digits, set16x2(times <= 0xffff ? times : 0, high << k)));
    }
    return digits;
}

/* Keep, in every 16-bit lane, the lowest digit so far and the pair it came from. A later pair has a
 * higher number, so max() takes it wherever its digit is strictly lower. */
TARGET static inline void NAME(keep)(V *least, V *pair, V digits, V number) {
    V now = minu16(*least, digits);
    *pair = maxu16(*pair, andnot(eq16(now, *least), number));
    *least = now;
}

/* Write the shards that come first: of the even and the odd lane, the one with the lower digit; of
 * two equal digits, the one with the lower id. */
TARGET static void NAME(finish)(const V *least, const V *pair, uint16_t *out) {
    uint32_t shards[LANES];
    for (int v = 0; v < VECTORS; v++) {
        V twice = shl32(pair[v], 1); /* even pair numbers are < 32768: no carry between lanes */
        V even = or_(shl32(least[v], 16), and_(twice, set32(0xffff)));
        V odd = or_(and_(least[v], set32(0xffff0000u)), add32(shr32(twice, 16), set32(1)));
        store32(shards, and_(minu32(even, odd), set32(0xffff)));
        for (int i = 0; i < LANES; i++) out[v * LANES + i] = (uint16_t) shards[i];
    }
}

TARGET static inline void NAME(start)(const uint64_t *keys, V *hash) {
    uint32_t first[GROUP];
    for (int i = 0; i < GROUP; i++) first[i] = gdbx_hash2_first(keys[i]);
    for (int v = 0; v < VECTORS; v++) hash[v] = load32(first + v * LANES);
}

/* Deal to the pairs from..to-1, one at a time. */
TARGET static inline void NAME(deal)(V *hash_, V *least_, V *pair_, uint32_t from, uint32_t to) {
    V hash[VECTORS], least[VECTORS], pair[VECTORS];
    uint32_t easy = to < GDBX_HASH2_EASY_SHARDS / 2 ? to : GDBX_HASH2_EASY_SHARDS / 2;
    uint32_t p = from;
    V bases = set16x2(GDBX_HASH2_SHARDS - 2 * p, GDBX_HASH2_SHARDS - 2 * p - 1);
    V number = set16x2(p, p);
    for (int v = 0; v < VECTORS; v++) hash[v] = hash_[v], least[v] = least_[v], pair[v] = pair_[v];
    for (; p < easy; p++) {
        GDBX_UNROLLED
        for (int v = 0; v < VECTORS; v++) {
            hash[v] = NAME(next)(hash[v]);
            NAME(keep)(&least[v], &pair[v], minu16(hash[v], sub16(hash[v], bases)), number);
        }
        bases = sub16(bases, set16x2(2, 2));
        number = sub16(number, set16x2(0xffff, 0xffff));
    }
    for (; p < to; p++) {
        number = set16x2(p, p);
        for (int v = 0; v < VECTORS; v++) {
            hash[v] = NAME(next)(hash[v]);
            NAME(keep)(&least[v], &pair[v], NAME(reduce)(hash[v], 2 * p), number);
        }
    }
    for (int v = 0; v < VECTORS; v++) hash_[v] = hash[v], least_[v] = least[v], pair_[v] = pair[v];
}

/* The winning chunk of every key: its number and its lowest digit, each in both 16-bit lanes, and
 * the generator's value before it. */
CHUNKS { V number[VECTORS], least[VECTORS], before[VECTORS]; };

/* Deal to whole chunks of pairs, all below the easy limit, and keep for every key only the chunk
 * with its lowest digit: cheaper in the loop than keeping the pair. */
TARGET static inline void NAME(deal_chunks)(V *hash_, CHUNKS *best, uint32_t chunks) {
    V hash[VECTORS], least[VECTORS];
    V bases = set16x2(GDBX_HASH2_SHARDS, GDBX_HASH2_SHARDS - 1);
    for (int v = 0; v < VECTORS; v++) hash[v] = hash_[v];
    for (uint32_t c = 0; c < chunks; c++) {
        V number = set16x2(c, c);
        for (int v = 0; v < VECTORS; v++) {
            hash_[v] = hash[v];
            least[v] = set32(0xffffffffu);
        }
        for (int i = 0; i < GDBX_HASH2_CHUNK; i++) {
            GDBX_UNROLLED
            for (int v = 0; v < VECTORS; v++) {
                hash[v] = NAME(next)(hash[v]);
                least[v] = minu16(least[v], minu16(hash[v], sub16(hash[v], bases)));
            }
            bases = sub16(bases, set16x2(2, 2));
        }
        for (int v = 0; v < VECTORS; v++) {
            V either = minu16(least[v], rotl32(least[v], 16));
            V now = minu16(best->least[v], either);
            V same = eq16(now, best->least[v]);
            best->least[v] = now;
            best->number[v] = maxu16(best->number[v], andnot(same, number));
            best->before[v] = or_(and_(same, best->before[v]), andnot(same, hash_[v]));
        }
    }
    for (int v = 0; v < VECTORS; v++) hash_[v] = hash[v];
}

/* Deal to every key's best chunk again, and keep the pair. */
TARGET static inline void NAME(find_pairs)(const CHUNKS *best, V *least, V *pair) {
    V hash[VECTORS], number[VECTORS];
    for (int v = 0; v < VECTORS; v++) {
        hash[v] = best->before[v];
        number[v] = best->number[v];
        for (int times = 1; times < GDBX_HASH2_CHUNK; times *= 2)
            number[v] = add32(number[v], number[v]); /* < 32768: no carry between lanes */
    }
    for (int i = 0; i < GDBX_HASH2_CHUNK; i++) {
        for (int v = 0; v < VECTORS; v++) {
            V bases = sub16(set16x2(GDBX_HASH2_SHARDS, GDBX_HASH2_SHARDS - 1),
                            add32(number[v], number[v]));
            hash[v] = NAME(next)(hash[v]);
            NAME(keep)(&least[v], &pair[v], minu16(hash[v], sub16(hash[v], bases)), number[v]);
            number[v] = sub16(number[v], set16x2(0xffff, 0xffff));
        }
    }
}

/* Deal to the first `pairs` pairs. */
TARGET static inline void NAME(deal_first)(V *hash, V *least, V *pair, uint32_t pairs) {
    uint32_t easy = pairs < GDBX_HASH2_EASY_SHARDS / 2 ? pairs : GDBX_HASH2_EASY_SHARDS / 2;
    uint32_t chunks = easy / GDBX_HASH2_CHUNK;
    if (chunks < GDBX_HASH2_MIN_CHUNKS) chunks = 0;
    if (chunks) {
        CHUNKS best;
        for (int v = 0; v < VECTORS; v++) {
            best.number[v] = zero();
            best.least[v] = set32(0xffffffffu);
            best.before[v] = hash[v];
        }
        NAME(deal_chunks)(hash, &best, chunks);
        NAME(find_pairs)(&best, least, pair);
    }
    NAME(deal)(hash, least, pair, chunks * GDBX_HASH2_CHUNK, pairs);
}

/* Offer one half of a pair whose digits are in `hash`; `unused` is all ones in the other half. */
TARGET static inline void NAME(half)(const V *hash, V *least, V *pair, uint32_t p, V unused) {
    for (int v = 0; v < VECTORS; v++)
        NAME(keep)(&least[v], &pair[v], or_(NAME(reduce)(hash[v], 2 * p), unused), set16x2(p, p));
}

TARGET void NAME(gdbx_hash2_two)(const uint64_t *keys, size_t n, uint32_t few, uint32_t many,
                                 uint16_t *out_few, uint16_t *out_many) {
    for (size_t at = 0; at < n; at += GROUP) {
        V hash[VECTORS], least[VECTORS], pair[VECTORS];
        uint32_t p = few >> 1;
        NAME(start)(keys + at, hash);
        for (int v = 0; v < VECTORS; v++) {
            least[v] = set32(0xffffffffu);
            pair[v] = zero();
        }
        NAME(deal_first)(hash, least, pair, p);
        if (few & 1) {
            for (int v = 0; v < VECTORS; v++) hash[v] = NAME(next)(hash[v]);
            NAME(half)(hash, least, pair, p, set32(0xffff0000u));
        }
        NAME(finish)(least, pair, out_few + at);
        if (few == many) {
            if (out_many != out_few) NAME(finish)(least, pair, out_many + at);
            continue;
        }
        if (few & 1) NAME(half)(hash, least, pair, p++, set32(0x0000ffffu));
        NAME(deal)(hash, least, pair, p, many >> 1);
        if (many & 1) {
            for (int v = 0; v < VECTORS; v++) hash[v] = NAME(next)(hash[v]);
            NAME(half)(hash, least, pair, many >> 1, set32(0xffff0000u));
        }
        NAME(finish)(least, pair, out_many + at);
    }
}

/* The step of gdbx_hash2_set_one() on whole registers: `before` and `best` are 32-bit lanes. */
TARGET static inline void NAME(offer)(V *before, V *best, V digit, uint32_t shard, int available) {
    V earlier = gt32(*before, digit);
    if (available) {
        *before = min32(*before, digit);
        *best = max32(*best, and_(earlier, set32(shard))); /* ids rise: max() takes the latest */
    } else {
        *before = add32(*before, earlier); /* a true lane of a mask is -1 */
    }
}

TARGET void NAME(gdbx_hash2_set)(const uint64_t *keys, size_t n, const struct gdbx_hash2_set *set,
                                 uint16_t *out) {
    for (size_t at = 0; at < n; at += GROUP) {
        V hash[VECTORS], before[VECTORS], best[VECTORS];
        uint32_t shards[LANES];
        uint32_t p = 0;
        NAME(start)(keys + at, hash);
        for (int v = 0; v < VECTORS; v++) {
            before[v] = set32(GDBX_HASH2_SHARDS);
            best[v] = zero();
        }
        for (; p < set->lowest >> 1; p++) {
            GDBX_UNROLLED
            for (int v = 0; v < VECTORS; v++) hash[v] = NAME(next)(hash[v]);
        }
        for (; 2 * p <= set->highest; p++) {
            int even = gdbx_hash2_has(set, 2 * p), odd = gdbx_hash2_has(set, 2 * p + 1);
            int from_odd = 2 * p<set->lowest, to_even = 2 * p + 1> set->highest;
            int easy = p < GDBX_HASH2_EASY_SHARDS / 2;
            V bases = set16x2(GDBX_HASH2_SHARDS - 2 * p, GDBX_HASH2_SHARDS - 2 * p - 1);
            GDBX_UNROLLED
            for (int v = 0; v < VECTORS; v++) {
                V digits;
                hash[v] = NAME(next)(hash[v]);
                digits =
                    easy ? minu16(hash[v], sub16(hash[v], bases)) : NAME(reduce)(hash[v], 2 * p);
                if (!from_odd)
                    NAME(offer)(&before[v], &best[v], and_(digits, set32(0xffff)), 2 * p, even);
                if (!to_even) NAME(offer)(&before[v], &best[v], shr32(digits, 16), 2 * p + 1, odd);
            }
        }
        for (int v = 0; v < VECTORS; v++) {
            store32(shards, best[v]);
            for (int i = 0; i < LANES; i++)
                out[at + (size_t) (v * LANES + i)] = (uint16_t) shards[i];
        }
    }
}

#undef GROUP
#undef CHUNKS
