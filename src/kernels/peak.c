/* peak.c - as many multiply-adds as the processor does: what other kernels are measured against. */
#include "gemm_tile.h"

/* Twelve chains hide the latency of two units; written out, so that all lie in registers. */
#define EACH_CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
enum { CHAINS = 12 };

double TARE_K(multiply_adds)(int64_t rounds, tare_real *sink) {
    tare_real one[VL], small[VL];
    for (int i = 0; i < VL; i++) { one[i] = (tare_real)0.7, small[i] = (tare_real)0.25; }
    vec factor = vec_load(one), term = vec_load(small);
/* From different values, or the compiler would see that one chain is enough; none of them a value that stays, 0.25 / (1 - 0.7),
 * or it would see that too and leave the chain out. */
#define START(i) vec chain##i = term * (tare_real)(1 + i);
    EACH_CHAIN(START)
    for (int64_t r = 0; r < rounds; r++) {
#define STEP(i) chain##i = chain##i * factor + term;
        EACH_CHAIN(STEP)
    }
#define ADD(i) term += chain##i;
    EACH_CHAIN(ADD)
    vec_store(sink, term);
    return 2.0 * (double)rounds * CHAINS * VL;
}
