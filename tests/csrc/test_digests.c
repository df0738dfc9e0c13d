/* digests: murmur3's golden vectors at every alignment, published check values. */
#include "check.h"
#include "digests.h"

static unsigned nibble(int digit) {
    CHECK((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f'), "digit %d", digit);
    return (unsigned) (digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* Hash a copy of data[0..size) that lies `offset` bytes into a block that ends with it. */
static uint32_t hash_at(size_t offset, const uint8_t *data, size_t size, uint32_t seed) {
    uint8_t *memory = block(offset + size);
    uint32_t hash;
    memcpy(memory + offset, data, size);
    hash = gdbx_digests_murmur3(memory + offset, size, seed);
    free(memory);
    return hash;
}

static void check_vectors(const char *folder) {
    FILE *file = open_vectors(folder, "murmur3.csv");
    char line[65536];
    uint8_t data[sizeof line / 2];
    size_t rows = 0;
    while (fgets(line, sizeof line, file)) {
        size_t size = 0;
        const char *at = line;
        unsigned seed, expected;
        for (; *at != ','; at += 2) data[size++] = (uint8_t) (nibble(at[0]) << 4 | nibble(at[1]));
        CHECK(sscanf(at, ",%u,%u", &seed, &expected) == 2, "row %zu: %s", rows + 1, line);
        for (size_t offset = 0; offset < 8; offset++)
            CHECK(hash_at(offset, data, size, seed) == expected, "row %zu at offset %zu", rows + 1,
                  offset);
        rows++;
    }
    fclose(file);
    CHECK(rows > 1000, "only %zu rows", rows);
    printf("%zu vectors\n", rows);
}

/* The SMHasher test suite's check value: the keys 0, 01, 012, ... with seeds 256, 255, ...,
 * and the hash of their hashes. */
static void check_verification_value(void) {
    uint8_t key[256], hashes[4 * 256];
    uint32_t hash;
    for (unsigned i = 0; i < 256; i++) {
        key[i] = (uint8_t) i;
        hash = gdbx_digests_murmur3(key, i, 256 - i);
        for (unsigned b = 0; b < 4; b++) hashes[4 * i + b] = (uint8_t) (hash >> (8 * b));
    }
    hash = gdbx_digests_murmur3(hashes, sizeof hashes, 0);
    CHECK(hash == 0xb0f57ee3u, "got %08x", hash);
}

/* Digest a copy of the text in a block that ends with it. */
#define OF(digest, text) of(digest, text, strlen(text))

static uint32_t of(uint32_t (*digest)(const uint8_t *, size_t), const char *text, size_t size) {
    uint8_t *exact = block(size);
    uint32_t result;
    memcpy(exact, text, size);
    result = digest(exact, size);
    free(exact);
    return result;
}

/* RFC 1321, A.5: the first four bytes of each digest, low byte first. */
static void check_md5(void) {
    static const struct {
        const char *text;
        uint32_t word;
    } rows[] = {
        {"", 0xd98c1dd4u},
        {"a", 0xb975c10cu},
        {"abc", 0x98500190u},
        {"message digest", 0x7d696bf9u},
        {"abcdefghijklmnopqrstuvwxyz", 0xd7d3fcc3u},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 0x98ab74d1u},
        {"1234567890123456789012345678901234567890123456789012345678901234567890"
         "1234567890",
         0xa2f4ed57u},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        CHECK(OF(gdbx_digests_md5, rows[i].text) == rows[i].word, "row %zu: %08x", i,
              OF(gdbx_digests_md5, rows[i].text));
}

static void check_values(void) {
    CHECK(gdbx_digests_fnv1a((const uint8_t *) "", 0) == 0xcbf29ce484222325u, "FNV-1a of \"\"");
    CHECK(gdbx_digests_fnv1a((const uint8_t *) "a", 1) == 0xaf63dc4c8601ec8cu, "FNV-1a of a");
    CHECK(gdbx_digests_fnv1a((const uint8_t *) "foobar", 6) == 0x85944171f73967e8u, "of foobar");
    CHECK(OF(gdbx_digests_crc32, "") == 0, "CRC-32 of \"\"");
    CHECK(OF(gdbx_digests_crc32, "123456789") == 0xcbf43926u, "CRC-32's check value");
    CHECK(OF(gdbx_digests_jenkins, "a") == 0xca2e9442u, "one-at-a-time of a");
    CHECK(OF(gdbx_digests_jenkins, "The quick brown fox jumps over the lazy dog") == 0x519e91f5u,
          "one-at-a-time of the fox");
}

/* Texts of any lengths have the same digests together as one by one. */
static void check_many(void) {
    struct gdbx_text texts[23];
    uint64_t digests[COUNT(texts)], state = 7;
    for (size_t i = 0; i < COUNT(texts); i++) {
        texts[i].size = random64(&state) % 40;
        texts[i].data = random_text(texts[i].size, i);
    }
    for (size_t n = 0; n <= COUNT(texts); n++) {
        memset(digests, 0, sizeof digests);
        gdbx_digests_fnv1a_many(texts, n, digests);
        for (size_t i = 0; i < COUNT(texts); i++)
            CHECK(digests[i] == (i < n ? gdbx_digests_fnv1a(texts[i].data, texts[i].size) : 0),
                  "%zu of %zu", i, n);
    }
    for (size_t i = 0; i < COUNT(texts); i++) free((void *) (uintptr_t) texts[i].data);
}

int main(int argc, char **argv) {
    CHECK(argc == 2, "usage: test_digests FOLDER_OF_VECTORS");
    check_vectors(argv[1]);
    check_verification_value();
    check_md5();
    check_values();
    check_many();
    return 0;
}
