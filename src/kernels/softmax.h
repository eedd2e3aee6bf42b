/* softmax.h - exponentials of rows, less their maximum, and the sums of them: what softmax and cross-entropy share.
 *
 * A row is k values; `inner` rows lie side by side, value j of row i at [i / inner][j][i % inner]. Three ways through:
 * rows of LANES values or more that are contiguous (inner 1) go one by one; shorter ones in tiles of LANES rows, turned so
 * that one vector holds the same value of all of them; rows side by side are in that order already. */
#ifndef TARE_KERNELS_SOFTMAX_H
#define TARE_KERNELS_SOFTMAX_H

#include "kernels.h"
#include "vmath.h"

#include <math.h>

#ifdef TARE_F64
#define V_SIMD_SUM(x) /* as V_SIMD */
#else
#define V_SIMD_SUM(x) TARE_SIMD_SUM(x)
#endif

/* Contiguous rows go LANES at a time, rows side by side COLUMNS at a time: whole cache lines, a few in a row. */
enum { LANES = 16, COLUMNS = 64 };

/* Up to COLUMNS rows side by side: value j of the l-th is x[at + j * inner + l]. */
typedef struct columns {
    int64_t at, count;
} columns;

/* Those from row i on, before row `end`; inner > 1. */
static inline columns columns_from(int64_t i, int64_t end, int64_t k, int64_t inner) {
    int64_t outer = i / inner, column = i - outer * inner, count = end - i < COLUMNS ? end - i : COLUMNS;
    return (columns){ outer * inner * k + column, count < inner - column ? count : inner - column };
}

/* Contiguous rows of fewer than LANES values to and from a tile: t[j * LANES + l] is value j of row l. */
static inline void tile_load(const tare_real *x, int64_t k, int64_t count, tare_real *t) {
    for (int64_t l = 0; l < count; l++) {
        for (int64_t j = 0; j < k; j++) { t[j * LANES + l] = x[l * k + j]; }
    }
    for (int64_t l = count; l < LANES; l++) {
        for (int64_t j = 0; j < k; j++) { t[j * LANES + l] = 0; }
    }
}

static inline void tile_store(const tare_real *t, int64_t k, int64_t count, tare_real *x) {
    for (int64_t l = 0; l < count; l++) {
        for (int64_t j = 0; j < k; j++) { x[l * k + j] = t[j * LANES + l]; }
    }
}

/* log x for a sum of exponentials, 1 <= x < Inf, or NaN. */
static inline tare_real log_of_sum(tare_real x) {
#ifdef TARE_F64
    return log(x);
#else
    uint32_t bits = v_bits(x);
    float exponent = (float)(int32_t)((bits >> 23) - 127), rest = v_from_bits((bits & 0x7FFFFFu) | 0x3F800000u);
    return exponent * 0.6931471806f + v_log1p(rest - 1.0f) + (x - x); /* x - x: NaN stays NaN */
#endif
}

/* The largest of k >= LANES values. */
static inline tare_real row_max(const tare_real *x, int64_t k) {
    tare_real max[LANES];
    for (int64_t l = 0; l < LANES; l++) { max[l] = x[k - LANES + l]; }
    for (int64_t j = 0; j <= k - LANES; j += LANES) {
        TARE_SIMD
        for (int64_t l = 0; l < LANES; l++) { max[l] = x[j + l] > max[l] ? x[j + l] : max[l]; }
    }
    for (int64_t half = LANES / 2; half > 0; half /= 2) {
        for (int64_t l = 0; l < half; l++) { max[l] = max[l + half] > max[l] ? max[l + half] : max[l]; }
    }
    return max[0];
}

/* The sum of e[j] = exp(x[j] - max) of k >= LANES values; e may be NULL. A last part shorter than LANES is computed with
 * some values before it, which are not added again: one vector costs less than a few single values. */
static inline tare_real row_exp(const tare_real *x, int64_t k, tare_real max, tare_real *e) {
    static const tare_real weight[2 * LANES] = { [LANES] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    int64_t whole = k % LANES <= 1 ? k : k / LANES * LANES, tail = k - LANES;
    tare_real sum = 0;
    if (e) {
        V_SIMD_SUM(sum)
        for (int64_t j = 0; j < whole; j++) { sum += e[j] = v_exp(x[j] - max); }
    } else {
        V_SIMD_SUM(sum)
        for (int64_t j = 0; j < whole; j++) { sum += v_exp(x[j] - max); }
    }
    if (whole < k) {
        const tare_real *added = weight + (k - whole);
        tare_real last[LANES];
        V_SIMD
        for (int64_t j = 0; j < LANES; j++) { last[j] = v_exp(x[tail + j] - max); }
        TARE_SIMD_SUM(sum)
        for (int64_t j = 0; j < LANES; j++) { sum += last[j] * added[j]; }
        for (int64_t j = whole; e && j < k; j++) { e[j] = last[j - tail]; }
    }
    return sum;
}

/* The largest value of each of `count` contiguous rows, and the sum of their exponentials less that. A NaN may be lost in
 * the maximum, but not in the sum. Rows in groups: no row then waits for the end of the one before. */
static inline void rows_exp(const tare_real *x, int64_t k, int64_t count, tare_real *e, tare_real *max,
                            tare_real *sum) {
    for (int64_t l = 0; l < count; l++) { max[l] = row_max(x + l * k, k); }
    for (int64_t l = 0; l < count; l++) { sum[l] = row_exp(x + l * k, k, max[l], e ? e + l * k : NULL); }
}

/* The same for rows side by side. */
static inline void columns_exp(const tare_real *x, int64_t k, int64_t step, int64_t count, tare_real *e, tare_real *max,
                               tare_real *sum) {
    for (int64_t l = 0; l < count; l++) {
        max[l] = -(tare_real)INFINITY;
        sum[l] = 0;
    }
    for (int64_t j = 0; j < k; j++) {
        TARE_SIMD
        for (int64_t l = 0; l < count; l++) { max[l] = x[j * step + l] > max[l] ? x[j * step + l] : max[l]; }
    }
    for (int64_t j = 0; j < k; j++) {
        V_SIMD
        for (int64_t l = 0; l < count; l++) {
            tare_real v = v_exp(x[j * step + l] - max[l]);
            sum[l] += v;
            if (e) { e[j * step + l] = v; }
        }
    }
}

#endif
