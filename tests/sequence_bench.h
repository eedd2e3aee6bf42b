/* sequence_bench.h - parameters and a tape for a test of sequence layers. */
#ifndef TARE_SEQUENCE_BENCH_H
#define TARE_SEQUENCE_BENCH_H

#include "testing_support.h"

#include <tare/sequence.h>

typedef struct bench {
    tare_params *ps;
    tare_tape *tape;
} bench;

static inline bench *bench_new(bool training) {
    bench *b = tare_calloc(1, sizeof *b);
    b->ps = tare_params_new(7);
    b->tape = tare_tape_new((tare_tape_opt){ .training = training });
    return b;
}

static inline void bench_free(bench *b) {
    tare_tape_free(b->tape);
    tare_params_free(b->ps);
    tare_free(b);
}

#endif
