/* Fuzz oihash: each path of SHA-256 gives the same, and parts add up to the whole.
 *
 * Input: items one after the other, each a byte of length and that many bytes.
 */
#include "check.h"
#include "oihash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gdbx_text items[64];
    uint8_t whole[GDBX_OIHASH_SIZE], other[GDBX_OIHASH_SIZE], sum[GDBX_OIHASH_SIZE] = {0};
    size_t n = 0, at = 0;
    while (n < COUNT(items) && at < size) {
        size_t most = size - at - 1, length = data[at] < most ? data[at] : most;
        uint8_t *exact = block(length);
        if (length) memcpy(exact, data + at + 1, length);
        items[n].data = exact;
        items[n++].size = length;
        at += 1 + length;
    }
    gdbx_oihash_items(GDBX_SHA256_PORTABLE, items, n, whole);
    gdbx_oihash_items(gdbx_sha256_best(), items, n, other);
    CHECK(!memcmp(whole, other, sizeof whole), "the paths differ");
    for (size_t i = n; i-- > 0;) {
        gdbx_oihash_items(gdbx_sha256_best(), items + i, 1, other);
        gdbx_oihash_combine(sum, other, 0, sum);
    }
    CHECK(!memcmp(whole, sum, sizeof whole), "the parts differ from the whole");
    for (size_t i = 0; i < n; i++) {
        gdbx_oihash_items(gdbx_sha256_best(), items + i, 1, other);
        gdbx_oihash_combine(sum, other, 1, sum);
        free((void *) (uintptr_t) items[i].data);
    }
    memset(other, 0, sizeof other);
    CHECK(!memcmp(sum, other, sizeof sum), "something is left");
    return 0;
}
