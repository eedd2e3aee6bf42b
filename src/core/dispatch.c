/* dispatch.c - which level of kernels this processor runs. */
#include "../kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

extern const tare__kernel_table tare__table_baseline;
#ifdef TARE_HAVE_X86_LEVELS
extern const tare__kernel_table tare__table_avx2, tare__table_avx512;

static const tare__kernel_table *best_level(void) {
    const char *force = getenv("TARE_ISA");
    if (force && strcmp(force, "baseline") == 0) { return &tare__table_baseline; }
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (avx2 && avx512 && !(force && strcmp(force, "avx2") == 0)) { return &tare__table_avx512; }
    return avx2 ? &tare__table_avx2 : &tare__table_baseline;
}
#else
static const tare__kernel_table *best_level(void) { return &tare__table_baseline; }
#endif

const tare__kernel_table *tare__kernels(void) {
    /* Idempotent, so two threads that race here store the same pointer. */
    static const tare__kernel_table *_Atomic chosen;
    const tare__kernel_table *table = chosen;
    if (!table) { chosen = table = best_level(); }
    return table;
}
