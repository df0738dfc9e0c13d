/* Fuzz the readers of memcached's replies: in pieces or at once, piped or not, they read the same.
 *
 * Input: kind, count, options, the size of a piece and a word mask, a byte each; then the reply.
 * Compile with -DONLY_KIND=... to fuzz one kind only.
 */
#include "check.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 5, ROOM = 64, LOOKS = 48 };

struct outcome {
    struct gdbx_wire_reader reader;
    struct gdbx_wire_record records[ROOM];
    size_t used;
    int result;
};

/* Show a reader data[0, size) in an exact block. */
static int show(struct outcome *outcome, const uint8_t *data, size_t size) {
    uint8_t *exact = block(size);
    if (size) memcpy(exact, data, size);
    outcome->result =
        gdbx_wire_scan(&outcome->reader, exact, size, outcome->records, ROOM, &outcome->used);
    free(exact);
    return outcome->result == GDBX_WIRE_MORE;
}

static void read_in_pieces(struct outcome *outcome, const uint8_t *data, size_t size,
                           size_t piece) {
    size_t shown = 0;
    if (piece < size / LOOKS) /* a long reply in single bytes would take too long */
        piece = size / LOOKS;
    while (shown < size) {
        shown = size - shown < piece ? size : shown + piece;
        if (!show(outcome, data, shown) && outcome->result != GDBX_WIRE_DONE) return;
    }
}

static void check_bounds(const struct outcome *outcome, size_t size) {
    CHECK(outcome->used <= ROOM, "%zu records", outcome->used);
    CHECK(outcome->reader.position <= size, "at %zu of %zu", outcome->reader.position, size);
    for (size_t i = 0; i < outcome->used; i++) {
        const struct gdbx_wire_record *record = &outcome->records[i];
        CHECK(record->key + record->key_size <= size, "key of record %zu", i);
        CHECK(record->value + record->value_size <= size, "value of record %zu", i);
        CHECK(record->line + record->line_size <= size, "line of record %zu", i);
    }
}

static int is_over(const struct outcome *outcome) {
    return outcome->result == GDBX_WIRE_DONE
           || (outcome->result == GDBX_WIRE_BAD && outcome->reader.reason == GDBX_WIRE_LEFTOVER);
}

/* A piped reader and one that is not differ only in their verdict on leftover bytes. */
static void check_piped(const struct outcome *one, const struct outcome *other, size_t size) {
    const struct outcome *piped = one->reader.options & GDBX_WIRE_PIPED ? one : other;
    CHECK(is_over(one) == is_over(other), "%d and %d", one->result, other->result);
    CHECK(is_over(one) || one->result == other->result, "%d, %d", one->result, other->result);
    CHECK(one->used == other->used, "%zu and %zu records", one->used, other->used);
    CHECK(one->reader.position == other->reader.position, "two ends");
    CHECK(memcmp(one->records, other->records, one->used * sizeof *one->records) == 0, "records");
    if (!is_over(one)) return;
    CHECK(piped->result == GDBX_WIRE_DONE, "piped: %d", piped->result);
    other = piped == one ? other : one;
    CHECK((other->result == GDBX_WIRE_DONE) == (other->reader.position == size), "leftover");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct outcome once, pieces, other;
    size_t piece;
    if (size < HEAD) return 0;
    memset(&once, 0, sizeof once);
#ifdef ONLY_KIND
    once.reader.kind = ONLY_KIND;
#else
    once.reader.kind = data[0] % 5;
#endif
    once.reader.count = 1 + data[1] % 8;
    once.reader.options = data[2] % 32;
    once.reader.words = once.reader.kind == GDBX_WIRE_PACKETS ? (uint64_t) 0xff << (data[4] % 57)
                                                              : (uint64_t) data[4] * 3;
    pieces = other = once;
    other.reader.options ^= GDBX_WIRE_PIPED;
    piece = 1 + data[3] % 16;
    data += HEAD;
    size -= HEAD;
    show(&once, data, size);
    show(&other, data, size);
    check_piped(&once, &other, size);
    read_in_pieces(&pieces, data, size, piece);
    check_bounds(&once, size);
    CHECK(size == 0 || once.result == pieces.result, "%d, in pieces %d", once.result,
          pieces.result);
    CHECK(once.used == pieces.used, "%zu, in pieces %zu", once.used, pieces.used);
    CHECK(once.reader.position == pieces.reader.position, "another end");
    if (once.result == GDBX_WIRE_BAD)
        CHECK(once.reader.reason == pieces.reader.reason, "another reason");
    CHECK(memcmp(once.records, pieces.records, once.used * sizeof *once.records) == 0,
          "other records");
    return 0;
}
