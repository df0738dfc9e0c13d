/* oihash: SHA-256's published values by every path, sums at their limits. */
#include "check.h"
#include "oihash.h"

static const enum gdbx_sha256_path WAYS[] = {GDBX_SHA256_PORTABLE, GDBX_SHA256_X86};
static const char *const WAY_NAMES[] = {"portable", "x86"};

/* Hash a copy of the text in a block that ends with it. */
static void hashed(enum gdbx_sha256_path path, const uint8_t *text, size_t size, uint32_t *words) {
    uint8_t *exact = block(size);
    memcpy(exact, text, size);
    gdbx_sha256_words(path, exact, size, words);
    free(exact);
}

/* FIPS 180-2, B.1 to B.3, and the hash of nothing. */
static void check_published(enum gdbx_sha256_path path) {
    static const struct {
        const char *text;
        uint32_t first, last;
    } rows[] = {
        {"", 0xe3b0c442u, 0x7852b855u},
        {"abc", 0xba7816bfu, 0xf20015adu},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 0x248d6a61u, 0x19db06c1u},
    };
    const size_t million = 1000000;
    uint8_t *letters = block(million);
    uint32_t words[8];
    for (size_t i = 0; i < COUNT(rows); i++) {
        hashed(path, (const uint8_t *) rows[i].text, strlen(rows[i].text), words);
        CHECK(words[0] == rows[i].first && words[7] == rows[i].last, "row %zu: %08x ... %08x", i,
              words[0], words[7]);
    }
    memset(letters, 'a', million);
    gdbx_sha256_words(path, letters, million, words);
    CHECK(words[0] == 0xcdc76e5cu && words[7] == 0xc7112cd0u, "a million: %08x", words[0]);
    free(letters);
}

static void check_paths_agree(enum gdbx_sha256_path path) {
    uint8_t text[300];
    uint64_t state = 1;
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t) random64(&state);
    for (size_t size = 0; size <= sizeof text; size++) {
        uint32_t expected[8], words[8];
        hashed(GDBX_SHA256_PORTABLE, text, size, expected);
        hashed(path, text, size, words);
        CHECK(!memcmp(words, expected, sizeof words), "%zu bytes", size);
    }
}

/* Bytes of 0xff are over every prime: 2^32 - 1 modulo it, added and taken away again. */
static void check_sums(void) {
    uint8_t most[GDBX_OIHASH_SIZE], none[GDBX_OIHASH_SIZE] = {0}, out[GDBX_OIHASH_SIZE];
    struct gdbx_text hashes[1000];
    memset(most, 0xff, sizeof most);
    for (size_t i = 0; i < COUNT(hashes); i++) {
        hashes[i].data = most;
        hashes[i].size = sizeof most;
    }
    gdbx_oihash_hashes(hashes, COUNT(hashes), out);
    for (size_t i = 0; i < GDBX_OIHASH_COLUMNS; i++) {
        uint32_t word = (uint32_t) out[4 * i] | (uint32_t) out[4 * i + 1] << 8
                        | (uint32_t) out[4 * i + 2] << 16 | (uint32_t) out[4 * i + 3] << 24;
        uint32_t each = 0xffffffffu - gdbx_oihash_primes[i];
        CHECK(word == COUNT(hashes) * each, "column %zu: %u", i, word);
    }
    for (size_t i = 0; i < COUNT(hashes); i++) gdbx_oihash_combine(out, most, 1, out);
    CHECK(!memcmp(out, none, sizeof out), "something is left");
    gdbx_oihash_combine(none, most, 1, out);
    gdbx_oihash_combine(out, most, 0, out);
    CHECK(!memcmp(out, none, sizeof out), "less and more again");
    gdbx_oihash_hashes(NULL, 0, out);
    CHECK(!memcmp(out, none, sizeof out), "the sum of nothing");
}

static void check_items(enum gdbx_sha256_path path) {
    struct gdbx_text items[20];
    uint8_t sum[GDBX_OIHASH_SIZE] = {0}, one[GDBX_OIHASH_SIZE], all[GDBX_OIHASH_SIZE];
    for (size_t i = 0; i < COUNT(items); i++) {
        items[i].size = 6 * i;
        items[i].data = random_text(items[i].size, i);
        gdbx_oihash_items(path, items + i, 1, one);
        gdbx_oihash_combine(sum, one, 0, sum);
    }
    gdbx_oihash_items(path, items, COUNT(items), all);
    CHECK(!memcmp(all, sum, sizeof sum), "together and one by one differ");
    for (size_t i = 0; i < COUNT(items); i++) free((void *) (uintptr_t) items[i].data);
}

int main(int argc, char **argv) {
    (void) argv;
    CHECK(argc == 2, "usage: test_oihash FOLDER_OF_VECTORS");
    check_sums();
    for (size_t way = 0; way < COUNT(WAYS); way++) {
        if (!gdbx_sha256_supports(WAYS[way])) continue;
        check_published(WAYS[way]);
        check_paths_agree(WAYS[way]);
        check_items(WAYS[way]);
        printf("%s\n", WAY_NAMES[way]);
    }
    CHECK(gdbx_sha256_supports(gdbx_sha256_best()), "the best is not supported");
    return 0;
}
