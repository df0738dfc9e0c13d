/* desk: what each step returns, and threads that leave and take while another clears. */
#include <pthread.h>
#include <sched.h>

#include "check.h"
#include "desk.h"

static int EMPTY_THING;
static void *const EMPTY = &EMPTY_THING;

static void check_one_thread(void) {
    int first, second;
    void *desk = EMPTY;
    CHECK(!gdbx_desk_holds(&desk, EMPTY), "at first");
    CHECK(gdbx_desk_clear(&desk, EMPTY) == EMPTY, "at first");
    CHECK(gdbx_desk_reserve(&desk, EMPTY, &first), "an empty one");
    CHECK(!gdbx_desk_holds(&desk, EMPTY), "a reservation");
    CHECK(!gdbx_desk_reserve(&desk, EMPTY, &second), "another's reservation");
    CHECK(!gdbx_desk_leave(&desk, &second), "another's reservation");
    CHECK(gdbx_desk_leave(&desk, &first), "its own");
    CHECK(gdbx_desk_holds(&desk, EMPTY), "left");
    CHECK(!gdbx_desk_reserve(&desk, EMPTY, &second), "a desk that holds something");
    CHECK(gdbx_desk_clear(&desk, EMPTY) == &first, "left");
    CHECK(desk == EMPTY, "cleared");
}

/* Whatever happens between the two steps, nothing is left that was cleared away. */
static void check_a_cleared_reservation(void) {
    int first, second;
    void *desk = EMPTY;
    CHECK(gdbx_desk_reserve(&desk, EMPTY, &first), "an empty one");
    CHECK(gdbx_desk_clear(&desk, EMPTY) == EMPTY, "a reservation");
    CHECK(!gdbx_desk_leave(&desk, &first), "cleared");
    CHECK(gdbx_desk_reserve(&desk, EMPTY, &second), "cleared");
    CHECK(!gdbx_desk_leave(&desk, &first), "another's");
    gdbx_desk_withdraw(&desk, EMPTY, &first);
    CHECK(gdbx_desk_leave(&desk, &second), "its own, which the other does not withdraw");
    gdbx_desk_withdraw(&desk, EMPTY, &second);
    CHECK(gdbx_desk_clear(&desk, EMPTY) == &second, "left, which nobody withdraws");
    CHECK(gdbx_desk_reserve(&desk, EMPTY, &first), "an empty one");
    gdbx_desk_withdraw(&desk, EMPTY, &first);
    CHECK(desk == EMPTY, "withdrawn");
}

/* Three threads share a desk, as if it were a pool's; another begins epochs, and clears it. */
enum { WORKERS = 3, ROUNDS = 20000 };

struct thing {
    int epoch;
    _Atomic int holders;
};

static void *shared;
static _Atomic int epoch, ended, done;
static _Atomic long taken;

/* Let another thread run, now and then, whatever step comes next. */
static void pause_at_random(uint64_t *state) {
    if (random64(state) % 8 == 0) sched_yield();
}

static void *work(void *number) {
    uint64_t state = (uint64_t) (uintptr_t) number;
    struct thing *spare = block(sizeof *spare), *thing;
    spare->holders = 0;
    for (int i = 0; i < ROUNDS; i++) {
        int least = ended;
        thing = gdbx_desk_clear(&shared, EMPTY);
        if ((void *) thing == EMPTY) {
            if (spare == NULL) {
                spare = block(sizeof *spare);
                spare->holders = 0;
            }
            thing = spare;
            spare = NULL;
            thing->epoch = epoch;
        } else {
            taken++;
        }
        CHECK(thing->epoch >= least, "%d, after %d had ended", thing->epoch, least);
        CHECK(thing->holders++ == 0, "two threads have it");
        pause_at_random(&state);
        CHECK(thing->holders-- == 1, "two threads have it");
        if (gdbx_desk_reserve(&shared, EMPTY, thing)) {
            pause_at_random(&state);
            if (thing->epoch != epoch) {
                gdbx_desk_withdraw(&shared, EMPTY, thing);
            } else {
                pause_at_random(&state);
                if (gdbx_desk_leave(&shared, thing)) continue;
            }
        }
        free(spare);
        spare = thing;
    }
    free(spare);
    done++;
    return NULL;
}

static void check_threads(void) {
    pthread_t workers[WORKERS];
    shared = EMPTY;
    for (size_t i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&workers[i], NULL, work, (void *) (i + 1)) == 0, "thread %zu", i);
    while (done < WORKERS) {
        int now = ++epoch;
        void *found = gdbx_desk_clear(&shared, EMPTY);
        ended = now;
        if (found != EMPTY) free(found);
        sched_yield();
    }
    for (size_t i = 0; i < WORKERS; i++) CHECK(pthread_join(workers[i], NULL) == 0, "%zu", i);
    void *last = gdbx_desk_clear(&shared, EMPTY);
    if (last != EMPTY) free(last);
    CHECK(taken > 0, "nothing was ever left");
    printf("%d rounds of %d threads\n", ROUNDS, WORKERS);
}

int main(void) {
    check_one_thread();
    check_a_cleared_reservation();
    check_threads();
    return 0;
}
