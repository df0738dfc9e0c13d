/* murmur3: the golden vectors, the author's check value, every alignment and length. */
#include "check.h"
#include "murmur3.h"

static unsigned nibble(int digit) {
    CHECK((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f'), "digit %d", digit);
    return (unsigned) (digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* Hash a copy of data[0..size) that lies `offset` bytes into a block that ends with it. */
static uint32_t hash_at(size_t offset, const uint8_t *data, size_t size, uint32_t seed) {
    uint8_t *memory = block(offset + size);
    uint32_t hash;
    memcpy(memory + offset, data, size);
    hash = gdbx_murmur3_hash32(memory + offset, size, seed);
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
        hash = gdbx_murmur3_hash32(key, i, 256 - i);
        for (unsigned b = 0; b < 4; b++) hashes[4 * i + b] = (uint8_t) (hash >> (8 * b));
    }
    hash = gdbx_murmur3_hash32(hashes, sizeof hashes, 0);
    CHECK(hash == 0xb0f57ee3u, "got %08x", hash);
}

int main(int argc, char **argv) {
    CHECK(argc == 2, "usage: test_murmur3 FOLDER_OF_VECTORS");
    check_vectors(argv[1]);
    check_verification_value();
    return 0;
}
