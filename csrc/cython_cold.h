/* Included before each of Cython's C files: says which of its functions run when an error is
 * raised.
 *
 * The compiler then moves all code that only leads to them out of the way of the rest, which fits
 * better into the processor's cache of instructions. Without a prototype, the declaration holds
 * whatever the arguments are. */
#ifndef GDBX_CYTHON_COLD_H
#define GDBX_CYTHON_COLD_H

static void __Pyx_AddTraceback() __attribute__((cold, unused));

#endif
