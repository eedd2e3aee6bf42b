/* weight_bench.h - a layer whose weight is normalised, and the largest singular value of a matrix. */
#ifndef TARE_WEIGHT_BENCH_H
#define TARE_WEIGHT_BENCH_H

#include "testing_support.h"

#include <tare/norms.h>

#include <math.h>

typedef struct bench {
    tare_params *ps;
    tare_tape *tape;
    tare_layer *layer;
} bench;

static inline void bench_free(bench *b) {
    tare_tape_free(b->tape);
    tare_params_free(b->ps);
}

/* The largest singular value of a [rows, cols] matrix, by many steps of the power method in double. */
static inline double sigma_of(const tare_real *w, int rows, int cols) {
    double u[64], v[64], sigma = 0;
    for (int r = 0; r < rows; r++) { u[r] = 1 + 0.1 * r; }
    for (int step = 0; step < 3000; step++) {
        double length = 0;
        for (int c = 0; c < cols; c++) {
            v[c] = 0;
            for (int r = 0; r < rows; r++) { v[c] += (double)w[r * cols + c] * u[r]; }
            length += v[c] * v[c];
        }
        for (int c = 0; c < cols; c++) { v[c] /= sqrt(length); }
        sigma = 0;
        for (int r = 0; r < rows; r++) {
            u[r] = 0;
            for (int c = 0; c < cols; c++) { u[r] += (double)w[r * cols + c] * v[c]; }
            sigma += u[r] * u[r];
        }
        sigma = sqrt(sigma);
        for (int r = 0; r < rows; r++) { u[r] /= sigma; }
    }
    return sigma;
}

#endif
