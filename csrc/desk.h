/* A desk: a place for one thing, which any thread takes in one step and leaves in two.
 *
 * Who leaves something reserves the desk, then looks whether it may be left there, then leaves it.
 * Who forbids it says so, then clears the desk, of a reservation too; and without its own nothing
 * is left. So once it is cleared, nothing is there that was forbidden, and nothing comes.
 *
 * `empty` is what stands for nothing. A thing is an address that is even, and of one thread until
 * it is left; a reservation is that address made odd. */
#ifndef GDBX_DESK_H
#define GDBX_DESK_H

#include <stdbool.h>
#include <stdint.h>

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define GDBX_DESK_LOAD(at) (*(void *volatile *) (at))
#define GDBX_DESK_SWAP(at, after) _InterlockedExchangePointer(at, after)
#define GDBX_DESK_REPLACE(at, before, after)                                                       \
    (_InterlockedCompareExchangePointer(at, after, before) == (before))
#else
#define GDBX_DESK_LOAD(at) __atomic_load_n(at, __ATOMIC_SEQ_CST)
#define GDBX_DESK_SWAP(at, after) __atomic_exchange_n(at, after, __ATOMIC_SEQ_CST)
#define GDBX_DESK_REPLACE(at, before, after)                                                       \
    __atomic_compare_exchange_n(at, &(before), after, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#endif

static inline void *gdbx_desk_reservation(void *thing) { return (void *) ((uintptr_t) thing | 1); }

/* Reserve a desk for `thing`; return whether it was empty. */
static inline bool gdbx_desk_reserve(void **desk, void *empty, void *thing) {
    return GDBX_DESK_REPLACE(desk, empty, gdbx_desk_reservation(thing));
}

/* End the reservation for `thing`, if it is still there. */
static inline void gdbx_desk_withdraw(void **desk, void *empty, void *thing) {
    void *reserved = gdbx_desk_reservation(thing);
    (void) GDBX_DESK_REPLACE(desk, reserved, empty);
}

/* Leave `thing`, if the reservation for it is still there; return whether it was. */
static inline bool gdbx_desk_leave(void **desk, void *thing) {
    void *reserved = gdbx_desk_reservation(thing);
    return GDBX_DESK_REPLACE(desk, reserved, thing);
}

/* Empty a desk, and end a reservation; return what was left there, or `empty`. */
static inline void *gdbx_desk_clear(void **desk, void *empty) {
    void *found = GDBX_DESK_SWAP(desk, empty);
    return (uintptr_t) found & 1 ? empty : found;
}

/* Return whether something is left there. */
static inline bool gdbx_desk_holds(void **desk, void *empty) {
    void *found = GDBX_DESK_LOAD(desk);
    return found != empty && !((uintptr_t) found & 1);
}

#endif
