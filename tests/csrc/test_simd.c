/* The paths that the machine is said to run, against what its system says. */
#include "check.h"

#if defined(GDBX_X86_64)
/* Return whether a line of /proc/cpuinfo lists `flag`; -1 if there is no such file or line. */
static int system_lists(const char *flag) {
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[16384];
    int found = -1;
    while (file && found < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, "flags", 5) == 0) {
            char *word = strtok(line + 5, " \t\n:");
            for (found = 0; word && !found; word = strtok(NULL, " \t\n:"))
                found = strcmp(word, flag) == 0;
        }
    if (file) fclose(file);
    return found;
}

static void check_architecture(void) {
    int avx2 = system_lists("avx2");
    CHECK(!gdbx_simd_supports(GDBX_SIMD_NEON), "NEON on x86-64");
    CHECK(avx2 < 0 || avx2 == gdbx_simd_supports(GDBX_SIMD_AVX2), "the system lists avx2: %d",
          avx2);
    CHECK(!gdbx_simd_supports(GDBX_SIMD_AVX512)
              || (system_lists("avx512f") != 0 && system_lists("avx512bw") != 0),
          "AVX-512 where the system lists none");
    CHECK(gdbx_simd_supports(GDBX_SIMD_AVX2) || !gdbx_simd_supports(GDBX_SIMD_AVX512),
          "AVX-512 without AVX2");
}
#else
static void check_architecture(void) {
#if defined(GDBX_AARCH64)
    enum gdbx_simd expected = GDBX_SIMD_NEON;
#else
    enum gdbx_simd expected = GDBX_SIMD_PORTABLE;
#endif

    CHECK(gdbx_simd_best() == expected, "got %s", PATH_NAMES[gdbx_simd_best()]);
}
#endif

int main(void) {
    enum gdbx_simd best = gdbx_simd_best();
    CHECK(gdbx_simd_supports(GDBX_SIMD_PORTABLE), "the portable path runs everywhere");
    CHECK(gdbx_simd_supports(best), "%s is best and not supported", PATH_NAMES[best]);
    for (size_t i = 0; i < COUNT(PATHS); i++)
        CHECK(PATHS[i] <= best || !gdbx_simd_supports(PATHS[i]), "%s is wider than the best, %s",
              PATH_NAMES[i], PATH_NAMES[best]);
    CHECK(!gdbx_simd_supports((enum gdbx_simd)(GDBX_SIMD_AVX512 + 1)), "a path that is none");
    check_architecture();
    printf("best path: %s\n", PATH_NAMES[best]);
    return 0;
}
